//! `mekiki train --plan`: how much memory a run takes, before it starts; and what is said of it when it does.

use candle_core::Device;
use serde_json::json;

use super::super::context::Context;
use super::super::output::{Failure, Outcome};
use crate::domain::Kind;
use crate::model::device;
use crate::model::processor::Processor;
use crate::model::qwen_vl::Config;
use crate::train::memory::{self, Advice, CARDS, Card, Load, Memory, Term};
use crate::train::{Event, Examples, Plan, Recompute, TrainError};

/// Says what a plan takes; `room` is what there is of it, in bytes. What does not fit is a problem.
pub(super) fn run(
    context: &Context,
    (config, processor): (&Config, &Processor),
    plan: &Plan,
    examples: &dyn Examples,
    room: Option<u64>,
    cuda: bool,
) -> Result<Outcome, Failure> {
    let loads = shown(memory::survey(examples, processor, config)?, plan);
    let least = Plan { recompute: Recompute::Always, ..plan.clone() };
    let recomputed = memory::memory(config, &least, &loads, cuda)?.peak;
    // Without a wish, only what no card holds is too much.
    let room = room.unwrap_or_else(|| CARDS.iter().map(|card| card.bytes).max().unwrap_or(0));
    let plan = &memory::settled(config, plan, &loads, cuda, room)?;
    let memory = memory::memory(config, plan, &loads, cuda)?;
    let values = memory::Values::of(config, plan.lora.as_ref())?;
    let card = Card::smallest(memory.peak, plan.dtype);
    let advice = memory::advice(config, plan, &loads, cuda, room)?;
    let fits = memory.peak <= room;
    let cards: Vec<_> = CARDS
        .iter()
        .map(|card| json!({ "name": card.name, "bytes": card.bytes, "fits": Card::smallest(memory.peak, plan.dtype).is_some_and(|least| card.bytes >= least.bytes) }))
        .collect();
    context.out.object(&json!({
        "peak": memory.peak, "fits": fits, "room": room, "smallest": card.map(|card| card.name), "cards": cards, "values": values,
        "micro_batch": plan.micro_batch, "memory": memory, "advice": advice, "plan": plan,
        "recomputed": { "peak": recomputed, "smallest": Card::smallest(recomputed, plan.dtype).map(|card| card.name) },
    }))?;
    tell(context, plan, &memory, card);
    if plan.recompute != Recompute::Always {
        let card = Card::smallest(recomputed, plan.dtype).map(|card| format!("; {}", card.name)).unwrap_or_default();
        context.out.line(format_args!("with --recompute always, which takes about a third longer: {} GB{card}", gigabytes(recomputed)));
    }
    tell_advice(context, &advice, room, fits);
    Ok(if fits { Outcome::Done } else { Outcome::Problems })
}

/// A run's plan where it is carried out, and what is known of its memory.
pub(super) struct Settled {
    pub(super) plan: Plan,
    config: Config,
    loads: Vec<Load>,
    /// What the plan takes, and what there is of it.
    peak: u64,
    room: Option<u64>,
    cuda: bool,
}

impl Settled {
    /// Looks at the examples and at the device, before anything lies there.
    pub(super) fn new(
        (config, processor): (&Config, &Processor),
        plan: &Plan,
        examples: &dyn Examples,
        device: &Device,
    ) -> Result<Self, Failure> {
        let loads = shown(memory::survey(examples, processor, config)?, plan);
        let cuda = device.is_cuda();
        // The plan counts this program's share of what is taken already.
        let taken = device::memory(device).unwrap_or(0).saturating_sub(memory::CONTEXT);
        let room = device::whole_memory(device).map(|whole| whole.saturating_sub(taken));
        let plan = memory::settled(config, plan, &loads, cuda, room.unwrap_or(u64::MAX))?;
        let peak = memory::memory(config, &plan, &loads, cuda)?.peak;
        Ok(Self { plan, config: config.clone(), loads, peak, room, cuda })
    }

    /// What the log begins with.
    pub(super) fn event(&self) -> Event {
        Event::Planned { memory: self.peak, room: self.room, recompute: self.plan.recompute == Recompute::Always }
    }

    /// What the plan foretold.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// An error as it is told: where memory gave out, with what to change.
    pub(super) fn failure(&self, error: TrainError) -> Failure {
        if !error.is_out_of_memory() {
            return error.into();
        }
        let mut plan = self.plan.clone();
        if let TrainError::OutOfMemory { micro_batch, .. } = &error {
            plan.micro_batch = *micro_batch;
        }
        // What the run tried by itself is no advice.
        if plan.recompute == Recompute::Auto {
            plan.recompute = Recompute::Always;
        }
        let foretold = memory::memory(&self.config, &plan, &self.loads, self.cuda).map_or(self.peak, |memory| memory.peak);
        // That it does not fit is certain, whatever was foretold.
        let room = self.room.unwrap_or(u64::MAX).min(foretold.saturating_sub(1));
        let advice = memory::advice(&self.config, &plan, &self.loads, self.cuda, room).unwrap_or_default();
        let mut lines = vec![error.to_string()];
        if let Some(room) = self.room {
            lines.push(format!("the plan foretold {} GB of {} GB that there are; what to change:", gigabytes(foretold), gigabytes(room)));
        }
        lines.extend(advice.iter().map(|Advice { change, saves, .. }| format!("  {change} ({} GB less)", gigabytes(*saves))));
        Failure::new(lines.join("\n"))
    }
}

/// Of the examples' kinds, those that the plan learns from.
fn shown(loads: Vec<Load>, plan: &Plan) -> Vec<Load> {
    let wanted = |load: &Load| match load.kind {
        Kind::OneShot => plan.one_shot_share > 0.0,
        Kind::ZeroShot => plan.one_shot_share < 1.0,
    };
    loads.into_iter().filter(wanted).collect()
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / 1e9)
}

fn tell(context: &Context, plan: &Plan, memory: &Memory, card: Option<Card>) {
    let say = |line: std::fmt::Arguments<'_>| context.out.line(line);
    let terms = |terms: &[Term]| {
        for term in terms {
            say(format_args!("  {:<18} {:>8}  {}", term.name, gigabytes(term.bytes), term.says));
        }
    };
    say(format_args!("all the time, in GB"));
    terms(&memory.still);
    for pass in &memory.passes {
        let load = &pass.load;
        say(format_args!("while gradients are computed of {} {} conversations", plan.micro_batch.min(plan.batch), load.kind));
        let images: Vec<String> = load.images.iter().map(|shown| format!("{} x {}", shown.grid.height, shown.grid.width)).collect();
        say(format_args!(
            "  the longest has {} tokens, {} of them its answer; images of {} patches",
            load.tokens,
            load.answer,
            images.join(", ")
        ));
        terms(&pass.terms);
    }
    say(format_args!("while the optimiser steps"));
    terms(std::slice::from_ref(&memory.step));
    let card =
        card.map_or_else(|| "no common GPU holds it".to_owned(), |card| format!("the smallest common GPU that holds it: {}", card.name));
    say(format_args!("at the most {} GB; {card}", gigabytes(memory.peak)));
}

fn tell_advice(context: &Context, advice: &[Advice], room: u64, fits: bool) {
    if fits {
        return;
    }
    context.out.line(format_args!("that does not fit {} GB; what to change:", gigabytes(room)));
    for Advice { change, saves, fits } in advice {
        let then = if *fits { "fits then" } else { "does not suffice alone" };
        context.out.line(format_args!("  {change} ({} GB less, {then})", gigabytes(*saves)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelError;
    use crate::model::checkpoint::Checkpoint;
    use crate::model::processor::Grid;

    #[test]
    fn where_memory_gave_out_it_is_said_what_to_change() {
        let base = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/model/qwen3");
        let config = Checkpoint::open(&base).unwrap().config().unwrap();
        let shown = memory::ShownImage { grid: Grid { height: 64, width: 64 }, different: None };
        let load = Load { kind: Kind::OneShot, tokens: 3200, answer: 30, dense: 0, images: vec![shown; 3] };
        let plan = Plan { micro_batch: 16, ..Plan::lora() };
        let peak = memory::memory(&config, &plan, std::slice::from_ref(&load), true).unwrap().peak;
        // More room than the plan wants: what happened counts.
        let settled = Settled { plan, config, loads: vec![load], peak, room: Some(2 * peak), cuda: true };
        let said = settled.failure(TrainError::OutOfMemory { micro_batch: 8, checkpoint: Some("run/checkpoint".into()) }).message();
        assert!(said.contains("8 conversations at once") && said.contains("run/checkpoint"), "{said}");
        assert!(said.contains("the plan foretold") && said.contains("\n  --micro-batch ") && said.contains("half the pixels"), "{said}");
        // The run has recomputed by itself.
        assert!(!said.contains("--recompute"), "{said}");
        let driver = candle_core::Error::msg("CublasError(CUBLAS_STATUS_ALLOC_FAILED)");
        let said = settled.failure(ModelError::Compute(driver).into()).message();
        assert!(said.contains("\n  --micro-batch "), "{said}");
        let other = settled.failure(ModelError::Prompt("no".to_owned()).into()).message();
        assert!(!other.contains("--micro-batch"), "{other}");
    }
}
