//! Saves on their way, the last fix, and samples to come back to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::entry::{Answer, Change, Decision, Revision};
use super::{Effect, SaveId, SaveKind};
use crate::domain::SampleId;

/// Decisions that were sent to the store together.
#[derive(Debug, Clone, PartialEq)]
pub struct Flight {
    /// Looked at one by one, or not.
    pub kind: SaveKind,
    /// What was decided.
    pub decisions: Vec<Decision>,
}

impl Flight {
    fn samples(&self) -> impl Iterator<Item = &SampleId> {
        self.decisions.iter().map(|decision| &decision.sample)
    }
}

/// What has been decided and is not yet known to be durable.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    last_save: u64,
    flying: BTreeMap<SaveId, Flight>,
    /// Decisions on samples that are on their way already; they follow once the revision is known.
    waiting: Vec<Flight>,
    fix_of: Option<SampleId>,
    fix: Vec<Answer>,
    /// Samples whose decision was refused, in the order in which to come back to them.
    pub returns: VecDeque<SampleId>,
}

impl History {
    /// Sends decisions off, at once or as soon as earlier ones on the same samples are done.
    pub fn submit(&mut self, kind: SaveKind, decisions: Vec<Decision>) -> Vec<Effect> {
        if !decisions.is_empty() {
            self.waiting.push(Flight { kind, decisions });
        }
        self.send_waiting()
    }

    /// A save has come to its end: what it was, if it is known.
    pub fn landed(&mut self, save: SaveId) -> Option<Flight> {
        self.flying.remove(&save)
    }

    /// A save failed as a whole: it goes back to the front of the line and is sent again with whatever follows.
    pub fn failed(&mut self, save: SaveId) {
        self.waiting.splice(0..0, self.flying.remove(&save));
    }

    /// What was decided later on the samples builds on what was saved.
    pub fn rebase(&mut self, applied: &[SampleId], revision: Revision) {
        let applied: BTreeSet<&SampleId> = applied.iter().collect();
        let later = self.waiting.iter_mut().flat_map(|flight| &mut flight.decisions);
        for decision in later.filter(|decision| applied.contains(&decision.sample)) {
            decision.base = revision;
        }
    }

    /// Sends what need not wait any longer. A decision never overtakes an earlier one on its sample.
    pub fn send_waiting(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut held: BTreeSet<SampleId> = self.flying.values().flat_map(Flight::samples).cloned().collect();
        for flight in std::mem::take(&mut self.waiting) {
            let blocked = flight.samples().any(|sample| held.contains(sample));
            held.extend(flight.samples().cloned());
            if blocked {
                self.waiting.push(flight);
            } else {
                self.last_save += 1;
                let save = SaveId(self.last_save);
                effects.push(Effect::Save { save, kind: flight.kind, decisions: flight.decisions.clone() });
                self.flying.insert(save, flight);
            }
        }
        effects
    }

    /// Whether a decision on the sample is not yet known to be durable.
    pub fn is_saving(&self, sample: &SampleId) -> bool {
        self.unsaved(sample).next().is_some()
    }

    /// Whether an approval or a rejection of the sample is not yet known to be durable.
    pub fn is_deciding(&self, sample: &SampleId) -> bool {
        self.unsaved(sample).any(|change| matches!(change, Change::Approve { .. } | Change::Reject))
    }

    /// The mark that the sample will have once everything is durable, where it was changed.
    pub fn flag_to_be(&self, sample: &SampleId) -> Option<bool> {
        self.unsaved(sample).filter_map(|change| if let Change::Flag(on) = change { Some(*on) } else { None }).last()
    }

    /// Changes of the sample that are not yet known to be durable, oldest first.
    fn unsaved<'a>(&'a self, sample: &'a SampleId) -> impl Iterator<Item = &'a Change> {
        let decisions = self.flying.values().chain(&self.waiting).flat_map(|flight| &flight.decisions);
        decisions.filter(move |decision| decision.sample == *sample).map(|decision| &decision.change)
    }

    /// Saves that are not yet known to be durable.
    pub fn outstanding(&self) -> usize {
        self.flying.len() + self.waiting.len()
    }

    /// Whether some decisions have not even been sent.
    pub fn is_holding_back(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The reviewer has fixed fields of a sample: its last state is the last fix.
    pub fn note_fix(&mut self, sample: &SampleId, fixes: Vec<Answer>) {
        if !fixes.is_empty() {
            self.fix_of = Some(sample.clone());
            self.fix = fixes;
        }
    }

    /// What the reviewer last fixed, all on one sample.
    pub fn last_fix(&self) -> &[Answer] {
        &self.fix
    }
}
