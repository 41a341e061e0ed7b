//! What the program writes down of its own doings: one line for each event, in `mekiki/log/mekiki.log` below the user's folder
//! for state.
//!
//! Rooms say what happens with `tracing`; here it is decided what is kept and how it is written. Nothing of it may cost a
//! command its work: what cannot be written is not written. Every line goes through `domain::printable`, whatever it is made of.

use std::fmt::{self, Debug};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use clap::ValueEnum;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, OFlags, flock};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use super::output::{Failure, Outcome};
use super::settings;
use crate::domain::printable;

/// A file that is longer when it is opened is put aside.
const MOST_BYTES: u64 = 8 << 20;
/// The longest line, in characters: an error may quote what it was given.
const MOST_LINE: usize = 4000;

/// How much is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Level {
    /// What went wrong, as without the option.
    // A variable that is there and empty says nothing.
    #[value(alias = "")]
    Warn,
    /// What was begun and ended, too.
    Info,
    /// Single batches and requests, too.
    Debug,
}

impl Level {
    /// As it is typed.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
        }
    }
}

/// Where lines are written: `Err` where there is no such folder.
pub(super) fn file() -> Result<PathBuf, Failure> {
    Ok(settings::state()?.join("mekiki").join("log").join("mekiki.log"))
}

/// Whether lines can be written, and why not.
pub(super) fn writable(path: &Path) -> io::Result<()> {
    open(path).map(drop)
}

/// The log of one run of the program.
pub(super) struct Trace {
    started: Instant,
    verbose: bool,
    sink: Option<Arc<Sink>>,
}

impl Trace {
    /// Begins to write down what happens, panics too.
    pub(super) fn start(level: Option<Level>) -> Self {
        let level = level.unwrap_or(Level::Warn);
        let sink = file().ok().map(|path| Arc::new(Sink { path, file: OnceLock::new() }));
        if let Some(sink) = &sink {
            let lines = tracing_subscriber::fmt::layer().event_format(Lines).with_writer(Arc::clone(sink)).log_internal_errors(false);
            // What other crates say of theirs may hold addresses and keys.
            let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level.filter());
            // Whoever calls this a second time in a process goes on with what the first call has set up.
            let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines).with(ours));
            let told = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                tracing::error!(thread = std::thread::current().name().unwrap_or("unnamed"), "{info}");
                told(info);
            }));
        }
        let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
        let folder = std::env::current_dir().unwrap_or_default();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), folder = %folder.display(), arguments, "started");
        Self { started: Instant::now(), verbose: level != Level::Warn, sink }
    }

    /// Writes down how the command ended.
    pub(super) fn end(&self, result: &Result<Outcome, Failure>) {
        let seconds = self.started.elapsed().as_secs_f64();
        match result {
            Ok(outcome) => tracing::info!(code = u8::from(*outcome == Outcome::Problems), seconds, "ended"),
            // Who has mistyped knows it.
            Err(failure) if failure.code() == 2 => tracing::info!(code = 2, seconds, error = failure.message(), "ended"),
            Err(failure) => tracing::error!(code = failure.code(), seconds, error = failure.message(), "ended"),
        }
    }

    /// Where more of an error is to be found, for whoever has asked for it.
    pub(super) fn whereabouts(&self) -> Option<String> {
        let Some(sink) = self.sink.as_ref().filter(|_| self.verbose) else {
            return self.verbose.then(|| "there is no log: no folder for it is known; set HOME, or XDG_STATE_HOME".to_owned());
        };
        Some(match sink.file() {
            Ok(_) => format!("the log is {}", sink.path.display()),
            Err(why) => format!("there is no log: {}: {why}", sink.path.display()),
        })
    }
}

/// The file, opened when the first line is to be written.
struct Sink {
    path: PathBuf,
    file: OnceLock<io::Result<File>>,
}

impl Sink {
    fn file(&self) -> Result<&File, &io::Error> {
        self.file.get_or_init(|| open(&self.path)).as_ref()
    }
}

impl Write for &Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // What cannot be written is lost, and nobody is to try again.
        if let Ok(mut file) = self.file() {
            let _ = file.write(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens the file at its end and makes its folder; one that has grown too long becomes `mekiki.log.1` first.
fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // Something else of that name, a pipe that nobody reads, must not keep the program waiting.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let append = || OpenOptions::new().create(true).append(true).mode(0o600).custom_flags(flags).open(path);
    let file = append()?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    // One of several processes puts it aside; whoever comes late finds another file by that name.
    if about.len() <= MOST_BYTES || flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(file);
    }
    if fs::metadata(path).is_ok_and(|now| now.ino() == about.ino()) {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".1");
        fs::rename(path, aside)?;
    }
    append()
}

/// Writes an event as a line: time, level, process, room, what happened, and its values.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let (level, target) = (event.metadata().level(), event.metadata().target());
        let room = target.split_once("::").map_or(target, |(_, room)| room);
        let (now, pid) = (Timestamp::now(), std::process::id());
        writer.write_str(&line(&format!("{now:.3} {level:<5} {pid} {room}: {}{}", said.message, said.values)))
    }
}

/// A text as one line that acts on no terminal.
fn line(text: &str) -> String {
    let one: Vec<&str> = text.lines().collect();
    let mut line: String = printable(&one.join(" | ")).chars().take(MOST_LINE).collect();
    line.push('\n');
    line
}

/// What an event says.
#[derive(Default)]
struct Said {
    message: String,
    values: String,
}

impl Said {
    fn take(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            return value.clone_into(&mut self.message);
        }
        let (name, bare) = (field.name(), !value.is_empty() && !value.contains([' ', '"', '\n']));
        let value = if bare { value.to_owned() } else { format!("\"{}\"", value.replace('"', "\\\"")) };
        self.values.extend([" ", name, "=", &value]);
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, &format!("{value:.3}"));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_acts_on_nothing() {
        assert_eq!(line("傷 a\u{1b}[2Jb\nc\r\u{202e}"), "傷 a\u{fffd}[2Jb | c\u{fffd}\u{fffd}\n");
        assert_eq!(line(&"x".repeat(9000)).len(), MOST_LINE + 1);
    }

    #[test]
    fn a_long_file_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log/mekiki.log");
        open(&path).unwrap().set_len(MOST_BYTES + 1).unwrap();
        open(&path).unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(folder.path().join("log/mekiki.log.1")).unwrap().len(), MOST_BYTES + 1);
        open(&path).unwrap().write_all(b"er").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"newer");
    }
}
