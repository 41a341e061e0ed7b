//! The groups into which an order is divided.

/// Samples that stand together in an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The place of the first one.
    pub from: usize,
    /// How many there are.
    pub len: usize,
    /// What they have in common.
    pub name: GroupName,
}

/// What the samples of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupName {
    /// The predicted answer, field by field in the schema's order; empty without a prediction.
    Answer(Vec<String>),
    /// The cluster of pictures that look alike; none where they have not been compared.
    Cluster(Option<u32>),
}

/// Why an order is not divided, or not sorted, as was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ungrouped {
    /// More samples than these cannot be grouped by answer.
    TooMany(usize),
    /// No pictures have been compared.
    NotCompared,
}
