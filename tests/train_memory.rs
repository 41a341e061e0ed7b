//! The memory that is foretold is the memory that is allocated.
#![allow(clippy::unwrap_used, clippy::print_stdout, unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use mekiki::domain::Kind;
use mekiki::model::processor::{Grid, ImageProcessor};
use mekiki::model::qwen_vl::{Config, Pictures, Whole, WholeRow, cross_entropy};
use mekiki::model::random::{self, Shape};
use mekiki::train::memory::{CARDS, Card, Load, Memory, ShownImage, Term, Values, advice, memory};
use mekiki::train::{Full, Lora, LoraPlan, Plan, Precision, Recompute, Trainable};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted.
struct Counted;

fn grown(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    MOST.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: everything is handed to the system's allocator as it comes.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        grown(size);
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// What a pass keeps, and the most that is there while its gradients are computed.
fn measured(base: &Path, config: &Config, trainable: &dyn Trainable, load: &Load, rows: usize, again: bool) -> (usize, usize) {
    let processor = ImageProcessor::load(base, config).unwrap();
    let patch = config.vision.patch as u32;
    let images: Vec<RgbImage> = load
        .images
        .iter()
        .flat_map(|shown| {
            let (width, height) = (shown.grid.width as u32 * patch, shown.grid.height as u32 * patch);
            (0..shown.different.unwrap_or(rows)).map(move |nth| RgbImage::from_pixel(width, height, image::Rgb([nth as u8, 80, 160])))
        })
        .collect();
    let pictures = Pictures::new(&processor, &images.iter().collect::<Vec<_>>()).unwrap();
    let unit = config.vision.merge * config.vision.merge;
    let mut starts = Vec::new();
    for shown in &load.images {
        let before: usize = starts.iter().map(|(_, count)| count).sum();
        starts.push((before, shown.different.unwrap_or(rows)));
    }
    let row = |nth: usize| {
        let mut ids = vec![1];
        for shown in &load.images {
            ids.resize(ids.len() + shown.grid.patches() / unit, config.image_token);
            ids.push(2);
        }
        ids.resize(load.tokens, 3);
        WholeRow { ids, images: starts.iter().map(|(start, count)| start + nth % count).collect() }
    };
    let all: Vec<WholeRow> = (0..rows).map(row).collect();
    let whole = Whole::new(config, &all, pictures.grids().to_vec(), 16).unwrap();
    let places: Vec<u32> = (0..rows)
        .flat_map(|row| (0..load.answer).map(move |at| (row * whole_tokens(load) + load.tokens - load.answer + at) as u32))
        .collect();
    let targets = Tensor::new(vec![3_u32; places.len()], &Device::Cpu).unwrap();
    let weights = Tensor::full(1.0_f32, places.len(), &Device::Cpu).unwrap();
    let before = LIVE.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let (model, loss) = {
        let mut model = trainable.network(Some(0)).unwrap();
        if again {
            model.compute_again(trainable.variables().iter().map(|(_, var)| var)).unwrap();
        }
        let hidden = model.read(&whole, &model.features(&pictures).unwrap()).unwrap();
        let logits = model.logits(&model.pick(&hidden, &places).unwrap()).unwrap();
        let loss = cross_entropy(&logits, &targets, &weights).unwrap();
        (model, loss)
    };
    let kept = LIVE.load(Ordering::Relaxed) - before;
    let gradients = model.backward(&loss).unwrap();
    let most = MOST.load(Ordering::Relaxed) - before;
    drop((gradients, loss, model));
    (kept, most)
}

fn whole_tokens(load: &Load) -> usize {
    load.tokens.next_multiple_of(16)
}

fn bytes(terms: &[Term], names: &[&str]) -> u64 {
    terms.iter().filter(|term| names.contains(&term.name)).map(|term| term.bytes).sum()
}

fn load(grids: &[(usize, usize, Option<usize>)], text: usize, merge: usize) -> Load {
    let images: Vec<ShownImage> = grids
        .iter()
        .map(|(height, width, different)| ShownImage { grid: Grid { height: *height, width: *width }, different: *different })
        .collect();
    let tokens = images.iter().map(|shown| shown.grid.patches() / (merge * merge) + 1).sum::<usize>() + text;
    Load { kind: Kind::OneShot, tokens, answer: 24, dense: 0, images }
}

fn new_checkpoint(shape: &Shape) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    random::write(dir.path(), shape, 1, &["Compare the pins. - judgement->passed".repeat(20)], &|_, _| {}).unwrap();
    dir
}

// One test: what others allocate would be counted.
#[test]
fn foretold_memory_is_allocated_memory() {
    let small = new_checkpoint(&Shape::Small);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/model");
    let bases: [(PathBuf, usize); 3] = [(small.path().to_owned(), 3), (fixtures.join("qwen2"), 16), (fixtures.join("qwen2_5"), 16)];
    let mut warm = false;
    for (base, rows) in bases {
        let config = mekiki::model::checkpoint::Checkpoint::open(&base).unwrap().config().unwrap();
        let load = load(&[(8, 12, Some(2)), (8, 12, Some(2)), (8, 12, None)], 70, config.vision.merge);
        let some = LoraPlan { rank: 4, ..LoraPlan::default() };
        for lora in [None, Some(some.clone()), Some(LoraPlan { vision: true, dropout: 0.1, ..some })] {
            let plan = Plan { batch: rows, micro_batch: rows, dense: None, dtype: Precision::F32, lora: lora.clone(), ..Plan::scratch() };
            let trainable: Box<dyn Trainable> = match &lora {
                None => Box::new(Full::load(&base, &Device::Cpu, DType::F32).unwrap()),
                Some(lora) => Box::new(Lora::new(&base, lora, 1, &Device::Cpu, DType::F32).unwrap()),
            };
            let values = Values::of(&config, lora.as_ref()).unwrap();
            let trained: usize = trainable.variables().iter().map(|(_, var)| var.elem_count()).sum();
            assert_eq!(values.trained, trained as u64);
            if !std::mem::replace(&mut warm, true) {
                // Threads and their buffers stay from the first computation on.
                measured(&base, &config, trainable.as_ref(), &load, rows, false);
            }
            for recompute in [Recompute::Never, Recompute::Always] {
                let plan = Plan { recompute, ..plan.clone() };
                let again = recompute == Recompute::Always;
                let (kept, most) = measured(&base, &config, trainable.as_ref(), &load, rows, again);
                let Memory { passes, .. } = memory(&config, &plan, std::slice::from_ref(&load), false).unwrap();
                let terms = &passes[0].terms;
                let foretold = bytes(terms, &["text model", "vision tower", "image features", "answers"]);
                let foretold_most = foretold + bytes(terms, &["gradients", "cast weights", "in passing"]);
                let name = base.file_name().unwrap().to_string_lossy();
                let off = |foretold: u64, got: usize| foretold as f64 / got as f64 - 1.0;
                println!(
                    "{name} {lora:?} {recompute:?}: kept {kept} {:+.1} %, at most {most} {:+.1} %",
                    100.0 * off(foretold, kept),
                    100.0 * off(foretold_most, most)
                );
                // What is kept is held to the whole: a network that keeps little keeps more of what is counted nowhere.
                let kept_off = (foretold as f64 - kept as f64) / if again { most } else { kept } as f64;
                assert!(kept_off.abs() < 0.05 && off(foretold_most, most).abs() < 0.08, "{name} {lora:?} {recompute:?}: {terms:?}");
            }
        }
    }
    let plan = Plan { batch: 64, micro_batch: 16, ..Plan::lora() };
    a_large_model_needs_a_large_card(&plan);
}

/// Of a 2B model, what is known without running it.
fn a_large_model_needs_a_large_card(plan: &Plan) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, QWEN3_VL_2B).unwrap();
    let config = Config::parse(QWEN3_VL_2B, &path).unwrap();
    let one = load(&[(28, 64, Some(4)), (28, 64, Some(4)), (28, 64, None)], 250, 2);
    let zero = Load { kind: Kind::ZeroShot, ..load(&[(28, 64, Some(4)), (28, 64, None)], 150, 2) };
    let loads = [one, zero];
    let whole = memory(&config, &Plan { lora: None, ..plan.clone() }, &loads, true).unwrap();
    let adapter = memory(&config, plan, &loads, true).unwrap();
    let sum = |terms: &[Term]| terms.iter().map(|term| term.bytes).sum::<u64>();
    assert!(sum(&whole.still) > 4 * sum(&adapter.still));
    assert!((4_000_000_000..5_500_000_000).contains(&bytes(&adapter.still, &["frozen weights"])));
    assert!(sum(&adapter.passes[0].terms) > sum(&adapter.passes[1].terms), "one-shot is longer");
    // The card that holds it is the smallest that does, and a T4 computes no bf16.
    let card = Card::smallest(adapter.peak, plan.dtype).unwrap();
    assert!(card.bytes >= adapter.peak);
    assert!(CARDS.iter().all(|other| other.bytes >= card.bytes || other.bytes < adapter.peak || !other.bf16));
    assert_eq!(Card::smallest(1 << 30, Precision::F32).unwrap().name, "T4 16 GB");
    assert_eq!(Card::smallest(1 << 30, Precision::Bf16).unwrap().name, "L4 24 GB");
    // What is advised saves what it says, and enough of it fits.
    let room = CARDS[1].bytes;
    let told = advice(&config, plan, &loads, true, room).unwrap();
    let smaller = told.iter().find(|advice| advice.change.starts_with("--micro-batch ")).unwrap();
    let micro: usize = smaller.change[14..].split(':').next().unwrap().parse().unwrap();
    let then = memory(&config, &Plan { micro_batch: micro, ..plan.clone() }, &loads, true).unwrap();
    assert_eq!(adapter.peak - then.peak, smaller.saves);
    assert!(smaller.fits && then.peak <= room, "{told:?}");
    assert!(told.iter().any(|advice| advice.change.contains("--one-shot-share 0")));
    assert!(told.iter().any(|advice| advice.change.contains("half the pixels")));
    assert!(advice(&config, plan, &loads, true, adapter.peak).unwrap().is_empty());
}

const QWEN3_VL_2B: &str = r#"{
    "model_type": "qwen3_vl", "image_token_id": 151655, "tie_word_embeddings": true,
    "text_config": {"vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 128, "rope_parameters": {"rope_theta": 5000000, "mrope_section": [24, 20, 20]}},
    "vision_config": {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "out_hidden_size": 2048,
        "deepstack_visual_indexes": [5, 11, 17]}
}"#;
