//! `mekiki exemplar make`: a red star drawn on a good product.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::context::{Context, absolute};
use super::output::{Failure, Outcome};
use super::plan::{self, Folders};
use super::pool;
use crate::boards;
use crate::config::{self, Project};
use crate::conversation::{PoolImage, Purpose};
use crate::domain::{Address, FieldKind, Grid, RelativePath, SampleId, SampleOrigin, Split, stable_hash};
use crate::imaging::{self, Limits};

/// Exemplars.
#[derive(Debug, Args)]
pub(super) struct ExemplarArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Draw a red star on good products and add them to the exemplar pool.
    Make(MakeArgs),
}

#[derive(Debug, Args)]
struct MakeArgs {
    /// A picture of a good product.
    #[arg(required_unless_present = "from_passed", conflicts_with = "from_passed", requires = "at")]
    image: Option<PathBuf>,
    /// The address at which the star is drawn.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "from_passed")]
    at: Option<String>,
    /// Take so many good samples of the train split, spread the stars over the grid.
    #[arg(long, value_name = "N")]
    from_passed: Option<usize>,
    /// Which samples are good.
    #[arg(long = "where", value_name = "FILTER", default_value = "label.judgement=passed", requires = "from_passed")]
    filter: String,
    /// The image type; not needed where there is only one.
    #[arg(long = "type", value_name = "TYPE")]
    image_type: Option<String>,
    /// The centres of the grid's corner cells in pixels (top left, top right, bottom right, bottom left), where the
    /// project file's do not fit: `x,y x,y x,y x,y`.
    #[arg(long, value_name = "CORNERS", value_parser = parse_corners)]
    corners: Option<[[f32; 2]; 4]>,
}

fn parse_corners(text: &str) -> Result<[[f32; 2]; 4], String> {
    let pair = |pair: &str| -> Option<[f32; 2]> {
        let (x, y) = pair.split_once(',')?;
        Some([x.trim().parse().ok()?, y.trim().parse().ok()?])
    };
    let pairs: Option<Vec<[f32; 2]>> = text.split_whitespace().map(pair).collect();
    pairs.and_then(|pairs| pairs.try_into().ok()).ok_or_else(|| "expected four pairs x,y with spaces between".to_owned())
}

/// A star to be drawn.
struct Task {
    source: PathBuf,
    image_type: String,
    address: Address,
    sample: Option<(SampleId, String)>,
}

pub(super) fn run(context: &Context, args: &ExemplarArgs) -> Result<Outcome, Failure> {
    let Act::Make(args) = &args.act;
    let project = context.project()?;
    let grid = grid_of(&project)?;
    let tasks = match (&args.image, args.from_passed) {
        (Some(image), _) => {
            let address = pool::parse_address(&project, args.at.as_deref().unwrap_or_default())?;
            let image_type = pool::image_type(&project, args.image_type.as_deref())?;
            vec![Task { source: absolute(image), image_type, address, sample: None }]
        }
        (None, count) => passed(context, &project, args, &grid, count.unwrap_or_default())?,
    };
    std::fs::create_dir_all(project.dir.join("pools"))?;
    let progress = context.out.progress(tasks.len() as u64, "drawing stars");
    let made = tasks.into_par_iter().map(|task| make(&project, &grid, args.corners, &task)).collect::<Result<Vec<_>, Failure>>()?;
    drop(progress);
    config::add_pool_images(&project.dir, &made)?;
    pool::told(context, "made", &made)
}

fn grid_of(project: &Project) -> Result<Grid, Failure> {
    let grids = project
        .schema()
        .fields()
        .iter()
        .find_map(|field| if let FieldKind::Address { grid, .. } = &field.kind { Some(grid.clone()) } else { None });
    grids.ok_or_else(|| Failure::usage("no field of this project has a grid, so that there are no addresses"))
}

/// Good samples of the train split, the same for ever for one seed, evenly from the image types; the addresses go round
/// the grid in steps that share no factor with its size.
fn passed(context: &Context, project: &Project, args: &MakeArgs, grid: &Grid, count: usize) -> Result<Vec<Task>, Failure> {
    let (_, store) = context.open()?;
    let folders = Folders::of(project, &store)?;
    let filter = plan::filter(project, &format!("{} split=train state!=rejected", args.filter))?;
    let wanted = args.image_type.as_deref().map(|named| pool::image_type(project, Some(named))).transpose()?;
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = store.page(&filter, after.as_ref(), 1000)?;
        found.extend(
            page.rows
                .into_iter()
                .filter(|row| wanted.as_ref().is_none_or(|wanted| *wanted == row.image_type))
                .map(|row| (row.image_type, row.id)),
        );
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    found.sort_by_key(|(_, id)| stable_hash(project.recipe.seed, &["exemplar", id.as_str()]));
    let types: Vec<&String> =
        project.schema().image_types().iter().filter(|image_type| wanted.as_ref().is_none_or(|wanted| wanted == *image_type)).collect();
    let addresses: Vec<Address> = grid.addresses().collect();
    let step = (addresses.len() * 2 / 5..=addresses.len()).find(|step| gcd(*step, addresses.len()) == 1).unwrap_or(1);
    let mut tasks = Vec::new();
    for (place, image_type) in types.iter().enumerate() {
        let share = (count + types.len() - 1 - place) / types.len();
        let own: Vec<&SampleId> = found.iter().filter(|(of, _)| of == *image_type).map(|(_, id)| id).take(share).collect();
        if own.len() < share {
            return Err(Failure::new(format_args!(
                "expected {share} good samples of {image_type} in the train split ({}), got {}; ask for fewer, or approve or import more",
                args.filter,
                own.len()
            )));
        }
        for (index, id) in own.into_iter().enumerate() {
            let sample = store.sample(id)?.sample;
            debug_assert!(project.splits.split_of(&sample.group) == Split::Train && sample.origin == SampleOrigin::Imported);
            let source = folders.locate(&sample.query)?;
            tasks.push(Task {
                source,
                image_type: (*image_type).clone(),
                address: addresses[index * step % addresses.len()],
                sample: Some((sample.id, sample.group)),
            });
        }
    }
    Ok(tasks)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Draws the star and writes the picture as PNG, in RGB whatever it was, into the project's folder pools.
fn make(project: &Project, grid: &Grid, corners: Option<[[f32; 2]; 4]>, task: &Task) -> Result<(PoolImage, Option<String>), Failure> {
    let mut picture = imaging::decode(&task.source, Limits::default())?.to_rgb8();
    let (width, height) = picture.dimensions();
    let shares = project.corners.get(&task.image_type);
    let in_pixels = |shares: &[[f64; 2]; 4]| shares.map(|[x, y]| [(x * f64::from(width)) as f32, (y * f64::from(height)) as f32]);
    let corners = corners.or_else(|| shares.map(in_pixels)).ok_or_else(|| {
        Failure::usage(format_args!(
            "where does the grid lie on a {} image? give --corners, or [corners] {} in the project file",
            task.image_type, task.image_type
        ))
    })?;
    let (rows, columns) = (grid.rows.len(), grid.columns.len());
    let centre = boards::pin_centre(&corners, rows, columns, task.address);
    let [tl, tr, _, bl] = corners;
    let pitch = |a: [f32; 2], b: [f32; 2], count: usize| (a[0] - b[0]).hypot(a[1] - b[1]) / (count.max(2) - 1) as f32;
    // A star as large as the cells allow without touching the neighbours', and never lost on a large picture.
    let radius = pitch(tl, tr, columns).min(pitch(tl, bl, rows)) * 0.32;
    boards::star(&mut picture, centre, radius.max(4.0));
    let address = pool::address_text(project, task.address);
    let stem = task.source.file_stem().map_or_else(|| "image".into(), |stem| stem.to_string_lossy());
    let image = RelativePath::new(format!("pools/exemplar-{stem}-{address}.png"))?;
    picture.save_with_format(project.dir.join(image.as_str()), image::ImageFormat::Png)?;
    let (sample, group) = task.sample.clone().unzip();
    Ok((
        PoolImage { purpose: Purpose::Exemplar, image_type: task.image_type.clone(), image, address: Some(task.address), sample, group },
        Some(address),
    ))
}
