//! The plate: its surface, edge and mounting holes, the bench below and the dust on top.

use super::canvas::{Canvas, Extent, mix, scaled, smoothstep};
use super::dice::Dice;
use super::scene::Scene;
use super::spec::BoardType;
use super::texture::{BRUSHED, CLOUDS, GRAIN, Texture};

/// Half width and half height of the plate and the radius of its corners, in board units.
const HALF: [f32; 2] = [214.0, 97.0];
const CORNER: f32 = 9.0;
/// Width of the bevel along the outline, with room for a knot's length of curvature.
const BEVEL: f32 = 3.0;
/// Middle of the mounting holes, mirrored into all four corners.
const HOLE: [f32; 2] = [200.0, 84.0];
const HOLE_RADIUS: f32 = 4.2;
/// Pixels between two places at which the slow part of the plate's look is computed.
const KNOT: usize = 8;

/// Paints the empty plate over the whole canvas.
pub(super) fn draw(canvas: &mut Canvas, scene: &Scene) {
    surface(canvas, scene);
    surroundings(canvas, scene);
    for [x, y] in [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]] {
        hole(canvas, scene, [x * HOLE[0], y * HOLE[1]]);
    }
    dust(canvas, scene);
}

fn surface(canvas: &mut Canvas, scene: &Scene) {
    let [by_u, by_v, by_w] = scene.plate_plane.0;
    let texture: &Texture = match scene.board_type {
        BoardType::CylnDst => &GRAIN,
        BoardType::CylnRaw => &BRUSHED,
    };
    let clouds: &Texture = &CLOUDS;
    let (plate, light) = (&scene.plate, &scene.light);
    let [offset_u, offset_v] = plate.offset;
    let [sheen, sheen_x, sheen_slope, sheen_width] = plate.sheen;
    let albedo: [f32; 3] = std::array::from_fn(|i| plate.albedo[i] * light.colour[i]);
    let width = canvas.width;
    // All but the fine structure changes slowly, so it is computed at knots a few pixels apart and interpolated between.
    let knot = |column: usize, y: f32| {
        let x = column as f32 + 0.5;
        let w = 1.0 / (by_w[0] * x + by_w[1] * y + by_w[2]);
        let u = (by_u[0] * x + by_u[1] * y + by_u[2]) * w;
        let v = (by_v[0] * x + by_v[1] * y + by_v[2]) * w;
        let cloud = plate.clouds * clouds.at(u * 0.6 + offset_v, v * 0.6 + offset_u);
        let off = (u - sheen_x - sheen_slope * v) / sheen_width;
        [u, v, light.field(u, v) * (1.0 + cloud), sheen / (1.0 + off * off)]
    };
    // One row of what the plate scatters and what it mirrors; simple loops over rows are what the compiler speeds up.
    let (mut scattered, mut mirrored) = (vec![0.0f32; width + KNOT], vec![0.0f32; width + KNOT]);
    for row in 0..canvas.height {
        let y = row as f32 + 0.5;
        let mut from = knot(0, y);
        let blocks = scattered.chunks_exact_mut(KNOT).zip(mirrored.chunks_exact_mut(KNOT));
        for (start, (scattered, mirrored)) in (0..width).step_by(KNOT).zip(blocks) {
            let to = knot(start + KNOT, y);
            let step: [f32; 4] = std::array::from_fn(|i| (to[i] - from[i]) * (1.0 / KNOT as f32));
            let mut fine = [0.0f32; KNOT];
            texture.line([from[0] * 2.0 + offset_u, from[1] * 2.0 + offset_v], [step[0] * 2.0, step[1] * 2.0], &mut fine);
            for (i, (fine, (scattered, mirrored))) in (0i16..).zip(fine.iter().zip(scattered.iter_mut().zip(mirrored))) {
                let (i, fine) = (f32::from(i), plate.grain * fine);
                *scattered = (from[2] + step[2] * i) * (1.0 + fine);
                *mirrored = (from[3] + step[3] * i) * (1.0 + 3.0 * fine);
            }
            from = to;
        }
        for ((plane, albedo), lamp) in canvas.planes_mut().zip(albedo).zip(light.colour) {
            let pixels = plane[row * width..][..width].iter_mut();
            for (pixel, (scattered, mirrored)) in pixels.zip(scattered.iter().zip(&mirrored)) {
                *pixel = albedo * scattered + lamp * mirrored;
            }
        }
    }
}

/// Repaints what does not lie well inside the plate's outline.
fn surroundings(canvas: &mut Canvas, scene: &Scene) {
    let on_plate = |x: usize, y: usize| scene.plate_plane.apply([x as f32 + 0.5, y as f32 + 0.5]);
    for y in 0..canvas.height {
        for start in (0..canvas.width).step_by(KNOT) {
            let (first, last) = (on_plate(start, y), on_plate(start + KNOT, y));
            if outside(first[0], first[1]).max(outside(last[0], last[1])) < -BEVEL {
                continue;
            }
            for x in start..(start + KNOT).min(canvas.width) {
                let colour = edge(scene, on_plate(x, y), canvas.get(x, y));
                canvas.blend(x, y, colour, 1.0);
            }
        }
    }
}

/// What shows near the border of the plate: a bevel that catches the light, the near side of the plate, and the bench
/// with the plate's shadow.
fn edge(scene: &Scene, [u, v]: [f32; 2], plate: [f32; 3]) -> [f32; 3] {
    let per_px = scene.scale;
    let top = outside(u, v);
    let covered = (0.5 - top * per_px).clamp(0.0, 1.0);
    let bevel = mix(scaled(plate, 1.35), [0.35; 3], 0.12);
    let rim = mix(bevel, plate, smoothstep(-1.2, -2.0, top));
    if covered >= 1.0 {
        return rim;
    }
    let front = outside(u, v - 3.2);
    let toward = scene.light.toward;
    let shadow = outside(u + toward[0] * 5.0, v + toward[1] * 5.0 - 3.0);
    let cloud = 1.0 + 0.25 * CLOUDS.at(u * 0.9, v * 0.9);
    let dark = 0.35 + 0.65 * smoothstep(-1.0, 12.0, shadow);
    let bench = scaled(scene.plate.bench, cloud * dark * scene.light.field(u, v).max(0.2));
    let side = scaled(plate, 0.42);
    let below = mix(bench, side, (0.5 - front * per_px).clamp(0.0, 1.0));
    mix(below, rim, covered)
}

/// Signed distance in board units from the plate's outline, positive outside.
fn outside(u: f32, v: f32) -> f32 {
    let (dx, dy) = (u.abs() - (HALF[0] - CORNER), v.abs() - (HALF[1] - CORNER));
    let (out_x, out_y) = (dx.max(0.0), dy.max(0.0));
    (out_x * out_x + out_y * out_y).sqrt() + dx.max(dy).min(0.0) - CORNER
}

/// A small countersunk hole: a dark bore in a ring that is bright on the side away from the lamp.
fn hole(canvas: &mut Canvas, scene: &Scene, centre: [f32; 2]) {
    let reach = HOLE_RADIUS * 1.8;
    let ring = [[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]]
        .map(|[x, y]| scene.camera.project(centre[0] + x * reach, centre[1] + y * reach, 0.0));
    let extent = Extent::around(&ring, 1.0, canvas);
    for y in extent.y1..extent.y2 {
        for x in extent.x1..extent.x2 {
            let [u, v] = scene.plate_plane.apply([x as f32 + 0.5, y as f32 + 0.5]);
            let (du, dv) = (u - centre[0], v - centre[1]);
            let distance = du.hypot(dv).max(0.01);
            let facing = -(du * scene.light.toward[0] + dv * scene.light.toward[1]) / distance;
            let plate = canvas.get(x, y);
            let sink = scaled(plate, 0.75 + 0.55 * facing);
            let per_px = scene.scale;
            let cover = ((HOLE_RADIUS * 1.5 - distance) * per_px + 0.5).clamp(0.0, 1.0);
            canvas.blend(x, y, sink, cover);
            let bore = scaled(plate, 0.10 + 0.10 * (facing * distance / HOLE_RADIUS).max(0.0));
            let cover = ((HOLE_RADIUS - distance) * per_px + 0.5).clamp(0.0, 1.0);
            canvas.blend(x, y, bore, cover);
        }
    }
}

/// Specks and a few fibres: so faint and small that none could be taken for a defect.
fn dust(canvas: &mut Canvas, scene: &Scene) {
    let mut dice = Dice::new(scene.seed, "dust");
    let count = 12 + dice.pick(40);
    for _ in 0..count {
        let place = [dice.around(208.0), dice.around(92.0)];
        let radius = dice.range(0.35, 0.9) * scene.scale;
        let strength = dice.range(0.06, 0.24);
        let at = scene.camera.project(place[0], place[1], 0.0);
        let extent = Extent::around(&[at], radius + 1.0, canvas);
        for y in extent.y1..extent.y2 {
            for x in extent.x1..extent.x2 {
                let distance = (x as f32 + 0.5 - at[0]).hypot(y as f32 + 0.5 - at[1]);
                let cover = (radius - distance + 0.5).clamp(0.0, 1.0) * strength;
                canvas.blend(x, y, scaled(scene.light.colour, 0.42), cover);
            }
        }
    }
}
