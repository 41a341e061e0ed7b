//! Heat colours: the oxide film that straw, purple and blue come from.

use crate::boards::canvas::mix;
use crate::boards::dice::Dice;
use crate::boards::texture::CLOUDS;

/// Share of each channel that the film returns, cold to hot.
const COLOURS: [[f32; 3]; 5] = [[1.02, 0.72, 0.26], [0.95, 0.46, 0.14], [0.62, 0.20, 0.34], [0.26, 0.20, 0.66], [0.20, 0.40, 0.92]];

pub(in crate::boards) struct Heat {
    /// Where it was hottest, and how quickly heat falls off from there, in pin radii.
    source: [f32; 2],
    reach: f32,
    phase: [f32; 2],
}

impl Heat {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let out = dice.range(0.2, 0.9);
        Self {
            source: dice.direction().map(|part| part * out),
            reach: dice.range(1.7, 2.3),
            phase: [dice.range(0.0, 256.0), dice.range(0.0, 256.0)],
        }
    }

    pub(super) fn mark(&self, spot: [f32; 2], colour: [f32; 3]) -> [f32; 3] {
        let uneven = CLOUDS.at(spot[0] * 12.0 + self.phase[0], spot[1] * 12.0 + self.phase[1]);
        let distance = (spot[0] - self.source[0]).hypot(spot[1] - self.source[1]) / self.reach;
        let heat = (1.0 - distance + 0.06 * uneven).clamp(0.0, 0.999) * (COLOURS.len() - 1) as f32;
        let stage = heat as usize;
        let film = mix(COLOURS[stage], COLOURS[stage + 1], heat - stage as f32);
        mix(colour, std::array::from_fn(|i| colour[i] * film[i]), 0.76)
    }
}
