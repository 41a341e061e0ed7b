//! A reviewer's bench: keys in, effects and state out; the tests say what the rest of the house answers.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::missing_panics_doc)]

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use mekiki::domain::{
    self, Condition, Exemplar, Field, FieldId, FieldKind, FieldPrediction, Grid, Kind, Label, Prediction, PredictionSource, ReviewerName,
    Rule, SampleId, Schema, Shown, Value,
};
use mekiki::keys::{Fed, Keymap, Pending, parse_sequence};
use mekiki::review::*;

pub fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn field(id: &str, required: bool, kind: FieldKind) -> Field {
    Field { id: FieldId::new(id).unwrap(), title: id.to_owned(), kind, required }
}

/// Every kind of field, and the rules of the pin boards.
pub fn schema() -> Arc<Schema> {
    static SCHEMA: OnceLock<Arc<Schema>> = OnceLock::new();
    Arc::clone(SCHEMA.get_or_init(make_schema))
}

fn make_schema() -> Arc<Schema> {
    let grid = Grid { rows: strings(&["U", "C", "D"]), columns: (1..=9).map(|n| n.to_string()).collect() };
    let modes = ["passed", "scratch", "dent", "bent", "missing", "stain", "chip", "burr", "discolouration", "crack"];
    let fields = vec![
        field("image_type", true, FieldKind::Choice { options: strings(&["DST", "RAW"]) }),
        field("quantity", true, FieldKind::Integer { min: 0, max: 27, unit: Some("pcs".into()) }),
        field("judgement", true, FieldKind::Choice { options: strings(&["passed", "defective"]) }),
        field("defect_mode", true, FieldKind::Choice { options: strings(&modes) }),
        field("position", true, FieldKind::Address { grid, none: Some("none".into()) }),
        field("marks", false, FieldKind::MultiChoice { options: strings(&["chip", "burr", "傷"]), none: "no mark".into() }),
        field("note", false, FieldKind::Text { max_chars: 60 }),
        field("area", false, FieldKind::Box { none: Some("no box".into()) }),
    ];
    let condition = |id: &str, text: &str, one_of| {
        let field = fields.iter().find(|field| field.id.as_str() == id).unwrap();
        Condition { field: field.id.clone(), values: vec![field.parse(text).unwrap()], one_of }
    };
    let rules = vec![
        Rule {
            when: vec![condition("judgement", "passed", true)],
            then: vec![condition("defect_mode", "passed", true), condition("position", "none", true)],
        },
        Rule {
            when: vec![condition("judgement", "defective", true)],
            then: vec![condition("defect_mode", "passed", false), condition("position", "none", false)],
        },
    ];
    Arc::new(Schema::new(fields, rules, strings(&["DST", "RAW"]), Some(FieldId::new("image_type").unwrap())).unwrap())
}

pub fn source(model: &str) -> PredictionSource {
    PredictionSource { model: model.into(), adapter: None, instruction: "1".into(), exemplar: Exemplar::Right, kind: Kind::ZeroShot }
}

pub fn id(index: usize) -> SampleId {
    SampleId::new(format!("s{index}")).unwrap()
}

pub fn reviewer(name: &str) -> ReviewerName {
    ReviewerName::new(name).unwrap()
}

pub const PASSED: &str = "image_type=DST quantity=27 judgement=passed defect_mode=passed position=none";
pub const SCRATCH: &str = "image_type=DST quantity=27 judgement=defective defect_mode=scratch position=U3";

pub fn label(text: &str) -> Label {
    let schema = schema();
    let (label, problems) = Label::from_texts(&schema, text.split(' ').filter_map(|word| word.split_once('=')));
    assert_eq!(problems, []);
    label
}

pub fn prediction(number: i64, text: &str) -> Prediction {
    let said = |(id, value): (&FieldId, &Value)| {
        (id.clone(), FieldPrediction { value: value.clone(), probabilities: vec![(value.clone(), 0.9)], outside: 0.0 })
    };
    Prediction { id: number, source: source("demo"), fields: label(text).iter().map(said).collect::<BTreeMap<_, _>>() }
}

pub fn entry(index: usize, labelled: &str, predicted: &str) -> Entry {
    Entry {
        id: id(index),
        revision: Revision(1),
        state: domain::State::Undecided,
        by: None,
        flagged: false,
        comment: String::new(),
        image_type: "DST".into(),
        own_reference: false,
        label: label(labelled),
        decided: [].into(),
        prediction: (!predicted.is_empty()).then(|| prediction(index as i64 + 100, predicted)),
        claimed_by: None,
        outlier: None,
        cluster: None,
        duplicate_of: None,
    }
}

pub struct Bench {
    pub state: State,
    pub keymap: Keymap,
    pub pending: Pending,
    pub effects: Vec<Effect>,
    pub rows: Vec<Entry>,
    time_ms: i64,
}

impl Bench {
    /// A bench whose queue holds these samples, the first of them drawn.
    pub fn new(rows: Vec<Entry>) -> Self {
        Self::with("default", rows)
    }

    pub fn with(keymap: &str, rows: Vec<Entry>) -> Self {
        static DEFAULT: OnceLock<Keymap> = OnceLock::new();
        let setup = Setup {
            schema: schema(),
            reviewer: reviewer("aiko"),
            source: source("demo"),
            filter: String::new(),
            resume: None,
            language: Language::En,
            theme: Theme::Dark,
            read_only: false,
        };
        let (state, effects) = State::new(setup);
        let keymap = match keymap {
            "default" => DEFAULT.get_or_init(|| Keymap::built_in("default").unwrap().unwrap()).clone(),
            other => Keymap::built_in(other).unwrap().unwrap(),
        };
        let mut bench = Self { state, keymap, pending: Pending::default(), effects, rows, time_ms: 1_000 };
        bench.answer_pages();
        bench.draw();
        bench.effects.clear();
        bench
    }

    /// Undecided samples that label and prediction agree on.
    pub fn agreed(count: usize) -> Self {
        Self::new((0..count).map(|index| entry(index, "", PASSED)).collect())
    }

    pub fn input(&mut self, kind: InputKind) -> Vec<Effect> {
        self.time_ms += 10;
        let effects = update(&mut self.state, Input { time_ms: self.time_ms, seed: 7, kind });
        self.effects.extend(effects.clone());
        effects
    }

    pub fn wait(&mut self, ms: i64) -> Vec<Effect> {
        self.time_ms += ms;
        self.input(InputKind::Tick)
    }

    pub fn act(&mut self, action: Action) -> Vec<Effect> {
        self.input(InputKind::Action { action, count: None })
    }

    pub fn tell(&mut self, message: Message) -> Vec<Effect> {
        self.input(InputKind::Message(message))
    }

    pub fn draw(&mut self) {
        self.input(InputKind::Drawn { shown: Shown::Sample { protocol: "kitty".into(), zoom: 100 } });
    }

    /// Presses keys; the screen is drawn before each, as an event loop does when nothing is waiting.
    pub fn keys(&mut self, keys: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        for chord in parse_sequence(keys).unwrap() {
            self.draw();
            effects.extend(self.press(chord));
        }
        effects
    }

    /// Presses keys faster than frames are drawn.
    pub fn burst(&mut self, keys: &str) -> Vec<Effect> {
        parse_sequence(keys).unwrap().into_iter().flat_map(|chord| self.press(chord)).collect()
    }

    fn press(&mut self, chord: mekiki::keys::Chord) -> Vec<Effect> {
        let context = self.state.context();
        match self.pending.feed(&self.keymap, &context, chord) {
            Fed::Action(action, count) => self.input(InputKind::Action { action, count }),
            Fed::Text(c) => self.input(InputKind::Text(c.to_string())),
            Fed::Pending(_) | Fed::Nothing => Vec::new(),
        }
    }

    /// Answers every question for rows, pages and places that is open.
    pub fn answer_pages(&mut self) {
        while let Some(at) = self.effects.iter().position(|effect| matches!(effect, Effect::LoadPage { .. } | Effect::Find { .. })) {
            match self.effects.remove(at) {
                Effect::LoadPage { request, from, count, .. } => {
                    let rows = self.rows.iter().skip(from).take(count).cloned().collect();
                    self.tell(Message::Page { request, from, total: self.rows.len(), rows });
                }
                Effect::Find { request, target, .. } => {
                    let index = match target {
                        Target::Sample(sample) => self.rows.iter().position(|row| row.id == sample),
                        Target::Undecided { from, .. } => Some((from + 1) % self.rows.len()),
                    };
                    self.tell(Message::Found { request, index });
                }
                _ => unreachable!(),
            }
        }
    }

    /// The saves that were asked for and not answered.
    pub fn saves(&mut self) -> Vec<(SaveId, SaveKind, Vec<Decision>)> {
        let effects = std::mem::take(&mut self.effects);
        let save = |effect| if let Effect::Save { save, kind, decisions } = effect { Some((save, kind, decisions)) } else { None };
        effects.into_iter().filter_map(save).collect()
    }

    /// Answers the saves: all is well, at this revision.
    pub fn save_all(&mut self, revision: i64) -> usize {
        let saves = self.saves();
        let count = saves.len();
        for (save, _, decisions) in saves {
            let mut applied: Vec<SampleId> = decisions.into_iter().map(|decision| decision.sample).collect();
            applied.dedup();
            self.tell(Message::Saved { save, operation: Some("op".into()), applied, revision: Revision(revision), refused: vec![] });
        }
        count
    }

    pub fn refuse(&mut self, reason: &Reason) {
        for (save, _, decisions) in self.saves() {
            let refused = decisions.into_iter().map(|decision| Refusal { sample: decision.sample, reason: reason.clone() }).collect();
            self.tell(Message::Saved { save, operation: None, applied: vec![], revision: Revision(0), refused });
        }
    }

    pub fn desk(&self) -> &Desk {
        self.state.desk.as_ref().unwrap()
    }

    pub fn on_desk(&self) -> &str {
        self.desk().entry().id.as_str()
    }

    /// A field's value on the form, as it is written; `?` for a conflict, the empty text for none.
    pub fn value(&self, field: usize) -> String {
        let form = &self.desk().form;
        match form.standing(field) {
            Standing::Value { value, .. } => form.fields()[field].render(value),
            Standing::Conflict { .. } => "?".into(),
            Standing::Open => String::new(),
        }
    }

    /// The whole form, field by field.
    pub fn form(&self) -> String {
        (0..5).map(|field| self.value(field)).collect::<Vec<_>>().join(" ")
    }

    pub fn notice(&self) -> String {
        self.state.notices.posted().last().map(|posted| posted.notice.text(Language::En)).unwrap_or_default()
    }
}

/// The label that an approval carries, as texts, with its sample and revision.
pub fn approved(effects: &[Effect]) -> Vec<(String, i64, String)> {
    let schema = schema();
    let mut found = Vec::new();
    for effect in effects {
        let Effect::Save { decisions, .. } = effect else { continue };
        for decision in decisions {
            if let Change::Approve { label, .. } = &decision.change {
                let texts = label.iter().map(|(id, value, _)| schema.field(id).unwrap().render(value)).collect::<Vec<_>>().join(" ");
                found.push((decision.sample.to_string(), decision.base.0, texts));
            }
        }
    }
    found
}

pub fn changes(effects: &[Effect]) -> Vec<&Change> {
    let decisions = effects.iter().filter_map(|effect| if let Effect::Save { decisions, .. } = effect { Some(decisions) } else { None });
    decisions.flatten().map(|decision| &decision.change).collect()
}
