//! The terminal: how it shows pictures, how wide its letters are, and what lies between it and this program.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;

use super::{Section, within};
use crate::graphics::query::{self, Answers};
use crate::graphics::{Depth, Detected, Environment, detect};

/// Two letters of two columns each.
const WIDE: &str = "目利";
/// How long the terminal may take to answer: more than the review screen waits, which a slow link or a busy machine outlasts.
const LIMIT: Duration = Duration::from_secs(3);
/// Beyond the questions' own limits: a terminal that takes no bytes at all (Ctrl-S) holds up whoever writes.
const PATIENCE: Duration = Duration::from_millis(500);

/// A terminal as far as it has answered.
pub(super) struct Asked {
    /// What it is.
    pub(super) detected: Detected,
    answers: Answers,
    /// The columns that [`WIDE`] takes.
    wide: Option<u16>,
}

/// Asks the terminal; fails with why it cannot be asked. It never takes longer than the questions' limits, and leaves the terminal's
/// mode as it was.
pub(super) fn ask(for_program: bool) -> Result<Asked, &'static str> {
    let shown = io::stdout().is_terminal() || for_program && io::stderr().is_terminal();
    if !io::stdin().is_terminal() || !shown {
        return Err("this is no terminal: input or output goes to a file or another program");
    }
    let tty = std::fs::File::options().read(true).write(true).open("/dev/tty").map_err(|_| "there is no terminal that could be asked")?;
    // Whoever asks from the background is stopped by the system.
    let front = rustix::termios::tcgetpgrp(tty.as_fd()).is_ok_and(|group| group == rustix::process::getpgrp());
    if !front {
        return Err("this runs in the background, where a terminal cannot be asked");
    }
    let before = tcgetattr(tty.as_fd()).map_err(|_| "the terminal's mode cannot be read")?;
    let copy = tty.try_clone().map_err(|_| "the terminal cannot be opened twice")?;
    let environment = Environment::of_process();
    let asked = within(2 * LIMIT + PATIENCE, move || {
        let answers = query::ask(&copy, &environment, LIMIT).ok()?;
        // A terminal that is silent would be silent again.
        let wide = if answers.bytes.is_empty() { None } else { query::columns(&copy, WIDE, LIMIT / 2).ok().flatten() };
        let detected = detect(&environment, &answers.bytes, answers.window, answers.client.as_ref(), None);
        Some(Asked { detected, answers, wide })
    });
    match asked {
        Some(Some(asked)) => Ok(asked),
        Some(None) => Err("the terminal cannot be written to"),
        None => {
            // The thread that still waits can no longer do it.
            let _ = tcsetattr(tty.as_fd(), OptionalActions::Now, &before);
            Err("the terminal takes nothing (Ctrl-Q lets a stopped one go on)")
        }
    }
}

/// What there is to say of the terminal.
pub(super) fn look(for_program: bool) -> Section {
    let mut section = Section::new("terminal");
    let environment = Environment::of_process();
    let ssh = ["SSH_CONNECTION", "SSH_TTY"].iter().any(|name| std::env::var_os(name).is_some());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    section.line("TERM", if environment.term.is_empty() { "not set" } else { &environment.term });
    section.line("SSH", if ssh { "yes" } else { "no" });
    section.set("term", environment.term.clone());
    section.set("ssh", ssh);
    section.set("tmux", environment.tmux);
    section.set("locale", json!(locale));
    let unicode = locale.as_deref().is_some_and(|locale| {
        let folded = locale.to_ascii_lowercase().replace('-', "");
        folded.contains("utf8")
    });
    section.line("locale", locale.as_deref().unwrap_or("not set"));
    if !unicode {
        section.hint(
            "the locale is not a UTF-8 one: programs beside this one may garble Japanese",
            "export LANG=C.UTF-8 (or ja_JP.UTF-8) in your shell's start-up file",
        );
    }
    if environment.term.is_empty() || environment.term == "dumb" {
        section.wrong(
            "TERM names no terminal that a screen can be drawn on",
            "start from a terminal, or set TERM to what it is (xterm-256color is often right)",
        );
    }
    match ask(for_program) {
        Err(why) => {
            section.line("asked", format_args!("no: {why}"));
            section.set("asked", false);
            section.set("why", why);
        }
        Ok(asked) => told(&mut section, &environment, &asked),
    }
    section
}

fn told(section: &mut Section, environment: &Environment, asked: &Asked) {
    let Asked { detected, answers, wide } = asked;
    section.set("asked", true);
    section.line("is", detected.terminal.as_deref().unwrap_or("does not say its name"));
    section.line("pictures", format_args!("{} ('mekiki doctor --terminal' shows all ways)", detected.protocol));
    section.line("cell", format_args!("{} × {} pixels", detected.cell.width, detected.cell.height));
    if let Some(window) = answers.window.filter(|window| window.columns > 0 && window.rows > 0) {
        section.line("window", format_args!("{} × {} cells", window.columns, window.rows));
        section.set("window", json!([window.columns, window.rows]));
        if window.columns < 80 || window.rows < 24 {
            section.hint("the review screen needs 80 × 24 cells", "enlarge the window, or make the font smaller");
        }
    }
    let depth = match detected.depth {
        Depth::True => "24-bit",
        Depth::Palette => "256",
        Depth::Sixteen => "16",
    };
    section.line("colours", depth);
    section.set("name", json!(detected.terminal));
    section.set("protocol", detected.protocol.name());
    section.set("cell", json!([detected.cell.width, detected.cell.height]));
    section.set("colours", depth);
    section.set("background", json!(detected.background));
    section.set("wide_columns", json!(wide));
    match wide {
        Some(4) => section.line("Japanese", "two columns a letter"),
        Some(other) => {
            section.line("Japanese", format_args!("{WIDE} takes {other} columns where 4 are right"));
            section.wrong(
                "the terminal's letters do not have the width that Unicode gives them",
                "use a UTF-8 locale in the terminal too (tmux: start it with 'tmux -u'), and a font with Japanese letters",
            );
        }
        None => section.line("Japanese", "width not told"),
    }
    if detected.tmux {
        let passes = answers.client.as_ref().map(|client| client.passthrough);
        section.line(
            "tmux",
            match passes {
                Some(true) => "yes, lets pictures through (allow-passthrough)",
                Some(false) => "yes, and lets no pictures through",
                None => "yes; it does not say what it lets through",
            },
        );
        section.set("passthrough", json!(passes));
        if detected.depth != Depth::True {
            section.hint(
                "tmux takes the terminal outside to have no 24-bit colours",
                "where it has them, add to ~/.tmux.conf: set -as terminal-features ',*:RGB'  and start tmux anew",
            );
        }
    } else {
        section.line("tmux", if environment.multiplexer { "no, another multiplexer" } else { "no" });
    }
    for note in &detected.notes {
        let text = note.to_string();
        match text.split_once("; ") {
            Some((what, help)) => section.hint(what, help),
            None => section.hint(&text, "a terminal with kitty's graphics, iTerm2's images or sixel shows pictures sharp"),
        }
    }
    section.set("notes", json!(detected.notes.iter().map(ToString::to_string).collect::<Vec<_>>()));
}
