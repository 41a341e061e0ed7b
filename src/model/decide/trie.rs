//! The trie of a field's values in tokens, and the search that gathers their probabilities.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::grammar::Candidate;
use super::place::{Outlook, Place};
use super::{Asked, Node, Scored, Settings, Step, Want};

/// Token paths of candidates, none of which begins another.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Branching>,
}

/// Counts are halved when so many samples have been seen: what was long ago counts less.
const MEMORY: u32 = 4096;

#[derive(Debug, Default)]
struct Branching {
    children: Vec<(u32, usize)>,
    /// The candidates whose paths lead through here, or end here.
    candidates: Vec<usize>,
    /// How often the node was asked about, and how often a value behind it was followed.
    asked: AtomicU32,
    followed: AtomicU32,
}

impl Trie {
    pub(super) fn new(candidates: &[Arc<Candidate>]) -> Self {
        let mut nodes = vec![Branching { candidates: (0..candidates.len()).collect(), ..Branching::default() }];
        for (index, candidate) in candidates.iter().enumerate() {
            let mut at = 0;
            for token in &candidate.tokens[..candidate.own] {
                let known = nodes[at].children.iter().find(|(known, _)| known == token).map(|(_, child)| *child);
                let child = known.unwrap_or_else(|| {
                    nodes.push(Branching::default());
                    let child = nodes.len() - 1;
                    nodes[at].children.push((*token, child));
                    child
                });
                nodes[child].candidates.push(index);
                at = child;
            }
        }
        Self { nodes }
    }

    /// The candidate whose path ends at a node; none where the paths go on.
    pub(super) fn candidate_at(&self, node: usize) -> Option<usize> {
        let node = &self.nodes[node];
        if node.children.is_empty() { node.candidates.first().copied() } else { None }
    }

    /// The children of a node with their tokens, and how often one that was asked about the node was asked about the child
    /// too, and followed it. Before anything is known, all are equal.
    pub(super) fn outlook(&self, node: usize) -> impl Iterator<Item = (u32, usize, f64, f64)> {
        let node = &self.nodes[node];
        let (asked, followed) = (f64::from(node.asked.load(Relaxed)), f64::from(node.followed.load(Relaxed)));
        let equal = 1.0 / node.children.len().max(1) as f64;
        let share = move |part: &AtomicU32, all: f64| ((f64::from(part.load(Relaxed)) + equal) / (all + 1.0)).min(1.0);
        node.children.iter().map(move |(token, child)| {
            let child_node = &self.nodes[*child];
            (*token, *child, share(&child_node.asked, asked), share(&child_node.followed, followed))
        })
    }

    fn count_asked(&self, node: usize) {
        let before = self.nodes[node].asked.fetch_add(1, Relaxed);
        if node == 0 && before >= MEMORY {
            for counter in self.nodes.iter().flat_map(|node| [&node.asked, &node.followed]) {
                counter.store(counter.load(Relaxed) / 2, Relaxed);
            }
        }
    }

    /// Counts a candidate that was followed.
    pub(super) fn count_followed(&self, candidate: &Candidate) {
        let mut at = 0;
        self.nodes[at].followed.fetch_add(1, Relaxed);
        for token in &candidate.tokens[..candidate.own] {
            let Some((_, child)) = self.nodes[at].children.iter().find(|(known, _)| known == token) else { return };
            at = *child;
            self.nodes[at].followed.fetch_add(1, Relaxed);
        }
    }
}

/// A trie node whose probability is known, and what the model has to read to stand behind it.
#[derive(Debug, Clone)]
struct Item {
    node: usize,
    /// Tokens of candidates up to the node, itself included.
    depth: usize,
    parent: Node,
    feed: Vec<u32>,
    log: f64,
}

/// What the search found of one candidate.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Its place among the candidates.
    pub(super) candidate: usize,
    /// Σ log p of its tokens, or its share of the bound where it was not told apart.
    pub(super) log: f64,
    /// The deepest node on its path.
    pub(super) node: Node,
    /// What remains to be fed behind that node, to the end of the candidate's segment.
    pub(super) pending: Vec<u32>,
}

/// Best-first over a trie, a wave of steps at a time, until what is not told apart is within the tolerance.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) place: Arc<Place>,
    frontier: Vec<Item>,
    leaves: Vec<Item>,
    /// Items in the steps that were asked, with the depth reached by forced tokens.
    asked: Vec<(Item, usize)>,
    /// Of the logarithm of all mass that was known when they were asked.
    mass: f64,
    tolerance: f64,
    rows: usize,
}

impl Search {
    /// Starts behind `node`, where `feed` (at least one token) still has to be read.
    pub(super) fn new(place: Arc<Place>, node: Node, feed: Vec<u32>, settings: &Settings) -> Self {
        let root = Item { node: 0, depth: 0, parent: node, feed, log: 0.0 };
        Self {
            place,
            mass: 0.0,
            frontier: vec![root],
            leaves: Vec::new(),
            asked: Vec::new(),
            tolerance: settings.tolerance.max(0.0),
            rows: settings.rows.max(1),
        }
    }

    /// The next steps; none when the search is over.
    pub(super) fn ask(&mut self) -> Vec<Step> {
        self.frontier.sort_by(|a, b| b.log.partial_cmp(&a.log).unwrap_or(Ordering::Equal));
        let logs = || self.frontier.iter().chain(&self.leaves).map(|item| item.log);
        let top = logs().fold(f64::NEG_INFINITY, f64::max);
        let scaled = |item: &Item| if top == f64::NEG_INFINITY { 0.0 } else { (item.log - top).exp() };
        let found: f64 = self.leaves.iter().map(scaled).sum();
        let open: f64 = self.frontier.iter().map(scaled).sum();
        if self.frontier.is_empty() || (!self.leaves.is_empty() && open <= self.tolerance * found) {
            return Vec::new();
        }
        self.mass = if top == f64::NEG_INFINITY { top } else { top + (found + open).ln() };
        let least = self.tolerance * if found > 0.0 { found } else { 1.0 } / self.frontier.len() as f64;
        let worth = self.frontier.iter().take_while(|item| scaled(item) >= least).count().clamp(1, self.rows);
        let items: Vec<Item> = self.frontier.drain(..worth).collect();
        items.into_iter().map(|item| self.step(item)).collect()
    }

    /// Runs an item on over all tokens that are forced, to the next branching or the end.
    fn step(&mut self, item: Item) -> Step {
        let place = Arc::clone(&self.place);
        let Some((trie, _)) = place.listed() else { return Step { parent: item.parent, tokens: item.feed, wants: Vec::new() } };
        let mut tokens = item.feed.clone();
        let mut wants = Vec::new();
        let (mut at, mut depth) = (item.node, item.depth);
        loop {
            let children = &trie.nodes[at].children;
            trie.count_asked(at);
            wants.push(Want { after: tokens.len() - 1, of: Asked::Tokens(children.iter().map(|(token, _)| *token).collect()) });
            match children.as_slice() {
                [(token, child)] if !trie.nodes[*child].children.is_empty() => {
                    tokens.push(*token);
                    at = *child;
                    depth += 1;
                }
                _ => break,
            }
        }
        let parent = item.parent;
        self.asked.push((Item { node: at, ..item }, depth));
        Step { parent, tokens, wants }
    }

    /// Takes the answers to what was asked, in the same order.
    pub(super) fn take(&mut self, scored: &[Scored]) {
        let place = Arc::clone(&self.place);
        let Some((trie, _)) = place.listed() else { return };
        for ((item, depth), scored) in std::mem::take(&mut self.asked).into_iter().zip(scored) {
            let Some((last, forced)) = scored.answers.split_last() else { continue };
            let log = item.log + forced.iter().flatten().map(|(_, log)| f64::from(*log)).sum::<f64>();
            for ((token, child), (_, more)) in trie.nodes[item.node].children.iter().zip(last) {
                let next = Item { node: *child, depth: depth + 1, parent: scored.node, feed: vec![*token], log: log + f64::from(*more) };
                if trie.nodes[*child].children.is_empty() {
                    self.leaves.push(next);
                } else {
                    self.frontier.push(next);
                }
            }
        }
    }

    /// What the look ahead begins with at one of the steps that were asked.
    pub(super) fn outlook(&self, nth: usize) -> Option<Outlook<'_>> {
        let (item, _) = self.asked.get(nth)?;
        let share = if self.mass == f64::NEG_INFINITY { 1.0 } else { (item.log - self.mass).exp().min(1.0) };
        Some(Outlook { place: &self.place, node: item.node, share })
    }

    /// The nodes that steps or candidates go on from.
    pub(super) fn nodes(&self, nodes: &mut BTreeSet<Node>) {
        nodes.extend(self.frontier.iter().chain(&self.leaves).map(|item| item.parent));
    }

    /// Every candidate with its mass. What was left on the frontier is shared evenly by the candidates behind it.
    pub(super) fn finish(self) -> Vec<Found> {
        let Some((trie, candidates)) = self.place.listed() else { return Vec::new() };
        let mut found = Vec::with_capacity(candidates.len());
        for item in self.leaves.into_iter().chain(self.frontier) {
            let behind = &trie.nodes[item.node].candidates;
            let share = (behind.len() as f64).ln();
            for candidate in behind {
                let mut pending = item.feed.clone();
                pending.extend_from_slice(&candidates[*candidate].tokens[item.depth..]);
                found.push(Found { candidate: *candidate, log: item.log - share, node: item.parent, pending });
            }
        }
        found.sort_by_key(|found| found.candidate);
        found
    }
}
