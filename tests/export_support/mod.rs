//! A small project of two image types, whose pictures are drawn here.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use mekiki::config::{Language, Project, Template, parse};
use mekiki::conversation::{PoolImage, Purpose, SamplingPlan};
use mekiki::domain::{
    Address, ApprovedSample, FieldId, ImageHashes, ImageRef, Label, Provenance, RelativePath, ReviewerName, Sample, SampleId, SampleOrigin,
    Split, ValueOrigin, approve,
};
use mekiki::export::{ExportError, Format, Report, Request, export};
use mekiki::imaging::hash_file;
use serde_json::Value as Json;

pub const TYPES: [&str; 2] = ["CYLN_DST", "CYLN_RAW"];
pub const MODES: [&str; 3] = ["passed", "scratch", "dent"];

pub struct Lab {
    pub dir: tempfile::TempDir,
    pub project: Project,
    pub hard_links: bool,
}

impl Lab {
    /// A project with pools, and pictures for so many samples.
    pub fn new(samples: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = Template::Pins.text("pins", Language::En);
        let mut project = parse(&text, Path::new("mekiki.toml"), dir.path()).unwrap();
        for folder in ["images", "pools"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        for (n, image_type) in TYPES.into_iter().enumerate() {
            for k in 0..3_u8 {
                for purpose in [Purpose::Reference, Purpose::Exemplar] {
                    let path = format!("pools/{}-{image_type}-{k}.png", purpose.name());
                    draw(&dir.path().join(&path), 1000 + n as u64 * 10 + u64::from(k) + if purpose == Purpose::Exemplar { 100 } else { 0 });
                    let address = (purpose == Purpose::Exemplar).then_some(Address { row: k % 3, column: k });
                    let image = RelativePath::new(path).unwrap();
                    let image = PoolImage { purpose, image_type: image_type.to_owned(), image, address, sample: None, group: None };
                    project.recipe.pool.images.push(image);
                }
            }
        }
        let lab = Self { dir, project, hard_links: false };
        (0..samples).for_each(|n| draw(&lab.image(n), n));
        lab
    }

    pub fn image(&self, ordinal: u64) -> PathBuf {
        self.dir.path().join(format!("images/{ordinal}.png"))
    }

    pub fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// An approved sample; its label follows from its place, unless another defect mode is given.
    pub fn sample(&self, ordinal: u64, mode: Option<&str>) -> ApprovedSample {
        let schema = self.project.schema();
        let image_type = TYPES[ordinal as usize % 2];
        let mode = mode.unwrap_or(MODES[ordinal as usize % 3]);
        let (judgement, position) = if mode == "passed" { ("passed", "none") } else { ("defective", "U3") };
        let texts =
            [("image_type", image_type), ("quantity", "27"), ("judgement", judgement), ("defect_mode", mode), ("position", position)];
        let (label, problems) = Label::from_texts(schema, texts);
        assert_eq!(problems, []);
        let sample = Sample {
            id: SampleId::new(format!("板/{ordinal}")).unwrap(),
            ordinal,
            image_type: image_type.to_owned(),
            query: ImageRef { folder: 0, path: RelativePath::new(format!("images/{ordinal}.png")).unwrap() },
            reference: None,
            group: format!("board {}", ordinal / 2),
            origin: SampleOrigin::Imported,
            imported: Label::default(),
        };
        let provenance = Provenance {
            operation: format!("op-{ordinal}"),
            reviewer: ReviewerName::new("花子").unwrap(),
            time_ms: 1_700_000_000_000,
            images: ImageHashes { query: hash_file(&self.image(ordinal)).unwrap(), reference: None },
            origins: vec![(FieldId::new("judgement").unwrap(), ValueOrigin::Prediction(7))],
        };
        approve(schema, sample, label, provenance).unwrap()
    }

    pub fn samples(&self, ordinals: impl IntoIterator<Item = u64>) -> Vec<ApprovedSample> {
        ordinals.into_iter().map(|n| self.sample(n, None)).collect()
    }

    pub fn export(&self, samples: &[ApprovedSample], plan: SamplingPlan) -> Result<Report, ExportError> {
        self.export_as(Format::Messages, &self.out(), samples, plan)
    }

    pub fn export_as(&self, format: Format, out: &Path, samples: &[ApprovedSample], plan: SamplingPlan) -> Result<Report, ExportError> {
        let folders = |folder| (folder == 0).then(|| self.dir.path().to_owned());
        let request = Request {
            recipe: &self.project.recipe,
            plan,
            splits: &self.project.splits,
            format,
            out,
            folders: &folders,
            models: &|id| Some(format!("model of {id}")),
            hard_links: self.hard_links,
            tool: "mekiki test",
            project: &self.project.name,
        };
        export(&request, samples.iter().cloned().map(Ok::<_, Infallible>), &|_| ())
    }

    /// The first sample of a split, counted from a place.
    pub fn first_of(&self, split: Split, from: u64) -> u64 {
        (from..1000).find(|n| self.project.splits.split_of(&format!("board {}", n / 2)) == split).unwrap()
    }
}

/// A picture of its own for every seed, in one of three sizes.
pub fn draw(path: &Path, seed: u64) {
    let (width, height) = [(64, 48), (96, 64), (80, 80)][seed as usize % 3];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let base = [(seed * 37 % 200) as u8, (seed * 91 % 200) as u8, (seed * 53 % 200) as u8];
    let image = RgbImage::from_fn(width, height, |x, y| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let noise = (state >> 60) as u8;
        Rgb([base[0] + noise, base[1] + (x % 40) as u8, base[2] + (y % 40) as u8])
    });
    image.save(path).unwrap();
}

/// Every file below a folder, with what it holds.
pub fn snapshot(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(here) = open.pop() {
        for entry in fs::read_dir(&here).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// The lines of a JSONL file.
pub fn rows(path: &Path) -> Vec<Json> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether a set is whole: every file that its manifest lists is there with its hash, and every row's images are.
pub fn is_whole(dir: &Path) -> bool {
    let manifest: Json = serde_json::from_slice(&fs::read(dir.join("manifest.json")).unwrap()).unwrap();
    let files = manifest["files"].as_object().unwrap();
    files.iter().all(|(name, hash)| hash_file(&dir.join(name)).is_ok_and(|now| now.to_string() == hash.as_str().unwrap()))
        && files.len() + 1 == snapshot(dir).len()
}
