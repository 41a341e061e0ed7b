//! The pins: upright metal cylinders with turned, chamfered caps.
//!
//! Each pixel looks along a straight ray. Seen from above, that ray runs from a point on the plane of the caps to a point
//! on the plate; the ray meets the cylinder where this short walk comes within one radius of the axis. That one idea
//! gives the outline, the cap, the side and the leaning of a bent pin, with the perspective of the real camera.

mod metal;
mod shadow;
mod socket;

use super::camera::Tangent;
use super::canvas::{Canvas, Extent, mix};
use super::defects::Flaw;
use super::grid::{PINS, index_of};
use super::scene::{PIN_HEIGHT, Pin, Scene};
use crate::domain::Address;
pub(super) use metal::Finish;
use metal::SideTable;

/// Draws all pins with their shadows, far rows first. Answers which pixels show the flaw.
pub(super) fn draw(canvas: &mut Canvas, scene: &Scene, flaw: Option<&(Flaw, Address)>) -> Option<Extent> {
    let flaw_at = |index: usize| flaw.filter(|(_, address)| index_of(*address) == index).map(|(flaw, _)| flaw);
    let stances: [Stance; PINS] = std::array::from_fn(|index| Stance::new(scene, &scene.pins[index], flaw_at(index)));
    for (index, stance) in stances.iter().enumerate() {
        match flaw_at(index) {
            Some(Flaw::Missing) => {}
            _ => shadow::draw(canvas, scene, stance),
        }
    }
    let sides = SideTable::new(scene);
    let mut touched = None;
    for (index, stance) in stances.iter().enumerate() {
        let pin = &scene.pins[index];
        let finish = Finish::new(scene, pin, &sides);
        match flaw_at(index) {
            None => body::<false>(canvas, scene, stance, &finish, &Flaw::Missing, &mut Extent::empty()),
            Some(flaw) => {
                let mut extent = Extent::empty();
                match flaw {
                    Flaw::Missing => socket::draw(canvas, scene, stance, &mut extent),
                    _ => body::<true>(canvas, scene, stance, &finish, flaw, &mut extent),
                }
                if let Flaw::Burr(burr) = flaw {
                    burr.draw(canvas, scene, stance, &finish, &mut extent);
                }
                touched = Some(extent);
            }
        }
    }
    touched
}

/// How one pin stands in the picture.
pub(super) struct Stance {
    /// Axis on the plate, and middle of the cap seen from straight above, in board units.
    pub(super) base: [f32; 2],
    pub(super) cap: [f32; 2],
    pub(super) radius: f32,
    /// From pixels to the plane of the caps and to the plate.
    cap_plane: Tangent,
    plate_plane: Tangent,
    /// Pixels per board unit here.
    pub(super) per_unit: f32,
    base_px: [f32; 2],
    cap_px: [f32; 2],
}

impl Stance {
    fn new(scene: &Scene, pin: &Pin, flaw: Option<&Flaw>) -> Self {
        let bend = flaw.map_or([0.0; 2], Flaw::bend);
        let base = pin.centre;
        let cap: [f32; 2] = std::array::from_fn(|i| base[i] + pin.lean[i] + bend[i]);
        let base_px = scene.camera.project(base[0], base[1], 0.0);
        let cap_px = scene.camera.project(cap[0], cap[1], PIN_HEIGHT);
        let beside = scene.camera.project(cap[0] + pin.radius, cap[1], PIN_HEIGHT);
        Self {
            base,
            cap,
            radius: pin.radius,
            cap_plane: Tangent::new(&scene.cap_plane, cap_px),
            plate_plane: Tangent::new(&scene.plate_plane, base_px),
            per_unit: (beside[0] - cap_px[0]).hypot(beside[1] - cap_px[1]) / pin.radius,
            base_px,
            cap_px,
        }
    }

    /// Pixels within `margin` board units of the pin.
    pub(super) fn extent(&self, canvas: &Canvas, margin: f32) -> Extent {
        Extent::around(&[self.base_px, self.cap_px], (self.radius + margin) * self.per_unit, canvas)
    }

    /// Pixels within `margin` board units of the pin's foot, and of the foot moved by `shift` board units.
    pub(super) fn foot_extent(&self, canvas: &Canvas, scene: &Scene, shift: [f32; 2], margin: f32) -> Extent {
        let moved = scene.camera.project(self.base[0] + shift[0], self.base[1] + shift[1], 0.0);
        Extent::around(&[self.base_px, moved], (self.radius + margin) * self.per_unit, canvas)
    }

    /// Where the ray through (x, y) pixels passes the plane of the caps, from the cap's middle, in board units.
    #[inline]
    pub(super) fn on_cap(&self, x: f32, y: f32) -> [f32; 2] {
        let [u, v] = self.cap_plane.apply(x, y);
        [u - self.cap[0], v - self.cap[1]]
    }

    /// Where the ray through (x, y) pixels reaches the plate, from the foot's middle, in board units.
    #[inline]
    pub(super) fn on_plate(&self, x: f32, y: f32) -> [f32; 2] {
        let [u, v] = self.plate_plane.apply(x, y);
        [u - self.base[0], v - self.base[1]]
    }
}

/// Draws one pin. `FLAWED` keeps every question about flaws out of the loop over the 26 good pins.
fn body<const FLAWED: bool>(canvas: &mut Canvas, scene: &Scene, stance: &Stance, finish: &Finish<'_>, flaw: &Flaw, touched: &mut Extent) {
    let extent = stance.extent(canvas, 1.0);
    let (radius, per_unit) = (stance.radius, stance.per_unit);
    let border = (radius + 0.5 / per_unit).powi(2);
    for y in extent.y1..extent.y2 {
        for x in extent.x1..extent.x2 {
            let middle = [x as f32 + 0.5, y as f32 + 0.5];
            let (start, end) = (stance.on_cap(middle[0], middle[1]), stance.on_plate(middle[0], middle[1]));
            let walk = [end[0] - start[0], end[1] - start[1]];
            let length = walk[0] * walk[0] + walk[1] * walk[1];
            let inverse = 1.0 / length;
            let along = start[0] * walk[0] + start[1] * walk[1];
            let from_axis = start[0] * start[0] + start[1] * start[1];
            let nearest = (-along * inverse).clamp(0.0, 1.0);
            let distance = from_axis + nearest * (2.0 * along + nearest * length);
            if distance > border {
                continue;
            }
            let distance = distance.max(0.0).sqrt();
            let mut cover = ((radius - distance) * per_unit + 0.5).clamp(0.0, 1.0);
            let rho = from_axis.sqrt();
            let on_cap = ((radius - rho) * per_unit + 0.5).clamp(0.0, 1.0);
            let half = (along * along - length * (from_axis - radius * radius)).max(0.0).sqrt();
            // Share of the way down at which the ray meets the side.
            let down = ((-along - half) * inverse).clamp(0.0, 1.0);
            let normal = [(start[0] + walk[0] * down) / radius, (start[1] + walk[1] * down) / radius];
            let mut colour = [0.0; 3];
            if on_cap < 1.0 {
                colour = finish.side(normal, down);
            }
            if on_cap > 0.0 {
                colour = mix(colour, finish.cap(start, rho), on_cap);
            }
            if FLAWED {
                // The surface laid flat: the side continues the cap outwards, so that marks can run over the rim.
                let spot = if on_cap > 0.5 {
                    [start[0] / radius, start[1] / radius]
                } else {
                    let out = (1.0 + down * PIN_HEIGHT / radius) / normal[0].hypot(normal[1]).max(0.1);
                    [normal[0] * out, normal[1] * out]
                };
                let marked = flaw.mark(spot, colour, scene.light.toward);
                let mut visible = differs(marked, colour) || matches!(flaw, Flaw::Bent(_)) && cover > 0.5;
                colour = marked;
                if let Flaw::Chip(chip) = flaw {
                    let leaves = ((-along + half) * inverse).max(0.0) * PIN_HEIGHT / radius;
                    let broken = chip.opens(spot, leaves);
                    visible |= broken * cover > 0.3;
                    cover *= 1.0 - broken;
                }
                if visible {
                    touched.add(x, y);
                }
            }
            canvas.blend(x, y, colour, cover);
        }
    }
}

/// Whether two linear colours can be told apart in the picture.
fn differs(one: [f32; 3], other: [f32; 3]) -> bool {
    (0..3).any(|i| (one[i] - other[i]).abs() > 0.02 + 0.10 * other[i])
}
