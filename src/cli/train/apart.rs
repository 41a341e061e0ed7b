//! A training that goes on by itself: begun without a terminal, looked at and stopped from anywhere.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::super::context::Context;
use super::super::output::{Failure, Outcome};
use crate::config::Project;
use crate::train::LogReader;
use crate::train::lock::{self, LockError, Seen, Stand};

/// Between two looks at a process.
const LOOK: Duration = Duration::from_millis(50);
/// How much of what a process said last is told, in bytes.
const MOST_SAID: u64 = 4096;

/// Training without a terminal.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags of the command line")]
#[command(next_help_heading = "By itself")]
pub(super) struct ApartArgs {
    /// Go on without this terminal: end when the run has begun, or could not. It survives the end of the session; its output
    /// goes to a file in the project's .mekiki.
    #[arg(long, conflicts_with_all = ["foretell", "emit"])]
    pub(super) detach: bool,
    /// Models that predict in this project's reviews give their memory back, whether or not it would suffice for both.
    #[arg(long)]
    pub(super) alone: bool,
    /// Do not train: ask the project's training to stop, and wait until it has written its checkpoint.
    #[arg(long, conflicts_with_all = ["out", "status", "detach", "foretell"])]
    pub(super) stop: bool,
    /// Do not train: say how the project's training stands, or the last one.
    #[arg(long, conflicts_with_all = ["out", "detach", "foretell"])]
    pub(super) status: bool,
    /// This is the process that goes on, under this name.
    #[arg(long, value_name = "ID", hide = true, conflicts_with = "detach")]
    pub(super) detached: Option<String>,
}

/// Starts the process that goes on, and waits until it has begun.
pub(super) fn begin(context: &Context, out: &Path) -> Result<Outcome, Failure> {
    let project = project(context, "--detach")?;
    if let Some(Seen { training, alive: true }) = lock::look(&project.dir) {
        return Err(LockError::Taken(Some(Box::new(training))).into());
    }
    let id = Uuid::now_v7().to_string();
    let name = out.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
    let said = project.dir.join(".mekiki").join(format!("train-{name}.log"));
    let failed = |error: std::io::Error| Failure::new(format_args!("{}: {error}", said.display()));
    let mut log = OpenOptions::new().create(true).append(true).read(true).open(&said).map_err(failed)?;
    let before = log.seek(SeekFrom::End(0)).map_err(failed)?;
    let ours = ["--detach", "--json"];
    let arguments = std::env::args_os().skip(1).filter(|argument| ours.iter().all(|ours| argument != ours));
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .args(["--plain", "--detached", &id])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .spawn()?;
    let ended: Option<ExitStatus> = loop {
        if lock::look(&project.dir).is_some_and(|seen| seen.training.id == id && seen.training.stand != Stand::Preparing) {
            break None;
        }
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        std::thread::sleep(LOOK);
    };
    // One that has said its last word is about to end.
    let stand = lock::look(&project.dir).map(|seen| seen.training).filter(|training| training.id == id).map(|training| training.stand);
    let why = match stand {
        Some(Stand::Failed { problem }) => Some(problem),
        None | Some(Stand::Preparing) => {
            ended.map(|status| last_words(&mut log, before).unwrap_or_else(|| format!("it ended with {status}")))
        }
        Some(_) => None,
    };
    if let Some(why) = why {
        return Err(Failure::new(format_args!("the training could not begin: {why}")));
    }
    let pid = child.id();
    context.out.object(&json!({ "detached": true, "id": id, "pid": pid, "path": out, "log": said }))?;
    context.out.line(format_args!("{name} is trained by process {pid}, which goes on by itself; its output is in {}", said.display()));
    context.out.line("look at it with 'mekiki train --status', stop it with 'mekiki train --stop'");
    Ok(Outcome::Done)
}

/// What a process that failed has written behind a place in its output.
fn last_words(log: &mut (impl Read + Seek), from: u64) -> Option<String> {
    let end = log.seek(SeekFrom::End(0)).ok()?;
    log.seek(SeekFrom::Start(from.max(end.saturating_sub(MOST_SAID)))).ok()?;
    let mut bytes = Vec::new();
    log.take(MOST_SAID).read_to_end(&mut bytes).ok()?;
    let said = String::from_utf8_lossy(&bytes);
    let words = said.rsplit_once("mekiki: ").map_or(said.as_ref(), |(_, words)| words).trim();
    (!words.is_empty()).then(|| words.to_owned())
}

/// Leaves the terminal and its session, so that their end is not this process's.
pub(super) fn leave() {
    // Whoever is the leader of a group stays in its session; a process that was just started is none.
    let _ = rustix::process::setsid();
}

/// `--stop`.
pub(super) fn stop(context: &Context) -> Result<Outcome, Failure> {
    let project = project(context, "--stop")?;
    let Some(Seen { training, alive: true }) = lock::look(&project.dir) else {
        return Err(Failure::new("no training goes on in this project"));
    };
    lock::ask_to_stop(&project.dir, &training.id)?;
    while lock::look(&project.dir).is_some_and(|seen| seen.alive && seen.training.id == training.id) {
        std::thread::sleep(LOOK);
    }
    status(context)
}

/// `--status`.
pub(super) fn status(context: &Context) -> Result<Outcome, Failure> {
    let project = project(context, "--status")?;
    let Some(Seen { training, alive }) = lock::look(&project.dir) else {
        context.out.object(&json!({ "training": null }))?;
        context.out.line("nothing has been trained in this project");
        return Ok(Outcome::Done);
    };
    // Where the log cannot be read, no step is known.
    let progress = LogReader::new(&training.log).read().unwrap_or_default();
    context.out.object(&json!({
        "training": training, "alive": alive, "step": progress.step, "progress": progress.share, "loss": progress.loss,
        "held_out": progress.held_out, "left": progress.left_s().filter(|_| alive),
    }))?;
    let (name, by, pid) = (&training.name, &training.reviewer, training.pid);
    let loss = progress.loss.map(|loss| format!(", loss {loss:.4}")).unwrap_or_default();
    let held = progress.held_out.map(|share| format!(", held out {:.1} %", share * 100.0)).unwrap_or_default();
    let left = progress.left_s().map(|left| format!(", {left:.0} s left")).unwrap_or_default();
    let folder = training.folder.display();
    context.out.line(match &training.stand {
        Stand::Preparing if alive => format!("{by} prepares the training of {name} (process {pid})"),
        Stand::Running if alive => {
            format!("{by} trains {name} (process {pid}): step {} of {}{loss}{held}{left}", progress.step, training.steps)
        }
        Stand::Finished { steps } => format!("{name} was trained in {steps} steps{held}; it is in {folder}"),
        Stand::Stopped { steps } => format!("{name} was stopped after {steps} steps; go on with --resume and the same options"),
        Stand::Failed { problem } => format!("{name} was not trained: {problem}"),
        Stand::Preparing | Stand::Running => format!(
            "the training of {name} ended without a word after step {}; where a checkpoint is in {folder}, go on with --resume and the \
             same options",
            progress.step
        ),
    });
    Ok(Outcome::Done)
}

fn project(context: &Context, option: &str) -> Result<Project, Failure> {
    let none = || Failure::usage(format_args!("{option} needs a project: name it with -C, or train without {option}"));
    context.project_there()?.ok_or_else(none)
}
