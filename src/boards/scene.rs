//! One photographed board: everything that chance decides before anything is painted. A defect has no say here, which is
//! why the same seed gives the same light, dust and noise with and without one.

use std::array;

use super::NATIVE_WIDTH;
use super::camera::{Camera, Homography, Pose};
use super::canvas::scaled;
use super::dice::Dice;
use super::grid::{COLUMNS, PINS, ROWS, address_at, index_of, pin_on_plate};
use super::spec::{BoardSpec, BoardType};
use crate::domain::Address;

/// Height of a pin above the plate, in board units.
pub(super) const PIN_HEIGHT: f32 = 26.0;
/// Radius of a pin, in board units.
pub(super) const PIN_RADIUS: f32 = 14.0;

/// The lamp, and how its light spreads.
pub(super) struct Light {
    /// Unit vector on the plate, towards the lamp.
    pub(super) toward: [f32; 2],
    /// Linear colour of the light, about 1.
    pub(super) colour: [f32; 3],
    /// Share of the light that comes from all around, as from a ring: 0 for a single lamp, 1 for a ring.
    pub(super) ring: f32,
    /// Length of a pin's shadow in board units.
    pub(super) shadow_length: f32,
    /// How much of the light a shadow takes away, 0..=1.
    pub(super) shadow: f32,
    /// Unevenness: factors of x, y, x², y² and xy, in half widths of the board.
    field: [f32; 5],
}

impl Light {
    /// Brightness at (x, y) on the plate relative to the middle.
    #[inline]
    pub(super) fn field(&self, x: f32, y: f32) -> f32 {
        let (x, y) = (x * (1.0 / 210.0), y * (1.0 / 210.0));
        let [a, b, c, d, e] = self.field;
        1.0 + x * (a + c * x + e * y) + y * (b + d * y)
    }
}

/// The plate under the pins.
pub(super) struct Plate {
    pub(super) albedo: [f32; 3],
    /// Linear colour of the printed letters and numbers.
    pub(super) ink: [f32; 3],
    /// Strength of the fine structure and of the soft clouds, relative to the albedo.
    pub(super) grain: f32,
    pub(super) clouds: f32,
    /// The streak in which brushed metal mirrors the lamp: brightness, x at the middle, slope, half width.
    pub(super) sheen: [f32; 4],
    /// Which part of the textures this plate shows, in texels.
    pub(super) offset: [f32; 2],
    /// What the plate lies on.
    pub(super) bench: [f32; 3],
}

/// The metal of the pins.
pub(super) struct Metal {
    pub(super) tint: [f32; 3],
    /// Brightness of a cap before any highlight.
    pub(super) base: f32,
    /// Brightness of the two highlights that turning marks spread over a cap.
    pub(super) key: f32,
    pub(super) fill: f32,
    /// How narrow those highlights are.
    pub(super) sharpness: f32,
    /// Depth of the turning marks.
    pub(super) marks: f32,
    /// Lamps mirrored in the side of a pin: (angle from the viewer in radians, half width, brightness).
    pub(super) reflections: [[f32; 3]; 3],
}

pub(super) struct Lens {
    /// Standard deviation of the blur, in pixels.
    pub(super) blur: f32,
    /// Light lost in the corners, 0..1.
    pub(super) vignette: f32,
    pub(super) exposure: f32,
    /// Standard deviation of the noise, on the square root of linear light.
    pub(super) noise: f32,
    /// Which part of the noise table this picture shows.
    pub(super) noise_offset: [usize; 2],
}

/// One pin as it happens to stand.
pub(super) struct Pin {
    /// Axis on the plate, in board units.
    pub(super) centre: [f32; 2],
    pub(super) radius: f32,
    /// How far the cap lies beside the base: no pin is perfectly upright.
    pub(super) lean: [f32; 2],
    pub(super) brightness: f32,
    /// Half vectors of the two highlights, on the plate.
    pub(super) key: [f32; 2],
    pub(super) fill: [f32; 2],
    /// Place in the texture of turning marks.
    pub(super) phase: f32,
}

pub(super) struct Scene {
    pub(super) seed: u64,
    pub(super) board_type: BoardType,
    /// Pixels per board unit at the middle of the plate.
    pub(super) scale: f32,
    pub(super) camera: Camera,
    /// From pixels to the plate, and to the plane of the caps.
    pub(super) plate_plane: Homography,
    pub(super) cap_plane: Homography,
    pub(super) light: Light,
    pub(super) plate: Plate,
    pub(super) metal: Metal,
    pub(super) lens: Lens,
    pub(super) pins: [Pin; PINS],
}

impl Scene {
    pub(super) fn new(spec: &BoardSpec) -> Self {
        let board_type = spec.board_type;
        let (width, height) = spec.size();
        let scale = width as f32 / NATIVE_WIDTH as f32;
        let dice = &mut Dice::new(spec.seed, board_type.id());
        let camera = Camera::new(&pose(board_type, dice), scale, [width as f32, height as f32]);
        let light = light(board_type, dice);
        let plate = plate(board_type, &light, dice);
        let metal = metal(board_type, &light, dice);
        let lens = lens(board_type, scale, dice);
        let pins = array::from_fn(|index| pin(address_at(index), &light, dice));
        Self {
            seed: spec.seed,
            board_type,
            scale,
            camera,
            plate_plane: camera.plane(0.0),
            cap_plane: camera.plane(PIN_HEIGHT),
            light,
            plate,
            metal,
            lens,
            pins,
        }
    }

    /// Pixel position of the middle of a good pin's cap.
    pub(super) fn cap_centre(&self, address: Address) -> [f32; 2] {
        let pin = &self.pins[index_of(address)];
        self.camera.project(pin.centre[0] + pin.lean[0], pin.centre[1] + pin.lean[1], PIN_HEIGHT)
    }

    /// Half the width in pixels of a pin's cap.
    pub(super) fn cap_radius_px(&self, address: Address) -> f32 {
        let pin = &self.pins[index_of(address)];
        let edge = self.camera.project(pin.centre[0] + pin.lean[0] + pin.radius, pin.centre[1] + pin.lean[1], PIN_HEIGHT);
        let centre = self.cap_centre(address);
        (edge[0] - centre[0]).hypot(edge[1] - centre[1])
    }

    /// Cap centres in pixels of U1, U9, D9 and D1, as the ideal grid has them: single pins may stand a little off.
    pub(super) fn corners(&self) -> [[f32; 2]; 4] {
        let (bottom, right) = (ROWS as u8 - 1, COLUMNS as u8 - 1);
        [(0, 0), (0, right), (bottom, right), (bottom, 0)].map(|(row, column)| {
            let [x, y] = pin_on_plate(Address { row, column });
            self.camera.project(x, y, PIN_HEIGHT)
        })
    }
}

fn pose(board_type: BoardType, dice: &mut Dice) -> Pose {
    let (distance, tilt) = match board_type {
        BoardType::CylnDst => (dice.range(1150.0, 1400.0), dice.range(0.33, 0.41)),
        BoardType::CylnRaw => (dice.range(720.0, 860.0), dice.range(0.36, 0.45)),
    };
    Pose {
        distance,
        tilt,
        pan: dice.around(0.035),
        roll: dice.around(0.016),
        zoom: dice.range(0.965, 1.0),
        shift: [dice.around(3.0), dice.range(-1.0, 4.0)],
    }
}

fn light(board_type: BoardType, dice: &mut Dice) -> Light {
    match board_type {
        BoardType::CylnDst => Light {
            toward: dice.direction(),
            colour: [dice.range(0.90, 0.97), 1.0, dice.range(1.03, 1.13)],
            ring: dice.range(0.65, 0.85),
            shadow_length: dice.range(3.0, 8.0),
            shadow: dice.range(0.42, 0.58),
            field: [dice.around(0.14), dice.around(0.08), dice.range(-0.38, -0.12), dice.range(-0.5, -0.1), 0.0],
        },
        BoardType::CylnRaw => {
            // From the left or the right and rather from behind, so that shadows fall where the viewer sees them.
            let side = if dice.chance(0.5) { 1.0f32 } else { -1.0 };
            let angle = dice.range(-0.75, 0.3);
            let toward = [side * angle.cos(), angle.sin()];
            let fall = dice.range(0.16, 0.34);
            Light {
                toward,
                colour: [dice.range(1.05, 1.14), 1.0, dice.range(0.78, 0.88)],
                ring: dice.range(0.0, 0.12),
                shadow_length: dice.range(15.0, 24.0),
                shadow: dice.range(0.58, 0.72),
                field: [toward[0] * fall, toward[1] * fall, dice.range(-0.14, 0.0), dice.range(-0.3, 0.0), dice.around(0.1)],
            }
        }
    }
}

fn plate(board_type: BoardType, light: &Light, dice: &mut Dice) -> Plate {
    let offset = [dice.range(0.0, 256.0), dice.range(0.0, 256.0)];
    match board_type {
        BoardType::CylnDst => {
            let green = dice.range(0.85, 1.15);
            Plate {
                albedo: scaled([0.011, 0.049 * green, 0.058], dice.range(0.8, 1.35)),
                ink: scaled([0.70, 0.74, 0.72], dice.range(0.85, 1.1)),
                grain: dice.range(0.035, 0.065),
                clouds: dice.range(0.03, 0.08),
                sheen: [dice.range(0.006, 0.030), dice.around(150.0), dice.around(0.4), dice.range(60.0, 120.0)],
                offset,
                bench: scaled([0.020, 0.021, 0.023], dice.range(0.4, 1.6)),
            }
        }
        BoardType::CylnRaw => {
            let warm = dice.range(-0.03, 0.03);
            Plate {
                albedo: scaled([0.40 + warm, 0.375, 0.335 - warm], dice.range(0.82, 1.08)),
                ink: scaled([0.030, 0.028, 0.030], dice.range(0.7, 1.6)),
                grain: dice.range(0.028, 0.050),
                clouds: dice.range(0.015, 0.04),
                sheen: [dice.range(0.06, 0.18), light.toward[0] * dice.range(40.0, 190.0), dice.around(0.5), dice.range(45.0, 110.0)],
                offset,
                bench: scaled([0.16, 0.105, 0.065], dice.range(0.5, 1.4)),
            }
        }
    }
}

fn metal(board_type: BoardType, light: &Light, dice: &mut Dice) -> Metal {
    let lamp = light.toward[0].clamp(-0.97, 0.97).asin();
    match board_type {
        BoardType::CylnDst => Metal {
            tint: [dice.range(0.93, 0.98), 1.0, dice.range(1.02, 1.08)],
            base: dice.range(0.20, 0.27),
            key: dice.range(0.18, 0.28),
            fill: dice.range(0.06, 0.14),
            sharpness: dice.range(4.0, 6.0),
            marks: dice.range(0.05, 0.08),
            reflections: [
                [dice.range(-0.75, -0.5), dice.range(0.12, 0.2), dice.range(0.35, 0.6)],
                [dice.range(0.5, 0.75), dice.range(0.12, 0.2), dice.range(0.35, 0.6)],
                [dice.around(0.15), 0.35, dice.range(0.10, 0.2)],
            ],
        },
        BoardType::CylnRaw => Metal {
            tint: [dice.range(1.0, 1.05), 1.0, dice.range(0.91, 0.97)],
            base: dice.range(0.15, 0.21),
            key: dice.range(0.50, 0.75),
            fill: dice.range(0.08, 0.18),
            sharpness: dice.range(6.0, 9.0),
            marks: dice.range(0.06, 0.10),
            reflections: [
                [lamp * dice.range(0.55, 0.75), dice.range(0.14, 0.24), dice.range(0.7, 1.1)],
                [-lamp * dice.range(0.65, 0.85), dice.range(0.08, 0.14), dice.range(0.12, 0.25)],
                [lamp * 0.4, 0.6, dice.range(0.15, 0.25)],
            ],
        },
    }
}

fn lens(board_type: BoardType, scale: f32, dice: &mut Dice) -> Lens {
    let (soft, vignette, exposure, noise) = match board_type {
        BoardType::CylnDst => (dice.range(0.30, 0.50), dice.range(0.10, 0.28), dice.range(0.92, 1.2), dice.range(0.0032, 0.0060)),
        BoardType::CylnRaw => (dice.range(0.28, 0.46), dice.range(0.04, 0.16), dice.range(0.95, 1.25), dice.range(0.0026, 0.0050)),
    };
    Lens {
        // The sensor's own softness is the same in any picture's pixels; the lens's grows with the picture, though a larger
        // picture is also taken with a better lens.
        blur: (soft * scale.sqrt()).hypot(0.45),
        vignette,
        exposure,
        noise,
        noise_offset: [dice.pick(256), dice.pick(256)],
    }
}

fn pin(address: Address, light: &Light, dice: &mut Dice) -> Pin {
    let [x, y] = pin_on_plate(address);
    let tilt = [dice.around(0.035), dice.around(0.035)];
    let swing = |toward: [f32; 2], length: f32| [toward[0] * length + tilt[0], toward[1] * length + tilt[1]];
    // The second highlight comes from whatever lies opposite the lamp and aside of it.
    let aside = [-light.toward[1] * 0.8 - light.toward[0] * 0.6, light.toward[0] * 0.8 - light.toward[1] * 0.6];
    Pin {
        centre: [x + dice.around(0.45), y + dice.around(0.45)],
        radius: PIN_RADIUS * dice.range(0.99, 1.01),
        lean: [dice.around(0.35), dice.around(0.35)],
        brightness: dice.range(0.95, 1.05),
        key: swing(light.toward, 0.42),
        fill: swing(aside, 0.38),
        phase: dice.range(0.0, 256.0),
    }
}
