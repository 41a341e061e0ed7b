//! A keymap: for each scope a trie of chords, in the order of the file.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Chord;
use crate::review::{Action, Language, Scope};

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What the keys behind a prefix have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label {
    /// In English.
    pub en: String,
    /// In Japanese.
    pub ja: String,
}

impl Label {
    /// The label in a language.
    pub fn text(&self, language: Language) -> &str {
        language.choose(&self.en, &self.ja)
    }
}

/// What follows a chord.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// An action, and where it was bound.
    Leaf(Action, Place),
    /// More chords.
    Branch(Branch),
}

/// Chords and what follows them, in the order in which they were bound.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Branch {
    pub label: Option<Label>,
    pub children: Vec<(Chord, Node)>,
}

/// A binding that stands in the way of another.
pub(super) struct Taken {
    pub keys: Vec<Chord>,
    pub place: Place,
}

impl Branch {
    /// What the chords lead to.
    pub(super) fn get(&self, chords: &[Chord]) -> Option<&Node> {
        let (first, rest) = chords.split_first()?;
        let node = self.children.iter().find(|(chord, _)| chord == first).map(|(_, node)| node)?;
        match node {
            _ if rest.is_empty() => Some(node),
            Node::Branch(branch) => branch.get(rest),
            Node::Leaf(..) => None,
        }
    }

    /// Every binding, in order.
    pub(super) fn leaves(&self) -> Vec<(Vec<Chord>, Action, &Place)> {
        let mut leaves = Vec::new();
        for (chord, node) in &self.children {
            match node {
                Node::Leaf(action, place) => leaves.push((vec![*chord], *action, place)),
                Node::Branch(branch) => leaves.extend(branch.leaves().into_iter().map(|(mut keys, action, place)| {
                    keys.insert(0, *chord);
                    (keys, action, place)
                })),
            }
        }
        leaves
    }

    /// Binds the chords, unless they are bound, begin a longer binding, or go on from a shorter one.
    pub(super) fn bind(&mut self, chords: &[Chord], action: Action, place: Place) -> Result<(), Taken> {
        if let Some(taken) = self.in_the_way(chords) {
            return Err(taken);
        }
        self.put(chords, action, place);
        Ok(())
    }

    /// The binding that the chords clash with: the same, a beginning, or a continuation.
    pub(super) fn in_the_way(&self, chords: &[Chord]) -> Option<Taken> {
        let clash = |keys: &[Chord]| keys.starts_with(chords) || chords.starts_with(keys);
        let found = self.leaves().into_iter().find(|(keys, ..)| clash(keys));
        found.map(|(keys, _, place)| Taken { keys, place: place.clone() })
    }

    /// Binds the chords, whatever was bound there.
    pub(super) fn put(&mut self, chords: &[Chord], action: Action, place: Place) {
        let Some((first, rest)) = chords.split_first() else { return };
        let at = self.children.iter().position(|(chord, _)| chord == first).unwrap_or_else(|| {
            self.children.push((*first, Node::Branch(Self::default())));
            self.children.len() - 1
        });
        let node = &mut self.children[at].1;
        if rest.is_empty() {
            *node = Node::Leaf(action, place);
            return;
        }
        if let Node::Leaf(..) = node {
            *node = Node::Branch(Self::default());
        }
        if let Node::Branch(branch) = node {
            branch.put(rest, action, place);
        }
    }

    /// Takes away what the chords lead to; `false` when they lead nowhere.
    pub(super) fn remove(&mut self, chords: &[Chord]) -> bool {
        let Some((first, rest)) = chords.split_first() else { return false };
        let Some(at) = self.children.iter().position(|(chord, _)| chord == first) else { return false };
        let removed = match &mut self.children[at].1 {
            _ if rest.is_empty() => {
                self.children.remove(at);
                return true;
            }
            Node::Branch(branch) => branch.remove(rest),
            Node::Leaf(..) => false,
        };
        if matches!(&self.children[at].1, Node::Branch(branch) if branch.children.is_empty()) {
            self.children.remove(at);
        }
        removed
    }

    /// Says what the keys behind a prefix have in common; `false` where there is no prefix.
    pub(super) fn name(&mut self, chords: &[Chord], label: &Label) -> bool {
        let Some((first, rest)) = chords.split_first() else {
            self.label = Some(label.clone());
            return true;
        };
        let child = self.children.iter_mut().find(|(chord, _)| chord == first);
        match child {
            Some((_, Node::Branch(branch))) => branch.name(rest, label),
            _ => false,
        }
    }
}

/// What every key means in every scope.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Keymap {
    pub(super) scopes: BTreeMap<Scope, Branch>,
}

impl Keymap {
    /// What the chords lead to in a scope alone.
    pub(super) fn node(&self, scope: Scope, chords: &[Chord]) -> Option<&Node> {
        self.scopes.get(&scope)?.get(chords)
    }

    /// The bindings of a scope alone, in order.
    pub fn bindings(&self, scope: Scope) -> Vec<(Vec<Chord>, Action, &Place)> {
        self.scopes.get(&scope).map(Branch::leaves).unwrap_or_default()
    }
}
