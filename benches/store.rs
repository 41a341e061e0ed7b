//! The store at a million samples: `cargo bench --bench store`.
//!
//! `MEKIKI_BENCH_SAMPLES` (default 1,000,000) sets the size: three operations and two predictions for each sample.
//! `MEKIKI_BENCH_DIR` names a folder on the disk to measure; a store that a run has left there is measured again.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints measurements")]

#[path = "../tests/store_support/mod.rs"]
mod store_support;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use mekiki::domain::{Edit, Exemplar, FieldPrediction, Filter, Kind, Label, PredictionSource, SampleId, Schema};
use mekiki::store::{Decision, DecisionKind, PredictedFields, Store};
use rusqlite::Connection;
use store_support::{id, label, sample, schema, who};

const QUERIES: [(&str, &str); 12] = [
    ("all", ""),
    ("state", "state=undecided"),
    ("state, newest decision first", "state=approved sort=-decided"),
    ("one field", "judgement=defective"),
    ("two fields", "judgement=defective position=U3"),
    ("two fields, nothing found", "judgement=passed position=U3"),
    ("confidence below, least first", "confidence<0.5 sort=confidence"),
    ("state, least confidence first", "state=undecided sort=confidence"),
    ("disagreement, largest first", "disagree sort=-disagreement"),
    ("reviewer, newest decision first", "reviewer=aiko sort=-decided"),
    ("text in id", "id=*0123*"),
    ("four conditions", "judgement=defective confidence<0.8 state=undecided disagree"),
];

/// The variable that turns this program into its own second half, whose memory is measured alone.
const MEASURE: &str = "MEKIKI_BENCH_MEASURE";

fn main() {
    if let Ok(dir) = std::env::var(MEASURE) {
        return measure(Path::new(&dir));
    }
    let samples = std::env::var("MEKIKI_BENCH_SAMPLES").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let temporary = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("MEKIKI_BENCH_DIR").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    if !dir.join(".mekiki").exists() {
        build(&dir, samples);
    }
    assert!(Command::new(std::env::current_exe().unwrap()).env(MEASURE, &dir).status().unwrap().success());
}

/// Numbers that only look random.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// 60 % good, 40 % defective with any mode and position.
fn some_answer(schema: &Schema, n: usize, random: &mut Random) -> Label {
    let pick = |random: &mut Random, id: &str| {
        let field = schema.field_named(id).unwrap();
        let values: Vec<String> = field.values().unwrap().iter().map(|value| field.render(value)).collect();
        values[1 + random.below(values.len() - 1)].clone()
    };
    let (judgement, mode, position) = if random.below(10) < 6 {
        ("passed", "passed".to_owned(), "none".to_owned())
    } else {
        ("defective", pick(random, "defect_mode"), pick(random, "position"))
    };
    let image_type = ["CYLN_DST", "CYLN_RAW"][n % 2];
    label(
        schema,
        &[("image_type", image_type), ("quantity", "27"), ("judgement", judgement), ("defect_mode", &mode), ("position", &position)],
    )
}

fn build(dir: &Path, samples: usize) {
    fs::create_dir_all(dir).unwrap();
    let schema = schema();
    let mut random = Random(1);
    let mut store = Store::create(dir, &schema).unwrap();
    // Made before, so that only the store is measured.
    let answers: Vec<Label> = (0..2_000).map(|n| some_answer(&schema, n, &mut random)).collect();
    let began = Instant::now();
    let mut import = store.begin_import(&who("import"), "bench").unwrap();
    for n in 0..samples {
        let label = if n % 3 == 0 { Label::default() } else { answers[n % answers.len()].clone() };
        import.add(&sample(n, label)).unwrap();
    }
    let staged = began.elapsed();
    import.finish().unwrap();
    let all = began.elapsed();
    println!("import                 {:>9.0} rows/s ({samples} in {:.1} s)", rate(samples, all), all.as_secs_f64());
    println!("import, processor time {:>9.1} s; staging {:.1} s of the {:.1} s", processor_s(), staged.as_secs_f64(), all.as_secs_f64());

    println!("memory while importing {:>9} MB at most", peak_mb());

    for model in ["first", "second"] {
        let source = PredictionSource {
            model: model.to_owned(),
            adapter: None,
            instruction: "v1".to_owned(),
            exemplar: Exemplar::None,
            kind: Kind::ZeroShot,
        };
        let began = Instant::now();
        for first in (0..samples).step_by(10_000) {
            let batch: Vec<(SampleId, PredictedFields)> = (first..samples.min(first + 10_000))
                .map(|n| (id(n), predict(&schema, &answers[random.below(answers.len())], &answers[n % answers.len()], &mut random)))
                .collect();
            store.add_predictions(&source, &batch).unwrap();
        }
        println!("predictions, {model:<10}{:>9.0} rows/s", rate(samples, began.elapsed()));
    }

    drop(store);
    let began = Instant::now();
    write_log(dir, samples, 3 * samples, &schema, &answers, &mut random);
    println!("(log written behind the store's back in {:.1} s)", began.elapsed().as_secs_f64());
    let mut store = Store::open(dir, &schema).unwrap();
    let began = Instant::now();
    let rebuilt = store.rebuild().unwrap();
    println!("rebuild                {:>9.1} s ({} rows differed)", began.elapsed().as_secs_f64(), rebuilt.samples);
    println!("memory while building  {:>9} MB at most", peak_mb());
}

/// Mostly the same as the label; sure of it or not.
fn predict(schema: &Schema, other: &Label, label: &Label, random: &mut Random) -> PredictedFields {
    let answer = if random.below(10) == 0 { other } else { label };
    let fields = answer.iter().map(|(field, value)| {
        let likely = 1.0 - (random.below(1_000) as f32 / 1_000.0).powi(4) * 0.9;
        let values = schema.field(field).and_then(mekiki::domain::Field::values).unwrap_or_default();
        let rest = values.into_iter().filter(|other| other != value).take(2).map(|other| (other, (1.0 - likely) / 2.0));
        let probabilities = [(value.clone(), likely)].into_iter().chain(rest).collect();
        (field.clone(), FieldPrediction { value: value.clone(), probabilities, outside: 0.001 })
    });
    fields.collect()
}

/// One operation on one sample at a time, as three reviewers would have made them over months.
fn write_log(dir: &Path, samples: usize, operations: usize, schema: &Schema, answers: &[Label], random: &mut Random) {
    let connection = Connection::open(dir.join(".mekiki/store.sqlite")).unwrap();
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; BEGIN").unwrap();
    let hash = "ab".repeat(32);
    let approvals: Vec<String> = answers
        .iter()
        .map(|answer| {
            let label: Vec<String> = answer.texts(schema).map(|(field, text)| format!(r#"["{field}","{text}","imported"]"#)).collect();
            format!(r#"{{"approve":{{"label":[{}],"images":{{"query":"{hash}"}},"shown":"not-shown"}}}}"#, label.join(","))
        })
        .collect();
    let mut operation = connection
        .prepare("INSERT INTO operations VALUES (?1, randomblob(16), NULL, ?2, 1000, ?2, 'server', ?3, 'decide', 1, NULL, 'bench')")
        .unwrap();
    let mut touched = connection.prepare("INSERT INTO operation_samples VALUES (?1, ?2, 0, ?3)").unwrap();
    for op in 2..operations as i64 + 2 {
        let n = random.below(samples);
        let edit = match random.below(10) {
            0..=2 => approvals[n % approvals.len()].as_str(),
            3..=5 => r#"{"set":{"field":"quantity","value":"27","origin":"typed"}}"#,
            6 => r#""reject""#,
            7 => r#"{"flag":true}"#,
            8 => r#"{"flag":false}"#,
            _ => r#""reopen""#,
        };
        operation.execute((op, ["aiko", "ben", "千代"][random.below(3)], 1_700_000_000_000 + op * 3_000)).unwrap();
        touched.execute((op, n as i64, edit)).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
}

fn measure(dir: &Path) {
    let schema = schema();
    let open: Vec<Duration> = (0..7).map(|_| time(|| Store::open(dir, &schema).unwrap()).0).collect();
    println!("open                   {:>9.1} ms at first, {:.1} ms after", ms(open[0]), ms(median(open[1..].to_vec())));
    println!("\n{:<34}{:>22}{:>22}{:>10}", "query", "first page, ms", "count, ms", "found");
    println!("{:<34}{:>11}{:>11}{:>11}{:>11}", "", "new conn.", "median", "new conn.", "median");
    for (name, text) in QUERIES {
        let filter = Filter::parse(&schema, text).unwrap();
        let page = |store: &Store| time(|| store.page(&filter, None, 100).unwrap()).0;
        let fresh = Store::open(dir, &schema).unwrap();
        let first_page = page(&fresh);
        let pages = median((0..5).map(|_| page(&fresh)).collect());
        let fresh = Store::open(dir, &schema).unwrap();
        let (first_count, found) = time(|| fresh.count(&filter).unwrap());
        let counts = median((0..5).map(|_| time(|| fresh.count(&filter).unwrap()).0).collect());
        println!("{name:<34}{:>11.1}{:>11.1}{:>11.1}{:>11.1}{found:>10}", ms(first_page), ms(pages), ms(first_count), ms(counts));
    }
    let store = Store::open(dir, &schema).unwrap();
    println!("\nstats                  {:>9.1} ms", ms(time(|| store.stats().unwrap()).0));
    decisions(dir, store);
    println!("memory                 {:>9} MB at most", peak_mb());
}

/// Decisions one by one, each beside a bare write and fsync, so that both meet the same moods of the disk.
fn decisions(dir: &Path, mut store: Store) {
    let mut file = File::create(dir.join("bare")).unwrap();
    let (mut durable, mut bare, mut undos) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..300 {
        bare.push(time(|| file.write_all(&[n as u8; 4096]).and_then(|()| file.sync_data()).unwrap()).0);
        let view = store.sample(&id(n * 37)).unwrap();
        let decision = [Decision { sample: view.sample.id, base: view.revision, edit: Edit::Reject }];
        let (took, outcome) = time(|| store.decide(&who("bench"), DecisionKind::Single, "bench", &decision).unwrap());
        assert_eq!(outcome.refused, []);
        durable.push(took);
        undos.push(time(|| store.undo(&who("bench")).unwrap()).0);
    }
    fs::remove_file(dir.join("bare")).unwrap();
    for (name, times) in [("bare 4 KiB + fsync", bare), ("one decision, durable", durable), ("one undo, durable", undos)] {
        println!("{name:<23}{:>9.2} ms in the middle, {:.2} ms at 95 %", ms(median(times.clone())), ms(at(times, 0.95)));
    }
}

fn time<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let result = work();
    (began.elapsed(), result)
}

fn median(times: Vec<Duration>) -> Duration {
    at(times, 0.5)
}

fn at(mut times: Vec<Duration>, share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// The processor time that this process has had, in seconds.
fn processor_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, behind_name) = stat.rsplit_once(") ").unwrap();
    // User and system time, in hundredths.
    behind_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

/// The most memory that this process has had, in megabytes.
fn peak_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1000
}
