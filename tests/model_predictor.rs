//! What the predictor says, batched and from caches, is what a plain forward pass over each whole answer says.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use mekiki::config::{self, Project};
use mekiki::conversation::{Conversation, PoolImage, Purpose};
use mekiki::domain::{
    Address, Exemplar, Field, FieldPrediction, ImageRef, Kind, Label, RelativePath, Sample, SampleId, SampleOrigin, Value,
};
use mekiki::model::decide::{self, Decision, HfVocabulary, Vocabulary};
use mekiki::model::predictor::{Guessing, Item, Predictor, Settings};
use mekiki::model::qwen_vl::Segment;
use mekiki::model::random::{self, Shape};
use mekiki::{imaging, model::processor::PixelPatches};

const PROJECT: &str = r#"
[project]
name = "t"
image_types = ["A"]
[[fields]]
id = "judgement"
kind = "choice"
options = ["passed", "defective"]
[[fields]]
id = "mode"
kind = "choice"
options = ["passed", "scratch", "dent"]
[[fields]]
id = "place"
kind = "address"
rows = ["U", "C"]
columns = ["1", "2"]
none = "none"
[[rules]]
when = { judgement = "passed" }
then = { mode = "passed", place = "none" }
[[rules]]
when = { judgement = "defective" }
then = { mode = { not = "passed" }, place = { not = "none" } }
[answers]
query = "- your judgement->{judgement}\n- defect mode->{mode}\n- position->{place}"
exemplar = "- image type->{image_type}\n- position of star->{address}"
[instructions]
version = "1"
language = "en"
[[instructions.texts]]
version = "1"
language = "en"
query = "Compare the boards."
exemplar = "Where is the star?"
"#;

const EXACT: decide::Settings = decide::Settings { expand_below: 0.0, branches: 1, tolerance: 0.0, rows: 64 };

struct Lab {
    dir: tempfile::TempDir,
    project: Project,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut project = config::parse(PROJECT, Path::new("mekiki.toml"), dir.path()).unwrap();
        for (purpose, name, star) in [
            (Purpose::Reference, "reference-1.png", None),
            (Purpose::Reference, "reference-2.png", None),
            (Purpose::Exemplar, "exemplar-1.png", Some(Address { row: 0, column: 1 })),
            (Purpose::Exemplar, "exemplar-2.png", Some(Address { row: 1, column: 0 })),
        ] {
            let image = RelativePath::new(name).unwrap();
            let (image_type, address) = ("A".to_owned(), star);
            project.recipe.pool.images.push(PoolImage { purpose, image_type, image, address, sample: None, group: None });
        }
        let names = ["reference-1", "reference-2", "exemplar-1", "exemplar-2", "query-0", "query-1", "query-2"];
        for (nth, name) in names.iter().enumerate() {
            let (width, height) = [(96, 64), (64, 96), (70, 90)][nth % 3];
            let picture = image::RgbImage::from_fn(width, height, |x, y| {
                image::Rgb([(x * 3 + nth as u32 * 50) as u8, (y * 5) as u8, ((x ^ y) * (nth as u32 + 1)) as u8])
            });
            picture.save(dir.path().join(format!("{name}.png"))).unwrap();
        }
        let texts = vec![PROJECT.to_owned(), "- your judgement->defective\n- defect mode->scratch\n- position->U1".to_owned()];
        std::fs::create_dir(dir.path().join("model")).unwrap();
        random::write(&dir.path().join("model"), &Shape::Tiny, 7, &texts, &|_, _| ()).unwrap();
        Self { dir, project }
    }

    fn predictor(&self, prefixes: usize, images: usize) -> Predictor {
        // With what is kept goes what is read ahead.
        let guessing = if prefixes > 0 { Guessing::ACCELERATOR } else { Guessing { pass: 0, row: [0, 0], ..Guessing::CPU } };
        self.guessing(prefixes, images, guessing)
    }

    fn guessing(&self, prefixes: usize, images: usize, guessing: Guessing) -> Predictor {
        let settings = Settings { prefixes, images, decide: EXACT, guessing, apart: false };
        let dir = self.dir.path().join("model");
        Predictor::load(&dir, &Device::Cpu, DType::F32, None, &self.project.recipe, settings).unwrap()
    }

    fn item(&self, nth: usize, kind: Kind, exemplar: Exemplar) -> Item {
        let image = |name: String| ImageRef { folder: 0, path: RelativePath::new(name).unwrap() };
        let sample = Sample {
            id: SampleId::new(format!("s{nth}")).unwrap(),
            ordinal: nth as u64,
            image_type: "A".to_owned(),
            query: image(format!("query-{nth}.png")),
            reference: None,
            group: format!("g{nth}"),
            origin: SampleOrigin::Imported,
            imported: Label::default(),
        };
        let conversation = self.project.recipe.prompt(&sample, "A", kind, exemplar).unwrap();
        let images = self.files(&conversation);
        Item { conversation, images }
    }

    fn files(&self, conversation: &Conversation) -> Vec<PathBuf> {
        conversation.images().map(|part| self.dir.path().join(part.image.path.as_str())).collect()
    }

    fn vocabulary(&self) -> HfVocabulary {
        HfVocabulary::new(std::fs::read_to_string(self.dir.path().join("model/tokenizer.json")).unwrap().parse().unwrap())
    }

    /// For each field the log-probability of its value's tokens, delimiter included, in one pass over the whole
    /// conversation.
    fn brute(&self, predictor: &Predictor, vocabulary: &HfVocabulary, item: &Item, label: &Label) -> Vec<f64> {
        let recipe = &self.project.recipe;
        let pixels: Vec<PixelPatches> = item
            .images
            .iter()
            .map(|path| predictor.processor().images.patches(&imaging::decode(path, imaging::Limits::default()).unwrap()).unwrap())
            .collect();
        let grids: Vec<_> = pixels.iter().map(|pixels| pixels.grid).collect();
        let mut turns = item.conversation.turns.clone();
        let asked = predictor.processor().prompt(&turns, &grids, true).unwrap();
        turns.push(recipe.answer_turn(label).unwrap());
        let whole = predictor.processor().prompt(&turns, &grids, false).unwrap();
        assert!(whole.ids.starts_with(&asked.ids));
        let images = predictor.model().embed_images(&pixels).unwrap();
        let hidden = predictor.model().forward_whole(&[Segment { ids: whole.ids.clone(), images }]).unwrap();
        let logits = predictor.model().logits(&hidden.squeeze(0).unwrap()).unwrap().to_vec2::<f32>().unwrap();
        let log = |at: usize| {
            let row = &logits[at - 1];
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|logit| f64::from(logit - top).exp()).sum();
            f64::from(row[whole.ids[at] as usize] - top) - sum.ln()
        };
        let (_, spans) = recipe.answer.render_spans(label).unwrap();
        let tokens = &whole.ids[asked.ids.len()..];
        let token_at = |byte: usize| {
            let mut end = 0;
            tokens.iter().position(|token| {
                end += vocabulary.bytes(*token).unwrap().len();
                end > byte
            })
        };
        let start = asked.ids.len();
        let sum = |span: &std::ops::Range<usize>| {
            let (from, to) = (token_at(span.start).unwrap(), token_at(span.end).unwrap() + 1);
            (start + from..start + to).map(log).sum()
        };
        spans.iter().map(|(_, span)| sum(span)).collect()
    }

    /// All answers that keep the rules.
    fn labels(&self) -> Vec<Vec<Value>> {
        let fields: Vec<Field> = self.project.recipe.answer.fields().cloned().collect();
        let mut all: Vec<Vec<Value>> = vec![Vec::new()];
        for field in &fields {
            let values = field.values().unwrap();
            all = all.iter().flat_map(|known| values.iter().map(move |value| known.iter().chain([value]).cloned().collect())).collect();
        }
        all.retain(|values| self.project.schema().broken(&self.label(values)).next().is_none());
        all
    }

    fn label(&self, values: &[Value]) -> Label {
        let fields: Vec<&Field> = self.project.recipe.answer.fields().collect();
        Label::from_values(fields.into_iter().zip(values.iter().cloned()))
    }
}

fn same(a: &FieldPrediction, b: &FieldPrediction, most: f32) {
    assert_eq!(a.probabilities.len(), b.probabilities.len());
    for (value, p) in &a.probabilities {
        assert!((p - b.probability(value)).abs() <= most, "{value:?}: {p} and {}", b.probability(value));
    }
    assert!((a.outside - b.outside).abs() <= most, "outside: {} and {}", a.outside, b.outside);
}

#[test]
fn probabilities_are_those_of_whole_answers() {
    let lab = Lab::new();
    let vocabulary = lab.vocabulary();
    let (plain, cached) = (lab.predictor(0, 0), lab.predictor(1 << 24, 1 << 22));
    let fields: Vec<Field> = lab.project.recipe.answer.fields().cloned().collect();
    for (kind, exemplar) in [
        (Kind::ZeroShot, Exemplar::Right),
        (Kind::OneShot, Exemplar::Right),
        (Kind::OneShot, Exemplar::Wrong),
        (Kind::OneShot, Exemplar::None),
    ] {
        let items: Vec<Item> = (0..3).map(|nth| lab.item(nth, kind, exemplar)).collect();
        let answers =
            |predictor: &Predictor, items: &[Item]| -> Vec<Decision> { predictor.predict(items).into_iter().map(Result::unwrap).collect() };
        let together = answers(&cached, &items);
        let again = answers(&cached, &items);
        let alone: Vec<Decision> = items.iter().flat_map(|item| answers(&plain, std::slice::from_ref(item))).collect();
        for (nth, decision) in together.iter().enumerate() {
            for field in &fields {
                same(&decision.fields[&field.id], &again[nth].fields[&field.id], 1e-4);
                same(&decision.fields[&field.id], &alone[nth].fields[&field.id], 1e-4);
            }
        }
        let (item, decision) = (&items[1], &together[1]);
        let decided: Vec<Value> = fields.iter().map(|field| decision.fields[&field.id].value.clone()).collect();
        let mut scored: Vec<(Vec<Value>, Vec<f64>)> = Vec::new();
        for values in lab.labels() {
            let logs = lab.brute(&cached, &vocabulary, item, &lab.label(&values));
            scored.push((values, logs));
        }
        for (place, field) in fields.iter().enumerate() {
            let mut masses: Vec<(Value, f64)> = Vec::new();
            for (values, logs) in scored.iter().filter(|(values, _)| values[..place] == decided[..place]) {
                if !masses.iter().any(|(value, _)| *value == values[place]) {
                    masses.push((values[place].clone(), logs[place].exp()));
                }
            }
            let sum: f64 = masses.iter().map(|(_, mass)| mass).sum();
            let probabilities = masses.into_iter().map(|(value, mass)| (value, (mass / sum) as f32)).collect();
            let expected = FieldPrediction { value: decided[place].clone(), probabilities, outside: (1.0 - sum) as f32 };
            same(&decision.fields[&field.id], &expected, 1e-4);
        }
    }
}

#[test]
fn what_is_likely_is_read_before_it_is_asked() {
    let lab = Lab::new();
    let predictor = lab.guessing(1 << 24, 1 << 22, Guessing::CPU);
    let items = [lab.item(0, Kind::OneShot, Exemplar::Right), lab.item(1, Kind::OneShot, Exemplar::Right)];
    let ask = || -> (Vec<Decision>, usize) {
        let before = predictor.spent().passes;
        let answers = predictor.predict(&items).into_iter().map(Result::unwrap).collect();
        (answers, predictor.spent().passes - before)
    };
    let (first, passes) = ask();
    let (mut again, mut fewer) = ask();
    for _ in 0..8 {
        (again, fewer) = ask();
    }
    assert!(passes > 1 && fewer < passes, "{passes} passes, then {fewer}");
    let spent = predictor.spent();
    assert_eq!(spent.effort.calls, spent.passes, "the device was asked about nothing that had been told");
    for (first, again) in first.iter().zip(&again) {
        assert_eq!(first.tokens, again.tokens);
        for (field, prediction) in &first.fields {
            same(prediction, &again.fields[field], 1e-5);
        }
    }
    predictor.forget();
    assert_eq!(predictor.spent(), mekiki::model::predictor::Spent::default());
}

#[test]
fn a_broken_image_fails_alone() {
    let lab = Lab::new();
    let predictor = lab.predictor(1 << 24, 1 << 22);
    std::fs::write(lab.dir.path().join("query-1.png"), "no picture").unwrap();
    let items: Vec<Item> = (0..3).map(|nth| lab.item(nth, Kind::ZeroShot, Exemplar::Right)).collect();
    let answers = predictor.predict(&items);
    let failed: Vec<bool> = answers.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, true, false]);
    assert!(answers[1].as_ref().unwrap_err().to_string().contains("query-1.png"));
}

#[test]
fn the_same_seed_writes_the_same_checkpoint() {
    let lab = Lab::new();
    let files = ["config.json", "model.safetensors", "tokenizer.json"];
    let make = |name: &str, seed| {
        let dir = lab.dir.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        random::write(&dir, &Shape::Tiny, seed, &[PROJECT.to_owned()], &|_, _| ()).unwrap();
        files.map(|file| std::fs::read(dir.join(file)).unwrap())
    };
    let (first, second, other) = (make("a", 1), make("b", 1), make("c", 2));
    assert!(first == second && first[1] != other[1] && first[2] == other[2]);
}
