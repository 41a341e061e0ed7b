//! The loop: batches, losses, steps, evaluations, checkpoints.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};

use super::batch::Batch;
use super::example::Examples;
use super::loss::{Head, Loss, Score, loss, score};
use super::optimiser::AdamW;
use super::report::{EvaluationReport, Event, StepReport, Summary};
use super::saved::{self, State, Vectors};
use super::stream::{Position, Source, Stream};
use super::{Plan, Recompute, TrainError, Trainable, error};
use crate::domain::Kind;
use crate::model::device;
use crate::model::processor::Processor;
use crate::model::qwen_vl::Model;

/// How often the micro-batch is halved before memory is given up on.
const MOST_HALVINGS: u32 = 4;

/// Examples that are not learnt from.
#[derive(Clone)]
pub struct Held {
    /// The examples.
    pub examples: Arc<dyn Examples>,
    /// How many there are: numbers from 0.
    pub count: u64,
}

/// Everything a run needs.
pub struct Run<'a> {
    /// How it goes.
    pub plan: Plan,
    /// What is trained.
    pub trainable: &'a dyn Trainable,
    /// Tokens and pixels of the checkpoint that is trained.
    pub processor: Arc<Processor>,
    /// What is learnt from.
    pub examples: Arc<dyn Examples>,
    /// What evaluations look at.
    pub held: Option<Held>,
    /// Where checkpoints of the run are kept.
    pub folder: &'a Path,
    /// Whether to go on from the folder's checkpoint.
    pub resume: bool,
    /// Threads that draw examples; 0 for as many as there are cores.
    pub threads: usize,
    /// Set from outside to end the run with a checkpoint.
    pub stop: &'a AtomicBool,
}

/// Trains. When it returns, the trainable's variables are the best ones. What the run can go on from stays in its folder
/// until [`forget`] removes it.
pub fn train(run: &Run<'_>, report: &mut dyn FnMut(&Event)) -> Result<Summary, TrainError> {
    let no_room = |micro_batch| TrainError::OutOfMemory { micro_batch, checkpoint: saved::there(run.folder) };
    let mut session = match Session::new(run, report) {
        Err(error) if error.is_out_of_memory() => return Err(no_room(run.plan.micro_batch)),
        begun => begun?,
    };
    match session.run(report) {
        Err(error) if error.is_out_of_memory() => {
            // What has been learnt is not lost where it can still be written down.
            if session.optimiser.steps > 0 && session.optimiser.is_whole() {
                let _ = session.checkpoint(report);
            }
            Err(no_room(session.micro_batch))
        }
        ended => ended,
    }
}

/// Removes what a run went on from, when what it made has been saved.
pub fn forget(folder: &Path) -> Result<(), TrainError> {
    saved::remove(folder)
}

struct Session<'a> {
    run: &'a Run<'a>,
    source: Source,
    device: Device,
    head: Option<Head>,
    optimiser: AdamW,
    held: Vec<(Kind, Batch)>,
    /// Behind the last whole step.
    position: Position,
    micro_batch: usize,
    /// Whether blocks are computed again for their gradients.
    again: bool,
    samples: u64,
    /// Micro-batches computed, by which dropout draws.
    passes: u64,
    /// Seconds before this session.
    before: f64,
    started: Instant,
    best: Option<(u64, f64, Tensor)>,
    gathered: Gathered,
}

/// What has been summed on the device since the last report.
#[derive(Default)]
struct Gathered {
    answer: Option<Tensor>,
    dense: Option<Tensor>,
    dense_steps: u64,
    gradient: Option<Tensor>,
    steps: u64,
    samples: u64,
    since: Option<Instant>,
}

impl<'a> Session<'a> {
    fn new(run: &'a Run<'a>, report: &mut dyn FnMut(&Event)) -> Result<Self, TrainError> {
        let model = run.trainable.network(None)?;
        let (config, device) = (model.config().clone(), model.device().clone());
        let classes = run.examples.classes().len();
        let head = match run.plan.dense {
            Some(_) if classes > 0 => Some(Head::new(config.text.hidden, classes, &device)?),
            _ => None,
        };
        let variables = run.trainable.variables().iter().map(|(_, var)| var.clone());
        let variables = variables.chain(head.iter().flat_map(|head| [head.weight.clone(), head.bias.clone()]));
        let threads = rayon::ThreadPoolBuilder::new().num_threads(run.threads).build();
        let threads = threads.map_err(|problem| error::broken(&format!("no threads could be started: {problem}")))?;
        let source = Source { examples: run.examples.clone(), processor: run.processor.clone(), config, threads: Arc::new(threads) };
        let mut session = Self {
            run,
            optimiser: AdamW::new(variables.collect(), &device)?,
            source,
            device,
            head,
            held: Vec::new(),
            position: Position::default(),
            micro_batch: run.plan.micro_batch.clamp(1, run.plan.batch.max(1)),
            again: run.plan.recompute == Recompute::Always,
            samples: 0,
            passes: 0,
            before: 0.0,
            started: Instant::now(),
            best: None,
            gathered: Gathered::default(),
        };
        session.held = session.hold()?;
        if run.resume {
            session.resume(report)?;
        }
        Ok(session)
    }

    /// Held-out examples as batches, as many of each kind as the plan says at most.
    fn hold(&self) -> Result<Vec<(Kind, Batch)>, TrainError> {
        let Some(held) = &self.run.held else { return Ok(Vec::new()) };
        let source = Source { examples: held.examples.clone(), ..self.source.clone() };
        let most = self.run.plan.evaluate_on;
        let mut rows = [Vec::new(), Vec::new()];
        let numbers: Vec<u64> = (0..held.count).collect();
        for some in numbers.chunks(most.max(1)) {
            if rows.iter().all(|rows: &Vec<_>| rows.len() >= most) {
                break;
            }
            for row in source.draw(some)? {
                let rows = &mut rows[usize::from(row.kind == Kind::OneShot)];
                if rows.len() < most {
                    rows.push(row);
                }
            }
        }
        let mut batches = Vec::new();
        for rows in &rows {
            for some in rows.chunks(self.micro_batch) {
                batches.push((some[0].kind, source.batch(some)?));
            }
        }
        Ok(batches)
    }

    fn names(&self) -> Vec<(String, Vec<usize>)> {
        let trained = self.run.trainable.variables().iter().map(|(name, var)| (name.clone(), var.dims().to_vec()));
        let own = self.head.iter().flat_map(|head| {
            [("dense.weight".to_owned(), head.weight.dims().to_vec()), ("dense.bias".to_owned(), head.bias.dims().to_vec())]
        });
        trained.chain(own).collect()
    }

    fn resume(&mut self, report: &mut dyn FnMut(&Event)) -> Result<(), TrainError> {
        let folder = self.run.folder;
        let wrong = |reason: &str| TrainError::Checkpoint { path: folder.to_owned(), reason: reason.to_owned() };
        let Some((state, vectors)) = saved::load(folder, &self.device)? else {
            return Err(wrong("no checkpoint to go on from; train without --resume"));
        };
        if state.variables != self.names() {
            return Err(wrong("the checkpoint is of another network or other factors; train with the same model and options"));
        }
        if vectors.weights.dims() != self.optimiser.weights.dims() {
            return Err(wrong("state.safetensors does not hold as many values as state.json says"));
        }
        self.optimiser.weights = vectors.weights;
        self.optimiser.first = vectors.first;
        self.optimiser.second = vectors.second;
        self.optimiser.steps = state.steps;
        self.optimiser.hand_out(&self.optimiser.weights)?;
        self.best = state.best.zip(vectors.best).map(|((step, score), weights)| (step, score, weights));
        self.position = state.position;
        self.micro_batch = state.micro_batch;
        self.samples = state.samples;
        self.passes = state.steps * self.parts() as u64;
        self.before = state.seconds;
        report(&Event::Resumed { step: state.steps });
        Ok(())
    }

    /// Micro-batches of a step.
    fn parts(&self) -> usize {
        self.run.plan.batch.div_ceil(self.micro_batch).max(1)
    }

    fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    fn progress(&self) -> f64 {
        self.run.plan.progress(self.optimiser.steps, self.seconds())
    }

    fn run(&mut self, report: &mut dyn FnMut(&Event)) -> Result<Summary, TrainError> {
        let plan = &self.run.plan;
        let mut stream = self.stream();
        let mut halvings = 0;
        self.started = Instant::now();
        let mut finished = self.progress() >= 1.0;
        let mut evaluated = None;
        while !finished && !self.run.stop.load(Ordering::Relaxed) {
            match self.step(&stream) {
                Ok(()) => {}
                // Half a step of the optimiser cannot be taken back.
                Err(error) if !error.is_out_of_memory() || !self.optimiser.is_whole() => return Err(error),
                Err(_) if !self.again && plan.recompute == Recompute::Auto => {
                    self.again = true;
                    report(&Event::Again);
                    stream = self.stream();
                    continue;
                }
                Err(_) if self.micro_batch > 1 && halvings < MOST_HALVINGS => {
                    halvings += 1;
                    self.micro_batch = self.micro_batch.div_ceil(2);
                    report(&Event::Smaller { micro_batch: self.micro_batch });
                    stream = self.stream();
                    continue;
                }
                Err(error) => return Err(error),
            }
            let step = self.optimiser.steps;
            finished = self.progress() >= 1.0;
            if finished || step.is_multiple_of(plan.log_every.max(1)) {
                let told = self.told()?;
                if !told.answer_loss.is_finite() || !told.gradient.is_finite() {
                    return Err(self.diverged(step));
                }
                report(&Event::Step(told));
            }
            if finished || step.is_multiple_of(plan.evaluate_every.max(1)) {
                evaluated = self.evaluate(report)?;
            }
            if !finished && step.is_multiple_of(plan.checkpoint_every.max(1)) {
                self.checkpoint(report)?;
            }
        }
        drop(stream);
        if !finished {
            self.checkpoint(report)?;
        }
        // The last weights stay where they are as good as the best.
        let kept = match &self.best {
            Some((step, score, weights)) if evaluated.is_none_or(|last| last < *score) => {
                self.optimiser.hand_out(weights)?;
                *step
            }
            _ => self.optimiser.steps,
        };
        Ok(Summary {
            steps: self.optimiser.steps,
            samples: self.samples,
            seconds: self.seconds(),
            finished,
            kept,
            best: self.best.as_ref().map(|(_, score, _)| *score),
            peak_memory: device::peak_memory(&self.device),
            peak_tensors: device::peak_tensors(&self.device),
        })
    }

    fn stream(&self) -> Stream {
        Stream::start(self.source.clone(), self.micro_batch, self.position.clone())
    }

    fn diverged(&self, step: u64) -> TrainError {
        let there = self.run.folder.join("checkpoint");
        let kept = match (there.is_dir(), &self.best) {
            (true, _) => format!("The last good checkpoint is {}; go on from it with --resume", there.display()),
            (false, _) => "No checkpoint was written before".to_owned(),
        };
        TrainError::Diverged { step, kept }
    }

    /// The network that learns from a micro-batch of this step.
    fn network(&self, part: usize) -> Result<Model, TrainError> {
        let mut model = self.run.trainable.network(Some(self.passes + part as u64))?;
        if self.again {
            model.compute_again(self.run.trainable.variables().iter().map(|(_, var)| var))?;
        }
        Ok(model)
    }

    /// One step of the optimiser.
    fn step(&mut self, stream: &Stream) -> Result<(), TrainError> {
        let plan = &self.run.plan;
        let parts = self.parts();
        let progress = self.progress();
        let dense = plan.dense_weight_at(progress);
        let mut sum: Option<Tensor> = None;
        let (mut answer, mut seen): (Option<Tensor>, Option<Tensor>) = (None, None);
        let (mut samples, mut position) = (0, None);
        for part in 0..parts {
            let next = stream.next()?;
            let model = self.network(part)?;
            let Loss { total, answer: told, dense: told_dense } = loss(&model, self.head.as_ref(), &next.batch, plan, dense)?;
            let gradients = model.backward(&(total / parts as f64)?)?;
            add(&mut sum, self.optimiser.gradient(&gradients)?)?;
            add(&mut answer, (told / parts as f64)?)?;
            if let Some(told) = told_dense {
                add(&mut seen, (told / parts as f64)?)?;
            }
            samples += next.batch.rows() as u64;
            position = Some(next.position);
        }
        let (Some(gradient), Some(position)) = (sum, position) else { return Ok(()) };
        let rate = plan.learning_rate_at(self.optimiser.steps, progress);
        let length = self.optimiser.step(&gradient, rate, plan)?;
        self.passes += parts as u64;
        self.position = position;
        self.samples += samples;
        let gathered = &mut self.gathered;
        gathered.since.get_or_insert(self.started);
        gathered.steps += 1;
        gathered.samples += samples;
        gathered.gradient = Some(length);
        if let Some(answer) = answer {
            add(&mut gathered.answer, answer)?;
        }
        if let Some(seen) = seen {
            add(&mut gathered.dense, seen)?;
            gathered.dense_steps += 1;
        }
        Ok(())
    }

    /// What the steps since the last report were like: the one place that waits for the device.
    fn told(&mut self) -> Result<StepReport, TrainError> {
        let gathered = std::mem::take(&mut self.gathered);
        let number = |tensor: &Option<Tensor>| -> Result<f64, TrainError> {
            Ok(match tensor {
                Some(tensor) => f64::from(tensor.to_dtype(DType::F32)?.to_scalar::<f32>()?),
                None => 0.0,
            })
        };
        let answer_loss = number(&gathered.answer)? / gathered.steps.max(1) as f64;
        let dense_loss = match gathered.dense_steps {
            0 => None,
            steps => Some(number(&gathered.dense)? / steps as f64),
        };
        let now = Instant::now();
        let elapsed = gathered.since.map_or(0.0, |since| now.duration_since(since).as_secs_f64());
        self.gathered.since = Some(now);
        let (step, progress) = (self.optimiser.steps, self.progress());
        Ok(StepReport {
            step,
            progress,
            answer_loss,
            dense_loss,
            learning_rate: self.run.plan.learning_rate_at(step.saturating_sub(1), progress),
            gradient: number(&gathered.gradient)?,
            samples_per_second: gathered.samples as f64 / elapsed.max(1e-9),
            seconds: self.seconds(),
            memory: device::memory(&self.device),
            peak_memory: device::peak_memory(&self.device),
        })
    }

    /// Looks at the held-out examples; keeps the weights where they are the best so far. Returns the share of right answers.
    fn evaluate(&mut self, report: &mut dyn FnMut(&Event)) -> Result<Option<f64>, TrainError> {
        if self.held.is_empty() {
            return Ok(None);
        }
        let model = self.run.trainable.network(None)?;
        let mut scores = [Score::default(); 2];
        for (kind, batch) in &self.held {
            let found = score(&model, batch)?;
            let sum = &mut scores[usize::from(*kind == Kind::OneShot)];
            *sum = Score { right: sum.right + found.right, answers: sum.answers + found.answers, loss: sum.loss + found.loss };
        }
        let share = |score: Score| (score.answers > 0).then(|| score.right as f64 / score.answers as f64);
        let [zero_shot, one_shot] = scores;
        let answers = (zero_shot.answers + one_shot.answers) as f64;
        let right = (zero_shot.right + one_shot.right) as f64 / answers;
        let step = self.optimiser.steps;
        let best = self.best.as_ref().is_none_or(|(_, score, _)| right >= *score);
        if best {
            self.best = Some((step, right, self.optimiser.weights.clone()));
        }
        let loss = (zero_shot.loss + one_shot.loss) / answers;
        report(&Event::Evaluation(EvaluationReport { step, zero_shot: share(zero_shot), one_shot: share(one_shot), loss, best }));
        // What an evaluation takes is no time of the steps.
        self.gathered.since = Some(Instant::now());
        Ok(Some(right))
    }

    fn checkpoint(&mut self, report: &mut dyn FnMut(&Event)) -> Result<(), TrainError> {
        let state = State {
            plan: self.run.plan.clone(),
            variables: self.names(),
            steps: self.optimiser.steps,
            seconds: self.seconds(),
            samples: self.samples,
            micro_batch: self.micro_batch,
            position: self.position.clone(),
            best: self.best.as_ref().map(|(step, score, _)| (*step, *score)),
        };
        let vectors = Vectors {
            weights: self.optimiser.weights.clone(),
            first: self.optimiser.first.clone(),
            second: self.optimiser.second.clone(),
            best: self.best.as_ref().map(|(.., weights)| weights.clone()),
        };
        let path = saved::save(self.run.folder, &state, &vectors)?;
        report(&Event::Checkpoint { step: state.steps, path });
        Ok(())
    }
}

fn add(sum: &mut Option<Tensor>, more: Tensor) -> Result<(), TrainError> {
    *sum = Some(match sum.take() {
        Some(sum) => (sum + more)?,
        None => more,
    });
    Ok(())
}
