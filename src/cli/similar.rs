//! `mekiki similar`: which pictures look alike.

use std::path::PathBuf;
use std::time::Instant;

use candle_core::DType;
use clap::Args;
use serde_json::json;

use super::context::{Context, absolute};
use super::numbers::share;
use super::output::{Failure, Outcome};
use super::plan;
use super::predict::{DeviceName, Eye, device, device_name};
use crate::jobs::{self, Folders, Maker};
use crate::model::encoder::Encoder;
use crate::similar::Settings;

/// The most failed samples that are listed.
const MOST_LISTED: usize = 20;

/// Group samples whose pictures look alike, score how far each lies from its like, and find near-duplicates.
///
/// Each query picture becomes a short vector, once; what is there already is not made again. All samples of the filter are
/// then compared. Afterwards filters know cluster=N, outlier>0.5, duplicate and sort=-outlier, and the contact sheet groups
/// by likeness. Samples outside of the filter belong to no group.
#[derive(Debug, Args)]
pub(super) struct SimilarArgs {
    /// The model whose vision tower looks at the pictures: a folder below the project's `models` folder, or any folder of a
    /// checkpoint; the project's, when not given.
    #[arg(long, value_name = "DIR")]
    model: Option<String>,
    /// The folder of a DINOv2, SigLIP or Qwen-VL checkpoint that looks at the pictures instead.
    #[arg(long, value_name = "DIR", conflicts_with = "model")]
    encoder: Option<PathBuf>,
    /// Only compare the samples that a filter lets through.
    #[arg(long = "where", value_name = "FILTER")]
    filter: Option<String>,
    /// At most so many groups; the square root of half the samples, at most 512, when not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    clusters: Option<u32>,
    /// From which likeness on two samples are near-duplicates: 1 is equal, 0 as unlike as two samples drawn by lot.
    #[arg(long, value_name = "SHARE", default_value_t = Settings::default().same, value_parser = share)]
    same: f64,
    /// Make all vectors anew: after pictures have changed in their files.
    #[arg(long)]
    anew: bool,
    /// Pictures at a time; 8 on the CPU and 64 elsewhere, when not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: Option<u32>,
    /// What computes; the fastest that this program was built for and finds, when not given.
    #[arg(long, value_enum)]
    device: Option<DeviceName>,
}

pub(super) fn run(context: &Context, args: &SimilarArgs) -> Result<Outcome, Failure> {
    let (project, mut store) = context.open()?;
    let filter = plan::filter(&project, args.filter.as_deref().unwrap_or_default())?;
    let dir = match &args.encoder {
        Some(dir) => absolute(dir),
        None => Eye::named(&project, &store, args.model.as_deref(), None)?.folder()?.to_owned(),
    };
    let device = device(args.device)?;
    let encoder = Encoder::load(&dir, &device, if device.is_cpu() { DType::F32 } else { DType::BF16 })?;
    if args.anew {
        store.forget_encoder(encoder.identity())?;
    }
    let mut folders: Folders = store.folders()?.into_iter().filter(|(number, _)| *number != 0).collect();
    folders.push((0, project.dir.clone()));
    let batch = args.batch.map_or(if device.is_cpu() { 8 } else { 64 }, |batch| batch as usize);
    let started = Instant::now();
    let progress = context.out.progress(0, "looking");
    let maker = Maker { project: &project, folders: &folders, encoder: &encoder, batch };
    let made = maker.make(&mut store, &filter, |done, all| {
        progress.set_total(all);
        progress.set(done);
    })?;
    drop(progress);
    let per_second = made.computed as f64 / started.elapsed().as_secs_f64().max(1e-9);
    let progress = context.out.progress(1000, "comparing");
    let settings = Settings { clusters: args.clusters.map(|clusters| clusters as usize), same: args.same, ..Settings::default() };
    let found = jobs::compare(&mut store, &project, &filter, &encoder, &settings, &|share| progress.set((share * 1000.0) as u64))?;
    drop(progress);
    let listed: Vec<_> = made.failed.iter().map(|(id, error)| json!({ "id": id, "error": error })).collect();
    context.out.object(&json!({
        "vectors": found.vectors, "clusters": found.clusters, "duplicates": found.duplicates, "outliers": found.outliers,
        "computed": made.computed, "failed": made.failed.len(), "per_second": per_second, "device": device_name(&device),
        "encoder": encoder.identity(), "errors": listed,
    }))?;
    for (id, error) in made.failed.iter().take(MOST_LISTED) {
        context.out.line(format_args!("{id}: {error}"));
    }
    if made.failed.len() > MOST_LISTED {
        context.out.line(format_args!("… and {} more", made.failed.len() - MOST_LISTED));
    }
    if made.computed > 0 {
        context.out.line(format_args!("{} pictures looked at, {per_second:.1} a second on {}", made.computed, device_name(&device)));
    }
    context.out.line(format_args!(
        "{} samples in {} groups; {} near-duplicates, {} outliers",
        found.vectors, found.clusters, found.duplicates, found.outliers
    ));
    context.out.line("next: mekiki review, and group the contact sheet by likeness; filters: cluster=0, outlier>0.5, duplicate");
    Ok(if made.failed.is_empty() { Outcome::Done } else { Outcome::Problems })
}
