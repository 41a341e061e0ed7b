//! What `update` asks of the rest of the house: data that can be compared, logged and replayed.

use super::{Decision, Language, Theme};
use crate::domain::{Filter, Flag, PredictionSource, SampleId, SortKey, Subject};

/// The number of a question; its answer carries it, and answers to questions that were asked anew are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RequestId(pub u64);

/// The number of a save; saves are never dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SaveId(pub u64);

/// How a contact sheet is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grouping {
    /// Not at all.
    #[default]
    None,
    /// By the predicted answer.
    Answer,
    /// By likeness of the pictures.
    Likeness,
}

impl Grouping {
    /// The next one in turn.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::None => Self::Answer,
            Self::Answer => Self::Likeness,
            Self::Likeness => Self::None,
        }
    }
}

/// Which samples, in which order. Whoever answers keeps the order as it was when the query was first asked, so that
/// places stay what they are while predictions arrive.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The filter as it was typed.
    pub text: String,
    /// The filter.
    pub filter: Filter,
    /// Whose predictions count.
    pub source: PredictionSource,
    /// Only samples whose prediction differs from this one's.
    pub against: Option<PredictionSource>,
    /// Groups come before the filter's order.
    pub grouping: Grouping,
    /// Those furthest from their like come first, within their group.
    pub outliers_first: bool,
}

impl Query {
    /// Whether a new prediction can change which samples there are, or their order.
    pub fn follows_predictions(&self) -> bool {
        let by_sort = matches!(self.filter.sort.key, SortKey::Confidence | SortKey::Disagreement);
        let by_term = self.filter.terms.iter().any(|term| match &term.subject {
            Subject::Field(_) | Subject::Predicted(_) | Subject::Confidence(_) => true,
            Subject::Flag(flag) => matches!(flag, Flag::Predicted | Flag::Disagree),
            _ => false,
        });
        by_sort || by_term || self.against.is_some() || self.grouping == Grouping::Answer
    }
}

/// Which place of a query's order is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The n-th undecided sample after (or before) a place; round the end to the beginning.
    Undecided {
        /// The place from which it is counted, not included.
        from: usize,
        /// Towards the beginning.
        backward: bool,
        /// 1 for the next one.
        nth: u32,
    },
    /// A sample by its id.
    Sample(SampleId),
}

/// Whether each sample was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveKind {
    /// Sample by sample.
    Single,
    /// Many at once: what others have claimed is left alone.
    Batch,
}

/// How urgent a prediction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Asked for by name.
    Selected,
    /// Among the next samples.
    Soon,
    /// On the screen.
    Now,
}

/// What is asked of the rest of the house. Effects are carried out in their order; what only reads may be late.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Rows of a query's order, `count` of them from a place.
    LoadPage {
        /// Asked as.
        request: RequestId,
        /// Of which order.
        query: Query,
        /// The number of that order; a new number is a new order.
        order: RequestId,
        /// The first place, from 0.
        from: usize,
        /// How many.
        count: usize,
    },
    /// Every row of a query's order, if there are at most `most`.
    LoadAll {
        /// Asked as.
        request: RequestId,
        /// The number of the order.
        order: RequestId,
        /// More are not wanted.
        most: usize,
    },
    /// The groups of a query's order.
    LoadGroups {
        /// Asked as.
        request: RequestId,
        /// The number of the order.
        order: RequestId,
    },
    /// A place in a query's order.
    Find {
        /// Asked as.
        request: RequestId,
        /// The number of the order.
        order: RequestId,
        /// Which one.
        target: Target,
    },
    /// One sample as it is now.
    LoadSample {
        /// Asked as.
        request: RequestId,
        /// Which one.
        sample: SampleId,
    },
    /// The pictures of the sample on the desk, and of those that come next, in this order.
    Pictures {
        /// The number of this look; pictures of an older one are not shown.
        generation: RequestId,
        /// The sample on the desk first.
        samples: Vec<SampleId>,
    },
    /// Decisions, to be made durable in one operation.
    Save {
        /// Saved as.
        save: SaveId,
        /// Looked at one by one, or not.
        kind: SaveKind,
        /// What was decided.
        decisions: Vec<Decision>,
    },
    /// Takes this reviewer's last operation back.
    Undo {
        /// Asked as.
        request: RequestId,
    },
    /// Takes the last undo back.
    Redo {
        /// Asked as.
        request: RequestId,
    },
    /// Tells others that the sample is being looked at.
    Claim(SampleId),
    /// Tells them that it still is.
    Renew(SampleId),
    /// Tells them that it is not any more.
    Release(SampleId),
    /// Predictions, the most urgent first.
    Predict {
        /// With what.
        source: PredictionSource,
        /// Of which samples.
        samples: Vec<SampleId>,
        /// How urgent.
        priority: Priority,
    },
    /// What all further predictions are made with.
    UseSource(PredictionSource),
    /// Writes the training set from approved samples.
    Export {
        /// Its folder; a relative one stands in the project.
        folder: String,
    },
    /// Trains an adapter over the model in use, in a process of its own.
    Train {
        /// What it will be called.
        name: String,
        /// Options of `mekiki train`.
        options: Vec<String>,
    },
    /// How many predictions differ between two sources.
    CountFlips {
        /// Asked as.
        request: RequestId,
        /// The one in use now.
        source: PredictionSource,
        /// The one before.
        against: PredictionSource,
    },
    /// The models, adapters, instructions and exemplars there are.
    ListSources,
    /// How many samples of the query stand where.
    Count {
        /// Asked as.
        request: RequestId,
        /// Of which order.
        order: RequestId,
    },
    /// The statistics of the source in use.
    LoadStats {
        /// Asked as.
        request: RequestId,
        /// Whose predictions.
        source: PredictionSource,
    },
    /// The saved views.
    ListViews,
    /// Saves a filter under a name.
    SaveView {
        /// The name.
        name: String,
        /// The filter as it was typed.
        text: String,
    },
    /// Stops a job.
    CancelJob(u64),
    /// Puts a job before the others.
    RaiseJob(u64),
    /// The conversation that will be written for a sample.
    Compose {
        /// Asked as.
        request: RequestId,
        /// Which one.
        sample: SampleId,
        /// The label that stands on the form.
        label: crate::domain::Label,
    },
    /// Remembers where the review stands, for the next start.
    RememberPlace {
        /// The filter as it was typed.
        text: String,
        /// The sample on the desk.
        sample: SampleId,
    },
    /// Remembers the reviewer's settings.
    RememberSettings {
        /// The interface's language.
        language: Language,
        /// The colours.
        theme: Theme,
    },
    /// Gives the terminal back until it is wanted again.
    Suspend,
    /// Ends the program: everything is saved.
    Quit,
}
