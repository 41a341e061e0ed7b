//! The real program in a pseudo-terminal.
#![allow(clippy::unwrap_used, dead_code)]

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;

pub(crate) const MEKIKI: &str = env!("CARGO_BIN_EXE_mekiki");
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A command that knows no home but this one.
pub(crate) fn mekiki(home: &Path, project: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(arguments[0]);
    command.args(&arguments[1..]).arg("-C").arg(project).args(["--reviewer", "aki"]);
    for folder in ["XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "HOME"] {
        command.env(folder, home);
    }
    for unset in ["TMUX", "STY", "ZELLIJ", "NO_COLOR", "COLORTERM", "TERM_PROGRAM", "LC_ALL"] {
        command.env_remove(unset);
    }
    command.env("TERM", "xterm-256color").env("LANG", "C.UTF-8");
    command
}

/// What a command prints with `--json`.
pub(crate) fn json(home: &Path, project: &Path, arguments: &[&str]) -> Value {
    let all: Vec<&str> = std::iter::once(MEKIKI).chain(arguments.iter().copied()).chain(["--json"]).collect();
    let output = mekiki(home, project, &all).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {output:?}"))
}

/// A terminal of 120 × 40 cells with the program in it.
pub(crate) struct Terminal {
    keyboard: File,
    tty: OwnedFd,
    /// The program.
    pub(crate) child: Child,
    seen: Arc<Mutex<Vec<u8>>>,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts the review in a terminal of 120 × 40 cells that answers the one question all terminals answer.
    pub(crate) fn start(home: &Path, project: &Path) -> Self {
        Self::run(home, project, &[MEKIKI, "review"])
    }

    /// The same with another program and its arguments, which are followed by the project's.
    pub(crate) fn run(home: &Path, project: &Path, program: &[&str]) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let tty = rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        tcsetwinsize(&tty, Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 1200, ws_ypixel: 800 }).unwrap();
        let end = || Stdio::from(tty.try_clone().unwrap());
        let arguments: Vec<&str> = ["setsid", "-c"].into_iter().chain(program.iter().copied()).collect();
        let child = mekiki(home, project, &arguments).stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let (keyboard, seen) = (File::from(keyboard), Arc::new(Mutex::new(Vec::new())));
        let parser = Arc::new(Mutex::new(vt100::Parser::new(NonZero::new(40).unwrap(), NonZero::new(120).unwrap(), 0)));
        let cells = Arc::clone(&parser);
        let (mut screen, mut answers, all) = (keyboard.try_clone().unwrap(), keyboard.try_clone().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count) = screen.read(&mut buffer) {
                cells.lock().unwrap().process(&buffer[..count]);
                let mut all = all.lock().unwrap();
                // The question may come in two pieces.
                let known = all.len().saturating_sub(3);
                all.extend_from_slice(&buffer[..count]);
                // Every time it starts, it asks.
                if contains(&all[known..], "\x1b[5n") {
                    answers.write_all(b"\x1b[?62;c\x1b[0n").unwrap();
                }
            }
        });
        Self { keyboard, tty, child, seen, screen: parser }
    }

    /// Types.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Whether the terminal echoes and hands over lines, as a shell leaves it.
    pub(crate) fn is_plain(&self) -> bool {
        tcgetattr(&self.tty).unwrap().local_modes.contains(LocalModes::ECHO | LocalModes::ICANON)
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let (wide, tall) = (NonZero::new(columns).unwrap(), NonZero::new(rows).unwrap());
        self.screen.lock().unwrap().screen_mut().set_size(tall, wide);
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: columns * 10, ws_ypixel: rows * 20 };
        tcsetwinsize(&self.tty, size).unwrap();
    }

    /// What the terminal shows, line by line.
    pub(crate) fn lines(&self) -> Vec<String> {
        let parser = self.screen.lock().unwrap();
        let columns = parser.screen().size().1;
        parser.screen().rows(0, columns.into()).collect()
    }

    /// Waits until the screen is so.
    pub(crate) fn wait_until(&self, what: &str, shown: impl Fn(&[String]) -> bool) {
        until(|| shown(&self.lines()), || format!("{what} on\n{}", self.lines().join("\n")));
    }

    /// How many bytes were written so far.
    pub(crate) fn written(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Waits for a text in what was written.
    pub(crate) fn wait_for(&self, text: &str) {
        let seen = || contains(&self.seen.lock().unwrap(), text);
        until(seen, || format!("{text:?} in {}", String::from_utf8_lossy(&self.seen.lock().unwrap())));
    }

    /// Waits for the end; the terminal must be as it was.
    pub(crate) fn ended(mut self) {
        until(|| self.child.try_wait().unwrap().is_some(), || "the program's end".to_owned());
        assert!(self.child.wait().unwrap().success());
        assert!(self.is_plain());
        self.wait_for("\x1b[?1049l");
        self.wait_for("\x1b[?25h");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a text stands in bytes.
pub(crate) fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Waits until something is so.
pub(crate) fn until(mut done: impl FnMut() -> bool, what: impl Fn() -> String) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < LONG, "waited in vain for {}", what());
        std::thread::sleep(Duration::from_millis(20));
    }
}
