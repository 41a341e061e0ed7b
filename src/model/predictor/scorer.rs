//! The walk's questions answered by the network: each sample is a row of one cache, and all its branches lie in it.
//!
//! What was read stays: a question about tokens that a row has read needs no further pass. So a pass also reads what is likely
//! to be asked next, and tells at once what it thinks of all values' tokens wherever a question is likely: the walk goes on
//! without the device until it comes to what nobody foresaw.

use candle_core::{D, DType, Tensor};

use super::rows::{Row, node, place};
use crate::model::ModelError;
use crate::model::decide::{Appetite, Asked, Foresee, Foreseen, Node, Scored, Scorer, Step};
use crate::model::qwen_vl::{Cache, Model, Run};

/// The most logits that are computed at once, on the CPU and on others.
const MOST_LOGITS: [usize; 2] = [1 << 26, 1 << 29];
/// The most tokens of values whose probabilities are told ahead; there are more where values are many and each a token.
const MOST_CANDIDATES: usize = 1024;

/// How much is read that nobody has asked for yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guessing {
    /// The tokens of a pass that is filled up with guesses, of all rows together, those included that were asked for.
    pub pass: usize,
    /// And of a row, at least and at most. Rows that were asked for less than another one are filled up to that one's
    /// width in any case, since they would be padded to it.
    pub row: [usize; 2],
    /// How likely a token must be to make the pass wider.
    pub least: f32,
}

impl Guessing {
    /// What costs little beside the launching of a pass.
    pub const ACCELERATOR: Self = Self { pass: 2048, row: [32, 256], least: LEAST };
    /// Every token costs.
    pub const CPU: Self = Self { pass: 512, row: [0, 64], least: 0.5 };

    /// The tokens that a row is filled up to.
    fn width(&self, rows: usize) -> usize {
        let [fewest, most] = self.row;
        (self.pass / rows.max(1)).clamp(fewest, most)
    }
}

/// What is less likely than this is left out although there is room.
const LEAST: f32 = 1e-3;

/// How many slots answers will take, so that the rows of a cache need not move.
pub(super) fn room(guessing: &Guessing, rows: usize) -> usize {
    ROOM + guessing.width(rows)
}

/// Slots for the answers' tokens besides those of a first pass; where they do not suffice, more are taken later.
const ROOM: usize = 96;

/// A batch of read prompts and everything that was walked behind them.
#[derive(Debug)]
pub(super) struct Tree<'m> {
    model: &'m Model,
    cache: Cache,
    rows: Vec<Row>,
    /// Of each pass, `[tokens, hidden]`.
    hidden: Vec<Tensor>,
    /// The tokens whose probabilities are told ahead, in ascending order.
    candidates: Vec<u32>,
    /// Their log-probabilities, one line for each place that was told.
    told: Vec<Vec<f32>>,
    guessing: Guessing,
}

impl<'m> Tree<'m> {
    /// The tree of prompts that have been read, and a node behind each of them. `candidates` are the tokens of all values, in
    /// ascending order.
    pub(super) fn new(model: &'m Model, cache: Cache, candidates: &[u32], guessing: Guessing) -> (Self, Vec<Node>) {
        let rows: Vec<Row> = (0..cache.rows()).map(|row| Row::new(cache.seen(row), cache.position(row))).collect();
        let nodes = (0..rows.len()).map(|row| node(row, None)).collect();
        let candidates = if candidates.len() <= MOST_CANDIDATES { candidates.to_vec() } else { Vec::new() };
        (Self { model, cache, rows, hidden: Vec::new(), candidates, told: Vec::new(), guessing }, nodes)
    }

    /// Forward passes so far.
    pub(super) fn passes(&self) -> usize {
        self.hidden.len()
    }

    /// Tokens that were read behind the prompts.
    pub(super) fn tokens(&self) -> usize {
        self.rows.iter().map(|row| row.tokens.len()).sum()
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
            let log = |logit: f32| log(logit, norms[row]);
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

impl Tree<'_> {
    /// Adds to each row what is likely to be asked behind its steps, likeliest first, until the pass is as wide as it may be.
    /// Returns the places about which a question is likely.
    fn guess(&mut self, steps: &[(usize, usize)], known: &[usize], foresee: &Foresee<'_>) -> Vec<(usize, usize)> {
        let asked = self.rows.iter().zip(known).map(|(row, known)| row.tokens.len() - known).max().unwrap_or(0);
        let width = self.guessing.width(self.rows.len()).max(asked);
        let mut told = Vec::new();
        let mut first = 0;
        while let Some((nth, _)) = steps.get(first) {
            // A row's steps stand together.
            let of_row = steps[first..].iter().take_while(|(row, _)| row == nth).count();
            let row = &mut self.rows[*nth];
            let left = (known[*nth] + width).saturating_sub(row.tokens.len());
            let appetite = Appetite { most: left, least: LEAST };
            let seen: Vec<Vec<Foreseen>> =
                (first..first + of_row).map(|step| if left > 0 { foresee(step, appetite) } else { Vec::new() }).collect();
            let mut order: Vec<(usize, usize)> =
                seen.iter().enumerate().flat_map(|(step, seen)| (0..seen.len()).map(move |at| (step, at))).collect();
            order.sort_by(|a, b| seen[b.0][b.1].likely.total_cmp(&seen[a.0][a.1].likely));
            let mut places: Vec<Vec<Option<usize>>> = seen.iter().map(|seen| vec![None; seen.len()]).collect();
            for (step, at) in order {
                if row.tokens.len() >= known[*nth] + width {
                    break;
                }
                let Foreseen { parent, token, asks, likely } = seen[step][at];
                if likely < self.guessing.least && row.tokens.len() >= known[*nth] + asked {
                    break;
                }
                let Some(behind) = parent.map_or(Some(steps[first + step].1), |parent| places[step][parent]) else { continue };
                let place = row.reach(Some(behind), token);
                places[step][at] = Some(place);
                if asks {
                    told.push((*nth, place));
                }
            }
            first += of_row;
        }
        told
    }

    /// Tells what the candidates' probabilities are behind tokens that were read.
    fn tell(&mut self, mut places: Vec<(usize, usize)>) -> Result<(), ModelError> {
        places.sort_unstable();
        places.dedup();
        places.retain(|(row, token)| self.rows[*row].tokens[*token].told.is_none());
        if self.candidates.is_empty() {
            return Ok(());
        }
        for places in places.chunks(self.most_at_once()) {
            let read: Vec<(usize, usize)> = places.iter().map(|(row, token)| self.rows[*row].tokens[*token].read).collect();
            let hidden = self.at(&read)?;
            // In a narrow type, candidates' logits would tie: theirs are computed apart, exactly.
            let logits = self.model.logits_of(&hidden, &self.candidates)?;
            let norms = self.model.log_norms(&hidden)?.unsqueeze(1)?;
            let lines = Tensor::cat(&[&logits, &norms], 1)?.to_vec2::<f32>()?;
            for ((row, token), mut line) in places.iter().zip(lines) {
                let norm = line.pop().unwrap_or(f32::NAN);
                for logit in &mut line {
                    *logit = log(*logit, norm);
                }
                self.rows[*row].tokens[*token].told = Some(self.told.len());
                self.told.push(line);
            }
        }
        Ok(())
    }

    fn most_at_once(&self) -> usize {
        let most = MOST_LOGITS[usize::from(!self.model.device().is_cpu())];
        (most / self.model.config().text.vocab).max(1)
    }

    /// What was told of a question.
    fn answer(&self, row: usize, token: usize, of: &Asked) -> Option<Vec<(u32, f32)>> {
        let line = &self.told[self.rows[row].tokens[token].told?];
        let Asked::Tokens(tokens) = of else { return None };
        tokens.iter().map(|token| Some((*token, line[self.candidates.binary_search(token).ok()?]))).collect()
    }

    /// The answers to a step about what was told.
    fn recall(&self, step: &Step) -> Option<Scored> {
        let (nth, mut at) = place(step.parent);
        let row = self.rows.get(nth)?;
        let mut path = Vec::with_capacity(step.tokens.len());
        for id in &step.tokens {
            let token = *row.next.get(&(at, *id))?;
            path.push(token);
            at = Some(token);
        }
        let answers = step.wants.iter().map(|want| self.answer(nth, *path.get(want.after)?, &want.of)).collect::<Option<_>>()?;
        Some(Scored { node: node(nth, at), answers })
    }
}

/// A log-probability. Rounding of the sum must not make a probability larger than 1; what is no number stays none.
fn log(logit: f32, norm: f32) -> f32 {
    if logit > norm { 0.0 } else { logit - norm }
}

impl Scorer for Tree<'_> {
    type Error = ModelError;

    fn step(&mut self, steps: &[Step], foresee: &Foresee<'_>) -> Result<Vec<Scored>, ModelError> {
        let known: Vec<usize> = self.rows.iter().map(|row| row.tokens.len()).collect();
        let mut ends = Vec::with_capacity(steps.len());
        let mut wants = Vec::new();
        for step in steps {
            let (nth, mut at) = place(step.parent);
            let row = self.rows.get_mut(nth).ok_or_else(|| ModelError::Prompt(format!("a step of no sample: {nth}")))?;
            let mut path = Vec::with_capacity(step.tokens.len());
            for id in &step.tokens {
                let token = row.reach(at, *id);
                path.push(token);
                at = Some(token);
            }
            for want in &step.wants {
                let token = path.get(want.after).ok_or_else(|| ModelError::Prompt("a question about no token".to_owned()))?;
                wants.push((nth, *token, &want.of));
            }
            ends.push((nth, at.ok_or_else(|| ModelError::Prompt("a step of no token".to_owned()))?));
        }
        let mut likely = Vec::new();
        if self.rows.iter().zip(&known).any(|(row, known)| row.tokens.len() > *known) {
            likely = self.guess(&ends, &known, foresee);
            self.read(&known)?;
        }
        let told =
            |of: &Asked| matches!(of, Asked::Tokens(tokens) if tokens.iter().all(|token| self.candidates.binary_search(token).is_ok()));
        likely.extend(wants.iter().filter(|(.., of)| told(of)).map(|(row, token, _)| (*row, *token)));
        self.tell(likely)?;
        let others: Vec<(usize, usize, &Asked)> =
            wants.iter().filter(|(row, token, of)| self.answer(*row, *token, of).is_none()).copied().collect();
        let mut answers = Vec::with_capacity(others.len());
        for wants in others.chunks(self.most_at_once()) {
            let at: Vec<(usize, usize)> = wants.iter().map(|(row, token, _)| self.rows[*row].tokens[*token].read).collect();
            let asked: Vec<&Asked> = wants.iter().map(|(.., asked)| *asked).collect();
            answers.extend(self.answers(&self.at(&at)?, &asked)?);
        }
        let mut others = answers.into_iter();
        let mut wants = wants.into_iter();
        let scored = steps.iter().zip(ends).map(|(step, (row, end))| {
            let wants = wants.by_ref().take(step.wants.len());
            let answers = wants.map(|(row, token, of)| self.answer(row, token, of).or_else(|| others.next()).unwrap_or_default()).collect();
            Scored { node: node(row, Some(end)), answers }
        });
        Ok(scored.collect())
    }

    fn known(&self, steps: &[Step]) -> Option<Vec<Scored>> {
        steps.iter().map(|step| self.recall(step)).collect()
    }

    fn release(&mut self, _nodes: &[Node]) {}
}
