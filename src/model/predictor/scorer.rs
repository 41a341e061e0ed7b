//! The walk's questions answered by the network: each sample is a row of one cache, and all its branches lie in it.
//!
//! What was read stays: a question about tokens that a row has read needs no further pass. So a first pass can also read what
//! is likely to be asked next, the paths that another sample was asked about.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{D, DType, Tensor};

use super::prompts::ROOM;
use crate::model::ModelError;
use crate::model::decide::{Asked, Node, Scored, Scorer, Step};
use crate::model::qwen_vl::{Cache, Model, Run};

/// The most logits that are computed at once, on the CPU and on others.
const MOST_LOGITS: [usize; 2] = [1 << 26, 1 << 29];
/// The most tokens, of all rows together, that are read before anybody has asked for them: as many as cost a GPU little
/// beside the launching of a pass.
const MOST_GUESSED: usize = 2048;

/// A tree of tokens behind a prompt: what stands before each, and its id. Parents come first.
pub(super) type Habit = Vec<(Option<usize>, u32)>;

/// A token that a row has read behind its prompt.
#[derive(Debug, Clone, Copy)]
struct Token {
    id: u32,
    /// The token before it; none for those right behind the prompt.
    parent: Option<usize>,
    slot: usize,
    position: u32,
    /// The pass that read it, and its place in that pass's hidden states.
    read: (usize, usize),
    /// Whether a step asked for it.
    asked: bool,
}

/// A sample.
#[derive(Debug)]
struct Row {
    /// The slots of the prompt.
    prompt: Vec<Range<usize>>,
    /// Where the prompt goes on.
    position: u32,
    tokens: Vec<Token>,
    next: BTreeMap<(Option<usize>, u32), usize>,
}

impl Row {
    /// The place of a token behind another, which is taken as read from now on.
    fn reach(&mut self, parent: Option<usize>, id: u32) -> usize {
        if let Some(known) = self.next.get(&(parent, id)) {
            return *known;
        }
        let position = parent.map_or(self.position, |parent| self.tokens[parent].position + 1);
        self.tokens.push(Token { id, parent, slot: 0, position, read: (0, 0), asked: false });
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
    fn place(&mut self, from: usize, first_slot: usize, pass: usize, first_place: usize) -> Vec<Run> {
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

/// A batch of read prompts and everything that was walked behind them.
#[derive(Debug)]
pub(super) struct Tree<'m> {
    model: &'m Model,
    cache: Cache,
    rows: Vec<Row>,
    /// Of each pass, `[tokens, hidden]`.
    hidden: Vec<Tensor>,
    /// Row and last token of each node.
    places: BTreeMap<Node, (usize, Option<usize>)>,
    next: u64,
    /// What the first pass reads besides what it is asked for.
    guess: Habit,
}

impl<'m> Tree<'m> {
    /// The tree of prompts that have been read, and a node behind each of them.
    pub(super) fn new(model: &'m Model, cache: Cache, guess: &Habit) -> (Self, Vec<Node>) {
        let row = |row| Row { prompt: cache.seen(row), position: cache.position(row), tokens: Vec::new(), next: BTreeMap::new() };
        let rows: Vec<Row> = (0..cache.rows()).map(row).collect();
        let places: BTreeMap<Node, (usize, Option<usize>)> = (0..cache.rows()).map(|row| (Node(row as u64), (row, None))).collect();
        let (nodes, next) = (places.keys().copied().collect(), places.len() as u64);
        let guess = if guess.len() * rows.len() <= MOST_GUESSED { guess.clone() } else { Habit::new() };
        (Self { model, cache, rows, hidden: Vec::new(), places, next, guess }, nodes)
    }

    /// Forward passes so far.
    pub(super) fn passes(&self) -> usize {
        self.hidden.len()
    }

    /// What the first sample was asked about: others are likely to be asked the same.
    pub(super) fn habit(&self) -> Habit {
        let mut habit = Habit::new();
        let Some(row) = self.rows.first() else { return habit };
        let mut places = vec![None; row.tokens.len()];
        for (nth, token) in row.tokens.iter().enumerate().filter(|(_, token)| token.asked) {
            places[nth] = Some(habit.len());
            habit.push((token.parent.and_then(|parent| places[parent]), token.id));
        }
        habit
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

    /// Reads the tokens that rows have got since they had `known`.
    fn read(&mut self, known: &[usize]) -> Result<(), ModelError> {
        let most = self.rows.iter().zip(known).map(|(row, known)| row.tokens.len() - known).max().unwrap_or(0);
        if most == 0 {
            return Ok(());
        }
        self.reserve(most)?;
        let (slot, pass) = (self.cache.len(), self.hidden.len());
        let rows = self.rows.iter_mut().zip(known).enumerate();
        let runs: Vec<Vec<Run>> = rows.map(|(nth, (row, known))| row.place(*known, slot, pass, nth * most)).collect();
        let hidden = self.model.forward_runs(&mut self.cache, &runs)?;
        self.hidden.push(hidden.flatten_to(1)?);
        Ok(())
    }

    /// The hidden states `[places, hidden]` at places of passes.
    fn at(&self, places: &[(usize, usize)]) -> Result<Tensor, ModelError> {
        let mut parts = Vec::with_capacity(self.hidden.len());
        let mut order = vec![0_u32; places.len()];
        let mut count = 0;
        for (pass, hidden) in self.hidden.iter().enumerate() {
            let mut index = Vec::new();
            for (nth, (_, place)) in places.iter().enumerate().filter(|(_, (of, _))| *of == pass) {
                order[nth] = (count + index.len()) as u32;
                index.push(*place as u32);
            }
            if !index.is_empty() {
                count += index.len();
                parts.push(hidden.index_select(&Tensor::new(index, hidden.device())?, 0)?);
            }
        }
        match parts.as_slice() {
            [one] => Ok(one.clone()),
            parts => Ok(Tensor::cat(parts, 0)?.index_select(&Tensor::new(order, self.model.device())?, 0)?),
        }
    }

    /// Answers about the tokens behind hidden states `[n, hidden]`.
    fn answers(&self, hidden: &Tensor, wants: &[&Asked]) -> Result<Vec<Vec<(u32, f32)>>, ModelError> {
        let mut tokens: Vec<u32> =
            wants.iter().flat_map(|want| if let Asked::Tokens(tokens) = want { tokens.as_slice() } else { &[] }).copied().collect();
        tokens.sort_unstable();
        tokens.dedup();
        // In a narrow type, candidates' logits would tie: theirs are computed again, exactly.
        let exact = if self.model.dtype() == DType::F32 || tokens.is_empty() { None } else { Some(self.model.logits_of(hidden, &tokens)?) };
        let whole = exact.is_none() || wants.iter().any(|want| matches!(want, Asked::Top(_)));
        let logits = if whole { Some(self.model.logits(hidden)?) } else { None };
        let width = if exact.is_some() { tokens.len() } else { self.model.config().text.vocab };
        let column = |token: u32| if exact.is_some() { tokens.binary_search(&token).unwrap_or(0) } else { token as usize };
        let mut index = Vec::new();
        for (row, want) in wants.iter().enumerate() {
            if let Asked::Tokens(asked) = want {
                index.extend(asked.iter().map(|token| (row * width + column(*token)) as u32));
            }
        }
        let asked = index.len();
        let norms = match &logits {
            Some(logits) => logits.log_sum_exp(D::Minus1)?,
            None => self.model.log_norms(hidden)?,
        };
        let values = match exact.as_ref().or(logits.as_ref()) {
            Some(source) if asked > 0 => {
                let chosen = source.flatten_all()?.index_select(&Tensor::new(index, hidden.device())?, 0)?;
                Tensor::cat(&[&chosen, &norms], 0)?.to_vec1::<f32>()?
            }
            _ => norms.to_vec1::<f32>()?,
        };
        let (chosen, norms) = values.split_at(asked);
        let mut chosen = chosen.iter();
        let answer = |(row, want): (usize, &&Asked)| -> Result<Vec<(u32, f32)>, ModelError> {
            // Rounding of the sum must not make a probability larger than 1; what is no number stays none.
            let log = |logit: f32| if logit > norms[row] { 0.0 } else { logit - norms[row] };
            match want {
                Asked::Tokens(tokens) => Ok(tokens.iter().zip(chosen.by_ref()).map(|(token, logit)| (*token, log(*logit))).collect()),
                Asked::Top(most) => {
                    let all = logits.as_ref().map_or(Ok(Vec::new()), |logits| logits.get(row)?.to_vec1::<f32>())?;
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
        let known: Vec<usize> = self.rows.iter().map(|row| row.tokens.len()).collect();
        let mut made = Vec::with_capacity(steps.len());
        let mut wants = Vec::new();
        for step in steps {
            let released = || ModelError::Prompt("a step behind a place that was released".to_owned());
            let (nth, mut at) = *self.places.get(&step.parent).ok_or_else(released)?;
            let row = &mut self.rows[nth];
            let mut path = Vec::with_capacity(step.tokens.len());
            for id in &step.tokens {
                let token = row.reach(at, *id);
                row.tokens[token].asked = true;
                path.push(token);
                at = Some(token);
            }
            for want in &step.wants {
                let token = path.get(want.after).ok_or_else(|| ModelError::Prompt("a question about no token".to_owned()))?;
                wants.push((nth, *token, &want.of));
            }
            made.push((nth, at));
        }
        let guess = std::mem::take(&mut self.guess);
        for row in &mut self.rows {
            let mut places = Vec::with_capacity(guess.len());
            for (parent, id) in &guess {
                places.push(row.reach(parent.map(|parent| places[parent]), *id));
            }
        }
        self.read(&known)?;
        let mut answers = Vec::with_capacity(wants.len());
        let most = MOST_LOGITS[usize::from(!self.model.device().is_cpu())];
        for wants in wants.chunks((most / self.model.config().text.vocab).max(1)) {
            let at: Vec<(usize, usize)> = wants.iter().map(|(row, token, _)| self.rows[*row].tokens[*token].read).collect();
            let asked: Vec<&Asked> = wants.iter().map(|(.., asked)| *asked).collect();
            answers.extend(self.answers(&self.at(&at)?, &asked)?);
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
