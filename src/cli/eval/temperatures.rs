//! Temperatures, fitted on the validation split.

use serde_json::{Value as Json, json};

use super::super::measure::{Truths, pairs, source_json};
use super::super::output::Failure;
use crate::domain::{FieldId, PredictionSource, Split};
use crate::eval::{Fitted, fit};
use crate::store::Store;

/// The fewest predictions that a temperature is fitted on.
pub(super) const FEWEST: u64 = 10;

/// A field's temperature.
pub(super) struct FittedField {
    pub(super) source: PredictionSource,
    pub(super) field: FieldId,
    pub(super) fitted: Fitted,
}

impl FittedField {
    pub(super) fn json(&self) -> Json {
        json!({ "source": source_json(&self.source), "field": self.field, "temperature": self.fitted.temperature, "samples": self.fitted.samples })
    }
}

/// Fits and keeps the temperatures of these sources, as far as there are enough samples of the validation split.
pub(super) fn fit_all(store: &mut Store, sources: &[PredictionSource], truths: &Truths) -> Result<Vec<FittedField>, Failure> {
    let mut all = Vec::new();
    for source in sources {
        let validation = pairs(store, source, truths.known.iter().filter(|known| known.split == Split::Validation))?;
        let schema = store.schema().clone();
        let fields: Vec<(FieldId, f32, u64)> = schema
            .fields()
            .iter()
            .filter_map(|field| {
                let known = validation.iter().filter_map(|pair| Some((pair.said.get(&field.id)?, pair.truth.get(&field.id)?)));
                let fitted = fit(known).filter(|fitted| fitted.samples >= FEWEST)?;
                all.push(FittedField { source: source.clone(), field: field.id.clone(), fitted });
                Some((field.id.clone(), fitted.temperature, fitted.samples))
            })
            .collect();
        if !fields.is_empty() {
            store.set_temperatures(source, &fields)?;
        }
    }
    Ok(all)
}
