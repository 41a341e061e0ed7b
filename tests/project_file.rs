//! Errors of a project file point into it: line, key, expected, got.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use mekiki::config::{self, Language, Template};
use proptest::prelude::*;

fn errors(text: &str) -> Vec<String> {
    match config::parse(text, Path::new("mekiki.toml"), Path::new("/p")) {
        Ok(_) => Vec::new(),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

/// The pins template with one text in it replaced.
fn pins_with(from: &str, to: &str) -> String {
    let text = Template::Pins.text("pins", Language::En);
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

#[test]
fn each_mistake_is_named_where_it_is() {
    let line_of = |text: &str, needle: &str| text.lines().position(|line| line.contains(needle)).unwrap() + 1;
    let cases: &[(&str, &str, &str, &str)] = &[
        ("kind = \"address\"", "kind = \"adress\"", "fields[4].kind", "unknown variant `adress`"),
        ("name = \"pins\"", "nmae = \"pins\"", "project.nmae", "unknown field `nmae`"),
        ("seed = 1\n\n# Shares", "seed = \"x\"\n\n# Shares", "plan.seed", "expected u64"),
        ("{quantity} pcs", "{quantty} pcs", "answers.query", "expected one of {image_type}, {quantity}"),
        ("- defect mode->{defect_mode}\n", "", "answers.query", "expected a line with {defect_mode}"),
        ("then = { defect_mode = \"passed\",", "then = { defect_mode = \"pased\",", "rules[0].then.defect_mode", "got \"pased\""),
        (
            "when = { judgement = \"defective\" }",
            "when = { verdict = \"defective\" }",
            "rules[1].when.verdict",
            "expected one of the fields",
        ),
        ("options = [\"passed\", \"defective\"]", "options = [\"passed\", \"Passed\"]", "fields[2].options", "got \"Passed\""),
        ("columns = [\"1\", \"2\"", "columns = [\"1\", \"1\"", "fields[4].columns", "expected 1 to 200 different"),
        ("none = \"none\"", "none = \"U3\"", "fields[4].none", "stands for no other value"),
        ("version = \"1\"", "version = \"7\"", "instructions.version", "got none for CYLN_DST in version \"7\""),
        ("validation = 0.1", "validation = 1.5", "splits.validation", "expected shares from 0 to 1"),
        (
            "defaults = { quantity = 27 }",
            "defaults = { quantity = 270 }",
            "import.defaults.quantity",
            "expected a whole number from 0 to 27",
        ),
        (
            "image_type_field = \"image_type\"",
            "image_type_field = \"judgement\"",
            "project.image_type_field",
            "options are the image types",
        ),
        ("id = \"judgement\"", "id = \"confidence\"", "fields[2].id", "expected an id that is not a filter word"),
        ("unit = \"pcs\"", "unit = \"pcs\"\nrows = [\"a\"]", "fields[1].rows", "expected no such key for this kind of field"),
        ("one_shot = 500", "one_shot = \"some\"", "plan.one_shot", "a number of samples"),
    ];
    for (from, to, key, message) in cases {
        let text = pins_with(from, to);
        let found = errors(&text);
        assert!(!found.is_empty(), "{to} was accepted");
        assert!(found.iter().any(|error| error.contains(&format!(": {key}: ")) && error.contains(message)), "{to}:\n{}", found.join("\n"));
        if !to.is_empty() && !key.starts_with("answers") {
            let line = line_of(&text, to.lines().rfind(|line| !line.is_empty() && !line.starts_with('#')).unwrap());
            assert!(
                found.iter().any(|error| error.starts_with(&format!("mekiki.toml:{line}: "))),
                "{to} stands on line {line}:\n{}",
                found.join("\n")
            );
        }
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = pins_with("{quantity} pcs", "{quantty} pcs")
        .replace("validation = 0.1", "validation = 2")
        .replace("one_shot = 500", "one_shot = { fraction = 3.0 }");
    assert_eq!(errors(&text).len(), 4, "{:#?}", errors(&text));
}

#[test]
fn pool_images_stay_in_the_project_and_out_of_the_test_split() {
    let pool = |row: &str| {
        format!(
            "{}\n[[pools.exemplar]]\n{row}\n",
            Template::Pins.text("p", Language::En).replace("test = 0.1", "test = 0.1\npinned = { \"lot 9\" = \"test\" }")
        )
    };
    assert_eq!(errors(&pool("image_type = \"CYLN_RAW\"\nimage = \"pools/a.png\"\naddress = \"u3\"")), Vec::<String>::new());
    for (row, message) in [
        ("image_type = \"CYLN_RAW\"\nimage = \"../a.png\"\naddress = \"U3\"", "without '..'"),
        ("image_type = \"CYLN_RAW\"\nimage = \"/a.png\"\naddress = \"U3\"", "expected a relative path"),
        ("image_type = \"CYLN_RAW\"\nimage = \"a.png\"", "expected the address of the exemplar's star, got none"),
        ("image_type = \"CYLN_RAW\"\nimage = \"a.png\"\naddress = \"U10\"", "got \"U10\""),
        ("image_type = \"CYLN\"\nimage = \"a.png\"\naddress = \"U1\"", "expected one of CYLN_DST, CYLN_RAW"),
        ("image_type = \"CYLN_RAW\"\nimage = \"a.png\"\naddress = \"U1\"\ngroup = \"lot 9\"", "which is test"),
    ] {
        let found = errors(&pool(row));
        assert!(found.len() == 1 && found[0].contains(message), "{row}: {found:?}");
    }
}

#[test]
fn control_characters_do_not_come_through() {
    let found = errors("[project]\nname = \"\\u001b[2J\"\n").join("\n");
    assert!(!found.is_empty() && !found.contains('\u{1b}'), "{found:?}");
    let found = errors(&pins_with("name = \"pins\"", "\"\\u001b[2Jx\" = 1")).join("\n");
    assert!(!found.is_empty() && !found.contains('\u{1b}'), "{found:?}");
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = errors(&text);
    }

    #[test]
    fn no_cut_template_panics(which in 0..3_usize, from in 0..7000_usize, len in 0..400_usize) {
        let mut text: Vec<char> = Template::ALL[which].text("x", Language::Ja).chars().collect();
        let from = from.min(text.len());
        text.drain(from..(from + len).min(text.len()));
        let _ = errors(&text.into_iter().collect::<String>());
    }
}
