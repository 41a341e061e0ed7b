//! Something spilt and dried on a pin.

use crate::boards::canvas::{mix, smoothstep};
use crate::boards::dice::Dice;
use crate::boards::texture::CLOUDS;

/// What oil, grease and rust let through of the metal's colour.
const TINTS: [[f32; 3]; 3] = [[0.32, 0.15, 0.045], [0.20, 0.12, 0.06], [0.42, 0.18, 0.05]];

pub(in crate::boards) struct Stain {
    /// Blots as (x, y, radius); the first is the large one.
    blots: [[f32; 3]; 3],
    /// What the stain lets through of the metal's colour.
    tint: [f32; 3],
    /// Place in the noise that makes the border irregular.
    phase: [f32; 2],
}

impl Stain {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let out = dice.range(0.1, 0.45);
        let middle = dice.direction().map(|part| part * out);
        let radius = dice.range(0.52, 0.66);
        let mut drop = || {
            let (away, distance) = (dice.direction(), radius + dice.range(-0.1, 0.12));
            [middle[0] + away[0] * distance, middle[1] + away[1] * distance, dice.range(0.12, 0.24)]
        };
        let blots = [[middle[0], middle[1], radius], drop(), drop()];
        Self { blots, tint: TINTS[dice.pick(TINTS.len())], phase: [dice.range(0.0, 256.0), dice.range(0.0, 256.0)] }
    }

    pub(super) fn mark(&self, spot: [f32; 2], colour: [f32; 3]) -> [f32; 3] {
        let noise = |fine: f32| CLOUDS.at(spot[0] * fine + self.phase[0], spot[1] * fine + self.phase[1]);
        let uneven = (0.75 * noise(24.0) + 0.45 * noise(61.0)).clamp(-1.4, 1.4);
        let depth = self
            .blots
            .iter()
            .map(|[x, y, radius]| radius * (1.0 + 0.24 * uneven) - (spot[0] - x).hypot(spot[1] - y))
            .fold(f32::MIN, f32::max);
        let cover = smoothstep(-0.03, 0.05, depth);
        // What dries collects at the border.
        let border = smoothstep(0.20, 0.03, depth);
        let body = 0.70 + 0.10 * uneven;
        let stained = std::array::from_fn(|i| colour[i] * self.tint[i] * (1.0 - 0.5 * border) + 0.012 * self.tint[i]);
        mix(colour, stained, cover * (body + 0.2 * border).clamp(0.0, 1.0))
    }
}
