//! What is remembered between two starts: where a review stood, saved views, the reviewer's settings.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::SampleId;
use crate::imaging::hash_bytes;
use crate::review::{Language, Theme, View};

/// The folders in which things are remembered; without them nothing is.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    project: Option<PathBuf>,
    settings: Option<PathBuf>,
}

/// Where a review stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The filter as it was typed.
    pub filter: String,
    /// The sample on the desk.
    pub sample: SampleId,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct OfProject {
    place: Option<Place>,
    views: Vec<(String, String)>,
    /// The id of the training that was begun last, and what was said behind `train`.
    training: Option<(String, Vec<String>)>,
    /// The id of the training whose outcome was put to use last.
    seen_training: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Settings {
    language: Option<String>,
    theme: Option<String>,
}

const LANGUAGES: [(&str, Language); 2] = [("en", Language::En), ("ja", Language::Ja)];
const THEMES: [(&str, Theme); 3] = [("dark", Theme::Dark), ("light", Theme::Light), ("high-contrast", Theme::HighContrast)];
/// More than any of these files holds.
const MOST_BYTES: u64 = 1 << 20;

impl Memory {
    /// The memory of one reviewer for a project: in the user's folders for state and for settings.
    pub fn new(state: &Path, settings: &Path, project: &Path, reviewer: &str) -> Self {
        let whole = std::fs::canonicalize(project).unwrap_or_else(|_| project.to_owned());
        let name = hash_bytes(format!("{}\n{reviewer}", whole.display()).as_bytes()).to_string();
        Self {
            project: Some(state.join("mekiki").join(format!("review-{}.json", name.chars().take(16).collect::<String>()))),
            settings: Some(settings.join("mekiki").join("review.json")),
        }
    }

    /// Where the review stood.
    pub fn place(&self) -> Option<Place> {
        self.of_project().place
    }

    /// The saved views.
    pub fn views(&self) -> Vec<View> {
        self.of_project().views.into_iter().map(|(name, text)| View { name, text }).collect()
    }

    /// The language and the theme that were chosen.
    pub fn settings(&self) -> (Option<Language>, Option<Theme>) {
        let settings: Settings = load(self.settings.as_deref());
        let language = LANGUAGES.iter().find(|(name, _)| Some(*name) == settings.language.as_deref()).map(|(_, language)| *language);
        let theme = THEMES.iter().find(|(name, _)| Some(*name) == settings.theme.as_deref()).map(|(_, theme)| *theme);
        (language, theme)
    }

    pub(super) fn keep_place(&self, place: Place) -> std::io::Result<()> {
        keep(self.project.as_deref(), &OfProject { place: Some(place), ..self.of_project() })
    }

    pub(super) fn keep_view(&self, name: String, text: String) -> std::io::Result<()> {
        let mut all = self.of_project();
        all.views.retain(|(known, _)| *known != name);
        all.views.push((name, text));
        keep(self.project.as_deref(), &all)
    }

    /// What a training was begun with, if it is the last one that was begun here.
    pub(super) fn training(&self, id: &str) -> Option<Vec<String>> {
        self.of_project().training.filter(|(known, _)| known == id).map(|(_, arguments)| arguments)
    }

    pub(super) fn keep_training(&self, id: String, arguments: Vec<String>) -> std::io::Result<()> {
        keep(self.project.as_deref(), &OfProject { training: Some((id, arguments)), ..self.of_project() })
    }

    /// The training whose outcome was put to use last.
    pub(super) fn seen_training(&self) -> Option<String> {
        self.of_project().seen_training
    }

    pub(super) fn keep_seen_training(&self, id: String) -> std::io::Result<()> {
        keep(self.project.as_deref(), &OfProject { seen_training: Some(id), ..self.of_project() })
    }

    pub(super) fn keep_settings(&self, language: Language, theme: Theme) -> std::io::Result<()> {
        let name = |known: &[(&str, Language)]| known.iter().find(|(_, one)| *one == language).map(|(name, _)| (*name).to_owned());
        let theme = THEMES.iter().find(|(_, one)| *one == theme).map(|(name, _)| (*name).to_owned());
        keep(self.settings.as_deref(), &Settings { language: name(&LANGUAGES), theme })
    }

    fn of_project(&self) -> OfProject {
        load(self.project.as_deref())
    }
}

/// What a file holds; what is missing or damaged is as if it had never been.
fn load<T: Default + for<'a> Deserialize<'a>>(file: Option<&Path>) -> T {
    let small = |file: &&Path| std::fs::metadata(file).is_ok_and(|about| about.len() <= MOST_BYTES);
    let bytes = file.filter(small).and_then(|file| std::fs::read(file).ok());
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Replaces a file whole.
fn keep(file: Option<&Path>, value: &impl Serialize) -> std::io::Result<()> {
    let Some((file, folder)) = file.and_then(|file| Some((file, file.parent()?))) else { return Ok(()) };
    std::fs::create_dir_all(folder)?;
    let fresh = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&fresh, value)?;
    fresh.persist(file).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::new(folder.path(), folder.path(), folder.path(), "aki");
        assert_eq!((memory.place(), memory.settings()), (None, (None, None)));
        let place = Place { filter: "state=undecided".to_owned(), sample: SampleId::new("dst-0007").unwrap() };
        memory.keep_place(place.clone()).unwrap();
        memory.keep_view("open".to_owned(), "state=undecided".to_owned()).unwrap();
        memory.keep_settings(Language::Ja, Theme::Light).unwrap();
        assert_eq!(memory.place(), Some(place));
        assert_eq!(memory.views().len(), 1);
        assert_eq!(memory.settings(), (Some(Language::Ja), Some(Theme::Light)));
        assert_eq!(Memory::new(folder.path(), folder.path(), folder.path(), "ken").place(), None);
    }
}
