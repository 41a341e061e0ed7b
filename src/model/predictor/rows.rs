//! What the samples of a batch have read behind their prompts: a tree of tokens each.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::model::decide::Node;
use crate::model::qwen_vl::Run;

/// A place of a row: behind the prompt, or behind a token.
pub(super) fn node(row: usize, token: Option<usize>) -> Node {
    Node((row as u64) << 32 | token.map_or(0, |token| token as u64 + 1))
}

/// Row and token of a place.
pub(super) fn place(node: Node) -> (usize, Option<usize>) {
    ((node.0 >> 32) as usize, (node.0 as u32 as usize).checked_sub(1))
}

/// A token that a row has read behind its prompt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    id: u32,
    /// The token before it; none for those right behind the prompt.
    parent: Option<usize>,
    slot: usize,
    position: u32,
    /// The pass that read it, and its place in that pass's hidden states.
    pub(super) read: (usize, usize),
    /// Where the candidates' log-probabilities behind it are told.
    pub(super) told: Option<usize>,
}

/// A sample.
#[derive(Debug)]
pub(super) struct Row {
    /// The slots of the prompt.
    prompt: Vec<Range<usize>>,
    /// Where the prompt goes on.
    position: u32,
    pub(super) tokens: Vec<Token>,
    pub(super) next: BTreeMap<(Option<usize>, u32), usize>,
}

impl Row {
    /// The row of a prompt that lies in these slots and goes on at a position.
    pub(super) fn new(prompt: Vec<Range<usize>>, position: u32) -> Self {
        Self { prompt, position, tokens: Vec::new(), next: BTreeMap::new() }
    }

    /// The place of a token behind another, which is taken as read from now on.
    pub(super) fn reach(&mut self, parent: Option<usize>, id: u32) -> usize {
        if let Some(known) = self.next.get(&(parent, id)) {
            return *known;
        }
        let position = parent.map_or(self.position, |parent| self.tokens[parent].position + 1);
        self.tokens.push(Token { id, parent, slot: 0, position, read: (0, 0), told: None });
        self.next.insert((parent, id), self.tokens.len() - 1);
        self.tokens.len() - 1
    }

    /// The slots that are seen behind a token.
    fn seen(&self, mut at: Option<usize>) -> Vec<Range<usize>> {
        let mut slots = Vec::new();
        while let Some(token) = at {
            slots.push(self.tokens[token].slot);
            at = self.tokens[token].parent;
        }
        let mut seen = self.prompt.clone();
        for slot in slots.into_iter().rev() {
            match seen.last_mut() {
                Some(last) if last.end == slot => last.end += 1,
                _ => seen.push(slot..slot + 1),
            }
        }
        seen
    }

    /// Gives slots to the tokens from `from` on, and makes them runs of tokens that follow each other.
    pub(super) fn place(&mut self, from: usize, first_slot: usize, pass: usize, first_place: usize) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for nth in from..self.tokens.len() {
            let token = &mut self.tokens[nth];
            token.slot = first_slot + nth - from;
            token.read = (pass, first_place + nth - from);
            let Token { id, parent, position, .. } = *token;
            match runs.last_mut() {
                Some(run) if nth > from && parent == Some(nth - 1) => run.ids.push(id),
                _ => runs.push(Run { ids: vec![id], sees: self.seen(parent), position }),
            }
        }
        runs
    }
}
