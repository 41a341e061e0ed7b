//! Tasks, and what is predicted with.

use crate::domain::{Exemplar, Kind, PredictionSource};

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Waits for its turn.
    Waiting,
    /// Runs.
    Running,
    /// Is done.
    Done,
    /// Was stopped.
    Cancelled,
    /// Went wrong.
    Failed,
}

/// What a job is about.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum JobKind {
    /// Samples are predicted.
    #[default]
    Predict,
    /// Steps of a training are made.
    Train {
        /// The loss of the last steps.
        loss: Option<f64>,
        /// The share of held-out answers that were right, 0..=1.
        held_out: Option<f64>,
    },
    /// Approved samples are written to a training set.
    Export,
}

/// A background task.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// What it is about.
    pub kind: JobKind,
    /// What of: models, or what is made.
    pub title: String,
    /// How it stands.
    pub state: JobState,
    /// Samples done, or steps.
    pub done: u64,
    /// Samples or steps in all, where that is known.
    pub total: Option<u64>,
    /// Samples per second.
    pub per_second: Option<f64>,
    /// Seconds left.
    pub left_s: Option<f64>,
    /// Bytes of memory in use: of the accelerator's, else of this process.
    pub memory: Option<u64>,
    /// What went wrong.
    pub problem: Option<String>,
}

/// The task screen and the status line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tasks {
    jobs: Vec<Job>,
    /// The line that the cursor is on.
    pub cursor: usize,
}

/// The most jobs that are listed; those that are over leave first.
const MOST_JOBS: usize = 100;

impl Tasks {
    /// The jobs, newest last.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// The job under the cursor.
    pub fn current(&self) -> Option<&Job> {
        self.jobs.get(self.cursor)
    }

    /// The job for the status line: one that runs, else the newest.
    pub fn foremost(&self) -> Option<&Job> {
        self.jobs.iter().find(|job| job.state == JobState::Running).or(self.jobs.last())
    }

    /// Learns how a job stands.
    pub fn learn(&mut self, job: Job) {
        match self.jobs.iter_mut().find(|known| known.id == job.id) {
            Some(known) => *known = job,
            None => self.jobs.push(job),
        }
        let over = |job: &Job| !matches!(job.state, JobState::Waiting | JobState::Running);
        if self.jobs.len() > MOST_JOBS
            && let Some(at) = self.jobs.iter().position(over)
        {
            self.jobs.remove(at);
        }
        self.put_cursor(self.cursor);
    }

    /// Puts the cursor on a line.
    pub fn put_cursor(&mut self, line: usize) {
        self.cursor = line.min(self.jobs.len().saturating_sub(1));
    }
}

/// What can be predicted with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    /// Models by name.
    pub models: Vec<String>,
    /// Adapters by name.
    pub adapters: Vec<String>,
    /// Versions of the instructions.
    pub instructions: Vec<String>,
}

/// The parts of a source that can be switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The model.
    Model,
    /// The adapter.
    Adapter,
    /// The instruction's version.
    Instruction,
    /// The exemplar.
    Exemplar,
    /// Zero-shot or one-shot.
    Kind,
}

impl Sources {
    /// What the part could be instead: the name, and the source with it.
    pub fn choices(&self, part: Part, now: &PredictionSource) -> Vec<(String, PredictionSource)> {
        let with = |change: &dyn Fn(&mut PredictionSource)| {
            let mut source = now.clone();
            change(&mut source);
            // Nothing but one-shot shows an exemplar: zero-shot predictions are one source.
            if source.kind == Kind::ZeroShot {
                source.exemplar = Exemplar::Right;
            }
            source
        };
        match part {
            Part::Model => self.models.iter().map(|name| (name.clone(), with(&|source| source.model.clone_from(name)))).collect(),
            Part::Adapter => {
                let none = std::iter::once(("-".to_owned(), with(&|source| source.adapter = None)));
                none.chain(self.adapters.iter().map(|name| (name.clone(), with(&|source| source.adapter = Some(name.clone()))))).collect()
            }
            Part::Instruction => {
                self.instructions.iter().map(|name| (name.clone(), with(&|source| source.instruction.clone_from(name)))).collect()
            }
            Part::Exemplar => [("right", Exemplar::Right), ("wrong", Exemplar::Wrong), ("none", Exemplar::None)]
                .map(|(name, exemplar)| (name.to_owned(), with(&|source| (source.exemplar, source.kind) = (exemplar, Kind::OneShot))))
                .into(),
            Part::Kind => [Kind::ZeroShot, Kind::OneShot].map(|kind| (kind.name().to_owned(), with(&|source| source.kind = kind))).into(),
        }
    }
}
