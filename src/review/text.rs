//! A line of text being typed, by graphemes: Japanese, emoji and accents are one step each.

use unicode_segmentation::UnicodeSegmentation;

use super::Action;

/// The most bytes that a line takes.
const MOST_BYTES: usize = 40_000;

/// A line and its cursor. It holds no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextInput {
    text: String,
    /// In bytes, on a border between graphemes.
    cursor: usize,
}

impl TextInput {
    /// A line with the cursor at its end.
    pub fn new(text: &str) -> Self {
        let mut input = Self::default();
        input.insert(text);
        input
    }

    /// The line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What stands before the cursor: its width is the cursor's column.
    pub fn before(&self) -> &str {
        &self.text[..self.cursor]
    }

    /// What stands behind the cursor.
    pub fn behind(&self) -> &str {
        &self.text[self.cursor..]
    }

    /// Inserts text at the cursor; control characters are left out.
    pub fn insert(&mut self, text: &str) {
        let clean: String = text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}')).collect();
        if self.text.len() + clean.len() <= MOST_BYTES {
            self.text.insert_str(self.cursor, &clean);
            self.cursor += clean.len();
            self.settle();
        }
    }

    /// Puts another text in place of the line.
    pub fn replace(&mut self, text: &str) {
        *self = Self::new(text);
    }

    /// Does what the action means to a line of text; `false` when it means nothing.
    pub fn act(&mut self, action: Action) -> bool {
        match action {
            Action::EraseBack => drop(self.erase_back()),
            Action::EraseForward => drop(self.erase_forward()),
            Action::EraseWord => drop(self.erase_word()),
            Action::EraseLine => self.replace(""),
            Action::CursorLeft => self.go_left(),
            Action::CursorRight => self.go_right(),
            Action::CursorWordLeft => self.go_word_left(),
            Action::CursorWordRight => self.go_word_right(),
            Action::CursorHome => self.go_home(),
            Action::CursorEnd => self.go_end(),
            _ => return false,
        }
        true
    }

    /// Erases the grapheme before the cursor; `false` when there is none.
    pub fn erase_back(&mut self) -> bool {
        self.erase(self.left(), self.cursor)
    }

    /// Erases the grapheme behind the cursor.
    pub fn erase_forward(&mut self) -> bool {
        self.erase(self.cursor, self.right())
    }

    /// Erases the word before the cursor.
    pub fn erase_word(&mut self) -> bool {
        self.erase(self.word_left(), self.cursor)
    }

    /// Moves one grapheme to the left.
    pub fn go_left(&mut self) {
        self.cursor = self.left();
    }

    /// Moves one grapheme to the right.
    pub fn go_right(&mut self) {
        self.cursor = self.right();
    }

    /// Moves to the beginning of the word before.
    pub fn go_word_left(&mut self) {
        self.cursor = self.word_left();
    }

    /// Moves to the end of the word behind.
    pub fn go_word_right(&mut self) {
        let word = self.behind().unicode_word_indices().next().map(|(at, word)| at + word.len());
        self.cursor = word.map_or(self.text.len(), |end| self.cursor + end);
        self.settle();
    }

    /// Moves to the beginning.
    pub fn go_home(&mut self) {
        self.cursor = 0;
    }

    /// Moves to the end.
    pub fn go_end(&mut self) {
        self.cursor = self.text.len();
    }

    fn left(&self) -> usize {
        self.before().grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    fn right(&self) -> usize {
        self.behind().graphemes(true).next().map_or(self.cursor, |grapheme| self.cursor + grapheme.len())
    }

    fn word_left(&self) -> usize {
        self.before().unicode_word_indices().next_back().map_or(0, |(at, _)| at)
    }

    fn erase(&mut self, from: usize, to: usize) -> bool {
        self.text.replace_range(from..to, "");
        self.cursor = from;
        self.settle();
        from < to
    }

    /// What was joined by an edit may be one grapheme now: the cursor goes behind it.
    fn settle(&mut self) {
        let borders = self.text.grapheme_indices(true).map(|(at, _)| at).chain([self.text.len()]);
        self.cursor = borders.into_iter().find(|at| *at >= self.cursor).unwrap_or(self.text.len());
    }
}
