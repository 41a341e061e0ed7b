//! Turns: instruction, images, answer.

use std::sync::Arc;

use serde::Serialize;

use super::{AnswerTemplate, Instructions, Pool, PoolImage, Purpose};
use crate::domain::{ApprovedSample, Exemplar, Field, FieldId, FieldKind, ImageRef, Kind, Label, Sample, Schema, Value};

/// Everything that decides what a model is asked and what it should say.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Fields and rules.
    pub schema: Arc<Schema>,
    /// The text of a query's answer.
    pub answer: AnswerTemplate,
    /// The text of an exemplar's answer: its fields are `image_type` and `address`.
    pub exemplar_answer: AnswerTemplate,
    /// What is said with the images.
    pub instructions: Instructions,
    /// Reference and exemplar images.
    pub pool: Pool,
    /// Moves all draws from the pools.
    pub seed: u64,
    /// Whether the difference of query and reference follows the query as a third image.
    pub difference: bool,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// `user` or `assistant`.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// What an image of a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageRole {
    /// A good product with a star.
    Exemplar,
    /// A good product.
    Reference,
    /// The product that is asked about.
    Query,
    /// The computed difference of query and reference.
    Difference,
}

/// An image of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePart {
    /// What it is.
    pub role: ImageRole,
    /// Its file; of a difference, the query's.
    pub image: ImageRef,
}

/// A piece of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text.
    Text(String),
    /// An image.
    Image(ImagePart),
}

/// What one side says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// Text first, then images.
    pub parts: Vec<Part>,
}

impl Turn {
    /// The turn's text.
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None }).collect()
    }

    /// The turn's images.
    pub fn images(&self) -> impl Iterator<Item = &ImagePart> {
        self.parts.iter().filter_map(|part| if let Part::Image(image) = part { Some(image) } else { None })
    }
}

/// Which images were drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picks {
    /// The exemplar, in a one-shot conversation that has one.
    pub exemplar: Option<PoolImage>,
    /// The reference: the sample's own or the pool's.
    pub reference: ImageRef,
}

/// A whole conversation, or the part of it that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// One-shot or zero-shot.
    pub kind: Kind,
    /// The turns, user first.
    pub turns: Vec<Turn>,
    /// Which images were drawn.
    pub picks: Picks,
}

impl Conversation {
    /// Every image, in the order in which they are shown.
    pub fn images(&self) -> impl Iterator<Item = &ImagePart> {
        self.turns.iter().flat_map(Turn::images)
    }
}

/// Why no conversation can be made of a sample.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// The pool has no image to draw.
    #[error("the {purpose} pool has no image for {image_type}{}; add one with 'mekiki pool add {purpose} IMAGE --type {image_type}'", .but_not.as_ref().map(|a| format!(" at another address than {a}")).unwrap_or_default())]
    EmptyPool {
        /// Reference or exemplar.
        purpose: &'static str,
        /// The image type.
        image_type: String,
        /// The address that was not wanted, if one was.
        but_not: Option<String>,
    },
    /// The instructions in use say nothing for this image type.
    #[error("no instruction of version {version} in language {language} for {image_type}; add one to [[instructions.texts]]")]
    NoInstruction {
        /// The version in use.
        version: String,
        /// The language in use.
        language: String,
        /// The image type.
        image_type: String,
    },
    /// A required field has no value.
    #[error("{0} has no value, so that there is no answer")]
    NoValue(FieldId),
    /// An exemplar of the pool has no address, or one of another grid.
    #[error("the exemplar {0} has no address; give it one with 'mekiki pool add exemplar {0} --at ADDRESS'")]
    NoAddress(String),
}

/// The id of the exemplar answer's image type field.
const IMAGE_TYPE: &str = "image_type";
/// The id of the exemplar answer's address field.
const ADDRESS: &str = "address";

impl Recipe {
    /// The fields that an exemplar's answer can have: `image_type`, and `address` on the schema's grid.
    pub fn exemplar_fields(schema: &Schema) -> Vec<Field> {
        let field =
            |id: &str, kind| FieldId::new(id).ok().map(|id| Field { title: id.to_string(), required: id.as_str() == ADDRESS, id, kind });
        let grid = schema
            .fields()
            .iter()
            .find_map(|field| if let FieldKind::Address { grid, .. } = &field.kind { Some(grid.clone()) } else { None });
        let image_type = field(IMAGE_TYPE, FieldKind::Choice { options: schema.image_types().to_vec() });
        let address = grid.and_then(|grid| field(ADDRESS, FieldKind::Address { grid, none: None }));
        image_type.into_iter().chain(address).collect()
    }

    /// The whole conversation of an approved sample, its answer included.
    pub fn conversation(&self, approved: &ApprovedSample, kind: Kind) -> Result<Conversation, ComposeError> {
        let image_type = approved.image_type(&self.schema).to_owned();
        let mut conversation = self.prompt(approved.sample(), &image_type, kind, Exemplar::Right)?;
        conversation.turns.push(self.answer_turn(approved.label())?);
        Ok(conversation)
    }

    /// The answer that a label makes.
    pub fn answer_turn(&self, label: &Label) -> Result<Turn, ComposeError> {
        let text = self.answer.render(label).map_err(ComposeError::NoValue)?;
        Ok(Turn { role: Role::Assistant, parts: vec![Part::Text(text)] })
    }

    /// The turns that ask: everything before the answer. `exemplar` is looked at for one-shot only.
    pub fn prompt(&self, sample: &Sample, image_type: &str, kind: Kind, exemplar: Exemplar) -> Result<Conversation, ComposeError> {
        let instruction = self.instructions.for_type(image_type).ok_or_else(|| ComposeError::NoInstruction {
            version: self.instructions.version.clone(),
            language: self.instructions.language.clone(),
            image_type: image_type.to_owned(),
        })?;
        let mut turns = Vec::new();
        let shown = if kind == Kind::OneShot { self.exemplar(sample, image_type, exemplar)? } else { None };
        if let Some(shown) = shown {
            turns.push(ask(&instruction.exemplar, vec![ImagePart { role: ImageRole::Exemplar, image: project_image(shown) }]));
            turns.push(Turn { role: Role::Assistant, parts: vec![Part::Text(self.exemplar_text(shown)?)] });
        }
        let reference = match &sample.reference {
            Some(own) => own.clone(),
            None => project_image(self.pick(Purpose::Reference, image_type, sample, None)?),
        };
        let mut images = vec![
            ImagePart { role: ImageRole::Reference, image: reference.clone() },
            ImagePart { role: ImageRole::Query, image: sample.query.clone() },
        ];
        if self.difference {
            images.push(ImagePart { role: ImageRole::Difference, image: sample.query.clone() });
        }
        turns.push(ask(&instruction.query, images));
        Ok(Conversation { kind, turns, picks: Picks { exemplar: shown.cloned(), reference } })
    }

    fn exemplar(&self, sample: &Sample, image_type: &str, which: Exemplar) -> Result<Option<&PoolImage>, ComposeError> {
        if which == Exemplar::None {
            return Ok(None);
        }
        let right = self.pick(Purpose::Exemplar, image_type, sample, None)?;
        match which {
            Exemplar::Wrong => self.pick(Purpose::Exemplar, image_type, sample, right.address).map(Some),
            Exemplar::Right | Exemplar::None => Ok(Some(right)),
        }
    }

    fn pick(
        &self,
        purpose: Purpose,
        image_type: &str,
        sample: &Sample,
        but_not: Option<crate::domain::Address>,
    ) -> Result<&PoolImage, ComposeError> {
        self.pool.pick(self.seed, purpose, image_type, sample, but_not).ok_or_else(|| ComposeError::EmptyPool {
            purpose: purpose.name(),
            image_type: image_type.to_owned(),
            but_not: but_not.and_then(|address| self.address_text(address)),
        })
    }

    fn address_text(&self, address: crate::domain::Address) -> Option<String> {
        let field = self.exemplar_answer.fields().find(|field| field.id.as_str() == ADDRESS)?;
        Some(field.render(&Value::Address(Some(address))))
    }

    /// What the model should say of an exemplar.
    pub fn exemplar_text(&self, exemplar: &PoolImage) -> Result<String, ComposeError> {
        let image_type = Value::Choice(exemplar.image_type.clone());
        let address = exemplar.address.map(|address| Value::Address(Some(address)));
        self.exemplar_answer
            .render_with(|field| match field.id.as_str() {
                IMAGE_TYPE => Some(&image_type),
                _ => address.as_ref().filter(|value| field.allows(value)),
            })
            .map_err(|_| ComposeError::NoAddress(exemplar.image.to_string()))
    }
}

fn ask(instruction: &str, images: Vec<ImagePart>) -> Turn {
    let text = Part::Text(instruction.to_owned());
    Turn { role: Role::User, parts: std::iter::once(text).chain(images.into_iter().map(Part::Image)).collect() }
}

fn project_image(image: &PoolImage) -> ImageRef {
    ImageRef { folder: 0, path: image.image.clone() }
}
