//! `mekiki predict`: a model's predictions, made here or elsewhere.

mod from;
pub(super) mod here;
mod server;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::context::Context;
use super::output::{Failure, Outcome};
use crate::domain::{Exemplar, Kind};
use crate::jobs::predict::Compute;

pub(super) use here::{Eye, Means, device, device_name, missing};

/// Predict every field of the samples that a filter lets through, or store predictions that were made elsewhere.
///
/// Samples that the same model, adapter, instructions, exemplar and kind have predicted before are left out: run it again
/// to go on where it was interrupted. Results are stored as they come. Where another process predicts with the same model
/// already, it is asked to do these too, and what it stores is waited for; when it ends, the work goes on here.
#[derive(Debug, Args)]
pub(super) struct PredictArgs {
    /// Only predict the samples that a filter lets through.
    #[arg(long = "where", value_name = "FILTER")]
    filter: Option<String>,
    /// The model: a folder below the project's `models` folder, or any folder of a checkpoint; the project's, when not
    /// given. With --server, one of the server's models. With --from, the model's name for lines that do not say.
    #[arg(long, value_name = "DIR")]
    model: Option<String>,
    /// Ask a server instead (vLLM, SGLang, llama.cpp, transformers serve, any OpenAI-compatible one): its alias in the user's
    /// settings, `[servers.ALIAS]` in ~/.config/mekiki/settings.toml.
    #[arg(long, value_name = "ALIAS", conflicts_with_all = ["adapter", "batch", "device", "from"])]
    server: Option<String>,
    /// The folder of an adapter (PEFT) that is laid over the model.
    #[arg(long, value_name = "DIR", conflicts_with = "from")]
    adapter: Option<PathBuf>,
    /// What is asked: zero-shot, or one-shot with an exemplar first. The project's plan is about training and not looked
    /// at here.
    #[arg(long, value_name = "KIND", value_enum, default_value_t = KindName::ZeroShot, conflicts_with = "from")]
    kind: KindName,
    /// Which exemplar a one-shot question shows; the others are controls.
    #[arg(long, value_enum, default_value_t = ExemplarName::Right, conflicts_with = "from")]
    exemplar: ExemplarName,
    /// How many samples are predicted together; 8 on the CPU and 32 elsewhere, when not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024), conflicts_with = "from")]
    batch: Option<u32>,
    /// What computes; the fastest that this program was built for and finds, when not given.
    #[arg(long, value_enum, conflicts_with = "from")]
    device: Option<DeviceName>,
    /// Store the predictions of this file instead.
    ///
    /// One JSON object a line: `{"id": "raw-0001", "model": "demo", "kind": "one-shot", "fields": {"judgement": {"value":
    /// "defective", "probabilities": {"defective": 0.9, "passed": 0.1}, "outside": 0.0}}}`. Model, kind (zero-shot),
    /// adapter, instruction (the project's) and exemplar (right) may be missing; a field may be just its value.
    #[arg(long, value_name = "FILE", conflicts_with = "filter")]
    from: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KindName {
    /// Instruction, reference and query.
    ZeroShot,
    /// An exemplar with its answer first.
    OneShot,
}

impl KindName {
    fn kind(self) -> Kind {
        match self {
            Self::ZeroShot => Kind::ZeroShot,
            Self::OneShot => Kind::OneShot,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ExemplarName {
    /// The one that the project picks for the sample.
    Right,
    /// One whose answer names another address.
    Wrong,
    /// None at all.
    None,
}

impl ExemplarName {
    pub(super) fn exemplar(self) -> Exemplar {
        match self {
            Self::Right => Exemplar::Right,
            Self::Wrong => Exemplar::Wrong,
            Self::None => Exemplar::None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DeviceName {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
    /// An Apple GPU.
    Metal,
}

impl DeviceName {
    /// What computes, when this was given or not.
    pub(super) fn compute(named: Option<Self>) -> Compute {
        match named {
            None => Compute::Best,
            Some(Self::Cpu) => Compute::Cpu,
            Some(Self::Cuda) => Compute::Cuda,
            Some(Self::Metal) => Compute::Metal,
        }
    }
}

pub(super) fn run(context: &Context, args: &PredictArgs) -> Result<Outcome, Failure> {
    match (&args.from, &args.server) {
        (Some(file), _) => from::run(context, file, args.model.as_deref()),
        (None, Some(alias)) => server::run(context, args, alias),
        (None, None) => match context.project()?.server {
            // What only a model on this machine has says that one is meant.
            Some(alias) if args.model.is_none() && args.adapter.is_none() && args.device.is_none() && args.batch.is_none() => {
                server::run(context, args, &alias)
            }
            _ => here::run(context, args),
        },
    }
}
