//! A pressed key with its modifiers, as every terminal can report it.

use std::fmt;

use thiserror::Error;

/// A key without its modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A character; its case says whether shift was held.
    Char(char),
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Tab.
    Tab,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
    /// Insert.
    Insert,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Home.
    Home,
    /// End.
    End,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// A function key, 1 to 12.
    F(u8),
}

/// The named keys, as they are written between `<` and `>`.
const NAMED: [(&str, Key); 17] = [
    ("Space", Key::Char(' ')),
    ("lt", Key::Char('<')),
    ("Enter", Key::Enter),
    ("Esc", Key::Esc),
    ("Tab", Key::Tab),
    ("Backspace", Key::Backspace),
    ("Delete", Key::Delete),
    ("Insert", Key::Insert),
    ("Up", Key::Up),
    ("Down", Key::Down),
    ("Left", Key::Left),
    ("Right", Key::Right),
    ("Home", Key::Home),
    ("End", Key::End),
    ("PageUp", Key::PageUp),
    ("PageDown", Key::PageDown),
    ("Return", Key::Enter),
];

/// A key and the modifiers held with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chord {
    /// The key.
    pub key: Key,
    /// Control.
    pub ctrl: bool,
    /// Alt, or Option.
    pub alt: bool,
    /// Shift; never with a character, whose case says it.
    pub shift: bool,
}

/// Why a text is no chord that every terminal can report.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChordError {
    /// Nothing that is known.
    #[error("expected a key such as a, U, <Enter>, <C-d>, <S-Tab>, <A-1> or <F5>, got {0:?}")]
    Unknown(String),
    /// Most terminals send the same bytes for another key.
    #[error("{got} arrives as {same} in most terminals; bind {same}, or another key")]
    Same {
        /// What was written.
        got: String,
        /// What arrives.
        same: String,
    },
    /// Most terminals do not send it at all, or not as one key.
    #[error("{0} does not arrive in most terminals; choose a letter with <C-…> or <A-…>, or a function key")]
    Lost(String),
}

impl Chord {
    /// A key without modifiers.
    pub const fn plain(key: Key) -> Self {
        Self { key, ctrl: false, alt: false, shift: false }
    }

    /// A chord as a terminal library reports it: shift with a character goes into the character's case.
    pub fn reported(key: Key, ctrl: bool, alt: bool, shift: bool) -> Self {
        match key {
            Key::Char(c) if ctrl => Self { key: Key::Char(c.to_ascii_lowercase()), ctrl, alt, shift: false },
            Key::Char(c) if shift => Self { key: Key::Char(c.to_ascii_uppercase()), ctrl, alt, shift: false },
            Key::Char(_) => Self { key, ctrl, alt, shift: false },
            _ => Self { key, ctrl, alt, shift },
        }
    }

    /// The character that the chord types, if it types one.
    pub fn typed(self) -> Option<char> {
        match self.key {
            Key::Char(c) if !self.ctrl && !self.alt => Some(c),
            _ => None,
        }
    }

    /// The chord with a full-width character made half-width: an input method left on does not change what keys mean.
    #[must_use]
    pub fn half_width(self) -> Self {
        let key = match self.key {
            Key::Char(c @ '\u{ff01}'..='\u{ff5e}') => Key::Char(char::from_u32(c as u32 - 0xfee0).unwrap_or(c)),
            Key::Char('\u{3000}') => Key::Char(' '),
            key => key,
        };
        Self { key, ..self }
    }

    /// Reads one chord: a character, or a name between `<` and `>` with `C-`, `A-` and `S-` before it.
    pub fn parse(text: &str) -> Result<Self, ChordError> {
        let unknown = || ChordError::Unknown(text.to_owned());
        let mut characters = text.chars();
        if let (Some(c), None) = (characters.next(), characters.next()) {
            return if c.is_control() || c.is_whitespace() { Err(unknown()) } else { Ok(Self::plain(Key::Char(c))) };
        }
        let mut name = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).ok_or_else(unknown)?;
        let mut chord = Self::plain(Key::Esc);
        while let Some((modifier, rest)) = name.split_once('-').filter(|(_, rest)| !rest.is_empty()) {
            let held = match modifier {
                "C" | "c" => &mut chord.ctrl,
                "A" | "a" | "M" | "m" => &mut chord.alt,
                "S" | "s" => &mut chord.shift,
                _ => return Err(unknown()),
            };
            if std::mem::replace(held, true) {
                return Err(unknown());
            }
            name = rest;
        }
        chord.key = parse_key(name).ok_or_else(unknown)?;
        if chord == Self::plain(chord.key) && matches!(chord.key, Key::Char(c) if c != ' ' && c != '<') {
            return Err(unknown());
        }
        chord.reportable(text)
    }

    /// The chord, if it arrives in terminals that know no newer keyboard protocol.
    fn reportable(self, text: &str) -> Result<Self, ChordError> {
        let same = |key: Key| Err(ChordError::Same { got: text.to_owned(), same: Self { key, ctrl: false, ..self }.to_string() });
        let lost = || Err(ChordError::Lost(text.to_owned()));
        match self.key {
            Key::Char(c) if self.shift && !self.ctrl && c.is_ascii_alphabetic() => {
                Ok(Self { key: Key::Char(c.to_ascii_uppercase()), shift: false, ..self })
            }
            Key::Char(_) if self.shift => lost(),
            Key::Char(c) if self.ctrl => match c.to_ascii_lowercase() {
                'i' => same(Key::Tab),
                'm' => same(Key::Enter),
                '[' => same(Key::Esc),
                'h' => same(Key::Backspace),
                letter @ 'a'..='z' => Ok(Self { key: Key::Char(letter), ..self }),
                _ => lost(),
            },
            // Escape and these begin the sequences of other keys.
            Key::Char('[' | 'O') | Key::Esc | Key::Tab if self.alt => lost(),
            Key::Enter | Key::Backspace | Key::Esc | Key::Tab if self.ctrl => same(self.key),
            Key::Enter | Key::Backspace | Key::Esc if self.shift => {
                Err(ChordError::Same { got: text.to_owned(), same: Self { shift: false, ..self }.to_string() })
            }
            _ => Ok(self),
        }
    }
}

fn parse_key(name: &str) -> Option<Key> {
    let mut characters = name.chars();
    if let (Some(c), None) = (characters.next(), characters.next()) {
        return (!c.is_control() && !c.is_whitespace()).then_some(Key::Char(c));
    }
    let function = || name.strip_prefix(['F', 'f'])?.parse().ok().filter(|n| (1..=12).contains(n)).map(Key::F);
    NAMED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, key)| *key).or_else(function)
}

impl fmt::Display for Chord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let modifiers = [(self.ctrl, "C-"), (self.alt, "A-"), (self.shift, "S-")];
        let held: String = modifiers.iter().filter(|(held, _)| *held).map(|(_, text)| *text).collect();
        let named = NAMED.iter().find(|(_, key)| *key == self.key).map(|(name, _)| *name);
        match (self.key, named) {
            (Key::Char(c), None) if held.is_empty() => write!(f, "{c}"),
            (Key::Char(c), None) => write!(f, "<{held}{c}>"),
            (Key::F(number), _) => write!(f, "<{held}F{number}>"),
            (_, named) => write!(f, "<{held}{}>", named.unwrap_or("Esc")),
        }
    }
}

/// Reads chords with spaces between.
pub fn parse_sequence(text: &str) -> Result<Vec<Chord>, ChordError> {
    let chords: Vec<Chord> = text.split_whitespace().map(Chord::parse).collect::<Result<_, _>>()?;
    if chords.is_empty() { Err(ChordError::Unknown(text.to_owned())) } else { Ok(chords) }
}

/// Writes chords with spaces between.
pub fn write_sequence(chords: &[Chord]) -> String {
    chords.iter().map(Chord::to_string).collect::<Vec<_>>().join(" ")
}
