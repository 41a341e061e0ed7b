//! What a mouse points at.

use crate::domain::{Address, FieldKind, Value, ValueOrigin};
use crate::review::state::{Overlay, Screen};
use crate::review::{Action, Point, State};

impl State {
    /// Does what pointing there means; pointing past things means nothing.
    pub(super) fn point(&mut self, point: Point) {
        if let Some(overlay) = &mut self.overlay {
            if let (Point::Item(line), Overlay::Picker(picker)) = (point, overlay)
                && line < picker.visible().len()
            {
                picker.put_cursor(line);
                self.act(Action::Commit, None);
            }
            return;
        }
        if self.quitting || !self.fits(point) {
            return;
        }
        match point {
            Point::Field(field) => {
                if let Some(desk) = &mut self.desk {
                    desk.ask(field);
                }
            }
            Point::Choice(option) => drop(self.choose(option + 1)),
            Point::Cell(address) => self.point_at_cell(address),
            Point::Wheel { closer } => drop(self.look.act(if closer { Action::ZoomIn } else { Action::ZoomOut })),
            Point::Row(row) => {
                if row == self.queue.cursor {
                    self.act(Action::Open, None);
                } else {
                    self.go_to(row);
                }
            }
            Point::Confusion(row, column) => {
                self.stats.go_to(row, column);
                self.open_cell();
            }
            Point::Item(_) => {}
        }
    }

    fn fits(&self, point: Point) -> bool {
        match point {
            Point::Field(field) => self.screen == Screen::Sample && field < self.schema.fields().len(),
            Point::Choice(_) | Point::Cell(_) | Point::Wheel { .. } => self.screen == Screen::Sample,
            Point::Row(row) => matches!(self.screen, Screen::Sheet | Screen::Queue) && row < self.queue.len(),
            Point::Confusion(..) => self.screen == Screen::Stats,
            Point::Item(_) => false,
        }
    }

    /// An address is given to the address field that has the focus, else to the first one.
    fn point_at_cell(&mut self, address: Address) {
        let value = Value::Address(Some(address));
        let Some(desk) = &mut self.desk else { return };
        let is_address = |field: usize| matches!(desk.form.fields()[field].kind, FieldKind::Address { .. });
        let place = std::iter::once(desk.focus).chain(0..desk.form.fields().len()).find(|field| is_address(*field));
        if let Some(field) = place {
            desk.focus = field;
            desk.give(&value, &ValueOrigin::Typed);
        }
    }
}
