//! Good or not: the one decision for which a product is looked at.

use super::Pair;
use crate::domain::{FieldId, FieldKind, Schema, Value};

/// Which field judges a product, and which of its values says that it is good; every other value says that it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoodValue {
    /// The field.
    pub field: FieldId,
    /// Its good value.
    pub value: Value,
}

/// The good value as the rules tell it: of a good product there is nothing more to say, so that a rule which begins with
/// the good value alone pins other fields to one value (`passed` ⇒ no defect mode, no position), and no other value of
/// the field pins as many. Of several such fields the one with the fewest options judges. `None` where the rules tell
/// nothing of the kind.
pub fn good_value(schema: &Schema) -> Option<GoodValue> {
    let mut candidates: Vec<(usize, GoodValue)> = Vec::new();
    for field in schema.fields() {
        let FieldKind::Choice { options } = &field.kind else { continue };
        let mut pins: Vec<(usize, Value)> =
            options.iter().map(|option| (pinned(schema, &field.id, option), Value::Choice(option.clone()))).collect();
        pins.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        if let [(most, value), (second, _), ..] = pins.as_slice()
            && most > second
        {
            candidates.push((options.len(), GoodValue { field: field.id.clone(), value: value.clone() }));
        }
    }
    candidates.into_iter().min_by_key(|(options, _)| *options).map(|(_, good)| good)
}

/// How many other fields a value pins to one value, by rules that look at this value alone.
fn pinned(schema: &Schema, field: &FieldId, option: &str) -> usize {
    let value = Value::Choice(option.to_owned());
    let applies = |rule: &&crate::domain::Rule| matches!(rule.when.as_slice(), [only] if only.field == *field && only.allows(&value));
    let conditions = schema.rules().iter().filter(applies).flat_map(|rule| &rule.then);
    conditions.filter(|then| then.field != *field && then.one_of && then.values.len() == 1).count()
}

/// How well products are judged; a defective one is the positive case.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Which field, and what is good.
    pub good: GoodValue,
    /// Defective and said to be.
    pub found: u64,
    /// Defective and said to be good (or nothing said): what escapes.
    pub missed: u64,
    /// Good and said to be defective (or nothing said).
    pub false_alarms: u64,
    /// Good and said to be.
    pub passed: u64,
}

impl Judgement {
    /// Counts the pairs whose judgement is known.
    pub fn of(good: GoodValue, pairs: &[Pair]) -> Self {
        let mut judgement = Self { good, found: 0, missed: 0, false_alarms: 0, passed: 0 };
        for pair in pairs {
            let Some(truth) = pair.truth.get(&judgement.good.field) else { continue };
            let said = pair.said.get(&judgement.good.field).map(|said| &said.value);
            let said_good = said == Some(&judgement.good.value);
            let count = match (*truth == judgement.good.value, said_good, said) {
                (true, true, _) => &mut judgement.passed,
                (true, false, _) => &mut judgement.false_alarms,
                (false, false, Some(_)) => &mut judgement.found,
                (false, ..) => &mut judgement.missed,
            };
            *count += 1;
        }
        judgement
    }

    /// The mean of the shares of defective and of good products that are judged right; `None` without both.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        Some(f64::midpoint(ratio(self.found, self.found + self.missed)?, ratio(self.passed, self.passed + self.false_alarms)?))
    }

    /// The harmonic mean of precision and recall of defects; `None` where there are none and none is said.
    pub fn f1(&self) -> Option<f64> {
        ratio(2 * self.found, 2 * self.found + self.missed + self.false_alarms)
    }

    /// Matthews' correlation of truth and judgement, -1 to 1; `None` where either knows one value only.
    pub fn mcc(&self) -> Option<f64> {
        let [found, missed, alarms, passed] = [self.found, self.missed, self.false_alarms, self.passed].map(|count| count as f64);
        let scale = ((found + alarms) * (found + missed) * (passed + alarms) * (passed + missed)).sqrt();
        (scale > 0.0).then(|| (found * passed - alarms * missed) / scale)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
