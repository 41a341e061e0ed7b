//! How a way of predicting is typed: `demo`, or `model=demo,kind=one-shot`.

use std::path::Path;

use super::super::output::Failure;
use super::super::predict::Eye;
use crate::config::Project;
use crate::domain::{Exemplar, Kind, PredictionSource};
use crate::store::Store;

/// A way of predicting that was asked for.
pub(super) struct Asked {
    pub(super) eye: Eye,
    pub(super) source: PredictionSource,
    /// The project with the instructions that were named.
    pub(super) project: Project,
}

impl Asked {
    /// Reads what was typed; what is not said is the project's.
    pub(super) fn parse(project: &Project, store: &Store, text: &str) -> Result<Self, Failure> {
        let wrong = |expected: &str, got: &str| Failure::usage(format_args!("{text}: expected {expected}, got {got:?}"));
        let (mut model, mut adapter, mut kind, mut exemplar) = (None, None, None, None);
        let mut project = project.clone();
        for part in text.split(',') {
            let (word, value) = part.split_once('=').unwrap_or(("model", part));
            if value.is_empty() && word != "adapter" {
                return Err(wrong("a model's name, or words such as model=demo,kind=one-shot", part));
            }
            match word {
                "model" => model = Some(value),
                "adapter" => adapter = Some(value).filter(|value| !value.is_empty()),
                "kind" => kind = Some(Kind::parse(value).ok_or_else(|| wrong("kind=zero-shot or kind=one-shot", part))?),
                "exemplar" => {
                    exemplar = Some(Exemplar::parse(value).ok_or_else(|| wrong("exemplar=right, wrong or none", part))?);
                }
                "instruction" => {
                    let instructions = &mut project.recipe.instructions;
                    let (version, language) = value.split_once('/').map_or((value, None), |(version, language)| (version, Some(language)));
                    version.clone_into(&mut instructions.version);
                    if let Some(language) = language {
                        language.clone_into(&mut instructions.language);
                    }
                }
                _ => return Err(wrong("one of model, adapter, instruction, exemplar and kind", part)),
            }
        }
        if exemplar.is_some() && kind == Some(Kind::ZeroShot) {
            return Err(wrong("kind=one-shot beside an exemplar", text));
        }
        let kind = kind.unwrap_or(if exemplar.is_some() { Kind::OneShot } else { Kind::ZeroShot });
        let eye = Eye::named(&project, store, model, adapter.map(Path::new))?;
        let source = eye.source(&project, kind, exemplar.unwrap_or(Exemplar::Right));
        Ok(Self { eye, source, project })
    }
}
