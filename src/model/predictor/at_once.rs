//! Batches that fail as a whole, for whoever knows what to do then.

use super::{PredictError, Predictor, Prepared};
use crate::model::ModelError;
use crate::model::decide::Decision;

impl Predictor {
    /// Predicts items that are ready, all of them together: one answer for each, in their order. It fails as a whole where
    /// the computation does, for want of memory among other reasons.
    pub fn predict_at_once(&self, items: &[Prepared]) -> Result<Vec<Result<Decision, PredictError>>, ModelError> {
        if items.is_empty() { Ok(Vec::new()) } else { self.decide_together(items) }
    }
}
