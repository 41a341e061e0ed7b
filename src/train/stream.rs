//! Batches made ahead of the device, on threads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Row};
use super::example::Examples;
use super::{TrainError, error};
use crate::domain::Kind;
use crate::model::processor::Processor;
use crate::model::qwen_vl::Config;

/// Batches that wait for the device.
const AHEAD: usize = 3;

/// How far a stream has been read: what is needed to go on with the same batches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The first example that has not been drawn.
    next: u64,
    /// Examples that have been drawn and are in no batch yet, in order.
    waiting: Vec<u64>,
}

/// Where a stream's batches come from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) examples: Arc<dyn Examples>,
    pub(super) processor: Arc<Processor>,
    pub(super) config: Config,
    /// Who draws.
    pub(super) threads: Arc<rayon::ThreadPool>,
}

impl Source {
    /// Draws examples of these numbers.
    pub(super) fn draw(&self, numbers: &[u64]) -> Result<Vec<Row>, TrainError> {
        let row = |number: &u64| Row::new(&self.processor, &self.config, self.examples.example(*number)?);
        self.threads.install(|| numbers.par_iter().map(row).collect())
    }

    /// Lays rows out.
    pub(super) fn batch(&self, rows: &[Row]) -> Result<Batch, TrainError> {
        self.threads.install(|| Batch::new(&self.processor, &self.config, rows))
    }
}

/// A batch, and where the stream is behind it.
pub(super) struct Next {
    pub(super) batch: Batch,
    pub(super) position: Position,
}

/// An endless stream of batches, each of one kind of conversation. The numbers of the examples decide everything: a stream
/// that goes on from a position gives the same batches.
pub(super) struct Stream {
    batches: Option<Receiver<Result<Next, TrainError>>>,
    producer: Option<JoinHandle<()>>,
}

impl Stream {
    /// Batches of `size` conversations from a position on.
    pub(super) fn start(source: Source, size: usize, position: Position) -> Self {
        let (sender, receiver) = sync_channel(AHEAD);
        let producer = std::thread::spawn(move || produce(&source, size.max(1), position, &sender));
        Self { batches: Some(receiver), producer: Some(producer) }
    }

    /// The next batch; waits for it.
    pub(super) fn next(&self) -> Result<Next, TrainError> {
        let received = self.batches.as_ref().and_then(|batches| batches.recv().ok());
        received.unwrap_or_else(|| Err(error::broken("the thread that draws examples ended early")))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The producer ends when nobody listens.
        self.batches = None;
        if let Some(producer) = self.producer.take() {
            // A panic of the producer has been reported by the missing batch.
            let _ = producer.join();
        }
    }
}

fn produce(source: &Source, size: usize, position: Position, sender: &SyncSender<Result<Next, TrainError>>) {
    let mut waiting: VecDeque<(u64, Row)> = match source.draw(&position.waiting) {
        Ok(rows) => position.waiting.into_iter().zip(rows).collect(),
        Err(error) => {
            let _ = sender.send(Err(error));
            return;
        }
    };
    let mut next = position.next;
    loop {
        let Some(kind) = full(&waiting, size) else {
            let numbers: Vec<u64> = (next..next + size as u64).collect();
            next += size as u64;
            match source.draw(&numbers) {
                Ok(rows) => waiting.extend(numbers.into_iter().zip(rows)),
                Err(error) => {
                    let _ = sender.send(Err(error));
                    return;
                }
            }
            continue;
        };
        let rows = take(&mut waiting, kind, size);
        let position = Position { next, waiting: waiting.iter().map(|(number, _)| *number).collect() };
        let made = source.batch(&rows).map(|batch| Next { batch, position });
        let failed = made.is_err();
        if sender.send(made).is_err() || failed {
            return;
        }
    }
}

/// The kind of which there are enough; of two, the one that has waited longer.
fn full(waiting: &VecDeque<(u64, Row)>, size: usize) -> Option<Kind> {
    let enough = |kind: Kind| waiting.iter().filter(|(_, row)| row.kind == kind).count() >= size;
    let first = waiting.front()?.1.kind;
    let other = if first == Kind::OneShot { Kind::ZeroShot } else { Kind::OneShot };
    [first, other].into_iter().find(|kind| enough(*kind))
}

fn take(waiting: &mut VecDeque<(u64, Row)>, kind: Kind, size: usize) -> Vec<Row> {
    let mut taken = Vec::with_capacity(size);
    let mut left = VecDeque::with_capacity(waiting.len());
    for (number, row) in waiting.drain(..) {
        if row.kind == kind && taken.len() < size {
            taken.push(row);
        } else {
            left.push_back((number, row));
        }
    }
    *waiting = left;
    taken
}
