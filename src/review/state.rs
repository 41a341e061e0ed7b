//! Everything that the review screen knows.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::message::View;
use super::{
    Changed, Context, Desk, Editor, Effect, Grouping, History, Language, Layout, Look, Notice, Notices, Picker, Preview, Prompt, Query,
    Queue, RequestId, Scope, Sheet, Sources, StatsView, Target, Tasks, Theme, Typing,
};
use crate::conversation::Conversation;
use crate::domain::{FieldKind, Filter, PredictionSource, ReviewerName, SampleId, Schema};

/// What the review begins with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Fields and rules.
    pub schema: Arc<Schema>,
    /// Who decides.
    pub reviewer: ReviewerName,
    /// Whose predictions count.
    pub source: PredictionSource,
    /// The filter as it was typed; the empty text is every sample.
    pub filter: String,
    /// The sample to come back to.
    pub resume: Option<SampleId>,
    /// The interface's language.
    pub language: Language,
    /// The interface's colours.
    pub theme: Theme,
    /// Whether the project may only be looked at.
    pub read_only: bool,
}

/// The screens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// One sample.
    Sample,
    /// Thumbnails.
    Sheet,
    /// A list.
    Queue,
    /// Statistics.
    Stats,
    /// Tasks.
    Tasks,
}

/// A page to read.
#[derive(Debug, Clone, PartialEq)]
pub enum Page {
    /// The keys in force in a scope.
    Help(Scope),
    /// The conversation of the sample; `None` while it is on its way.
    Conversation(Option<Result<Box<Conversation>, String>>),
    /// The instruction in it.
    Instruction(Option<Result<Box<Conversation>, String>>),
}

/// What lies on top of the screen and takes the keys.
#[derive(Debug, Clone, PartialEq)]
pub enum Overlay {
    /// A line to type.
    Prompt(Prompt),
    /// A list to pick from.
    Picker(Picker),
    /// A page to read, and the line at its top. Drawing knows where it ends.
    Reader(Page, usize),
    /// What a batch will do.
    Preview(Box<Preview>),
}

/// A spot check: samples of a batch that are looked at one by one first.
#[derive(Debug, Clone, PartialEq)]
pub struct SpotCheck {
    /// The batch.
    pub preview: Box<Preview>,
    /// The samples that are still to be looked at.
    pub todo: VecDeque<SampleId>,
    /// The screen to go back to.
    pub back_to: Screen,
}

/// Where the cursor goes when the first page of an order is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Landing {
    First,
    Sample(SampleId),
}

/// Questions whose answers are awaited. An answer to any other is dropped.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Awaited {
    /// A place in the order, and what is said when there is none.
    pub find: Option<(RequestId, Notice)>,
    pub open: Option<RequestId>,
    pub samples: BTreeSet<RequestId>,
    pub reverts: BTreeSet<RequestId>,
    pub counts: Option<RequestId>,
    pub groups: Option<RequestId>,
    pub flips: Option<RequestId>,
    pub compose: Option<RequestId>,
}

/// Everything that the review screen knows. Drawing reads it; only [`update`](super::update) changes it.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Fields and rules.
    pub schema: Arc<Schema>,
    /// Who decides.
    pub reviewer: ReviewerName,
    /// Whose predictions count.
    pub source: PredictionSource,
    /// Whose predictions counted before, and how many of them flipped, once that is known.
    pub before: Option<(PredictionSource, Option<u64>)>,
    /// What was trained and says something else, until the reviewer has opened it.
    pub changed: Option<Changed>,
    /// What is trained while nothing is predicted.
    pub resting: Option<String>,
    /// What can be predicted with.
    pub sources: Sources,
    /// The saved views.
    pub views: Vec<View>,
    /// The screen.
    pub screen: Screen,
    /// What lies on top of it.
    pub overlay: Option<Overlay>,
    /// The samples under review.
    pub queue: Queue,
    /// The sample that is being decided on.
    pub desk: Option<Desk>,
    /// The selection.
    pub sheet: Sheet,
    /// The statistics.
    pub stats: StatsView,
    /// The tasks.
    pub tasks: Tasks,
    /// How the picture is looked at.
    pub look: Look,
    /// Saves on their way.
    pub history: History,
    /// The spot check that is going on.
    pub spot: Option<SpotCheck>,
    /// What the reviewer is told.
    pub notices: Notices,
    /// The interface's language.
    pub language: Language,
    /// The interface's colours.
    pub theme: Theme,
    /// Whether the project may only be looked at.
    pub read_only: bool,
    /// How much fits on the screen.
    pub layout: Layout,
    /// The program ends as soon as everything is saved.
    pub quitting: bool,
    pub(super) landing: Landing,
    pub(super) awaited: Awaited,
    pub(super) now_ms: i64,
    pub(super) seed: u64,
    pub(super) claimed_ms: i64,
    last_request: u64,
    outbox: Vec<Effect>,
}

impl State {
    /// The state before anything has been loaded, and what is asked for first.
    ///
    /// A filter that the schema does not take (any more) is left out, and the reviewer is told.
    pub fn new(setup: Setup) -> (Self, Vec<Effect>) {
        let Setup { schema, reviewer, source, filter: text, resume, language, theme, read_only } = setup;
        let parsed = Filter::parse(&schema, &text);
        let problem = parsed.as_ref().err().map(ToString::to_string);
        let text = if problem.is_none() { text } else { String::new() };
        let filter = parsed.unwrap_or_default();
        let query = Query { text, filter, source: source.clone(), against: None, grouping: Grouping::None, outliers_first: false };
        let mut state = Self {
            schema,
            reviewer,
            source,
            before: None,
            changed: None,
            resting: None,
            sources: Sources::default(),
            views: Vec::new(),
            screen: Screen::Sample,
            overlay: None,
            queue: Queue::new(query.clone(), RequestId::default()),
            desk: None,
            sheet: Sheet::default(),
            stats: StatsView::default(),
            tasks: Tasks::default(),
            look: Look::default(),
            history: History::default(),
            spot: None,
            notices: Notices::default(),
            language,
            theme,
            read_only,
            layout: Layout::default(),
            quitting: false,
            landing: Landing::First,
            awaited: Awaited::default(),
            now_ms: 0,
            seed: 0,
            claimed_ms: 0,
            last_request: 0,
            outbox: Vec::new(),
        };
        if let Some(problem) = problem {
            state.say(Notice::Said(problem));
        }
        state.ask_for(query, resume);
        state.emit(Effect::ListViews);
        state.emit(Effect::ListSources);
        let effects = state.take_effects();
        (state, effects)
    }

    /// Where keys are looked up now, and what is text.
    pub fn context(&self) -> Context {
        let context = |scope, typing| Context { scope, typing };
        match (&self.overlay, self.screen, &self.desk) {
            (Some(Overlay::Prompt(_)), ..) => context(Scope::Input, Typing::Anything),
            (Some(Overlay::Picker(_)), ..) => context(Scope::Picker, Typing::Anything),
            (Some(Overlay::Reader(..)), ..) => context(Scope::Help, Typing::Nothing),
            (Some(Overlay::Preview(_)), ..) => context(Scope::Confirm, Typing::Nothing),
            (None, Screen::Sample, Some(desk)) => {
                let typing = desk.editor.as_ref().map_or(Typing::Nothing, |editor| editor.takes(desk.field()));
                let is_typing = desk.editor.as_ref().is_some_and(|editor| !editor.is_idle());
                context(if is_typing { Scope::Input } else { field_scope(&desk.field().kind) }, typing)
            }
            (None, Screen::Sample, None) => context(Scope::Sample, Typing::Nothing),
            (None, Screen::Sheet, _) => context(Scope::Sheet, Typing::Nothing),
            (None, Screen::Queue, _) => context(Scope::Queue, Typing::Nothing),
            (None, Screen::Stats, _) => context(Scope::Stats, Typing::Nothing),
            (None, Screen::Tasks, _) => context(Scope::Tasks, Typing::Nothing),
        }
    }

    /// Whether the sample on the desk has never been drawn, or the preview on top has not. A verdict given before
    /// the next frame is held back, so that an event loop with keys waiting draws first.
    pub fn wants_a_frame(&self) -> bool {
        match &self.overlay {
            Some(Overlay::Preview(preview)) => !preview.seen,
            _ => self.screen == Screen::Sample && self.desk.as_ref().is_some_and(|desk| !desk.was_seen()),
        }
    }

    /// Whether text is being typed, into a prompt or a field.
    pub fn editor(&self) -> Option<&Editor> {
        self.desk.as_ref().filter(|_| self.overlay.is_none() && self.screen == Screen::Sample)?.editor.as_ref()
    }

    pub(super) fn emit(&mut self, effect: Effect) {
        // Who only looks holds no sample, and is not predicted for.
        let in_vain = matches!(effect, Effect::Claim(_) | Effect::Renew(_) | Effect::Release(_) | Effect::Predict { .. });
        if !(self.read_only && in_vain) {
            self.outbox.push(effect);
        }
    }

    pub(super) fn emit_all(&mut self, effects: Vec<Effect>) {
        self.outbox.extend(effects);
    }

    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.outbox)
    }

    pub(super) fn say(&mut self, notice: Notice) {
        self.notices.post(notice, self.now_ms);
    }

    /// A number for a new question.
    pub(super) fn ask(&mut self) -> RequestId {
        self.last_request += 1;
        RequestId(self.last_request)
    }

    /// Looks for a place in the order; only the latest search counts.
    pub(super) fn find(&mut self, target: Target) {
        let request = self.ask();
        let nowhere = if matches!(target, Target::Sample(_)) { Notice::NoSuchSample } else { Notice::AllDecided };
        self.awaited.find = Some((request, nowhere));
        self.emit(Effect::Find { request, order: self.queue.order, target });
    }

    pub(super) fn count(&mut self) {
        let request = self.ask();
        self.awaited.counts = Some(request);
        self.emit(Effect::Count { request, order: self.queue.order });
    }
}

fn field_scope(kind: &FieldKind) -> Scope {
    match kind {
        FieldKind::Choice { .. } => Scope::Choice,
        FieldKind::MultiChoice { .. } => Scope::MultiChoice,
        FieldKind::Integer { .. } => Scope::Integer,
        FieldKind::Text { .. } => Scope::Text,
        FieldKind::Address { .. } => Scope::Address,
        FieldKind::Box { .. } => Scope::Box,
    }
}
