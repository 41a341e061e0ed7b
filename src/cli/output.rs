//! What a command prints: lines for people, or one JSON object.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::domain::printable;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Done: exit code 0.
    Done,
    /// The work found problems, which are printed: exit code 1.
    Problems,
}

/// Why a command could not do its work.
#[derive(Debug)]
pub(super) struct Failure {
    message: String,
    usage: bool,
}

impl Failure {
    /// The work could not be done: exit code 1.
    pub(super) fn new(message: impl Display) -> Self {
        Self { message: message.to_string(), usage: false }
    }

    /// The command was not called right: exit code 2.
    pub(super) fn usage(message: impl Display) -> Self {
        Self { message: message.to_string(), usage: true }
    }

    /// What is printed, safe for a terminal.
    pub(super) fn message(&self) -> String {
        self.message.lines().map(|line| printable(line).into_owned()).collect::<Vec<_>>().join("\n")
    }

    /// 1, or 2 for a wrong call.
    pub(super) fn code(&self) -> u8 {
        if self.usage { 2 } else { 1 }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

/// Standard output, as the caller wants it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether the caller asked for JSON.
    pub(super) fn is_json(self) -> bool {
        self.json
    }

    /// A line for a person; nothing when JSON was asked for. Whatever comes from data is made safe for the terminal.
    pub(super) fn line(self, text: impl Display) {
        if !self.json {
            write_out(&format!("{}\n", printable(&text.to_string())));
        }
    }

    /// The one object of `--json`; nothing for people.
    pub(super) fn object(self, value: &impl Serialize) -> Result<(), Failure> {
        if self.json {
            write_out(&format!("{}\n", serde_json::to_string(value)?));
        }
        Ok(())
    }

    /// Says why a command failed, on standard error, and as an object where JSON was asked for. `more` is a last line for people.
    pub(super) fn failure(self, failure: &Failure, more: Option<&str>) {
        let message = failure.message();
        if self.json {
            write_out(&format!("{}\n", serde_json::json!({ "error": message })));
        }
        let mut stderr = io::stderr().lock();
        let _ = writeln!(stderr, "mekiki: {message}");
        if let Some(more) = more {
            let _ = writeln!(stderr, "{}", printable(more));
        }
    }

    /// A progress bar on standard error that appears only when the work lasts; hidden when nobody looks.
    pub(super) fn progress(self, total: u64, what: &'static str) -> Progress {
        let shown = !self.json && io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = format!("{what} {{bar:30}} {{percent:>3}} %  {{per_sec}}  {{eta}} left");
        // The template is ours and parses; without it the bar would still count.
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        Progress { bar }
    }
}

/// A progress bar that is taken away when the work ends, however it ends.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// So much is done.
    pub(super) fn set(&self, done: u64) {
        // A bar that flashes for work of a moment would only disturb.
        if self.bar.elapsed() > Duration::from_millis(300) {
            self.bar.set_position(done);
        }
    }

    /// So much is to be done.
    pub(super) fn set_total(&self, total: u64) {
        self.bar.set_length(total);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Bytes as they are, for files that another program reads.
pub(super) fn raw(bytes: &[u8]) {
    // A reader that has gone away is no error of ours.
    let _ = io::stdout().lock().write_all(bytes);
}

fn write_out(text: &str) {
    // A reader that has gone away (`mekiki log | head`) is no error of ours.
    let _ = io::stdout().lock().write_all(text.as_bytes());
}
