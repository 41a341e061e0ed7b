//! Filters against a plain evaluation in memory, on random projects.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::conversation::SamplingPlan;
use crate::domain::{
    Comparison, Edit, Exemplar, FieldId, FieldPrediction, Filter, Flag, Kind, Label, PredictionSource, Schema, SortKey, SplitPlan, State,
    Subject, Term, Value, propose,
};
use crate::store::testing::{approve, every_kind, id, label, sample, set, who};
use crate::store::{Decision, DecisionKind, NewLikeness, Plan, PredictedFields, SampleView, Store};

const SAMPLES: usize = 60;
/// The first so many become one-shot.
const ONE_SHOT: u64 = 13;

/// What a sample can be asked about, from the views that do not go through `current`.
struct Oracle<'a> {
    schema: &'a Schema,
    plan: Plan,
    views: Vec<SampleView>,
}

impl Oracle<'_> {
    fn confidence(view: &SampleView, field: Option<&FieldId>) -> Option<f64> {
        let prediction = view.prediction.as_ref()?;
        let of = |said: &FieldPrediction| (f64::from(said.confidence()) * 1e6).round() / 1e6;
        match field {
            Some(field) => prediction.fields.get(field).map(of),
            None => prediction.fields.values().map(of).reduce(f64::min),
        }
    }

    fn disagreement(view: &SampleView) -> Option<i64> {
        let prediction = view.prediction.as_ref()?;
        let against = prediction.fields.iter().filter_map(|(field, said)| {
            let value = view.label.get(field).filter(|value| **value != said.value)?;
            Some(1_000_000 - (f64::from(said.probability(value)) * 1e6).round() as i64)
        });
        against.max()
    }

    fn outlier(view: &SampleView) -> Option<f64> {
        view.alike.as_ref().map(|alike| (f64::from(alike.outlier) * 1e6).round() / 1e6)
    }

    fn value(view: &SampleView, subject: &Subject) -> Option<Value> {
        let predicted = |field| view.prediction.as_ref().and_then(|prediction| Some(prediction.fields.get(field)?.value.clone()));
        match subject {
            Subject::Label(field) => view.label.get(field).cloned(),
            Subject::Predicted(field) => predicted(field),
            Subject::Field(field) => view.label.get(field).cloned().or_else(|| predicted(field)),
            _ => None,
        }
    }

    fn word(&self, view: &SampleView, subject: &Subject) -> String {
        match subject {
            Subject::State => view.state.name().to_owned(),
            Subject::Kind if view.sample.ordinal < ONE_SHOT => Kind::OneShot.name().to_owned(),
            Subject::Kind => Kind::ZeroShot.name().to_owned(),
            Subject::Reviewer => view.by.as_ref().map(|(reviewer, _)| reviewer.to_string()).unwrap_or_default(),
            Subject::Cluster => view.alike.as_ref().map(|alike| alike.cluster.to_string()).unwrap_or_default(),
            Subject::Id => view.sample.id.to_string(),
            Subject::Group => view.sample.group.clone(),
            Subject::Type => view.sample.image_type.clone(),
            Subject::Split => self.plan.splits.split_of(&view.sample.group).name().to_owned(),
            _ => String::new(),
        }
    }

    fn holds(&self, view: &SampleView, term: &Term) -> bool {
        let like = |words: &[String]| words.iter().any(|word| matches(word, &self.word(view, &term.subject)));
        let number = match &term.subject {
            Subject::Confidence(field) => Self::confidence(view, field.as_ref()),
            Subject::Outlier => Self::outlier(view),
            subject => match Self::value(view, subject) {
                Some(Value::Integer(number)) => Some(number as f64),
                _ => None,
            },
        };
        match (&term.comparison, &term.subject) {
            (Comparison::OneOf(values), subject) => values.contains(&Self::value(view, subject)),
            (Comparison::NoneOf(values), subject) => !values.contains(&Self::value(view, subject)),
            (Comparison::Like(words), _) => like(words),
            (Comparison::Unlike(words), _) => !like(words),
            (Comparison::Less(than), _) => number.is_some_and(|number| number < *than),
            (Comparison::More(than), _) => number.is_some_and(|number| number > *than),
            (Comparison::Is(on), Subject::Flag(flag)) => {
                *on == match flag {
                    Flag::Labelled => !view.label.is_empty() && self.schema.missing(&view.label).next().is_none(),
                    Flag::Predicted => view.prediction.is_some(),
                    Flag::Disagree => propose(self.schema, &view.label, &|_| false, view.prediction.as_ref()).conflicts().count() > 0,
                    Flag::Flagged => view.flagged,
                    Flag::Commented => !view.comment.is_empty(),
                    Flag::Duplicate => view.alike.as_ref().is_some_and(|alike| alike.duplicate_of.is_some()),
                }
            }
            (Comparison::Is(_), _) => false,
        }
    }

    /// Ids in the order of the filter; those without a key last.
    fn answer(&self, filter: &Filter) -> Vec<String> {
        let mut found: Vec<&SampleView> = self.views.iter().filter(|view| filter.terms.iter().all(|term| self.holds(view, term))).collect();
        if filter.sort.descending {
            found.reverse();
        }
        let key = |view: &&SampleView| -> Option<(i64, String)> {
            match filter.sort.key {
                SortKey::Import => Some((0, String::new())),
                SortKey::Id => Some((0, view.sample.id.to_string())),
                SortKey::Confidence => Self::confidence(view, None).map(|share| ((share * 1e6).round() as i64, String::new())),
                SortKey::Disagreement => Self::disagreement(view).map(|ppm| (ppm, String::new())),
                SortKey::Outlier => Self::outlier(view).map(|share| ((share * 1e6).round() as i64, String::new())),
                SortKey::Decided => view.by.as_ref().map(|(_, time_ms)| (*time_ms, String::new())),
            }
        };
        found.sort_by(|a, b| {
            let (a, b) = (key(a), key(b));
            let order = if filter.sort.descending { b.cmp(&a) } else { a.cmp(&b) };
            b.is_some().cmp(&a.is_some()).then(order)
        });
        found.iter().map(|view| view.sample.id.to_string()).collect()
    }
}

/// `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text
            .strip_prefix(head)
            .is_some_and(|text| text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches(rest, &text[at..]))),
    }
}

const VALUES: [(&str, &[&str]); 7] = [
    ("judgement", &["passed", "defective"]),
    ("defect_mode", &["passed", "scratch", "dent"]),
    ("position", &["none", "U3", "D9"]),
    ("quantity", &["-3", "0", "27"]),
    ("area", &["none", "<loc0001><loc0002><loc0003><loc0004>"]),
    ("marks", &["none", "chip", "chip, burr"]),
    ("note", &["傷 あり", "a [b]? *"]),
];

fn random_label(schema: &Schema, mut random: impl FnMut(usize) -> usize) -> Label {
    let chosen: Vec<(&str, &str)> =
        VALUES.iter().filter_map(|(field, texts)| Some((*field, *texts.get(random(texts.len() + 2))?))).collect();
    label(schema, &chosen)
}

fn source(model: &str) -> PredictionSource {
    PredictionSource {
        model: model.to_owned(),
        adapter: None,
        instruction: "v1".to_owned(),
        exemplar: Exemplar::None,
        kind: Kind::ZeroShot,
    }
}

/// A project in which everything happens by chance: labels, predictions of two models, decisions of two reviewers.
fn random_project(seed: u64) -> (tempfile::TempDir, Store) {
    let schema = Arc::new(every_kind());
    let mut state = seed;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::create(dir.path(), &schema).unwrap();
    let mut import = store.begin_import(&who("import"), "test").unwrap();
    (0..SAMPLES).for_each(|n| import.add(&sample(n, random_label(&schema, &mut random))).unwrap());
    import.finish().unwrap();
    for model in ["first", "second"] {
        let mut predictions = Vec::new();
        for n in 0..SAMPLES {
            let fields: PredictedFields = random_label(&schema, &mut random)
                .iter()
                .map(|(field, value)| {
                    let likely = random(100) as f32 / 100.0;
                    let other = schema.field(field).and_then(|field| field.values()?.into_iter().find(|other| other != value));
                    let probabilities = [(value.clone(), likely)].into_iter().chain(other.map(|other| (other, 1.0 - likely))).collect();
                    (field.clone(), FieldPrediction { value: value.clone(), probabilities, outside: 0.0 })
                })
                .collect();
            if !fields.is_empty() {
                predictions.push((id(n), fields));
            }
        }
        store.add_predictions(&source(model), &predictions).unwrap();
    }
    store.set_active_source(&source("second")).unwrap();
    let compared: Vec<u64> = (0..SAMPLES as u64).filter(|_| random(5) > 0).collect();
    let likeness = compared.into_iter().map(|ordinal| NewLikeness {
        ordinal,
        cluster: random(4) as u32,
        outlier: random(20) as f32 / 20.0,
        duplicate_of: (random(6) == 0).then_some(0),
    });
    store.set_likeness(likeness.collect::<Vec<_>>()).unwrap();
    let whole = label(&schema, &[("judgement", "passed"), ("defect_mode", "passed"), ("position", "none")]);
    for turn in 0..SAMPLES {
        let edits = [approve(&whole), Edit::Reject, set(&schema, "quantity", "27"), Edit::Flag(true), Edit::Comment("見て".into())];
        let (sample, edit) = (id(random(SAMPLES)), edits[random(edits.len())].clone());
        let base = store.sample(&sample).unwrap().revision;
        // Several in the same millisecond, so that order has ties.
        store.set_clock(move || 1_000 + turn as i64 / 3);
        store.decide(&who(["aiko", "ben"][turn % 2]), DecisionKind::Single, "test", &[Decision { sample, base, edit }]).unwrap();
    }
    store.set_clock(|| 5_000);
    (dir, store)
}

fn plan() -> Plan {
    Plan {
        sampling: SamplingPlan::First(ONE_SHOT),
        seed: 1,
        splits: SplitPlan { seed: 3, validation: 0.3, test: 0.3, pinned: BTreeMap::new() },
    }
}

const TERMS: [&str; 55] = [
    "judgement=defective",
    "judgement=passed,defective",
    "judgement=",
    "judgement!=passed",
    "judgement!=",
    "judgement!=passed,",
    "judgement=,passed",
    "position=U3",
    "position=none",
    "label.position=D9",
    "predicted.position=U3",
    "quantity<1",
    "quantity>0.5",
    "quantity=27",
    "quantity!=27",
    "predicted.quantity>-4",
    "area=none",
    "area=",
    "marks=\"chip, burr\"",
    "marks!=none",
    "note=\"傷 あり\"",
    "note=\"a [b]? *\"",
    "note!=nothing",
    "confidence<0.5",
    "confidence>0.2",
    "confidence.position<0.5",
    "confidence.note>0.3",
    "state=undecided",
    "state=approved,rejected",
    "state!=undecided",
    "kind=one-shot",
    "kind=zero-shot,one-shot",
    "reviewer=aiko",
    "reviewer!=aiko",
    "reviewer=",
    "reviewer=nobody",
    "id=*003*",
    "id=pin-0012",
    "id=pin-004*",
    "id=*1",
    "id!=*00*",
    "id=*00*1*,pin-0002",
    "group=board-1*",
    "group!=board-3,board-7",
    "type=CYLN_RAW",
    "split=test",
    "split!=train,test",
    "disagree",
    "cluster=2",
    "cluster=0,3",
    "cluster=",
    "cluster!=1",
    "cluster!=1,",
    "outlier>0.6",
    "outlier<0.3",
];

const FLAGS: [&str; 11] = [
    "!disagree",
    "labelled",
    "!labelled",
    "predicted",
    "!predicted",
    "flagged",
    "!flagged",
    "commented",
    "!commented",
    "duplicate",
    "!duplicate",
];

const SORTS: [&str; 11] =
    ["import", "-import", "id", "-id", "confidence", "-confidence", "-disagreement", "decided", "-decided", "outlier", "-outlier"];

fn check(store: &Store, oracle: &Oracle<'_>, text: &str, limit: usize) {
    let filter = Filter::parse(store.schema(), text).unwrap();
    let expected = oracle.answer(&filter);
    assert_eq!(store.count(&filter).unwrap(), expected.len() as u64, "{text}");
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.page(&filter, after.as_ref(), limit).unwrap();
        assert!(page.rows.len() <= limit);
        for row in &page.rows {
            let view = oracle.views.iter().find(|view| view.sample.id == row.id).unwrap();
            assert_eq!((row.state, row.revision, &row.decided, row.ordinal), (view.state, view.revision, &view.by, view.sample.ordinal));
            let alike = view.alike.as_ref();
            assert_eq!((row.cluster, row.outlier), (alike.map(|alike| alike.cluster), alike.map(|alike| alike.outlier)));
            assert_eq!((row.flagged, row.commented), (view.flagged, !view.comment.is_empty()));
            for (field, shown) in oracle.schema.fields().iter().zip(&row.fields) {
                assert_eq!(shown.label.as_ref(), view.label.get(&field.id), "{} {}", row.id, field.id);
                assert_eq!(shown.predicted, Oracle::value(view, &Subject::Predicted(field.id.clone())), "{} {}", row.id, field.id);
            }
        }
        found.extend(page.rows.into_iter().map(|row| row.id.to_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, expected, "{text}, pages of {limit}");
}

#[test]
fn every_filter_and_order_finds_what_a_plain_search_finds() {
    for seed in 0..3 {
        let (_dir, mut store) = random_project(seed);
        store.set_plan(plan()).unwrap();
        let views = (0..SAMPLES).map(|n| store.sample(&id(n)).unwrap()).collect();
        let schema = Arc::clone(store.schema());
        let oracle = Oracle { schema: &schema, plan: plan(), views };
        let terms: Vec<&str> = TERMS.iter().chain(&FLAGS).copied().collect();
        for (index, term) in terms.iter().enumerate() {
            check(&store, &oracle, &format!("{term} sort={}", SORTS[index % SORTS.len()]), 7);
            check(&store, &oracle, &format!("{term} sort={}", SORTS[(index + 4) % SORTS.len()]), 60);
        }
        for sort in SORTS {
            check(&store, &oracle, &format!("sort={sort}"), 7);
            check(&store, &oracle, &format!("sort={sort}"), 1);
        }
        let mut runner =
            TestRunner::new_with_rng(Config { cases: 150, ..Config::default() }, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let some = proptest::collection::vec(proptest::sample::select(terms), 0..4);
        let cases = (some, proptest::sample::select(SORTS.to_vec()), 1..20_usize);
        runner
            .run(&cases, |(terms, sort, limit)| {
                check(&store, &oracle, &format!("{} sort={sort}", terms.join(" ")), limit);
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn a_value_that_is_not_the_schemas_matches_nothing() {
    let (_dir, store) = random_project(1);
    let foreign = Term { subject: Subject::Field(FieldId::new("colour").unwrap()), comparison: Comparison::OneOf(vec![None]) };
    assert_eq!(store.count(&Filter { terms: vec![foreign], ..Filter::default() }).unwrap(), 0);
    assert_eq!(State::ALL.map(|state| state as i64), [0, 1, 2], "numbers that stand in stores");
}
