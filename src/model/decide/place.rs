//! What may follow certain earlier values, and what has followed so far: made once, and shared by all samples.
//!
//! What was asked and decided is counted, so that a model can be given what is likely to be asked next together with what it
//! is asked now. No answer depends on the counts.

use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::grammar::{Candidate, Choices, Grammar};
use super::trie::Trie;
use super::{Appetite, Foreseen};
use crate::domain::Value;

/// By field: the class by which rules know its value; `None` where it is not decided or no rule looks at it.
pub(super) type Classes = Vec<Option<u16>>;

/// The most places that are kept; beyond them all are made anew.
const MOST_PLACES: usize = 4096;

/// A group behind earlier values.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) group: usize,
    /// Of the earlier fields.
    classes: Classes,
    pub(super) choices: Allowed,
}

/// What a group may be.
#[derive(Debug)]
pub(super) enum Allowed {
    Nothing,
    One(Arc<Candidate>),
    Listed { candidates: Vec<Arc<Candidate>>, trie: Trie },
    Open,
}

/// The places of a grammar that were come to.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<(usize, Classes), Arc<Place>>>);

impl Places {
    /// The group's place behind these values.
    pub(super) fn at(&self, grammar: &Grammar, group: usize, classes: &Classes) -> Arc<Place> {
        let key = (group, classes.clone());
        // What another thread left behind when it panicked is still true.
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = known().get(&key) {
            return Arc::clone(place);
        }
        let made = Arc::new(Place::new(grammar, group, classes.clone()));
        let mut known = known();
        if known.len() >= MOST_PLACES {
            known.clear();
        }
        Arc::clone(known.entry(key).or_insert(made))
    }
}

/// The classes with those of a group's fields filled in.
pub(super) fn with(classes: &Classes, first: usize, more: &[Option<u16>]) -> Classes {
    let mut all = classes.clone();
    all[first..first + more.len()].copy_from_slice(more);
    all
}

impl Place {
    fn new(grammar: &Grammar, group: usize, classes: Classes) -> Self {
        let place = &grammar.groups[group];
        let keeps = |candidate: &Arc<Candidate>| grammar.rules.completable(&with(&classes, place.first, &candidate.classes));
        let allowed: Vec<Arc<Candidate>> = match &place.choices {
            Choices::Listed(candidates) => candidates.iter().filter(|candidate| keeps(candidate)).cloned().collect(),
            Choices::Open(_) => {
                let others = grammar.rules.unnamed(place.first);
                if grammar.rules.completable(&with(&classes, place.first, &[others])) {
                    return Self { group, classes, choices: Allowed::Open };
                }
                let mut named: Vec<&Value> = grammar.rules.named(place.first).collect();
                named.sort();
                named.dedup();
                named.into_iter().filter_map(|value| grammar.candidate(place, value)).filter(keeps).collect()
            }
        };
        let choices = match allowed.as_slice() {
            [] => Allowed::Nothing,
            [only] => Allowed::One(only.clone()),
            _ => Allowed::Listed { trie: Trie::new(&allowed), candidates: allowed },
        };
        Self { group, classes, choices }
    }

    /// The trie and its candidates, where there is something to choose.
    pub(super) fn listed(&self) -> Option<(&Trie, &[Arc<Candidate>])> {
        if let Allowed::Listed { candidates, trie } = &self.choices { Some((trie, candidates)) } else { None }
    }

    /// A candidate was decided on, or stayed likely.
    pub(super) fn count_followed(&self, candidate: usize) {
        if let Some((trie, candidates)) = self.listed() {
            trie.count_followed(&candidates[candidate]);
        }
    }
}

/// Where a look ahead begins: a node of a trie that is being asked about.
pub(super) struct Outlook<'a> {
    pub(super) place: &'a Arc<Place>,
    pub(super) node: usize,
    /// How likely it is that the value decided on lies behind the node.
    pub(super) share: f64,
}

/// What may come, behind a token of the tree that is being made.
struct Prospect {
    /// That it is asked about, or read.
    likely: f64,
    /// That the value decided on lies there.
    share: f64,
    behind: Option<usize>,
    what: What,
    nth: usize,
}

enum What {
    /// A node of a trie that has children, with the token that leads there.
    Inner(Arc<Place>, usize, u32),
    /// A value: its index.
    Value(Arc<Place>, usize),
}

impl PartialEq for Prospect {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Prospect {}

impl PartialOrd for Prospect {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Prospect {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.likely.total_cmp(&other.likely).then(other.nth.cmp(&self.nth))
    }
}

/// Looks ahead, likeliest first.
struct Ahead<'a> {
    grammar: &'a Grammar,
    waiting: BinaryHeap<Prospect>,
    found: Vec<Foreseen>,
    nth: usize,
}

/// The tree of tokens that is likely to be asked about behind a node that is being asked about, likeliest first.
pub(super) fn foresee(grammar: &Grammar, from: &Outlook<'_>, appetite: Appetite) -> Vec<Foreseen> {
    let mut ahead = Ahead { grammar, waiting: BinaryHeap::new(), found: Vec::new(), nth: 0 };
    ahead.spread(from.place, from.node, None, 1.0, from.share);
    while let Some(next) = ahead.waiting.pop() {
        if ahead.found.len() >= appetite.most || next.likely < f64::from(appetite.least) {
            break;
        }
        match next.what {
            What::Inner(place, node, token) => {
                let here = ahead.push(next.behind, token, true, next.likely);
                ahead.spread(&place, node, Some(here), next.likely, next.share);
            }
            What::Value(place, candidate) => ahead.follow(&place, candidate, next.behind, next.likely),
        }
    }
    ahead.found
}

impl Ahead<'_> {
    fn push(&mut self, parent: Option<usize>, token: u32, asks: bool, likely: f64) -> usize {
        self.found.push(Foreseen { parent, token, asks, likely: likely as f32 });
        self.found.len() - 1
    }

    /// The children of a node.
    fn spread(&mut self, place: &Arc<Place>, node: usize, behind: Option<usize>, likely: f64, share: f64) {
        let Some((trie, _)) = place.listed() else { return };
        for (token, child, asked, followed) in trie.outlook(node) {
            let share = share * followed;
            let (likely, what) = match trie.candidate_at(child) {
                None => (likely * asked, What::Inner(Arc::clone(place), child, token)),
                Some(candidate) => (likely.min(share), What::Value(Arc::clone(place), candidate)),
            };
            self.nth += 1;
            self.waiting.push(Prospect { likely, share, behind, what, nth: self.nth });
        }
    }

    /// The rest of a value, and what is forced behind it up to the next question.
    fn follow(&mut self, place: &Arc<Place>, candidate: usize, mut behind: Option<usize>, likely: f64) {
        let (grammar, mut group) = (self.grammar, place.group);
        let Some((_, candidates)) = place.listed() else { return };
        let mut value = Arc::clone(&candidates[candidate]);
        let mut classes = place.classes.clone();
        let mut tokens: Vec<(u32, bool)> = value.tokens[value.own - 1..].iter().map(|token| (*token, false)).collect();
        let last_asks = |tokens: &mut Vec<(u32, bool)>| tokens.iter_mut().last().is_some_and(|last| std::mem::replace(&mut last.1, true));
        let next = loop {
            classes = with(&classes, grammar.groups[group].first, &value.classes);
            group += 1;
            let Some(there) = grammar.groups.get(group) else { break None };
            tokens.extend(there.lead.iter().map(|token| (*token, false)));
            let next = grammar.places.at(grammar, group, &classes);
            let Allowed::One(only) = &next.choices else { break Some(next) };
            // The probabilities of a value without an alternative are asked for too.
            for (nth, token) in only.tokens.iter().enumerate() {
                if nth < only.own {
                    last_asks(&mut tokens);
                }
                tokens.push((*token, false));
            }
            value = Arc::clone(only);
        };
        match &next {
            // Nothing is asked behind the last answer.
            None => tokens.truncate(tokens.iter().rposition(|(_, asks)| *asks).map_or(0, |last| last + 1)),
            Some(next) if matches!(next.choices, Allowed::Nothing) => return,
            Some(_) => drop(last_asks(&mut tokens)),
        }
        for (token, asks) in tokens {
            behind = Some(self.push(behind, token, asks, likely));
        }
        if let Some(next) = next {
            self.spread(&next, 0, behind, likely, likely);
        }
    }
}
