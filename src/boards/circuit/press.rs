//! Pictures of a circuit: how two of the same one differ.

use super::{Circuit, Dice};

/// How far two pictures are apart at most, in pixels.
const FARTHEST: i32 = 3;
/// Distance between points of the noise that frays edges, in pixels.
const FRAY: usize = 2;

/// The circuit moved a little, its edges frayed.
pub(super) fn retake(circuit: &Circuit, dice: &mut Dice) -> Circuit {
    let (width, height) = (circuit.width as usize, circuit.height as usize);
    let [dx, dy]: [f32; 2] = std::array::from_fn(|_| if dice.chance(0.4) { 0.0 } else { (dice.normal() * 1.3).clamp(-3.0, 3.0) });
    let fray = dice.range(0.0, 0.34);
    let softness = softened(circuit);
    let (across, down) = (width / FRAY + 2, height / FRAY + 2);
    let noise: Vec<f32> = (0..across * down).map(|_| dice.around(fray)).collect();
    let mut taken = Circuit::empty(circuit.width, circuit.height);
    for (place, copper) in taken.copper.iter_mut().enumerate() {
        let (x, y) = (place % width, place / width);
        let (from_x, from_y) = ((x as f32 - dx).clamp(0.0, (width - 1) as f32), (y as f32 - dy).clamp(0.0, (height - 1) as f32));
        let (left, top) = (from_x as usize, from_y as usize);
        let (right, bottom) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
        let (fx, fy) = (from_x - left as f32, from_y - top as f32);
        let at = |x: usize, y: usize| softness[y * width + x];
        let level =
            (at(left, top) * (1.0 - fx) + at(right, top) * fx) * (1.0 - fy) + (at(left, bottom) * (1.0 - fx) + at(right, bottom) * fx) * fy;
        *copper = level + noise[y / FRAY * across + x / FRAY] * 0.5 + noise[(y + 1) / FRAY * across + (x + 1) / FRAY] * 0.5 > 0.5;
    }
    taken
}

/// How much copper lies within a pixel of each pixel, 0..=1.
fn softened(circuit: &Circuit) -> Vec<f32> {
    let mut soft = Vec::with_capacity(circuit.copper.len());
    for y in 0..circuit.height as i32 {
        for x in 0..circuit.width as i32 {
            let around = (-1..=1).flat_map(|j| (-1..=1).map(move |i| (i, j)));
            soft.push(around.filter(|(i, j)| circuit.near(x + i, y + j)).count() as f32 / 9.0);
        }
    }
    soft
}

/// The circuit with a box taken from a good picture of it, moved to where it fits best around the box.
pub(super) fn heal(circuit: &Circuit, good: &Circuit, [x1, y1, x2, y2]: [u32; 4]) -> Option<Circuit> {
    if (circuit.width, circuit.height) != (good.width, good.height) {
        return None;
    }
    let [x1, y1, x2, y2] = [x1, y1, x2.min(circuit.width), y2.min(circuit.height)].map(|side| side as i32);
    // A frame around the box tells how the pictures lie on each other.
    let frame = (y1 - 14..y2 + 14).flat_map(|y| (x1 - 14..x2 + 14).map(move |x| (x, y)));
    let frame: Vec<(i32, i32)> =
        frame.filter(|(x, y)| circuit.index(*x, *y).is_some() && !((x1..x2).contains(x) && (y1..y2).contains(y))).collect();
    let apart = |(dx, dy): (i32, i32)| frame.iter().filter(|(x, y)| circuit.at(*x, *y) != good.near(x - dx, y - dy)).count();
    let shifts = (-FARTHEST..=FARTHEST).flat_map(|dy| (-FARTHEST..=FARTHEST).map(move |dx| (dx, dy)));
    let (dx, dy) = shifts.min_by_key(|shift| (apart(*shift), shift.0.abs() + shift.1.abs()))?;
    let mut healed = circuit.clone();
    for (x, y) in (y1..y2).flat_map(|y| (x1..x2).map(move |x| (x, y))) {
        if let Some(index) = healed.index(x, y) {
            healed.copper[index] = good.near(x - dx, y - dy);
        }
    }
    Some(healed)
}
