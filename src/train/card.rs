//! The model card that is written with every model and adapter, as the Hugging Face hub reads it.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::lora::base_name;
use super::{EvaluationReport, Plan, Summary};
use crate::domain::ContentHash;
use crate::model::checkpoint::read_text;

/// What was learnt from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataSet {
    /// In words.
    pub says: String,
    /// Of approved samples: the BLAKE3 hash of the list of their ids, image hashes and answers, in import order.
    pub hash: Option<ContentHash>,
}

/// Everything that a card says.
#[derive(Debug, Clone)]
pub struct Card<'a> {
    /// The model's name.
    pub name: &'a str,
    /// The folder of the checkpoint that was trained or adapted; none where it was a new one.
    pub base: Option<&'a Path>,
    /// The base's `model_type`.
    pub family: &'a str,
    /// What was learnt from.
    pub data: &'a DataSet,
    /// How.
    pub plan: &'a Plan,
    /// How it went.
    pub summary: &'a Summary,
    /// The evaluation of the weights that are kept, where there was one.
    pub evaluation: Option<&'a EvaluationReport>,
    /// Values that were trained.
    pub trained: u64,
    /// A licence's identifier on the hub; the base's, when not given.
    pub license: Option<&'a str>,
    /// Who writes, for example `mekiki 0.1.0`.
    pub tool: &'a str,
}

impl Card<'_> {
    /// The card's text: YAML for the hub, then what a person wants to know.
    pub fn text(&self) -> String {
        let mut card = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut card);
        card
    }

    fn write(&self, card: &mut String) -> std::fmt::Result {
        let (plan, summary) = (self.plan, self.summary);
        let library = if plan.lora.is_some() { "peft" } else { "transformers" };
        let base = self.base.map(base_name);
        let stated = self.base.map(stated).unwrap_or_default();
        let hub = base.clone().filter(|name| on_hub(name)).or(stated.base);
        let license = self.license.map(str::to_owned).or(stated.license);
        writeln!(card, "---\nlibrary_name: {library}\npipeline_tag: image-text-to-text")?;
        if let Some(hub) = &hub {
            // A JSON string is a YAML string.
            writeln!(card, "base_model: {}", Value::from(hub.as_str()))?;
        }
        if let Some(license) = &license {
            writeln!(card, "license: {}", Value::from(license.as_str()))?;
        }
        writeln!(card, "tags:")?;
        let method = if plan.lora.is_some() { "lora" } else { "full-training" };
        for tag in [library, "mekiki", "visual-inspection", self.family, method] {
            writeln!(card, "- {tag}")?;
        }
        writeln!(card, "---\n\n# {}\n", cell(self.name))?;
        writeln!(card, "A vision-language model for visual inspection, trained by {}.\n\n| | |\n|---|---|", self.tool)?;
        match &base {
            Some(base) => writeln!(card, "| base | {} |", cell(base))?,
            None => writeln!(card, "| base | none: trained from new weights |")?,
        }
        match &plan.lora {
            Some(lora) => {
                let alpha =
                    if lora.rslora { format!("{} / √{}", lora.alpha, lora.rank) } else { format!("{} / {}", lora.alpha, lora.rank) };
                let layers = if lora.targets.is_empty() { "all linear layers".to_owned() } else { lora.targets.join(", ") };
                let tower = if lora.vision { ", the vision tower's too" } else { "" };
                writeln!(card, "| method | LoRA, rank {}, scale {alpha}, dropout {}, {}{tower} |", lora.rank, lora.dropout, cell(&layers))?;
                if !lora.whole.is_empty() {
                    writeln!(card, "| trained whole | {} |", cell(&lora.whole.join(", ")))?;
                }
            }
            None => writeln!(card, "| method | all weights |")?,
        }
        writeln!(card, "| trained values | {} |", self.trained)?;
        writeln!(card, "| data | {} |", cell(&self.data.says))?;
        if let Some(hash) = &self.data.hash {
            writeln!(card, "| data hash (BLAKE3) | `{hash}` |")?;
        }
        writeln!(card, "| steps | {} of {} conversations; the weights are those of step {} |", summary.steps, plan.batch, summary.kept)?;
        writeln!(card, "| conversations seen | {} |", summary.samples)?;
        writeln!(card, "| time | {:.0} s |", summary.seconds)?;
        if let Some(bytes) = summary.peak_memory {
            writeln!(card, "| memory | {:.2} GB at most |", bytes as f64 / 1e9)?;
        }
        match &license {
            Some(license) => writeln!(card, "| licence | {} |\n", cell(license))?,
            None => writeln!(
                card,
                "| licence | not stated: add `license:` above before publishing; that of the base holds for what is made of it |\n"
            )?,
        }
        self.results(card)?;
        writeln!(card, "## Plan\n\n```json\n{:#}\n```\n", json!(plan))?;
        writeln!(card, "## Use\n")?;
        let model = hub.as_deref().or(base.as_deref()).unwrap_or("BASE");
        if plan.lora.is_some() {
            writeln!(
                card,
                "```python\nfrom peft import PeftModel\nfrom transformers import AutoModelForImageTextToText\nmodel = AutoModelForImageTextToText.from_pretrained({})\nmodel = PeftModel.from_pretrained(model, \"DIR\")\n```\n\n`mekiki predict --model BASE --adapter DIR`",
                Value::from(model)
            )
        } else {
            writeln!(
                card,
                "```python\nfrom transformers import AutoModelForImageTextToText, AutoProcessor\nmodel = AutoModelForImageTextToText.from_pretrained(\"DIR\")\nprocessor = AutoProcessor.from_pretrained(\"DIR\")\n```\n\n`mekiki predict --model DIR`"
            )
        }
    }

    fn results(&self, card: &mut String) -> std::fmt::Result {
        writeln!(card, "## Results\n")?;
        let Some(found) = self.evaluation else {
            return writeln!(card, "Nothing was held out, so nothing was measured while training: `mekiki eval` measures it.\n");
        };
        writeln!(card, "Held-out conversations of which the model, told the answer so far, says every token right:\n")?;
        writeln!(card, "| conversation | whole answers right |\n|---|---:|")?;
        for (kind, share) in [("zero-shot", found.zero_shot), ("one-shot", found.one_shot)] {
            if let Some(share) = share {
                writeln!(card, "| {kind} | {:.1} % |", 100.0 * share)?;
            }
        }
        writeln!(card, "\nCross-entropy of the answers' tokens: {:.4}. `mekiki eval` measures every field.\n", found.loss)
    }
}

/// What a base's own card states.
#[derive(Debug, Default)]
struct Stated {
    base: Option<String>,
    license: Option<String>,
}

fn stated(base: &Path) -> Stated {
    let text = read_text(&base.join("README.md")).unwrap_or_default();
    let mut stated = Stated::default();
    let front = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---")).map_or("", |(front, _)| front);
    for line in front.lines() {
        let plain = |value: &str| Some(value.trim().trim_matches(['"', '\'']).to_owned()).filter(|value| !value.is_empty());
        match line.split_once(':') {
            Some(("license", value)) => stated.license = plain(value).filter(|value| value.len() <= 100),
            Some(("base_model", value)) => stated.base = plain(value).filter(|value| on_hub(value)),
            _ => {}
        }
    }
    stated
}

/// Whether a name can be one of the hub's: an owner and a model.
fn on_hub(name: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.len() <= 96 && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    name.split_once('/').is_some_and(|(owner, model)| part(owner) && part(model) && !owner.starts_with('.'))
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::LoraPlan;

    #[test]
    fn a_card_says_what_the_hub_and_a_person_want_to_know() {
        let base = tempfile::tempdir().unwrap();
        let snapshot = base.path().join("models--Qwen--Qwen3-VL-2B-Instruct/snapshots/abc");
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::write(snapshot.join("README.md"), "---\nlicense: apache-2.0\n---\n# Qwen").unwrap();
        let plan = Plan { lora: Some(LoraPlan { whole: vec!["merger".to_owned()], ..LoraPlan::default() }), ..Plan::lora() };
        let summary = Summary {
            steps: 40,
            samples: 640,
            seconds: 12.0,
            finished: true,
            kept: 30,
            best: Some(0.9),
            peak_memory: Some(5_000_000_000),
            peak_tensors: None,
        };
        let evaluation = EvaluationReport { step: 30, zero_shot: Some(0.9), one_shot: Some(0.875), loss: 0.1, best: true };
        let data = DataSet { says: "40 approved | samples".to_owned(), hash: Some(ContentHash::from_bytes([1; 32])) };
        let card = Card {
            name: "pins",
            base: Some(&snapshot),
            family: "qwen3_vl",
            data: &data,
            plan: &plan,
            summary: &summary,
            evaluation: Some(&evaluation),
            trained: 1234,
            license: None,
            tool: "mekiki 0.1.0",
        };
        let text = card.text();
        let front = text.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap().0;
        assert!(front.contains("library_name: peft\n") && front.contains("base_model: \"Qwen/Qwen3-VL-2B-Instruct\"\n"), "{front}");
        assert!(front.contains("license: \"apache-2.0\"\n") && front.contains("\n- lora"), "{front}");
        assert!(text.contains("| zero-shot | 90.0 % |") && text.contains("| one-shot | 87.5 % |"));
        assert!(text.contains("40 approved \\| samples") && text.contains(&"01".repeat(32)) && text.contains("\"rank\": 16"));
        // A new model has no base, and no licence that nobody stated.
        let scratch = Plan::scratch();
        let text = Card { base: None, plan: &scratch, evaluation: None, ..card }.text();
        assert!(text.contains("library_name: transformers") && !text.contains("base_model:") && !text.contains("\nlicense:"), "{text}");
        assert!(text.contains("not stated"));
    }

    #[test]
    fn names_of_the_hub_are_owner_and_model() {
        assert!(on_hub("Qwen/Qwen3-VL-2B-Instruct"));
        for name in ["/work/models/qwen", "models/pins/tiny", "pins", "./pins", "a b/c", "../x"] {
            assert!(!on_hub(name), "{name}");
        }
    }
}
