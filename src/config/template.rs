//! Project files to start from.

use toml_edit::{DocumentMut, value};

/// A project file to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// 27 pins in a 3 × 9 grid, two image types, five fields.
    Pins,
    /// Printed circuits: reference and query, four fields, a 3 × 3 grid.
    Pcb,
    /// One field, to be filled in.
    Blank,
}

/// A language that the templates' instructions are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    En,
    /// Japanese.
    Ja,
}

impl Template {
    /// Every template.
    pub const ALL: [Self; 3] = [Self::Pins, Self::Pcb, Self::Blank];

    /// `pins`, `pcb` or `blank`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pins => "pins",
            Self::Pcb => "pcb",
            Self::Blank => "blank",
        }
    }

    /// The project file's text, with a project name and the language of the instructions put in.
    pub fn text(self, name: &str, language: Language) -> String {
        let text = match self {
            Self::Pins => include_str!("templates/pins.toml"),
            Self::Pcb => include_str!("templates/pcb.toml"),
            Self::Blank => include_str!("templates/blank.toml"),
        };
        match text.parse::<DocumentMut>() {
            Ok(mut document) => {
                document["project"]["name"] = value(name);
                document["instructions"]["language"] = value(match language {
                    Language::En => "en",
                    Language::Ja => "ja",
                });
                document.to_string()
            }
            // A carried template parses: a test holds it.
            Err(_) => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_template_is_a_project() {
        for template in Template::ALL {
            for language in [Language::En, Language::Ja] {
                let text = template.text("試し", language);
                let project = super::super::parse(&text, Path::new("mekiki.toml"), Path::new("/p")).unwrap_or_else(|e| panic!("{e}"));
                assert_eq!(project.name, "試し");
                for image_type in project.schema().image_types() {
                    assert!(project.recipe.instructions.for_type(image_type).is_some());
                }
            }
        }
    }

    #[test]
    fn instructions_name_every_row_and_column() {
        for template in [Template::Pins, Template::Pcb] {
            for language in [Language::En, Language::Ja] {
                let project = super::super::parse(&template.text("x", language), Path::new("mekiki.toml"), Path::new("/p")).unwrap();
                for text in &project.recipe.instructions.texts {
                    for words in [&text.query, &text.exemplar] {
                        assert!(
                            ["U", "C", "D"].iter().all(|row| words.contains(row))
                                && (words.contains("1 to 9")
                                    || words.contains("1〜9")
                                    || words.contains("3 (right)")
                                    || words.contains("1、2、3")),
                            "{words}"
                        );
                    }
                }
            }
        }
    }
}
