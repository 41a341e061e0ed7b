//! One course of earlier decisions, and the work on the next.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::grammar::{Candidate, Choices, Grammar};
use super::open::Decode;
use super::place::{Allowed, Classes, Place, foresee, with};
use super::probabilities::normalise;
use super::trie::Search;
use super::{Appetite, Asked, Foreseen, Node, Scored, Settings, Step, Want};
use crate::domain::Value;

/// What the earlier fields were decided to be, and where the model stands.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) weight: f64,
    pub(super) node: Node,
    /// Tokens decided on that the model has not read behind `node`.
    pending: Vec<u32>,
    /// Tokens of the pending ones whose probability is still to be asked for: forced values.
    marks: Vec<Mark>,
    /// By field; `None` where it is not decided or no rule looks at it.
    classes: Classes,
    pub(super) values: Vec<Value>,
    /// The whole answer so far.
    pub(super) tokens: Vec<u32>,
    work: Work,
    /// What was found since it was last asked for.
    outside: Vec<Outside>,
}

/// A value that had no alternative: its tokens among the pending ones.
#[derive(Debug, Clone, Copy)]
struct Mark {
    group: usize,
    from: usize,
    to: usize,
}

#[derive(Debug)]
enum Work {
    Search(Search),
    Decode(Decode),
    Ready(Vec<Outcome>),
}

/// A possible decision of a group.
#[derive(Debug)]
pub(super) struct Outcome {
    candidate: Arc<Candidate>,
    /// Where it was chosen, and as which of the candidates, where there was a choice.
    chosen: Option<(Arc<Place>, usize)>,
    pub(super) p: f64,
    node: Node,
    pending: Vec<u32>,
    marks: Vec<Mark>,
}

impl Outcome {
    pub(super) fn value(&self, place: usize) -> &Value {
        &self.candidate.values[place]
    }

    pub(super) fn width(&self) -> usize {
        self.candidate.values.len()
    }
}

/// The mass outside the format that was found for a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outside {
    pub(super) group: usize,
    pub(super) mass: f64,
}

impl Branch {
    pub(super) fn start(grammar: &Grammar, node: Node) -> Self {
        Self {
            weight: 1.0,
            node,
            pending: Vec::new(),
            marks: Vec::new(),
            classes: vec![None; grammar.fields.len()],
            values: Vec::new(),
            tokens: Vec::new(),
            work: Work::Ready(Vec::new()),
            outside: Vec::new(),
        }
    }

    /// Takes up a group: forced at once where only one candidate is left. `false` where none is.
    pub(super) fn begin(&mut self, grammar: &Grammar, group: usize, settings: &Settings) -> bool {
        let lead = &grammar.groups[group].lead;
        let place = grammar.places.at(grammar, group, &self.classes);
        self.tokens.extend_from_slice(lead);
        let mut feed = std::mem::take(&mut self.pending);
        feed.extend_from_slice(lead);
        match (&place.choices, &grammar.groups[group].choices) {
            (Allowed::One(only), _) => {
                let from = feed.len();
                let marks = self.marks.drain(..).chain([Mark { group, from, to: from + only.own }]).collect();
                feed.extend_from_slice(&only.tokens);
                let outcome = Outcome { candidate: only.clone(), chosen: None, p: 1.0, node: self.node, pending: feed, marks };
                self.work = Work::Ready(vec![outcome]);
            }
            (Allowed::Listed { .. }, _) => {
                // The marks are places in what is fed first.
                self.work = Work::Search(Search::new(place, self.node, feed.clone(), settings));
                self.pending = feed;
            }
            (Allowed::Open, Choices::Open(open)) => {
                self.work = Work::Decode(Decode::new(open, self.node, feed.clone()));
                self.pending = feed;
            }
            (Allowed::Nothing | Allowed::Open, _) => return false,
        }
        true
    }

    /// The next steps; none when the group is decided.
    pub(super) fn ask(&mut self, grammar: &Grammar, group: usize) -> Vec<Step> {
        let place = &grammar.groups[group];
        let mut steps = match (&mut self.work, &place.choices) {
            (Work::Search(search), _) => search.ask(),
            (Work::Decode(decode), Choices::Open(open)) => {
                while let Some(found) = decode.reached() {
                    // A text may break a rule, or its tokens the seam: then the next likeliest is looked for.
                    let classes = &self.classes;
                    let kept = grammar.candidate(place, &found.value).filter(|candidate| {
                        let mut all = classes.clone();
                        all[place.first] = candidate.classes[0];
                        grammar.rules.completable(&all)
                    });
                    if let Some(candidate) = kept {
                        self.outside.push(Outside { group, mass: 1.0 - found.allowed.exp() });
                        let pending = [self.pending.as_slice(), &candidate.tokens].concat();
                        let outcome = Outcome { candidate, chosen: None, p: found.log.exp(), node: self.node, pending, marks: Vec::new() };
                        self.work = Work::Ready(vec![outcome]);
                        return Vec::new();
                    }
                }
                decode.ask(open, &*grammar.vocabulary).into_iter().collect()
            }
            _ => Vec::new(),
        };
        if let Some(first) = steps.first_mut() {
            let marked = self.marks.iter().flat_map(|mark| mark.from..mark.to);
            let wants = marked.map(|at| Want { after: at - 1, of: Asked::Tokens(vec![self.pending[at]]) });
            first.wants = wants.chain(std::mem::take(&mut first.wants)).collect();
        }
        steps
    }

    /// The last step of an answer that ended with forced values: their probabilities.
    pub(super) fn ask_marks(&self) -> Option<Step> {
        let last = self.marks.last()?.to - 1;
        let marked = self.marks.iter().flat_map(|mark| mark.from..mark.to);
        let wants = marked.map(|at| Want { after: at - 1, of: Asked::Tokens(vec![self.pending[at]]) }).collect();
        Some(Step { parent: self.node, tokens: self.pending[..last].to_vec(), wants })
    }

    /// What is likely to be asked behind one of the steps that were asked.
    pub(super) fn foresee(&self, grammar: &Grammar, step: usize, appetite: Appetite) -> Vec<Foreseen> {
        match &self.work {
            Work::Search(search) => search.outlook(step).map_or_else(Vec::new, |from| foresee(grammar, &from, appetite)),
            Work::Decode(_) | Work::Ready(_) => Vec::new(),
        }
    }

    /// Takes the answers to what was asked.
    pub(super) fn take(&mut self, grammar: &Grammar, group: usize, mut scored: Vec<Scored>) {
        let marks = std::mem::take(&mut self.marks);
        if let Some(first) = scored.first_mut() {
            for mark in marks {
                let forced: Vec<_> = first.answers.drain(..mark.to - mark.from).collect();
                let log: f64 = forced.iter().flatten().map(|(_, log)| f64::from(*log)).sum();
                self.outside.push(Outside { group: mark.group, mass: 1.0 - log.exp() });
            }
        }
        match (&mut self.work, &grammar.groups[group].choices) {
            (Work::Search(search), _) => search.take(&scored),
            (Work::Decode(decode), Choices::Open(open)) => {
                if let [scored] = scored.as_slice() {
                    if !self.pending.is_empty() {
                        self.node = scored.node;
                        self.pending.clear();
                    }
                    decode.take(open, &*grammar.vocabulary, scored);
                }
            }
            _ => {}
        }
    }

    /// What was found outside the format since this was last asked, each clamped to 0 to 1.
    pub(super) fn outside(&mut self) -> Vec<Outside> {
        let clamped = |outside: Outside| Outside { mass: outside.mass.clamp(0.0, 1.0), ..outside };
        self.outside.drain(..).map(clamped).collect()
    }

    /// The group's possible decisions, with probabilities; none where a decoding found no value.
    pub(super) fn outcomes(&mut self, group: usize) -> Vec<Outcome> {
        match std::mem::replace(&mut self.work, Work::Ready(Vec::new())) {
            Work::Search(search) => {
                let place = Arc::clone(&search.place);
                let Some((_, candidates)) = place.listed() else { return Vec::new() };
                let found = search.finish();
                let logs: Vec<f64> = found.iter().map(|found| found.log).collect();
                let (probabilities, mass) = normalise(&logs);
                self.outside.push(Outside { group, mass });
                let outcome = |(found, p): (super::trie::Found, f64)| Outcome {
                    candidate: candidates[found.candidate].clone(),
                    chosen: Some((Arc::clone(&place), found.candidate)),
                    p,
                    node: found.node,
                    pending: found.pending,
                    marks: Vec::new(),
                };
                found.into_iter().zip(probabilities).map(outcome).collect()
            }
            Work::Ready(outcomes) => outcomes,
            Work::Decode(_) => Vec::new(),
        }
    }

    /// The nodes that later steps may name as their parents.
    pub(super) fn nodes(&self, nodes: &mut BTreeSet<Node>) {
        nodes.insert(self.node);
        match &self.work {
            Work::Search(search) => search.nodes(nodes),
            Work::Decode(decode) => decode.nodes(nodes),
            Work::Ready(outcomes) => nodes.extend(outcomes.iter().map(|outcome| outcome.node)),
        }
    }

    /// The branch that goes on from an outcome.
    pub(super) fn follow(&self, first: usize, outcome: &Outcome, weight: f64) -> Self {
        if let Some((place, candidate)) = &outcome.chosen {
            place.count_followed(*candidate);
        }
        Self {
            weight,
            node: outcome.node,
            pending: outcome.pending.clone(),
            marks: outcome.marks.clone(),
            classes: with(&self.classes, first, &outcome.candidate.classes),
            values: self.values.iter().chain(&outcome.candidate.values).cloned().collect(),
            tokens: [self.tokens.as_slice(), &outcome.candidate.tokens].concat(),
            work: Work::Ready(Vec::new()),
            outside: Vec::new(),
        }
    }
}
