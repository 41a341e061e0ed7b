//! The text of a conversation, by the checkpoint's own template.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, context};
use serde::Serialize;

use crate::conversation::{Part, Turn};
use crate::domain::printable;
use crate::model::ModelError;
use crate::model::checkpoint::read_text;

/// What a template may use up: an instruction costs 1, 64 bytes of text cost 1. A long conversation takes a few thousand.
const FUEL: u64 = 1_000_000;
/// The longest template, in bytes.
const LONGEST_TEMPLATE: usize = 1 << 20;
/// What stands in for a checkpoint's missing template: the family's plain form of a conversation.
pub(in crate::model) const DEFAULT_TEMPLATE: &str = include_str!("chat/default.jinja");
const NAME: &str = "chat_template";

/// A checkpoint's chat template.
#[derive(Debug)]
pub struct ChatTemplate(Environment<'static>);

/// A turn as templates know it.
#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Content<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Content<'a> {
    Text { text: &'a str },
    Image,
}

impl ChatTemplate {
    /// Reads a folder's template: `chat_template.jinja`, `chat_template.json`, or the one in `tokenizer_config.json`;
    /// the family's plain one where there is none.
    pub fn load(dir: &Path) -> Result<Self, ModelError> {
        let plain = dir.join("chat_template.jinja");
        if plain.exists() {
            return Self::parse(&read_text(&plain)?, &plain);
        }
        for name in ["chat_template.json", "tokenizer_config.json"] {
            let path = dir.join(name);
            if !path.exists() {
                continue;
            }
            let value: serde_json::Value = serde_json::from_str(&read_text(&path)?)
                .map_err(|error| ModelError::File { path: path.clone(), reason: format!("no JSON: {error}") })?;
            if let Some(text) = template_of(&value) {
                return Self::parse(text, &path);
            }
        }
        Self::parse(DEFAULT_TEMPLATE, &dir.join("chat_template.jinja"))
    }

    /// Reads a template's text; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ModelError> {
        let wrong = |reason: String| ModelError::File { path: path.to_owned(), reason };
        if text.len() > LONGEST_TEMPLATE {
            return Err(wrong(format!("a chat template of more than {LONGEST_TEMPLATE} bytes")));
        }
        let mut environment = Environment::new();
        // The settings that transformers renders with.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| wrong(error.to_string()))?);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.set_fuel(Some(FUEL));
        environment
            .add_template_owned(NAME, text.to_owned())
            .map_err(|error| wrong(format!("no chat template: {}", printable(&error.to_string()))))?;
        Ok(Self(environment))
    }

    /// The text of turns; with `answer_next`, up to where the model speaks.
    pub fn render(&self, turns: &[Turn], answer_next: bool) -> Result<String, ModelError> {
        let messages: Vec<Message<'_>> = turns
            .iter()
            .map(|turn| {
                let content = turn.parts.iter().map(|part| match part {
                    Part::Text(text) => Content::Text { text },
                    Part::Image(_) => Content::Image,
                });
                Message { role: turn.role.name(), content: content.collect() }
            })
            .collect();
        let failed = |error: &dyn std::fmt::Display| ModelError::Prompt(format!("the chat template: {}", printable(&error.to_string())));
        let template = self.0.get_template(NAME).map_err(|error| failed(&error))?;
        let messages = Value::from(Serde(&messages));
        template.render(context! { messages, add_generation_prompt => answer_next }).map_err(|error| failed(&error))
    }
}

/// A file's template: one text, or several with names of which `default` is meant.
fn template_of(value: &serde_json::Value) -> Option<&str> {
    match value.get("chat_template")? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Array(named) => {
            named.iter().find(|entry| entry.get("name").is_some_and(|name| name == "default"))?.get("template")?.as_str()
        }
        _ => None,
    }
}
