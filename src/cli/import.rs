//! `mekiki import`: adds samples from files, folders or archives.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::context::{Context, absolute};
use super::output::{Failure, Outcome};
use crate::config::Project;
use crate::domain::SampleOrigin;
use crate::import::{self, BadRow, Columns, Format, Item, Location, Options};
use crate::store::{ImportSession, NewImage, NewSample, Store, StoreError, Who};

/// The most bad rows that are listed; all are counted.
const MOST_LISTED: usize = 1000;

/// Add samples. Bad rows are reported and the rest goes on; importing again adds nothing twice.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// Files, folders or zip archives.
    #[arg(required = true)]
    sources: Vec<PathBuf>,
    /// The format; found out by itself when not given.
    #[arg(long, value_parser = parse_format)]
    format: Option<Format>,
    /// Which column holds what, where the names differ, for example `--map group=board`. Words: id, query, reference, group, type, bbox and the fields.
    #[arg(long = "map", value_name = "WORD=COLUMN", value_parser = parse_pair)]
    map: Vec<(String, String)>,
    /// The image type of rows that do not name theirs.
    #[arg(long = "type", value_name = "TYPE")]
    image_type: Option<String>,
    /// The folder of the images, when they do not lie beside the source.
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Read each image's header instead of only looking whether it is there.
    #[arg(long)]
    check_images: bool,
    /// Stop at the first bad row and add nothing.
    #[arg(long)]
    strict: bool,
}

fn parse_format(name: &str) -> Result<Format, String> {
    Format::parse(name).ok_or_else(|| format!("expected one of {}", Format::names()))
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=').map(|(word, column)| (word.to_owned(), column.to_owned())).ok_or_else(|| "expected WORD=COLUMN".to_owned())
}

/// What an import did.
#[derive(Debug, Default)]
pub(super) struct Imported {
    pub(super) added: u64,
    pub(super) updated: u64,
    pub(super) unchanged: u64,
    pub(super) bad: u64,
    pub(super) errors: Vec<BadRow>,
}

pub(super) fn run(context: &Context, args: &ImportArgs) -> Result<Outcome, Failure> {
    let (project, mut store) = context.open()?;
    let who = context.who()?;
    if let Some(image_type) = args.image_type.as_deref().filter(|image_type| project.schema().image_type_named(image_type).is_none()) {
        return Err(Failure::usage(format_args!(
            "--type: expected one of {}, got {image_type:?}",
            project.schema().image_types().join(", ")
        )));
    }
    let columns = project.import.columns.clone().into_iter().chain(args.map.iter().cloned());
    let columns = Columns::new(project.schema(), columns)?;
    let images = args.images.as_ref().map(|images| absolute(images));
    let mut total = Imported::default();
    for source in &args.sources {
        let source = absolute(source);
        let stem = source.file_stem().map_or_else(|| "source".into(), |stem| stem.to_string_lossy().into_owned());
        let unpack = project.dir.join("images").join(stem);
        let options = Options {
            schema: project.schema(),
            project: &project.dir,
            unpack: &unpack,
            format: args.format,
            columns: &columns,
            image_type: args.image_type.as_deref(),
            images: images.as_deref(),
            defaults: &project.import.defaults,
            check_images: args.check_images,
            strict: args.strict,
        };
        import_source(context, &project, &mut store, &who, &source, &options, &mut total)?;
    }
    context.out.object(&json!({
        "added": total.added, "updated": total.updated, "unchanged": total.unchanged, "bad": total.bad, "errors": total.errors,
    }))?;
    for error in &total.errors {
        context.out.line(error);
    }
    if total.bad > total.errors.len() as u64 {
        context.out.line(format_args!("… and {} more bad rows", total.bad - total.errors.len() as u64));
    }
    context.out.line(format_args!("{} added, {} updated, {} unchanged, {} bad", total.added, total.updated, total.unchanged, total.bad));
    Ok(if total.bad == 0 { Outcome::Done } else { Outcome::Problems })
}

/// Imports one source as one step: an interruption leaves nothing of it.
pub(super) fn import_source(
    context: &Context,
    project: &Project,
    store: &mut Store,
    who: &Who,
    source: &Path,
    options: &Options<'_>,
    total: &mut Imported,
) -> Result<(), Failure> {
    let progress = context.out.progress(0, "importing");
    let show = |done: u64, of: u64| {
        progress.set_total(of);
        progress.set(done);
    };
    // A project can be moved: what lies in it is named by its place there.
    let named = source.strip_prefix(&project.dir).unwrap_or(source).display().to_string();
    let mut session = store.begin_import(who, &named)?;
    let mut failed = None;
    let mut sink = |item| match item {
        Item::Sample(sample) => match add(project, &mut session, sample) {
            Ok(()) => ControlFlow::Continue(()),
            Err(StoreError::RepeatedSample(id)) => {
                let row = BadRow {
                    file: named.clone(),
                    line: None,
                    field: Some("id".to_owned()),
                    expected: "each id once in a source".to_owned(),
                    got: format!("{id} again"),
                };
                total.bad += 1;
                total.errors.push(row);
                ControlFlow::Continue(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        },
        Item::Bad(row) => {
            total.bad += 1;
            if total.errors.len() < MOST_LISTED {
                total.errors.push(row);
            }
            ControlFlow::Continue(())
        }
    };
    import::read(source, options, &mut sink, &show)?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let count = session.finish()?;
    total.added += count.added;
    total.updated += count.updated;
    total.unchanged += count.unchanged;
    Ok(())
}

fn add(project: &Project, session: &mut ImportSession<'_>, sample: import::NewSample) -> Result<(), StoreError> {
    let image = |location: Location| NewImage { folder: (location.folder != project.dir).then_some(location.folder), path: location.path };
    session.add(&NewSample {
        id: sample.id,
        image_type: sample.image_type,
        query: image(sample.query),
        reference: sample.reference.map(image),
        group: sample.group,
        origin: SampleOrigin::Imported,
        label: sample.label,
    })
}
