//! The pin boards' fields, for tests.

use crate::conversation::AnswerTemplate;
use crate::domain::{Condition, Field, FieldId, FieldKind, Grid, Rule, Schema, Value};

/// A required field.
pub(super) fn field(id: &str, kind: FieldKind) -> Field {
    Field { id: FieldId::new(id).unwrap(), title: id.to_owned(), kind, required: true }
}

/// A choice of these options.
pub(super) fn choice(id: &str, options: &[&str]) -> Field {
    field(id, FieldKind::Choice { options: options.iter().map(ToString::to_string).collect() })
}

/// That a field is, or is not, this choice.
pub(super) fn is(field: &str, value: &str, one_of: bool) -> Condition {
    Condition { field: FieldId::new(field).unwrap(), values: vec![Value::Choice(value.to_owned())], one_of }
}

/// Five fields with their rules, and the text of an answer.
pub(super) fn pins() -> (Schema, AnswerTemplate) {
    let grid = Grid { rows: ["U", "C", "D"].map(String::from).to_vec(), columns: (1..=9).map(|n| n.to_string()).collect() };
    let fields = vec![
        choice("image_type", &["CYLN_DST", "CYLN_RAW"]),
        field("quantity", FieldKind::Integer { min: 0, max: 99, unit: Some("pcs".to_owned()) }),
        choice("judgement", &["passed", "defective"]),
        choice("defect_mode", &["passed", "scratch", "dent"]),
        field("position", FieldKind::Address { grid, none: Some("none".to_owned()) }),
    ];
    let nowhere = |one_of| Condition { field: FieldId::new("position").unwrap(), values: vec![Value::Address(None)], one_of };
    let rule = |judgement, good| Rule {
        when: vec![is("judgement", judgement, true)],
        then: vec![is("defect_mode", "passed", good), nowhere(good)],
    };
    let text = "- image type->{image_type}\n- quantity of pins->{quantity} pcs\n- your judgement->{judgement}\n- defect mode->{defect_mode}\n- defect position->{position}";
    let template = AnswerTemplate::new(text, &fields).unwrap();
    let rules = vec![rule("passed", true), rule("defective", false)];
    (Schema::new(fields, rules, ["CYLN_DST", "CYLN_RAW"].map(String::from).to_vec(), None).unwrap(), template)
}
