//! A project's checkpoints and adapters, and whether they fit the devices.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use super::machine::Device;
use super::{Section, bytes};
use crate::config::Project;
use crate::imaging;
use crate::model::ModelError;
use crate::model::adapter::{Adapter, Targets};
use crate::model::checkpoint::Checkpoint;
use crate::model::processor::Processor;
use crate::model::qwen_vl::{Config, Family};

/// The folder of a project's models.
const MODELS: &str = "models";
/// The most folders that are looked at.
const MOST: usize = 100;
/// Tokens of text that a conversation has, about: two instructions and an answer.
const TEXT_TOKENS: u64 = 400;

/// A conversation's images: width and height in pixels.
type Sizes = Vec<(u32, u32)>;

/// What lies in the project's folder of models. `images` are those of one conversation of the project.
pub(super) fn look(project: &Project, images: &[PathBuf], devices: &[Device]) -> Section {
    let mut section = Section::new("models");
    let dir = project.dir.join(MODELS);
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&dir)
        .map(|entries| entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).take(MOST).collect())
        .unwrap_or_default();
    folders.sort();
    let sizes: Sizes = images.iter().filter_map(|path| imaging::dimensions(path).ok()).collect();
    let (mut models, mut adapters) = (Map::new(), Map::new());
    for folder in &folders {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if folder.join("adapter_config.json").is_file() {
            adapters.insert(name.clone(), adapter(&mut section, &name, folder));
        } else if folder.join("config.json").is_file() {
            models.insert(name.clone(), checkpoint(&mut section, &name, folder, &sizes, devices));
        }
    }
    match &project.model {
        Some(name) if !models.contains_key(name) => section.wrong(
            format_args!("the project's model {name} has no checkpoint in {}", dir.display()),
            format_args!(
                "put one there, name another in mekiki.toml ([model] name), or try with 'mekiki model new {}'",
                dir.join(name).display()
            ),
        ),
        _ => {}
    }
    if let Some(alias) = &project.server {
        section.line("asked", format_args!("the server {alias} (see servers)"));
    }
    if models.is_empty() && project.server.is_none() && project.model.is_none() {
        section.line("none", format_args!("in {}; 'mekiki model new' makes one to try", dir.display()));
    }
    section.set("checkpoints", models);
    section.set("adapters", adapters);
    section
}

fn checkpoint(section: &mut Section, name: &str, dir: &Path, sizes: &Sizes, devices: &[Device]) -> Json {
    let read = || -> Result<(Checkpoint, Config, Processor), ModelError> {
        let checkpoint = Checkpoint::open(dir)?;
        let config = checkpoint.config()?;
        let processor = Processor::load(dir, &config)?;
        Ok((checkpoint, config, processor))
    };
    let (checkpoint, config, processor) = match read() {
        Ok(read) => read,
        Err(error) => {
            section.wrong(
                format_args!("the checkpoint {name}: {error}"),
                "copy it anew from where it was made; a download may have been cut short",
            );
            return json!({ "error": error.to_string() });
        }
    };
    let family = match config.family {
        Family::Qwen2 => "Qwen2-VL",
        Family::Qwen25 => "Qwen2.5-VL",
        Family::Qwen3 => "Qwen3-VL",
    };
    let (parameters, text, vision) = (checkpoint.parameters(), &config.text, &config.vision);
    let dtype = checkpoint.dtype().map_or("none", |dtype| dtype.as_str());
    section.line(
        name,
        format_args!(
            "{family}, {} parameters, {dtype}, {}; text {} × {} wide, vision {} × {} wide, {} tokens",
            count(parameters),
            bytes(checkpoint.bytes()),
            text.layers,
            text.hidden,
            vision.depth,
            vision.hidden,
            text.vocab
        ),
    );
    // What no sample tells is taken as three photos of 448 × 448 pixels.
    let usual = vec![(448, 448); 3];
    let sizes = if sizes.is_empty() { &usual } else { sizes };
    let image_tokens: u64 =
        sizes.iter().filter_map(|(width, height)| Some(processor.images.tokens(processor.images.grid(*width, *height).ok()?) as u64)).sum();
    let tokens = image_tokens + TEXT_TOKENS;
    let mut fits = Vec::new();
    for device in devices {
        // As `predict` does by itself: f32 and 8 samples on the processor, bf16 and 32 elsewhere.
        let (width, batch) = if device.cpu { (4, 8) } else { (2, 32) };
        let weights = parameters * width;
        let cache = batch * tokens * 2 * (text.layers * text.kv_heads * text.head_dim) as u64 * width;
        // Hidden states of the widest layer, and the logits of one step.
        let work = batch * (tokens * (text.hidden * 4 + text.intermediate * 2) as u64 * width + text.vocab as u64 * 4);
        let need = weights + cache + work;
        let room = device.free.map(|free| free >= need);
        let verdict = match room {
            Some(true) => "fits",
            Some(false) => "does not fit",
            None => "free memory not known",
        };
        section.line(
            "",
            format_args!(
                "{}: {verdict}: {} weights + {} for {batch} samples of {tokens} tokens{}",
                device.name,
                bytes(weights),
                bytes(cache + work),
                if device.usable { "" } else { " (not with this build)" }
            ),
        );
        if room == Some(false) && device.usable {
            let free = bytes(device.free.unwrap_or(0));
            let help = if device.free.is_some_and(|free| weights < free) {
                "predict with a smaller --batch, or free memory there"
            } else {
                "free memory there, take a smaller checkpoint, or a server ('mekiki predict --server')"
            };
            section.hint(format_args!("{name} needs {} on {}, which has {free} free", bytes(need), device.name), help);
        }
        fits.push(
            json!({ "device": device.name, "needs": need, "weights": weights, "batch": batch, "fits": room, "usable": device.usable }),
        );
    }
    json!({
        "family": family, "parameters": parameters, "dtype": dtype, "bytes": checkpoint.bytes(), "layers": text.layers, "hidden": text.hidden,
        "vision_layers": vision.depth, "vision_hidden": vision.hidden, "vocabulary": text.vocab, "tokens_per_sample": tokens, "devices": fits,
    })
}

fn adapter(section: &mut Section, name: &str, dir: &Path) -> Json {
    match Adapter::load(dir) {
        Ok(adapter) => {
            let config = adapter.config();
            let kind = match (config.use_dora, config.use_rslora) {
                (true, _) => "DoRA",
                (false, true) => "rsLoRA",
                (false, false) => "LoRA",
            };
            let targets = match &config.target_modules {
                Targets::Names(names) => names.join(", "),
                Targets::Pattern(pattern) => pattern.clone(),
            };
            let base = config.base_model.as_deref().unwrap_or("not said");
            section.line(
                name,
                format_args!("adapter: {kind} of rank {}, {} layers ({targets}), base {base}", config.r, adapter.layers().len()),
            );
            json!({ "kind": kind, "rank": config.r, "alpha": config.alpha, "layers": adapter.layers().len(), "base": config.base_model })
        }
        Err(error) => {
            section.wrong(format_args!("the adapter {name}: {error}"), "save it anew with PEFT, or take it out of the folder");
            json!({ "error": error.to_string() })
        }
    }
}

/// A number of parameters for people.
fn count(parameters: u64) -> String {
    match parameters {
        0..=999_999 => parameters.to_string(),
        1_000_000..=999_999_999 => format!("{:.1} million", parameters as f64 / 1e6),
        _ => format!("{:.2} billion", parameters as f64 / 1e9),
    }
}
