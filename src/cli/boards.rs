//! `mekiki boards`: pin boards with known truth, as a project that can be imported.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde_json::json;
use toml_edit::{DocumentMut, value};

use super::context::{Context, absolute};
use super::numbers;
use super::output::{Failure, Outcome};
use crate::boards::{self, Board, BoardMix, BoardSpec, BoardType, COLUMNS, DatasetBoard, DatasetPlan, DefectMode, Finding, ROWS};
use crate::config::{self, FILE_NAME, Language, Template};
use crate::conversation::{PoolImage, Purpose};
use crate::domain::{Address, BoundingBox, Grid, RelativePath, stable_hash};

/// Draw pin boards with known truth into a new folder: a project file, samples.jsonl to import, truth.jsonl to measure by.
#[derive(Debug, Args)]
pub(super) struct BoardsArgs {
    /// The folder: new, or empty.
    dir: PathBuf,
    /// How many query images.
    #[arg(long, default_value_t = 240)]
    count: u64,
    /// Decides every board; the same seed draws the same boards.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many references and how many exemplars for each image type.
    #[arg(long, default_value_t = 10)]
    pools: u64,
    /// The defect modes that occur, with commas between.
    #[arg(long, value_delimiter = ',', default_values_t = default_modes())]
    modes: Vec<String>,
    /// The share of defective boards.
    #[arg(long, default_value_t = 0.6, value_parser = share)]
    defective: f32,
    /// The share of samples without a label.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    unlabelled: f32,
    /// The share of labels that are deliberately wrong.
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    wrong: f32,
    /// The width of the images in pixels; the height follows.
    #[arg(long, default_value_t = boards::NATIVE_WIDTH, value_parser = clap::value_parser!(u32).range(112..=4096))]
    width: u32,
    /// JPEG quality.
    #[arg(long, default_value_t = 72, value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: u8,
    /// The project's name; the folder's, when not given.
    #[arg(long)]
    name: Option<String>,
    /// How many samples the project's plan makes one-shot.
    #[arg(long, default_value_t = 500)]
    one_shot: u32,
}

/// All but the last mode, which is kept for learning from few samples.
fn default_modes() -> Vec<String> {
    DefectMode::ALL[..DefectMode::ALL.len() - 1].iter().map(|mode| mode.id().to_owned()).collect()
}

fn share(text: &str) -> Result<f32, String> {
    numbers::share(text).map(|share| share as f32)
}

pub(super) fn run(context: &Context, args: &BoardsArgs) -> Result<Outcome, Failure> {
    let dir = absolute(&args.dir);
    let modes = args
        .modes
        .iter()
        .map(|id| {
            DefectMode::from_id(id).ok_or_else(|| {
                Failure::usage(format_args!("--modes: expected some of {}, got {id:?}", DefectMode::ALL.map(DefectMode::id).join(", ")))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    super::init::make_empty(&dir)?;
    for below in ["boards", "pools"] {
        std::fs::create_dir(dir.join(below))?;
    }
    let mix = BoardMix { modes: &modes, defective: args.defective, width: args.width };
    let plan = DatasetPlan { seed: args.seed, count: args.count, mix, unlabelled: args.unlabelled, wrong: args.wrong, lot: 8 };
    let writer = Writer { dir: &dir, quality: args.quality };
    let pictures = args.count + args.pools * 4;
    let progress = context.out.progress(pictures, "drawing");
    let done = AtomicU64::new(0);
    let count_one = || progress.set(done.fetch_add(1, Ordering::Relaxed) + 1);
    let rows = (0..args.count)
        .into_par_iter()
        .map(|index| {
            let board = plan.board(index);
            let drawn = boards::draw(&board.spec);
            let image = format!("{}.jpg", board.id);
            writer.write(&format!("boards/{image}"), &drawn)?;
            count_one();
            Ok(rows_of(&board, &drawn, &image))
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    let grid = grid();
    let pool = pool_specs(args.seed, args.pools, args.width);
    let pool_images = pool
        .into_par_iter()
        .map(|(purpose, path, spec)| {
            writer.write(&path, &boards::draw(&spec))?;
            count_one();
            let image = PoolImage {
                purpose,
                image_type: spec.board_type.id().to_owned(),
                image: RelativePath::new(path)?,
                address: spec.star,
                sample: None,
                group: None,
            };
            Ok((image, spec.star.map(|address| grid.render(address))))
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    write_lines(&dir.join("samples.jsonl"), rows.iter().map(|(row, _)| row))?;
    write_lines(&dir.join("truth.jsonl"), rows.iter().map(|(_, truth)| truth))?;
    let name = args.name.clone().or_else(|| Some(dir.file_name()?.to_string_lossy().into_owned())).unwrap_or_else(|| "boards".to_owned());
    let mut document: DocumentMut = Template::Pins.text(&name, Language::En).parse()?;
    document["plan"]["one_shot"] = value(i64::from(args.one_shot));
    std::fs::write(dir.join(FILE_NAME), document.to_string())?;
    config::add_pool_images(&dir, &pool_images)?;
    context.out.object(&json!({ "path": dir, "boards": args.count, "pool": pool_images.len() }))?;
    context.out.line(format_args!("drew {} boards and {} pool images into {}", args.count, pool_images.len(), dir.display()));
    context.out.line(format_args!("next: mekiki -C {0} import {0}/samples.jsonl", dir.display()));
    Ok(Outcome::Done)
}

/// Reference and exemplar boards: good ones, of seeds that no query has; the exemplars' stars are spread over the grid.
fn pool_specs(seed: u64, count: u64, width: u32) -> Vec<(Purpose, String, BoardSpec)> {
    let mut specs = Vec::new();
    for board_type in BoardType::ALL {
        let short = board_type.id().rsplit('_').next().unwrap_or_default().to_lowercase();
        for purpose in [Purpose::Reference, Purpose::Exemplar] {
            for index in 0..count {
                // 11 shares no factor with 27, so that stars come to every pin before one comes back.
                let pin = ((index * 11 + 4) % (ROWS * COLUMNS) as u64) as usize;
                let star = (purpose == Purpose::Exemplar).then_some(Address { row: (pin / COLUMNS) as u8, column: (pin % COLUMNS) as u8 });
                let seed = stable_hash(seed, &["pool", purpose.name(), &short, &index.to_string()]);
                let path = format!("pools/{}-{short}-{:02}.jpg", purpose.name(), index + 1);
                specs.push((purpose, path, BoardSpec { seed, board_type, defect: None, star, width }));
            }
        }
    }
    specs
}

fn grid() -> Grid {
    Grid { rows: ["U", "C", "D"].map(String::from).to_vec(), columns: (1..=COLUMNS).map(|column| column.to_string()).collect() }
}

/// The row to import (the original's keys) and the row of the truth.
fn rows_of(board: &DatasetBoard, drawn: &Board, image: &str) -> (serde_json::Value, serde_json::Value) {
    let size = drawn.image.dimensions();
    let place = |finding: Finding| finding.map_or_else(|| "none".to_owned(), |(_, address)| grid().render(address));
    let mode = |finding: Finding| finding.map_or("passed", |(mode, _)| mode.id());
    let mut row = json!({ "id": board.id, "dir": "boards", "image": image, "type": board.spec.board_type.id(), "group": board.group });
    if let Some(label) = board.label {
        let true_box = drawn.defect_box.filter(|_| label == board.spec.defect);
        let area = true_box.unwrap_or_else(|| label.map_or_else(|| whole(drawn), |(_, address)| around(drawn, address)));
        let [x1, y1, x2, y2] = area.map(f64::from);
        let tokens = BoundingBox::from_pixels(x1, y1, x2, y2, size.0, size.1).map(|area| area.to_string()).unwrap_or_default();
        row["position"] = json!(place(label));
        row["bbox_str"] = json!(format!("{}{tokens}", mode(label)));
    }
    let truth = board.spec.defect;
    let truth = json!({
        "id": board.id,
        "image_type": board.spec.board_type.id(),
        // The pins that the product has by its drawing, as the original rows count them: a missing one is a defect.
        "quantity": 27,
        "judgement": if truth.is_some() { "defective" } else { "passed" },
        "defect_mode": mode(truth),
        "position": place(truth),
        "bbox": drawn.defect_box,
    });
    (row, truth)
}

/// The box around all pins.
fn whole(drawn: &Board) -> [f32; 4] {
    drawn
        .corners
        .iter()
        .fold([f32::MAX, f32::MAX, f32::MIN, f32::MIN], |[x1, y1, x2, y2], [x, y]| [x1.min(*x), y1.min(*y), x2.max(*x), y2.max(*y)])
}

/// The box around one pin.
fn around(drawn: &Board, address: Address) -> [f32; 4] {
    let [x, y] = boards::pin_centre(&drawn.corners, ROWS, COLUMNS, address);
    let reach = drawn.image.width() as f32 * 0.04;
    [x - reach, y - reach, x + reach, y + reach]
}

struct Writer<'a> {
    dir: &'a Path,
    quality: u8,
}

impl Writer<'_> {
    fn write(&self, path: &str, board: &Board) -> Result<(), Failure> {
        let mut encoder = Encoder::new_file(self.dir.join(path), self.quality)?;
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        encoder.set_progressive(true);
        encoder.set_optimized_huffman_tables(true);
        // WIDTHS keeps both sides far below 65,536.
        let (width, height) = (board.image.width() as u16, board.image.height() as u16);
        Ok(encoder.encode(board.image.as_raw(), width, height, ColorType::Rgb)?)
    }
}

fn write_lines<'a>(path: &Path, rows: impl Iterator<Item = &'a serde_json::Value>) -> Result<(), Failure> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    for row in rows {
        serde_json::to_writer(&mut file, row)?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}
