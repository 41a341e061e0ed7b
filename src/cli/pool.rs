//! `mekiki pool`: reference and exemplar images.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::{Context, absolute};
use super::output::{Failure, Outcome};
use crate::config::{self, Project};
use crate::conversation::{PoolImage, Purpose, Recipe};
use crate::domain::{Address, Field, FieldKind, RelativePath, SampleId, Value};
use crate::imaging::{self, Limits};

/// List and change the pools.
#[derive(Debug, Args)]
pub(super) struct PoolArgs {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// List every pool image.
    List,
    /// Add images; those that lie outside of the project are copied into its folder pools.
    Add(AddArgs),
    /// Take images out of a pool; their files stay.
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
struct AddArgs {
    /// What they are for.
    #[arg(value_enum)]
    purpose: PurposeName,
    /// The images.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The image type they serve; not needed where there is only one.
    #[arg(long = "type", value_name = "TYPE")]
    image_type: Option<String>,
    /// Where the red star stands; needed for an exemplar.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<String>,
    /// The group (board, lot) of the product, so that one of the test split is refused.
    #[arg(long)]
    group: Option<String>,
    /// The sample it shows, for which it is then never drawn.
    #[arg(long)]
    sample: Option<String>,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// The pool.
    #[arg(value_enum)]
    purpose: PurposeName,
    /// The images, as the list shows them.
    #[arg(required = true)]
    images: Vec<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum PurposeName {
    /// Good products to compare with.
    Reference,
    /// Good products with a red star.
    Exemplar,
}

impl From<PurposeName> for Purpose {
    fn from(name: PurposeName) -> Self {
        match name {
            PurposeName::Reference => Self::Reference,
            PurposeName::Exemplar => Self::Exemplar,
        }
    }
}

pub(super) fn run(context: &Context, args: &PoolArgs) -> Result<Outcome, Failure> {
    let project = context.project()?;
    match &args.act {
        Act::List => list(context, &project),
        Act::Add(args) => add(context, &project, args),
        Act::Remove(args) => remove(context, &project, args),
    }
}

fn list(context: &Context, project: &Project) -> Result<Outcome, Failure> {
    let grid_field = address_field(project);
    let address = |image: &PoolImage| image.address.and_then(|address| Some(grid_field.as_ref()?.render(&Value::Address(Some(address)))));
    let rows: Vec<_> = project
        .recipe
        .pool
        .images
        .iter()
        .map(|image| {
            json!({
                "purpose": image.purpose.name(), "type": image.image_type, "image": image.image, "address": address(image),
                "sample": image.sample, "group": image.group, "present": project.dir.join(image.image.as_str()).is_file(),
            })
        })
        .collect();
    context.out.object(&json!({ "images": rows }))?;
    for image in &project.recipe.pool.images {
        let missing = if project.dir.join(image.image.as_str()).is_file() { "" } else { "  (the file is missing)" };
        context.out.line(format_args!(
            "{:<9} {:<10} {:<4} {}{missing}",
            image.purpose.name(),
            image.image_type,
            address(image).unwrap_or_default(),
            image.image
        ));
    }
    for image_type in project.schema().image_types() {
        let count = |purpose| project.recipe.pool.of(purpose, image_type).count();
        context.out.line(format_args!("{image_type}: {} references, {} exemplars", count(Purpose::Reference), count(Purpose::Exemplar)));
    }
    Ok(Outcome::Done)
}

fn add(context: &Context, project: &Project, args: &AddArgs) -> Result<Outcome, Failure> {
    let purpose = Purpose::from(args.purpose);
    let image_type = image_type(project, args.image_type.as_deref())?;
    let address = args.at.as_deref().map(|text| parse_address(project, text)).transpose()?;
    if purpose == Purpose::Exemplar && address.is_none() {
        return Err(Failure::usage("an exemplar needs the address of its star: --at ADDRESS"));
    }
    let sample = args.sample.as_ref().map(SampleId::new).transpose().map_err(Failure::usage)?;
    let mut added = Vec::new();
    for image in &args.images {
        let image = bring_in(project, &absolute(image))?;
        let row = PoolImage { purpose, image_type: image_type.clone(), image, address, sample: sample.clone(), group: args.group.clone() };
        added.push((row, address.map(|address| address_text(project, address))));
    }
    config::add_pool_images(&project.dir, &added)?;
    told(context, "added", &added)
}

/// Says which pool images were added.
pub(super) fn told(context: &Context, verb: &str, added: &[(PoolImage, Option<String>)]) -> Result<Outcome, Failure> {
    let rows: Vec<_> =
        added.iter().map(|(image, address)| json!({ "image": image.image, "type": image.image_type, "address": address })).collect();
    context.out.object(&json!({ "added": rows.len(), "images": rows }))?;
    for (image, address) in added {
        context.out.line(format_args!(
            "{verb} {} {} {} {}",
            image.purpose.name(),
            image.image_type,
            address.as_deref().unwrap_or_default(),
            image.image
        ));
    }
    Ok(Outcome::Done)
}

fn remove(context: &Context, project: &Project, args: &RemoveArgs) -> Result<Outcome, Failure> {
    let mut removed = Vec::new();
    for image in &args.images {
        if config::remove_pool_image(&project.dir, args.purpose.into(), image)? {
            context.out.line(format_args!("removed {image}; its file stays"));
            removed.push(image);
        } else {
            context.out.line(format_args!("{image} is not in the pool"));
        }
    }
    context.out.object(&json!({ "removed": removed }))?;
    Ok(if removed.len() == args.images.len() { Outcome::Done } else { Outcome::Problems })
}

/// The image type that was named, or the only one.
pub(super) fn image_type(project: &Project, named: Option<&str>) -> Result<String, Failure> {
    let types = project.schema().image_types();
    match (named, types) {
        (Some(named), _) => project.schema().image_type_named(named).map(str::to_owned),
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
    .ok_or_else(|| Failure::usage(format_args!("--type: expected one of {}, got {}", types.join(", "), named.unwrap_or("none"))))
}

fn address_field(project: &Project) -> Option<Field> {
    Recipe::exemplar_fields(project.schema()).into_iter().find(|field| matches!(field.kind, FieldKind::Address { .. }))
}

/// An address of the project's grid.
pub(super) fn parse_address(project: &Project, text: &str) -> Result<Address, Failure> {
    let field =
        address_field(project).ok_or_else(|| Failure::usage("no field of this project has a grid, so that there are no addresses"))?;
    match field.parse(text) {
        Ok(Value::Address(Some(address))) => Ok(address),
        _ => Err(Failure::usage(format_args!("--at: expected {}, got {text:?}", field.expectation()))),
    }
}

/// An address as the project's grid writes it.
pub(super) fn address_text(project: &Project, address: Address) -> String {
    address_field(project).map(|field| field.render(&Value::Address(Some(address)))).unwrap_or_default()
}

/// The image's path in the project; an image from outside is copied in. Fails when it cannot be decoded.
fn bring_in(project: &Project, path: &Path) -> Result<RelativePath, Failure> {
    imaging::decode(path, Limits::default())?;
    let real = path.canonicalize()?;
    if let Ok(inside) = real.strip_prefix(&project.dir) {
        return Ok(RelativePath::new(inside.to_string_lossy())?);
    }
    let name = real.file_name().map_or_else(|| "image".into(), |name| name.to_string_lossy());
    let mut inside = format!("pools/{name}");
    let hash = imaging::hash_file(&real)?;
    if project.dir.join(&inside).exists() && imaging::hash_file(&project.dir.join(&inside))? != hash {
        // Another image of that name is there: the content tells them apart.
        inside = format!("pools/{}-{name}", &hash.to_string()[..8]);
    }
    std::fs::create_dir_all(project.dir.join("pools"))?;
    let relative = RelativePath::new(inside)?;
    std::fs::copy(&real, project.dir.join(relative.as_str()))?;
    Ok(relative)
}
