//! Training sets, trainings, and what changed with them.

use crate::domain::Filter;
use crate::review::prompt::{Prompt, Question};
use crate::review::state::{Overlay, Screen};
use crate::review::{Action, Changed, Effect, Grouping, JobKind, Notice, Query, State};

/// Where a training set goes unless something else is typed.
const FOLDER: &str = "training-set";

impl State {
    /// Asks where the training set goes, or what is trained.
    pub(super) fn loop_prompt(&self, action: Action) -> Option<Overlay> {
        let prompt = match action {
            Action::Export => Prompt::new(Question::ExportFolder, FOLDER),
            Action::TrainAdapter => {
                // One more than there are: one of them is free.
                let mut names = (1..=self.sources.adapters.len() + 1).map(|nth| format!("adapter-{nth}"));
                let free = names.find(|name| !self.sources.adapters.contains(name));
                Prompt::new(Question::Training, &free.unwrap_or_default())
            }
            _ => return None,
        };
        Some(Overlay::Prompt(prompt))
    }

    /// Sends the answer off, or asks again.
    pub(super) fn answer_loop(&mut self, mut prompt: Prompt, text: &str) {
        let mut words = text.split_whitespace().map(str::to_owned);
        match (prompt.question, words.next()) {
            (_, None) => {}
            (Question::Training, Some(name)) if name.starts_with('-') || name.contains('/') => {
                let expected = "expected a name, then options of 'mekiki train', such as adapter-1 --steps 200";
                let ja = "名前と、必要なら 'mekiki train' のオプションを入力してください(例: adapter-1 --steps 200)";
                prompt.problem = Some(self.language.choose(expected, ja).to_owned());
                self.overlay = Some(Overlay::Prompt(prompt));
            }
            (Question::Training, Some(name)) => {
                self.say(Notice::TrainingSent(name.clone()));
                self.emit(Effect::Train { name, options: words.collect() });
            }
            _ => self.emit(Effect::Export { folder: text.to_owned() }),
        }
    }

    /// Stops the job under the cursor, or takes it up again.
    pub(super) fn act_on_job(&mut self, action: Action) -> bool {
        let Some((id, kind)) = self.tasks.current().map(|job| (job.id, job.kind)) else { return false };
        match (kind, action) {
            // A training set appears whole or not at all: what is begun is finished.
            (JobKind::Export, _) => return false,
            (JobKind::Train { .. }, Action::CancelTask) => self.say(Notice::StopAsked),
            _ => {}
        }
        self.emit(if action == Action::CancelTask { Effect::CancelJob(id) } else { Effect::RaiseJob(id) });
        true
    }

    /// What changed is told, and opened when the reviewer wants to see it.
    pub(super) fn changed(&mut self, changed: Changed) {
        self.say(Notice::Changed { name: changed.name.clone(), count: changed.count });
        self.changed = Some(changed);
    }

    /// Puts what was trained to use, and opens the samples of which it says something else.
    pub(super) fn open_changes(&mut self) -> bool {
        let Some(Changed { source, against, count, .. }) = self.changed.take() else { return false };
        self.source = source.clone();
        self.before = Some((against.clone(), Some(count)));
        self.emit(Effect::UseSource(source.clone()));
        self.screen = Screen::Queue;
        let (text, filter, against) = (String::new(), Filter::default(), Some(against));
        self.ask_for(Query { text, filter, source, against, grouping: Grouping::None, outliers_first: false }, None);
        if let Some(sample) = self.desk.as_ref().map(|desk| desk.entry().id.clone()) {
            self.load_sample(sample);
        }
        true
    }
}
