//! One conversation on its way into the set, and the JSON that formats share.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::images::Placed;
use crate::conversation::{Conversation, Part, Recipe, Role};
use crate::domain::{ApprovedSample, ContentHash, Split};

/// A conversation with everything that formats say of it.
pub(super) struct Row {
    /// Unique in the set: the sample's place in import order and the conversation's kind.
    pub(super) id: String,
    pub(super) approved: Arc<ApprovedSample>,
    pub(super) split: Split,
    pub(super) image_type: String,
    pub(super) conversation: Conversation,
    /// The images, in the conversation's order.
    pub(super) images: Vec<Placed>,
    /// What goes into the set's text files.
    pub(super) lines: Vec<Line>,
    /// The hash of what the conversation says and shows.
    pub(super) digest: ContentHash,
}

/// A piece of a text file.
pub(super) struct Line {
    /// The file in the set.
    pub(super) file: String,
    /// The piece, its line break included.
    pub(super) bytes: Vec<u8>,
}

impl Line {
    /// A line of JSON.
    pub(super) fn json(file: impl Into<String>, value: &impl Serialize) -> Self {
        // Texts and numbers can always be written as JSON.
        let mut bytes = serde_json::to_vec(value).unwrap_or_default();
        bytes.push(b'\n');
        Self { file: file.into(), bytes }
    }
}

/// A turn with its parts; an image part carries its file only where a reader wants it there.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    pub(super) role: &'static str,
    pub(super) content: Vec<Content<'a>>,
}

/// A part of a turn. A part never carries a key that is not its own: chat templates test for keys.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Content<'a> {
    Text {
        text: &'a str,
    },
    Image {
        #[serde(skip_serializing_if = "Option::is_none")]
        image: Option<&'a str>,
    },
}

/// A turn as one text, with `<image>` where an image stands.
#[derive(Serialize)]
pub(super) struct Said {
    pub(super) from: &'static str,
    pub(super) value: String,
}

impl Row {
    /// The turns as messages; with `inline`, image parts name their files.
    pub(super) fn messages(&self, inline: bool) -> Vec<Message<'_>> {
        let mut files = self.images.iter().map(|image| image.name.as_str());
        let mut messages = Vec::with_capacity(self.conversation.turns.len());
        for turn in &self.conversation.turns {
            let content = turn.parts.iter().map(|part| match part {
                Part::Text(text) => Content::Text { text },
                Part::Image(_) => Content::Image { image: files.next().filter(|_| inline) },
            });
            messages.push(Message { role: turn.role.name(), content: content.collect() });
        }
        messages
    }

    /// The turns in the manner of ShareGPT.
    pub(super) fn conversations(&self) -> Vec<Said> {
        let said = self.conversation.turns.iter().map(|turn| {
            let from = if turn.role == Role::User { "human" } else { "gpt" };
            let parts = turn.parts.iter().map(|part| if let Part::Text(text) = part { text.as_str() } else { "<image>" });
            Said { from, value: parts.collect::<Vec<_>>().join("\n") }
        });
        said.collect()
    }

    /// The names of the images.
    pub(super) fn file_names(&self) -> Vec<&str> {
        self.images.iter().map(|image| image.name.as_str()).collect()
    }

    /// The label's values as texts, every field named; one without a value is empty.
    pub(super) fn fields(&self, recipe: &Recipe) -> Map<String, Json> {
        let text = |field: &crate::domain::Field| self.approved.label().get(&field.id).map(|value| field.render(value)).unwrap_or_default();
        recipe.schema.fields().iter().map(|field| (field.id.to_string(), Json::String(text(field)))).collect()
    }
}
