//! `adapter_config.json`.

use regex::Regex;
use serde_json::{Map, Value, json};

use super::AdapterError;

/// The modules that were chosen for training. Only carried along: which are adapted is told by the tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// Ends of module names.
    Names(Vec<String>),
    /// A regular expression in Python's words, or `all-linear`.
    Pattern(String),
}

/// What of an adapter's settings decides its arithmetic, or is passed on.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterConfig {
    /// The rank where no pattern says otherwise.
    pub r: usize,
    /// What changes are scaled with: by `alpha / r`.
    pub alpha: f64,
    /// Scale by `alpha / √r` in place of `alpha / r`.
    pub use_rslora: bool,
    /// Rows are brought to trained magnitudes.
    pub use_dora: bool,
    /// Ranks by regular expressions for the ends of module names; the first that fits counts.
    pub rank_pattern: Vec<(String, usize)>,
    /// The same for alpha.
    pub alpha_pattern: Vec<(String, f64)>,
    /// The modules that were chosen.
    pub target_modules: Targets,
    /// Modules that are saved whole.
    pub modules_to_save: Vec<String>,
    /// The share of inputs that was dropped while training.
    pub dropout: f64,
    /// The checkpoint that the adapter was trained on.
    pub base_model: Option<String>,
}

/// A larger rank is none, and a larger pattern list would only take time.
const MOST_RANK: usize = 65_536;
const MOST_PATTERNS: usize = 10_000;

impl AdapterConfig {
    /// Plain LoRA of a rank.
    pub fn lora(r: usize, alpha: f64, target_modules: Vec<String>) -> Self {
        Self {
            r,
            alpha,
            use_rslora: false,
            use_dora: false,
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            target_modules: Targets::Names(target_modules),
            modules_to_save: Vec::new(),
            dropout: 0.0,
            base_model: None,
        }
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, AdapterError> {
        let root: Value = serde_json::from_slice(bytes).map_err(|error| wrong("the file", "JSON", &error.to_string()))?;
        let Value::Object(map) = root else { return Err(wrong("the file", "an object", &root.to_string())) };
        refuse_unsupported(&map)?;
        let get = |key: &str| map.get(key).filter(|value| !value.is_null());
        let flag = |key: &str| match get(key) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| wrong(key, "true or false", &value.to_string())),
        };
        let number = |key: &str| get(key).map(|value| finite(key, value)).transpose();
        let names = |key: &str| match get(key) {
            None => Ok(Vec::new()),
            Some(value) => strings(value).ok_or_else(|| wrong(key, "a list of names", &value.to_string())),
        };
        let pairs = |key: &str| match get(key) {
            None => Ok(Vec::new()),
            Some(Value::Object(map)) if map.len() <= MOST_PATTERNS => Ok(map.iter().map(|(k, v)| (k.clone(), v.clone())).collect()),
            Some(value) => Err(wrong(key, "an object of patterns and numbers", &value.to_string())),
        };
        let r = get("r").ok_or_else(|| wrong("r", "a rank", "none"))?;
        let target_modules = match get("target_modules") {
            Some(Value::String(pattern)) => Targets::Pattern(pattern.clone()),
            _ => Targets::Names(names("target_modules")?),
        };
        Ok(Self {
            r: rank("r", r)?,
            alpha: number("lora_alpha")?.ok_or_else(|| wrong("lora_alpha", "a number", "none"))?,
            use_rslora: flag("use_rslora")?,
            use_dora: flag("use_dora")?,
            rank_pattern: pairs("rank_pattern")?
                .into_iter()
                .map(|(pattern, value): (String, Value)| Ok((pattern, rank("rank_pattern", &value)?)))
                .collect::<Result<_, AdapterError>>()?,
            alpha_pattern: pairs("alpha_pattern")?
                .into_iter()
                .map(|(pattern, value): (String, Value)| Ok((pattern, finite("alpha_pattern", &value)?)))
                .collect::<Result<_, AdapterError>>()?,
            target_modules,
            modules_to_save: names("modules_to_save")?,
            dropout: get("lora_dropout").and_then(Value::as_f64).unwrap_or(0.0),
            base_model: get("base_model_name_or_path").and_then(Value::as_str).map(str::to_owned),
        })
    }

    pub(super) fn scales(&self) -> Result<Scales, AdapterError> {
        let ranks = self.rank_pattern.iter().map(|(pattern, rank)| Ok((compile("rank_pattern", pattern)?, *rank)));
        let alphas = self.alpha_pattern.iter().map(|(pattern, alpha)| Ok((compile("alpha_pattern", pattern)?, *alpha)));
        Ok(Scales {
            ranks: ranks.collect::<Result<_, AdapterError>>()?,
            alphas: alphas.collect::<Result<_, AdapterError>>()?,
            rank: self.r,
            alpha: self.alpha,
        })
    }

    /// The file's text.
    pub(super) fn to_json(&self) -> String {
        let targets = match &self.target_modules {
            Targets::Names(names) => json!(names),
            Targets::Pattern(pattern) => json!(pattern),
        };
        let ranks: Map<String, Value> = self.rank_pattern.iter().map(|(pattern, rank)| (pattern.clone(), json!(rank))).collect();
        let alphas: Map<String, Value> = self.alpha_pattern.iter().map(|(pattern, alpha)| (pattern.clone(), whole(*alpha))).collect();
        let saved = if self.modules_to_save.is_empty() { Value::Null } else { json!(self.modules_to_save) };
        let root = json!({
            "alpha_pattern": alphas,
            "auto_mapping": null,
            "base_model_name_or_path": self.base_model,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "layer_replication": null,
            "layers_pattern": null,
            "layers_to_transform": null,
            "lora_alpha": whole(self.alpha),
            "lora_bias": false,
            "lora_dropout": self.dropout,
            "modules_to_save": saved,
            "peft_type": "LORA",
            "r": self.r,
            "rank_pattern": ranks,
            "revision": null,
            "target_modules": targets,
            "task_type": "CAUSAL_LM",
            "use_dora": self.use_dora,
            "use_rslora": self.use_rslora,
        });
        format!("{root:#}\n")
    }
}

/// Ranks and alphas by module.
pub(super) struct Scales {
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f64)>,
    rank: usize,
    alpha: f64,
}

impl Scales {
    pub(super) fn rank(&self, module: &str) -> usize {
        self.ranks.iter().find(|(pattern, _)| pattern.is_match(module)).map_or(self.rank, |(_, rank)| *rank)
    }

    pub(super) fn alpha(&self, module: &str) -> f64 {
        self.alphas.iter().find(|(pattern, _)| pattern.is_match(module)).map_or(self.alpha, |(_, alpha)| *alpha)
    }
}

/// As peft matches: the whole name, or what follows one of its dots.
fn compile(key: &str, pattern: &str) -> Result<Regex, AdapterError> {
    Regex::new(&format!(r"^(?:.*\.)?(?:{pattern})$"))
        .map_err(|_| AdapterError::Unsupported(format!("the regular expression {pattern:?} in {key}")))
}

/// Settings that change the arithmetic in ways that are not known here.
fn refuse_unsupported(map: &Map<String, Value>) -> Result<(), AdapterError> {
    let refuse = |what: String| Err(AdapterError::Unsupported(what));
    match map.get("peft_type").and_then(Value::as_str) {
        Some("LORA") => {}
        Some(other) => return refuse(format!("the adapter type {other}")),
        None => return Err(wrong("peft_type", "\"LORA\"", "none")),
    }
    let set = |key: &&&str| {
        map.get(**key).is_some_and(|value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => !map.is_empty(),
            _ => true,
        })
    };
    // Neither `velora_config` nor `eva_config` is among these: they leave the trained weights' meaning as it is.
    let unknown = [
        "alora_invocation_tokens",
        "arrow_config",
        "fan_in_fan_out",
        "kasa_config",
        "layer_replication",
        "lora_bias",
        "megatron_config",
        "monteclora_config",
        "target_parameters",
        "trainable_token_indices",
        "use_bdlora",
        "use_qalora",
    ];
    if let Some(key) = unknown.iter().find(set) {
        return refuse(format!("{key} in adapter_config.json"));
    }
    // These begin by changing the base's weights: the adapter fits that changed base only.
    let changed = ["pissa", "olora", "corda", "loftq", "lora_ga"];
    match map.get("init_lora_weights").and_then(Value::as_str) {
        Some(init) if changed.iter().any(|known| init.to_lowercase().starts_with(known)) => refuse(format!("init_lora_weights {init:?}")),
        _ => Ok(()),
    }
}

fn rank(key: &str, value: &Value) -> Result<usize, AdapterError> {
    let rank = value.as_u64().and_then(|rank| usize::try_from(rank).ok()).filter(|rank| (1..=MOST_RANK).contains(rank));
    rank.ok_or_else(|| wrong(key, "a rank from 1 to 65536", &value.to_string()))
}

fn finite(key: &str, value: &Value) -> Result<f64, AdapterError> {
    value.as_f64().filter(|number| number.is_finite()).ok_or_else(|| wrong(key, "a finite number", &value.to_string()))
}

fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

/// peft writes whole alphas without a point.
fn whole(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 { json!(number as i64) } else { json!(number) }
}

fn wrong(key: &str, expected: &str, got: &str) -> AdapterError {
    let got = got.chars().take(80).collect();
    AdapterError::Config { key: key.to_owned(), expected: expected.to_owned(), got }
}
