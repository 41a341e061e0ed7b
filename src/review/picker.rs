//! A list to pick from, narrowed by typing: the palette, and every other choice.

use super::{Action, Language, Query, SPECS, TextInput};
use crate::domain::{PredictionSource, Value};

/// What picking an item does.
#[derive(Debug, Clone, PartialEq)]
pub enum Pick {
    /// Acts as if its key had been pressed.
    Act(Action),
    /// Asks for other samples, or another order.
    Ask(Box<Query>),
    /// Predicts with something else from now on.
    Use(PredictionSource),
    /// Asks for the value that a field of the selection gets.
    Field(usize),
    /// Previews the selection with this value in a field.
    Set(usize, Value),
}

/// An item of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What it is called.
    pub text: String,
    /// What it means, where that is not plain.
    pub detail: String,
    /// What picking it does.
    pub pick: Pick,
}

/// A list to pick from.
#[derive(Debug, Clone, PartialEq)]
pub struct Picker {
    /// The action that opened it: its help is the title.
    pub title: Action,
    /// What is typed to narrow it.
    pub input: TextInput,
    items: Vec<Item>,
    cursor: usize,
}

impl Picker {
    /// A list with the cursor on its first item.
    pub fn new(title: Action, items: Vec<Item>) -> Self {
        Self { title, input: TextInput::default(), items, cursor: 0 }
    }

    /// Every action, by its name and its help.
    pub fn palette(language: Language) -> Self {
        let item = |action: Action| Item { text: action.to_string(), detail: language.help(action).to_owned(), pick: Pick::Act(action) };
        Self::new(Action::Palette, SPECS.iter().flat_map(|spec| spec.make.actions()).map(item).collect())
    }

    /// The items that what is typed leaves over: those that begin with it first.
    pub fn visible(&self) -> Vec<&Item> {
        let wanted = self.input.text().to_lowercase();
        let words: Vec<&str> = wanted.split_whitespace().collect();
        let holds = |item: &&Item| {
            let text = format!("{} {}", item.text, item.detail).to_lowercase();
            words.iter().all(|word| text.contains(word))
        };
        let mut visible: Vec<&Item> = self.items.iter().filter(holds).collect();
        visible.sort_by_key(|item| !item.text.to_lowercase().starts_with(wanted.trim()));
        visible
    }

    /// The line that the cursor is on.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// Puts the cursor on a line.
    pub fn put_cursor(&mut self, line: usize) {
        self.cursor = line.min(self.visible().len().saturating_sub(1));
    }

    /// What the item under the cursor does.
    pub fn picked(&self) -> Option<Pick> {
        self.visible().get(self.cursor).map(|item| item.pick.clone())
    }
}
