//! A batch of samples through the fields, in lock-step.

use std::collections::{BTreeMap, BTreeSet};

use rayon::ThreadPool;
use rayon::prelude::*;

use super::branch::{Branch, Outcome};
use super::grammar::Grammar;
use super::probabilities::{Marginal, followed, marginal, mixture};
use super::{Asked, DecideError, Node, Scored, Scorer, Settings, Step, Want};
use crate::domain::{FieldId, FieldPrediction, Label};

/// What was decided for one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// By field; see the module's text for what the probabilities are.
    pub fields: BTreeMap<FieldId, FieldPrediction>,
    /// The values together: an answer that keeps the rules.
    pub label: Label,
    /// The answer's text.
    pub answer: String,
    /// The tokens of the answer between the frame's texts, those included: the same as of the text tokenised whole.
    pub tokens: Vec<u32>,
}

/// What was decided for a batch.
#[derive(Debug)]
pub struct Decided {
    /// One for each prompt, in their order.
    pub answers: Vec<Result<Decision, DecideError>>,
    /// What it took.
    pub effort: Effort,
}

/// The work that was asked of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effort {
    /// Calls of [`Scorer::step`]: forward passes, and synchronisations.
    pub calls: usize,
    /// Steps in them: rows.
    pub steps: usize,
    /// Tokens read.
    pub tokens: usize,
}

impl std::ops::AddAssign for Effort {
    fn add_assign(&mut self, more: Self) {
        self.calls += more.calls;
        self.steps += more.steps;
        self.tokens += more.tokens;
    }
}

/// Decides all fields of a batch. `prompts` are the nodes behind the prompts' tokens, as [`Grammar::prompt`] cuts them.
pub fn decide<S: Scorer>(scorer: &mut S, grammar: &Grammar, prompts: &[Node], settings: &Settings) -> Result<Decided, S::Error> {
    decide_on(None, scorer, grammar, prompts, settings)
}

/// The same on threads of one's own, which nothing else keeps busy while a device waits to be asked.
pub fn decide_on<S: Scorer>(
    pool: Option<&ThreadPool>,
    scorer: &mut S,
    grammar: &Grammar,
    prompts: &[Node],
    settings: &Settings,
) -> Result<Decided, S::Error> {
    let mut walks: Vec<Walk<'_>> = prompts.iter().map(|node| Walk::new(grammar, settings, *node)).collect();
    let mut effort = Effort::default();
    loop {
        let model = &*scorer;
        let asked: Vec<Vec<Vec<Step>>> = on(pool, || walks.par_iter_mut().map(|walk| walk.go_on(model)).collect());
        let steps: Vec<Step> = asked.iter().flatten().flatten().cloned().collect();
        if steps.is_empty() {
            release(scorer, &mut walks);
            break;
        }
        effort.calls += 1;
        effort.steps += steps.len();
        effort.tokens += steps.iter().map(|step| step.tokens.len()).sum::<usize>();
        let branches =
            asked.iter().enumerate().flat_map(|(walk, asked)| asked.iter().enumerate().map(move |(branch, steps)| (walk, branch, steps)));
        let places: Vec<(usize, usize, usize)> =
            branches.flat_map(|(walk, branch, steps)| (0..steps.len()).map(move |nth| (walk, branch, nth))).collect();
        let foresee = |step: usize, appetite| {
            let (walk, branch, nth) = places[step];
            walks[walk].branches[branch].foresee(grammar, nth, appetite)
        };
        let mut scored = scorer.step(&steps, &foresee)?.into_iter();
        let answers = |asked: &Vec<Vec<Step>>| asked.iter().map(|steps| scored.by_ref().take(steps.len()).collect()).collect();
        let answers: Vec<Vec<Vec<Scored>>> = asked.iter().map(answers).collect();
        on(pool, || walks.par_iter_mut().zip(asked).zip(answers).for_each(|((walk, asked), answers)| walk.take(&asked, answers)));
        release(scorer, &mut walks);
    }
    Ok(Decided { answers: walks.into_iter().map(Walk::finish).collect(), effort })
}

/// Does something on these threads, or on those that are there.
fn on<T: Send>(pool: Option<&ThreadPool>, work: impl FnOnce() -> T + Send) -> T {
    match pool {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

fn release<S: Scorer>(scorer: &mut S, walks: &mut [Walk<'_>]) {
    let idle: Vec<Node> = walks.iter_mut().flat_map(Walk::idle).collect();
    if !idle.is_empty() {
        scorer.release(&idle);
    }
}

/// Weight, branch, and the outcomes that are left with their probabilities; the main part stands first.
type Part<'o> = (f64, usize, Vec<(&'o Outcome, f64)>);

/// One sample on its way.
struct Walk<'g> {
    grammar: &'g Grammar,
    settings: &'g Settings,
    /// The main one first.
    branches: Vec<Branch>,
    group: usize,
    predictions: Vec<FieldPrediction>,
    /// By group: Σ weight · outside, and Σ weight.
    outside: Vec<(f64, f64)>,
    /// Nodes that were made and not released.
    live: BTreeSet<Node>,
    failed: Option<DecideError>,
}

impl<'g> Walk<'g> {
    fn new(grammar: &'g Grammar, settings: &'g Settings, node: Node) -> Self {
        let mut walk = Self {
            grammar,
            settings,
            branches: vec![Branch::start(grammar, node)],
            group: 0,
            predictions: Vec::new(),
            outside: vec![(0.0, 0.0); grammar.groups.len()],
            live: BTreeSet::new(),
            failed: None,
        };
        walk.begin();
        walk
    }

    /// The field that is being decided.
    fn field(&self) -> FieldId {
        let group = &self.grammar.groups[self.group.min(self.grammar.groups.len() - 1)];
        self.grammar.fields[group.first].id.clone()
    }

    fn done(&self) -> bool {
        self.failed.is_some() || self.group == self.grammar.groups.len()
    }

    fn begin(&mut self) {
        let (grammar, group, settings) = (self.grammar, self.group, self.settings);
        if group == grammar.groups.len() {
            return;
        }
        // A side branch without a value cannot happen where the rules were followed; it is dropped, the main one fails.
        let mut main = true;
        let mut failed = false;
        self.branches.retain_mut(|branch| {
            let begun = branch.begin(grammar, group, settings);
            failed |= main && !begun;
            main = false;
            begun
        });
        if failed {
            self.failed = Some(DecideError::NoValue { field: self.field() });
        }
    }

    /// The next steps by branch; goes on to the next field as long as nothing needs to be asked.
    fn ask(&mut self) -> Vec<Vec<Step>> {
        while !self.done() {
            let (grammar, group) = (self.grammar, self.group);
            let steps: Vec<Vec<Step>> = self.branches.iter_mut().map(|branch| branch.ask(grammar, group)).collect();
            if steps.iter().any(|steps| !steps.is_empty()) {
                return steps;
            }
            self.advance();
        }
        if self.failed.is_some() {
            return Vec::new();
        }
        self.branches.iter().map(|branch| branch.ask_marks().into_iter().collect()).collect()
    }

    /// Goes on as far as the model knows the answers; the steps that it has to be asked, by branch.
    fn go_on<S: Scorer>(&mut self, model: &S) -> Vec<Vec<Step>> {
        loop {
            let asked = self.ask();
            let steps: Vec<Step> = asked.iter().flatten().cloned().collect();
            if steps.is_empty() {
                return asked;
            }
            let Some(scored) = model.known(&steps) else { return asked };
            let mut scored = scored.into_iter();
            let answers = asked.iter().map(|steps| scored.by_ref().take(steps.len()).collect()).collect();
            self.take(&asked, answers);
        }
    }

    fn take(&mut self, asked: &[Vec<Step>], answers: Vec<Vec<Scored>>) {
        if asked.iter().all(Vec::is_empty) {
            return;
        }
        self.live.extend(answers.iter().flatten().map(|scored| scored.node));
        let pairs = asked.iter().zip(&answers);
        let answered = |(asked, scored): (&Vec<Step>, &Vec<Scored>)| {
            asked.len() == scored.len() && asked.iter().zip(scored).all(|(step, scored)| is_answer(&step.wants, &scored.answers))
        };
        if !pairs.into_iter().all(answered) {
            self.failed = Some(DecideError::Answer { field: self.field() });
            return;
        }
        let logs = answers.iter().flatten().flat_map(|scored| scored.answers.iter().flatten()).map(|(_, log)| *log);
        if logs.into_iter().any(|log| log.is_nan() || log > 1e-2) {
            self.failed = Some(DecideError::NotFinite { field: self.field() });
            return;
        }
        let group = self.group.min(self.grammar.groups.len() - 1);
        for (branch, scored) in self.branches.iter_mut().zip(answers) {
            if !scored.is_empty() {
                branch.take(self.grammar, group, scored);
            }
        }
        if self.done() {
            self.gather_outside();
        }
    }

    fn gather_outside(&mut self) {
        for branch in &mut self.branches {
            let weight = branch.weight;
            for found in branch.outside() {
                let (sum, weights) = &mut self.outside[found.group];
                *sum += weight * found.mass;
                *weights += weight;
            }
        }
    }

    /// All branches have decided the group: mixes what they found and follows the likeliest values.
    fn advance(&mut self) {
        let group = self.group;
        let first = self.grammar.groups[group].first;
        let outcomes: Vec<Vec<Outcome>> = self.branches.iter_mut().map(|branch| branch.outcomes(group)).collect();
        self.gather_outside();
        let Some(width) = outcomes.first().and_then(|outcomes| outcomes.first()).map(Outcome::width) else {
            self.failed = Some(DecideError::NoValue { field: self.field() });
            return;
        };
        let mut parts: Vec<Part<'_>> = outcomes
            .iter()
            .enumerate()
            .filter(|(_, outcomes)| !outcomes.is_empty())
            .map(|(branch, outcomes)| (self.branches[branch].weight, branch, outcomes.iter().map(|outcome| (outcome, outcome.p)).collect()))
            .collect();
        for place in 0..width {
            let marginals: Vec<(f64, Marginal)> = parts
                .iter()
                .map(|(weight, _, left)| (*weight, marginal(left.iter().map(|(outcome, p)| (outcome.value(place), *p)))))
                .collect();
            self.predictions.extend(mixture(&marginals, 0.0));
            let mut next = Vec::new();
            for ((weight, branch, left), (_, values)) in parts.iter().zip(&marginals) {
                for (value, share) in followed(values, self.settings) {
                    let kept = left.iter().filter(|(outcome, _)| *outcome.value(place) == value);
                    let sum: f64 = kept.clone().map(|(_, p)| p).sum();
                    next.push((weight * share, *branch, kept.map(|(outcome, p)| (*outcome, p / sum)).collect()));
                }
            }
            let main = usize::from(!next.is_empty());
            next[main..].sort_by(|(a, ..), (b, ..): &Part<'_>| b.total_cmp(a));
            next.truncate(self.settings.branches.max(1));
            parts = next;
        }
        let follow = |(weight, branch, left): &Part<'_>| {
            let (outcome, _) = left.first()?;
            Some(self.branches[*branch].follow(first, outcome, *weight))
        };
        self.branches = parts.iter().filter_map(follow).collect();
        self.group += 1;
        self.begin();
    }

    /// The nodes behind which nothing will be asked any more.
    fn idle(&mut self) -> Vec<Node> {
        if self.done() && (self.failed.is_some() || self.branches.iter().all(|branch| branch.ask_marks().is_none())) {
            return std::mem::take(&mut self.live).into_iter().collect();
        }
        let mut kept = BTreeSet::new();
        self.branches.iter().for_each(|branch| branch.nodes(&mut kept));
        let idle: Vec<Node> = self.live.difference(&kept).copied().collect();
        self.live = kept.intersection(&self.live).copied().collect();
        idle
    }

    fn finish(self) -> Result<Decision, DecideError> {
        let field = self.field();
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        let Some(main) = self.branches.into_iter().next() else {
            return Err(DecideError::NoValue { field });
        };
        let fields = &self.grammar.fields;
        let label = Label::from_values(fields.iter().zip(main.values));
        let answer = self.grammar.template.render(&label).map_err(|field| DecideError::NoValue { field })?;
        let ends = self.grammar.groups.iter().skip(1).map(|group| group.first).chain([fields.len()]);
        let widths = self.grammar.groups.iter().zip(ends).map(|(group, end)| end - group.first);
        let outside = self.outside.iter().zip(widths).flat_map(|((sum, weights), width)| {
            let mass = if *weights > 0.0 { sum / weights } else { 0.0 };
            std::iter::repeat_n(mass as f32, width)
        });
        let predictions = self.predictions.into_iter().zip(outside);
        let named = fields
            .iter()
            .zip(predictions)
            .map(|(field, (prediction, outside))| (field.id.clone(), FieldPrediction { outside, ..prediction }));
        Ok(Decision { fields: named.collect(), label, answer, tokens: main.tokens })
    }
}

/// Whether the answers are to these wants.
fn is_answer(wants: &[Want], answers: &[Vec<(u32, f32)>]) -> bool {
    wants.len() == answers.len()
        && wants.iter().zip(answers).all(|(want, answer)| match &want.of {
            Asked::Tokens(tokens) => tokens.iter().eq(answer.iter().map(|(token, _)| token)),
            Asked::Top(most) => answer.len() <= *most && !answer.is_empty(),
        })
}
