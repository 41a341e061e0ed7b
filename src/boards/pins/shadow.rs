//! The shadow that a pin throws on the plate, and the darkness around its foot.

use super::Stance;
use crate::boards::canvas::Canvas;
use crate::boards::scene::Scene;

/// How far the darkness around the foot reaches, in board units.
const CONTACT: f32 = 7.0;

/// Darkens the plate around one pin.
pub(super) fn draw(canvas: &mut Canvas, scene: &Scene, stance: &Stance) {
    let light = &scene.light;
    // The shadow's far end belongs to the cap; a bent pin moves it.
    let tip: [f32; 2] = std::array::from_fn(|i| stance.cap[i] - stance.base[i] - light.toward[i] * light.shadow_length);
    let length = (tip[0] * tip[0] + tip[1] * tip[1]).max(1e-3);
    // A single lamp draws a firm edge near the foot that softens with distance; a ring has no firm edge at all.
    let (soft_near, soft_far) = (1.5 + 5.0 * light.ring, 4.5 + 4.0 * light.ring);
    let extent = stance.foot_extent(canvas, scene, tip, soft_far.max(CONTACT));
    let (inverse_length, slope) = (1.0 / length, (soft_far - soft_near));
    let mut factors = vec![1.0f32; extent.x2 - extent.x1];
    for y in extent.y1..extent.y2 {
        // Without branches and with 32-bit counters, so that the compiler works on several pixels at once.
        for (factor, x) in factors.iter_mut().zip(extent.x1 as i32..) {
            let at = stance.on_plate(x as f32 + 0.5, y as f32 + 0.5);
            let t = ((at[0] * tip[0] + at[1] * tip[1]) * inverse_length).clamp(0.0, 1.0);
            let (dx, dy) = (at[0] - tip[0] * t, at[1] - tip[1] * t);
            let distance = (dx * dx + dy * dy).sqrt() - stance.radius;
            let soft = soft_near + slope * t;
            let inside = ((soft - distance) / (2.0 * soft)).clamp(0.0, 1.0);
            let shadow = light.shadow * inside * inside * (3.0 - 2.0 * inside) * (1.0 - 0.35 * t);
            let foot = ((at[0] * at[0] + at[1] * at[1]).sqrt() - stance.radius) * (1.0 / CONTACT);
            let contact = (1.0 - foot).clamp(0.0, 1.0);
            let grazing = 0.42 * contact * contact;
            *factor = (1.0 - shadow) * (1.0 - grazing);
        }
        canvas.shade_row(extent.x1, y, &factors);
    }
}
