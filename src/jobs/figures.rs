//! Statistics over a whole project, and predictions that flipped: read page by page on a thread of its own.

use std::collections::BTreeMap;

use crate::domain::{Field, Filter, PredictionSource, SampleId, Value};
use crate::review::{Confusion, FieldStatistics, Pace, Statistics};
use crate::store::{Store, StoreError};

/// How many samples are read at a time.
const PAGE: usize = 2000;
/// The most rows and columns of a confusion matrix; rarer values are left out of it.
const MOST_VALUES: usize = 24;
/// Bins of confidence.
const BINS: usize = 10;

#[derive(Default)]
struct Tally {
    compared: u64,
    agreed: u64,
    pairs: BTreeMap<(Value, Value), u64>,
    bins: [(u64, u64); BINS],
}

/// All figures. `now_ms` ends the last hour.
pub(super) fn statistics(store: &Store, now_ms: i64) -> Result<Statistics, StoreError> {
    let schema = store.schema().clone();
    let mut tallies: Vec<Tally> = schema.fields().iter().map(|_| Tally::default()).collect();
    let mut lately: BTreeMap<_, u64> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.page(&Filter::default(), after.as_ref(), PAGE)?;
        for row in &page.rows {
            if let Some((by, _)) = row.decided.as_ref().filter(|(_, time_ms)| now_ms - time_ms < 3_600_000) {
                *lately.entry(by.clone()).or_default() += 1;
            }
            for (tally, field) in tallies.iter_mut().zip(&row.fields) {
                let (Some(label), Some(predicted)) = (&field.label, &field.predicted) else { continue };
                let agrees = u64::from(label == predicted);
                tally.compared += 1;
                tally.agreed += agrees;
                *tally.pairs.entry((label.clone(), predicted.clone())).or_default() += 1;
                if let Some(confidence) = field.confidence {
                    let bin = &mut tally.bins[((confidence * BINS as f32) as usize).min(BINS - 1)];
                    *bin = (bin.0 + 1, bin.1 + agrees);
                }
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let stats = store.stats()?;
    let per_hour: u64 = lately.values().sum();
    let paces = stats.reviewers.into_iter().map(|reviewer| Pace {
        per_hour: lately.get(&reviewer.reviewer).copied().unwrap_or_default() as f64,
        decided: reviewer.decided,
        reviewer: reviewer.reviewer,
    });
    Ok(Statistics {
        fields: schema.fields().iter().zip(tallies).map(|(field, tally)| tally.figures(field)).collect(),
        paces: paces.collect(),
        undecided: stats.undecided,
        left_s: (per_hour > 0).then(|| stats.undecided as f64 * 3600.0 / per_hour as f64),
    })
}

impl Tally {
    fn figures(self, field: &Field) -> FieldStatistics {
        let listed = |part: fn(&(Value, Value)) -> &Value| {
            let mut counts: BTreeMap<&Value, u64> = BTreeMap::new();
            for (pair, count) in &self.pairs {
                *counts.entry(part(pair)).or_default() += count;
            }
            let mut values: Vec<(&Value, u64)> = counts.into_iter().collect();
            values.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            values.truncate(MOST_VALUES);
            let order = field.values().unwrap_or_default();
            values.sort_by_key(|(value, _)| order.iter().position(|known| known == *value));
            values.into_iter().map(|(value, _)| value).collect::<Vec<_>>()
        };
        let (labels, predictions) = (listed(|pair| &pair.0), listed(|pair| &pair.1));
        let count = |label: &Value, predicted: &Value| self.pairs.get(&(label.clone(), predicted.clone())).copied().unwrap_or_default();
        let counts = labels.iter().map(|label| predictions.iter().map(|predicted| count(label, predicted)).collect()).collect();
        let texts = |values: Vec<&Value>| values.into_iter().map(|value| field.render(value)).collect();
        FieldStatistics {
            field: field.id.clone(),
            compared: self.compared,
            agreed: self.agreed,
            confusion: Confusion { counts, labels: texts(labels), predictions: texts(predictions) },
            calibration: self.bins.to_vec(),
        }
    }
}

/// Whether two sources say different things of a sample; not when one of them says nothing.
pub(super) fn flips(store: &Store, id: &SampleId, source: &PredictionSource, against: &PredictionSource) -> Result<bool, StoreError> {
    let all = store.predictions(id)?;
    let of = |wanted: &PredictionSource| all.iter().find(|prediction| prediction.source == *wanted);
    Ok(of(source)
        .zip(of(against))
        .is_some_and(|(a, b)| a.fields.iter().any(|(field, told)| b.fields.get(field).is_some_and(|other| other.value != told.value))))
}

/// How many samples flip between two sources.
pub(super) fn count_flips(store: &Store, source: &PredictionSource, against: &PredictionSource) -> Result<u64, StoreError> {
    let (mut count, mut after) = (0, None);
    loop {
        let page = store.page(&Filter::default(), after.as_ref(), PAGE)?;
        for row in &page.rows {
            count += u64::from(flips(store, &row.id, source, against)?);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(count),
        }
    }
}
