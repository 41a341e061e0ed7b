//! The review screen without a screen: what a person means goes in, what is to be done comes out.
//!
//! Contract: imports `domain` and `conversation` only. [`update`] is deterministic: no I/O, clock, randomness or
//! channel; times and seeds arrive in the [`Input`]. An [`Action`] is what a person means, a [`Message`] what work
//! reports, an [`Effect`] what is asked of the rest of the house. What is accepted is what the last drawn frame
//! showed ([`InputKind::Drawn`]), with what the reviewer has typed since; a decision shows as saved only after the
//! store's message; saves are never dropped, and quitting waits for them.

mod action;
mod desk;
mod editor;
mod effect;
mod entry;
mod form;
mod groups;
mod history;
mod input;
mod look;
mod message;
mod notice;
mod picker;
mod preview;
mod prompt;
mod queue;
mod scope;
mod sheet;
mod state;
mod stats;
mod tasks;
mod text;
mod training;
mod update;

pub use action::{Action, Make, SPECS, Spec};
pub use desk::{Desk, Hold, Picture};
pub use editor::{Editor, Typed, matching_options, typed_value};
pub use effect::{Effect, Grouping, Priority, Query, RequestId, SaveId, SaveKind, Target};
pub use entry::{Answer, Change, Decision, Entry, Revision};
pub use form::{Doubt, Form, How, Standing};
pub use groups::{Group, GroupName, Ungrouped};
pub use history::{Flight, History};
pub use input::{Input, InputKind, Layout, Point};
pub use look::{Face, Look};
pub use message::{Counts, Message, Reason, Refusal, Reverted, View};
pub use notice::{Language, Notice, Notices, Posted, Theme};
pub use picker::{Item, Pick, Picker};
pub use preview::{Left, Preview, PreviewRow, Purpose, Spot};
pub use prompt::{Prompt, Question};
pub use queue::{Near, PAGE, Queue};
pub use scope::{Context, Scope, Typing};
pub use sheet::{MOST_SELECTED, RangeNotHere, Sheet, Whole};
pub use state::{Overlay, Page, Screen, Setup, SpotCheck, State};
pub use stats::{Confusion, FieldStatistics, Pace, Statistics, StatsView};
pub use tasks::{Job, JobKind, JobState, Part, Sources, Tasks};
pub use text::TextInput;
pub use training::{Changed, Ending, Exported};
pub use update::update;
