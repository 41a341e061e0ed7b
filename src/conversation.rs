//! The one place that knows what a model is asked and what it should say.
//!
//! Contract: imports `domain` only; pure. Training, prediction, export and preview all take their turns from
//! [`Recipe`], so that what is predicted on is what is trained on.

mod answer;
mod compose;
mod guidance;
mod instructions;
mod plan;
mod pool;

pub use answer::{AnswerProblem, AnswerTemplate, ParsedAnswer, Spans, TemplateProblem};
pub use compose::{ComposeError, Conversation, ImagePart, ImageRole, Part, Picks, Recipe, Role, Turn};
pub use guidance::Guidance;
pub use instructions::{InstructionText, Instructions};
pub use plan::SamplingPlan;
pub use pool::{Pool, PoolImage, Purpose};
