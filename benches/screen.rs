//! What a key costs on the screen: `cargo bench --bench screen [-- --samples 1000000] [--project DIR]`.
//!
//! The real program runs in a pseudo-terminal of 120 × 40 cells of 9 × 18 pixels. Each step types one key, waits until nothing
//! is written for a while, and counts bytes and the time from the key to the last byte of the frame that answers it; what comes
//! later are pictures of the next samples, sent while nothing else is to do. The samples are moved between when their pictures
//! have had time to be made. Without `--project`, a demo is made, which is predicted meanwhile; `--samples` adds rows to it that
//! show the same pictures.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

const MEKIKI: &str = env!("CARGO_BIN_EXE_mekiki");
/// Silence after which a step is over.
const QUIET: Duration = Duration::from_millis(150);
/// The longest time that a step takes: while predictions come, it is never quiet.
const LONGEST: Duration = Duration::from_millis(300);
/// The longest wait for the first pictures.
const PATIENCE: Duration = Duration::from_secs(5);
/// Moves per protocol.
const MOVES: usize = 120;

/// What ends the update of a frame.
const FRAME_END: &[u8] = b"\x1b[?2026l";

/// Bytes that came at once.
struct Written {
    at: Instant,
    count: usize,
    /// Whether a frame was whole with them.
    drawn: bool,
}

/// What followed a key: times in milliseconds after it.
#[derive(Default)]
struct Answer {
    /// Until the screen had answered, and all bytes, with those of pictures that are sent ahead while nothing else is to do.
    bytes: (usize, usize),
    first: f64,
    frame: f64,
    last: f64,
}

/// The program in a terminal; what it writes arrives with its time.
struct Session {
    keyboard: File,
    child: Child,
    written: Receiver<Written>,
    _tty: OwnedFd,
}

impl Session {
    fn start(home: &Path, project: &Path, protocol: &str) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let tty = rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        tcsetwinsize(&tty, Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 1080, ws_ypixel: 720 }).unwrap();
        let end = || Stdio::from(tty.try_clone().unwrap());
        let child = command(home, "setsid")
            .args(["-c", MEKIKI, "review", "--images", protocol, "--reviewer", "bench", "-C"])
            .arg(project)
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let keyboard = File::from(keyboard);
        let (mut screen, mut answers) = (keyboard.try_clone().unwrap(), keyboard.try_clone().unwrap());
        let (sender, written) = channel();
        std::thread::spawn(move || {
            let (mut buffer, mut all, mut ends, mut asked) = (vec![0; 1 << 16], Vec::new(), Vec::new(), false);
            while let Ok(count) = screen.read(&mut buffer) {
                let now = Instant::now();
                if !asked {
                    all.extend_from_slice(&buffer[..count]);
                    asked = all.windows(4).any(|window| window == b"\x1b[5n");
                    if asked {
                        answers.write_all(b"\x1b[6;18;9t\x1b[?62;c\x1b[0n").unwrap();
                    }
                }
                ends.extend_from_slice(&buffer[..count]);
                let drawn = ends.windows(FRAME_END.len()).any(|window| window == FRAME_END);
                ends.drain(..ends.len().saturating_sub(FRAME_END.len() - 1));
                if count == 0 || sender.send(Written { at: now, count, drawn }).is_err() {
                    return;
                }
            }
        });
        Self { keyboard, child, written, _tty: tty }
    }

    /// What came until it is quiet, or until there was enough time.
    fn until_quiet(&self, quiet: Duration, most: Duration) -> Vec<Written> {
        let started = Instant::now();
        let mut all = Vec::new();
        while started.elapsed() < most {
            match self.written.recv_timeout(quiet) {
                Ok(written) => all.push(written),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        all
    }

    /// Types, and waits for all that follows.
    fn press(&mut self, keys: &str) -> Option<Answer> {
        while self.written.try_recv().is_ok() {}
        let started = Instant::now();
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        let all = self.until_quiet(QUIET, LONGEST);
        let after = |at: Instant| milliseconds(at - started);
        let mut answer = Answer { first: after(all.first()?.at), last: after(all.last()?.at), ..Answer::default() };
        for written in &all {
            answer.bytes.1 += written.count;
            if answer.frame == 0.0 {
                answer.bytes.0 += written.count;
                answer.frame = if written.drawn { after(written.at) } else { 0.0 };
            }
        }
        Some(answer)
    }

    /// The most memory the program has had, in MB.
    fn peak(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
        Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn command(home: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    for folder in ["XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "HOME"] {
        command.env(folder, home);
    }
    for unset in ["TMUX", "STY", "ZELLIJ", "NO_COLOR", "TERM_PROGRAM", "LC_ALL"] {
        command.env_remove(unset);
    }
    command.env("TERM", "xterm-256color").env("COLORTERM", "truecolor").env("LANG", "C.UTF-8");
    command
}

/// A demo with this many rows; the ones beyond the demo's own show its pictures again.
fn project(home: &Path, samples: usize) -> PathBuf {
    let demo = home.join("demo");
    let made = command(home, MEKIKI).args(["demo", "--no-review"]).arg(&demo).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    if samples > 240 {
        let rows = std::fs::read_to_string(demo.join("samples.jsonl")).unwrap();
        let rows: Vec<serde_json::Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let path = demo.join("more.jsonl");
        let mut out = std::io::BufWriter::new(File::create(&path).unwrap());
        for nth in 0..samples - rows.len() {
            let mut row = rows[nth % rows.len()].clone();
            row["id"] = format!("more-{nth:07}").into();
            writeln!(out, "{row}").unwrap();
        }
        out.flush().unwrap();
        let made = command(home, MEKIKI).arg("import").arg(&path).arg("-C").arg(&demo).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    demo
}

fn at(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| arguments.iter().position(|argument| argument == name).and_then(|place| arguments.get(place + 1));
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_owned();
    let samples = option("--samples").map_or(240, |count| count.parse().unwrap());
    let project = option("--project").map_or_else(|| project(&home, samples), PathBuf::from);
    println!(
        "{:14} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11} {:>11} {:>7} {:>8}",
        "protocol",
        "start ms",
        "shown ms",
        "first p50",
        "frame p50",
        "frame p99",
        "frame max",
        "last p50",
        "frame bytes",
        "all bytes",
        "flag B",
        "peak MB"
    );
    for protocol in ["kitty", "kitty-direct", "half-blocks", "sixel", "iterm2"] {
        let started = Instant::now();
        let mut session = Session::start(&home, &project, protocol);
        // The questions come first; the first frame is what comes after the answers.
        let first = session.written.recv_timeout(Duration::from_secs(20)).map(|_| ());
        let start = first.ok().and_then(|()| session.written.recv_timeout(Duration::from_secs(20)).ok());
        let shown = session.until_quiet(Duration::from_secs(1), PATIENCE);
        let since = |written: Option<&Written>| written.map_or(f64::NAN, |written| milliseconds(written.at - started));
        // There and back again within what is fetched ahead, slowly forward.
        let answers: Vec<Answer> = (0..MOVES).filter_map(|nth| session.press(if nth % 4 == 3 { "k" } else { "j" })).collect();
        let flagged = session.press("f").map_or(0, |answer| answer.bytes.0);
        let sorted = |of: fn(&Answer) -> f64| {
            let mut list: Vec<f64> = answers.iter().map(of).collect();
            list.sort_by(f64::total_cmp);
            list
        };
        let frames = sorted(|answer| answer.frame);
        println!(
            "{protocol:14} {:>9.0} {:>9.0} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>9.1} {:>11.0} {:>11.0} {flagged:>7} {:>8.0}",
            since(start.as_ref()),
            since(shown.last()),
            at(&sorted(|answer| answer.first), 0.5),
            at(&frames, 0.5),
            at(&frames, 0.99),
            at(&frames, 1.0),
            at(&sorted(|answer| answer.last), 0.5),
            at(&sorted(|answer| answer.bytes.0 as f64), 0.5),
            at(&sorted(|answer| answer.bytes.1 as f64), 0.5),
            session.peak().unwrap_or(f64::NAN),
        );
        session.press("q");
        let _ = session.child.kill();
        let _ = session.child.wait();
    }
}
