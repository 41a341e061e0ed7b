//! Orders divided into groups, outliers first where that is asked.

use std::cmp::Reverse;

use crate::domain::{Field, Value};
use crate::review::{Group, GroupName, Grouping, Query, Ungrouped};
use crate::store::{Order, SampleView, Store, StoreError};

/// Up to so many samples are grouped by answer: each is read once.
const MOST_ANSWERS: usize = 50_000;
/// How many samples are read at a time.
const CHUNK: usize = 1000;

/// An order's groups, or why there are none.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub groups: Vec<Group>,
    pub problem: Option<Ungrouped>,
}

/// Puts an order into groups as a query asks. What cannot be done is left, and said.
pub(super) fn group(store: &Store, query: &Query, order: &mut Order) -> Result<Groups, StoreError> {
    let alike = match query.grouping == Grouping::Likeness || query.outliers_first {
        true if store.has_likeness()? => store.alike_in(order)?,
        true => Vec::new(),
        false => return answers(store, query, order, |_| 0),
    };
    let problem = (alike.is_empty() && !order.is_empty()).then_some(Ungrouped::NotCompared);
    let cluster = |index: usize| alike.get(index).copied().flatten().map(|(cluster, _)| cluster);
    // Those furthest from their like first, those not compared last.
    let outlier = |index: usize| {
        let score = alike.get(index).copied().flatten().filter(|_| query.outliers_first).map(|(_, score)| score);
        Reverse(score)
    };
    let done = match query.grouping {
        Grouping::None => {
            order.sort_by_key(outlier);
            Groups::default()
        }
        Grouping::Answer => answers(store, query, order, outlier)?,
        Grouping::Likeness if problem.is_some() => Groups::default(),
        Grouping::Likeness => {
            let runs = order.group_by_key(|index| cluster(index).map_or((true, 0), |cluster| (false, cluster)), outlier);
            let name = |(unknown, cluster): (bool, u32)| GroupName::Cluster((!unknown).then_some(cluster));
            Groups { groups: runs.into_iter().map(|(from, len, key)| Group { from, len, name: name(key) }).collect(), problem: None }
        }
    };
    Ok(Groups { problem: problem.or(done.problem), ..done })
}

fn answers<W: Ord>(store: &Store, query: &Query, order: &mut Order, within: impl Fn(usize) -> W) -> Result<Groups, StoreError> {
    if query.grouping != Grouping::Answer {
        return Ok(Groups::default());
    }
    if order.len() > MOST_ANSWERS {
        return Ok(Groups { problem: Some(Ungrouped::TooMany(MOST_ANSWERS)), ..Groups::default() });
    }
    let fields = store.schema().fields();
    let mut answers = Vec::with_capacity(order.len());
    for from in (0..order.len()).step_by(CHUNK) {
        answers.extend(store.views(order, from, CHUNK)?.iter().map(|view| predicted(fields, view)));
    }
    let runs = order.group_by_key(|index| answers.get(index).cloned().flatten(), within);
    let text = |(field, value): (&Field, Option<Value>)| value.map_or_else(|| "–".to_owned(), |value| field.render(&value));
    let name = |answer: Option<Vec<Option<Value>>>| {
        GroupName::Answer(fields.iter().zip(answer.unwrap_or_default()).map(text).collect())
    };
    Ok(Groups { groups: runs.into_iter().map(|(from, len, answer)| Group { from, len, name: name(answer) }).collect(), problem: None })
}

/// The predicted values in the schema's order.
fn predicted(fields: &[Field], view: &SampleView) -> Option<Vec<Option<Value>>> {
    let prediction = view.prediction.as_ref()?;
    Some(fields.iter().map(|field| prediction.fields.get(&field.id).map(|told| told.value.clone())).collect())
}
