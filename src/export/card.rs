//! The data card: what is in the set, and how to read it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::manifest::plan;
use super::messages::dataset_name;
use super::tally::Tally;
use super::{Format, Request};
use crate::domain::{Kind, Split};

/// The card's name in the set.
pub(super) const FILE: &str = "README.md";

/// Values of a field that the card lists.
const MOST_VALUES: usize = 60;

/// The card's text.
pub(super) fn text(request: &Request<'_>, tally: &Tally<'_>) -> String {
    let mut card = String::new();
    // Writing to a string does not fail.
    let _ = write_card(&mut card, request, tally);
    card
}

fn write_card(card: &mut String, request: &Request<'_>, tally: &Tally<'_>) -> std::fmt::Result {
    let schema = &request.recipe.schema;
    // A JSON string is a YAML string.
    writeln!(card, "---\npretty_name: {}\n---\n", serde_json::Value::from(request.project))?;
    writeln!(card, "# Training set: {}\n", cell(request.project))?;
    writeln!(
        card,
        "Written by {} from samples that reviewers approved. Every file is listed with its BLAKE3 hash in `manifest.json`; who approved what, when, on what grounds, is in `provenance/`.\n",
        request.tool
    )?;
    writeln!(card, "| | |\n|---|---|")?;
    writeln!(card, "| format | {} |", request.format.name())?;
    writeln!(card, "| conversations | {} |", tally.conversations())?;
    writeln!(card, "| plan | {} |", plan(request.format.plan(request.plan)))?;
    writeln!(card, "| instructions | {} |", cell(&request.recipe.instructions.identity()))?;
    writeln!(card, "| seed | {} |\n", request.recipe.seed)?;

    writeln!(card, "## Splits and kinds\n")?;
    writeln!(card, "A group (board, lot) is in one split only.\n")?;
    writeln!(card, "| split | conversations | one-shot | zero-shot | groups |\n|---|---:|---:|---:|---:|")?;
    for (split, count) in tally.splits() {
        let (one, zero, groups) = (tally.of(split, Kind::OneShot), tally.of(split, Kind::ZeroShot), tally.groups(split));
        writeln!(card, "| {} | {count} | {one} | {zero} | {groups} |", split.name())?;
    }

    writeln!(card, "\n## Fields\n")?;
    writeln!(card, "| field | title | kind | takes |\n|---|---|---|---|")?;
    for field in schema.fields() {
        writeln!(card, "| `{}` | {} | {} | {} |", field.id, cell(&field.title), field.kind.name(), cell(&field.expectation()))?;
    }

    writeln!(card, "\n## Balance\n")?;
    writeln!(card, "Conversations by value; in brackets, the share of the split.")?;
    balance(card, "image type", tally.image_types(), &tally.splits())?;
    for field in schema.fields().iter().filter(|field| Some(&field.id) != schema.image_type_field()) {
        if let Some(values) = tally.values(&field.id) {
            balance(card, field.id.as_str(), values, &tally.splits())?;
        }
    }
    for warning in tally.warnings(request.splits) {
        writeln!(card, "\n> {}", cell(&warning))?;
    }
    writeln!(card, "\n## Reading it\n")?;
    let (name, project) = (dataset_name(request.project), cell(request.project));
    match request.format {
        Format::Messages => write!(card, "{}", MESSAGES.replace("NAME", &name))?,
        Format::Parquet => write!(card, "{}", PARQUET.replace("NAME", &name))?,
        Format::PaliGemma => write!(card, "{PALIGEMMA}")?,
        Format::Csv => writeln!(
            card,
            "`labels.csv` is UTF-8, one line per approved sample of {project}. A cell that a spreadsheet would execute begins with an apostrophe."
        )?,
    }
    if matches!(request.format, Format::Messages | Format::Parquet) {
        write!(card, "{TRAINERS}")?;
    }
    Ok(())
}

fn balance(
    card: &mut String,
    title: &str,
    values: &BTreeMap<String, BTreeMap<Split, u64>>,
    totals: &BTreeMap<Split, u64>,
) -> std::fmt::Result {
    writeln!(card, "\n| {} | train | validation | test |\n|---|---:|---:|---:|", cell(title))?;
    for (value, splits) in values.iter().take(MOST_VALUES) {
        write!(card, "| {} |", cell(value))?;
        for split in Split::ALL {
            let (count, total) = (splits.get(&split).copied().unwrap_or_default(), totals.get(&split).copied().unwrap_or_default());
            let share = if total > 0 { format!(" ({:.1} %)", 100.0 * count as f64 / total as f64) } else { String::new() };
            write!(card, " {count}{share} |")?;
        }
        writeln!(card)?;
    }
    match values.len().saturating_sub(MOST_VALUES) {
        0 => Ok(()),
        more => writeln!(card, "\nand {more} more values"),
    }
}

/// Text from data in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

const MESSAGES: &str = r#"`metadata.jsonl` carries every conversation in two views, `messages` and `conversations`; images are in `images/` and, where several
conversations share them, in `pool/`. The folder can be moved and packed. Each row names its `split`: choose it before training.

```python
from datasets import load_dataset
rows = load_dataset("imagefolder", data_dir="DIR", split="train")   # "train" is what datasets calls the whole folder
train = rows.filter(lambda split: split == "train", input_columns="split")
```

- LLaMA-Factory: `dataset_dir: DIR`, `media_dir: DIR`, `dataset: NAME` is everything; where there are several splits, `NAME_train`, `NAME_validation` and `NAME_test` are one each.
- ms-swift: `ROOT_IMAGE_DIR=DIR`, `--dataset DIR/metadata.jsonl --columns '{"file_names":"images"}'`, or `DIR/variants/sharegpt-trainset.jsonl`.
- axolotl: run in DIR, `path: variants/axolotl-trainset.jsonl` (`variants/axolotl.jsonl` is everything). It uses only the first image of an image column, so that its variant names the images in the turns.
"#;

const PARQUET: &str = r#"`data/` holds one row per conversation with its images, by split. The folder can be moved and packed.

```python
from datasets import load_dataset
splits = load_dataset("parquet", data_dir="DIR/data")
train = splits["train"]
```

- LLaMA-Factory: `dataset_dir: DIR`, `dataset: NAME` is everything; where there are several splits, `NAME_train`, `NAME_validation` and `NAME_test` are one each.
- axolotl does not read images from Parquet: export the format `messages` for it.
"#;

const PALIGEMMA: &str = "One JSONL per split: `image`, `prefix` (what is asked) and `suffix` (what should be answered). Boxes are `<locY1><locX1><locY2><locX2>` in 1/1024 of the image's sides, before the name of what they show.\n";

const TRAINERS: &str = r#"- TRL: `assistant_only_loss=True, max_length=None` in `SFTConfig`.
- Unsloth: `train_on_responses_only=True, instruction_part="<|im_start|>user\n", response_part="<|im_start|>assistant\n"`, and `resize="max"`: by default images wider than 512 pixels shrink, and fine defects vanish.
- LLaMA-Factory: its `cutoff_len` of 2048 is too short for three images; bad rows are skipped with no more than a warning.
- Rows are in import order, one-shot conversations often first: shuffle, and keep `kind` to measure each.
"#;
