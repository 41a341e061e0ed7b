//! Defects as strokes of a brush. The brush lays copper; on a negative it takes it away.

use super::{Circuit, Dice, regions};

/// How often a place is sought for a defect.
const TRIES: usize = 150;
/// How far from the border defects begin, in pixels.
const BORDER: i32 = 12;
/// The fewest pixels that a defect changes: fewer are lost among frayed edges.
const FEWEST: usize = 18;
/// Parts of copper or ground below this size, in pixels, are none.
const SPECK: usize = 10;
/// Parts below this size, in pixels, are none that a conductor would join or leave.
const PART: usize = 60;
/// How far around a stroke connections are looked at, in pixels.
const AROUND: i32 = 22;

/// Where a brush passes: `[x, y, radius]`, a pixel apart.
type Path = Vec<[f32; 3]>;

/// How the brush paints.
#[derive(Clone, Copy)]
struct Brush {
    radius: f32,
    /// The share of pixels that it leaves out: a dry brush.
    dry: f32,
}

impl Brush {
    fn new(dice: &mut Dice, least: f32, most: f32) -> Self {
        let dry = dice.chance(0.25);
        let radius = dice.range(least, most);
        if dry { Self { radius: radius + 1.0, dry: dice.range(0.15, 0.5) } } else { Self { radius, dry: 0.0 } }
    }

    /// A path that bends as it goes.
    fn wander(self, dice: &mut Dice, [x, y]: [f32; 2], angle: f32, length: f32) -> Path {
        let (mut x, mut y, mut angle) = (x, y, angle);
        let (bend, mut swell) = (dice.around(0.16), 1.0);
        let mut path = vec![[x, y, self.radius]];
        for _ in 0..length.round().max(0.0) as usize {
            angle += bend + dice.around(0.25);
            swell = (swell + dice.around(0.12)).clamp(0.65, 1.4);
            (x, y) = (x + angle.cos(), y + angle.sin());
            path.push([x, y, self.radius * swell]);
        }
        path
    }

    /// A path from one point to another, more or less straight.
    fn join(self, dice: &mut Dice, from: [f32; 2], to: [f32; 2]) -> Path {
        let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
        let length = dx.hypot(dy).max(1.0);
        let (sway, waves) = (if dice.chance(0.5) { dice.around(0.1 * length.min(30.0)) } else { 0.0 }, dice.range(0.5, 1.5));
        let mut swell = 1.0;
        (0..=length.ceil() as usize)
            .map(|step| {
                let share = step as f32 / length.ceil();
                let aside = sway * (share * waves * std::f32::consts::TAU).sin() / length;
                swell = (swell + dice.around(0.15_f32)).clamp(0.7, 1.4);
                [from[0] + dx * share - dy * aside, from[1] + dy * share + dx * aside, self.radius * swell]
            })
            .collect()
    }

    /// The pixels that would change from ground to copper.
    fn pixels(self, circuit: &Circuit, path: &Path, dice: &mut Dice) -> Vec<(i32, i32)> {
        let mut pixels = Vec::new();
        for [x, y, radius] in path {
            let reach = radius.ceil() as i32;
            let (middle_x, middle_y) = (x.floor() as i32, y.floor() as i32);
            for py in middle_y - reach..=middle_y + reach {
                for px in middle_x - reach..=middle_x + reach {
                    let inside = (px as f32 + 0.5 - x).hypot(py as f32 + 0.5 - y) <= *radius;
                    if inside && circuit.index(px, py).is_some() && !circuit.at(px, py) {
                        pixels.push((px, py));
                    }
                }
            }
        }
        pixels.sort_unstable();
        pixels.dedup();
        pixels.retain(|_| self.dry == 0.0 || !dice.chance(self.dry));
        pixels
    }
}

/// Joins two parts of the copper; the box of what changed. With `any`, also places of one part, so that ground is cut off.
pub(super) fn bridge(circuit: &mut Circuit, dice: &mut Dice, any: bool) -> Option<[u32; 4]> {
    let edges = edges(circuit);
    (0..TRIES).find_map(|_| {
        let (start, angle) = outward(circuit, &edges, dice)?;
        let angle = angle + dice.normal() * 0.35;
        let toward = [angle.cos(), angle.sin()];
        let gap = (2..52).find(|step| {
            let at = along(start, toward, *step as f32);
            circuit.index(at[0] as i32, at[1] as i32).is_none() || circuit.at(at[0] as i32, at[1] as i32)
        })?;
        let end = along(start, toward, gap as f32);
        // Short ways are the usual ones.
        if gap < 4 || !inside(circuit, end) || !dice.chance((-(gap as f32) / 24.0).exp()) {
            return None;
        }
        let brush = Brush::new(dice, 1.3, 4.0);
        let path = brush.join(dice, along(start, toward, -1.5), along(start, toward, gap as f32 + 1.5));
        let painted = brush.pixels(circuit, &path, dice);
        attempt(circuit, &painted, PART, |before, after| after.0 < before.0 || (any && after.1 > before.1))
    })
}

/// Lets a part of the copper grow outwards, joining nothing; the box of what changed.
pub(super) fn bump(circuit: &mut Circuit, dice: &mut Dice) -> Option<[u32; 4]> {
    let edges = edges(circuit);
    (0..TRIES).find_map(|_| {
        let (start, angle) = outward(circuit, &edges, dice)?;
        let angle = angle + dice.normal() * 0.55;
        let brush = Brush::new(dice, 1.4, 3.7);
        let length = dice.range(3.0, 15.0);
        let path = brush.wander(dice, along(start, [angle.cos(), angle.sin()], -1.0), angle, length);
        let painted = brush.pixels(circuit, &path, dice);
        let touches = painted.iter().any(|(x, y)| neighbours(*x, *y).into_iter().any(|(x, y)| circuit.at(x, y)));
        if touches { attempt(circuit, &painted, SPECK, |before, after| before == after) } else { None }
    })
}

/// Lays copper that touches nothing; the box of what changed.
pub(super) fn blot(circuit: &mut Circuit, dice: &mut Dice) -> Option<[u32; 4]> {
    (0..TRIES).find_map(|_| {
        let start = [dice.range(0.0, circuit.width as f32), dice.range(0.0, circuit.height as f32)];
        if !inside(circuit, start) || circuit.at(start[0] as i32, start[1] as i32) {
            return None;
        }
        let brush = Brush::new(dice, 1.6, 4.8);
        let (angle, length) = (dice.range(0.0, std::f32::consts::TAU), dice.range(0.0, 18.0));
        let path = brush.wander(dice, start, angle, length);
        let painted = brush.pixels(circuit, &path, dice);
        let alone = path.iter().all(|[x, y, radius]| {
            let clear = radius + 2.5;
            (0..12).all(|turn| {
                let angle = turn as f32 * std::f32::consts::TAU / 12.0;
                [0.5, 1.0]
                    .iter()
                    .all(|share| !circuit.near((x + clear * share * angle.cos()) as i32, (y + clear * share * angle.sin()) as i32))
            })
        });
        if alone { attempt(circuit, &painted, SPECK, |_, _| true) } else { None }
    })
}

/// Paints, where connections between parts of at least so many pixels become what they should and enough changes; else leaves the circuit as it was.
fn attempt(
    circuit: &mut Circuit,
    painted: &[(i32, i32)],
    least: usize,
    wanted: impl Fn((usize, usize), (usize, usize)) -> bool,
) -> Option<[u32; 4]> {
    if painted.len() < FEWEST {
        return None;
    }
    let fold = |pick: fn(&(i32, i32)) -> i32| {
        let values = painted.iter().map(pick);
        values.clone().min().zip(values.max())
    };
    let ((x1, x2), (y1, y2)) = (fold(|p| p.0)?, fold(|p| p.1)?);
    let window =
        [(x1 - AROUND).max(0), (y1 - AROUND).max(0), (x2 + AROUND).min(circuit.width as i32), (y2 + AROUND).min(circuit.height as i32)];
    let parts = |circuit: &Circuit| (regions::count(circuit, window, true, least), regions::count(circuit, window, false, least));
    let before = parts(circuit);
    let set = |circuit: &mut Circuit, copper| {
        for (x, y) in painted {
            if let Some(index) = circuit.index(*x, *y) {
                circuit.copper[index] = copper;
            }
        }
    };
    set(circuit, true);
    if wanted(before, parts(circuit)) {
        return Some([x1 as u32, y1 as u32, x2 as u32 + 1, y2 as u32 + 1]);
    }
    set(circuit, false);
    None
}

/// The copper's pixels that have ground beside them.
fn edges(circuit: &Circuit) -> Vec<(i32, i32)> {
    let (width, height) = (circuit.width as i32, circuit.height as i32);
    let places = (BORDER..height - BORDER).flat_map(|y| (BORDER..width - BORDER).map(move |x| (x, y)));
    places.filter(|(x, y)| circuit.at(*x, *y) && neighbours(*x, *y).into_iter().any(|(x, y)| !circuit.at(x, y))).collect()
}

fn neighbours(x: i32, y: i32) -> [(i32, i32); 4] {
    [(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)]
}

/// A place on the copper's edge, and the angle at which it looks outwards.
fn outward(circuit: &Circuit, edges: &[(i32, i32)], dice: &mut Dice) -> Option<([f32; 2], f32)> {
    let (x, y) = *edges.get(dice.pick(edges.len()))?;
    let (mut dx, mut dy) = (0, 0);
    for (i, j) in (-4..=4).flat_map(|j| (-4..=4).map(move |i| (i, j))) {
        if !circuit.near(x + i, y + j) {
            (dx, dy) = (dx + i, dy + j);
        }
    }
    ((dx, dy) != (0, 0)).then(|| ([x as f32 + 0.5, y as f32 + 0.5], (dy as f32).atan2(dx as f32)))
}

fn along(from: [f32; 2], toward: [f32; 2], length: f32) -> [f32; 2] {
    [from[0] + toward[0] * length, from[1] + toward[1] * length]
}

fn inside(circuit: &Circuit, [x, y]: [f32; 2]) -> bool {
    let border = BORDER as f32;
    x >= border && y >= border && x < circuit.width as f32 - border && y < circuit.height as f32 - border
}
