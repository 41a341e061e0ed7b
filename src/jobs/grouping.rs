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
    let name = |answer: Option<Vec<Option<Value>>>| GroupName::Answer(fields.iter().zip(answer.unwrap_or_default()).map(text).collect());
    Ok(Groups { groups: runs.into_iter().map(|(from, len, answer)| Group { from, len, name: name(answer) }).collect(), problem: None })
}

/// The predicted values in the schema's order.
fn predicted(fields: &[Field], view: &SampleView) -> Option<Vec<Option<Value>>> {
    let prediction = view.prediction.as_ref()?;
    Some(fields.iter().map(|field| prediction.fields.get(&field.id).map(|told| told.value.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Exemplar, FieldPrediction, Filter, Kind, PredictionSource};
    use crate::store::testing::{id, pins, project};
    use crate::store::{NewLikeness, PredictedFields};

    fn source() -> PredictionSource {
        PredictionSource { model: "m".into(), adapter: None, instruction: "v1".into(), exemplar: Exemplar::Right, kind: Kind::ZeroShot }
    }

    fn asked(store: &Store, grouping: Grouping, outliers_first: bool) -> (Vec<usize>, Groups) {
        let query = Query { text: String::new(), filter: Filter::default(), source: source(), against: None, grouping, outliers_first };
        let mut order = store.order(&query.filter).unwrap();
        let groups = group(store, &query, &mut order).unwrap();
        let all = store.views(&order, 0, 99).unwrap();
        (all.iter().map(|view| view.sample.ordinal as usize).collect(), groups)
    }

    fn runs(groups: &Groups) -> Vec<(usize, usize, GroupName)> {
        groups.groups.iter().map(|group| (group.from, group.len, group.name.clone())).collect()
    }

    #[test]
    fn orders_are_divided_as_was_asked() {
        let (_dir, mut store) = project(pins(), 7);
        let field = store.schema().field_named("judgement").unwrap();
        let said = |text: &str| {
            let value = field.parse(text).unwrap();
            PredictedFields::from([(field.id.clone(), FieldPrediction { probabilities: vec![(value.clone(), 0.9)], value, outside: 0.0 })])
        };
        let predictions = [(0, "defective"), (2, "passed"), (3, "defective"), (6, "passed")].map(|(n, text)| (id(n), said(text)));
        store.add_predictions(&source(), &predictions).unwrap();
        assert_eq!(asked(&store, Grouping::Likeness, true).1.problem, Some(Ungrouped::NotCompared));
        let (order, groups) = asked(&store, Grouping::Answer, false);
        assert_eq!(order, [1, 4, 5, 0, 3, 2, 6]);
        let answer = |text: &str| GroupName::Answer(vec![text.into(), "–".into(), "–".into()]);
        let expected = vec![(0, 3, GroupName::Answer(vec![])), (3, 2, answer("defective")), (5, 2, answer("passed"))];
        assert_eq!((runs(&groups), groups.problem), (expected, None));
        assert_eq!(asked(&store, Grouping::Answer, true).1.problem, Some(Ungrouped::NotCompared), "grouped, but not sorted");

        let compared = [(0, 1, 0.2), (1, 0, 0.9), (2, 1, 0.7), (3, 0, 0.1), (5, 0, 0.9)];
        let new = |(ordinal, cluster, outlier)| NewLikeness { ordinal, cluster, outlier, duplicate_of: None };
        store.set_likeness(compared.map(new)).unwrap();
        let clusters = [(0, 3, Some(0)), (3, 2, Some(1)), (5, 2, None)].map(|(from, len, name)| (from, len, GroupName::Cluster(name)));
        for (outliers_first, expected) in [(false, [1, 3, 5, 0, 2, 4, 6]), (true, [1, 5, 3, 2, 0, 4, 6])] {
            let (order, groups) = asked(&store, Grouping::Likeness, outliers_first);
            assert_eq!((order, runs(&groups)), (expected.to_vec(), clusters.to_vec()));
        }
        let (order, groups) = asked(&store, Grouping::None, true);
        assert_eq!((order, groups.groups.len(), groups.problem), (vec![1, 5, 2, 0, 3, 4, 6], 0, None));
        assert_eq!(asked(&store, Grouping::Answer, true).0, [1, 5, 4, 0, 3, 2, 6]);
    }
}
