//! Answers: rendered to the exact text of the design, read back unchanged, read with patience.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use mekiki::config::{self, Language, Project, Template};
use mekiki::conversation::AnswerProblem;
use mekiki::domain::{BoundingBox, Field, FieldKind, Label, Value};
use proptest::prelude::*;

fn project(text: &str) -> Project {
    config::parse(text, Path::new("mekiki.toml"), Path::new("/p")).unwrap_or_else(|error| panic!("{error}"))
}

fn pins() -> Project {
    project(&Template::Pins.text("pins", Language::En))
}

/// Every kind of field, with texts that tempt a reader to go wrong.
const EVERY_KIND: &str = r#"
[project]
name = "every"
image_types = ["A: B", "C->D"]
[[fields]]
id = "image_type"
kind = "choice"
[[fields]]
id = "marks"
kind = "multi-choice"
options = ["first one", "second->one", "傷"]
none = "no mark"
[[fields]]
id = "count"
kind = "integer"
min = -50
max = 5000
unit = "個"
[[fields]]
id = "note"
kind = "text"
max_chars = 60
required = false
[[fields]]
id = "place"
kind = "address"
rows = ["上", "a"]
columns = ["1", "11", "x"]
none = "nowhere"
[[fields]]
id = "area"
kind = "box"
none = "-no box-"
[answers]
query = """
Result:
* type of image: {image_type}
- marks->{marks}
- count = {count} 個
- note->{note} (end)
- 位置：{place}
- area {area}
"""
[instructions]
version = "1"
language = "en"
[[instructions.texts]]
version = "1"
language = "en"
query = "?"
"#;

fn any_value(field: &Field) -> BoxedStrategy<Value> {
    match &field.kind {
        FieldKind::Choice { .. } | FieldKind::Address { .. } => proptest::sample::select(field.values().unwrap()).boxed(),
        FieldKind::MultiChoice { options, .. } => {
            let most = options.len();
            proptest::sample::subsequence(options.clone(), 0..=most).prop_map(|chosen| Value::Choices(chosen.into_iter().collect())).boxed()
        }
        FieldKind::Integer { min, max, .. } => (*min..=*max).prop_map(Value::Integer).boxed(),
        FieldKind::Text { .. } => {
            let field = field.clone();
            "(\\PC|[-> :.()]){0,40}".prop_filter_map("not this field's", move |text| field.parse(&text).ok()).boxed()
        }
        FieldKind::Box { .. } => {
            let steps = (0_u16..1024, 0_u16..1024, 0_u16..1024, 0_u16..1024);
            proptest::option::of(steps.prop_map(|(a, b, c, d)| BoundingBox::new(a.min(c), b.min(d), a.max(c), b.max(d)).unwrap()))
                .prop_map(Value::Box)
                .boxed()
        }
    }
}

fn any_label(project: &Project) -> BoxedStrategy<Label> {
    let fields: Vec<Field> = project.schema().fields().to_vec();
    let values: Vec<_> = fields
        .iter()
        .map(|field| {
            let value = any_value(field);
            if field.required { value.prop_map(Some).boxed() } else { proptest::option::of(value).boxed() }
        })
        .collect();
    values.prop_map(move |values| Label::from_values(fields.iter().zip(values).filter_map(|(field, value)| Some((field, value?))))).boxed()
}

fn round_trips(project: &Project, label: &Label) {
    let text = project.recipe.answer.render(label).unwrap();
    let parsed = project.recipe.answer.parse(&text);
    assert_eq!((&parsed.label, parsed.problems.as_slice()), (label, [].as_slice()), "{text}");
}

proptest! {
    #[test]
    fn every_valid_label_of_every_template_reads_back(label in any_label(&pins())) {
        round_trips(&pins(), &label);
    }

    #[test]
    fn boxes_read_back(label in any_label(&project(&Template::Pcb.text("pcb", Language::Ja)))) {
        round_trips(&project(&Template::Pcb.text("pcb", Language::Ja)), &label);
    }

    #[test]
    fn every_kind_of_field_reads_back(label in any_label(&project(EVERY_KIND))) {
        round_trips(&project(EVERY_KIND), &label);
    }

    #[test]
    fn no_answer_panics(text in "(\\PC|[\n>:{}-]|image type|<loc0001>){0,80}") {
        let every = project(EVERY_KIND);
        let parsed = every.recipe.answer.parse(&text);
        // What was read is allowed by the schema.
        for (id, value) in &parsed.label {
            prop_assert!(every.schema().field(id).unwrap().allows(value));
        }
    }
}

#[test]
fn a_blank_project_reads_back() {
    let blank = project(&Template::Blank.text("b", Language::En));
    for value in blank.schema().fields()[0].values().unwrap() {
        round_trips(&blank, &Label::from_values([(&blank.schema().fields()[0], value)]));
    }
}

fn label(project: &Project, texts: &[(&str, &str)]) -> Label {
    let (label, problems) = Label::from_texts(project.schema(), texts.iter().copied());
    assert_eq!(problems, []);
    label
}

#[test]
fn the_answer_of_the_design_to_the_letter() {
    let pins = pins();
    let defective = label(
        &pins,
        &[("image_type", "CYLN_DST"), ("quantity", "27"), ("judgement", "defective"), ("defect_mode", "scratch"), ("position", "U3")],
    );
    assert_eq!(
        pins.recipe.answer.render(&defective).unwrap(),
        "- image type->CYLN_DST\n- quantity of pins->27 pcs\n- your judgement->defective\n- defect mode->scratch\n- defect position->U3"
    );
}

#[test]
fn small_deviations_are_understood() {
    let pins = pins();
    let wanted = label(
        &pins,
        &[("image_type", "CYLN_RAW"), ("quantity", "27"), ("judgement", "passed"), ("defect_mode", "passed"), ("position", "none")],
    );
    for text in [
        "image type: cyln_raw\nQuantity of pins -> 27pcs\nyour judgement：Passed.\ndefect  mode=passed\n• Defect Position → None\n",
        "\n  - image type->CYLN_RAW\r\n - quantity of pins->27 pins\r\n - your judgement-> passed\r\n- defect mode->passed \r\n- defect position->none\r\n",
    ] {
        let parsed = pins.recipe.answer.parse(text);
        assert_eq!((&parsed.label, parsed.problems.as_slice()), (&wanted, [].as_slice()), "{text}");
    }
}

#[test]
fn every_problem_is_reported_by_field() {
    let pins = pins();
    let parsed = pins.recipe.answer.parse(
        "Sure!\n- image type->CYLN_DST\n- image type->CYLN_RAW\n- defect mode->scrtch\n- defect position->X3\n- your judgement->passed",
    );
    let told: Vec<String> = parsed.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "a line that speaks of no field: \"Sure!\"",
            "image_type: said more than once",
            "defect_mode: expected one of passed, scratch, dent, bent, missing, stain, chip, burr, discolouration, crack, got \"scrtch\"",
            "position: expected an address of a row U, C, D and a column 1, 2, 3, 4, 5, 6, 7, 8, 9, or none, got \"X3\"",
            "quantity: no line speaks of it",
        ]
    );
    assert!(matches!(&parsed.problems[4], AnswerProblem::Missing(field) if field.as_str() == "quantity"));
    assert_eq!(parsed.label.iter().count(), 2);
}
