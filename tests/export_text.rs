//! The text of conversations, character by character, as the original recipe makes it; and what picks depend on.

#![allow(missing_docs, clippy::unwrap_used)]

mod export_support;

use std::collections::BTreeMap;

use export_support::{Lab, MODES, TYPES, rows};
use mekiki::conversation::SamplingPlan;
use proptest::prelude::*;
use serde_json::Value as Json;

/// A row of the recipe's table: the sample, the kind it becomes when the first five imported are one-shot, its answer.
const ANSWERS: [(u64, &str, &str); 6] = [
    (
        0,
        "one-shot",
        "- image type->CYLN_DST\n- quantity of pins->27 pcs\n- your judgement->passed\n- defect mode->passed\n- defect position->none",
    ),
    (
        1,
        "one-shot",
        "- image type->CYLN_RAW\n- quantity of pins->27 pcs\n- your judgement->defective\n- defect mode->scratch\n- defect position->U3",
    ),
    (
        4,
        "one-shot",
        "- image type->CYLN_DST\n- quantity of pins->27 pcs\n- your judgement->defective\n- defect mode->scratch\n- defect position->U3",
    ),
    (
        5,
        "zero-shot",
        "- image type->CYLN_RAW\n- quantity of pins->27 pcs\n- your judgement->defective\n- defect mode->dent\n- defect position->U3",
    ),
    (
        8,
        "zero-shot",
        "- image type->CYLN_DST\n- quantity of pins->27 pcs\n- your judgement->defective\n- defect mode->dent\n- defect position->U3",
    ),
    (
        9,
        "zero-shot",
        "- image type->CYLN_RAW\n- quantity of pins->27 pcs\n- your judgement->passed\n- defect mode->passed\n- defect position->none",
    ),
];

/// The original recipe: star instruction and exemplar, its answer, instruction with reference and query, the answer.
fn recipe(kind: &str, star: &str, star_answer: &str, instruction: &str, answer: &str) -> Json {
    let text = |text: &str| serde_json::json!({ "type": "text", "text": text });
    let image = serde_json::json!({ "type": "image" });
    let mut turns = Vec::new();
    if kind == "one-shot" {
        turns.push(serde_json::json!({ "role": "user", "content": [text(star), image] }));
        turns.push(serde_json::json!({ "role": "assistant", "content": [text(star_answer)] }));
    }
    turns.push(serde_json::json!({ "role": "user", "content": [text(instruction), image, image] }));
    turns.push(serde_json::json!({ "role": "assistant", "content": [text(answer)] }));
    Json::Array(turns)
}

#[test]
fn text_is_what_the_recipe_makes() {
    let lab = Lab::new(10);
    lab.export(&lab.samples(ANSWERS.map(|(ordinal, ..)| ordinal)), SamplingPlan::First(5)).unwrap();
    let written = rows(&lab.out().join("metadata.jsonl"));
    let provenance = rows(&lab.out().join("provenance/provenance.jsonl"));
    assert_eq!(written.len(), ANSWERS.len());
    for ((row, origin), (ordinal, kind, answer)) in written.iter().zip(&provenance).zip(ANSWERS) {
        let image_type = TYPES[ordinal as usize % 2];
        let words = lab.project.recipe.instructions.for_type(image_type).unwrap();
        let star = origin["images"][0]["address"].as_str().unwrap_or_default();
        let star_answer = format!("- image type->{image_type}\n- quantity of pins->27 pins\n- position of star->{star}");
        assert_eq!(["U1", "C2", "D3"].contains(&star), kind == "one-shot");
        assert_eq!(row["kind"], kind, "sample {ordinal}: the first five imported count, approved or not");
        assert_eq!(row["messages"], recipe(kind, &words.exemplar, &star_answer, &words.query, answer), "sample {ordinal}");

        let mut said = vec![format!("{}\n<image>\n<image>", words.query), answer.to_owned()];
        if kind == "one-shot" {
            said.splice(0..0, [format!("{}\n<image>", words.exemplar), star_answer]);
        }
        let conversations: Vec<&str> =
            row["conversations"].as_array().unwrap().iter().map(|turn| turn["value"].as_str().unwrap()).collect();
        assert_eq!(conversations, said, "sample {ordinal}");
        let roles: Vec<&str> = origin["images"].as_array().unwrap().iter().map(|image| image["role"].as_str().unwrap()).collect();
        assert_eq!(roles, if kind == "one-shot" { vec!["exemplar", "reference", "query"] } else { vec!["reference", "query"] });
        for image in origin["images"].as_array().unwrap().iter().filter(|image| image["role"] != "query") {
            assert!(image["source"].as_str().unwrap().contains(image_type), "pools of the query's type");
        }
    }
}

/// Each conversation's line and provenance, by its id.
fn by_id(lab: &Lab, ordinals: &[u64]) -> BTreeMap<String, (Json, Json)> {
    let _ = std::fs::remove_dir_all(lab.out());
    if ordinals.is_empty() {
        return BTreeMap::new();
    }
    let samples: Vec<_> = ordinals.iter().map(|n| lab.sample(*n, Some(MODES[*n as usize % 3]))).collect();
    lab.export(&samples, SamplingPlan::First(7)).unwrap();
    let lines = rows(&lab.out().join("metadata.jsonl")).into_iter().zip(rows(&lab.out().join("provenance/provenance.jsonl")));
    lines.map(|(row, origin)| (row["id"].as_str().unwrap().to_owned(), (row, origin))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn other_samples_change_no_conversation(some in prop::collection::btree_set(0_u64..16, 0..16), others in prop::collection::btree_set(0_u64..16, 0..16)) {
        let lab = Lab::new(16);
        let one = by_id(&lab, &some.iter().copied().collect::<Vec<_>>());
        let two = by_id(&lab, &others.iter().copied().collect::<Vec<_>>());
        for (id, said) in &one {
            if let Some(again) = two.get(id) {
                prop_assert_eq!(said, again);
            }
        }
        prop_assert_eq!(one.keys().filter(|id| two.contains_key(*id)).count(), some.intersection(&others).count());
    }
}
