//! Promise: figures are what their definitions say, by hand and by law.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use mekiki::config::{self, Language, Template};
use mekiki::domain::{
    Exemplar, FieldId, FieldPrediction, ImageRef, Kind, Label, RelativePath, Sample, SampleId, SampleOrigin, Schema, Temperatures, Value,
    stable_hash,
};
use mekiki::eval::{Pair, Report, calibration, changed, compare, fit, good_value, report};
use proptest::prelude::*;

fn schema(template: Template) -> Arc<Schema> {
    let project = config::parse(&template.text("test", Language::En), Path::new("mekiki.toml"), Path::new("/tmp")).unwrap();
    Arc::clone(project.schema())
}

fn id(name: &str) -> FieldId {
    FieldId::new(name).unwrap()
}

/// A field as said: its values with their probabilities, the first being what was said.
fn said(schema: &Schema, field: &str, values: &[(&str, f32)]) -> (FieldId, FieldPrediction) {
    let field = schema.field_named(field).unwrap();
    let probabilities: Vec<(Value, f32)> = values.iter().map(|(text, p)| (field.parse(text).unwrap(), *p)).collect();
    (field.id.clone(), FieldPrediction { value: probabilities[0].0.clone(), probabilities, outside: 0.0 })
}

/// Judgement, defect mode and position, true and said, each with certainty.
fn pair(schema: &Schema, number: usize, truth: [&str; 3], told: [&str; 3]) -> Pair {
    const FIELDS: [&str; 3] = ["judgement", "defect_mode", "position"];
    let (truth, problems) = Label::from_texts(schema, FIELDS.into_iter().zip(truth));
    assert_eq!(problems, []);
    Pair {
        id: SampleId::new(format!("s{number}")).unwrap(),
        truth,
        said: FIELDS.iter().zip(told).map(|(field, value)| said(schema, field, &[(value, 1.0)])).collect(),
    }
}

const GOOD: [&str; 3] = ["passed", "passed", "none"];

fn plain(schema: &Schema, pairs: &[Pair]) -> Report {
    report(schema, pairs, &Temperatures::new())
}

#[test]
fn a_report_by_hand() {
    let schema = schema(Template::Pins);
    let cases = [
        (GOOD, GOOD),
        (GOOD, GOOD),
        (GOOD, ["defective", "scratch", "U1"]),
        (["defective", "scratch", "U3"], ["defective", "scratch", "U3"]),
        (["defective", "dent", "U3"], ["defective", "scratch", "U4"]),
        (["defective", "dent", "C5"], ["defective", "dent", "D5"]),
        (["defective", "bent", "D9"], ["defective", "bent", "U1"]),
        (["defective", "bent", "D9"], GOOD),
        // Breaks the rule that a passed product has no defect mode.
        (["defective", "bent", "D9"], ["passed", "bent", "D9"]),
        (["defective", "chip", "U2"], ["defective", "chip", "U2"]),
    ];
    let pairs: Vec<Pair> = cases.iter().enumerate().map(|(n, (truth, told))| pair(&schema, n, *truth, *told)).collect();
    let figures = plain(&schema, &pairs);
    assert_eq!((figures.samples, figures.whole.right, figures.valid.right), (10, 4, 0), "two required fields are never said");
    let judgement = figures.judgement.clone().unwrap();
    assert_eq!((judgement.found, judgement.missed, judgement.false_alarms, judgement.passed), (5, 2, 1, 2));
    let near = |a: Option<f64>, b: f64| (a.unwrap() - b).abs() < 1e-9;
    assert!(near(judgement.balanced_accuracy(), f64::midpoint(5.0 / 7.0, 2.0 / 3.0)));
    assert!(near(judgement.f1(), 10.0 / 13.0));
    assert!(near(judgement.mcc(), (5.0 * 2.0 - 1.0 * 2.0) / (6.0_f64 * 7.0 * 3.0 * 4.0).sqrt()));
    let field = |name: &str| figures.fields.iter().find(|field| field.field == id(name)).unwrap();
    assert_eq!(figures.fields.len(), 3, "fields without a known truth are left out");
    assert_eq!((field("judgement").exact.right, field("defect_mode").exact.right, field("position").exact.right), (7, 7, 5));
    let modes = field("defect_mode").confusion.clone().unwrap();
    let place = |name: &str| modes.values.iter().position(|value| value == name).unwrap();
    assert_eq!(modes.counts[place("dent")][place("scratch")], 1);
    assert_eq!((modes.total(), modes.right()), (10, 7));
    let address = field("position").address.clone().unwrap();
    assert_eq!((address.located, address.row_only, address.column_only, address.both, address.beside), (6, 1, 1, 1, 2));
    assert_eq!((address.overlooked, address.imagined), (1, 1));
    assert_eq!(address.rows.counts, [[3, 0, 0], [0, 0, 1], [1, 0, 1]]);
    let mistake = &field("judgement").mistakes[0];
    assert_eq!((mistake.truth.as_str(), mistake.said.as_deref(), mistake.count), ("defective", Some("passed"), 2));
}

#[test]
fn valid_answers_keep_schema_and_rules() {
    let schema = schema(Template::Pins);
    let mut good = pair(&schema, 0, GOOD, GOOD);
    good.said.extend([said(&schema, "image_type", &[(schema.image_types()[0].as_str(), 1.0)]), said(&schema, "quantity", &[("27", 1.0)])]);
    assert_eq!(plain(&schema, std::slice::from_ref(&good)).valid.share(), Some(1.0));
    let mut broken = good.clone();
    broken.said.extend([said(&schema, "position", &[("U3", 1.0)])]);
    assert_eq!(plain(&schema, &[good, broken]).valid.share(), Some(0.5));
}

#[test]
fn the_good_value_is_told_by_the_rules() {
    for template in [Template::Pins, Template::Pcb] {
        let good = good_value(&schema(template)).unwrap();
        assert_eq!((good.field, good.value), (id("judgement"), Value::Choice("passed".into())));
    }
    let pins = schema(Template::Pins);
    let bare = Schema::new(pins.fields().to_vec(), vec![], pins.image_types().to_vec(), pins.image_type_field().cloned()).unwrap();
    assert_eq!(good_value(&bare), None);
    assert_eq!(plain(&bare, &[pair(&bare, 0, GOOD, GOOD)]).judgement, None);
}

#[test]
fn calibration_by_hand() {
    let schema = schema(Template::Pins);
    let (_, sure) = said(&schema, "judgement", &[("passed", 0.8), ("defective", 0.2)]);
    let [right, wrong] = ["passed", "defective"].map(|text| Value::Choice(text.into()));
    let ten: Vec<_> = (0..10).map(|n| (&sure, if n < 6 { &right } else { &wrong })).collect();
    let figures = calibration(ten).unwrap();
    let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
    assert!(near(figures.ece, 0.2) && near(figures.brier, 0.6 * 0.08 + 0.4 * 1.28), "{figures:?}");
    assert!(near(figures.nll, -0.6 * 0.8_f64.ln() - 0.4 * 0.2_f64.ln()));
    // 0.8 lies in the thirteenth of fifteen bins, [0.8, 0.867).
    assert_eq!((figures.bins.len(), figures.bins[12].count), (15, 10));
    assert!(near(figures.bins[12].confidence, 0.8) && near(figures.bins[12].accuracy, 0.6));
    assert_eq!(calibration([]), None);
    let (_, certain) = said(&schema, "judgement", &[("passed", 1.0)]);
    let figures = calibration([(&certain, &wrong)]).unwrap();
    assert!(near(figures.nll, -1e-6_f64.ln()) && near(figures.brier, 2.0) && near(figures.ece, 1.0), "{figures:?}");
}

/// A number from 0 to 1 that looks drawn.
fn drawn(what: &str, number: usize) -> f64 {
    (stable_hash(7, &[what, &number.to_string()]) >> 11) as f64 / (1_u64 << 53) as f64
}

#[test]
fn a_known_temperature_is_found() {
    let schema = schema(Template::Pins);
    let field = schema.field_named("defect_mode").unwrap();
    let values = field.values().unwrap();
    for truth in [0.5, 1.0, 2.5] {
        // What is said are a distribution's powers; the truth is drawn from the distribution.
        let pairs: Vec<(FieldPrediction, Value)> = (0..4000)
            .map(|n| {
                let weights: Vec<f64> = (0..values.len()).map(|v| (4.0 * drawn("weight", n * 100 + v)).exp()).collect();
                let normal = |weights: &[f64]| weights.iter().map(|w| w / weights.iter().sum::<f64>()).collect::<Vec<f64>>();
                let real = normal(&weights);
                let told = normal(&real.iter().map(|p| p.powf(truth)).collect::<Vec<_>>());
                let mut rest = drawn("truth", n);
                let chosen = real.iter().position(|p| {
                    rest -= p;
                    rest < 0.0
                });
                let probabilities: Vec<(Value, f32)> = values.iter().cloned().zip(told.iter().map(|p| *p as f32)).collect();
                let top = probabilities.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0.clone();
                (FieldPrediction { value: top, probabilities, outside: 0.0 }, values[chosen.unwrap_or(0)].clone())
            })
            .collect();
        let fitted = fit(pairs.iter().map(|(said, truth)| (said, truth))).unwrap();
        assert!((f64::from(fitted.temperature) / truth - 1.0).abs() < 0.05, "{truth}: {fitted:?}");
        assert_eq!(fitted.samples, 4000);
        let corrected: Vec<_> = pairs.iter().map(|(said, truth)| (said.clone().at_temperature(fitted.temperature), truth)).collect();
        let after = calibration(corrected.iter().map(|(said, truth)| (said, *truth))).unwrap();
        assert!(after.ece < 0.03, "{truth}: {}", after.ece);
    }
}

#[test]
fn few_right_answers_do_not_make_a_model_certain() {
    let schema = schema(Template::Pins);
    let (_, said) = said(&schema, "judgement", &[("passed", 0.6), ("defective", 0.4)]);
    let right = Value::Choice("passed".into());
    let fitted = fit([(&said, &right); 4]).unwrap();
    // (n + p) / (n + 1) of 4 samples that were right at 0.6.
    assert!((said.at_temperature(fitted.temperature).confidence() - 4.6 / 5.0).abs() < 1e-3, "{fitted:?}");
    assert_eq!(fit([]), None);
}

#[test]
fn boxes_are_right_when_they_overlap() {
    let schema = schema(Template::Pcb);
    let field = schema.field_named("bbox").unwrap();
    let value = |text: &str| field.parse(text).unwrap();
    let pair = |told: &str| {
        let mut truth = Label::default();
        truth.set(&schema, &field.id, value("<loc0100><loc0100><loc0199><loc0199>")).unwrap();
        Pair { id: SampleId::new("a").unwrap(), truth, said: [said(&schema, "bbox", &[(told, 0.9)])].into() }
    };
    let pairs = [pair("<loc0100><loc0110><loc0199><loc0209>"), pair("<loc0100><loc0150><loc0199><loc0249>"), pair("none")];
    let figures = plain(&schema, &pairs);
    assert_eq!((figures.fields[0].exact.right, figures.whole.right), (1, 1));
    // 90 of 110 columns, and 50 of 150; "none" overlaps nothing and has no overlap.
    assert!((figures.fields[0].overlap.unwrap() - f64::midpoint(9.0 / 11.0, 1.0 / 3.0)).abs() < 1e-9);
}

#[test]
fn without_its_exemplar_a_question_is_the_zero_shot_one() {
    // So zero-shot predictions serve as the control without an exemplar.
    let recipe = config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("sample-data")).unwrap().recipe;
    let image_type = recipe.schema.image_types()[0].clone();
    let sample = Sample {
        id: SampleId::new("dst-0004").unwrap(),
        ordinal: 3,
        image_type: image_type.clone(),
        query: ImageRef { folder: 0, path: RelativePath::new("boards/dst-0004.jpg").unwrap() },
        reference: None,
        group: "lot-01".into(),
        origin: SampleOrigin::Imported,
        imported: Label::default(),
    };
    let turns = |kind, exemplar| recipe.prompt(&sample, &image_type, kind, exemplar).unwrap().turns;
    assert_eq!(turns(Kind::OneShot, Exemplar::None), turns(Kind::ZeroShot, Exemplar::Right));
    assert_ne!(turns(Kind::OneShot, Exemplar::Right), turns(Kind::OneShot, Exemplar::Wrong));
}

const ANSWERS: [[&str; 3]; 6] = [
    GOOD,
    ["defective", "scratch", "U3"],
    ["defective", "dent", "U4"],
    ["defective", "dent", "C4"],
    ["defective", "bent", "D9"],
    ["passed", "bent", "D9"],
];

fn answers() -> impl Strategy<Value = Vec<(usize, usize, usize)>> {
    prop::collection::vec((0..5_usize, 0..6_usize, 0..6_usize), 1..40)
}

fn shares(report: &Report) -> Vec<(u64, u64)> {
    let fields = report.fields.iter().map(|field| field.exact);
    fields.chain([report.whole, report.valid]).map(|share| (share.right, share.of)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_of_samples_means_nothing(answers in answers(), turn in 0..40_usize) {
        let schema = schema(Template::Pins);
        let mut pairs: Vec<Pair> = answers.iter().enumerate().map(|(n, (t, s, _))| pair(&schema, n, ANSWERS[*t], ANSWERS[*s])).collect();
        let before = plain(&schema, &pairs);
        let half = turn % pairs.len();
        pairs.rotate_left(half);
        let after = plain(&schema, &pairs);
        prop_assert_eq!(shares(&before), shares(&after));
        prop_assert_eq!(&before.judgement, &after.judgement);
        for (a, b) in before.fields.iter().zip(&after.fields) {
            prop_assert_eq!(&a.confusion, &b.confusion);
            prop_assert_eq!(&a.address, &b.address);
            let (a, b) = (a.calibration().unwrap(), b.calibration().unwrap());
            prop_assert!((a.ece - b.ece).abs() < 1e-9 && (a.nll - b.nll).abs() < 1e-9 && (a.brier - b.brier).abs() < 1e-9);
        }
    }

    #[test]
    fn figures_keep_their_bounds(answers in answers()) {
        let schema = schema(Template::Pins);
        let pairs: Vec<Pair> = answers.iter().enumerate().map(|(n, (t, s, _))| pair(&schema, n, ANSWERS[*t], ANSWERS[*s])).collect();
        let figures = plain(&schema, &pairs);
        let within = |value: Option<f64>, low: f64| value.is_none_or(|value| (low - 1e-9..=1.0 + 1e-9).contains(&value));
        let judgement = figures.judgement.as_ref().unwrap();
        prop_assert!(within(judgement.balanced_accuracy(), 0.0) && within(judgement.f1(), 0.0) && within(judgement.mcc(), -1.0));
        for share in figures.fields.iter().map(|field| field.exact).chain([figures.whole]) {
            let (low, high) = share.interval;
            prop_assert!(0.0 <= low && low <= share.share().unwrap() + 1e-9 && share.share().unwrap() <= high + 1e-9 && high <= 1.0);
        }
        // A whole answer is right no more often than its worst field.
        prop_assert!(figures.fields.iter().all(|field| figures.whole.right <= field.exact.right));
        for field in &figures.fields {
            let calibration = field.calibration().unwrap();
            prop_assert!(within(Some(calibration.ece), 0.0) && (0.0..=2.0).contains(&calibration.brier) && calibration.nll >= 0.0);
            prop_assert_eq!(calibration.bins.iter().map(|bin| bin.count).sum::<u64>(), calibration.samples);
            prop_assert_eq!(field.mistakes.iter().map(|mistake| mistake.count).sum::<u64>(), field.exact.of - field.exact.right);
        }
    }

    #[test]
    fn perfect_predictions_are_perfect(answers in answers()) {
        let schema = schema(Template::Pins);
        let pairs: Vec<Pair> = answers.iter().enumerate().map(|(n, (t, _, _))| pair(&schema, n, ANSWERS[*t], ANSWERS[*t])).collect();
        let figures = plain(&schema, &pairs);
        prop_assert_eq!((figures.whole.share(), figures.whole.interval), (Some(1.0), (1.0, 1.0)));
        let judgement = figures.judgement.unwrap();
        for score in [judgement.balanced_accuracy(), judgement.f1(), judgement.mcc()] {
            prop_assert!(score.is_none_or(|score| (score - 1.0).abs() < 1e-9));
        }
        for field in &figures.fields {
            let calibration = field.calibration().unwrap();
            prop_assert!(calibration.ece < 1e-9 && calibration.brier < 1e-9 && calibration.nll < 1e-9 && field.mistakes.is_empty());
        }
    }

    #[test]
    fn comparing_the_other_way_round_mirrors(answers in answers()) {
        let schema = schema(Template::Pins);
        let both: Vec<(Pair, Pair)> = answers
            .iter()
            .enumerate()
            .map(|(n, (t, a, b))| (pair(&schema, n, ANSWERS[*t], ANSWERS[*a]), pair(&schema, n, ANSWERS[*t], ANSWERS[*b])))
            .collect();
        let turned: Vec<(Pair, Pair)> = both.iter().map(|(a, b)| (b.clone(), a.clone())).collect();
        let (there, back) = (compare(&schema, &both), compare(&schema, &turned));
        for (a, b) in there.fields.iter().chain([&there.whole]).zip(back.fields.iter().chain([&back.whole])) {
            prop_assert_eq!((a.first, a.second, a.changed), (b.second, b.first, b.changed));
            prop_assert_eq!((a.mcnemar.only_first, a.mcnemar.p), (b.mcnemar.only_second, b.mcnemar.p));
            prop_assert!((a.gain + b.gain).abs() < 1e-9 && (0.0..=1.0).contains(&a.mcnemar.p));
            prop_assert!(a.mcnemar.only_first + a.mcnemar.only_second <= a.changed.right);
        }
        prop_assert_eq!(there.flips.len(), back.flips.len());
        let same = both.iter().map(|(a, _)| (a, a));
        prop_assert_eq!(changed(same, None).right, 0);
    }

    #[test]
    fn a_temperature_never_makes_the_truth_less_likely(told in prop::collection::vec((0.02_f32..0.98, any::<bool>()), 1..40)) {
        let schema = schema(Template::Pins);
        let [passed, defective] = ["passed", "defective"].map(|text| Value::Choice(text.into()));
        let pairs: Vec<(FieldPrediction, &Value)> = told
            .iter()
            .map(|(p, right)| (said(&schema, "judgement", &[("passed", *p), ("defective", 1.0 - p)]).1, if *right { &passed } else { &defective }))
            .collect();
        let temperature = fit(pairs.iter().map(|(said, truth)| (said, *truth))).unwrap().temperature;
        let at: Vec<_> = pairs.iter().map(|(said, truth)| (said.clone().at_temperature(temperature), *truth)).collect();
        let nll = |pairs: &[(FieldPrediction, &Value)]| calibration(pairs.iter().map(|(said, truth)| (said, *truth))).unwrap().nll;
        prop_assert!(nll(&at) <= nll(&pairs) + 1e-5, "{temperature}: {} {}", nll(&at), nll(&pairs));
    }
}
