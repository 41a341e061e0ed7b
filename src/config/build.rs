//! From the file as written to a project that is known to be right.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use super::place::{Places, Step, Step::Index, Step::Key, line_at};
use super::raw::{RawCondition, RawField, RawKind, RawOneShot, RawPlanWord, RawPoolImage, RawProject, RawRule, RawScalar};
use super::{ImportSettings, Project, TrainSettings, settings};
use crate::conversation::{AnswerTemplate, InstructionText, Instructions, Pool, PoolImage, Purpose, Recipe, SamplingPlan};
use crate::domain::{
    Condition, Field, FieldId, FieldKind, Grid, Kind, Label, ProblemPlace, RelativePath, Rule, SampleId, Schema, Split, SplitPlan,
    Symmetries, Value, ValueError,
};

/// Line, key and message of a problem.
pub(super) type Problem = (usize, String, String);

/// What was wrong so far, and where things stand.
pub(super) struct Problems {
    pub(super) places: Places,
    pub(super) found: Vec<Problem>,
}

impl Problems {
    pub(super) fn say(&mut self, path: &[Step<'_>], expected: impl Display, got: impl Display) {
        self.say_message(path, format!("expected {expected}, got {got}"));
    }

    fn say_message(&mut self, path: &[Step<'_>], message: String) {
        let (line, key) = self.places.line(path);
        self.found.push((line, key, message));
    }
}

pub(super) fn build(text: &str, dir: &Path) -> Result<Project, Vec<Problem>> {
    let places = Places::new(text).map_err(|(line, message)| vec![(line, String::new(), message)])?;
    let raw: RawProject = toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        vec![(line_at(text, offset), places.key_at(offset), error.message().to_owned())]
    })?;
    let mut problems = Problems { places, found: Vec::new() };
    let project = assemble(raw, dir, &mut problems);
    match project {
        Some(project) if problems.found.is_empty() => Ok(project),
        _ => {
            problems.found.sort();
            Err(problems.found)
        }
    }
}

/// The project, or `None` once its problems are said.
fn assemble(raw: RawProject, dir: &Path, problems: &mut Problems) -> Option<Project> {
    if raw.project.name.trim().is_empty() || raw.project.name.chars().any(char::is_control) {
        problems.say(&[Key("project"), Key("name")], "a printable name", format!("{:?}", raw.project.name));
    }
    let schema = Arc::new(schema(&raw, problems)?);
    let answer = template(&raw.answers.query, schema.fields(), "query", problems);
    let exemplar_fields = Recipe::exemplar_fields(&schema);
    let exemplar_text = raw.answers.exemplar.as_deref().unwrap_or("-");
    let exemplar_fields = if raw.answers.exemplar.is_some() { exemplar_fields.as_slice() } else { &[] };
    let exemplar_answer = template(exemplar_text, exemplar_fields, "exemplar", problems);
    let instructions = instructions(&raw, &schema, problems);
    let splits = splits(&raw, problems);
    let pool = pool(&raw, &schema, &splits, problems);
    let plan = plan(&raw, problems);
    let defaults = defaults(&raw.import.defaults, &schema, problems);
    for image_type in raw.corners.keys().filter(|image_type| !schema.image_types().contains(image_type)) {
        problems.say(&[Key("corners"), Key(image_type)], format!("one of {}", schema.image_types().join(", ")), format!("{image_type:?}"));
    }
    for (image_type, corners) in &raw.corners {
        if corners.iter().flatten().any(|share| !(0.0..=1.0).contains(share)) {
            problems.say(&[Key("corners"), Key(image_type)], "shares of width and height from 0 to 1", "others");
        }
    }
    let train = train(&raw, &schema, problems);
    if let Some(alias) = &raw.model.server {
        let path = [Key("model"), Key("server")];
        if !settings::is_alias(alias) {
            problems.say(&path, format!("{}, which the user's settings give an address", settings::ALIAS), format!("{alias:?}"));
        }
        if raw.model.name.is_some() {
            problems.say(&path, "either a name or a server", "both");
        }
    }
    let recipe = Recipe {
        schema,
        answer: answer?,
        exemplar_answer: exemplar_answer?,
        instructions,
        pool,
        seed: raw.plan.seed,
        difference: raw.project.difference,
    };
    Some(Project {
        dir: dir.to_owned(),
        name: raw.project.name,
        recipe,
        plan,
        splits,
        import: ImportSettings { columns: raw.import.columns, defaults },
        model: raw.model.name,
        server: raw.model.server,
        corners: raw.corners,
        train,
    })
}

fn train(raw: &RawProject, schema: &Schema, problems: &mut Problems) -> TrainSettings {
    let uneven = schema.fields().iter().find(|field| match &field.kind {
        FieldKind::Address { grid, .. } => grid.rows.len() != grid.columns.len(),
        _ => false,
    });
    if let Some(field) = uneven.filter(|_| raw.train.symmetries == Symmetries::Square) {
        let got = format!("\"square\" with the grid of {}", field.id);
        problems.say(&[Key("train"), Key("symmetries")], "addresses with as many rows as columns, or \"none\"", got);
    }
    TrainSettings { symmetries: raw.train.symmetries, light: raw.train.light }
}

fn schema(raw: &RawProject, problems: &mut Problems) -> Option<Schema> {
    let before = problems.found.len();
    let fields: Vec<Field> = raw
        .fields
        .iter()
        .enumerate()
        .filter_map(|(index, raw_field)| field(raw_field, index, &raw.project.image_types, problems))
        .collect();
    if problems.found.len() > before {
        return None;
    }
    let mut rules: Vec<Rule> = raw.rules.iter().enumerate().map(|(index, raw_rule)| rule(raw_rule, index, &fields, problems)).collect();
    if problems.found.len() > before {
        // What is wrong with the rules is said; the fields are still checked.
        rules.clear();
    }
    let named = raw.project.image_type_field.as_deref();
    let usual = fields.iter().find(|field| field.id.as_str() == "image_type").map(|field| field.id.as_str());
    let image_type_field = named.or(usual).and_then(|id| match FieldId::new(id) {
        Ok(id) => Some(id),
        Err(error) => {
            problems.say(&[Key("project"), Key("image_type_field")], error.expected, format!("{:?}", error.got));
            None
        }
    });
    match Schema::new(fields, rules, raw.project.image_types.clone(), image_type_field) {
        Ok(schema) => (problems.found.len() == before).then_some(schema),
        Err(found) => {
            for problem in found {
                let path = match problem.place {
                    ProblemPlace::Field(index, key) => vec![Key("fields"), Index(index), Key(key)],
                    ProblemPlace::Rule(index, key) => vec![Key("rules"), Index(index), Key(key)],
                    ProblemPlace::Fields => vec![Key("fields")],
                    ProblemPlace::ImageTypes => vec![Key("project"), Key("image_types")],
                    ProblemPlace::ImageTypeField => vec![Key("project"), Key("image_type_field")],
                };
                problems.say(&path, problem.expected, problem.got);
            }
            None
        }
    }
}

fn field(raw: &RawField, index: usize, image_types: &[String], problems: &mut Problems) -> Option<Field> {
    let at = |key: &'static str| [Key("fields"), Index(index), Key(key)];
    let id = FieldId::new(&raw.id).map_err(|error| problems.say(&at("id"), error.expected, format!("{:?}", error.got))).ok();
    let foreign: &[(&'static str, bool, &[RawKind])] = &[
        ("options", raw.options.is_some(), &[RawKind::Choice, RawKind::MultiChoice]),
        ("none", raw.none.is_some(), &[RawKind::MultiChoice, RawKind::Address, RawKind::Box]),
        ("min", raw.min.is_some(), &[RawKind::Integer]),
        ("max", raw.max.is_some(), &[RawKind::Integer]),
        ("unit", raw.unit.is_some(), &[RawKind::Integer]),
        ("max_chars", raw.max_chars.is_some(), &[RawKind::Text]),
        ("rows", raw.rows.is_some(), &[RawKind::Address]),
        ("columns", raw.columns.is_some(), &[RawKind::Address]),
    ];
    for (key, given, kinds) in foreign {
        if *given && !kinds.contains(&raw.kind) {
            problems.say(&at(key), "no such key for this kind of field", format!("{key} = …"));
        }
    }
    let mut need = |key: &'static str, what: &'static str| problems.say(&at(key), what, "none");
    let kind = match raw.kind {
        RawKind::Choice => {
            let options = raw.options.clone().or_else(|| (raw.id == "image_type").then(|| image_types.to_vec()));
            if options.is_none() {
                need("options", "a list of options");
            }
            FieldKind::Choice { options: options? }
        }
        RawKind::MultiChoice => {
            if raw.options.is_none() {
                need("options", "a list of options");
            }
            FieldKind::MultiChoice { options: raw.options.clone()?, none: raw.none.clone().unwrap_or_else(|| "none".to_owned()) }
        }
        RawKind::Integer => {
            FieldKind::Integer { min: raw.min.unwrap_or(0), max: raw.max.unwrap_or(i64::from(i32::MAX)), unit: raw.unit.clone() }
        }
        RawKind::Text => FieldKind::Text { max_chars: raw.max_chars.unwrap_or(200) },
        RawKind::Address => {
            if raw.rows.is_none() {
                need("rows", "a list of row names");
            }
            if raw.columns.is_none() {
                need("columns", "a list of column names");
            }
            FieldKind::Address { grid: Grid { rows: raw.rows.clone()?, columns: raw.columns.clone()? }, none: raw.none.clone() }
        }
        RawKind::Box => FieldKind::Box { none: raw.none.clone() },
    };
    let id = id?;
    Some(Field { title: raw.title.clone().unwrap_or_else(|| id.as_str().replace('_', " ")), id, kind, required: raw.required })
}

fn rule(raw: &RawRule, index: usize, fields: &[Field], problems: &mut Problems) -> Rule {
    let mut side = |name: &'static str, conditions: &BTreeMap<String, RawCondition>| {
        let mut read = Vec::new();
        for (id, condition) in conditions {
            let path = [Key("rules"), Index(index), Key(name), Key(id)];
            let Some(field) = fields.iter().find(|field| field.id.as_str() == id) else {
                let known: Vec<&str> = fields.iter().map(|field| field.id.as_str()).collect();
                problems.say(&path, format!("one of the fields {}", known.join(", ")), format!("{id:?}"));
                continue;
            };
            let (values, one_of) = match condition {
                RawCondition::Is(values) => (values.texts(), true),
                RawCondition::Not(not) => (not.not.texts(), false),
            };
            match values.iter().map(|text| field.parse(text)).collect::<Result<Vec<_>, ValueError>>() {
                Ok(values) => read.push(Condition { field: field.id.clone(), values, one_of }),
                Err(error) => problems.say(&path, error.expected, format!("{:?}", error.got)),
            }
        }
        read
    };
    Rule { when: side("when", &raw.when), then: side("then", &raw.then) }
}

fn template(text: &str, fields: &[Field], which: &'static str, problems: &mut Problems) -> Option<AnswerTemplate> {
    AnswerTemplate::new(text, fields)
        .map_err(|problem| {
            let got = format!("{:?} (line {} of the text)", problem.got, problem.line);
            problems.say(&[Key("answers"), Key(which)], problem.expected, got);
        })
        .ok()
}

fn instructions(raw: &RawProject, schema: &Schema, problems: &mut Problems) -> Instructions {
    let texts = raw.instructions.texts.iter().map(|text| InstructionText {
        version: text.version.clone(),
        language: text.language.clone(),
        image_type: text.image_type.clone(),
        query: text.query.trim_end_matches('\n').to_owned(),
        exemplar: text.exemplar.trim_end_matches('\n').to_owned(),
    });
    let instructions =
        Instructions { version: raw.instructions.version.clone(), language: raw.instructions.language.clone(), texts: texts.collect() };
    for (index, text) in instructions.texts.iter().enumerate() {
        let at = |key: &'static str| [Key("instructions"), Key("texts"), Index(index), Key(key)];
        if let Some(image_type) = text.image_type.as_ref().filter(|image_type| !schema.image_types().contains(image_type)) {
            problems.say(&at("image_type"), format!("one of {}", schema.image_types().join(", ")), format!("{image_type:?}"));
        }
        for (key, words) in [("query", &text.query), ("exemplar", &text.exemplar)] {
            // Readers of the training set would take such a word for an image.
            if words.contains("<image>")
                || words.chars().any(|c| c.is_control() && c != '\n')
                || (key == "query" && words.trim().is_empty())
            {
                problems.say(&at(key), "printable text without <image>", "other text");
            }
        }
        let twin = instructions.texts[..index]
            .iter()
            .any(|other| (&other.version, &other.language, &other.image_type) == (&text.version, &text.language, &text.image_type));
        if twin {
            problems.say(&at("version"), "each version, language and image type once", "a second text for them");
        }
    }
    for image_type in schema.image_types() {
        if instructions.for_type(image_type).is_none() {
            let got = format!("none for {image_type} in version {:?}, language {:?}", instructions.version, instructions.language);
            problems.say(&[Key("instructions"), Key("version")], "a text in [[instructions.texts]] for each image type", got);
        }
    }
    instructions
}

fn splits(raw: &RawProject, problems: &mut Problems) -> SplitPlan {
    let splits = &raw.splits;
    for (key, share) in [("validation", splits.validation), ("test", splits.test)] {
        if !(0.0..=1.0).contains(&share) || splits.validation + splits.test > 1.0 {
            problems.say(&[Key("splits"), Key(key)], "shares from 0 to 1, together at most 1", share);
        }
    }
    SplitPlan { seed: splits.seed, validation: splits.validation, test: splits.test, pinned: splits.pinned.clone() }
}

fn pool(raw: &RawProject, schema: &Schema, splits: &SplitPlan, problems: &mut Problems) -> Pool {
    let exemplar_fields = Recipe::exemplar_fields(schema);
    let grid_field = exemplar_fields.iter().find(|field| matches!(field.kind, FieldKind::Address { .. }));
    let mut images = Vec::new();
    for (purpose, listed) in [(Purpose::Reference, &raw.pools.reference), (Purpose::Exemplar, &raw.pools.exemplar)] {
        for (index, image) in listed.iter().enumerate() {
            let at = |key: &'static str| [Key("pools"), Key(purpose.name()), Index(index), Key(key)];
            images
                .extend(pool_image(image, purpose, schema, grid_field, splits, |key, expected, got| problems.say(&at(key), expected, got)));
        }
    }
    Pool { images }
}

fn pool_image(
    raw: &RawPoolImage,
    purpose: Purpose,
    schema: &Schema,
    grid_field: Option<&Field>,
    splits: &SplitPlan,
    mut say: impl FnMut(&'static str, String, String),
) -> Option<PoolImage> {
    if !schema.image_types().contains(&raw.image_type) {
        say("image_type", format!("one of {}", schema.image_types().join(", ")), format!("{:?}", raw.image_type));
    }
    let image = RelativePath::new(&raw.image).map_err(|error| say("image", error.expected.to_owned(), format!("{:?}", error.got))).ok();
    let sample = raw
        .sample
        .as_ref()
        .and_then(|id| SampleId::new(id).map_err(|error| say("sample", error.expected.to_owned(), format!("{:?}", error.got))).ok());
    let address = match (raw.address.as_deref(), grid_field) {
        (Some(text), Some(field)) => {
            if let Ok(Value::Address(address)) = field.parse(text) {
                address
            } else {
                say("address", field.expectation(), format!("{text:?}"));
                None
            }
        }
        (None, Some(_)) if purpose == Purpose::Exemplar => {
            say("address", "the address of the exemplar's star".to_owned(), "none".to_owned());
            None
        }
        (Some(text), None) => {
            say("address", "no address, since no field of the schema has a grid".to_owned(), format!("{text:?}"));
            None
        }
        (None, _) => None,
    };
    if let Some(group) = raw.group.as_ref().filter(|group| splits.split_of(group) != Split::Train) {
        say(
            "group",
            "a group of the train split: pool images are shown while training".to_owned(),
            format!("{group:?}, which is {}", splits.split_of(group).name()),
        );
    }
    Some(PoolImage { purpose, image_type: raw.image_type.clone(), image: image?, address, sample, group: raw.group.clone() })
}

fn plan(raw: &RawProject, problems: &mut Problems) -> SamplingPlan {
    match &raw.plan.one_shot {
        RawOneShot::First(count) => SamplingPlan::First(*count),
        RawOneShot::Fraction(share) => {
            if !(0.0..=1.0).contains(&share.fraction) {
                problems.say(&[Key("plan"), Key("one_shot")], "a fraction from 0 to 1", share.fraction);
            }
            SamplingPlan::Fraction(share.fraction)
        }
        RawOneShot::Word(RawPlanWord::All) => SamplingPlan::All(Kind::OneShot),
        RawOneShot::Word(RawPlanWord::None) => SamplingPlan::All(Kind::ZeroShot),
        RawOneShot::Word(RawPlanWord::Both) => SamplingPlan::Both,
    }
}

fn defaults(raw: &BTreeMap<String, RawScalar>, schema: &Schema, problems: &mut Problems) -> Label {
    let texts: Vec<(&str, String)> = raw.iter().map(|(id, value)| (id.as_str(), value.text())).collect();
    let (label, found) = Label::from_texts(schema, texts.iter().map(|(id, text)| (*id, text.as_str())));
    for problem in found {
        problems.say(&[Key("import"), Key("defaults"), Key(&problem.field)], problem.error.expected, format!("{:?}", problem.error.got));
    }
    label
}
