//! `mekiki init`: a new project from a template.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::context::{Context, absolute};
use super::output::{Failure, Outcome};
use crate::config::{self, FILE_NAME};
use crate::store::Store;

/// A new project from a template.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// The project's folder: new, or empty.
    dir: PathBuf,
    /// What to start from.
    #[arg(long, value_enum, default_value_t = TemplateName::Pins)]
    template: TemplateName,
    /// The language of the instructions.
    #[arg(long, value_enum, default_value_t = LanguageName::En)]
    language: LanguageName,
    /// The project's name; the folder's, when not given.
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TemplateName {
    /// 27 pins in a 3 × 9 grid, two image types, five fields.
    Pins,
    /// Printed circuits: judgement, defect mode, position on a 3 × 3 grid, box.
    Pcb,
    /// One field, to be filled in.
    Blank,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LanguageName {
    /// English.
    En,
    /// Japanese.
    Ja,
}

pub(super) fn run(context: &Context, args: &InitArgs) -> Result<Outcome, Failure> {
    let dir = absolute(&args.dir);
    make_empty(&dir)?;
    let name = args.name.clone().or_else(|| Some(dir.file_name()?.to_string_lossy().into_owned())).unwrap_or_else(|| "mekiki".to_owned());
    let template = match args.template {
        TemplateName::Pins => config::Template::Pins,
        TemplateName::Pcb => config::Template::Pcb,
        TemplateName::Blank => config::Template::Blank,
    };
    let language = match args.language {
        LanguageName::En => config::Language::En,
        LanguageName::Ja => config::Language::Ja,
    };
    let text = template.text(&name, language);
    let file = dir.join(FILE_NAME);
    let project = config::parse(&text, &file, &dir)?;
    std::fs::write(&file, text).map_err(|source| config::ConfigError::Io { path: file.clone(), source })?;
    Store::create(&dir, project.schema())?;
    context.out.object(&json!({ "project": dir, "file": file, "template": template.name() }))?;
    context.out.line(format_args!("made {} from the template {}", file.display(), template.name()));
    context.out.line(format_args!("next: mekiki -C {} import SOURCE", dir.display()));
    Ok(Outcome::Done)
}

/// Makes the folder where it is missing; refuses one that holds anything.
pub(super) fn make_empty(dir: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(format_args!("{}: {error}", dir.display()));
    std::fs::create_dir_all(dir).map_err(failed)?;
    if std::fs::read_dir(dir).map_err(failed)?.next().is_some() {
        return Err(Failure::new(format_args!("{} is not empty; name a new or empty folder", dir.display())));
    }
    Ok(())
}
