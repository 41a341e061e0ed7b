//! How the metal of a pin answers light.

use crate::boards::canvas::{ease, mix, smoothstep};
use crate::boards::scene::{PIN_RADIUS, Pin, Scene};
use crate::boards::texture::{CLOUDS, GRAIN, Texture};

/// Width of the chamfer between cap and side, in board units.
const CHAMFER: f32 = 1.7;
const ENTRIES: usize = 64;

/// Brightness of a pin's side by where its normal points, for one board: the mirrored surroundings.
pub(super) struct SideTable([f32; ENTRIES + 1]);

impl SideTable {
    pub(super) fn new(scene: &Scene) -> Self {
        Self(std::array::from_fn(|entry| {
            let across = (entry as f32 / ENTRIES as f32 * 2.0 - 1.0).clamp(-0.999, 0.999);
            let angle = across.asin();
            let normal = [across, angle.cos()];
            let facing = normal[0] * scene.light.toward[0] + normal[1] * scene.light.toward[1];
            let lamp = (1.0 - scene.light.ring) * facing.max(0.0);
            let mirrored: f32 =
                scene.metal.reflections.iter().map(|[at, width, strength]| strength * (-((angle - at) / width).powi(2)).exp()).sum();
            // Near its outline the cylinder mirrors the dark bench at a grazing angle, and a thin light edge last.
            let dark = 1.0 - 0.55 * smoothstep(0.55, 0.93, across.abs());
            0.055 + dark * (0.10 + 0.16 * lamp + mirrored * 0.62) + 0.10 * smoothstep(0.95, 1.0, across.abs())
        }))
    }

    #[inline]
    fn at(&self, across: f32) -> f32 {
        let place = (across.clamp(-1.0, 1.0) + 1.0) * (ENTRIES as f32 / 2.0);
        let entry = (place as i32 as usize).min(ENTRIES - 1);
        self.0[entry] + (self.0[entry + 1] - self.0[entry]) * (place - entry as f32)
    }
}

/// One pin's metal under the board's light.
pub(in crate::boards) struct Finish<'a> {
    pin: &'a Pin,
    sides: &'a SideTable,
    marks: &'static Texture,
    /// Colour of metal that receives full light.
    pub(in crate::boards) colour: [f32; 3],
    /// Colour of the plate around, which the foot of the pin mirrors.
    around: [f32; 3],
    toward: [f32; 2],
    ring: f32,
    base: f32,
    key: f32,
    fill: f32,
    sharpness: f32,
    depth: f32,
    tarnish: f32,
    /// Which row of the texture holds this pin's turning marks.
    row: usize,
}

impl<'a> Finish<'a> {
    pub(super) fn new(scene: &Scene, pin: &'a Pin, sides: &'a SideTable) -> Self {
        let lit = scene.light.field(pin.centre[0], pin.centre[1]);
        let metal = &scene.metal;
        Self {
            pin,
            sides,
            marks: &GRAIN,
            colour: std::array::from_fn(|i| metal.tint[i] * scene.light.colour[i] * lit * pin.brightness),
            around: std::array::from_fn(|i| scene.plate.albedo[i] * scene.light.colour[i] * lit * 0.38),
            toward: scene.light.toward,
            ring: scene.light.ring,
            base: metal.base,
            key: metal.key,
            fill: metal.fill,
            sharpness: metal.sharpness,
            depth: metal.marks,
            tarnish: 0.035 * CLOUDS.at(pin.phase * 7.0, pin.phase * 3.0),
            row: pin.phase as usize,
        }
    }

    /// Colour of the cap at `from` its middle, `rho` away, both in board units.
    #[inline]
    pub(super) fn cap(&self, from: [f32; 2], rho: f32) -> [f32; 3] {
        let inverse = 1.0 / rho.max(0.6);
        let out = [from[0] * inverse, from[1] * inverse];
        // Turning marks run around the axis; each mirrors the lamp where the half vector has no part along it. That
        // draws the bright wings which every turned face shows.
        let wing = |half: [f32; 2]| {
            let along = (out[0] * half[1] - out[1] * half[0]) * self.sharpness;
            1.0 + along * along
        };
        let (key, fill) = (wing(self.pin.key), wing(self.pin.fill));
        let inverse_product = 1.0 / (key * fill);
        let share = rho * (1.0 / PIN_RADIUS);
        let marks = 1.0 + self.depth * self.marks.along(rho * 2.6, self.row);
        let slope = (from[0] * self.toward[0] + from[1] * self.toward[1]) * (0.010 * (1.0 - self.ring));
        let halo = self.ring * 0.10 * (1.0 - (share - 0.62) * (share - 0.62) * 9.0).max(0.0);
        let face = self.base * (1.0 + slope + self.tarnish)
            + halo
            + self.key * fill * inverse_product * (0.55 + 0.45 * share)
            + self.fill * key * inverse_product * (0.6 + 0.4 * share);
        let facing = out[0] * self.toward[0] + out[1] * self.toward[1];
        let bright = facing.max(0.0) * facing.max(0.0);
        let bevel = 0.10 + 0.52 * self.ring + (1.0 - self.ring) * (0.30 * (facing + 0.4).max(0.0) + 0.95 * bright * bright);
        // A dark line separates the face from the chamfer.
        let inner = self.pin.radius - CHAMFER;
        let groove = 1.0 - 0.35 * (1.0 - (rho - inner).abs() * 1.6).max(0.0);
        let lum = (face * marks + (bevel - face * marks) * ease((rho - inner) * 1.25 + 0.5)) * groove;
        self.colour.map(|value| value * lum)
    }

    /// Colour of the side where its normal (seen from above) is `normal`, `down` (0..=1) of the way to the plate.
    #[inline]
    pub(super) fn side(&self, normal: [f32; 2], down: f32) -> [f32; 3] {
        let streak = 1.0 + 0.035 * self.marks.along(normal[0] * 26.0, self.row);
        let lum = self.sides.at(normal[0]) * streak * (1.0 - 0.42 * down);
        let own = self.colour.map(|value| value * lum);
        let mirrored = self.around.map(|value| value * 0.9);
        let contact = 1.0 - 0.55 * ease((down - 0.78) * 4.5);
        mix(own, mirrored, 0.42 * down).map(|value| value * contact)
    }
}
