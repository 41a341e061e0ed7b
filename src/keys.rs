//! Keys and what they mean: chords, keymaps, what may follow, and help made from the keymap in force.
//!
//! Contract: imports `review`'s actions and scopes, and `domain`. Pure: a keymap is read from text, a pressed key
//! with the [`Context`](crate::review::Context) gives an action. A keymap that loads has no two meanings for a key
//! in one place, and no key that can never be reached.

mod chord;
mod help;
mod keymap;
mod load;
mod pending;

pub use chord::{Chord, ChordError, Key, parse_sequence, write_sequence};
pub use help::{HelpRow, Hint};
pub use keymap::{Keymap, Label, Place};
pub use load::{BUILT_IN, Problem};
pub use pending::{Fed, Pending};
