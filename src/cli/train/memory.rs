//! `mekiki train --plan`: how much memory a run takes, before it starts.

use serde_json::json;

use super::super::context::Context;
use super::super::output::{Failure, Outcome};
use crate::domain::Kind;
use crate::model::processor::Processor;
use crate::model::qwen_vl::Config;
use crate::train::memory::{self, Advice, CARDS, Card, Load, Memory, Term};
use crate::train::{Examples, Plan};

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
    let memory = memory::memory(config, plan, &loads, cuda)?;
    let values = memory::Values::of(config, plan.lora.as_ref())?;
    let card = Card::smallest(memory.peak, plan.dtype);
    // Without a wish, only what no card holds is too much.
    let room = room.unwrap_or_else(|| CARDS.iter().map(|card| card.bytes).max().unwrap_or(0));
    let advice = memory::advice(config, plan, &loads, cuda, room)?;
    let fits = memory.peak <= room;
    let cards: Vec<_> = CARDS
        .iter()
        .map(|card| json!({ "name": card.name, "bytes": card.bytes, "fits": Card::smallest(memory.peak, plan.dtype).is_some_and(|least| card.bytes >= least.bytes) }))
        .collect();
    context.out.object(&json!({
        "peak": memory.peak, "fits": fits, "room": room, "smallest": card.map(|card| card.name), "cards": cards, "values": values,
        "micro_batch": plan.micro_batch, "memory": memory, "advice": advice, "plan": plan,
    }))?;
    tell(context, plan, &memory, card);
    tell_advice(context, &advice, room, fits);
    Ok(if fits { Outcome::Done } else { Outcome::Problems })
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
