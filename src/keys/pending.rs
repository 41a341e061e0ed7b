//! From pressed keys to actions: counts, prefixes, text.

use super::help::Hint;
use super::keymap::{Keymap, Node};
use super::{Chord, Key};
use crate::review::{Action, Context, Typing};

/// What a pressed key came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fed {
    /// An action, and the count that was typed before it.
    Action(Action, Option<u32>),
    /// A character of text.
    Text(char),
    /// More keys are needed: these may follow. A count alone has no hints.
    Pending(Vec<Hint>),
    /// Nothing.
    Nothing,
}

/// The largest count.
const MOST: u32 = 99_999;

/// The keys that were pressed and do not make an action yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pending {
    chords: Vec<Chord>,
    count: Option<u32>,
}

impl Pending {
    /// The keys pressed so far.
    pub fn chords(&self) -> &[Chord] {
        &self.chords
    }

    /// The count typed so far.
    pub fn count(&self) -> Option<u32> {
        self.count
    }

    /// Forgets what was pressed.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes a key. Text comes before any binding, unless a longer binding has begun.
    pub fn feed(&mut self, keymap: &Keymap, context: &Context, chord: Chord) -> Fed {
        if let Some(c) = self.text(&context.typing, chord) {
            self.clear();
            return Fed::Text(c);
        }
        let chord = chord.half_width();
        self.chords.push(chord);
        let mut hints: Vec<Hint> = Vec::new();
        for scope in context.scope.chain() {
            match keymap.node(scope, &self.chords) {
                Some(Node::Leaf(action, _)) if hints.is_empty() => {
                    let count = self.count;
                    self.clear();
                    return Fed::Action(*action, count);
                }
                Some(Node::Branch(branch)) => {
                    let known: Vec<Chord> = hints.iter().map(|hint| hint.chord).collect();
                    hints.extend(Hint::of(branch).into_iter().filter(|hint| !known.contains(&hint.chord)));
                }
                Some(Node::Leaf(..)) | None => {}
            }
        }
        if !hints.is_empty() {
            return Fed::Pending(hints);
        }
        let digit = chord.typed().and_then(|c| c.to_digit(10)).filter(|_| self.chords.len() == 1);
        let count = digit
            .filter(|digit| *digit > 0 || self.count.is_some())
            .map(|digit| self.count.unwrap_or(0).saturating_mul(10).saturating_add(digit).min(MOST));
        self.clear();
        self.count = count;
        if count.is_some() { Fed::Pending(Vec::new()) } else { Fed::Nothing }
    }

    /// The character that the key types, if keys are text just now.
    fn text(&self, typing: &Typing, chord: Chord) -> Option<char> {
        if !self.chords.is_empty() {
            return None;
        }
        let half = chord.half_width();
        match (chord.key, typing) {
            (Key::Char(_), Typing::These(_)) => half.typed().filter(|c| typing.takes(*c)),
            _ => chord.typed().filter(|c| typing.takes(*c)),
        }
    }
}
