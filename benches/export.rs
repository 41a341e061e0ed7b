//! How fast training sets are written: `cargo bench --bench export`.
//!
//! - `messages`: 100,000 approved samples, each with a picture of its own, to JSONL with paths: copied, and linked.
//! - `parquet`: pictures of 200 KB embedded, in MB/s of what is written.
//!
//! Beside each stand a plain Python and Pillow loop over the same samples (`MEKIKI_PYTHON` names an interpreter with
//! Pillow, and pyarrow for Parquet) and `cp` of the same bytes; all of them up to `sync`. `MEKIKI_BENCH_DIR` names the
//! disk, `MEKIKI_BENCH_SAMPLES` and `MEKIKI_BENCH_LARGE` the numbers of samples.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::convert::Infallible;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use mekiki::config::{Language, Project, Template, parse};
use mekiki::conversation::{PoolImage, Purpose, SamplingPlan};
use mekiki::domain::{
    Address, ApprovedSample, ImageHashes, ImageRef, Label, Provenance, RelativePath, ReviewerName, Sample, SampleId, SampleOrigin, approve,
};
use mekiki::export::{Format, Report, Request, export};
use mekiki::imaging::hash_file;

const TYPE: &str = "CYLN_DST";

struct Lab {
    dir: PathBuf,
    project: Project,
    samples: Vec<ApprovedSample>,
}

fn main() {
    let root = std::env::var_os("MEKIKI_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(root).unwrap();
    let number = |name: &str, usual| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(usual);

    let small = Lab::new(&dir.path().join("small"), number("MEKIKI_BENCH_SAMPLES", 100_000), 24);
    println!(
        "{} samples to JSONL with paths; every picture {} bytes",
        small.samples.len(),
        small.query_bytes() / small.samples.len() as u64
    );
    let out = small.dir.join("out");
    let (seconds, report) = small.export(Format::Messages, &out, false);
    println!("  mekiki, copied          {seconds:6.2} s   (peak memory {} MB)", peak_mb());
    assert_eq!(report.conversations, small.samples.len() as u64);
    let (seconds, _) = small.export(Format::Messages, &out, false);
    println!("  mekiki, nothing changed {seconds:6.2} s");
    let (seconds, _) = small.export(Format::Messages, &small.dir.join("linked"), true);
    println!("  mekiki, hard links      {seconds:6.2} s");
    println!("  cp of the written set   {:6.2} s", cp(&out, &small.dir.join("cp")));
    small.python("messages");
    drop(small);

    let large = Lab::new(&dir.path().join("large"), number("MEKIKI_BENCH_LARGE", 2000), 259);
    let out = large.dir.join("out");
    println!("{} samples to Parquet; every picture {} bytes", large.samples.len(), large.query_bytes() / large.samples.len() as u64);
    let (seconds, _) = large.export(Format::Parquet, &out, false);
    let bytes = size(&out);
    println!("  mekiki                  {:6.0} MB/s  ({} MB; peak memory {} MB)", rate(bytes, seconds), bytes >> 20, peak_mb());
    println!("  cp of the written set   {:6.0} MB/s", rate(bytes, cp(&out, &large.dir.join("cp"))));
    large.python("parquet");
}

impl Lab {
    /// Samples with pictures of noise, `side` pixels wide and high: three bytes a pixel, since noise does not shrink.
    fn new(dir: &Path, count: u64, side: u32) -> Self {
        fs::create_dir_all(dir.join("images")).unwrap();
        fs::create_dir_all(dir.join("pools")).unwrap();
        let mut project = parse(&Template::Pins.text("bench", Language::En), Path::new("mekiki.toml"), dir).unwrap();
        for k in 0..6_u8 {
            let purpose = if k % 2 == 0 { Purpose::Reference } else { Purpose::Exemplar };
            let path = format!("pools/{k}.png");
            noise(&dir.join(&path), u64::from(k) + 1_000_000, side);
            let address = (purpose == Purpose::Exemplar).then_some(Address { row: k % 3, column: k });
            let image = RelativePath::new(path).unwrap();
            project.recipe.pool.images.push(PoolImage { purpose, image_type: TYPE.to_owned(), image, address, sample: None, group: None });
        }
        let samples = (0..count).map(|n| sample(dir, &project, n, side)).collect();
        rustix::fs::sync();
        Self { dir: dir.to_owned(), project, samples }
    }

    fn export(&self, format: Format, out: &Path, hard_links: bool) -> (f64, Report) {
        let request = Request {
            recipe: &self.project.recipe,
            plan: SamplingPlan::First(500),
            splits: &self.project.splits,
            format,
            out,
            folders: &|_| Some(self.dir.clone()),
            models: &|_| None,
            hard_links,
            tool: "bench",
            project: &self.project.name,
        };
        let start = Instant::now();
        let report = export(&request, self.samples.iter().cloned().map(Ok::<_, Infallible>), &|_| ()).unwrap();
        (start.elapsed().as_secs_f64(), report)
    }

    fn query_bytes(&self) -> u64 {
        size(&self.dir.join("images"))
    }

    /// The plain loop over the same samples.
    fn python(&self, what: &str) {
        let python = std::env::var("MEKIKI_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let needs = if what == "parquet" { "import PIL, pyarrow" } else { "import PIL" };
        if !Command::new(&python).args(["-c", needs]).status().is_ok_and(|status| status.success()) {
            println!("  Python                  absent: {python} cannot {needs}");
            return;
        }
        let spec = self.dir.join("spec.jsonl");
        let mut file = BufWriter::new(fs::File::create(&spec).unwrap());
        for approved in &self.samples {
            let kind = SamplingPlan::First(500).kinds(0, approved.sample().ordinal, &approved.sample().id)[0];
            let conversation = self.project.recipe.conversation(approved, kind).unwrap();
            let path = |image: &RelativePath| self.dir.join(image.as_str());
            let texts: Vec<String> = conversation.turns.iter().map(mekiki::conversation::Turn::text).collect();
            let row = serde_json::json!({
                "query": path(&approved.sample().query.path),
                "reference": path(&conversation.picks.reference.path),
                "exemplar": conversation.picks.exemplar.as_ref().map(|exemplar| path(&exemplar.image)),
                "instruction": texts[texts.len() - 2], "answer": texts[texts.len() - 1], "star": texts[0], "star_answer": texts[1],
            });
            writeln!(file, "{row}").unwrap();
        }
        file.flush().unwrap();
        rustix::fs::sync();
        let (script, out) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/export.py"), self.dir.join("python"));
        let start = Instant::now();
        assert!(Command::new(python).arg(script).arg(what).arg(spec).arg(&out).status().unwrap().success());
        let seconds = start.elapsed().as_secs_f64();
        if what == "parquet" {
            println!("  Python and Pillow       {:6.0} MB/s", rate(size(&out), seconds));
        } else {
            println!("  Python and Pillow       {seconds:6.2} s");
        }
    }
}

fn sample(dir: &Path, project: &Project, ordinal: u64, side: u32) -> ApprovedSample {
    let path = format!("images/{ordinal}.png");
    noise(&dir.join(&path), ordinal, side);
    let query = hash_file(&dir.join(&path)).unwrap();
    let texts = [("image_type", TYPE), ("quantity", "27"), ("judgement", "defective"), ("defect_mode", "scratch"), ("position", "U3")];
    let sample = Sample {
        id: SampleId::new(format!("s{ordinal}")).unwrap(),
        ordinal,
        image_type: TYPE.to_owned(),
        query: ImageRef { folder: 0, path: RelativePath::new(path).unwrap() },
        reference: None,
        group: format!("board {}", ordinal / 10),
        origin: SampleOrigin::Imported,
        imported: Label::default(),
    };
    let provenance = Provenance {
        operation: format!("op-{ordinal}"),
        reviewer: ReviewerName::new("bench").unwrap(),
        time_ms: 1_700_000_000_000,
        images: ImageHashes { query, reference: None },
        origins: Vec::new(),
    };
    approve(project.schema(), sample, Label::from_texts(project.schema(), texts).0, provenance).unwrap()
}

fn noise(path: &Path, seed: u64, side: u32) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let image = image::RgbImage::from_fn(side, side, |_, _| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        image::Rgb([(state >> 32) as u8, (state >> 40) as u8, (state >> 48) as u8])
    });
    image.save(path).unwrap();
}

fn cp(from: &Path, to: &Path) -> f64 {
    rustix::fs::sync();
    let start = Instant::now();
    assert!(Command::new("cp").args(["-r", "--reflink=never"]).arg(from).arg(to).status().unwrap().success());
    rustix::fs::sync();
    start.elapsed().as_secs_f64()
}

fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { size(&path) } else { path.metadata().unwrap().len() }).sum()
}

fn rate(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 / 1e6 / seconds
}

/// The most memory that this process has held so far.
fn peak_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) >> 10
}
