//! LoRA: trained factors beside a checkpoint's frozen weights.

mod choice;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};

use super::{LoraPlan, TrainError, Trainable};
use crate::domain::{spread, stable_hash};
use crate::model::ModelError;
use crate::model::adapter::{self, Adapter, AdapterConfig, Targets, peft_module};
use crate::model::checkpoint::{Checkpoint, Source};
use crate::model::qwen_vl::{Config, Dropout, LowRank, Mode, Model, parameters};
pub(super) use choice::Choice;

/// One layer's factors: where they stand among the variables, and what is in front of them.
#[derive(Debug, Clone, Copy)]
struct Factors {
    a: usize,
    b: usize,
    scale: f64,
}

/// Low-rank factors, and modules that are trained whole, over a frozen checkpoint.
///
/// Variables are named and ordered as peft names the tensors that are saved of them, without the beginning that all share:
/// `model.language_model.layers.0.mlp.down_proj.lora_A.weight` `[rank, inputs]`, `….lora_B.weight` `[outputs, rank]`.
#[derive(Debug)]
pub struct Lora {
    shape: Config,
    settings: AdapterConfig,
    seed: u64,
    /// What is not trained, on the device, in the type that is computed in.
    frozen: HashMap<String, Tensor>,
    /// By weight.
    factors: BTreeMap<String, Factors>,
    /// By parameter: the place of a variable that stands in for it.
    whole: BTreeMap<String, usize>,
    variables: Vec<(String, Var)>,
    device: Device,
    dtype: DType,
}

impl Lora {
    /// New factors over a checkpoint's folder: A drawn as peft draws it (Kaiming-uniform), by `seed`; B zero, so that nothing
    /// changes yet.
    pub fn new(base: &Path, plan: &LoraPlan, seed: u64, device: &Device, dtype: DType) -> Result<Self, TrainError> {
        let checkpoint = Checkpoint::open(base)?;
        let shape = checkpoint.config()?;
        let all = parameters(&shape)?;
        let choice = Choice::new(&shape, &all, plan)?;
        let mut settings = AdapterConfig::lora(plan.rank, plan.alpha, Vec::new());
        settings.target_modules = choice.targets.clone();
        settings.use_rslora = plan.rslora;
        settings.modules_to_save.clone_from(&plan.whole);
        settings.dropout = plan.dropout;
        settings.base_model = Some(base_name(base));
        let scale = if plan.rslora { plan.alpha / (plan.rank as f64).sqrt() } else { plan.alpha / plan.rank as f64 };
        let mut layers = BTreeMap::new();
        for (name, sides) in all.iter().filter(|(name, _)| choice.adapted.contains(name)) {
            let (outputs, inputs) = (sides[0], sides[1]);
            let reach = 1.0 / (inputs as f64).sqrt();
            let drawn = spread(stable_hash(seed, &["lora", &peft_module(name)])).take(plan.rank * inputs);
            let values: Vec<f32> = drawn.map(|share| ((2.0 * share - 1.0) * reach) as f32).collect();
            let a = Tensor::from_vec(values, (plan.rank, inputs), &Device::Cpu)?;
            let b = Tensor::zeros((outputs, plan.rank), DType::F32, &Device::Cpu)?;
            layers.insert(name.clone(), LowRank { a, b, scale, dropout: None });
        }
        let mut saved = BTreeMap::new();
        for (name, sides) in all.iter().filter(|(name, _)| choice.whole.contains(name)) {
            saved.insert(name.clone(), checkpoint.tensor(name, sides)?);
        }
        Self::assemble(&checkpoint, shape, settings, (layers, saved), seed, (device, dtype))
    }

    /// Goes on from an adapter's folder: its layers, ranks, scales and whole modules are those that are trained.
    pub fn resume(base: &Path, from: &Path, seed: u64, device: &Device, dtype: DType) -> Result<Self, TrainError> {
        let checkpoint = Checkpoint::open(base)?;
        let shape = checkpoint.config()?;
        let adapter = Adapter::load(from)?;
        if adapter.config().use_dora {
            return Err(TrainError::Lora(format!("{}: expected plain LoRA or rsLoRA to go on from, got DoRA", from.display())));
        }
        let (mut layers, mut saved) = (BTreeMap::new(), BTreeMap::new());
        for (name, sides) in parameters(&shape)? {
            if let Some(adapter::LowRank { a, b, scale, .. }) = adapter.layer(&name) {
                if sides.len() != 2 || a.dims() != [a.dim(0)?, sides[1]] || b.dims() != [sides[0], a.dim(0)?] {
                    let (a, b) = (a.dims(), b.dims());
                    return Err(TrainError::Lora(format!(
                        "{}: expected factors of {name} {sides:?}, got {a:?} and {b:?}; was the adapter trained on this checkpoint?",
                        from.display()
                    )));
                }
                layers.insert(name, LowRank { a: a.clone(), b: b.clone(), scale: *scale, dropout: None });
            } else if let Some(whole) = adapter.whole(&name) {
                if whole.dims() != sides {
                    let got = whole.dims();
                    return Err(TrainError::Lora(format!("{}: expected {name} of shape {sides:?}, got {got:?}", from.display())));
                }
                saved.insert(name, whole.clone());
            }
        }
        adapter.finish()?;
        let mut settings = adapter.config().clone();
        settings.base_model = Some(base_name(base));
        Self::assemble(&checkpoint, shape, settings, (layers, saved), seed, (device, dtype))
    }

    /// What an adapter's folder says of how it was trained, in a plan's words; its layers are told by its tensors.
    pub fn plan_of(from: &Path) -> Result<LoraPlan, TrainError> {
        let adapter = Adapter::load(from)?;
        let AdapterConfig { r, alpha, use_rslora, dropout, ref modules_to_save, .. } = *adapter.config();
        Ok(LoraPlan {
            rank: r,
            alpha,
            rslora: use_rslora,
            dropout,
            // A pattern cannot be read everywhere; tensors can.
            targets: adapter.layers().keys().map(|module| choice::short(module)).collect::<BTreeSet<_>>().into_iter().collect(),
            vision: adapter.layers().keys().any(|module| module.starts_with("model.visual.")),
            whole: modules_to_save.clone(),
        })
    }

    fn assemble(
        checkpoint: &Checkpoint,
        shape: Config,
        settings: AdapterConfig,
        (layers, saved): (BTreeMap<String, LowRank>, BTreeMap<String, Tensor>),
        seed: u64,
        (device, dtype): (&Device, DType),
    ) -> Result<Self, TrainError> {
        let variable = |tensor: &Tensor| Var::from_tensor(&tensor.to_device(device)?.to_dtype(DType::F32)?);
        let mut variables = Vec::new();
        let mut scales = BTreeMap::new();
        for (weight, LowRank { a, b, scale, .. }) in &layers {
            variables.push((part(weight, "lora_A"), variable(a)?));
            variables.push((part(weight, "lora_B"), variable(b)?));
            scales.insert(weight, *scale);
        }
        for (name, tensor) in &saved {
            variables.push((saved_name(name), variable(tensor)?));
        }
        variables.sort_by(|(one, _), (other, _)| one.cmp(other));
        let places: HashMap<&str, usize> = variables.iter().enumerate().map(|(place, (name, _))| (name.as_str(), place)).collect();
        let factors = scales.into_iter().map(|(weight, scale)| {
            let (a, b) = (places[part(weight, "lora_A").as_str()], places[part(weight, "lora_B").as_str()]);
            (weight.clone(), Factors { a, b, scale })
        });
        let factors = factors.collect();
        let whole: BTreeMap<String, usize> = saved.keys().map(|name| (name.clone(), places[saved_name(name).as_str()])).collect();
        let mut frozen = HashMap::new();
        for (name, sides) in parameters(&shape)?.into_iter().filter(|(name, _)| !whole.contains_key(name)) {
            // The type first where it shrinks what travels to the device.
            let tensor = checkpoint.tensor(&name, &sides)?.to_dtype(dtype)?.to_device(device)?;
            frozen.insert(name, tensor);
        }
        Ok(Self { shape, settings, seed, frozen, factors, whole, variables, device: device.clone(), dtype })
    }

    /// Which layers a plan adapts of a network of this shape, in peft's words.
    pub fn targets(shape: &Config, plan: &LoraPlan) -> Result<Targets, TrainError> {
        Ok(Choice::new(shape, &parameters(shape)?, plan)?.targets)
    }

    fn trains_tower(&self) -> bool {
        self.variables.iter().any(|(name, _)| name.starts_with("model.visual."))
    }

    /// A variable's value, with its gradient where a step is learnt from.
    fn value(&self, place: usize, learns: bool) -> Tensor {
        let var = &self.variables[place].1;
        if learns { var.as_tensor().clone() } else { var.as_detached_tensor() }
    }

    /// Values that are trained, and those of the whole network with them.
    pub fn counts(&self) -> (u64, u64) {
        let trained: usize = self.variables.iter().map(|(_, var)| var.elem_count()).sum();
        let frozen: usize = self.frozen.values().map(Tensor::elem_count).sum();
        (trained as u64, (trained + frozen) as u64)
    }

    /// The adapter of the variables as they are now, on the CPU in f32.
    pub fn adapter(&self) -> Result<Adapter, TrainError> {
        let there = |place: usize| self.variables[place].1.as_tensor().detach().to_device(&Device::Cpu);
        let mut layers = BTreeMap::new();
        for (weight, Factors { a, b, scale }) in &self.factors {
            layers.insert(peft_module(weight), adapter::LowRank { a: there(*a)?, b: there(*b)?, scale: *scale, magnitude: None });
        }
        let mut saved = BTreeMap::new();
        for (name, place) in &self.whole {
            saved.insert(saved_name(name), there(*place)?);
        }
        Ok(Adapter::new(self.settings.clone(), layers, saved)?)
    }
}

impl Trainable for Lora {
    fn variables(&self) -> &[(String, Var)] {
        &self.variables
    }

    fn network(&self, step: Option<u64>) -> Result<Model, TrainError> {
        let mut model = Model::new(&self.shape, &At { lora: self, step }, &self.device, self.dtype)?;
        if step.is_some() {
            model.set_mode(Mode::Train);
            if !self.trains_tower() {
                model.freeze_tower();
            }
        }
        Ok(model)
    }

    fn save(&self, dir: &Path) -> Result<(), TrainError> {
        Ok(self.adapter()?.save(dir)?)
    }
}

/// The parameters of one micro-batch's network.
struct At<'a> {
    lora: &'a Lora,
    step: Option<u64>,
}

impl Source for At<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        match self.lora.whole.get(name) {
            Some(place) => Ok(self.lora.value(*place, self.step.is_some())),
            None => self.lora.frozen.tensor(name, shape),
        }
    }

    fn low_rank(&self, name: &str) -> Result<Option<LowRank>, ModelError> {
        let Some(Factors { a, b, scale }) = self.lora.factors.get(name) else { return Ok(None) };
        let share = self.lora.settings.dropout;
        let dropout = self.step.filter(|_| share > 0.0).map(|step| {
            let seed = stable_hash(self.lora.seed, &["dropout", name, &step.to_string()]);
            Dropout { share, seed }
        });
        let there = |place: usize| self.lora.value(place, self.step.is_some());
        Ok(Some(LowRank { a: there(*a), b: there(*b), scale: *scale, dropout }))
    }
}

/// A factor's name.
fn part(weight: &str, factor: &str) -> String {
    format!("{}.{factor}.weight", peft_module(weight))
}

/// The name of a parameter that is saved whole.
fn saved_name(parameter: &str) -> String {
    match parameter.strip_suffix(".bias") {
        Some(module) => format!("{}.bias", peft_module(module)),
        None => format!("{}.weight", peft_module(parameter)),
    }
}

/// What an adapter says of the checkpoint that it is for: its name on the Hugging Face hub where its folder is that of the
/// hub's cache, else the folder.
pub fn base_name(base: &Path) -> String {
    let cached = base.ancestors().filter_map(Path::file_name).find_map(|name| {
        let name = name.to_str()?.strip_prefix("models--")?;
        name.split_once("--").map(|(owner, model)| format!("{owner}/{model}"))
    });
    cached.unwrap_or_else(|| PathBuf::from(base).display().to_string())
}
