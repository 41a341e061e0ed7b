//! A question that is answered by a line of text.

use super::TextInput;
use crate::domain::{FilterWord, Schema};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// A filter.
    Filter,
    /// A remark on the sample on the desk.
    Comment,
    /// A name for the filter in use.
    ViewName,
    /// A sample's id.
    SampleId,
    /// The folder of a training set.
    ExportFolder,
    /// What an adapter will be called, and options of its training.
    Training,
}

/// A line being typed to answer a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// What is asked for.
    pub question: Question,
    /// What is typed.
    pub input: TextInput,
    /// What was wrong with it.
    pub problem: Option<String>,
}

impl Prompt {
    /// A prompt that begins with a text.
    pub fn new(question: Question, text: &str) -> Self {
        Self { question, input: TextInput::new(text), problem: None }
    }

    /// The words that the one before the cursor can become: fields and filter words, and behind `=` their values.
    pub fn completions(&self, schema: &Schema) -> Vec<String> {
        if self.question != Question::Filter {
            return Vec::new();
        }
        let word = self.word();
        let quote = |text: String| if text.contains([' ', ',']) { format!("\"{text}\"") } else { text };
        let known: Vec<String> = if word.contains('=') {
            let head = word.split(['=', '!']).next().unwrap_or_default();
            let field = schema.field_named(head.rsplit('.').next().unwrap_or_default());
            let values = field.and_then(|field| Some(field.values()?.iter().map(|value| quote(field.render(value))).collect()));
            values.unwrap_or_default()
        } else {
            let fields = schema.fields().iter().map(|field| field.id.as_str());
            fields.chain(FilterWord::ALL.iter().map(|word| word.word)).map(str::to_owned).collect()
        };
        known.into_iter().filter(|known| known.starts_with(self.begun())).collect()
    }

    /// Takes the first completion.
    pub fn complete(&mut self, schema: &Schema) {
        if let Some(word) = self.completions(schema).into_iter().next() {
            let begun = self.begun().len();
            self.input.insert(&word[begun..]);
        }
    }

    /// The part of the word that a completion goes on from.
    fn begun(&self) -> &str {
        self.word().rsplit(['=', ',']).next().unwrap_or_default()
    }

    fn word(&self) -> &str {
        self.input.before().rsplit(char::is_whitespace).next().unwrap_or_default().trim_start_matches('!')
    }
}
