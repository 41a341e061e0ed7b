//! Asking the terminal, once, before anything reads the keyboard.
//!
//! Raw mode first, all questions in one write, the one that every terminal answers (DSR) last; then up to a time limit for the
//! answers, and what arrives late is drained, so that it is not read as keys. The terminal's mode is restored however this ends.
//! Inside tmux the questions are asked again, wrapped to reach the terminal outside.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcgetwinsize, tcsetattr};

use super::replies::PROBE;
use super::{CellSize, Environment, Reply, TmuxClient, WindowSize, parse};

/// The image number in the question to the nearest terminal.
pub const INNER_ID: u32 = 4_211_001;
/// The image number in the question through tmux.
pub const OUTER_ID: u32 = 4_211_002;
/// The most time that asking takes.
pub const LIMIT: Duration = Duration::from_secs(1);
/// Silence after the last answer that counts as its end.
const QUIET: Duration = Duration::from_millis(20);

/// What was learnt from a terminal, for [`super::detect`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// Everything it sent.
    pub bytes: Vec<u8>,
    /// Its window.
    pub window: Option<WindowSize>,
    /// What tmux says of the terminal outside.
    pub client: Option<TmuxClient>,
}

/// The questions to the nearest terminal: XTVERSION, kitty graphics, cell size, background, sixel colours, whether a 24-bit
/// colour is kept, DA1, DSR.
///
/// tmux and screen take an application command for the pane's title, so that they are not asked about kitty graphics.
pub fn questions(environment: &Environment) -> Vec<u8> {
    let multiplexed =
        environment.tmux || environment.multiplexer || ["tmux", "screen"].iter().any(|name| environment.term.starts_with(name));
    let kitty = if multiplexed { String::new() } else { format!("\x1b_Gi={INNER_ID},s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\") };
    let [r, g, b] = PROBE;
    let colour = format!("\x1b[48;2;{r};{g};{b}m\x1bP$qm\x1b\\\x1b[0m");
    format!("\x1b[>q{kitty}\x1b[16t\x1b]11;?\x1b\\\x1b[?1;1;0S{colour}\x1b[c\x1b[5n").into_bytes()
}

/// The questions to the terminal outside of tmux.
pub fn outer_questions() -> Vec<u8> {
    let mut out = Vec::new();
    let kitty = format!("\x1b_Gi={OUTER_ID},s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\");
    for question in ["\x1b[>q", &kitty, "\x1b[5n"] {
        super::placement::through_tmux(&mut out, question.as_bytes());
    }
    out
}

/// The window's size now; it changes with the font, too.
pub fn window(tty: impl AsFd) -> Option<WindowSize> {
    let size = tcgetwinsize(tty).ok()?;
    Some(WindowSize { columns: size.ws_col, rows: size.ws_row, width: size.ws_xpixel, height: size.ws_ypixel })
}

/// Asks a terminal and waits at most `limit` for its answers. Whether this runs inside tmux is known from the environment or
/// found out by asking; tmux is then told to let this pane's escapes through. A terminal that is silent costs the whole limit.
/// Keys that are pressed meanwhile are lost.
pub fn ask(tty: impl AsFd, environment: &Environment, limit: Duration) -> io::Result<Answers> {
    let tty = tty.as_fd();
    let deadline = Instant::now() + limit;
    let client = if environment.tmux { tmux_client(deadline) } else { None };
    let raw = Raw::enter(tty)?;
    let mut bytes = Vec::new();
    write_all(tty, &questions(environment))?;
    let mut complete = collect(tty, &mut bytes, deadline, |replies| replies.contains(&Reply::Ready))?;
    let names_tmux = parse(&bytes).iter().any(|reply| matches!(reply, Reply::Version(name) if name.starts_with("tmux")));
    if (environment.tmux || names_tmux) && !bytes.is_empty() {
        write_all(tty, &outer_questions())?;
        // Replies may be reordered on their way through tmux, so the last question's answer alone does not end it.
        complete &= collect(tty, &mut bytes, deadline, |replies| {
            let ready = replies.iter().filter(|reply| **reply == Reply::Ready).count() >= 2;
            let outer = replies.iter().any(|reply| matches!(reply, Reply::Version(name) if !name.starts_with("tmux")));
            let kitty = replies.iter().any(|reply| matches!(reply, Reply::Kitty { id: OUTER_ID, .. }));
            outer && (ready || kitty)
        })?;
    }
    if complete {
        collect(tty, &mut bytes, Instant::now() + QUIET, |_| false)?;
    }
    drop(raw);
    Ok(Answers { bytes, window: window(tty), client })
}

/// By how many columns the cursor moves when the terminal writes a text, which should be short; `None` where the terminal does not
/// say within `limit`. The line that the cursor is on is overwritten and cleared.
pub fn columns(tty: impl AsFd, text: &str, limit: Duration) -> io::Result<Option<u16>> {
    let tty = tty.as_fd();
    let deadline = Instant::now() + limit;
    let raw = Raw::enter(tty)?;
    write_all(tty, format!("\r{text}\x1b[6n\x1b[5n\r\x1b[K").as_bytes())?;
    let mut bytes = Vec::new();
    collect(tty, &mut bytes, deadline, |replies| replies.contains(&Reply::Ready))?;
    drop(raw);
    Ok(cursor_column(&bytes).map(|column| column.saturating_sub(1)))
}

/// The column of a cursor position report (`CSI row ; column R`) among some bytes, from 1.
fn cursor_column(bytes: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(bytes);
    text.split("\x1b[").skip(1).find_map(|report| report.split_once('R')?.0.split_once(';')?.1.parse().ok())
}

/// Reads until the replies are enough or the time is over; says whether they were enough.
fn collect(tty: BorrowedFd<'_>, bytes: &mut Vec<u8>, deadline: Instant, enough: impl Fn(&[Reply]) -> bool) -> io::Result<bool> {
    /// More than any set of answers; a terminal that floods is not listened to further.
    const MOST: usize = 64 << 10;
    let mut buffer = [0; 4096];
    while bytes.len() < MOST {
        if enough(&parse(bytes)) {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut ready = [PollFd::new(&tty, PollFlags::IN)];
        match poll(&mut ready, Some(&wait)) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match rustix::io::read(tty, &mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}

fn write_all(tty: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(tty, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Raw mode, until it is dropped.
struct Raw<'a> {
    tty: BorrowedFd<'a>,
    before: Termios,
}

impl<'a> Raw<'a> {
    fn enter(tty: BorrowedFd<'a>) -> io::Result<Self> {
        let before = tcgetattr(tty)?;
        let mut raw = before.clone();
        raw.make_raw();
        let guard = Self { tty, before };
        tcsetattr(tty, OptionalActions::Now, &raw)?;
        Ok(guard)
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        // Nothing more can be done where the terminal is gone.
        let _ = tcflush(self.tty, QueueSelector::IFlush);
        let _ = tcsetattr(self.tty, OptionalActions::Now, &self.before);
    }
}

/// Asks tmux about the terminal outside, and lets escapes pass through this pane.
fn tmux_client(deadline: Instant) -> Option<TmuxClient> {
    let format = "#{version}\t#{client_termtype}\t#{client_termname}\t#{client_termfeatures}\t#{client_cell_width}\t#{client_cell_height}";
    let told = tmux(&["display-message", "-p", format], deadline)?;
    let allowed =
        || tmux(&["show-options", "-Apv", "allow-passthrough"], deadline).is_some_and(|value| matches!(value.trim(), "on" | "all"));
    let version = told.split('\t').next().unwrap_or_default();
    // From 3.7 on, "on" is not enough for a pane that is out of sight for a moment.
    let wanted = if version_number(version) >= (3, 7) { "all" } else { "on" };
    let passthrough = allowed() || (tmux(&["set-option", "-p", "allow-passthrough", wanted], deadline).is_some() && allowed());
    Some(client(&told, passthrough))
}

fn version_number(version: &str) -> (u32, u32) {
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// Reads tmux's line of version, terminal type, terminal name, features, cell width and cell height.
fn client(line: &str, passthrough: bool) -> TmuxClient {
    let mut parts =
        line.trim_end_matches('\n').split('\t').skip(1).map(|part| part.chars().filter(|c| !c.is_control()).collect::<String>());
    let mut next = || parts.next().unwrap_or_default();
    let (kind, _name, features, width, height) = (next(), next(), next(), next(), next());
    let cell = CellSize::new(width.parse().unwrap_or(0), height.parse().unwrap_or(0));
    TmuxClient { terminal: kind, features, cell, passthrough }
}

/// Runs tmux and gives what it prints; `None` when it fails or takes too long.
fn tmux(arguments: &[&str], deadline: Instant) -> Option<String> {
    let mut child = Command::new("tmux").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) => {
                let text = child.wait_with_output().ok()?.stdout;
                return status.success().then(|| String::from_utf8_lossy(&text).into_owned());
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            Err(_) => break,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_tmux_says() {
        let told = client("3.5a\tkitty(0.41.1)\txterm-kitty\t256,RGB,title\t9\t18\n", true);
        assert_eq!((told.terminal.as_str(), told.features.as_str()), ("kitty(0.41.1)", "256,RGB,title"));
        assert_eq!(told.cell, CellSize::new(9, 18));
        assert_eq!(client("", false), TmuxClient::default());
        assert_eq!((cursor_column(b"x\x1b[12;7R\x1b[0n"), cursor_column(b"\x1b[0n"), cursor_column(b"\x1b[9R")), (Some(7), None, None));
        assert_eq!(version_number("next-3.7b"), (3, 7));
        assert_eq!(version_number("3.3a"), (3, 3));
    }
}
