//! The terminal, taken and given back.

use std::fs::File;
use std::io::{self, Write};
use std::panic;
use std::sync::Once;

use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture};
use crossterm::queue;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use rustix::process::{Signal, getpid, kill_process};

/// How the names of those threads begin whose panics are caught, so that the screen goes on.
const CAUGHT: &str = "predicting";

/// The alternate screen in raw mode, until this is dropped.
pub(super) struct Guard {
    tty: File,
}

impl Guard {
    /// Takes the terminal. A panic from now on gives it back before it is told, unless it is caught and told as a failed job.
    pub(super) fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let told = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                if std::thread::current().name().is_none_or(|name| !name.starts_with(CAUGHT)) {
                    give_back();
                    told(info);
                } else {
                    tracing::error!("{info}");
                }
            }));
        });
        let guard = Self { tty: File::options().read(true).write(true).open("/dev/tty")? };
        enter(&guard.tty)?;
        Ok(guard)
    }

    /// The terminal itself.
    pub(super) fn tty(&self) -> &File {
        &self.tty
    }

    /// Reports of mouse and pasted text from now on: after the terminal's answers have been read.
    pub(super) fn listen(&self) -> io::Result<()> {
        let mut bytes = Vec::new();
        queue!(bytes, EnableMouseCapture, EnableBracketedPaste)?;
        (&self.tty).write_all(&bytes)
    }

    /// Back to the shell until it brings the program to the front again.
    pub(super) fn suspend(&self) -> io::Result<()> {
        give_back();
        kill_process(getpid(), Signal::TSTP)?;
        // Here the program goes on.
        enter(&self.tty)?;
        self.listen()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        give_back();
    }
}

fn enter(mut tty: &File) -> io::Result<()> {
    enable_raw_mode()?;
    let mut bytes = Vec::new();
    queue!(bytes, EnterAlternateScreen, Hide)?;
    tty.write_all(&bytes)
}

/// Nothing more can be done where the terminal is gone.
fn give_back() {
    let mut bytes = Vec::new();
    let queued = queue!(bytes, DisableBracketedPaste, DisableMouseCapture, LeaveAlternateScreen, Show);
    if let (Ok(()), Ok(mut tty)) = (queued, File::options().write(true).open("/dev/tty")) {
        // The end of a synchronized update, should one have been cut short.
        let _ = tty.write_all(b"\x1b[?2026l\x1b[0m").and_then(|()| tty.write_all(&bytes));
    }
    let _ = disable_raw_mode();
}
