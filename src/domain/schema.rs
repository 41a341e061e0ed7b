//! The fields of a project's answers and the rules between them.

use std::collections::BTreeSet;
use std::fmt;

use super::{Condition, Field, FieldId, FieldKind, Label, Rule, fold_text};

/// Fields in the order of the answer, the rules between them, and the image types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    fields: Vec<Field>,
    rules: Vec<Rule>,
    image_types: Vec<String>,
    image_type_field: Option<FieldId>,
}

/// Which part of a schema a problem lies in, so that a reader of project files can name the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemPlace {
    /// The n-th field, and the key in it.
    Field(usize, &'static str),
    /// The n-th rule, and the key in it.
    Rule(usize, &'static str),
    /// The list of fields.
    Fields,
    /// The list of image types.
    ImageTypes,
    /// The name of the field that states the image type.
    ImageTypeField,
}

/// Why a schema cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaProblem {
    /// Where.
    pub place: ProblemPlace,
    /// What was expected there.
    pub expected: String,
    /// What was found.
    pub got: String,
}

impl fmt::Display for SchemaProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, got {}", self.expected, self.got)
    }
}

/// The most fields, options, rows or columns.
const MOST: usize = 200;

impl Schema {
    /// Checks fields, rules and image types against each other; all problems are reported at once.
    ///
    /// `image_type_field` names the choice field that states a sample's image type, where the answer has one.
    pub fn new(
        fields: Vec<Field>,
        rules: Vec<Rule>,
        image_types: Vec<String>,
        image_type_field: Option<FieldId>,
    ) -> Result<Self, Vec<SchemaProblem>> {
        let schema = Self { fields, rules, image_types, image_type_field };
        let problems = schema.problems();
        if problems.is_empty() { Ok(schema) } else { Err(problems) }
    }

    /// The fields, in the order of the answer.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The rules between fields.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The image types; at least one.
    pub fn image_types(&self) -> &[String] {
        &self.image_types
    }

    /// The field that states the image type, where the answer has one.
    pub fn image_type_field(&self) -> Option<&FieldId> {
        self.image_type_field.as_ref()
    }

    /// The field with this id.
    pub fn field(&self, id: &FieldId) -> Option<&Field> {
        self.field_named(id.as_str())
    }

    /// The field whose id is written so.
    pub fn field_named(&self, id: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.id.as_str() == id)
    }

    /// The image type that is written so, with small differences allowed.
    pub fn image_type_named(&self, text: &str) -> Option<&str> {
        let folded = fold_text(text);
        self.image_types.iter().find(|known| *known == text || fold_text(known) == folded).map(String::as_str)
    }

    /// The required fields that have no value.
    pub fn missing<'a>(&'a self, label: &'a Label) -> impl Iterator<Item = &'a Field> + 'a {
        self.fields.iter().filter(|field| field.required && label.get(&field.id).is_none())
    }

    /// The rules' conditions that the label breaks.
    pub fn broken<'a>(&'a self, label: &'a Label) -> impl Iterator<Item = (&'a Rule, &'a Condition)> + 'a {
        self.rules.iter().flat_map(|rule| rule.broken(label).map(move |condition| (rule, condition)))
    }

    /// A condition in words: `position = none`, `defect_mode is none of passed`.
    pub fn describe(&self, condition: &Condition) -> String {
        let values: Vec<String> = self
            .field(&condition.field)
            .map(|field| condition.values.iter().map(|value| field.render(value)).collect())
            .unwrap_or_default();
        match (condition.one_of, values.as_slice()) {
            (true, [one]) => format!("{} = {one}", condition.field),
            (true, many) => format!("{} is one of {}", condition.field, many.join(", ")),
            (false, [one]) => format!("{} is not {one}", condition.field),
            (false, many) => format!("{} is none of {}", condition.field, many.join(", ")),
        }
    }

    fn problems(&self) -> Vec<SchemaProblem> {
        let mut problems = Vec::new();
        let mut say = |place, expected: &str, got: String| problems.push(SchemaProblem { place, expected: expected.to_owned(), got });
        if self.fields.is_empty() || self.fields.len() > MOST {
            say(ProblemPlace::Fields, "1 to 200 fields", self.fields.len().to_string());
        }
        if let Some(got) = bad_names(&self.image_types) {
            say(ProblemPlace::ImageTypes, "1 to 200 different, printable image types", got);
        }
        let mut seen = BTreeSet::new();
        for (index, field) in self.fields.iter().enumerate() {
            if !seen.insert(&field.id) {
                say(ProblemPlace::Field(index, "id"), "an id that no other field has", format!("{:?}", field.id.as_str()));
            }
            if super::FilterWord::is_reserved(field.id.as_str()) {
                say(ProblemPlace::Field(index, "id"), "an id that is not a filter word", format!("{:?}", field.id.as_str()));
            }
            if field.title.trim().is_empty() || field.title.chars().any(char::is_control) {
                say(ProblemPlace::Field(index, "title"), "a printable title", format!("{:?}", field.title));
            }
            field_problems(field, |key, expected, got| say(ProblemPlace::Field(index, key), expected, got));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            for (key, conditions) in [("when", &rule.when), ("then", &rule.then)] {
                if conditions.is_empty() {
                    say(ProblemPlace::Rule(index, key), "at least one condition", "none".to_owned());
                }
                for condition in conditions {
                    match self.field(&condition.field) {
                        None => say(ProblemPlace::Rule(index, key), "a field of the schema", format!("{:?}", condition.field.as_str())),
                        Some(field) if condition.values.iter().any(|value| !field.allows(value)) => {
                            say(ProblemPlace::Rule(index, key), &field.expectation(), "another value".to_owned());
                        }
                        Some(_) => {}
                    }
                }
            }
        }
        if let Some(id) = &self.image_type_field {
            let options = self.field(id).and_then(|field| match &field.kind {
                FieldKind::Choice { options } => Some(options),
                _ => None,
            });
            if options != Some(&self.image_types) {
                say(ProblemPlace::ImageTypeField, "a choice field whose options are the image types", format!("{:?}", id.as_str()));
            }
        }
        problems
    }
}

fn field_problems(field: &Field, mut say: impl FnMut(&'static str, &str, String)) {
    let mut none_clash = |none: &Option<String>, taken: &dyn Fn(&str) -> bool| {
        if let Some(none) = none
            && (none.trim() != none || none.is_empty() || none.chars().any(char::is_control) || fold_text(none).is_empty() || taken(none))
        {
            say("none", "a printable word that stands for no other value", format!("{none:?}"));
        }
    };
    match &field.kind {
        FieldKind::Choice { options } => {
            if let Some(got) = bad_names(options) {
                say("options", "1 to 200 different, printable options", got);
            }
        }
        FieldKind::MultiChoice { options, none } => {
            none_clash(&Some(none.clone()), &|none| options.iter().any(|option| fold_text(option) == fold_text(none)));
            if let Some(got) = bad_names(options) {
                say("options", "1 to 200 different, printable options", got);
            }
            if let Some(option) = options.iter().find(|option| option.contains([',', '、'])) {
                say("options", "options without commas, which stand between them", format!("{option:?}"));
            }
        }
        FieldKind::Integer { min, max, unit } => {
            if min > max {
                say("max", "at least min", format!("{max} < {min}"));
            }
            if let Some(unit) = unit
                && (unit.trim().is_empty() || unit.chars().any(|c| c.is_control() || c.is_ascii_digit() || c == '-'))
            {
                say("unit", "a printable word without digits", format!("{unit:?}"));
            }
        }
        FieldKind::Text { max_chars } => {
            if !(1..=10_000).contains(max_chars) {
                say("max_chars", "1 to 10000", max_chars.to_string());
            }
        }
        FieldKind::Address { grid, none } => {
            none_clash(none, &|none| grid.parse(none).is_some() || grid.parse(&fold_text(none)).is_some());
            for (key, names) in [("rows", &grid.rows), ("columns", &grid.columns)] {
                if let Some(got) = bad_names(names) {
                    say(key, "1 to 200 different, printable names", got);
                } else if let Some(name) = names.iter().find(|name| name.contains(char::is_whitespace)) {
                    say(key, "names without spaces", format!("{name:?}"));
                }
            }
            if let Some(address) = grid.addresses().find(|address| grid.parse(&grid.render(*address)) != Some(*address)) {
                say(
                    "columns",
                    "rows and columns whose addresses differ, without regard to case",
                    format!("{} twice", grid.render(address)),
                );
            }
        }
        FieldKind::Box { none } => none_clash(none, &|none| none.contains("<loc")),
    }
}

/// What is wrong with a list of names that must be 1 to 200, printable, and different after folding.
fn bad_names(names: &[String]) -> Option<String> {
    if names.is_empty() || names.len() > MOST {
        return Some(names.len().to_string());
    }
    let mut seen = BTreeSet::new();
    names
        .iter()
        .find(|name| {
            let folded = fold_text(name);
            folded.is_empty() || name.trim() != name.as_str() || name.chars().any(char::is_control) || !seen.insert(folded)
        })
        .map(|name| format!("{name:?}"))
}
