//! Defects of the rim: a chip takes metal away, a burr adds it.

use crate::boards::canvas::{Canvas, Extent, mix, smoothstep};
use crate::boards::dice::Dice;
use crate::boards::pins::{Finish, Stance};
use crate::boards::scene::Scene;
use crate::boards::texture::GRAIN;

pub(in crate::boards) struct Chip {
    /// A point on the rim, in pin radii.
    rim: [f32; 2],
    radius: f32,
    phase: f32,
}

impl Chip {
    /// How deep the broken piece reached, in pin radii.
    const DEPTH: f32 = 0.75;

    pub(super) fn new(dice: &mut Dice) -> Self {
        // Not on the far rim, which hides the broken face and would show only a slightly flattened outline.
        let angle = dice.range(-0.8, std::f32::consts::PI + 0.8);
        Self { rim: [1.04 * angle.cos(), 1.04 * angle.sin()], radius: dice.range(0.54, 0.68), phase: dice.range(0.0, 256.0) }
    }

    /// How deep a spot lies inside the break, in pin radii; negative outside. The border has straight, random facets.
    fn inside(&self, spot: [f32; 2]) -> f32 {
        let from = [spot[0] - self.rim[0], spot[1] - self.rim[1]];
        let angle = from[1].atan2(from[0]);
        let ragged = 0.09 * (angle * 3.0 + self.phase).sin() + 0.06 * (angle * 7.0 + self.phase * 3.0).sin();
        self.radius * (1.0 + ragged) - from[0].hypot(from[1])
    }

    /// Bare fracture: dull, rough, with a bright line where the break begins.
    pub(super) fn mark(&self, spot: [f32; 2], colour: [f32; 3], toward: [f32; 2]) -> [f32; 3] {
        let inside = self.inside(spot);
        if inside < -0.08 {
            return colour;
        }
        let from = [spot[0] - self.rim[0], spot[1] - self.rim[1]];
        // The break slopes down and outwards, so it faces the way the rim does.
        let facing = (self.rim[0] * toward[0] + self.rim[1] * toward[1]) * 0.5 + 0.5;
        let rough = GRAIN.at(spot[0] * 9.0 + self.phase, spot[1] * 9.0) + 0.6 * (from[0] * 11.0 + from[1] * 7.0 + self.phase).sin();
        let lum = (0.045 + 0.11 * facing) * (1.0 + 0.40 * rough).max(0.2) * (1.0 - 0.5 * smoothstep(0.1, 0.5, inside));
        let broken = mix(colour, [lum * 1.05, lum * 0.98, lum * 0.86], smoothstep(-0.01, 0.06, inside));
        let line = (1.0 - (inside - 0.01).abs() / 0.055).max(0.0);
        mix(broken, [0.75; 3], (0.25 + 0.35 * (1.0 - facing)) * line)
    }

    /// Share (0..=1) of a ray that passes through the break without meeting metal. `leaves` is how far below the plane
    /// of the caps, in pin radii, the ray leaves the cylinder.
    pub(in crate::boards) fn opens(&self, spot: [f32; 2], leaves: f32) -> f32 {
        smoothstep(0.02, 0.10, self.inside(spot)) * smoothstep(Self::DEPTH, Self::DEPTH * 0.85, leaves)
    }
}

pub(in crate::boards) struct Burr {
    /// Middle and half width of the arc that carries the burr, in radians.
    angle: f32,
    half: f32,
    /// Length of the longest tooth in pin radii.
    length: f32,
    phase: f32,
}

impl Burr {
    pub(super) fn new(dice: &mut Dice) -> Self {
        Self {
            angle: dice.range(-std::f32::consts::PI, std::f32::consts::PI),
            half: dice.range(0.55, 0.8),
            length: dice.range(0.34, 0.46),
            phase: dice.range(0.0, 256.0),
        }
    }

    /// How far metal stands out beyond the rim in direction `from`, in pin radii: ragged teeth on a rising and falling
    /// skirt.
    fn height(&self, from: [f32; 2]) -> f32 {
        let turn = from[1].atan2(from[0]) - self.angle;
        let turn = turn - (turn / std::f32::consts::TAU).round() * std::f32::consts::TAU;
        let share = turn.abs() / self.half;
        if share >= 1.0 {
            return 0.0;
        }
        let tooth = |count: f32, phase: f32| {
            let place = turn * count + phase;
            let saw = place - place.floor();
            if saw < 0.7 { saw / 0.7 } else { (1.0 - saw) / 0.3 }
        };
        let teeth = 0.34 + 0.46 * tooth(1.5, self.phase) + 0.20 * tooth(3.7, self.phase * 1.7);
        self.length * teeth * (1.0 - share * share).sqrt()
    }

    /// Draws the burr over a finished pin: first its shadow on what lies below, then the bright torn metal.
    pub(in crate::boards) fn draw(&self, canvas: &mut Canvas, scene: &Scene, stance: &Stance, finish: &Finish<'_>, touched: &mut Extent) {
        let extent = stance.extent(canvas, stance.radius * self.length + 4.0);
        let toward = scene.light.toward;
        for y in extent.y1..extent.y2 {
            for x in extent.x1..extent.x2 {
                let from = stance.on_cap(x as f32 + 0.5, y as f32 + 0.5).map(|part| part / stance.radius);
                let rho = from[0].hypot(from[1]);
                if rho < 0.8 {
                    continue;
                }
                let cast = [from[0] + toward[0] * 0.14, from[1] + (toward[1] * 0.14) - 0.10];
                let shadow = self.height(cast) - (cast[0].hypot(cast[1]) - 1.0);
                if rho > 1.0 && self.height(cast) > 0.0 {
                    canvas.blend(x, y, [0.004; 3], 0.55 * smoothstep(-0.05, 0.10, shadow));
                }
                let height = self.height(from);
                if height <= 0.0 {
                    continue;
                }
                let inner = smoothstep(0.86, 0.92, rho);
                let cover = ((1.0 + height - rho) * stance.radius * stance.per_unit + 0.5).clamp(0.0, 1.0) * inner;
                if cover > 0.0 {
                    let angle = from[1].atan2(from[0]);
                    let torn = 0.5 + 0.5 * (angle * 9.0 + self.phase).sin() * (angle * 8.0 + rho * 5.0).cos();
                    let tip = smoothstep(0.0, 1.0, (rho - 0.95) / height.max(0.05));
                    let root = 1.0 - 0.5 * (1.0 - (rho - 0.98).abs() / 0.07).max(0.0);
                    let lum = (0.13 + 0.24 * torn + 0.42 * tip * tip) * root;
                    canvas.blend(x, y, finish.colour.map(|value| value * lum), cover);
                    if cover > 0.4 {
                        touched.add(x, y);
                    }
                }
            }
        }
    }
}
