//! The terminal: what happened there goes into `review`, what it shows is drawn from its state.
//!
//! Contract: imports `review`, `keys`, `domain`, `conversation` and `graphics` only; effects leave through [`Wires`], results
//! come in through the [`Inbox`], and `cli` knits both to the work. The terminal is given back however this ends: on return,
//! on a panic, on SIGTERM and SIGHUP, and for the time of a suspension. Drawing only reads: it never decodes, encodes, locks
//! or waits. Whatever comes from data goes through `domain::printable` before it is drawn.

mod events;
mod frame;
mod gallery;
mod guard;
mod input;
mod theme;
mod view;

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub use events::run;
pub use gallery::{Order, Wanted};

use crate::graphics::{Arrived, Protocol, Target};
use crate::keys::{Keymap, Pending};
use crate::review::{Effect, Message, Setup, State};

/// Something that happened.
#[derive(Debug)]
pub enum Incoming {
    /// At the keyboard, the mouse or the window.
    Terminal(crossterm::event::Event),
    /// Work reports.
    Message(Message),
    /// A picture was made.
    Picture(Arrived),
    /// The program is to end.
    End,
}

/// Where everything that happens is handed in.
pub type Inbox = SyncSender<Incoming>;

/// How much may wait to be handled before those who hand in wait themselves.
const MOST_WAITING: usize = 4096;

/// An inbox and its other end.
pub fn inbox() -> (Inbox, Receiver<Incoming>) {
    sync_channel(MOST_WAITING)
}

/// Takes the list of all pictures that are wanted now, the most urgent first.
pub type Orders = Box<dyn FnMut(Vec<Order>)>;

/// What leaves the terminal.
pub struct Wires {
    /// Takes an effect; it does not wait.
    pub effects: Box<dyn FnMut(Effect)>,
    /// Starts the making of pictures for the terminal that was found.
    pub pictures: Box<dyn FnOnce(Target) -> io::Result<Orders>>,
}

/// What the reviewer has chosen.
#[derive(Debug)]
pub struct Options {
    /// What the review begins with.
    pub setup: Setup,
    /// The keys.
    pub keymap: Keymap,
    /// How pictures are shown, where the terminal's own answer is not wanted.
    pub images: Option<Protocol>,
    /// Whether there are colours.
    pub colours: bool,
    /// The project's name.
    pub title: String,
}

/// What the screen shows of a state without any picture, in a window of that size.
pub fn sketch(state: &State, keymap: &Keymap, title: &str, width: u16, height: u16) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    let pending = Pending::default();
    let paint =
        view::Paint { state, keymap, hints: &[], pending: &pending, theme: theme::Theme::new(state.theme, true), title, detected: None };
    let mut scene = view::draw(&paint, area, &mut buffer);
    view::draw_covers(&paint, area, &mut buffer, &mut scene);
    buffer
}
