//! The trie of a field's values in tokens, and the search that gathers their probabilities.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::grammar::Candidate;
use super::{Asked, Node, Scored, Settings, Step, Want};

/// Token paths of candidates, none of which begins another.
#[derive(Debug)]
struct Trie {
    nodes: Vec<Branching>,
}

#[derive(Debug, Default)]
struct Branching {
    children: Vec<(u32, usize)>,
    /// The candidates whose paths lead through here, or end here.
    candidates: Vec<usize>,
}

impl Trie {
    fn new(candidates: &[Arc<Candidate>]) -> Self {
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
    trie: Trie,
    frontier: Vec<Item>,
    leaves: Vec<Item>,
    /// Items in the steps that were asked, with the depth reached by forced tokens.
    asked: Vec<(Item, usize)>,
    tolerance: f64,
    rows: usize,
}

impl Search {
    /// Starts behind `node`, where `feed` (at least one token) still has to be read.
    pub(super) fn new(candidates: &[Arc<Candidate>], node: Node, feed: Vec<u32>, settings: &Settings) -> Self {
        let root = Item { node: 0, depth: 0, parent: node, feed, log: 0.0 };
        Self {
            trie: Trie::new(candidates),
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
        let least = self.tolerance * if found > 0.0 { found } else { 1.0 } / self.frontier.len() as f64;
        let worth = self.frontier.iter().take_while(|item| scaled(item) >= least).count().clamp(1, self.rows);
        let items: Vec<Item> = self.frontier.drain(..worth).collect();
        items.into_iter().map(|item| self.step(item)).collect()
    }

    /// Runs an item on over all tokens that are forced, to the next branching or the end.
    fn step(&mut self, item: Item) -> Step {
        let mut tokens = item.feed.clone();
        let mut wants = Vec::new();
        let (mut at, mut depth) = (item.node, item.depth);
        loop {
            let children = &self.trie.nodes[at].children;
            wants.push(Want { after: tokens.len() - 1, of: Asked::Tokens(children.iter().map(|(token, _)| *token).collect()) });
            match children.as_slice() {
                [(token, child)] if !self.trie.nodes[*child].children.is_empty() => {
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
        for ((item, depth), scored) in std::mem::take(&mut self.asked).into_iter().zip(scored) {
            let Some((last, forced)) = scored.answers.split_last() else { continue };
            let log = item.log + forced.iter().flatten().map(|(_, log)| f64::from(*log)).sum::<f64>();
            for ((token, child), (_, more)) in self.trie.nodes[item.node].children.iter().zip(last) {
                let next = Item { node: *child, depth: depth + 1, parent: scored.node, feed: vec![*token], log: log + f64::from(*more) };
                if self.trie.nodes[*child].children.is_empty() {
                    self.leaves.push(next);
                } else {
                    self.frontier.push(next);
                }
            }
        }
    }

    /// The nodes that steps or candidates go on from.
    pub(super) fn nodes(&self, nodes: &mut BTreeSet<Node>) {
        nodes.extend(self.frontier.iter().chain(&self.leaves).map(|item| item.parent));
    }

    /// Every candidate with its mass. What was left on the frontier is shared evenly by the candidates behind it.
    pub(super) fn finish(self, candidates: &[Arc<Candidate>]) -> Vec<Found> {
        let mut found = Vec::with_capacity(candidates.len());
        for item in self.leaves.into_iter().chain(self.frontier) {
            let behind = &self.trie.nodes[item.node].candidates;
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
