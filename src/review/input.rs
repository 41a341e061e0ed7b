//! What comes into `update`.

use super::{Action, Message};
use crate::domain::{Address, Shown};

/// One thing that happened, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
    /// Randomness for what draws lots; any number will do where nothing is drawn.
    pub seed: u64,
    /// What.
    pub kind: InputKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum InputKind {
    /// A person meant something.
    Action {
        /// What.
        action: Action,
        /// How many times, where a count was typed.
        count: Option<u32>,
    },
    /// A person typed or pasted text.
    Text(String),
    /// A person pointed at something.
    Point(Point),
    /// Work reports.
    Message(Message),
    /// The state as it is now was drawn.
    Drawn {
        /// How the query picture of the sample on the desk was shown.
        shown: Shown,
    },
    /// The terminal has another size.
    Resize(Layout),
    /// Time has passed.
    Tick,
}

/// What a mouse can point at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// A field of the form.
    Field(usize),
    /// An option of the field that has the focus, from 0.
    Choice(usize),
    /// A cell of the address grid on the picture.
    Cell(Address),
    /// A place in the queue, as a row or a thumbnail.
    Row(usize),
    /// A line of what lies on top: a picker's item.
    Item(usize),
    /// A cell of the confusion matrix: label's row, prediction's column.
    Confusion(usize, usize),
    /// The wheel over the picture, towards or away.
    Wheel {
        /// Towards: zoom in.
        closer: bool,
    },
}

/// How much fits on the screen: what moves by rows and pages needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Thumbnails side by side.
    pub sheet_columns: usize,
    /// Rows of thumbnails.
    pub sheet_rows: usize,
    /// Lines of a list.
    pub list_rows: usize,
}

impl Default for Layout {
    fn default() -> Self {
        Self { sheet_columns: 4, sheet_rows: 3, list_rows: 20 }
    }
}
