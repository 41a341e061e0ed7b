//! A run learns, goes on where it stopped, keeps the best, and ends with a checkpoint that predicts.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use candle_core::{DType, Device};
use mekiki::config::{self, FILE_NAME, Language, Template};
use mekiki::conversation::Recipe;
use mekiki::domain::Kind;
use mekiki::model::ModelError;
use mekiki::model::checkpoint::Checkpoint;
use mekiki::model::predictor::{Predictor, Settings};
use mekiki::model::processor::Processor;
use mekiki::model::qwen_vl::Model;
use mekiki::model::random::{self, Shape};
use mekiki::train::{
    Boards, BoardsPlan, Event, Example, Examples, Full, Held, Photometry, Plan, Precision, Recompute, Run, Summary, TrainError, Trainable,
    train,
};

/// The first examples of a source, over and over.
struct Few(Boards, u64);

impl Examples for Few {
    fn classes(&self) -> &[String] {
        self.0.classes()
    }

    fn example(&self, nth: u64) -> Result<Example, TrainError> {
        self.0.example(nth % self.1)
    }
}

fn recipe() -> Recipe {
    config::parse(&Template::Pins.text("boards", Language::En), FILE_NAME.as_ref(), Path::new(".")).unwrap().recipe
}

fn examples(count: u64) -> Arc<dyn Examples> {
    let plan = BoardsPlan { seed: 5, width: 112, photometry: Photometry::NONE, pool: 2, ..BoardsPlan::default() };
    Arc::new(Few(Boards::new(plan, recipe()).unwrap(), count))
}

/// A tiny random checkpoint.
fn base() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = examples(32);
    let texts: Vec<String> = (0..32)
        .flat_map(|nth| source.example(nth).unwrap().conversation.turns.iter().map(mekiki::conversation::Turn::text).collect::<Vec<_>>())
        .collect();
    random::write(folder.path(), &Shape::Tiny, 1, &texts, &|_, _| {}).unwrap();
    folder
}

fn plan() -> Plan {
    Plan {
        steps: 6,
        batch: 4,
        micro_batch: 2,
        learning_rate: 3e-3,
        warm_up: 4,
        dtype: Precision::F32,
        log_every: 1,
        evaluate_every: 3,
        evaluate_on: 2,
        checkpoint_every: 1000,
        ..Plan::scratch()
    }
}

struct Setting {
    base: tempfile::TempDir,
    folder: tempfile::TempDir,
}

impl Setting {
    fn new() -> Self {
        Self { base: base(), folder: tempfile::tempdir().unwrap() }
    }

    fn load(&self) -> Full {
        Full::load(self.base.path(), &Device::Cpu, DType::F32).unwrap()
    }

    /// Trains; the run is stopped from outside after `until` steps.
    fn train(
        &self,
        full: &dyn Trainable,
        plan: &Plan,
        count: u64,
        resume: bool,
        until: Option<u64>,
    ) -> Result<(Summary, Vec<Event>), TrainError> {
        let config = Checkpoint::open(self.base.path()).unwrap().config().unwrap();
        let processor = Arc::new(Processor::load(self.base.path(), &config).unwrap());
        let stop = AtomicBool::new(false);
        let run = Run {
            plan: plan.clone(),
            trainable: full,
            processor,
            examples: examples(count),
            held: Some(Held { examples: examples(count), count }),
            folder: self.folder.path(),
            resume,
            threads: 2,
            stop: &stop,
        };
        let mut events = Vec::new();
        let summary = train(&run, &mut |event| {
            if let Event::Step(step) = event
                && Some(step.step) == until
            {
                stop.store(true, Ordering::Relaxed);
            }
            events.push(event.clone());
        })?;
        Ok((summary, events))
    }

    fn checkpoint(&self) -> PathBuf {
        self.folder.path().join("checkpoint")
    }
}

fn losses(events: &[Event]) -> Vec<(f64, Option<f64>)> {
    let loss = |event: &Event| if let Event::Step(step) = event { Some((step.answer_loss, step.dense_loss)) } else { None };
    events.iter().filter_map(loss).collect()
}

/// Weights on a device whose memory gives out at some of the micro-batches.
struct Narrow<'a> {
    full: &'a Full,
    asked: AtomicUsize,
    gives_out: &'a dyn Fn(usize) -> bool,
}

impl Trainable for Narrow<'_> {
    fn variables(&self) -> &[(String, candle_core::Var)] {
        self.full.variables()
    }

    fn network(&self, step: Option<u64>) -> Result<Model, TrainError> {
        if step.is_some() && (self.gives_out)(self.asked.fetch_add(1, Ordering::Relaxed)) {
            let said = candle_core::Error::msg("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")");
            return Err(ModelError::Compute(said).into());
        }
        self.full.network(step)
    }

    fn save(&self, dir: &Path) -> Result<(), TrainError> {
        self.full.save(dir)
    }
}

fn values(full: &Full) -> Vec<Vec<f32>> {
    full.variables().iter().map(|(_, var)| var.flatten_all().unwrap().to_vec1().unwrap()).collect()
}

#[test]
fn a_resumed_run_is_the_same_run() {
    let (whole, halves) = (Setting::new(), Setting::new());
    let one = whole.load();
    let (summary, events) = whole.train(&one, &plan(), 8, false, None).unwrap();
    assert!(summary.finished && summary.steps == 6 && summary.samples == 24);
    assert!(!whole.checkpoint().exists());
    let first = halves.load();
    let (stopped, mut both) = halves.train(&first, &plan(), 8, false, Some(3)).unwrap();
    assert!(!stopped.finished && stopped.steps == 3 && halves.checkpoint().is_dir());
    // What is gone on with is the checkpoint, not what happens to lie in memory.
    let second = halves.load();
    let (resumed, more) = halves.train(&second, &plan(), 8, true, None).unwrap();
    assert!(resumed.finished && resumed.steps == 6);
    both.extend(more);
    assert_eq!(losses(&both), losses(&events));
    assert_eq!(values(&second), values(&one));
    let evaluations =
        |events: &[Event]| -> Vec<Event> { events.iter().filter(|event| matches!(event, Event::Evaluation(_))).cloned().collect() };
    assert_eq!(evaluations(&both), evaluations(&events));
    // Another network's checkpoint is refused.
    let (_, _) = halves.train(&halves.load(), &plan(), 8, false, Some(1)).unwrap();
    let state = halves.checkpoint().join("state.json");
    let text = std::fs::read_to_string(&state).unwrap().replacen("embed_tokens", "other_tokens", 1);
    std::fs::write(&state, text).unwrap();
    let error = halves.train(&halves.load(), &plan(), 8, true, None).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("another network"), "{error}");
    let nothing = Setting::new();
    let error = nothing.train(&nothing.load(), &plan(), 8, true, None).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("without --resume"), "{error}");
}

#[test]
fn a_few_examples_are_learnt_by_heart_and_predicted() {
    let setting = Setting::new();
    let full = setting.load();
    let plan = Plan { steps: 40, warm_up: 5, learning_rate: 6e-3, evaluate_every: 20, evaluate_on: 4, ..plan() };
    let (summary, events) = setting.train(&full, &plan, 4, false, None).unwrap();
    let losses = losses(&events);
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    assert!(last.0 < first.0 / 8.0, "{first:?} {last:?}");
    assert!(losses.iter().take(20).any(|(_, dense)| dense.is_some()));
    assert!(summary.best.is_some_and(|best| best >= 0.5), "{summary:?}");
    let out = tempfile::tempdir().unwrap();
    full.save(out.path()).unwrap();
    let predictor = Predictor::load(out.path(), &Device::Cpu, DType::F32, None, &recipe(), Settings::of(&Device::Cpu)).unwrap();
    assert_eq!(predictor.model().config().text.hidden, 48);
    assert!(std::fs::read_to_string(out.path().join("config.json")).unwrap().contains("bfloat16"));
}

#[test]
fn what_diverges_ends_with_advice() {
    let setting = Setting::new();
    let plan = Plan { learning_rate: 1e30, warm_up: 1, clip: 1e30, ..plan() };
    let error = setting.train(&setting.load(), &plan, 4, false, None).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("--lr") && error.contains("no number"), "{error}");
}

#[test]
fn what_does_not_fit_is_computed_with_less() {
    let setting = Setting::new();
    let full = setting.load();
    let narrow = Narrow { full: &full, asked: AtomicUsize::new(0), gives_out: &|nth| nth == 2 || nth == 3 };
    let (summary, events) = setting.train(&narrow, &plan(), 8, false, None).unwrap();
    assert!(summary.finished && summary.steps == 6 && summary.samples == 24);
    let told: Vec<&Event> = events.iter().filter(|event| matches!(event, Event::Again | Event::Smaller { .. })).collect();
    assert_eq!(told, [&Event::Again, &Event::Smaller { micro_batch: 1 }]);
    // Never is never.
    let setting = Setting::new();
    let full = setting.load();
    let narrow = Narrow { full: &full, asked: AtomicUsize::new(0), gives_out: &|nth| nth == 2 };
    let (_, events) = setting.train(&narrow, &Plan { recompute: Recompute::Never, ..plan() }, 8, false, None).unwrap();
    assert!(!events.contains(&Event::Again) && events.contains(&Event::Smaller { micro_batch: 1 }));
}

#[test]
fn recomputing_changes_nothing_that_is_learnt() {
    let [one, other] = [Recompute::Never, Recompute::Always].map(|recompute| {
        let setting = Setting::new();
        let full = setting.load();
        let (_, events) = setting.train(&full, &Plan { recompute, steps: 3, ..plan() }, 8, false, None).unwrap();
        losses(&events)
    });
    for ((one, _), (other, _)) in one.iter().zip(&other) {
        assert!((one - other).abs() < 1e-5 * one, "{one} {other}");
    }
    assert_eq!(one.len(), 3);
}

#[test]
fn what_was_learnt_before_memory_gave_out_is_gone_on_with() {
    let setting = Setting::new();
    let full = setting.load();
    let narrow = Narrow { full: &full, asked: AtomicUsize::new(0), gives_out: &|nth| nth >= 6 };
    let error = setting.train(&narrow, &plan(), 8, false, None).map(|_| ()).unwrap_err();
    let said = error.to_string();
    assert!(error.is_out_of_memory() && said.contains("for 1 conversations") && said.contains("--resume"), "{said}");
    assert!(said.contains(&setting.checkpoint().display().to_string()), "{said}");
    let (summary, events) = setting.train(&setting.load(), &plan(), 8, true, None).unwrap();
    assert!(summary.finished && summary.steps == 6);
    assert_eq!(events[0], Event::Resumed { step: 3 });
    // Where nothing was learnt, nothing is kept.
    let setting = Setting::new();
    let full = setting.load();
    let narrow = Narrow { full: &full, asked: AtomicUsize::new(0), gives_out: &|_| true };
    let error = setting.train(&narrow, &plan(), 8, false, None).map(|_| ()).unwrap_err();
    assert!(!setting.checkpoint().exists() && !error.to_string().contains("--resume"), "{error}");
}

#[test]
fn examples_of_both_kinds_are_mixed() {
    let source = examples(64);
    let one_shot = (0..64).filter(|nth| source.example(*nth).unwrap().conversation.kind == Kind::OneShot).count();
    assert!((16..48).contains(&one_shot), "{one_shot}");
}
