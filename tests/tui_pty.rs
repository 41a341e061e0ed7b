//! The real program in a pseudo-terminal: decisions from the keyboard, and a terminal that is left as it was.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;

const MEKIKI: &str = env!("CARGO_BIN_EXE_mekiki");
const LONG: Duration = Duration::from_secs(20);

fn mekiki(home: &Path, project: &Path, arguments: &[&str]) -> Command {
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

fn json(home: &Path, project: &Path, arguments: &[&str]) -> Value {
    let all: Vec<&str> = std::iter::once(MEKIKI).chain(arguments.iter().copied()).chain(["--json"]).collect();
    let output = mekiki(home, project, &all).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {output:?}"))
}

struct Terminal {
    keyboard: File,
    tty: OwnedFd,
    child: Child,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts the review in a terminal of 120 × 40 cells that answers the one question all terminals answer.
    fn start(home: &Path, project: &Path) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let tty = rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        tcsetwinsize(&tty, Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 1200, ws_ypixel: 800 }).unwrap();
        let end = || Stdio::from(tty.try_clone().unwrap());
        let child = mekiki(home, project, &["setsid", "-c", MEKIKI, "review"]).stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let (keyboard, seen) = (File::from(keyboard), Arc::new(Mutex::new(Vec::new())));
        let (mut screen, mut answers, all) = (keyboard.try_clone().unwrap(), keyboard.try_clone().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            let (mut buffer, mut asked) = ([0; 8192], false);
            while let Ok(count) = screen.read(&mut buffer) {
                let mut all = all.lock().unwrap();
                all.extend_from_slice(&buffer[..count]);
                if !asked && contains(&all, "\x1b[5n") {
                    asked = true;
                    answers.write_all(b"\x1b[?62;c\x1b[0n").unwrap();
                }
            }
        });
        Self { keyboard, tty, child, seen }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn wait_for(&self, text: &str) {
        let seen = || contains(&self.seen.lock().unwrap(), text);
        until(seen, || format!("{text:?} in {}", String::from_utf8_lossy(&self.seen.lock().unwrap())));
    }

    /// Waits for the end; the terminal must be as it was.
    fn ended(mut self) {
        until(|| self.child.try_wait().unwrap().is_some(), || "the program's end".to_owned());
        assert!(self.child.wait().unwrap().success());
        assert!(tcgetattr(&self.tty).unwrap().local_modes.contains(LocalModes::ECHO | LocalModes::ICANON));
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

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn until(mut done: impl FnMut() -> bool, what: impl Fn() -> String) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < LONG, "waited in vain for {}", what());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn decisions_are_made_undone_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let (home, project) = (folder.path().join("home"), folder.path().join("demo"));
    std::fs::create_dir(&home).unwrap();
    let made = Command::new(MEKIKI).args(["demo", "--no-review"]).arg(&project).env("HOME", &home).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let approved = |count: u64| {
        until(|| json(&home, &project, &["stats"])["approved"] == count, || format!("{count} approved"));
    };

    let mut terminal = Terminal::start(&home, &project);
    terminal.wait_for("raw-0001");
    terminal.wait_for("undecided");
    terminal.press("a");
    approved(1);
    // The fifth field is the position: two keys name a cell, a third accepts all.
    terminal.press("\x1b[15~c4a");
    approved(2);
    assert_eq!(json(&home, &project, &["show", "raw-0002", "--no-images"])["label"]["position"], "C4");
    terminal.press("u");
    approved(1);
    terminal.press("q");
    terminal.ended();

    let terminal = Terminal::start(&home, &project);
    terminal.wait_for("raw-000");
    terminal.wait_for("undecided");
    let pid = Pid::from_raw(i32::try_from(terminal.child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    terminal.ended();
    assert_eq!(json(&home, &project, &["stats"])["approved"], 1);
}
