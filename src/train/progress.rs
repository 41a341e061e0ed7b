//! How far a run is, read from its log while it is written.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Event;

/// How much of a log is read in one go, in bytes; a line that is longer is left out.
const PIECE: u64 = 64 << 10;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    /// Steps made.
    pub step: u64,
    /// How far the run is, 0..=1.
    pub share: f64,
    /// The loss of the answers in the last steps.
    pub loss: Option<f64>,
    /// The share of held-out answers that were right at the last evaluation, the mean of the kinds.
    pub held_out: Option<f64>,
    /// Seconds since it began.
    pub seconds: f64,
    /// Bytes of the device's memory that are taken.
    pub memory: Option<u64>,
}

impl Progress {
    /// Learns what a run reports.
    pub fn learn(&mut self, event: &Event) {
        match event {
            Event::Step(step) => {
                (self.step, self.share, self.loss) = (step.step, step.progress, Some(step.answer_loss));
                (self.seconds, self.memory) = (step.seconds, step.memory);
            }
            Event::Evaluation(found) => {
                self.step = self.step.max(found.step);
                let shares: Vec<f64> = found.zero_shot.into_iter().chain(found.one_shot).collect();
                self.held_out = (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64);
            }
            Event::Checkpoint { step, .. } | Event::Resumed { step } => self.step = self.step.max(*step),
            Event::Planned { .. } | Event::Again | Event::Smaller { .. } => {}
        }
    }

    /// Seconds that are left, at the pace so far.
    pub fn left_s(&self) -> Option<f64> {
        (self.share > 0.0).then(|| self.seconds / self.share * (1.0 - self.share).max(0.0))
    }
}

/// Reads what is added to a log.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    at: u64,
    /// The beginning of a line that is still being written.
    rest: Vec<u8>,
    progress: Progress,
}

impl LogReader {
    /// A reader of a log from its beginning; the file may not be there yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), at: 0, rest: Vec::new(), progress: Progress::default() }
    }

    /// How far the run is, by all that stands in the log now.
    pub fn read(&mut self) -> io::Result<Progress> {
        // Whatever else may stand there instead of a file could keep its reader waiting.
        if !self.path.is_file() {
            return Ok(self.progress);
        }
        let mut file = File::open(&self.path)?;
        if file.metadata()?.len() < self.at {
            // It was begun anew.
            *self = Self::new(&self.path);
        }
        file.seek(SeekFrom::Start(self.at))?;
        loop {
            let before = self.rest.len();
            let more = file.by_ref().take(PIECE).read_to_end(&mut self.rest)?;
            if more == 0 {
                return Ok(self.progress);
            }
            self.at += more as u64;
            // Only what is new can hold the end of a line.
            let Some(end) = self.rest[before..].iter().rposition(|byte| *byte == b'\n').map(|at| before + at) else {
                if self.rest.len() as u64 > PIECE {
                    self.rest.clear();
                }
                continue;
            };
            // What is no event (any more, or yet) says nothing.
            self.rest[..end].split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).for_each(|event| {
                self.progress.learn(&event);
            });
            self.rest.drain(..=end);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::train::{EvaluationReport, StepReport};

    fn line(event: &Event) -> String {
        format!("{}\n", serde_json::to_string(event).unwrap())
    }

    fn step(step: u64) -> Event {
        Event::Step(StepReport {
            step,
            progress: step as f64 / 100.0,
            answer_loss: 1.0 / step as f64,
            dense_loss: None,
            learning_rate: 1e-3,
            gradient: 0.5,
            samples_per_second: 8.0,
            seconds: 2.0 * step as f64,
            memory: None,
            peak_memory: None,
        })
    }

    #[test]
    fn a_log_is_followed_while_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.jsonl");
        let mut reader = LogReader::new(&path);
        assert_eq!(reader.read().unwrap(), Progress::default());
        let mut log = File::create(&path).unwrap();
        let (first, second) = (line(&step(10)), line(&step(20)));
        write!(log, "{first}no event\n{}", &second[..9]).unwrap();
        assert_eq!(reader.read().unwrap().step, 10);
        log.write_all(&second.as_bytes()[9..]).unwrap();
        let found = EvaluationReport { step: 20, zero_shot: Some(0.5), one_shot: Some(1.0), loss: 0.1, best: true };
        log.write_all(line(&Event::Evaluation(found)).as_bytes()).unwrap();
        let progress = reader.read().unwrap();
        assert_eq!((progress.step, progress.loss, progress.held_out), (20, Some(0.05), Some(0.75)));
        assert_eq!(progress.left_s(), Some(160.0));
        // Begun anew, it is shorter.
        std::fs::write(&path, line(&step(1))).unwrap();
        assert_eq!((reader.read().unwrap().step, reader.read().unwrap().held_out), (1, None));
    }
}
