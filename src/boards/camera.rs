//! A pinhole camera above the plate, and the plane-to-plane mappings that follow from it.

/// A 3 × 3 projective mapping between two planes, row-major.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Homography(pub(super) [[f32; 3]; 3]);

impl Homography {
    /// Maps the unit square (0,0) (1,0) (1,1) (0,1) onto four points given in that order. A degenerate quadrilateral,
    /// which has no projective mapping, is treated as a parallelogram.
    pub(super) fn onto_quadrilateral([a, b, c, d]: &[[f32; 2]; 4]) -> Self {
        let sum = [a[0] - b[0] + c[0] - d[0], a[1] - b[1] + c[1] - d[1]];
        let (first, second) = ([b[0] - c[0], b[1] - c[1]], [d[0] - c[0], d[1] - c[1]]);
        let area = first[0] * second[1] - second[0] * first[1];
        let (g, h) = if area.abs() < 1e-6 {
            (0.0, 0.0)
        } else {
            ((sum[0] * second[1] - second[0] * sum[1]) / area, (first[0] * sum[1] - sum[0] * first[1]) / area)
        };
        Self([[b[0] - a[0] + g * b[0], d[0] - a[0] + h * d[0], a[0]], [b[1] - a[1] + g * b[1], d[1] - a[1] + h * d[1], a[1]], [g, h, 1.0]])
    }

    pub(super) fn apply(&self, [x, y]: [f32; 2]) -> [f32; 2] {
        let [u, v, w] = self.0.map(|row| row[0] * x + row[1] * y + row[2]);
        [u / w, v / w]
    }

    /// The inverse mapping, up to a common factor, which a projective mapping does not notice.
    pub(super) fn inverse(&self) -> Self {
        let m = &self.0;
        let minor = |r: usize, c: usize| {
            let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
            m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
        };
        Self(std::array::from_fn(|r| std::array::from_fn(|c| minor(c, r))))
    }
}

/// How the camera stands. Angles in radians, lengths in board units.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pose {
    /// Distance from the middle of the plate. A short distance means strong perspective.
    pub(super) distance: f32,
    /// How far the camera leans towards the viewer; this is what shows the sides of the pins.
    pub(super) tilt: f32,
    pub(super) pan: f32,
    pub(super) roll: f32,
    pub(super) zoom: f32,
    /// Where the middle of the plate falls, relative to the middle of the picture.
    pub(super) shift: [f32; 2],
}

/// Projects points of the board to pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Camera {
    matrix: [[f32; 4]; 3],
}

impl Camera {
    /// `scale` is pixels per board unit; `size` the picture's width and height in pixels.
    pub(super) fn new(pose: &Pose, scale: f32, size: [f32; 2]) -> Self {
        let (tilt_sin, tilt_cos) = pose.tilt.sin_cos();
        let (pan_sin, pan_cos) = pose.pan.sin_cos();
        let (roll_sin, roll_cos) = pose.roll.sin_cos();
        // Rows give right, down and towards-the-camera as functions of (x, y, z).
        let down = [0.0, tilt_cos, -tilt_sin];
        let toward = [0.0, tilt_sin, tilt_cos];
        let right: [f32; 3] = std::array::from_fn(|i| [pan_cos, 0.0, 0.0][i] + pan_sin * toward[i]);
        let toward: [f32; 3] = std::array::from_fn(|i| [-pan_sin, 0.0, 0.0][i] + pan_cos * toward[i]);
        let focal = pose.distance * pose.zoom * scale;
        let centre = [size[0] / 2.0 + pose.shift[0] * scale, size[1] / 2.0 + pose.shift[1] * scale];
        let depth = [-toward[0], -toward[1], -toward[2], pose.distance];
        let row = |along: f32, across: f32, middle: f32| {
            std::array::from_fn(|i| {
                let turned = if i < 3 { along * right[i] + across * down[i] } else { 0.0 };
                focal * turned + middle * depth[i]
            })
        };
        Self { matrix: [row(roll_cos, -roll_sin, centre[0]), row(roll_sin, roll_cos, centre[1]), depth] }
    }

    /// Pixel position of the point (x, y, z).
    pub(super) fn project(&self, x: f32, y: f32, z: f32) -> [f32; 2] {
        let [u, v, w] = self.matrix.map(|row| row[0] * x + row[1] * y + row[2] * z + row[3]);
        [u / w, v / w]
    }

    /// Maps pixels to (x, y) on the plane at height `z` above the plate.
    pub(super) fn plane(&self, z: f32) -> Homography {
        Homography(self.matrix.map(|row| [row[0], row[1], row[2] * z + row[3]])).inverse()
    }
}

/// A homography replaced by its tangent at one pixel: exact enough over the size of a pin, and two multiplications
/// cheap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tangent {
    at: [f32; 2],
    value: [f32; 2],
    by_x: [f32; 2],
    by_y: [f32; 2],
}

impl Tangent {
    pub(super) fn new(map: &Homography, at: [f32; 2]) -> Self {
        let value = map.apply(at);
        let (right, down) = (map.apply([at[0] + 4.0, at[1]]), map.apply([at[0], at[1] + 4.0]));
        Self {
            at,
            value,
            by_x: [(right[0] - value[0]) / 4.0, (right[1] - value[1]) / 4.0],
            by_y: [(down[0] - value[0]) / 4.0, (down[1] - value[1]) / 4.0],
        }
    }

    #[inline]
    pub(super) fn apply(&self, x: f32, y: f32) -> [f32; 2] {
        let (dx, dy) = (x - self.at[0], y - self.at[1]);
        [self.value[0] + self.by_x[0] * dx + self.by_y[0] * dy, self.value[1] + self.by_x[1] * dx + self.by_y[1] * dy]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_maps_back_what_the_camera_projects() {
        let pose = Pose { distance: 800.0, tilt: 0.36, pan: 0.03, roll: -0.02, zoom: 1.02, shift: [3.0, -2.0] };
        let camera = Camera::new(&pose, 2.0, [896.0, 384.0]);
        for (x, y, z) in [(0.0, 0.0, 0.0), (-160.0, -46.0, 26.0), (180.0, 60.0, 26.0)] {
            let back = camera.plane(z).apply(camera.project(x, y, z));
            assert!((back[0] - x).abs() < 0.02 && (back[1] - y).abs() < 0.02, "{back:?}");
        }
    }
}
