//! Pictures for terminals: what the terminal can show, pictures encoded for it, and what it holds already.
//!
//! Contract: imports `imaging` (and `domain`) only. Nothing here draws, keeps a global or runs a thread. Only [`query`] talks
//! to a terminal, once, before the interface starts; everything else turns values into bytes that the interface writes.
//!
//! How the interface uses it:
//!
//! 1. Before its first frame, in this order: alternate screen, raw mode, [`query::ask`], [`detect`], then event reading.
//! 2. Workers call [`prepare()`] with a [`Request`]; it blocks, polls a cancel function between its steps, and shares a [`Workshop`].
//! 3. Each frame: [`Sent::show`] with the panes in sight → write `before` → draw the text, with [`Encoded::cells_at`] in the
//!    panes → write `after`. While idle: [`Sent::send_ahead`], one picture at a time.
//! 4. A popup that closed over a picture: [`Sent::damage`]. Ctrl-L, resize, resume, reattach, any `clear`: [`Sent::forget_all`].
//!    On exit, while still on the alternate screen: [`Sent::clear`].
//!
//! Keep pictures off the last row of the screen: a terminal that moves the cursor below a sixel would scroll.

mod detect;
mod encode;
mod halfblocks;
mod iterm2;
mod kitty;
mod order;
mod palette;
mod placement;
mod prepare;
mod protocol;
pub mod query;
mod replies;
mod sent;
mod sixel;

pub use crate::imaging::{Adjust, Frame, GridOverlay, ImageError, Limits, Overlay, ThumbnailCache, View, Zoom};
pub use detect::{Detected, Environment, Note, TmuxClient, WindowSize, detect};
pub use encode::{EncodeError, Encoded, Key, encode};
pub use order::{Arrived, Order, Wanted};
pub use placement::{Colour, PictureId, centred};
pub use prepare::{Content, Look, PrepareError, Prepared, Request, Source, Workshop, prepare};
pub use protocol::{CellSize, Colours, Depth, Protocol, Target};
pub use replies::{Reply, parse};
pub use sent::{Drawn, Pane, Sent};
