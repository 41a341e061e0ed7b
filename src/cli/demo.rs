//! `mekiki demo`: a complete project out of the binary.

use std::path::{Path, PathBuf};

use clap::Args;
use etcetera::BaseStrategy;
use include_dir::{Dir, include_dir};
use serde_json::json;

use super::context::{Context, absolute};
use super::import::{Imported, import_source};
use super::output::{Failure, Outcome};
use super::plan;
use super::review::{self, ReviewArgs};
use crate::config;
use crate::import::{Columns, Options};
use crate::store::Store;

/// Boards, pools, project file and truth, as `mekiki boards` drew them.
static SAMPLE_DATA: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/sample-data");

/// The file by which a demo is known as ours.
const MARK: &str = ".mekiki/demo";

/// Make a complete demo project, or open the one that is there.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// The demo's folder; one in the user's data folder, when not given.
    dir: Option<PathBuf>,
    /// Only set it up.
    #[arg(long)]
    no_review: bool,
}

pub(super) fn run(context: &Context, args: &DemoArgs) -> Result<Outcome, Failure> {
    let dir = match &args.dir {
        Some(dir) => absolute(dir),
        None => etcetera::choose_base_strategy()?.data_dir().join("mekiki").join("demo"),
    };
    let fresh = !dir.join(MARK).is_file();
    if fresh {
        set_up(context, &dir)?;
    }
    let project = config::load(&dir)?;
    let mut store = Store::open(&project.dir, project.schema())?;
    store.set_plan(plan::of(&project))?;
    let stats = store.stats()?;
    context.out.object(&json!({ "path": project.dir, "fresh": fresh, "samples": stats.samples, "approved": stats.approved }))?;
    let dir = dir.display();
    context.out.line(if fresh {
        format!("made the demo in {dir}: {} samples", stats.samples)
    } else {
        format!("the demo in {dir}: {} of {} samples approved", stats.approved, stats.samples)
    });
    if !args.no_review && review::possible(context) {
        return review::review(context, &ReviewArgs::default(), project, store);
    }
    if !args.no_review {
        context.out.line(format_args!("try: mekiki -C {dir} stats"));
        context.out.line(format_args!("     mekiki -C {dir} approve --where labelled"));
        context.out.line(format_args!("     mekiki -C {dir} export --out training-set"));
    }
    Ok(Outcome::Done)
}

/// Builds the demo beside its place and moves it there whole, so that an interruption leaves nothing half done.
fn set_up(context: &Context, dir: &Path) -> Result<(), Failure> {
    let occupied = std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if occupied || dir.is_file() {
        return Err(Failure::new(format_args!("{} is not empty and no demo of mekiki's; name a new or empty folder", dir.display())));
    }
    let parent = dir.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    let building = tempfile::Builder::new().prefix(".mekiki-demo-").tempdir_in(parent)?;
    SAMPLE_DATA.extract(building.path())?;
    let project = config::load(building.path())?;
    let mut store = Store::create(&project.dir, project.schema())?;
    let columns = Columns::new(project.schema(), [])?;
    let options = Options {
        schema: project.schema(),
        project: &project.dir,
        unpack: &project.dir.join("images"),
        format: None,
        columns: &columns,
        image_type: None,
        images: None,
        defaults: &project.import.defaults,
        check_images: false,
        strict: true,
    };
    let source = project.dir.join("samples.jsonl");
    import_source(context, &project, &mut store, &context.who()?, &source, &options, &mut Imported::default())?;
    drop(store);
    std::fs::write(project.dir.join(MARK), "made by 'mekiki demo'\n")?;
    let built = building.keep();
    std::fs::rename(&built, dir).map_err(|error| {
        // Nobody will look for it under its temporary name.
        let _ = std::fs::remove_dir_all(&built);
        Failure::new(format_args!("{}: {error}", dir.display()))
    })
}
