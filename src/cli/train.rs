//! `mekiki train`: a model from examples.

mod apart;
mod job;
mod lines;
mod lora;
mod memory;
mod source;
mod turn;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::context::{Context, absolute};
use super::numbers::{at_least_zero, positive, share};
use super::output::{Failure, Outcome};
use super::predict::DeviceName;
use super::predict::here;
use crate::boards::DefectMode;
use crate::model::checkpoint::Checkpoint;
use crate::model::processor::Processor;
use crate::model::random::{self, Shape};
use crate::train::lock::Stand;
use crate::train::{self, Card, DensePlan, Event, LoraPlan, Plan, Precision, Recompute, Run};
use apart::ApartArgs;
use job::TrainerName;
use lines::Lines;
use lora::LoraArgs;
use source::Source;
use turn::Turn;

/// Who writes.
const TOOL: &str = concat!("mekiki ", env!("CARGO_PKG_VERSION"));

/// Train a model on a project's approved samples, or on generated boards.
///
/// Ends with a checkpoint's folder that predict loads and transformers too (with --lora: an adapter's, for peft). A run that
/// is interrupted keeps a checkpoint in that folder, from which --resume goes on.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags of the command line")]
pub(super) struct TrainArgs {
    /// The folder of the trained model: new, or empty, or that of the run that is resumed. In a project, a plain name is a
    /// folder below its models. With --emit, the folder of the job.
    #[arg(short, long, value_name = "NAME|DIR", required_unless_present_any = ["foretell", "stop", "status"])]
    out: Option<PathBuf>,
    /// Do not train: say how much memory the run would take, for the longest conversations, and on which GPU it fits.
    #[arg(id = "foretell", long = "plan", conflicts_with_all = ["resume", "emit"])]
    foretell: bool,
    /// With --plan: the memory that there is, in GB; what does not fit it is said with what to change.
    #[arg(long, value_name = "GB", requires = "foretell", value_parser = positive)]
    memory: Option<f64>,
    /// Do not train: write a job for another trainer, with the data set, for several GPUs.
    #[arg(long, value_enum, value_name = "TRAINER", conflicts_with_all = ["resume", "boards", "circuits"])]
    emit: Option<TrainerName>,
    /// With --emit: how many GPUs.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "emit", value_parser = clap::value_parser!(u32).range(1..=1024))]
    gpus: u32,
    /// The licence that the model's card states, for example apache-2.0; the base's, when not given.
    #[arg(long, value_name = "ID")]
    license: Option<String>,
    /// Learn from generated pin boards instead of approved samples; the seed decides which.
    #[arg(long, value_name = "SEED")]
    boards: Option<u64>,
    /// With --boards: learn from approved samples too, which make up this share of the examples.
    #[arg(long, value_name = "SHARE", value_parser = share, requires = "boards")]
    approved_share: Option<f64>,
    /// Learn from printed circuits with generated defects too, which make up this share of the examples: drawn ones, and those
    /// of the approved samples with other defects. For projects of the pcb template.
    #[arg(long, value_name = "SHARE", value_parser = share, default_value_t = 0.0, conflicts_with = "boards")]
    circuits: f64,
    /// What to start from: a new checkpoint of this shape (tiny, small, 2b, … or a config.json). Small with --boards, when
    /// nothing is given.
    #[arg(long, value_name = "SHAPE", conflicts_with = "from")]
    shape: Option<String>,
    /// What to start from: a model of the project, or the folder of a checkpoint. The project's model, when nothing is given.
    #[arg(long, visible_alias = "model", value_name = "NAME|DIR")]
    from: Option<String>,
    /// Optimiser steps, at most; 8000, or 1000 with --lora, when not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Seconds after which training ends; the learning rate falls accordingly.
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    time_limit: Option<f64>,
    /// Conversations of one optimiser step; 256, or 16 with --lora, when not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: Option<u32>,
    /// Conversations that are computed at once; all of a step's, or 4 with --lora, when not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    micro_batch: Option<u32>,
    /// Whether each block keeps nothing but its input and is computed again for its gradients: about a third more time, a fraction
    /// of the memory, the same result. On a GPU that is too small otherwise, when not said.
    #[arg(long, value_enum, default_value = "auto")]
    recompute: RecomputeName,
    /// The largest learning rate; 1e-3, or 2e-4 with --lora, when not given.
    #[arg(long, value_name = "RATE", value_parser = positive)]
    lr: Option<f64>,
    /// Steps over which the learning rate rises; 200, or 30 with --lora, when not given.
    #[arg(long, value_name = "N")]
    warm_up: Option<u64>,
    /// The share of one-shot conversations.
    #[arg(long, value_name = "SHARE", default_value_t = Plan::scratch().one_shot_share, value_parser = share)]
    one_shot_share: f64,
    /// The weight of the loss on the query's vision tokens, at the start; 1, or 0 (none) with --lora, when not given.
    #[arg(long, value_name = "WEIGHT", value_parser = at_least_zero)]
    dense: Option<f64>,
    /// Decides the order of the examples and new parameters.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// With --boards: a defect that is drawn so many times as often as the others, such as burr=4, for those that are harder
    /// to see. Can be given several times.
    #[arg(long, value_name = "MODE=TIMES", requires = "boards", value_parser = source::often)]
    often: Vec<(DefectMode, u8)>,
    /// The width of the boards in pixels; the height follows.
    #[arg(long, default_value_t = crate::boards::NATIVE_WIDTH, value_parser = clap::value_parser!(u32).range(112..=4096))]
    width: u32,
    /// Boards that are kept in memory and shown again, a little shifted and in another light; 0 draws every board anew.
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep: u32,
    /// Do not vary light, blur and noise.
    #[arg(long)]
    no_augment: bool,
    /// What computes; the fastest that this program was built for and finds, when not given.
    #[arg(long, value_enum)]
    device: Option<DeviceName>,
    /// What the network computes in; f32 on the CPU and bf16 elsewhere, when not given.
    #[arg(long, value_enum)]
    dtype: Option<DtypeName>,
    /// Threads that draw examples; as many as there are cores, when not given.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: u16,
    /// Steps between two lines of the log.
    #[arg(long, value_name = "N", default_value_t = Plan::scratch().log_every)]
    log_every: u64,
    /// Steps between two evaluations; 500, or 100 with --lora, when not given.
    #[arg(long, value_name = "N")]
    evaluate_every: Option<u64>,
    /// Held-out conversations of each kind that an evaluation looks at.
    #[arg(long, value_name = "N", default_value_t = 256)]
    evaluate_on: u32,
    /// Steps between two checkpoints; 1000, or 200 with --lora, when not given.
    #[arg(long, value_name = "N")]
    checkpoint_every: Option<u64>,
    /// Go on from the checkpoint that an interrupted run left in the folder.
    #[arg(long)]
    resume: bool,
    /// Print lines instead of drawing curves on a terminal.
    #[arg(long)]
    plain: bool,
    /// Write the log (a JSON object a line) to this file; train.jsonl in the model's folder, when not given.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    // Last: their headings would be those of what follows.
    #[command(flatten)]
    lora: LoraArgs,
    #[command(flatten)]
    apart: ApartArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DtypeName {
    /// 32 bits.
    F32,
    /// 16 bits with f32's range.
    Bf16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RecomputeName {
    /// Where memory does not suffice otherwise.
    Auto,
    /// From the start.
    Always,
    /// Not at all.
    Never,
}

pub(super) fn run(context: &Context, args: &TrainArgs) -> Result<Outcome, Failure> {
    if args.apart.stop {
        return apart::stop(context);
    }
    if args.apart.status {
        return apart::status(context);
    }
    if args.foretell || args.emit.is_some() {
        return foretold(context, args);
    }
    let named = args.out.as_deref().ok_or_else(|| Failure::usage("name the trained model with --out"))?;
    let out = out(context, named)?;
    if args.apart.detach {
        return apart::begin(context, &out);
    }
    if args.apart.detached.is_some() {
        apart::leave();
    }
    let log = args.log.as_deref().map_or_else(|| out.join("train.jsonl"), absolute);
    let mut turn = Turn::take(context, args, &out, &log)?;
    let result = trained(context, args, (&out, &log), &mut turn);
    turn.end(&result);
    result
}

/// What a run would take, or a job of another trainer.
fn foretold(context: &Context, args: &TrainArgs) -> Result<Outcome, Failure> {
    let Source { examples, .. } = source::source(context, args)?;
    let (base, _temporary) = base(context, args)?;
    let config = Checkpoint::open(&base)?.config()?;
    let processor = Processor::load(&base, &config)?;
    // What is only planned may be for another machine.
    let on_cpu = args.device == Some(DeviceName::Cpu);
    let plan = plan(args, on_cpu, args.lora.plan()?);
    if let (Some(trainer), Some(out)) = (args.emit, &args.out) {
        return job::run(context, (trainer, args.gpus), &plan, (&base, &config, &processor), examples.as_ref(), &absolute(out));
    }
    let room = args.memory.map(|gigabytes| (gigabytes * 1e9) as u64);
    memory::run(context, (&config, &processor), &plan, examples.as_ref(), room, !on_cpu)
}

fn trained(context: &Context, args: &TrainArgs, (out, log): (&Path, &Path), turn: &mut Turn) -> Result<Outcome, Failure> {
    let Source { examples, held, data, warnings } = source::source(context, args)?;
    let (base, temporary) = base(context, args)?;
    let config = Checkpoint::open(&base)?.config()?;
    let processor = Arc::new(Processor::load(&base, &config)?);
    let device = here::device(args.device)?;
    let plan = plan(args, device.is_cpu(), args.lora.plan()?);
    let settle = || memory::Settled::new((&config, &processor), &plan, examples.as_ref(), &device);
    let mut settled = settle()?;
    let there = temporary.is_none().then_some(base.as_path());
    if turn.announce(there, &config, (settled.peak(), plan.steps), &device, args.apart.alone)? {
        // There may be more room now.
        settled = settle()?;
    }
    let plan = settled.plan.clone();
    let trainable = args.lora.trainable(&base, plan.lora.as_ref(), args.seed, &device, plan.dtype);
    let trainable = trainable.map_err(|error| settled.failure(error))?;
    if args.resume {
        if !out.is_dir() {
            return Err(Failure::new(format_args!("--resume: {} is no folder of an interrupted run", out.display())));
        }
    } else {
        super::init::make_empty(out)?;
    }
    for warning in &warnings {
        context.out.line(format_args!("warning: {warning}"));
    }
    let stop = Arc::new(AtomicBool::new(false));
    heed_signals(&stop, args.apart.detached.is_some())?;
    turn.heed(context, &stop)?;
    let mut lines = Lines::new(context.out, log, args.resume, args.plain)?;
    let run = Run {
        plan: plan.clone(),
        trainable: trainable.as_ref(),
        processor,
        examples,
        held,
        folder: out,
        resume: args.resume,
        threads: usize::from(args.threads),
        stop: &stop,
    };
    let mut evaluations = Vec::new();
    turn.say(Stand::Running)?;
    lines.take(&settled.event());
    let summary = train::train(&run, &mut |event| {
        if let Event::Evaluation(found) = event {
            evaluations.push(*found);
        }
        lines.take(event);
    });
    let summary = summary.map_err(|error| settled.failure(error))?;
    lines.end()?;
    if summary.finished {
        trainable.save(out)?;
        let card = Card {
            name: &out.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy()),
            base: there,
            family: &job::family(&base)?,
            data: &data,
            plan: &plan,
            summary: &summary,
            evaluation: evaluations.iter().rev().find(|found| found.step == summary.kept),
            trained: trainable.variables().iter().map(|(_, var)| var.elem_count() as u64).sum(),
            license: args.license.as_deref(),
            tool: TOOL,
        };
        let path = out.join("README.md");
        std::fs::write(&path, card.text()).map_err(|error| Failure::new(format_args!("{}: {error}", path.display())))?;
        train::forget(out)?;
    }
    let steps = summary.steps;
    turn.say(if summary.finished { Stand::Finished { steps } } else { Stand::Stopped { steps } })?;
    context.out.object(&json!({
        "path": out, "finished": summary.finished, "steps": summary.steps, "samples": summary.samples, "seconds": summary.seconds,
        "kept": summary.kept, "best": summary.best, "warnings": warnings,
        "planned_memory": settled.peak(), "peak_memory": summary.peak_memory, "peak_tensors": summary.peak_tensors,
    }))?;
    if let Some(peak) = summary.peak_memory {
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        let tensors = summary.peak_tensors.map(|bytes| format!(", {:.2} of them tensors", gigabytes(bytes))).unwrap_or_default();
        context.out.line(format_args!(
            "memory: {:.2} GB at most{tensors}; the plan said {:.2}",
            gigabytes(peak),
            gigabytes(settled.peak())
        ));
    }
    if !summary.finished {
        context.out.line(format_args!("stopped after {} steps; go on with --resume and the same options", summary.steps));
        return Ok(Outcome::Problems);
    }
    context.out.line(format_args!(
        "trained {} steps on {} conversations in {:.0} s; the weights of step {} are in {}",
        summary.steps,
        summary.samples,
        summary.seconds,
        summary.kept,
        out.display()
    ));
    if args.lora.lora {
        context.out.line(format_args!("next: mekiki predict --model {} --adapter {}", base.display(), out.display()));
    } else {
        context.out.line(format_args!("next: mekiki predict --model {}", out.display()));
    }
    Ok(Outcome::Done)
}

/// Signals that end a run with a checkpoint. The end of a terminal is one of them, but not for a run that has left it.
fn heed_signals(stop: &Arc<AtomicBool>, has_left: bool) -> Result<(), Failure> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second one ends the program at once.
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let hangs_up = if has_left { Arc::new(AtomicBool::new(false)) } else { stop.clone() };
    signal_hook::flag::register(signal_hook::consts::SIGHUP, hangs_up)?;
    Ok(())
}

/// The folder that is written: in a project, a plain name stands for one below its models.
fn out(context: &Context, named: &Path) -> Result<PathBuf, Failure> {
    let plain = named.components().count() == 1 && named.file_name().is_some_and(|name| name == named.as_os_str());
    Ok(match context.project_there()? {
        Some(project) if plain => project.dir.join(crate::jobs::predict::MODELS).join(named),
        _ => absolute(named),
    })
}

fn plan(args: &TrainArgs, on_cpu: bool, lora: Option<LoraPlan>) -> Plan {
    let dtype = match args.dtype {
        None if on_cpu => Precision::F32,
        Some(DtypeName::F32) => Precision::F32,
        Some(DtypeName::Bf16) | None => Precision::Bf16,
    };
    let usual = if lora.is_some() { Plan::lora() } else { Plan::scratch() };
    let batch = args.batch.map_or(usual.batch, |batch| batch as usize);
    let dense = match args.dense {
        None => usual.dense,
        Some(weight) => (weight > 0.0).then(|| DensePlan { weight, ..DensePlan::default() }),
    };
    Plan {
        seed: args.seed,
        steps: args.steps.unwrap_or(usual.steps),
        time_limit: args.time_limit,
        batch,
        micro_batch: args.micro_batch.map_or(if lora.is_some() { usual.micro_batch } else { batch }, |some| some as usize).min(batch),
        learning_rate: args.lr.unwrap_or(usual.learning_rate),
        warm_up: args.warm_up.unwrap_or(usual.warm_up),
        one_shot_share: args.one_shot_share,
        dense,
        augment: !args.no_augment,
        dtype,
        recompute: match args.recompute {
            RecomputeName::Auto => Recompute::Auto,
            RecomputeName::Always => Recompute::Always,
            RecomputeName::Never => Recompute::Never,
        },
        lora,
        log_every: args.log_every,
        evaluate_every: args.evaluate_every.unwrap_or(usual.evaluate_every),
        evaluate_on: args.evaluate_on as usize,
        checkpoint_every: args.checkpoint_every.unwrap_or(usual.checkpoint_every),
        ..usual
    }
}

/// The folder of the checkpoint that is trained; a new one lies in a temporary folder that goes with the second value.
fn base(context: &Context, args: &TrainArgs) -> Result<(PathBuf, Option<tempfile::TempDir>), Failure> {
    let shape = match (&args.shape, &args.from, args.boards) {
        (Some(shape), ..) => shape.as_str(),
        (None, None, Some(_)) if !args.lora.lora => "small",
        (None, from, _) => {
            return Ok(match (context.project_there()?, from) {
                (Some(_), from) => {
                    let (project, store) = context.open()?;
                    (here::Eye::named(&project, &store, from.as_deref(), None)?.folder()?.to_owned(), None)
                }
                (None, Some(from)) => (absolute(Path::new(from)), None),
                (None, None) => return Err(Failure::usage("name what is adapted with --from")),
            });
        }
    };
    if args.lora.lora {
        return Err(Failure::usage("--lora adapts a trained checkpoint; name one with --from instead of --shape"));
    }
    let shape = match Shape::parse(shape) {
        Shape::File(path) if !path.is_file() => {
            let expected = "expected tiny, small, 2b, 4b, 8b or the path of a config.json";
            return Err(Failure::usage(format_args!("--shape: {expected}, got {shape}")));
        }
        shape => shape,
    };
    let folder = tempfile::tempdir()?;
    random::write(folder.path(), &shape, args.seed, &super::model::texts()?, &|_, _| {})?;
    Ok((folder.path().to_owned(), Some(folder)))
}
