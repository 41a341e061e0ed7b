//! The one door into the training set.

use super::{FieldId, ImageHashes, Label, ReviewerName, Sample, Schema, Value, ValueOrigin};

/// Who approved a sample, when, and on what grounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The operation that approved it.
    pub operation: String,
    /// Who did.
    pub reviewer: ReviewerName,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
    /// What its images held.
    pub images: ImageHashes,
    /// Where each value came from.
    pub origins: Vec<(FieldId, ValueOrigin)>,
}

/// A sample with a complete label that keeps the rules. Only [`approve`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedSample {
    sample: Sample,
    label: Label,
    provenance: Provenance,
}

impl ApprovedSample {
    /// The sample.
    pub fn sample(&self) -> &Sample {
        &self.sample
    }

    /// Its approved label: complete, and within the rules.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// Who approved it, when, and on what grounds.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The image type: what the approved label says, where the answer states it, else the sample's own.
    pub fn image_type(&self, schema: &Schema) -> &str {
        match schema.image_type_field().and_then(|field| self.label.get(field)) {
            Some(Value::Choice(image_type)) => image_type,
            _ => &self.sample.image_type,
        }
    }
}

/// Why a label cannot be approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breach {
    /// A required field has no value.
    Missing(FieldId),
    /// A value is not one that the schema allows (any more).
    NotAllowed(FieldId),
    /// A rule between fields is broken: `when` holds and `then` does not.
    Rule {
        /// The field that must change.
        field: FieldId,
        /// What must hold, and why.
        message: String,
    },
}

impl Breach {
    /// The field concerned.
    pub fn field(&self) -> &FieldId {
        match self {
            Self::Missing(field) | Self::NotAllowed(field) | Self::Rule { field, .. } => field,
        }
    }

    /// What is wrong, in words.
    pub fn message(&self, schema: &Schema) -> String {
        match self {
            Self::Missing(field) => format!("{field} has no value"),
            Self::NotAllowed(field) => {
                format!(
                    "{field} must be {}",
                    schema.field(field).map_or_else(|| "a field of the schema".to_owned(), super::Field::expectation)
                )
            }
            Self::Rule { message, .. } => message.clone(),
        }
    }
}

/// What keeps a label from being approved; empty when nothing does.
pub fn breaches(schema: &Schema, label: &Label) -> Vec<Breach> {
    let missing = schema.missing(label).map(|field| Breach::Missing(field.id.clone()));
    let foreign = label
        .iter()
        .filter(|(id, value)| !schema.field(id).is_some_and(|field| field.allows(value)))
        .map(|(id, _)| Breach::NotAllowed(id.clone()));
    let broken = schema.broken(label).map(|(rule, condition)| {
        let reasons: Vec<String> = rule.when.iter().map(|condition| schema.describe(condition)).collect();
        Breach::Rule {
            field: condition.field.clone(),
            message: format!("{} must hold, since {}", schema.describe(condition), reasons.join(" and ")),
        }
    });
    missing.chain(foreign).chain(broken).collect()
}

/// Approves a sample with a label, or says everything that speaks against it.
pub fn approve(schema: &Schema, sample: Sample, label: Label, provenance: Provenance) -> Result<ApprovedSample, Vec<Breach>> {
    let breaches = breaches(schema, &label);
    if breaches.is_empty() { Ok(ApprovedSample { sample, label, provenance }) } else { Err(breaches) }
}
