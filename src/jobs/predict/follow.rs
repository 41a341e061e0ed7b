//! Another process predicts with the model: it is asked, and what it stores is read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::board::{Shared, model_of};
use super::task::Outcome;
use super::wants::{Item, number};
use super::{Office, is_dead};
use crate::domain::{PredictionSource, SampleId};
use crate::review::Priority;
use crate::store::{Answered, Holder, Lease, StoreError};

/// How many samples are asked for at a time.
const WINDOW: usize = 256;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Between two looks at the lease.
const LEASE: Duration = Duration::from_secs(1);
/// Between two renewals of what is asked for.
const RENEWED: Duration = Duration::from_secs(5);

/// What is asked for, with its priority.
type Asked = BTreeMap<SampleId, (Vec<Item>, u8)>;

/// Asks the holder until it gives up the lease, another model is wanted, or everything ends.
pub(super) fn follow(shared: &Shared, office: &Office, source: &PredictionSource, holder: Holder) -> Result<(), StoreError> {
    let model = model_of(source);
    let mut asked = Asked::new();
    let worked = look_and_ask(shared, office, source, &model, holder, &mut asked);
    let left = asked.into_iter().flat_map(|(id, (items, _))| items.into_iter().map(move |item| (item, id.clone())));
    shared.return_all(source, left.collect::<Vec<_>>());
    shared.change(|wants| told_by(wants.tasks().iter().map(|task| task.id).collect(), wants, None));
    worked?;
    office.open()?.wish_predictions(&office.holder.session, source, &[])
}

fn told_by(tasks: Vec<u64>, wants: &mut super::wants::Wants, by: Option<&str>) {
    for id in tasks {
        if let Some(task) = wants.task(id).filter(|task| !task.stand.is_over() || by.is_none()) {
            task.served_by(by.map(str::to_owned));
        }
    }
}

fn look_and_ask(
    shared: &Shared,
    office: &Office,
    source: &PredictionSource,
    model: &str,
    mut holder: Holder,
    asked: &mut Asked,
) -> Result<(), StoreError> {
    let mut store = office.open()?;
    let session = &office.holder.session;
    let (mut leased, mut renewed, mut version) = (Instant::now(), None::<Instant>, 0);
    // The kind and the exemplar may be switched while the model stays.
    while !shared.leaves(model) && shared.board().wants.source() == source {
        if leased.elapsed() >= LEASE {
            leased = Instant::now();
            match store.lease_predictor(model, &office.holder, is_dead(&office.holder))? {
                Lease::Mine => {
                    tracing::info!(model, from = holder.pid, host = holder.host, "lease taken over");
                    return Ok(());
                }
                Lease::Theirs(now) => holder = now,
            }
        }
        shared.read_orders(&store)?;
        let by = format!("{} · {} {}", holder.reviewer, holder.host, holder.pid);
        shared.change(|wants| told_by(wants.tasks().iter().map(|task| task.id).collect(), wants, Some(&by)));
        let mut more = false;
        loop {
            let room = WINDOW.saturating_sub(asked.len());
            let Some(picked) = shared.board().wants.pick(room, room == 0) else { break };
            let rest = picked.order.is_some();
            let priority = number(if picked.urgent { Some(Priority::Now) } else { (!rest).then_some(Priority::Selected) });
            for (item, id) in shared.resolve(&store, session, picked)? {
                // It is in another's hands: it may yet become more urgent.
                shared.board().wants.put_back(source, &id);
                let (items, known) = asked.entry(id).or_insert_with(|| (Vec::new(), priority));
                items.push(item);
                *known = priority.max(*known);
                more = true;
            }
        }
        if more || renewed.is_none_or(|at| at.elapsed() >= RENEWED) {
            renewed = Some(Instant::now());
            let wishes: Vec<(SampleId, u8)> = asked.iter().map(|(id, (_, priority))| (id.clone(), *priority)).collect();
            store.wish_predictions(session, source, &wishes)?;
        }
        let now = store.version()?;
        if more || now != version {
            version = now;
            let ids: Vec<SampleId> = asked.keys().cloned().collect();
            let mut outcomes = Vec::new();
            for (id, answer) in store.answered(session, source, &ids)? {
                for item in asked.remove(&id).map(|(items, _)| items).unwrap_or_default() {
                    let outcome = match &answer {
                        Answered::Stored => Outcome::Elsewhere,
                        Answered::Failed(problem) => Outcome::Failed(id.clone(), problem.clone()),
                    };
                    outcomes.push((item, id.clone(), outcome));
                }
            }
            shared.finish(source, outcomes);
        }
        shared.tell();
        let board = shared.board();
        if !board.wants.wants_urgently() && !board.over {
            drop(shared.wait(board, LOOK));
        }
    }
    Ok(())
}
