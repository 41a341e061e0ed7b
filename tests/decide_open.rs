//! Every kind of field, random schemas, random models: what comes out reads back and keeps the rules.
#![allow(clippy::unwrap_used)]

mod decide_support;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::Write;

use decide_support::{HashModel, bpe, frame, grammar, schema};
use mekiki::config::Project;
use mekiki::domain::Value;
use mekiki::model::decide::{Decision, Foresee, HfVocabulary, Node, Scored, Scorer, Settings, Step, Vocabulary, decide};
use proptest::prelude::*;

fn every_kind(rules: &str) -> Project {
    schema(
        "[[fields]]\nid = \"marks\"\nkind = \"multi-choice\"\noptions = [\"first one\", \"first\", \"傷\"]\nnone = \"no mark\"\n\
         [[fields]]\nid = \"many\"\nkind = \"multi-choice\"\noptions = [\"a\",\"ab\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\"]\nnone = \"nil\"\n\
         [[fields]]\nid = \"wide\"\nkind = \"integer\"\nmin = -50\nmax = 5000\nunit = \"個\"\n\
         [[fields]]\nid = \"note\"\nkind = \"text\"\nmax_chars = 12\n\
         [[fields]]\nid = \"place\"\nkind = \"address\"\nrows = [\"上\", \"a\"]\ncolumns = [\"1\", \"11\", \"x\"]\nnone = \"nowhere\"\n\
         [[fields]]\nid = \"area\"\nkind = \"box\"\nnone = \"-no box-\"\n\
         [[fields]]\nid = \"remark\"\nkind = \"text\"\nmax_chars = 8\nrequired = false\n",
        rules,
        "Result:\n- marks->{marks}\n- many: {many}.\n- count = {wide} 個\n- note->{note} (end)\n- 位置：{place}\n- area {area}\n- remark: {remark}",
    )
}

fn words() -> Vec<String> {
    let line = "assistant\nResult:\n- marks->first one, 傷\n- many: a, b, j.\n- count = 123 個\n- note->傷 ok (end)\n- 位置：上11\n- area <loc0123><loc0456><loc0789><loc0999>\n- remark: fine";
    vec![line.to_owned(), line.replace("first", "no mark").replace("123", "77")]
}

/// Reads back as itself, keeps the rules, and was fed as it is tokenised whole.
fn check(project: &Project, vocabulary: &HfVocabulary, decision: &Decision) {
    let read = project.recipe.answer.parse(&decision.answer);
    assert!(read.problems.is_empty(), "{:?} of {:?}", read.problems, decision.answer);
    assert_eq!(read.label, decision.label);
    assert_eq!(project.recipe.schema.broken(&decision.label).count(), 0, "{}", decision.answer);
    assert_eq!(decision.tokens, vocabulary.encode(&format!("{}{}{}", frame().before, decision.answer, frame().after)).unwrap());
    for (id, shown) in &decision.fields {
        assert_eq!(decision.label.get(id), Some(&shown.value));
        assert!((0.0..=1.0).contains(&shown.outside) && shown.probabilities.iter().all(|(_, p)| (0.0..=1.0).contains(p)), "{shown:?}");
        assert!(shown.probabilities.is_sorted_by(|(_, a), (_, b)| a >= b));
        assert!(shown.probabilities.iter().map(|(_, p)| f64::from(*p)).sum::<f64>() < 1.0 + 1e-5);
    }
}

#[test]
fn every_kind_of_field_is_decided() {
    let project = every_kind("");
    let mut notes = BTreeSet::new();
    for (size, split) in [(256, true), (330, true), (330, false)] {
        let vocabulary = bpe(&words(), size, split);
        let grammar = grammar(&project, &vocabulary);
        for seed in 0..25 {
            let mut model = HashModel::new(&vocabulary, seed, 10.0);
            let node = model.prompt(&[seed as u32]);
            let decided = decide(&mut model, &grammar, &[node], &Settings::default()).unwrap();
            assert_eq!(model.left(1), 0);
            let decision = decided.answers[0].as_ref().unwrap_or_else(|error| panic!("size {size} seed {seed}: {error}"));
            check(&project, &vocabulary, decision);
            notes.insert(decision.answer.clone());
        }
    }
    assert!(notes.len() > 60, "{notes:#?}");
}

#[test]
fn rules_hold_for_open_fields_too() {
    let rules = "[[rules]]\nwhen = { place = \"nowhere\" }\nthen = { area = \"-no box-\" }\n\
                 [[rules]]\nwhen = { marks = \"no mark\" }\nthen = { wide = [\"0\", \"7\"], many = { not = \"nil\" } }\n\
                 [[rules]]\nwhen = { wide = { not = \"7\" } }\nthen = { place = \"nowhere\" }\n";
    let project = every_kind(rules);
    let vocabulary = bpe(&words(), 300, true);
    let grammar = grammar(&project, &vocabulary);
    for seed in 0..30 {
        let mut model = HashModel::new(&vocabulary, seed, 10.0);
        let node = model.prompt(&[seed as u32]);
        let decided = decide(&mut model, &grammar, &[node], &Settings::default()).unwrap();
        check(&project, &vocabulary, decided.answers[0].as_ref().unwrap());
    }
}

/// What a greedy reader would find of a number, digit by digit.
#[test]
fn a_wide_number_is_the_greedy_one() {
    let project = schema("[[fields]]\nid = \"n\"\nkind = \"integer\"\nmin = 5\nmax = 123456\n", "", "n = {n};");
    let vocabulary = bpe(&["assistant\nn = 1;".to_owned()], 256, true);
    let grammar = grammar(&project, &vocabulary);
    for seed in 0..20 {
        let mut model = HashModel::new(&vocabulary, seed, 8.0);
        let node = model.prompt(&[9]);
        let decided = decide(&mut model, &grammar, &[node], &Settings::default()).unwrap();
        let decision = decided.answers[0].as_ref().unwrap();
        let mut text = String::from("<|im_start|>assistant\nn = ");
        let (mut number, mut log) = (String::new(), 0.0_f64);
        loop {
            let all = [&[9], vocabulary.encode(&text).unwrap().as_slice()].concat();
            let logs = model.logs(&all);
            let reaches = |digits: &str| {
                let value: u64 = digits.parse().unwrap();
                !digits.starts_with('0') && (0..6).any(|more| value * 10_u64.pow(more) <= 123_456 && (value + 1) * 10_u64.pow(more) > 5)
            };
            let ends = number.parse::<u64>().is_ok_and(|value| (5..=123_456).contains(&value));
            let choices = "0123456789".chars().filter(|c| reaches(&format!("{number}{c}"))).chain(ends.then_some(';'));
            let of = |c: char| f64::from(logs[vocabulary.encode(&c.to_string()).unwrap()[0] as usize]);
            let choices: Vec<char> = choices.collect();
            let sum: f64 = choices.iter().map(|c| of(*c).exp()).sum();
            let best = choices.into_iter().max_by(|a, b| of(*a).total_cmp(&of(*b))).unwrap();
            log += of(best) - sum.ln();
            if best == ';' {
                break;
            }
            number.push(best);
            text.push(best);
        }
        let shown = decision.fields.values().next().unwrap();
        assert_eq!(shown.value, Value::Integer(number.parse().unwrap()), "seed {seed}");
        assert!((f64::from(shown.confidence()) - log.exp()).abs() < 1e-5, "{} for {}", shown.confidence(), log.exp());
    }
}

/// A model that answers wrongly.
struct Broken(HashModel, u8);

impl Scorer for Broken {
    type Error = Infallible;
    fn step(&mut self, steps: &[Step], foresee: &Foresee<'_>) -> Result<Vec<Scored>, Infallible> {
        let mut scored = self.0.step(steps, foresee)?;
        match self.1 {
            0 => scored.iter_mut().flat_map(|scored| scored.answers.iter_mut().flatten()).for_each(|(_, log)| *log = f32::NAN),
            1 => scored.truncate(0),
            2 => scored.iter_mut().for_each(|scored| scored.answers.clear()),
            _ => scored.iter_mut().flat_map(|scored| scored.answers.iter_mut().flatten()).for_each(|(_, log)| *log = f32::NEG_INFINITY),
        }
        Ok(scored)
    }
    fn release(&mut self, nodes: &[Node]) {
        self.0.release(nodes);
    }
}

#[test]
fn a_broken_model_is_an_error_and_no_panic() {
    let project = every_kind("");
    let vocabulary = bpe(&words(), 300, true);
    let grammar = grammar(&project, &vocabulary);
    for (how, said) in [(0, Some("not a number")), (1, Some("did not answer")), (2, Some("did not answer")), (3, None)] {
        let mut model = Broken(HashModel::new(&vocabulary, 1, 5.0), how);
        let node = model.0.prompt(&[1]);
        let decided = decide(&mut model, &grammar, &[node], &Settings::default()).unwrap();
        match (&decided.answers[0], said) {
            (Err(error), Some(said)) => assert!(error.to_string().contains(said), "{error}"),
            (Ok(decision), None) => check(&project, &vocabulary, decision),
            other => panic!("{how}: {other:?}"),
        }
    }
}

fn any_field(at: usize) -> impl Strategy<Value = String> {
    let option =
        prop::sample::select(vec!["x", "xx", "xxx", "passed", "pass", "傷", "傷あり", "a b", "->", "1", "12", "no", "none of it", "{}"]);
    let options = prop::collection::btree_set(option, 1..5)
        .prop_map(|set| format!("{:?}", set.into_iter().filter(|o| *o != "{}").chain(["z"]).collect::<Vec<_>>()));
    let kind = prop_oneof![
        options.clone().prop_map(|options| format!("kind = \"choice\"\noptions = {options}\n")),
        options.prop_map(|options| format!("kind = \"multi-choice\"\noptions = {options}\nnone = \"nil\"\n")),
        (-20_i64..20, 0_i64..1500).prop_map(|(min, more)| format!("kind = \"integer\"\nmin = {min}\nmax = {}\n", min + more)),
        (1_usize..9, any::<bool>()).prop_map(|(most, required)| format!("kind = \"text\"\nmax_chars = {most}\nrequired = {required}\n")),
        Just("kind = \"address\"\nrows = [\"U\", \"上\"]\ncolumns = [\"1\", \"11\"]\n".to_owned()),
        Just("kind = \"box\"\nnone = \"no\"\n".to_owned()),
    ];
    kind.prop_map(move |kind| format!("[[fields]]\nid = \"f{at}\"\n{kind}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_malformed_answer_can_come_out(
        fields in (any_field(0), any_field(1), any_field(2)),
        after in prop::collection::vec(prop::sample::select(vec!["", ".", " pcs", "！", "->", " 1"]), 3),
        before in prop::sample::select(vec![" ", "->", ": ", "："]),
        seed: u64,
        reach in prop::sample::select(vec![0.0_f32, 4.0, 20.0, 300.0]),
        size in prop::sample::select(vec![256_usize, 290, 350]),
        split: bool,
        turned: (bool, bool, bool),
        branches in 1_usize..6,
        tolerance in prop::sample::select(vec![0.0, 1e-6, 0.1, 2.0]),
    ) {
        let mut answer = String::new();
        for (at, after) in after.iter().enumerate() {
            write!(answer, "{}- f {at} is{before}{{f{at}}}{after}", if at == 0 { "" } else { "\n" }).unwrap();
        }
        let has_z = [&fields.0, &fields.1, &fields.2].map(|field| field.contains("choice"));
        let value = if turned.0 { "{ not = \"z\" }" } else { "\"z\"" };
        let mut rules = String::new();
        for (when, then, wanted) in [(0, 1, true), (1, 2, turned.1), (0, 2, turned.2), (2, 1, turned.1 && turned.2)] {
            if wanted && has_z[when] && has_z[then] {
                write!(rules, "[[rules]]\nwhen = {{ f{when} = {value} }}\nthen = {{ f{then} = {} }}\n", if turned.2 { "\"z\"" } else { value }).unwrap();
            }
        }
        let project = schema(&format!("{}{}{}", fields.0, fields.1, fields.2), &rules, &answer);
        let text = format!("assistant\n{}", answer.replace('{', "").replace('}', "xx passed 1 12 傷あり nil <loc0011>"));
        let vocabulary = bpe(&[text.clone(), text.replace("xx", "z")], size, split);
        let schema = &project.recipe.schema;
        let made = mekiki::model::decide::Grammar::new(schema, &project.recipe.answer, std::sync::Arc::new(vocabulary.clone()), frame());
        // A tokenizer that runs over everything may melt an open field and its neighbour into one.
        let Ok(grammar) = made else { prop_assert!(!split, "{:?}", made.err()); return Ok(()) };
        let mut model = HashModel::new(&vocabulary, seed, reach);
        let nodes = [model.prompt(&[1]), model.prompt(&[2, 3])];
        let settings = Settings { branches, tolerance, rows: 8, ..Settings::default() };
        let decided = decide(&mut model, &grammar, &nodes, &settings).unwrap();
        prop_assert_eq!(model.left(2), 0);
        for answer in &decided.answers {
            match answer {
                Ok(decision) => check(&project, &vocabulary, decision),
                Err(error) => prop_assert!(!split, "{}", error),
            }
        }
    }
}
