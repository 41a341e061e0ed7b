//! Which layers get factors, and how peft is told.

use std::collections::BTreeSet;

use crate::model::adapter::{Targets, peft_module};
use crate::model::qwen_vl::Config;
use crate::train::{LoraPlan, TrainError};

/// What a plan chooses of a network.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::train) struct Choice {
    /// Weights that get factors.
    pub(in crate::train) adapted: BTreeSet<String>,
    /// Parameters that are trained whole.
    pub(in crate::train) whole: BTreeSet<String>,
    /// The same as `adapted`, in peft's words.
    pub(in crate::train) targets: Targets,
}

/// The largest rank: beyond it, whole weights are smaller.
const MOST_RANK: usize = 4096;

impl Choice {
    /// `all`: the network's parameters with their shapes.
    pub(in crate::train) fn new(config: &Config, all: &[(String, Vec<usize>)], plan: &LoraPlan) -> Result<Self, TrainError> {
        let wrong = |reason: String| Err(TrainError::Lora(reason));
        if !(1..=MOST_RANK).contains(&plan.rank) {
            return wrong(format!("expected a rank from 1 to {MOST_RANK}, got {}", plan.rank));
        }
        if !(plan.alpha.is_finite() && plan.alpha > 0.0) {
            return wrong(format!("expected an alpha above 0, got {}", plan.alpha));
        }
        if !(0.0..1.0).contains(&plan.dropout) {
            return wrong(format!("expected a dropout of at least 0 and below 1, got {}", plan.dropout));
        }
        let whole = whole(config, all, plan)?;
        let layers: Vec<&str> =
            all.iter().filter(|(name, shape)| shape.len() == 2 && is_layer(name)).map(|(name, _)| name.as_str()).collect();
        let reached = |weight: &&str| (plan.vision || !is_tower(weight)) && !whole.contains(*weight);
        let layers: Vec<&str> = layers.into_iter().filter(reached).collect();
        let names = if plan.targets.is_empty() {
            layers.iter().map(|weight| short(weight)).collect::<BTreeSet<String>>()
        } else {
            plan.targets.iter().cloned().collect()
        };
        for name in &names {
            if !layers.iter().any(|weight| ends(&peft_module(weight), name)) {
                let there: BTreeSet<String> = layers.iter().map(|weight| short(weight)).collect();
                let there: Vec<String> = there.into_iter().collect();
                let hint = if plan.vision { "" } else { "; with vision also the tower's" };
                return wrong(format!("expected targets among {}{hint}, got {name:?}", there.join(", ")));
            }
        }
        let chosen = |weight: &&&str| names.iter().any(|name| ends(&peft_module(weight), name));
        let adapted: BTreeSet<String> = layers.iter().filter(chosen).map(|weight| (*weight).to_owned()).collect();
        let targets = targets(all, &adapted, &names);
        Ok(Self { adapted, whole, targets })
    }
}

/// Parameters of the modules that are trained whole.
fn whole(config: &Config, all: &[(String, Vec<usize>)], plan: &LoraPlan) -> Result<BTreeSet<String>, TrainError> {
    let mut chosen = BTreeSet::new();
    for module in &plan.whole {
        if config.tied && ["embed_tokens", "lm_head"].iter().any(|name| ends(module, name)) {
            let reason = format!(
                "{module} cannot be trained whole: this checkpoint has one table for embedding and head, and peft would part them when it loads the adapter"
            );
            return Err(TrainError::Lora(reason));
        }
        let within = |name: &str| name.match_indices('.').any(|(at, _)| ends(&name[..at], module));
        let found: Vec<&String> = all.iter().map(|(name, _)| name).filter(|name| within(name)).collect();
        if found.is_empty() {
            let reason = format!("expected modules to train whole such as lm_head, embed_tokens, merger or norm, got {module:?}");
            return Err(TrainError::Lora(reason));
        }
        chosen.extend(found.into_iter().cloned());
    }
    Ok(chosen)
}

/// Names where they say exactly which layers are meant, else a regular expression that does.
fn targets(all: &[(String, Vec<usize>)], adapted: &BTreeSet<String>, names: &BTreeSet<String>) -> Targets {
    // peft looks at every linear, convolution and embedding module.
    let modules = all.iter().filter(|(name, shape)| shape.len() >= 2 && name.ends_with(".weight")).map(|(name, _)| name);
    let exact = modules.into_iter().all(|weight| adapted.contains(weight) == names.iter().any(|name| ends(&peft_module(weight), name)));
    if exact {
        return Targets::Names(names.iter().cloned().collect());
    }
    let part = |beginning: &str, tower: bool| {
        let here = |name: &&String| adapted.iter().any(|weight| is_tower(weight) == tower && ends(&peft_module(weight), name));
        let names: Vec<String> = names.iter().filter(here).map(|name| regex::escape(name)).collect();
        (!names.is_empty()).then(|| format!(r"{beginning}\..*\.(?:{})", names.join("|")))
    };
    let parts = [part(r"model\.language_model\.layers", false), part(r"model\.visual\.(?:blocks|merger|deepstack_merger_list)", true)];
    Targets::Pattern(parts.into_iter().flatten().collect::<Vec<_>>().join("|"))
}

/// Whether a parameter belongs to the layers of the text model or of the tower, and not to embedding or head.
fn is_layer(name: &str) -> bool {
    let places = ["model.language_model.layers.", "model.visual.blocks.", "model.visual.merger.", "model.visual.deepstack_merger_list."];
    name.ends_with(".weight") && places.iter().any(|place| name.starts_with(place))
}

fn is_tower(name: &str) -> bool {
    name.starts_with("model.visual.")
}

/// The end of a layer's name that no layer of another kind shares: `q_proj`, `attn.proj`, `mlp.0`.
pub(super) fn short(weight: &str) -> String {
    let module = peft_module(weight);
    let (above, last) = module.rsplit_once('.').unwrap_or(("", &module));
    // The tower's patch embedding ends in `proj` too.
    if last == "proj" || last.bytes().all(|byte| byte.is_ascii_digit()) {
        let above = above.rsplit('.').next().unwrap_or(above);
        return format!("{above}.{last}");
    }
    last.to_owned()
}

/// As peft compares: the whole name, or what follows one of its dots.
fn ends(module: &str, name: &str) -> bool {
    module == name || module.strip_suffix(name).is_some_and(|above| above.ends_with('.'))
}
