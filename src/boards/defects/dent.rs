//! A smooth hollow in the cap.

use crate::boards::canvas::smoothstep;
use crate::boards::dice::Dice;

pub(in crate::boards) struct Dent {
    middle: [f32; 2],
    /// Radius and the stretch of the hollow along `axis`.
    radius: f32,
    stretch: f32,
    axis: [f32; 2],
}

impl Dent {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let out = dice.range(0.10, 0.38);
        Self {
            middle: dice.direction().map(|part| part * out),
            radius: dice.range(0.42, 0.54),
            stretch: dice.range(0.85, 1.2),
            axis: dice.direction(),
        }
    }

    /// The wall on the lamp's side turns away from the light and darkens, the opposite wall brightens.
    pub(super) fn mark(&self, spot: [f32; 2], colour: [f32; 3], toward: [f32; 2]) -> [f32; 3] {
        let from = [spot[0] - self.middle[0], spot[1] - self.middle[1]];
        let along = from[0] * self.axis[0] + from[1] * self.axis[1];
        let across = from[1] * self.axis[0] - from[0] * self.axis[1];
        let share = (along / self.stretch).hypot(across * self.stretch) / self.radius;
        if share >= 1.15 {
            return colour;
        }
        // Slope of the wall: none in the middle and at the border, steepest between.
        let slope = smoothstep(0.0, 0.65, share) * smoothstep(1.05, 0.72, share);
        let length = from[0].hypot(from[1]).max(0.01);
        let facing = (from[0] * toward[0] + from[1] * toward[1]) / length * slope;
        let floor = 1.0 - 0.30 * smoothstep(0.9, 0.3, share);
        let bright = 0.42 * (-facing).max(0.0) * (-facing).max(0.0);
        let dark = 1.0 - 0.86 * facing.max(0.0).sqrt() * slope;
        // Pressed metal: the raised border catches a thin light.
        let border = 0.10 * smoothstep(0.88, 1.0, share) * smoothstep(1.15, 1.02, share);
        colour.map(|value| value * floor * dark + bright + border)
    }
}
