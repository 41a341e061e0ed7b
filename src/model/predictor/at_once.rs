//! Batches that fail as a whole, for whoever knows what to do then.

use super::{PredictError, Predictor, Prepared};
use crate::model::ModelError;
use crate::model::decide::Decision;

impl Predictor {
    /// Predicts items whose images are ready, all of them together: one answer for each, in their order. It fails as a
    /// whole where the computation does, for want of memory among other reasons.
    pub fn predict_at_once(&self, items: &[&Prepared]) -> Result<Vec<Result<Decision, PredictError>>, ModelError> {
        let mut answers: Vec<Option<PredictError>> = Vec::with_capacity(items.len());
        let mut ready = Vec::with_capacity(items.len());
        for item in items {
            match self.tokenise((*item).clone()) {
                Ok(prompt) => {
                    answers.push(None);
                    ready.push(prompt);
                }
                Err(error) => answers.push(Some(error)),
            }
        }
        let decided = if ready.is_empty() { Vec::new() } else { self.decide_together(&ready)? };
        let mut decided = decided.into_iter();
        let unanswered = || ModelError::Prompt("it was not answered".to_owned());
        let answer = |error: Option<PredictError>| match error {
            Some(error) => Err(error),
            None => decided.next().unwrap_or_else(|| Err(unanswered().into())),
        };
        Ok(answers.into_iter().map(answer).collect())
    }

    /// Gives back the memory of what prompts have in common; it is read again when it is needed.
    pub fn forget(&self) {
        self.forget_prefixes();
    }
}
