//! Statistics over a whole project, and predictions that flipped: read page by page on a thread of its own.

use std::collections::BTreeMap;

use crate::domain::{Field, Filter, PredictionSource, SampleId, Value};
use crate::review::{Confusion, FieldStatistics, Pace, Statistics};
use crate::store::{Store, StoreError};

/// How many samples are read at a time.
const PAGE: usize = 2000;
/// The most rows and columns of a confusion matrix; rarer values are left out of it.
const MOST_VALUES: usize = 24;
/// Decisions of the last hour make the pace.
const HOUR_MS: i64 = 3_600_000;
/// Who has decided something within that time is at work.
const AT_WORK_MS: i64 = 600_000;
/// A longer time without a decision is a break.
const BREAK_MS: i64 = 120_000;
/// A pace is told from so many decisions on, over so much work.
const FEWEST: usize = 5;
const SHORTEST_MS: i64 = 20_000;
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
    let mut lately: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.page(&Filter::default(), after.as_ref(), PAGE)?;
        for row in &page.rows {
            if let Some((by, time_ms)) = row.decided.as_ref().filter(|(_, time_ms)| now_ms - time_ms < HOUR_MS) {
                lately.entry(by.clone()).or_default().push(*time_ms);
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
    // Who has just been at work is expected to go on.
    let at_work = lately.values().filter(|times| times.iter().any(|time| now_ms - time < AT_WORK_MS));
    let together: f64 = at_work.filter_map(|times| per_hour(times.clone())).sum();
    let paces = stats.reviewers.into_iter().map(|reviewer| Pace {
        per_hour: lately.remove(&reviewer.reviewer).and_then(per_hour),
        decided: reviewer.decided,
        reviewer: reviewer.reviewer,
    });
    Ok(Statistics {
        fields: schema.fields().iter().zip(tallies).map(|(field, tally)| tally.figures(field)).collect(),
        paces: paces.collect(),
        undecided: stats.undecided,
        left_s: (together > 0.0).then(|| stats.undecided as f64 * 3600.0 / together),
    })
}

/// Samples an hour from the times of decisions, breaks left out; `None` where they are too few, or all at once, to tell.
fn per_hour(mut times: Vec<i64>) -> Option<f64> {
    times.sort_unstable();
    let worked: i64 = times.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap < BREAK_MS).sum();
    let enough = times.len() >= FEWEST && worked >= SHORTEST_MS;
    enough.then(|| (times.len() - 1) as f64 * HOUR_MS as f64 / worked as f64)
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

#[cfg(test)]
mod tests {
    use super::per_hour;

    #[test]
    fn a_pace_leaves_breaks_out_and_waits_until_it_can_tell() {
        let every = |gap: i64, count: i64| (0..count).map(|nth| 1_000_000 + nth * gap).collect::<Vec<_>>();
        assert_eq!(per_hour(every(10_000, 7)), Some(360.0));
        assert_eq!(per_hour(every(10_000, 4)), None, "too few");
        assert_eq!(per_hour(vec![5; 200]), None, "a batch takes no time that could be told");
        assert_eq!(per_hour(every(100, 50)), None, "five seconds");
        // Half an hour away in the middle changes nothing.
        let mut times = every(10_000, 7);
        times.extend(every(10_000, 7).iter().map(|time| time + 1_800_000));
        assert_eq!(per_hour(times), Some(13.0 * 3600.0 / 120.0), "13 steps in two minutes of work");
        assert_eq!(per_hour(Vec::new()), None);
    }
}
