//! What a batch will do, before it does it; and the spot check that can precede it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::entry::{Answer, Change, Decision, Entry};
use super::form::{Doubt, Form};
use crate::domain::{self, Field, ReviewerName, SampleId, Schema, Shown, Value, ValueOrigin, stable_hash};

/// What is to be done to a selection.
#[derive(Debug, Clone, PartialEq)]
pub enum Purpose {
    /// Every sample is approved with what its form proposes.
    Approve,
    /// One field gets one value, and the rules act.
    Set(usize, Value),
}

/// A sample that the batch will change.
#[derive(Debug, Clone, PartialEq)]
pub struct PreviewRow {
    /// The sample as it was when the preview was made.
    pub entry: Arc<Entry>,
    /// The values that it will be approved with, or that will be set.
    pub values: Vec<Answer>,
}

/// Why a selected sample is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// A field is in doubt.
    Doubt(usize, Doubt),
    /// Another reviewer is looking at it.
    Claimed(ReviewerName),
    /// It is decided already.
    Decided,
    /// A decision on it is on its way.
    Saving,
    /// Nothing would change.
    Same,
}

/// What a spot check found.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spot {
    /// Samples looked at.
    pub checked: usize,
    /// Samples that were not as the preview had them.
    pub wrong: usize,
}

impl Spot {
    /// The share that is probably wrong, and the share that it hardly exceeds (95 %, Wilson's score); both 0 to 1.
    pub fn estimate(self) -> Option<(f64, f64)> {
        const Z: f64 = 1.96;
        let n = self.checked as f64;
        (self.checked > 0).then(|| {
            let p = self.wrong as f64 / n;
            let middle = p + Z * Z / (2.0 * n);
            let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
            (p, ((middle + spread) / (1.0 + Z * Z / n)).min(1.0))
        })
    }
}

/// What a batch will do. Its rows are frozen: what is confirmed is what was shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// What is to be done.
    pub purpose: Purpose,
    /// What will change.
    pub rows: Vec<PreviewRow>,
    /// What will not, and why.
    pub left: Vec<(SampleId, Left)>,
    /// Rows that have changed since; the store will refuse them.
    pub changed: BTreeSet<SampleId>,
    /// Whether a frame has shown it.
    pub seen: bool,
    /// What a spot check found.
    pub spot: Spot,
    /// The line at the top of the screen.
    pub scroll: usize,
}

impl Preview {
    /// Looks at what the purpose does to each selected sample.
    pub fn new<'a>(
        schema: &Arc<Schema>,
        purpose: Purpose,
        picked: impl IntoIterator<Item = &'a Arc<Entry>>,
        is_saving: impl Fn(&SampleId) -> bool,
    ) -> Self {
        let (mut rows, mut left) = (Vec::new(), Vec::new());
        for entry in picked {
            let values = match &entry.claimed_by {
                _ if is_saving(&entry.id) => Err(Left::Saving),
                Some(by) => Err(Left::Claimed(by.clone())),
                None => purpose.values(schema, entry),
            };
            match values {
                Ok(values) => rows.push(PreviewRow { entry: Arc::clone(entry), values }),
                Err(reason) => left.push((entry.id.clone(), reason)),
            }
        }
        Self { purpose, rows, left, changed: BTreeSet::new(), seen: false, spot: Spot::default(), scroll: 0 }
    }

    /// The rows by what they will say, the most frequent first.
    pub fn groups(&self, fields: &[Field]) -> Vec<(String, usize)> {
        let text = |row: &PreviewRow| {
            let written = |(id, value, _): &Answer| fields.iter().find(|field| field.id == *id).map(|field| field.render(value));
            row.values.iter().filter_map(written).collect::<Vec<_>>().join(" · ")
        };
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for row in &self.rows {
            *counts.entry(text(row)).or_default() += 1;
        }
        let mut groups: Vec<_> = counts.into_iter().collect();
        groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        groups
    }

    /// The decisions that were shown, no more and no less.
    pub fn decisions(&self) -> Vec<Decision> {
        self.rows.iter().flat_map(|row| self.purpose.decisions(row)).collect()
    }

    /// A sample is known to be otherwise now.
    pub fn note_change(&mut self, entry: &Entry) {
        if self.rows.iter().any(|row| row.entry.id == entry.id && row.entry.revision != entry.revision) {
            self.changed.insert(entry.id.clone());
        }
    }

    /// Draws a share of the rows by lot, at least a few.
    pub fn draw(&self, percent: u32, seed: u64) -> Vec<SampleId> {
        const FEWEST: usize = 5;
        let count = (self.rows.len() * percent as usize).div_ceil(100).max(FEWEST);
        let mut ids: Vec<&SampleId> = self.rows.iter().map(|row| &row.entry.id).collect();
        ids.sort_by_key(|id| stable_hash(seed, &["spot check", id.as_str()]));
        ids.into_iter().take(count).cloned().collect()
    }

    /// A sample is taken out: it was looked at and left undecided.
    pub fn take_out(&mut self, sample: &SampleId) {
        self.rows.retain(|row| row.entry.id != *sample);
        self.seen = false;
    }

    /// A sample of the spot check was decided on by itself, with these values if it was approved.
    pub fn checked(&mut self, sample: &SampleId, approved: Option<&[Answer]>) {
        let Some(at) = self.rows.iter().position(|row| row.entry.id == *sample) else { return };
        let row = self.rows.remove(at);
        let says = |answers: &[Answer]| answers.iter().map(|(id, value, _)| (id.clone(), value.clone())).collect::<BTreeMap<_, _>>();
        self.spot.checked += 1;
        self.spot.wrong += usize::from(approved.map(says) != Some(says(&row.values)));
        self.seen = false;
    }
}

impl Purpose {
    fn values(&self, schema: &Arc<Schema>, entry: &Arc<Entry>) -> Result<Vec<Answer>, Left> {
        let mut form = Form::new(Arc::clone(schema), Arc::clone(entry));
        match self {
            Self::Approve if entry.state != domain::State::Undecided => Err(Left::Decided),
            Self::Approve => form.approval().map_err(|(field, doubt)| Left::Doubt(field, doubt)),
            Self::Set(field, value) => {
                form.give(*field, value.clone(), ValueOrigin::Typed);
                let differs = |(id, value, _): &Answer| entry.label.get(id) != Some(value) || !entry.decided.contains(id);
                let values: Vec<Answer> = form.changes().into_iter().filter(differs).collect();
                if values.is_empty() { Err(Left::Same) } else { Ok(values) }
            }
        }
    }

    fn decisions(&self, row: &PreviewRow) -> Vec<Decision> {
        let decision = |change| Decision { sample: row.entry.id.clone(), base: row.entry.revision, change };
        match self {
            Self::Approve => vec![decision(Change::Approve { label: row.values.clone(), images: None, shown: Shown::Thumbnail })],
            Self::Set(..) => {
                let set = |(field, value, origin): &Answer| {
                    decision(Change::Set { field: field.clone(), value: value.clone(), origin: origin.clone() })
                };
                row.values.iter().map(set).collect()
            }
        }
    }
}
