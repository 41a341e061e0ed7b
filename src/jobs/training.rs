//! The training of a project, as others see it: watched, begun, made a job of.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Call;
use crate::review::{Job, JobKind, JobState};
use crate::train::lock::{self, Seen, Stand};
use crate::train::{LogReader, Progress};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(400);
/// The number of the training among the jobs.
pub(super) const TRAINING: u64 = 1 << 40;

/// Makes the command that begins a training in a process of its own, given what it says behind `train`. The command ends when
/// the training has begun.
#[derive(Clone)]
pub struct Launch(Arc<MakesCommand>);

type MakesCommand = dyn Fn(&[String]) -> Command + Send + Sync;

impl Launch {
    /// Begins trainings with what this makes.
    pub fn new(make: impl Fn(&[String]) -> Command + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }
}

impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Launch")
    }
}

/// A training that was begun: its id, or why it could not.
pub(super) type Begun = Result<String, String>;

/// Begins a training, and says so to the clerk.
pub(super) fn begin(launch: &Launch, arguments: Vec<String>, calls: &Sender<Call>) {
    let mut command = (launch.0)(&arguments);
    let calls = calls.clone();
    std::thread::spawn(move || {
        let output = command.stdin(Stdio::null()).output();
        let begun = output.map_err(|error| error.to_string()).and_then(|output| answer(&output));
        // After the end nobody listens; the training goes on all the same.
        let _ = calls.send(Call::Begun { arguments, begun });
    });
}

/// What the command says.
fn answer(output: &Output) -> Begun {
    let said: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
    let text = |key: &str| said.as_ref()?.get(key)?.as_str().map(str::to_owned);
    match text("id").filter(|_| output.status.success()) {
        Some(id) => Ok(id),
        None => Err(text("error").unwrap_or_else(|| {
            // The first line says what is wrong, those below how it is called.
            let words = String::from_utf8_lossy(&output.stderr);
            let line = words.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            if line.is_empty() { format!("it ended with {}", output.status) } else { line.trim_start_matches("error: ").to_owned() }
        })),
    }
}

/// The thread that looks after the training. Dropping this ends it.
#[derive(Debug)]
pub(super) struct Watch {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Tells the clerk how the project's training stands, now and whenever it stands otherwise.
    pub(super) fn start(project: &Path, calls: Sender<Call>) -> std::io::Result<Self> {
        let (end, over) = channel();
        let project = project.to_owned();
        let thread = std::thread::Builder::new().name("training: watch".to_owned()).spawn(move || {
            let mut looking = Looking { project, reader: None, told: None };
            loop {
                if let Some((seen, progress)) = looking.look()
                    && calls.send(Call::Seen(Box::new(seen), progress)).is_err()
                {
                    return;
                }
                match over.recv_timeout(LOOK) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return,
                }
            }
        })?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Looking {
    project: PathBuf,
    /// Of the training with this id.
    reader: Option<(String, LogReader)>,
    told: Option<(Seen, Progress)>,
}

impl Looking {
    /// How it stands, if it stands otherwise than it was told.
    fn look(&mut self) -> Option<(Seen, Progress)> {
        let seen = lock::look(&self.project)?;
        let known = self.reader.take().filter(|(id, _)| *id == seen.training.id);
        let (id, mut reader) = known.unwrap_or_else(|| (seen.training.id.clone(), LogReader::new(&seen.training.log)));
        // What cannot be read now is read the next time.
        let progress = reader.read().unwrap_or_default();
        self.reader = Some((id, reader));
        let now = (seen, progress);
        let news = self.told.as_ref() != Some(&now);
        self.told = Some(now.clone());
        news.then_some(now)
    }
}

/// A training as a job among others. What it says of itself counts only as long as its process lives.
pub(super) fn job(seen: &Seen, progress: &Progress, me: &str) -> Job {
    let Seen { training, alive } = seen;
    let (state, problem) = match &training.stand {
        Stand::Preparing if *alive => (JobState::Waiting, None),
        Stand::Running if *alive => (JobState::Running, None),
        Stand::Finished { .. } => (JobState::Done, None),
        Stand::Stopped { .. } => (JobState::Cancelled, None),
        Stand::Failed { problem } => (JobState::Failed, Some(problem.clone())),
        Stand::Preparing | Stand::Running => (JobState::Failed, Some(silent(progress.step))),
    };
    let running = state == JobState::Running;
    Job {
        id: TRAINING,
        kind: JobKind::Train { loss: progress.loss, held_out: progress.held_out },
        title: if training.reviewer == me { training.name.clone() } else { format!("{} ({})", training.name, training.reviewer) },
        state,
        done: progress.step,
        total: (training.steps > 0).then_some(training.steps),
        per_second: None,
        left_s: progress.left_s().filter(|_| running),
        memory: progress.memory.filter(|_| running),
        problem,
    }
}

/// What is said of a training that ended without a last word.
pub(super) fn silent(step: u64) -> String {
    format!("it ended without a word after step {step}; if it has left a checkpoint, it can be taken up again")
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn said(code: i32, stdout: &str, stderr: &str) -> Begun {
        answer(&Output { status: ExitStatus::from_raw(code << 8), stdout: stdout.into(), stderr: stderr.into() })
    }

    #[test]
    fn what_the_command_says_is_understood() {
        assert_eq!(said(0, "{\"detached\": true, \"id\": \"a\"}\n", ""), Ok("a".to_owned()));
        assert_eq!(said(1, "{\"error\": \"no approved samples\"}\n", "mekiki: no"), Err("no approved samples".to_owned()));
        assert_eq!(said(2, "", "error: unexpected argument '--stepz'\n\nUsage: …"), Err("unexpected argument '--stepz'".to_owned()));
        assert!(said(1, "", "").unwrap_err().contains('1'));
    }
}
