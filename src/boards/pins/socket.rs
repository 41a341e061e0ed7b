//! The empty hole where a pin is missing.

use super::Stance;
use crate::boards::canvas::{Canvas, Extent, scaled, smoothstep};
use crate::boards::scene::Scene;

/// Depth of the hole in board units.
const DEPTH: f32 = 11.0;

/// Draws a bored hole: a thin lit edge, a wall that is light where it faces the lamp, a nearly black floor.
pub(super) fn draw(canvas: &mut Canvas, scene: &Scene, stance: &Stance, touched: &mut Extent) {
    let radius = stance.radius * 0.80;
    let extent = stance.foot_extent(canvas, scene, [0.0; 2], 1.0);
    let toward = scene.light.toward;
    let lit = scene.light.field(stance.base[0], stance.base[1]);
    let metal: [f32; 3] = std::array::from_fn(|i| (0.5 * scene.plate.albedo[i] + 0.10) * scene.light.colour[i] * lit);
    for y in extent.y1..extent.y2 {
        for x in extent.x1..extent.x2 {
            let at = stance.on_plate(x as f32 + 0.5, y as f32 + 0.5);
            let rho = at[0].hypot(at[1]).max(0.01);
            let facing = -(at[0] * toward[0] + at[1] * toward[1]) / rho;
            let edge = ((radius + 1.6 - rho) * stance.per_unit + 0.5).clamp(0.0, 1.0);
            if edge <= 0.0 {
                continue;
            }
            canvas.blend(x, y, scaled(metal, 0.55 + 0.9 * facing.max(0.0) * facing.max(0.0)), edge * 0.85);
            // The viewer leans over the near edge and therefore sees the far wall, above the floor's rim.
            let floor = at[0].hypot(at[1] - DEPTH * 0.38);
            let deep = smoothstep(radius + 1.0, radius - 2.5, floor);
            let wall = 0.10 + 0.42 * facing.max(0.0);
            let inside = scaled(metal, wall * (1.0 - deep) + 0.022 * deep);
            let cover = ((radius - rho) * stance.per_unit + 0.5).clamp(0.0, 1.0);
            canvas.blend(x, y, inside, cover);
            touched.add(x, y);
        }
    }
}
