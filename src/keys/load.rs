//! Reading keymaps: built in, or a person's own on top of one.

use std::sync::Arc;

use thiserror::Error;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::keymap::{Branch, Keymap, Label, Place};
use super::{Chord, ChordError, parse_sequence, write_sequence};
use crate::domain::distance;
use crate::review::{Action, Make, SPECS, Scope};

/// The keymaps in the binary: name and text.
pub const BUILT_IN: [(&str, &str); 4] = [
    ("default", include_str!("../../keymaps/default.toml")),
    ("vim", include_str!("../../keymaps/vim.toml")),
    ("prodigy", include_str!("../../keymaps/prodigy.toml")),
    ("lightroom", include_str!("../../keymaps/lightroom.toml")),
];

/// What is wrong with a keymap, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// The file is no TOML.
    #[error("{place}: {message}")]
    Toml {
        /// Where.
        place: Place,
        /// What the reader says.
        message: String,
    },
    /// There is no such keymap to extend.
    #[error("{place}: expected extends = one of {}, got {got}", BUILT_IN.map(|(name, _)| name).join(", "))]
    UnknownKeymap {
        /// Where.
        place: Place,
        /// What was written.
        got: String,
    },
    /// There is no such scope.
    #[error("{place}: expected one of the sections {}, got [{got}]", Scope::ALL.map(Scope::name).join(", "))]
    UnknownScope {
        /// Where.
        place: Place,
        /// What was written.
        got: String,
    },
    /// The key is none, or none that every terminal reports.
    #[error("{place}: {error}")]
    Chord {
        /// Where.
        place: Place,
        /// Why.
        error: ChordError,
    },
    /// There is no such action.
    #[error("{place}: expected an action, got {got:?}; did you mean {near:?}?")]
    UnknownAction {
        /// Where.
        place: Place,
        /// What was written.
        got: String,
        /// The nearest one.
        near: String,
    },
    /// The action makes no sense there.
    #[error("{place}: {action} does nothing in [{}]; bind it in one of {scopes}", .scope.name())]
    NotHere {
        /// Where.
        place: Place,
        /// The action.
        action: Action,
        /// The section.
        scope: Scope,
        /// Where it makes sense.
        scopes: String,
    },
    /// The key is text there.
    #[error("{place}: {keys} is typed as text in [{}]; use a key with <C-…> or <A-…>, or a named key", .scope.name())]
    IsText {
        /// Where.
        place: Place,
        /// The key.
        keys: String,
        /// The section.
        scope: Scope,
    },
    /// Two bindings that cannot both be reached.
    #[error(
        "{place}: {keys} clashes with {other_keys} at {other}; take one of them away (a key = false takes away what the extended keymap has)"
    )]
    Clash {
        /// Where.
        place: Place,
        /// The keys bound there.
        keys: String,
        /// Where the other one is.
        other: Place,
        /// The keys bound there.
        other_keys: String,
    },
    /// Nothing is bound there that could be taken away or named.
    #[error("{place}: {keys} is not bound; leave the line out")]
    NotBound {
        /// Where.
        place: Place,
        /// The keys.
        keys: String,
    },
    /// Something else than a binding.
    #[error("{place}: expected \"ACTION\", false, or {{ label = \"…\", ja = \"…\" }}")]
    NoBinding {
        /// Where.
        place: Place,
    },
}

/// A line of a keymap file.
enum Line {
    Bind(Action),
    Unbind,
    Name(Label),
}

/// A file being read; problems are gathered, not stopped at.
struct Reader<'a> {
    text: &'a str,
    file: Arc<str>,
    problems: Vec<Problem>,
}

impl Keymap {
    /// A keymap that is built in; there is none of another name.
    pub fn built_in(name: &str) -> Result<Option<Self>, Vec<Problem>> {
        let found = BUILT_IN.iter().find(|(known, _)| *known == name);
        found.map(|(name, text)| Self::parse(text, &format!("keymaps/{name}.toml"))).transpose()
    }

    /// Reads a keymap file. What it binds stands over what the keymap has that it extends.
    pub fn parse(text: &str, file: &str) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader { text, file: file.into(), problems: Vec::new() };
        let keymap = reader.read();
        let mut problems = reader.problems;
        if problems.is_empty() {
            problems = keymap.clashes();
        }
        if problems.is_empty() { Ok(keymap) } else { Err(problems) }
    }

    /// Bindings of a scope and of one around it, of which one begins the other: the longer one is out of reach.
    fn clashes(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (scope, branch) in &self.scopes {
            for outer in scope.chain().skip(1).filter_map(|outer| self.scopes.get(&outer)) {
                for (keys, _, place) in branch.leaves() {
                    let taken = outer.in_the_way(&keys).filter(|taken| taken.keys != keys);
                    problems.extend(taken.map(|taken| Problem::Clash {
                        place: place.clone(),
                        keys: write_sequence(&keys),
                        other: taken.place,
                        other_keys: write_sequence(&taken.keys),
                    }));
                }
            }
        }
        problems
    }
}

impl Reader<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        Place { file: Arc::clone(&self.file), line: 1 + before.matches('\n').count() }
    }

    fn read(&mut self) -> Keymap {
        let table = match DeTable::parse(self.text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let place = self.place(error.span().map_or(0, |span| span.start));
                self.problems.push(Problem::Toml { place, message: error.message().to_owned() });
                return Keymap::default();
            }
        };
        let mut keymap = Keymap::default();
        let mut sections = Vec::new();
        for (key, value) in in_order(&table) {
            let (place, name) = (self.place(key.span().start), key.get_ref().as_ref());
            match (name, value.get_ref()) {
                ("extends", DeValue::String(base)) => match Keymap::built_in(base) {
                    Ok(Some(base)) => keymap = base,
                    Ok(None) => self.problems.push(Problem::UnknownKeymap { place, got: base.to_string() }),
                    Err(problems) => self.problems.extend(problems),
                },
                (name, DeValue::Table(section)) => match Scope::parse(name) {
                    Some(scope) => sections.push((scope, section)),
                    None => self.problems.push(Problem::UnknownScope { place, got: name.to_owned() }),
                },
                (name, _) => self.problems.push(Problem::UnknownScope { place, got: name.to_owned() }),
            }
        }
        for (scope, section) in sections {
            self.section(scope, section, keymap.scopes.entry(scope).or_default());
        }
        keymap
    }

    /// One section: first what it takes away, then what it binds, then what it names.
    fn section(&mut self, scope: Scope, section: &DeTable<'_>, branch: &mut Branch) {
        let (mut bound, mut named) = (Branch::default(), Vec::new());
        for (key, value) in in_order(section) {
            let place = self.place(key.span().start);
            let chords = match parse_sequence(key.get_ref()) {
                Ok(chords) => chords,
                Err(error) => {
                    self.problems.push(Problem::Chord { place, error });
                    continue;
                }
            };
            match self.line(scope, &chords, value.get_ref(), &place) {
                None => {}
                Some(Line::Bind(action)) => {
                    if let Err(taken) = bound.bind(&chords, action, place.clone()) {
                        let (keys, other_keys) = (write_sequence(&chords), write_sequence(&taken.keys));
                        self.problems.push(Problem::Clash { place, keys, other: taken.place, other_keys });
                    }
                }
                Some(Line::Unbind) if branch.remove(&chords) => {}
                Some(Line::Unbind) => self.problems.push(Problem::NotBound { place, keys: write_sequence(&chords) }),
                Some(Line::Name(label)) => named.push((chords, label, place)),
            }
        }
        for (chords, action, place) in bound.leaves() {
            branch.put(&chords, action, place.clone());
        }
        for (chords, label, place) in named {
            if !branch.name(&chords, &label) {
                self.problems.push(Problem::NotBound { place, keys: write_sequence(&chords) });
            }
        }
    }

    fn line(&mut self, scope: Scope, chords: &[Chord], value: &DeValue<'_>, place: &Place) -> Option<Line> {
        let place = place.clone();
        match value {
            DeValue::Boolean(false) => return Some(Line::Unbind),
            DeValue::Table(table) => {
                let text = |name: &str| match table.get(name).map(Spanned::get_ref) {
                    Some(DeValue::String(text)) => Some(text.to_string()),
                    _ => None,
                };
                if let (Some(en), Some(ja)) = (text("label"), text("ja")) {
                    return Some(Line::Name(Label { en, ja }));
                }
                self.problems.push(Problem::NoBinding { place });
            }
            DeValue::String(name) => {
                let Some(action) = Action::parse(name) else {
                    self.problems.push(Problem::UnknownAction { place, got: name.to_string(), near: nearest(name) });
                    return None;
                };
                let is_text = scope.chain().any(|scope| scope == Scope::Input) && chords.iter().any(|chord| chord.typed().is_some());
                if is_text {
                    self.problems.push(Problem::IsText { place, keys: write_sequence(chords), scope });
                } else if !action.fits(scope) {
                    let scopes = action.spec().scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", ");
                    self.problems.push(Problem::NotHere { place, action, scope, scopes });
                } else {
                    return Some(Line::Bind(action));
                }
            }
            _ => self.problems.push(Problem::NoBinding { place }),
        }
        None
    }
}

/// A table's lines in the order of the file.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t Spanned<DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut lines: Vec<_> = table.iter().collect();
    lines.sort_by_key(|(key, _)| key.span().start);
    lines
}

/// The action whose name is nearest to what was written, with its numbers where it takes one.
fn nearest(got: &str) -> String {
    let name = got.split_whitespace().next().unwrap_or_default();
    let near = SPECS.iter().min_by_key(|spec| distance(spec.name, name));
    near.map_or_else(String::new, |spec| match spec.make {
        Make::Plain(_) => spec.name.to_owned(),
        Make::Numbered { least, most, .. } => format!("{} {least}…{most}", spec.name),
    })
}
