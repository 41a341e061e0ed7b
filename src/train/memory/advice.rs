//! What to change where memory does not suffice.

use serde::Serialize;

use super::{Load, Memory, memory};
use crate::domain::Kind;
use crate::model::processor::Grid;
use crate::model::qwen_vl::Config;
use crate::train::{LoraPlan, Plan, Recompute, TrainError};

/// A change of a plan, and what it saves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// What to do, with the option.
    pub change: String,
    /// Bytes less at the peak.
    pub saves: u64,
    /// Whether the run then fits.
    pub fits: bool,
}

/// The plan as it is carried out where there are `room` bytes: what is left open is recomputed where it does not fit otherwise.
pub fn settled(config: &Config, plan: &Plan, loads: &[Load], cuda: bool, room: u64) -> Result<Plan, TrainError> {
    let tight = plan.recompute == Recompute::Auto && memory(config, plan, loads, cuda)?.peak > room;
    Ok(if tight { Plan { recompute: Recompute::Always, ..plan.clone() } } else { plan.clone() })
}

/// Changes that each bring a run nearer to `room` bytes, the gentlest first; nothing where it fits.
pub fn advice(config: &Config, plan: &Plan, loads: &[Load], cuda: bool, room: u64) -> Result<Vec<Advice>, TrainError> {
    let before = memory(config, plan, loads, cuda)?.peak;
    if before <= room {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let mut say = |change: String, then: &Memory| {
        let saves = before.saturating_sub(then.peak);
        // What changes next to nothing is no advice.
        if saves > before / 100 {
            found.push(Advice { change, saves, fits: then.peak <= room });
        }
        then.peak <= room
    };
    if plan.recompute != Recompute::Always {
        let then = memory(config, &Plan { recompute: Recompute::Always, ..plan.clone() }, loads, cuda)?;
        say("--recompute always: the same steps, which take about a third longer".to_owned(), &then);
    }
    let mut micro = plan.micro_batch.min(plan.batch);
    while micro > 1 {
        micro = micro.div_ceil(2);
        let then = memory(config, &Plan { micro_batch: micro, ..plan.clone() }, loads, cuda)?;
        // The largest that fits, or none of them.
        if then.peak <= room || micro == 1 {
            say(format!("--micro-batch {micro}: the same steps, computed in more parts"), &then);
            break;
        }
    }
    let zero: Vec<Load> = loads.iter().filter(|load| load.kind == Kind::ZeroShot).cloned().collect();
    if !zero.is_empty() && zero.len() < loads.len() {
        let then = memory(config, plan, &zero, cuda)?;
        say("--one-shot-share 0: zero-shot conversations only".to_owned(), &then);
    }
    match &plan.lora {
        None => {
            let then = memory(config, &Plan { lora: Some(LoraPlan::default()), ..plan.clone() }, loads, cuda)?;
            say("--lora: an adapter instead of all weights".to_owned(), &then);
        }
        Some(lora) => {
            if lora.rank > 4 {
                let rank = lora.rank / 2;
                let then = memory(config, &Plan { lora: Some(LoraPlan { rank, ..lora.clone() }), ..plan.clone() }, loads, cuda)?;
                say(format!("--rank {rank}"), &then);
            }
            if lora.vision {
                let plain = LoraPlan { vision: false, targets: Vec::new(), ..lora.clone() };
                let then = memory(config, &Plan { lora: Some(plain), ..plan.clone() }, loads, cuda)?;
                say("without --vision: the tower keeps nothing for gradients".to_owned(), &then);
            }
        }
    }
    let half: Vec<Load> = loads.iter().map(|load| smaller(config, load)).collect();
    let then = memory(config, plan, &half, cuda)?;
    say("images of half the pixels (longest_edge in the checkpoint's preprocessor_config.json)".to_owned(), &then);
    Ok(found)
}

/// The conversation with images of about half the pixels.
fn smaller(config: &Config, load: &Load) -> Load {
    let merge = config.vision.merge;
    let mut load = load.clone();
    for shown in &mut load.images {
        let before = shown.grid.patches();
        let side = |side: usize| ((side as f64 * 0.5_f64.sqrt() / merge as f64).round() as usize).max(1) * merge;
        shown.grid = Grid { height: side(shown.grid.height), width: side(shown.grid.width) };
        load.tokens = load.tokens.saturating_sub(before.saturating_sub(shown.grid.patches()) / (merge * merge));
    }
    load.dense /= 2;
    load
}
