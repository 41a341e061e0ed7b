//! The picture while light is still linear, and small helpers to paint on them.

/// Linear light per pixel. The planes (red, green, blue; rows from top to bottom) share one allocation, which is cheaper
/// to take and give back thousands of times a second than three.
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    light: Vec<f32>,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, height, light: vec![0.0; width * height * 3] }
    }

    pub(super) fn planes(&self) -> impl Iterator<Item = &[f32]> {
        self.light.chunks_exact(self.width * self.height)
    }

    pub(super) fn planes_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.light.chunks_exact_mut(self.width * self.height)
    }

    #[inline]
    pub(super) fn get(&self, x: usize, y: usize) -> [f32; 3] {
        let (at, plane) = (y * self.width + x, self.width * self.height);
        std::array::from_fn(|channel| self.light[at + channel * plane])
    }

    /// Lays `colour` over a pixel with opacity `cover` (0..=1).
    #[inline]
    pub(super) fn blend(&mut self, x: usize, y: usize, colour: [f32; 3], cover: f32) {
        let (at, plane) = (y * self.width + x, self.width * self.height);
        for (channel, value) in colour.into_iter().enumerate() {
            let pixel = &mut self.light[at + channel * plane];
            *pixel += (value - *pixel) * cover;
        }
    }

    /// Multiplies one row's pixels from `x` on by `factors`.
    #[inline]
    pub(super) fn shade_row(&mut self, x: usize, y: usize, factors: &[f32]) {
        let at = y * self.width + x;
        for plane in self.planes_mut() {
            for (pixel, factor) in plane[at..at + factors.len()].iter_mut().zip(factors) {
                *pixel *= factor;
            }
        }
    }
}

/// A box of pixels, `x1..x2` by `y1..y2`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Extent {
    pub(super) x1: usize,
    pub(super) y1: usize,
    pub(super) x2: usize,
    pub(super) y2: usize,
}

impl Extent {
    /// The whole pixels around `points`, `margin` pixels wider on each side and inside the canvas.
    pub(super) fn around(points: &[[f32; 2]], margin: f32, canvas: &Canvas) -> Self {
        let fold = |axis: usize, start: f32, pick: fn(f32, f32) -> f32| points.iter().map(|point| point[axis]).fold(start, pick);
        let inside = |value: f32, limit: usize| (value.max(0.0) as usize).min(limit);
        Self {
            x1: inside(fold(0, f32::MAX, f32::min) - margin, canvas.width),
            y1: inside(fold(1, f32::MAX, f32::min) - margin, canvas.height),
            x2: inside(fold(0, f32::MIN, f32::max) + margin + 1.0, canvas.width),
            y2: inside(fold(1, f32::MIN, f32::max) + margin + 1.0, canvas.height),
        }
    }

    /// An extent that holds nothing yet; grow it with [`Extent::add`].
    pub(super) fn empty() -> Self {
        Self { x1: usize::MAX, y1: usize::MAX, x2: 0, y2: 0 }
    }

    pub(super) fn add(&mut self, x: usize, y: usize) {
        *self = Self { x1: self.x1.min(x), y1: self.y1.min(y), x2: self.x2.max(x + 1), y2: self.y2.max(y + 1) };
    }

    /// `[x1, y1, x2, y2]` in pixels, `margin` wider and inside the picture; `None` where nothing was added.
    pub(super) fn to_box(self, margin: f32, width: u32, height: u32) -> Option<[f32; 4]> {
        (self.x1 < self.x2 && self.y1 < self.y2).then(|| {
            [
                (self.x1 as f32 - margin).max(0.0),
                (self.y1 as f32 - margin).max(0.0),
                (self.x2 as f32 + margin).min(width as f32),
                (self.y2 as f32 + margin).min(height as f32),
            ]
        })
    }
}

/// 0 below `from`, 1 above `to`, smooth between.
#[inline]
pub(super) fn smoothstep(from: f32, to: f32, value: f32) -> f32 {
    ease((value - from) / (to - from))
}

/// 0 below 0, 1 above 1, smooth between.
#[inline]
pub(super) fn ease(value: f32) -> f32 {
    let t = value.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

#[inline]
pub(super) fn mix(from: [f32; 3], to: [f32; 3], share: f32) -> [f32; 3] {
    std::array::from_fn(|i| from[i] + (to[i] - from[i]) * share)
}

#[inline]
pub(super) fn scaled(colour: [f32; 3], factor: f32) -> [f32; 3] {
    colour.map(|value| value * factor)
}

/// From the nearest point of the segment `a` to `b` to the point `p`, and how far along the segment that point lies
/// (0..=1).
#[inline]
pub(super) fn from_segment(p: [f32; 2], a: [f32; 2], b: [f32; 2]) -> ([f32; 2], f32) {
    let (along, from) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let length = (along[0] * along[0] + along[1] * along[1]).max(1e-12);
    let t = ((from[0] * along[0] + from[1] * along[1]) / length).clamp(0.0, 1.0);
    ([from[0] - along[0] * t, from[1] - along[1] * t], t)
}
