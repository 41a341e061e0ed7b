//! Help from the keymap in force: which keys there are, and what may follow a prefix.

use super::keymap::{Branch, Keymap, Label, Node};
use super::{Chord, write_sequence};
use crate::review::{Action, Language, Scope};

/// A key that may follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The key.
    pub chord: Chord,
    /// What it does, if it does something at once.
    pub action: Option<Action>,
    /// What the keys behind it have in common, if more follow.
    pub label: Option<Label>,
}

impl Hint {
    pub(super) fn of(branch: &Branch) -> Vec<Self> {
        let hint = |(chord, node): &(Chord, Node)| match node {
            Node::Leaf(action, _) => Self { chord: *chord, action: Some(*action), label: None },
            Node::Branch(branch) => Self { chord: *chord, action: None, label: branch.label.clone() },
        };
        branch.children.iter().map(hint).collect()
    }

    /// What to write beside the key.
    pub fn text(&self, language: Language) -> &str {
        match (self.action, &self.label) {
            (Some(action), _) => language.help(action),
            (None, Some(label)) => label.text(language),
            (None, None) => "…",
        }
    }
}

/// A line of the help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelpRow {
    /// The section: where the keys are bound.
    pub scope: Scope,
    /// The keys, each as it is written in keymap files.
    pub keys: Vec<String>,
    /// What they do.
    pub action: Action,
}

impl Keymap {
    /// Every key that means something in a scope, the scope's own first; what an inner scope covers is left out.
    pub fn help(&self, scope: Scope) -> Vec<HelpRow> {
        let mut rows: Vec<HelpRow> = Vec::new();
        let mut covered: Vec<Vec<Chord>> = Vec::new();
        for scope in scope.chain() {
            let own = self.bindings(scope);
            for (keys, action, _) in &own {
                if covered.contains(keys) {
                    continue;
                }
                match rows.iter_mut().find(|row| row.scope == scope && row.action == *action) {
                    Some(row) => row.keys.push(write_sequence(keys)),
                    None => rows.push(HelpRow { scope, keys: vec![write_sequence(keys)], action: *action }),
                }
            }
            covered.extend(own.into_iter().map(|(keys, ..)| keys));
        }
        rows
    }

    /// The keys that do something in a scope: the palette and the status line show them.
    pub fn keys_of(&self, action: Action, scope: Scope) -> Vec<String> {
        self.help(scope).into_iter().filter(|row| row.action == action).flat_map(|row| row.keys).collect()
    }
}
