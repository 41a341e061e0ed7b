//! Good circuits: areas, buses of conductors, pads with and without holes. Whatever is laid keeps a clear strip of ground
//! around itself, as a conductor of another net would.

use super::{Circuit, Dice, press};
use crate::domain::Symmetry;

/// A piece of copper.
#[derive(Clone, Copy)]
enum Shape {
    /// A conductor with round ends: both ends and half its width.
    Strip([f32; 2], [f32; 2], f32),
    /// A ring or disc: middle, outer radius.
    Disc([f32; 2], f32),
    /// `[x1, y1, x2, y2]`, its corners cut off by so much.
    Plate([f32; 4], f32),
}

/// Half the width of a conductor: most are narrow.
fn half_width(dice: &mut Dice) -> f32 {
    if dice.chance(0.3) { dice.range(7.0, 26.0) } else { dice.range(2.6, 7.0) }
}

/// A picture that is being drawn.
struct Sheet {
    circuit: Circuit,
    side: f32,
}

pub(super) fn draw(dice: &mut Dice, side: u32) -> Circuit {
    let mut sheet = Sheet { circuit: Circuit::empty(side, side), side: side as f32 };
    if dice.chance(0.4) {
        sheet.area(dice);
    }
    for _ in 0..=dice.pick(2) {
        match dice.pick(6) {
            0 | 1 => sheet.bus(dice),
            2 => sheet.rings(dice),
            3 => sheet.pads(dice),
            4 => sheet.discs(dice),
            _ => sheet.stray(dice),
        }
    }
    if dice.chance(0.35) {
        sheet.stray(dice);
    }
    if dice.chance(0.06) {
        sheet.circuit.invert();
    }
    press::retake(&sheet.circuit.turned(Symmetry::numbered(dice.pick(8))), dice)
}

impl Sheet {
    /// A point anywhere, also a little outside.
    fn anywhere(&self, dice: &mut Dice) -> [f32; 2] {
        std::array::from_fn(|_| dice.range(-0.05, 1.05) * self.side)
    }

    /// Sides of two or three large areas.
    fn area(&mut self, dice: &mut Dice) {
        for _ in 0..=dice.pick(2) {
            let ([x, y], reach) = (self.anywhere(dice), [dice.range(0.15, 0.8), dice.range(0.15, 0.8)]);
            let plate = [x - reach[0] * self.side, y - reach[1] * self.side, x + reach[0] * self.side, y + reach[1] * self.side];
            let corner = if dice.chance(0.6) { dice.range(0.0, 60.0) } else { 0.0 };
            self.lay(&[Shape::Plate(plate, corner)], dice.range(5.0, 14.0));
            if dice.chance(0.4) {
                let [x, y] = self.anywhere(dice);
                self.clear(Shape::Disc([x, y], dice.range(6.0, 30.0)), 0.0);
            }
        }
    }

    /// Conductors side by side, straight or with a bend, some of them ending in pads.
    fn bus(&mut self, dice: &mut Dice) {
        let (half, gap) = (half_width(dice), dice.range(5.0, 22.0));
        let pitch = 2.0 * half + gap;
        let (count, mut x) = (1 + dice.pick(8), dice.range(-0.2, 0.8) * self.side);
        let bend = match dice.pick(3) {
            0 => None,
            _ => Some((dice.range(0.15, 0.85) * self.side, if dice.chance(0.5) { 1.0 } else { -1.0 })),
        };
        let ends = dice.chance(0.35).then(|| (dice.range(0.3, 0.8) * self.side, dice.range(1.0, 1.8)));
        for place in 0..count {
            let mut shapes = Vec::new();
            let mut end = self.side + 20.0;
            if let Some((y, swell)) = ends {
                end = y;
                shapes.push(Shape::Strip([x, y], [x, y + 6.0 + half * 4.0], (half * swell).min(half + gap / 2.6)));
            }
            match bend {
                Some((at, way)) => {
                    // Bends lie on a diagonal, so that the distance stays.
                    let y = (at - way * place as f32 * pitch * 0.414).min(end);
                    let far = self.side * 1.5;
                    if ends.is_some() {
                        shapes.push(Shape::Strip([x, end], [x, y], half));
                        shapes.push(Shape::Strip([x, y], [x + way * far, y - far], half));
                    } else {
                        shapes.push(Shape::Strip([x, -20.0], [x, y], half));
                        shapes.push(Shape::Strip([x, y], [x + way * far, y + far], half));
                    }
                }
                None => shapes.push(Shape::Strip([x, -20.0], [x, end], half)),
            }
            self.lay(&shapes, gap.min(8.0));
            x += pitch;
        }
    }

    /// Large round pads with holes, each with a conductor or none.
    fn rings(&mut self, dice: &mut Dice) {
        let (radius, hole) = (dice.range(13.0, 36.0), dice.range(0.3, 0.78));
        let pitch = radius * 2.0 + dice.range(8.0, 50.0);
        let [x, y] = [dice.range(0.0, pitch), dice.range(0.0, pitch)];
        let (columns, rows) = (1 + dice.pick(3), 1 + dice.pick(3));
        let off = [dice.around(radius * 0.2), dice.around(radius * 0.25)];
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            let middle = [x + column as f32 * pitch, y + row as f32 * pitch];
            let mut shapes = vec![Shape::Disc(middle, radius)];
            if dice.chance(0.45) {
                shapes.extend(self.run(dice, middle));
            }
            self.lay(&shapes, dice.range(4.0, 9.0));
            if dice.chance(0.85) {
                self.clear(Shape::Disc([middle[0] + off[0], middle[1] + off[1]], radius * hole), 0.0);
            }
        }
    }

    /// A row of oblong or square pads.
    fn pads(&mut self, dice: &mut Dice) {
        let (half, length) = (dice.range(5.0, 16.0), dice.range(8.0, 60.0));
        let pitch = 2.0 * half + dice.range(8.0, 30.0);
        let [x, y] = self.anywhere(dice);
        let square = dice.chance(0.5);
        for place in 0..2 + dice.pick(5) {
            let x = x * 0.5 + place as f32 * pitch;
            let mut shapes = vec![if square {
                Shape::Plate([x - half, y - length / 2.0, x + half, y + length / 2.0], 0.0)
            } else {
                Shape::Strip([x, y - length / 2.0], [x, y + length / 2.0], half)
            }];
            if dice.chance(0.4) {
                shapes.push(Shape::Strip(
                    [x, y],
                    [x, if dice.chance(0.5) { -20.0 } else { self.side + 20.0 }],
                    dice.range(2.6, half * 0.7),
                ));
            }
            self.lay(&shapes, 6.0);
        }
    }

    /// Small discs here and there.
    fn discs(&mut self, dice: &mut Dice) {
        for _ in 0..=dice.pick(8) {
            let radius = dice.range(4.5, 13.0);
            let middle = self.anywhere(dice);
            let mut shapes = vec![Shape::Disc(middle, radius)];
            if dice.chance(0.5) {
                shapes.extend(self.run(dice, middle));
            }
            self.lay(&shapes, dice.range(4.0, 8.0));
        }
    }

    /// A conductor with bends between two discs.
    fn stray(&mut self, dice: &mut Dice) {
        let middle = self.anywhere(dice);
        let mut shapes = self.run(dice, middle);
        shapes.push(Shape::Disc(middle, dice.range(4.0, 12.0)));
        self.lay(&shapes, dice.range(4.0, 9.0));
    }

    /// A conductor that goes on in eighths of a turn.
    fn run(&self, dice: &mut Dice, from: [f32; 2]) -> Vec<Shape> {
        let half = half_width(dice);
        let (mut at, mut eighth) = (from, dice.pick(8) as i32);
        let mut shapes = Vec::new();
        for _ in 0..=dice.pick(4) {
            let angle = eighth as f32 * std::f32::consts::FRAC_PI_4;
            let length = dice.range(0.1, 0.7) * self.side;
            let next = [at[0] + angle.cos() * length, at[1] + angle.sin() * length];
            shapes.push(Shape::Strip(at, next, half));
            at = next;
            eighth += if dice.chance(0.5) { 1 } else { -1 };
        }
        if dice.chance(0.4) {
            shapes.push(Shape::Disc(at, half + dice.range(1.0, 7.0)));
        }
        shapes
    }

    /// Lays the pieces of a net, with ground around them.
    fn lay(&mut self, shapes: &[Shape], gap: f32) {
        for shape in shapes {
            self.clear(*shape, gap);
        }
        for shape in shapes {
            self.paint(*shape, 0.0, true);
        }
    }

    fn clear(&mut self, shape: Shape, wider: f32) {
        self.paint(shape, wider, false);
    }

    fn paint(&mut self, shape: Shape, wider: f32, copper: bool) {
        let ([x1, y1], [x2, y2]) = match shape {
            Shape::Strip(a, b, half) => ([a[0].min(b[0]) - half, a[1].min(b[1]) - half], [a[0].max(b[0]) + half, a[1].max(b[1]) + half]),
            Shape::Disc([x, y], radius) => ([x - radius, y - radius], [x + radius, y + radius]),
            Shape::Plate([x1, y1, x2, y2], _) => ([x1, y1], [x2, y2]),
        };
        let within = |value: f32| value.clamp(0.0, self.side) as u32;
        for y in within(y1 - wider)..within(y2 + wider + 1.0) {
            for x in within(x1 - wider)..within(x2 + wider + 1.0) {
                if shape.holds([x as f32 + 0.5, y as f32 + 0.5], wider) {
                    self.circuit.copper[(y * self.circuit.width + x) as usize] = copper;
                }
            }
        }
    }
}

impl Shape {
    /// Whether a point lies in the shape or within `wider` pixels of it.
    fn holds(self, [x, y]: [f32; 2], wider: f32) -> bool {
        match self {
            Self::Strip(a, b, half) => {
                let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
                let square = (dx * dx + dy * dy).max(1e-6);
                let share = (((x - a[0]) * dx + (y - a[1]) * dy) / square).clamp(0.0, 1.0);
                (x - a[0] - share * dx).hypot(y - a[1] - share * dy) <= half + wider
            }
            Self::Disc(middle, radius) => (x - middle[0]).hypot(y - middle[1]) <= radius + wider,
            Self::Plate([x1, y1, x2, y2], corner) => {
                let (left, top) = ((x - x1 + wider).min(x2 + wider - x), (y - y1 + wider).min(y2 + wider - y));
                left >= 0.0 && top >= 0.0 && left + top >= corner
            }
        }
    }
}
