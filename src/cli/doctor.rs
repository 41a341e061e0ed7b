//! `mekiki doctor`: what this terminal, this machine and this project can do, and what stands in the way.
//!
//! Nothing here waits without a limit: whatever may not answer is asked on a thread of its own.

mod machine;
mod models;
mod pictures;
mod project;
mod servers;
mod terminal;

use std::fmt::Display;
use std::sync::mpsc;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value as Json, json};

use super::context::Context;
use super::output::{Failure, Outcome};

/// Say what this terminal, this machine and this project can do, and what stands in the way.
///
/// Each thing that is found wrong comes with what to do about it; exit code 1 when there is one. Outside of a project it looks at
/// terminal and machine alone.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Show a test picture in every way in which terminals show pictures, and say what should be seen. Clears the screen.
    #[arg(long)]
    terminal: bool,
    /// Ask the servers of the user's settings whether they answer.
    #[arg(long)]
    servers: bool,
}

/// What was found of one thing.
#[derive(Debug, Default)]
struct Section {
    /// Its title, and its key in JSON.
    title: &'static str,
    lines: Vec<(String, String)>,
    json: Map<String, Json>,
    notes: Vec<Note>,
}

/// Something a person should know.
#[derive(Debug)]
struct Note {
    /// Whether something does not work; else it would work better.
    wrong: bool,
    what: String,
    /// What to do.
    help: String,
}

impl Section {
    fn new(title: &'static str) -> Self {
        Self { title, ..Self::default() }
    }

    /// A line for people.
    fn line(&mut self, name: impl Display, value: impl Display) {
        self.lines.push((name.to_string(), value.to_string()));
    }

    /// A value for programs.
    fn set(&mut self, key: &str, value: impl Into<Json>) {
        self.json.insert(key.to_owned(), value.into());
    }

    /// Something does not work.
    fn wrong(&mut self, what: impl Display, help: impl Display) {
        self.notes.push(Note { wrong: true, what: what.to_string(), help: help.to_string() });
    }

    /// Something would work better.
    fn hint(&mut self, what: impl Display, help: impl Display) {
        self.notes.push(Note { wrong: false, what: what.to_string(), help: help.to_string() });
    }
}

pub(super) fn run(context: &Context, args: &DoctorArgs) -> Result<Outcome, Failure> {
    if args.terminal {
        return pictures::run(context);
    }
    let mut sections = vec![machine::build()];
    let (devices, machine) = machine::look();
    sections.push(machine);
    sections.extend(project::look(context.dir(), &devices));
    sections.push(servers::files());
    sections.push(servers::look(args.servers));
    sections.push(terminal::look(context.out.is_json()));
    let all: Vec<Json> = sections
        .iter()
        .flat_map(|section| &section.notes)
        .map(|note| json!({ "problem": note.wrong, "what": note.what, "help": note.help }))
        .collect();
    let mut whole: Map<String, Json> = Map::new();
    for section in &sections {
        whole.insert(section.title.to_owned(), Json::Object(section.json.clone()));
    }
    whole.insert("notes".to_owned(), Json::Array(all));
    context.out.object(&whole)?;
    for section in &sections {
        context.out.line(section.title);
        for (name, value) in &section.lines {
            context.out.line(format_args!("  {name:<14} {value}"));
        }
        for note in &section.notes {
            context.out.line(format_args!("  {} {}", if note.wrong { "✗" } else { "!" }, note.what));
            note.help.lines().for_each(|line| context.out.line(format_args!("    → {line}")));
        }
    }
    let (wrong, hints): (Vec<&Note>, Vec<&Note>) = sections.iter().flat_map(|section| &section.notes).partition(|note| note.wrong);
    context.out.line(match (wrong.len(), hints.len()) {
        (0, 0) => "nothing stands in the way".to_owned(),
        (wrong, hints) => format!("✗ problems: {wrong}   ! hints: {hints}"),
    });
    Ok(if wrong.is_empty() { Outcome::Done } else { Outcome::Problems })
}

/// Does something that may not come back, and waits for it at most so long.
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    // Whoever comes too late is not listened to; the thread ends with the program.
    std::thread::spawn(move || drop(sender.send(work())));
    receiver.recv_timeout(limit).ok()
}

/// A number of bytes for people.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} bytes") } else { format!("{value:.1} {}", UNITS[unit]) }
}
