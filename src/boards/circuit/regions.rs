//! Connected parts of a circuit.

use super::Circuit;

/// How many connected parts of copper, or of ground, lie in the window `[x1, y1, x2, y2]`, looking at nothing outside of
/// it; parts below `least` pixels are left out.
pub(super) fn count(circuit: &Circuit, [x1, y1, x2, y2]: [i32; 4], copper: bool, least: usize) -> usize {
    let (width, height) = ((x2 - x1).max(0) as usize, (y2 - y1).max(0) as usize);
    let mut seen = vec![false; width * height];
    let mut stack = Vec::new();
    let mut parts = 0;
    for start in 0..seen.len() {
        if seen[start] || circuit.at(x1 + (start % width) as i32, y1 + (start / width) as i32) != copper {
            continue;
        }
        let mut size = 0;
        seen[start] = true;
        stack.push(start);
        while let Some(place) = stack.pop() {
            size += 1;
            let (x, y) = (place % width, place / width);
            let beside = [
                (x > 0).then(|| place - 1),
                (x + 1 < width).then_some(place + 1),
                (y > 0).then(|| place - width),
                (y + 1 < height).then_some(place + width),
            ];
            for next in beside.into_iter().flatten() {
                if !seen[next] && circuit.at(x1 + (next % width) as i32, y1 + (next / width) as i32) == copper {
                    seen[next] = true;
                    stack.push(next);
                }
            }
        }
        parts += usize::from(size >= least);
    }
    parts
}
