//! How fast samples are predicted, from image files to stored fields, at a real model's size.
//!
//!     cargo bench --features cuda --bench speed -- make DIR [SHAPE] [SAMPLES]
//!     cargo bench --features cuda --bench speed -- sharpen DIR FACTOR
//!     cargo bench --features cuda --bench speed -- predict DIR DEVICE BATCHES
//!     cargo bench --features cuda --bench speed -- apart DIR DEVICE BATCHES
//!     cargo bench --bench speed -- passes DIR TOKENS BATCHES
//!     cargo bench --features cuda --bench speed -- latency DIR DEVICE BATCH
//!     cargo bench --features cuda --bench speed -- stages DIR DEVICE BATCHES
//!     cargo bench --features cuda --bench speed -- exact DIR DEVICE
//!     cargo bench --features cuda --bench speed -- check DEVICE
//!
//! `make` writes a random checkpoint (2b when no shape is named), a project of five fields, 1,024 distinct query pictures of
//! 448 × 448 and ten references and ten exemplars, of which every pair occurs. A random model finds everything equally likely,
//! so that every path of every answer is walked and every field doubted; `sharpen` makes it as sure of itself as a trained
//! one is. `predict` measures the worker of `mekiki predict` at batch sizes such as `1,8,32`; nothing is kept from one to the
//! next, and what all samples share is read within the time. `latency` measures it for single samples, alone and while it
//! predicts all others in batches. `apart` has one batch under way and waits for the device behind each stage. `exact`
//! compares with a run in f32. `passes` counts on the processor what an accelerator would have to do, for a small network with
//! the same tokens and for several limits of tokens that are read ahead. `check` holds every path of the network on a device against the CPU's. `transformers_generate.py` beside
//! this measures transformers with the same checkpoint and files.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, reason = "a program that prints measurements")]

mod check;
mod pictures;
mod sharpen;
mod stages;
mod worker;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use candle_core::{DType, Device};
use mekiki::config::{self, Language, Project, Template};
use mekiki::conversation::{PoolImage, Purpose};
use mekiki::domain::{Address, Exemplar, ImageRef, Kind, Label, RelativePath, Sample, SampleId, SampleOrigin};
use mekiki::jobs::predict::Compute;
use mekiki::model::checkpoint::Checkpoint;
use mekiki::model::decide::Decision;
use mekiki::model::predictor::{Guessing, Item, Predictor, Settings, Spent};
use mekiki::model::processor::Processor;
use mekiki::model::random::{self, Shape};

pub(crate) const TYPE: &str = "CYLN_DST";
/// Pictures of each pool.
const POOL: usize = 10;
/// What the tower made of some pictures is kept, but of no query until it would come again.
const KEPT_IMAGES: usize = 1 << 26;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", dir, rest @ ..] => {
            let samples = rest.get(1).map_or(1024, |samples| samples.parse().unwrap());
            make(Path::new(dir), rest.first().unwrap_or(&"2b"), samples);
        }
        ["sharpen", dir, factor] => sharpen::norm(&Path::new(dir).join("model"), factor.parse().unwrap()),
        ["predict", dir, on, batches] => worker::predict(Path::new(dir), compute(on), &numbers(batches)),
        ["apart", dir, on, batches] => apart(Path::new(dir), &device(on), &numbers(batches)),
        ["passes", dir, widths, batches] => passes(Path::new(dir), &numbers(widths), &numbers(batches)),
        ["latency", dir, on, batch] => worker::latency(Path::new(dir), compute(on), batch.parse().unwrap()),
        ["stages", dir, on, batches] => stages::run(Path::new(dir), &device(on), &numbers(batches)),
        ["exact", dir, on] => exact(Path::new(dir), &device(on)),
        ["check", on] => check::run(&device(on)),
        _ => println!("expected make DIR, predict DIR DEVICE BATCHES, latency, stages, exact, or check DEVICE; nothing was measured"),
    }
}

fn device(name: &str) -> Device {
    match name {
        "cuda" => {
            let start = Instant::now();
            let device = mekiki::model::device::cuda(0).unwrap();
            println!("the device is there after {:.0} ms", ms(start));
            device
        }
        "metal" => Device::new_metal(0).unwrap(),
        _ => Device::Cpu,
    }
}

fn compute(name: &str) -> Compute {
    match name {
        "cuda" => Compute::Cuda,
        "metal" => Compute::Metal,
        _ => Compute::Cpu,
    }
}

fn numbers(text: &str) -> Vec<usize> {
    text.split(',').map(|number| number.parse().unwrap()).collect()
}

pub(crate) fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The number type that predictions are made in.
pub(crate) fn dtype(device: &Device) -> DType {
    if device.is_cpu() { DType::F32 } else { DType::BF16 }
}

pub(crate) fn project(dir: &Path) -> Project {
    let text = Template::Pins.text("speed", Language::En);
    let mut project = config::parse(&text, Path::new("mekiki.toml"), dir).unwrap();
    for nth in 0..POOL {
        let of = |purpose, name: &str, address| PoolImage {
            purpose,
            image_type: TYPE.to_owned(),
            image: RelativePath::new(format!("{name}-{nth}.png")).unwrap(),
            address,
            sample: None,
            group: None,
        };
        let star = Address { row: (nth % 3) as u8, column: (nth % 9) as u8 };
        project.recipe.pool.images.push(of(Purpose::Reference, "reference", None));
        project.recipe.pool.images.push(of(Purpose::Exemplar, "exemplar", Some(star)));
    }
    project
}

/// How many queries lie in the folder.
fn count(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("queries")).unwrap().count()
}

fn query(nth: usize) -> String {
    format!("queries/{nth:05}.png")
}

pub(crate) fn item(project: &Project, nth: usize) -> Item {
    let sample = Sample {
        id: id(nth),
        ordinal: nth as u64,
        image_type: TYPE.to_owned(),
        query: ImageRef { folder: 0, path: RelativePath::new(query(nth)).unwrap() },
        reference: None,
        group: format!("g{nth}"),
        origin: SampleOrigin::Imported,
        imported: Label::default(),
    };
    let conversation = project.recipe.prompt(&sample, TYPE, Kind::OneShot, Exemplar::Right).unwrap();
    let images = conversation.images().map(|part| project.dir.join(part.image.path.as_str())).collect();
    Item { conversation, images }
}

fn id(nth: usize) -> SampleId {
    SampleId::new(format!("s{nth:05}")).unwrap()
}

fn make(dir: &Path, shape: &str, samples: usize) {
    std::fs::create_dir_all(dir.join("model")).unwrap();
    let project = project(dir);
    let recipe = &project.recipe;
    let mut texts: Vec<String> = recipe.instructions.texts.iter().flat_map(|text| [text.query.clone(), text.exemplar.clone()]).collect();
    texts.extend(recipe.answer.fields().flat_map(|field| {
        let values = field.values().unwrap_or_default();
        values.iter().map(|value| format!("- {}->{}\n", field.title, field.render(value))).collect::<Vec<_>>()
    }));
    let start = Instant::now();
    let written = random::write(&dir.join("model"), &Shape::parse(shape), 1, &texts, &|_, _| ()).unwrap();
    println!("checkpoint: {:.1} GB, {} tokens known, {:.1} s", written.bytes as f64 / 1e9, written.tokens, ms(start) / 1e3);
    let start = Instant::now();
    pictures::write(
        dir,
        (0..samples).map(query).chain((0..POOL).flat_map(|n| [format!("reference-{n}.png"), format!("exemplar-{n}.png")])),
    );
    println!("pictures: {samples} queries, {POOL} references, {POOL} exemplars, {:.1} s", ms(start) / 1e3);
    let model = dir.join("model");
    let processor = Processor::load(&model, &Checkpoint::open(&model).unwrap().config().unwrap()).unwrap();
    let lines: Vec<String> = (0..samples)
        .map(|nth| {
            let item = item(&project, nth);
            let text = processor.chat.render(&item.conversation.turns, true).unwrap();
            serde_json::json!({ "text": text, "images": item.images }).to_string()
        })
        .collect();
    std::fs::write(dir.join("prompts.jsonl"), lines.join("\n") + "\n").unwrap();
}

pub(crate) fn load(dir: &Path, device: &Device, dtype: DType, project: &Project, apart: bool) -> Predictor {
    let start = Instant::now();
    let settings = Settings { images: KEPT_IMAGES, apart, ..Settings::of(device) };
    let predictor = Predictor::load(&dir.join("model"), device, dtype, None, &project.recipe, settings).unwrap();
    device.synchronize().unwrap();
    println!("loaded in {dtype:?} after {:.1} s", ms(start) / 1e3);
    predictor
}

/// The most device memory in use while this lives, in MiB.
struct Peak {
    most: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
}

impl Peak {
    fn watch() -> Self {
        let (most, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, over) = (most.clone(), done.clone());
        std::thread::spawn(move || {
            let Ok(nvml) = nvml_wrapper::Nvml::init() else { return };
            let Ok(device) = nvml.device_by_index(0) else { return };
            while !over.load(Ordering::Relaxed) {
                if let Ok(memory) = device.memory_info() {
                    seen.fetch_max(memory.used >> 20, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { most, done }
    }

    fn mib(&self) -> u64 {
        self.done.store(true, Ordering::Relaxed);
        self.most.load(Ordering::Relaxed)
    }
}

/// How long each stage takes, one batch after the other.
fn apart(dir: &Path, device: &Device, batches: &[usize]) {
    let project = project(dir);
    let samples = count(dir);
    let predictor = load(dir, device, dtype(device), &project, true);
    let items: Vec<Item> = (0..samples).map(|nth| item(&project, nth)).collect();
    let pairs: BTreeSet<_> = items.iter().map(|item| item.images[..2].to_vec()).collect();
    let start = Instant::now();
    let warm = predictor.predict(&items[..1]);
    println!("the first prediction took {:.0} ms: {:?}", ms(start), warm[0].as_ref().map(|decision| &decision.answer));
    println!("{samples} samples, {} pairs", pairs.len());
    for batch in batches.iter().copied() {
        let samples = samples.min(batch * 64);
        drop(predictor.predict(&items[samples - batch.min(samples)..samples]));
        predictor.forget();
        let start = Instant::now();
        let failed: usize =
            items[..samples].chunks(batch).map(|items| predictor.predict(items).iter().filter(|answer| answer.is_err()).count()).sum();
        println!("batch {batch}: {:.2} ms a sample, {failed} failed", ms(start) / samples as f64);
        tell(&predictor.spent(), samples, batch);
    }
}

/// The passes of an accelerator's batches, which read so many tokens ahead.
fn passes(dir: &Path, widths: &[usize], batches: &[usize]) {
    let project = project(dir);
    let items: Vec<Item> = (0..count(dir)).map(|nth| item(&project, nth)).collect();
    for batch in batches.iter().copied() {
        for pass in widths.iter().copied() {
            let guessing = Guessing { pass, ..Guessing::ACCELERATOR };
            let settings = Settings { guessing, ..Settings::of(&Device::Cpu) };
            let predictor = Predictor::load(&dir.join("model"), &Device::Cpu, DType::F32, None, &project.recipe, settings).unwrap();
            let rest = items.len() % batch;
            let before = items.len() - rest;
            println!("batch {batch}, {pass} tokens");
            for (what, items) in [("at first", &items[..before / 4]), ("later", &items[before / 4..before])] {
                for items in items.chunks(batch) {
                    drop(predictor.predict(items));
                }
                println!("     {what}");
                tell(&predictor.spent(), items.len(), batch);
                predictor.forget();
            }
        }
    }
}

/// The stages of so many samples.
pub(crate) fn tell(spent: &Spent, samples: usize, batch: usize) {
    let each = |time: Duration| time.as_secs_f64() * 1e3 / samples as f64;
    let per = |n: usize| n as f64 / samples as f64;
    println!(
        "       per sample: images {:.2} ms, tokens {:.2}, tower {:.2}, shared {:.2}, prompts {:.2}, answers {:.2}; {:.1} answer tokens in {:.1} runs, {:.1} read; {:.2} questions and {:.2} passes a batch",
        each(spent.images),
        each(spent.tokens),
        each(spent.tower),
        each(spent.shared),
        each(spent.prompts),
        each(spent.answers),
        per(spent.effort.tokens),
        per(spent.effort.steps),
        per(spent.read),
        per(spent.effort.calls) * batch as f64,
        per(spent.passes) * batch as f64,
    );
}

/// Predictions of a few samples beside those of the same device in f32.
fn exact(dir: &Path, device: &Device) {
    let project = project(dir);
    let items: Vec<Item> = (0..count(dir).min(16)).map(|nth| item(&project, nth)).collect();
    let answers = |dtype| -> Vec<Decision> {
        let predictor = load(dir, device, dtype, &project, false);
        predictor.predict(&items).into_iter().map(Result::unwrap).collect()
    };
    let (fast, exact) = (answers(dtype(device)), answers(DType::F32));
    let (mut worst, mut same, mut all) = (0.0_f32, 0, 0);
    for (fast, exact) in fast.iter().zip(&exact) {
        for (field, prediction) in &exact.fields {
            let other = &fast.fields[field];
            same += usize::from(other.value == prediction.value);
            all += 1;
            for (value, p) in &prediction.probabilities {
                worst = worst.max((p - other.probability(value)).abs());
            }
        }
    }
    println!("{:?} beside f32: {same} of {all} values equal, probabilities differ by at most {worst:.4}", dtype(device));
}
