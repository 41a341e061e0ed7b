//! Defects that are lines: scratches (bright, straight, side by side) and cracks (dark, jagged, forked).

use crate::boards::canvas::{from_segment, mix, smoothstep};
use crate::boards::dice::Dice;

/// A line of joined points with a half width at its start and end, all in pin radii.
struct Strand {
    points: Vec<[f32; 2]>,
    widths: [f32; 2],
}

impl Strand {
    /// Signed distance from the nearest piece in units of the line's half width there, and how far along it lies (0..=1).
    fn distance(&self, spot: [f32; 2]) -> (f32, f32) {
        let pieces = (self.points.len() - 1) as f32;
        let mut best = (f32::MAX, 0.0);
        for (piece, pair) in self.points.windows(2).enumerate() {
            let ([dx, dy], t) = from_segment(spot, pair[0], pair[1]);
            let side = (pair[1][0] - pair[0][0]) * dy - (pair[1][1] - pair[0][1]) * dx;
            let distance = (dx * dx + dy * dy).sqrt().copysign(side);
            if distance.abs() < best.0.abs() {
                best = (distance, (piece as f32 + t) / pieces);
            }
        }
        (best.0 / (self.widths[0] + (self.widths[1] - self.widths[0]) * best.1), best.1)
    }
}

pub(in crate::boards) struct Scratch {
    strands: Vec<Strand>,
}

impl Scratch {
    /// One long groove across the cap, slightly curved, with a shorter, finer one on each side.
    pub(super) fn new(dice: &mut Dice) -> Self {
        let along = dice.direction();
        let across = [-along[1], along[0]];
        let offset = dice.around(0.28);
        let curve = dice.around(0.10);
        let half = dice.range(0.72, 0.92);
        let beside = [1.0, -1.0].map(|side: f32| (side, dice.range(0.14, 0.30), dice.around(0.35), dice.range(0.3, 0.6)));
        let mut strand = |aside: f32, from: f32, to: f32, width: f32| {
            let points = (0..=6)
                .map(|i| {
                    let t = from + (to - from) * i as f32 / 6.0;
                    let sideways = offset + aside + curve * t * t;
                    std::array::from_fn(|axis| along[axis] * t + across[axis] * sideways)
                })
                .collect();
            Strand { points, widths: [width, width * dice.range(0.5, 0.8)] }
        };
        let mut strands = vec![strand(0.0, -half, half, 0.062)];
        for (side, aside, middle, length) in beside {
            strands.push(strand(side * aside, (middle - length) * half, (middle + length) * half, 0.034));
        }
        Self { strands }
    }

    pub(super) fn mark(&self, spot: [f32; 2], colour: [f32; 3]) -> [f32; 3] {
        let mut out = colour;
        for strand in &self.strands {
            let (distance, t) = strand.distance(spot);
            let ends = smoothstep(0.0, 0.22, t) * smoothstep(1.0, 0.80, t);
            let lip = (1.0 - (distance - 2.0).abs() / 1.4).max(0.0) * ends;
            out = out.map(|value| value * (1.0 - 0.80 * lip));
            let core = (1.0 - distance * distance * 0.5).max(0.0) * ends;
            out = mix(out, [0.92; 3], core);
        }
        out
    }
}

pub(in crate::boards) struct Crack {
    strands: Vec<Strand>,
}

impl Crack {
    /// Starts down on the side, climbs over the rim and runs jagged across most of the cap, with two forks.
    pub(super) fn new(dice: &mut Dice) -> Self {
        // The side that the viewer sees carries the beginning of the crack.
        let angle = std::f32::consts::FRAC_PI_2 + dice.around(1.1);
        let inward = [-angle.cos(), -angle.sin()];
        let across = [-inward[1], inward[0]];
        let reach = dice.range(1.45, 1.75);
        let side = if dice.chance(0.5) { 1.0 } else { -1.0 };
        let main: Vec<[f32; 2]> = (0..=9)
            .map(|i| {
                let t = -1.75 + (1.75 - 1.0 + reach) * i as f32 / 9.0;
                let jag = (if i % 2 == 0 { 1.0 } else { -1.0 }) * dice.range(0.05, 0.13) * side;
                std::array::from_fn(|axis| inward[axis] * t + across[axis] * jag)
            })
            .collect();
        let mut fork = |start: [f32; 2], turn: f32| {
            let mut points = vec![start];
            let mut at = start;
            for i in 0..3 {
                let swerve = turn + dice.around(0.25) + if i % 2 == 0 { 0.35 } else { -0.35 };
                let step = dice.range(0.17, 0.23);
                at = std::array::from_fn(|axis| at[axis] + (inward[axis] + across[axis] * swerve) * step);
                points.push(at);
            }
            Strand { points, widths: [0.042, 0.026] }
        };
        let forks = [fork(main[4], 0.9 * side), fork(main[6], -0.9 * side)];
        let mut strands = vec![Strand { points: main, widths: [0.070, 0.038] }];
        strands.extend(forks);
        Self { strands }
    }

    pub(super) fn mark(&self, spot: [f32; 2], colour: [f32; 3]) -> [f32; 3] {
        let dark = self
            .strands
            .iter()
            .map(|strand| {
                let (distance, t) = strand.distance(spot);
                smoothstep(1.7, 0.6, distance.abs()) * smoothstep(1.0, 0.95, t)
            })
            .fold(0.0, f32::max);
        mix(colour, [0.006; 3], 0.96 * dark)
    }
}
