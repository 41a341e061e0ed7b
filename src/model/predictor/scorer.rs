//! The walk's questions answered by the network: each sample is a row of one cache, and all its branches lie in it.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{D, DType, Tensor};

use super::prompts::ROOM;
use crate::model::ModelError;
use crate::model::decide::{Asked, Node, Scored, Scorer, Step};
use crate::model::qwen_vl::{Cache, Model, Run};

/// The most logits that are computed at once.
const MOST_LOGITS: usize = 1 << 26;

/// Where a node's continuation would stand.
#[derive(Debug, Clone)]
struct Place {
    row: usize,
    /// The slots of the row that it sees.
    sees: Vec<Range<usize>>,
    position: u32,
}

/// A batch of read prompts and everything that was walked behind them.
#[derive(Debug)]
pub(super) struct Tree<'m> {
    model: &'m Model,
    cache: Cache,
    places: BTreeMap<Node, Place>,
    next: u64,
}

impl<'m> Tree<'m> {
    /// The tree of prompts that have been read, and a node behind each of them.
    pub(super) fn new(model: &'m Model, cache: Cache) -> (Self, Vec<Node>) {
        let place = |row| Place { row, sees: cache.seen(row), position: cache.position(row) };
        let places: BTreeMap<Node, Place> = (0..cache.rows()).map(|row| (Node(row as u64), place(row))).collect();
        let (nodes, next) = (places.keys().copied().collect(), places.len() as u64);
        (Self { model, cache, places, next }, nodes)
    }

    /// Makes room for more slots: the rows move into a larger cache.
    fn reserve(&mut self, more: usize) -> Result<(), ModelError> {
        let wanted = self.cache.len() + more;
        if wanted > self.cache.capacity() {
            let rows: Vec<usize> = (0..self.cache.rows()).collect();
            self.cache = self.cache.gather(&rows, wanted + wanted / 4 + ROOM)?;
        }
        Ok(())
    }

    /// Answers about the tokens behind hidden states `[n, hidden]`.
    fn answers(&self, hidden: &Tensor, wants: &[&Asked]) -> Result<Vec<Vec<(u32, f32)>>, ModelError> {
        let logits = self.model.logits(hidden)?;
        let vocab = logits.dim(1)?;
        let mut tokens: Vec<u32> =
            wants.iter().flat_map(|want| if let Asked::Tokens(tokens) = want { tokens.as_slice() } else { &[] }).copied().collect();
        tokens.sort_unstable();
        tokens.dedup();
        // In a narrow type, candidates' logits would tie: theirs are computed again, exactly.
        let exact = if self.model.dtype() == DType::F32 || tokens.is_empty() { None } else { Some(self.model.logits_of(hidden, &tokens)?) };
        let (source, width) = exact.as_ref().map_or((&logits, vocab), |exact| (exact, tokens.len()));
        let column = |token: u32| if exact.is_some() { tokens.binary_search(&token).unwrap_or(0) } else { token as usize };
        let mut index = Vec::new();
        for (row, want) in wants.iter().enumerate() {
            if let Asked::Tokens(asked) = want {
                index.extend(asked.iter().map(|token| (row * width + column(*token)) as u32));
            }
        }
        let asked = index.len();
        let norms = logits.log_sum_exp(D::Minus1)?;
        let values = if asked == 0 {
            norms.to_vec1::<f32>()?
        } else {
            let chosen = source.flatten_all()?.index_select(&Tensor::new(index, logits.device())?, 0)?;
            Tensor::cat(&[&chosen, &norms], 0)?.to_vec1::<f32>()?
        };
        let (chosen, norms) = values.split_at(asked);
        let mut chosen = chosen.iter();
        let answer = |(row, want): (usize, &&Asked)| -> Result<Vec<(u32, f32)>, ModelError> {
            // Rounding of the sum must not make a probability larger than 1; what is no number stays none.
            let log = |logit: f32| if logit > norms[row] { 0.0 } else { logit - norms[row] };
            match want {
                Asked::Tokens(tokens) => Ok(tokens.iter().zip(chosen.by_ref()).map(|(token, logit)| (*token, log(*logit))).collect()),
                Asked::Top(most) => {
                    let all = logits.get(row)?.to_vec1::<f32>()?;
                    let mut order: Vec<u32> = (0..all.len() as u32).collect();
                    let before = |a: &u32, b: &u32| all[*b as usize].total_cmp(&all[*a as usize]);
                    if *most < order.len() {
                        order.select_nth_unstable_by(*most, before);
                        order.truncate(*most);
                    }
                    order.sort_by(before);
                    Ok(order.into_iter().map(|token| (token, log(all[token as usize]))).collect())
                }
            }
        };
        wants.iter().enumerate().map(answer).collect()
    }
}

impl Scorer for Tree<'_> {
    type Error = ModelError;

    fn step(&mut self, steps: &[Step]) -> Result<Vec<Scored>, ModelError> {
        let mut runs: Vec<Vec<Run>> = vec![Vec::new(); self.cache.rows()];
        let mut filled = vec![0; self.cache.rows()];
        let mut made = Vec::with_capacity(steps.len());
        let mut wants = Vec::new();
        for step in steps {
            let parent =
                self.places.get(&step.parent).ok_or_else(|| ModelError::Prompt("a step behind a place that was released".to_owned()))?;
            let start = filled[parent.row];
            filled[parent.row] += step.tokens.len();
            wants.extend(step.wants.iter().map(|want| ((parent.row, start + want.after), &want.of)));
            runs[parent.row].push(Run { ids: step.tokens.clone(), sees: parent.sees.clone(), position: parent.position });
            let mut sees = parent.sees.clone();
            let own = self.cache.len() + start..self.cache.len() + filled[parent.row];
            match sees.last_mut() {
                Some(last) if last.end == own.start => last.end = own.end,
                _ => sees.push(own),
            }
            made.push(Place { row: parent.row, sees, position: parent.position + step.tokens.len() as u32 });
        }
        self.reserve(filled.iter().copied().max().unwrap_or(0))?;
        let hidden = self.model.forward_runs(&mut self.cache, &runs)?;
        let mut answers = Vec::with_capacity(wants.len());
        for wants in wants.chunks((MOST_LOGITS / self.model.config().text.vocab).max(1)) {
            let (at, asked): (Vec<(usize, usize)>, Vec<&Asked>) = wants.iter().copied().unzip();
            answers.extend(self.answers(&self.model.at(&hidden, &at)?, &asked)?);
        }
        let mut answers = answers.into_iter();
        let scored = steps.iter().zip(made).map(|(step, place)| {
            let node = Node(self.next);
            self.next += 1;
            self.places.insert(node, place);
            Scored { node, answers: answers.by_ref().take(step.wants.len()).collect() }
        });
        Ok(scored.collect())
    }

    fn release(&mut self, nodes: &[Node]) {
        for node in nodes {
            self.places.remove(node);
        }
    }
}
