//! Listed fields: probabilities are those of brute force over all complete answers, whatever the tokenizer merges.
#![allow(clippy::unwrap_used)]

mod decide_support;

use std::collections::BTreeMap;

use decide_support::{HashModel, bpe, frame, grammar, label, labels, schema};
use mekiki::config::Project;
use mekiki::domain::{Field, Value};
use mekiki::model::decide::{HfVocabulary, Settings, Vocabulary, decide};

const EXACT: Settings = Settings { expand_below: 0.0, branches: 1, tolerance: 0.0, rows: 64 };

fn boards() -> Project {
    schema(
        "[[fields]]\nid = \"board\"\nkind = \"choice\"\noptions = [\"CYLN_DST\", \"CYLN_RAW\"]\n\
         [[fields]]\nid = \"pins\"\nkind = \"integer\"\nmin = 0\nmax = 27\nunit = \"pcs\"\n\
         [[fields]]\nid = \"judgement\"\nkind = \"choice\"\noptions = [\"passed\", \"defective\"]\n\
         [[fields]]\nid = \"mode\"\nkind = \"choice\"\noptions = [\"passed\", \"scratch\", \"傷\", \"傷あり\", \"pin-hole\"]\n\
         [[fields]]\nid = \"place\"\nkind = \"address\"\nrows = [\"U\", \"C\"]\ncolumns = [\"1\", \"2\", \"12\"]\nnone = \"none\"\n",
        "[[rules]]\nwhen = { judgement = \"passed\" }\nthen = { mode = \"passed\", place = \"none\" }\n\
         [[rules]]\nwhen = { judgement = \"defective\" }\nthen = { mode = { not = \"passed\" }, place = { not = \"none\" } }\n",
        "- image type->{board}\n- quantity of pins->{pins} pcs\n- your judgement->{judgement}\n- defect mode->{mode}\n- 位置->{place}",
    )
}

fn texts(project: &Project) -> Vec<String> {
    let fields: Vec<Field> = project.recipe.answer.fields().cloned().collect();
    labels(&fields).iter().map(|values| format!("assistant\n{}", project.recipe.answer.render(&label(&fields, values)).unwrap())).collect()
}

type Answer = (Vec<Value>, Vec<u32>, Vec<(usize, usize)>);

/// All complete answers that keep the rules: values, and tokens with the tokens of each value (delimiter included).
struct Brute {
    answers: Vec<Answer>,
}

impl Brute {
    fn new(project: &Project, vocabulary: &HfVocabulary) -> Self {
        let fields: Vec<Field> = project.recipe.answer.fields().cloned().collect();
        let mut answers = Vec::new();
        for values in labels(&fields) {
            let label = label(&fields, &values);
            if project.recipe.schema.broken(&label).next().is_some() {
                continue;
            }
            let (answer, spans) = project.recipe.answer.render_spans(&label).unwrap();
            let tokens = vocabulary.encode(&format!("{}{answer}{}", frame().before, frame().after)).unwrap();
            let shift = frame().before.len();
            let token_at = |byte: usize| {
                let mut end = 0;
                tokens.iter().position(|token| {
                    end += vocabulary.bytes(*token).unwrap().len();
                    end > byte
                })
            };
            let spans = spans.iter().map(|(_, span)| (token_at(span.start + shift).unwrap(), token_at(span.end + shift).unwrap() + 1));
            let spans = spans.collect();
            answers.push((values, tokens, spans));
        }
        Self { answers }
    }

    /// Probability of each value of a field among the answers that begin with these values, and the mass outside.
    fn field(&self, model: &HashModel, prompt: &[u32], earlier: &[Value]) -> (BTreeMap<Value, f64>, f64) {
        let place = earlier.len();
        let mut masses: BTreeMap<Value, f64> = BTreeMap::new();
        for (values, tokens, spans) in self.answers.iter().filter(|(values, ..)| values.starts_with(earlier)) {
            let all = [prompt, tokens].concat();
            let (from, to) = spans[place];
            let mass = model.score(&all, prompt.len() + from, prompt.len() + to).exp();
            let known = masses.entry(values[place].clone()).or_insert(mass);
            assert!((*known - mass).abs() < 1e-9, "one value has one mass in all answers");
        }
        let sum: f64 = masses.values().sum();
        (masses.into_iter().map(|(value, mass)| (value, mass / sum)).collect(), 1.0 - sum)
    }
}

#[test]
fn confidences_equal_brute_force_over_all_complete_answers() {
    let project = boards();
    let texts = texts(&project);
    for size in [256, 420] {
        let vocabulary = bpe(&texts, size, true);
        let grammar = grammar(&project, &vocabulary);
        assert_eq!(grammar.shape(), (5, 0, 1), "size {size}");
        let brute = Brute::new(&project, &vocabulary);
        assert_eq!(brute.answers.len(), 2 * 28 * (1 + 4 * 6));
        for seed in 0..3 {
            let mut model = HashModel::new(&vocabulary, seed, 9.0);
            let prompts: Vec<Vec<u32>> = (0..3).map(|n| vocabulary.encode(&format!("sample {n} of {seed}: ")).unwrap()).collect();
            let nodes: Vec<_> = prompts.iter().map(|prompt| model.prompt(prompt)).collect();
            let decided = decide(&mut model, &grammar, &nodes, &EXACT).unwrap();
            assert_eq!(model.left(3), 0, "every node is released");
            for (decision, prompt) in decided.answers.iter().zip(&prompts) {
                let decision = decision.as_ref().unwrap();
                let whole = format!("{}{}{}", frame().before, decision.answer, frame().after);
                assert_eq!(decision.tokens, vocabulary.encode(&whole).unwrap());
                let mut earlier = Vec::new();
                for field in project.recipe.answer.fields() {
                    let shown = &decision.fields[&field.id];
                    let (expected, outside) = brute.field(&model, prompt, &earlier);
                    assert_eq!(shown.probabilities.len(), expected.len());
                    for (value, p) in &expected {
                        let got = f64::from(shown.probability(value));
                        assert!((got - p).abs() < 1e-5, "size {size} {}: {value:?} {got} for {p}", field.id);
                    }
                    assert!((f64::from(shown.outside) - outside).abs() < 1e-5, "{} {} for {outside}", field.id, shown.outside);
                    let sum: f32 = shown.probabilities.iter().map(|(_, p)| p).sum();
                    assert!((sum - 1.0).abs() < 1e-5);
                    assert!(shown.probabilities.iter().all(|(_, p)| *p <= shown.confidence()));
                    earlier.push(shown.value.clone());
                }
                assert_eq!(project.recipe.schema.broken(&decision.label).count(), 0);
            }
        }
    }
}

#[test]
fn a_tolerance_saves_steps_and_stays_within_itself() {
    let project = boards();
    let vocabulary = bpe(&texts(&project), 300, true);
    let grammar = grammar(&project, &vocabulary);
    let (mut full, mut short) = (0, 0);
    for seed in 0..20 {
        let mut model = HashModel::new(&vocabulary, seed, 40.0);
        let node = model.prompt(&[1, 2, 3]);
        let exact = decide(&mut model, &grammar, &[node], &EXACT).unwrap();
        let quick = decide(&mut model, &grammar, &[node], &Settings { tolerance: 1e-4, ..EXACT }).unwrap();
        full += exact.effort.steps;
        short += quick.effort.steps;
        let (exact, quick) = (exact.answers[0].as_ref().unwrap(), quick.answers[0].as_ref().unwrap());
        assert_eq!(exact.label, quick.label);
        for (id, field) in &exact.fields {
            for (value, p) in &field.probabilities {
                assert!((p - quick.fields[id].probability(value)).abs() < 3e-4, "{id} {value:?}");
            }
        }
    }
    assert!(short * 4 < full * 3, "{short} steps for {full}");
}

#[test]
fn samples_of_a_batch_share_their_calls() {
    let project = boards();
    let vocabulary = bpe(&texts(&project), 420, true);
    let grammar = grammar(&project, &vocabulary);
    let mut model = HashModel::new(&vocabulary, 7, 60.0);
    let one = model.prompt(&[1, 2, 3]);
    let alone = decide(&mut model, &grammar, &[one], &Settings::default()).unwrap();
    let nodes: Vec<_> = (0..32).map(|n| model.prompt(&[n, n + 1, n + 2])).collect();
    let batch = decide(&mut model, &grammar, &nodes, &Settings::default()).unwrap();
    assert!(alone.effort.calls <= 20, "{:?}", alone.effort);
    assert!(batch.effort.calls <= 24, "{:?}", batch.effort);
    let plain = alone.answers[0].as_ref().unwrap();
    assert!(alone.effort.calls < plain.tokens.len(), "fewer passes than tokens");
    let again = model.prompt(&[1, 2, 3]);
    let both = decide(&mut model, &grammar, &[nodes[5], again], &Settings::default()).unwrap();
    assert_eq!(both.answers[1].as_ref().unwrap(), plain, "a sample's answer does not depend on the batch");
}

/// The exact marginals over all complete answers, each weighted with the product of its fields' probabilities.
#[test]
fn expanding_every_branch_gives_the_marginals() {
    let project = schema(
        "[[fields]]\nid = \"a\"\nkind = \"choice\"\noptions = [\"x\", \"xy\"]\n\
         [[fields]]\nid = \"b\"\nkind = \"choice\"\noptions = [\"1\", \"12\"]\n\
         [[fields]]\nid = \"c\"\nkind = \"choice\"\noptions = [\"left\", \"right\", \"mid\"]\n",
        "",
        "a: {a}\nb: {b}.\nc: {c}",
    );
    let vocabulary = bpe(&texts(&project), 280, true);
    let grammar = grammar(&project, &vocabulary);
    let brute = Brute::new(&project, &vocabulary);
    for seed in 0..10 {
        let mut model = HashModel::new(&vocabulary, seed, 6.0);
        let prompt = [5, 6];
        let node = model.prompt(&prompt);
        let settings = Settings { expand_below: 1.1, branches: 8, tolerance: 0.0, rows: 64 };
        let decided = decide(&mut model, &grammar, &[node], &settings).unwrap();
        let shown = decided.answers[0].as_ref().unwrap();
        let mut marginals: BTreeMap<Value, f64> = BTreeMap::new();
        for (a, p) in brute.field(&model, &prompt, &[]).0 {
            for (b, q) in brute.field(&model, &prompt, std::slice::from_ref(&a)).0 {
                for (c, r) in brute.field(&model, &prompt, &[a.clone(), b.clone()]).0 {
                    *marginals.entry(b.clone()).or_default() += p * q * r;
                    *marginals.entry(c).or_default() += p * q * r;
                }
            }
        }
        for field in project.recipe.schema.fields().iter().skip(1) {
            for (value, p) in &shown.fields[&field.id].probabilities {
                assert!((f64::from(*p) - marginals[value]).abs() < 1e-5, "{value:?}: {p} for {}", marginals[value]);
            }
        }
    }
}

#[test]
fn merges_across_the_seams_are_told_apart_or_taken_together() {
    let project = schema(
        "[[fields]]\nid = \"a\"\nkind = \"choice\"\noptions = [\"x\", \"xb\", \"bb\"]\n\
         [[fields]]\nid = \"b\"\nkind = \"integer\"\nmin = 1\nmax = 12\n\
         [[fields]]\nid = \"c\"\nkind = \"choice\"\noptions = [\"傷\", \"傷あ\"]\n",
        "",
        "a{a}\nb{b}\nc{c}",
    );
    let fields: Vec<Field> = project.recipe.answer.fields().cloned().collect();
    let texts = texts(&project);
    let mut widest = Vec::new();
    for size in [256, 262, 270, 280, 300, 340, 400, 600] {
        let vocabulary = bpe(&texts, size, false);
        let grammar = grammar(&project, &vocabulary);
        widest.push(grammar.shape().2);
        for seed in 0..30 {
            let mut model = HashModel::new(&vocabulary, seed, 12.0);
            let node = model.prompt(&[seed as u32]);
            let decided = decide(&mut model, &grammar, &[node], &EXACT).unwrap();
            let decision = decided.answers[0].as_ref().unwrap();
            let whole = format!("{}{}{}", frame().before, decision.answer, frame().after);
            assert_eq!(decision.tokens, vocabulary.encode(&whole).unwrap(), "size {size}");
            assert!(project.recipe.answer.parse(&decision.answer).problems.is_empty());
            for field in &fields {
                let shown = &decision.fields[&field.id];
                let sum: f32 = shown.probabilities.iter().map(|(_, p)| p).sum();
                assert!((sum - 1.0).abs() < 1e-5);
                assert_eq!(shown.probabilities.len(), field.values().unwrap().len());
            }
            // Where every field lies in one group, its joint distribution is that of whole answers.
            if grammar.shape().2 == 3 {
                let mut masses: BTreeMap<Value, f64> = BTreeMap::new();
                let mut sum = 0.0;
                for values in labels(&fields) {
                    let answer = project.recipe.answer.render(&label(&fields, &values)).unwrap();
                    let tokens = vocabulary.encode(&format!("{}{answer}{}", frame().before, frame().after)).unwrap();
                    let all = [&[seed as u32], tokens.as_slice()].concat();
                    let start = decided_start(&vocabulary, &texts);
                    let mass = model.score(&all, 1 + start, all.len()).exp();
                    sum += mass;
                    *masses.entry(values[0].clone()).or_default() += mass;
                }
                for (value, mass) in masses {
                    let got = f64::from(decision.fields[&fields[0].id].probability(&value));
                    assert!((got - mass / sum).abs() < 1e-5, "size {size} {value:?}: {got} for {}", mass / sum);
                }
            }
        }
    }
    assert_eq!((widest[0], widest.iter().max()), (1, Some(&3)), "{widest:?}");
}

/// How many tokens all answers begin with.
fn decided_start(vocabulary: &HfVocabulary, texts: &[String]) -> usize {
    let all: Vec<Vec<u32>> = texts.iter().map(|text| vocabulary.encode(&format!("<|im_start|>{text}<|im_end|>")).unwrap()).collect();
    (0..all[0].len()).take_while(|at| all.iter().all(|tokens| tokens.get(*at) == all[0].get(*at))).count()
}

#[test]
fn an_answer_without_an_opening_or_without_answers_is_refused() {
    let project = boards();
    let vocabulary = bpe(&texts(&project), 256, true);
    let new = |after: &str| {
        let frame = mekiki::model::decide::Frame { before: "<|im_start|>assistant\n".into(), after: after.into() };
        mekiki::model::decide::Grammar::new(&project.recipe.schema, &project.recipe.answer, std::sync::Arc::new(vocabulary.clone()), frame)
    };
    // Nothing ends the answer: `U1` begins `U12`.
    assert!(new("").unwrap_err().to_string().contains("place"));
    let grammar = new("<|im_end|>").unwrap();
    let prompt = vocabulary.encode("x <|im_start|>assistant\n").unwrap();
    assert_eq!(grammar.prompt(&prompt).unwrap(), vocabulary.encode("x ").unwrap());
    assert!(grammar.prompt(&prompt[..prompt.len() - 1]).unwrap_err().to_string().contains("assistant"));
    let contradiction = schema(
        "[[fields]]\nid = \"a\"\nkind = \"choice\"\noptions = [\"x\", \"y\"]\n[[fields]]\nid = \"b\"\nkind = \"choice\"\noptions = [\"x\", \"y\"]\n",
        "[[rules]]\nwhen = { a = [\"x\", \"y\"] }\nthen = { b = \"x\" }\n[[rules]]\nwhen = { a = [\"x\", \"y\"] }\nthen = { b = \"y\" }\n",
        "a: {a}\nb: {b}",
    );
    let refused = mekiki::model::decide::Grammar::new(
        &contradiction.recipe.schema,
        &contradiction.recipe.answer,
        std::sync::Arc::new(vocabulary.clone()),
        frame(),
    );
    assert!(refused.unwrap_err().to_string().contains("no answer"));
}
