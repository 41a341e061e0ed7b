//! The red star that marks one pin of an exemplar.

use image::RgbImage;

/// Colour of the star, sRGB.
const RED: [f32; 3] = [226.0, 18.0, 32.0];
/// Colour of its thin outline, which keeps it visible on any ground.
const EDGE: [f32; 3] = [140.0, 0.0, 14.0];

/// Draws a filled red five-pointed star, one point up. `centre` and `radius` (centre to a point) are in pixels. What
/// lies outside the picture is left out.
pub fn star(image: &mut RgbImage, centre: [f32; 2], radius: f32) {
    if !(centre[0].is_finite() && centre[1].is_finite() && radius.is_finite() && radius > 0.0) {
        return;
    }
    let reach = radius + 1.0;
    let within = |value: f32, limit: u32| value.clamp(0.0, limit as f32) as u32;
    let outline = (radius * 0.06).max(0.5);
    for y in within(centre[1] - reach, image.height())..within(centre[1] + reach + 1.0, image.height()) {
        for x in within(centre[0] - reach, image.width())..within(centre[0] + reach + 1.0, image.width()) {
            let depth = depth_inside([x as f32 + 0.5 - centre[0], y as f32 + 0.5 - centre[1]], radius);
            let cover = (depth + 0.5).clamp(0.0, 1.0);
            if cover > 0.0 {
                let inner = (depth - outline + 0.5).clamp(0.0, 1.0);
                let pixel = image.get_pixel_mut(x, y);
                for (channel, value) in pixel.0.iter_mut().enumerate() {
                    let ink = EDGE[channel] + (RED[channel] - EDGE[channel]) * inner;
                    *value = (f32::from(*value) + (ink - f32::from(*value)) * cover + 0.5) as u8;
                }
            }
        }
    }
}

/// How deep (pixels) a point lies inside the star around the origin; negative outside. The star is folded onto one of
/// its ten equal wedges, where a single straight edge remains.
fn depth_inside([x, y]: [f32; 2], radius: f32) -> f32 {
    const WEDGE: f32 = std::f32::consts::TAU / 10.0;
    /// Inner to outer radius of the regular pentagram.
    const WAIST: f32 = 0.381_966;
    let angle = x.atan2(-y).abs() % (2.0 * WEDGE);
    let angle = if angle > WEDGE { 2.0 * WEDGE - angle } else { angle };
    let length = x.hypot(y);
    let point = [length * angle.sin(), length * angle.cos()];
    let (tip, waist) = ([0.0, radius], [radius * WAIST * WEDGE.sin(), radius * WAIST * WEDGE.cos()]);
    let edge = [waist[0] - tip[0], waist[1] - tip[1]];
    let from = [point[0] - tip[0], point[1] - tip[1]];
    (edge[1] * from[0] - edge[0] * from[1]) / edge[0].hypot(edge[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_is_positive_at_the_middle_and_the_points_and_negative_between_them() {
        assert!(depth_inside([0.0, 0.0], 10.0) > 3.0);
        assert!(depth_inside([0.0, -9.0], 10.0) > 0.0);
        assert!(depth_inside([0.0, 9.0], 10.0) < 0.0);
        assert!(depth_inside([0.0, -11.0], 10.0) < 0.0);
    }

    #[test]
    fn a_star_at_the_edge_or_with_odd_numbers_does_no_harm() {
        let mut image = RgbImage::new(20, 10);
        star(&mut image, [0.0, 0.0], 8.0);
        assert!(image.get_pixel(0, 0).0[0] > 200);
        star(&mut image, [f32::NAN, 5.0], 8.0);
        star(&mut image, [-500.0, 5.0], 8.0);
        star(&mut image, [5.0, 5.0], -1.0);
    }
}
