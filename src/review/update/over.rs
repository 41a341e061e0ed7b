//! What lies on top: prompts, lists to pick from, pages to read, previews.

use crate::domain::{Filter, SampleId, Sort, SortKey};
use crate::review::picker::{Item, Pick, Picker};
use crate::review::prompt::{Prompt, Question};
use crate::review::state::{Overlay, Page, Screen};
use crate::review::tasks::Part;
use crate::review::{Action, Effect, Notice, Purpose, Query, State, Target};

/// The orders to choose from, by their words in the filter language.
const ORDERS: [(&str, SortKey, bool); 7] = [
    ("import", SortKey::Import, false),
    ("id", SortKey::Id, false),
    ("confidence", SortKey::Confidence, false),
    ("-confidence", SortKey::Confidence, true),
    ("-disagreement", SortKey::Disagreement, true),
    ("decided", SortKey::Decided, false),
    ("-decided", SortKey::Decided, true),
];

impl State {
    /// Opens what the action opens.
    pub(super) fn open_overlay(&mut self, action: Action) -> bool {
        let overlay = match action {
            Action::Palette => Overlay::Picker(Picker::palette(self.language)),
            Action::Help => Overlay::Reader(Page::Help(self.context().scope), 0),
            Action::Filter => Overlay::Prompt(Prompt::new(Question::Filter, &self.queue.query.text)),
            Action::SaveView => Overlay::Prompt(Prompt::new(Question::ViewName, "")),
            Action::JumpTo => Overlay::Prompt(Prompt::new(Question::SampleId, "")),
            Action::Comment => match self.desk.as_ref().map(|desk| desk.entry().comment.clone()) {
                Some(comment) => Overlay::Prompt(Prompt::new(Question::Comment, &comment)),
                None => return false,
            },
            Action::SortBy => Overlay::Picker(Picker::new(action, self.orders())),
            Action::Views => Overlay::Picker(Picker::new(action, self.saved_views())),
            Action::SwitchModel => self.parts(action, Part::Model),
            Action::SwitchAdapter => self.parts(action, Part::Adapter),
            Action::SwitchInstruction => self.parts(action, Part::Instruction),
            Action::SwitchExemplar => self.parts(action, Part::Exemplar),
            Action::SwitchKind => self.parts(action, Part::Kind),
            Action::SetSelection if matches!(self.screen, Screen::Sheet | Screen::Queue) => {
                if !self.end_range() {
                    return true;
                }
                Overlay::Picker(Picker::new(action, self.settable_fields()))
            }
            Action::Export | Action::TrainAdapter => match self.loop_prompt(action) {
                Some(prompt) => prompt,
                None => return false,
            },
            Action::ShowConversation => return self.compose(Page::Conversation(None)),
            Action::ShowInstruction => return self.compose(Page::Instruction(None)),
            _ => return false,
        };
        self.overlay = Some(overlay);
        true
    }

    fn compose(&mut self, page: Page) -> bool {
        let Some((sample, label)) = self.desk.as_ref().map(|desk| (desk.entry().id.clone(), desk.form.label())) else { return false };
        let request = self.ask();
        self.awaited.compose = Some(request);
        self.emit(Effect::Compose { request, sample, label });
        self.read(page);
        true
    }

    fn parts(&self, action: Action, part: Part) -> Overlay {
        let item = |(text, source)| Item { text, detail: String::new(), pick: Pick::Use(source) };
        let choices = self.sources.choices(part, &self.source).into_iter();
        Overlay::Picker(Picker::new(action, choices.map(item).collect()))
    }

    fn orders(&self) -> Vec<Item> {
        let item = |(word, key, descending): (&str, SortKey, bool)| {
            let others = self.queue.query.text.split_whitespace().filter(|word| !word.starts_with("sort="));
            let text = others.map(str::to_owned).chain([format!("sort={word}")]).collect::<Vec<_>>().join(" ");
            let filter = Filter { sort: Sort { key, descending }, ..self.queue.query.filter.clone() };
            let query = Query { text, filter, outliers_first: false, ..self.queue.query.clone() };
            Item { text: word.to_owned(), detail: String::new(), pick: Pick::Ask(Box::new(query)) }
        };
        let outliers = Query { outliers_first: true, ..self.queue.query.clone() };
        let detail = self.language.help(Action::OutliersFirst).to_owned();
        let last = Item { text: "outliers".to_owned(), detail, pick: Pick::Ask(Box::new(outliers)) };
        ORDERS.into_iter().map(item).chain([last]).collect()
    }

    fn saved_views(&self) -> Vec<Item> {
        let item = |view: &crate::review::View| {
            let filter = Filter::parse(&self.schema, &view.text).ok()?;
            let query = Query { text: view.text.clone(), filter, against: None, ..self.queue.query.clone() };
            Some(Item { text: view.name.clone(), detail: view.text.clone(), pick: Pick::Ask(Box::new(query)) })
        };
        self.views.iter().filter_map(item).collect()
    }

    /// The fields whose values can be listed: a batch gives all its samples the same one.
    fn settable_fields(&self) -> Vec<Item> {
        let fields = self.schema.fields().iter().enumerate().filter(|(_, field)| field.values().is_some());
        fields.map(|(index, field)| Item { text: field.id.to_string(), detail: field.title.clone(), pick: Pick::Field(index) }).collect()
    }

    pub(super) fn type_into_overlay(&mut self, text: &str) {
        match &mut self.overlay {
            Some(Overlay::Prompt(prompt)) => {
                prompt.problem = None;
                prompt.input.insert(text);
            }
            Some(Overlay::Picker(picker)) => {
                picker.input.insert(text);
                picker.put_cursor(0);
            }
            Some(Overlay::Reader(..) | Overlay::Preview(_)) | None => {}
        }
    }

    pub(super) fn act_on_overlay(&mut self, action: Action, count: Option<u32>) {
        let Some(overlay) = self.overlay.take() else { return };
        let page = self.layout.list_rows.max(1);
        let times = count.unwrap_or(1).max(1) as usize;
        match (overlay, action) {
            (_, Action::Back) => self.awaited.compose = None,
            (Overlay::Prompt(prompt), Action::Commit) => self.answer(prompt),
            (Overlay::Prompt(mut prompt), _) => {
                if action == Action::Complete {
                    prompt.complete(&self.schema);
                } else {
                    prompt.input.act(action);
                }
                prompt.problem = None;
                self.overlay = Some(Overlay::Prompt(prompt));
            }
            (Overlay::Picker(picker), Action::Commit) => {
                if let Some(pick) = picker.picked() {
                    self.pick(picker.title, pick);
                }
            }
            (Overlay::Picker(mut picker), _) => {
                let line = moved(picker.cursor(), action, times, page);
                if line.is_none() {
                    picker.input.act(action);
                }
                picker.put_cursor(line.unwrap_or(0));
                self.overlay = Some(Overlay::Picker(picker));
            }
            (Overlay::Reader(text, line), _) => {
                // Where a page ends only drawing knows; the end is as far as a line number goes.
                let line = moved(line, action, times, page).unwrap_or(line).min(usize::from(u16::MAX));
                self.overlay = Some(Overlay::Reader(text, line));
            }
            (Overlay::Preview(preview), Action::Confirm) => self.confirm(*preview),
            (Overlay::Preview(preview), Action::SpotCheck) => self.begin_spot(*preview, count),
            (Overlay::Preview(mut preview), _) => {
                let last = preview.rows.len().saturating_sub(1);
                preview.scroll = moved(preview.scroll, action, times, page).unwrap_or(preview.scroll).min(last);
                self.overlay = Some(Overlay::Preview(preview));
            }
        }
    }

    fn answer(&mut self, mut prompt: Prompt) {
        let text = prompt.input.text().trim().to_owned();
        match prompt.question {
            Question::Filter => match Filter::parse(&self.schema, &text) {
                Ok(filter) => {
                    let query = Query { text, filter, against: None, ..self.queue.query.clone() };
                    self.ask_for(query, None);
                }
                Err(error) => {
                    prompt.problem = Some(error.to_string());
                    self.overlay = Some(Overlay::Prompt(prompt));
                }
            },
            Question::Comment => self.comment(&text),
            Question::ViewName if text.is_empty() => {}
            Question::ViewName => {
                self.emit(Effect::SaveView { name: text.clone(), text: self.queue.query.text.clone() });
                self.say(Notice::ViewSaved(text));
            }
            Question::ExportFolder | Question::Training => self.answer_loop(prompt, &text),
            Question::SampleId => match SampleId::new(text) {
                Ok(sample) => self.find(Target::Sample(sample)),
                Err(_) => self.say(Notice::NoSuchSample),
            },
        }
    }

    /// Does what a picked item does. The list is closed already, so that an action meets the screen below.
    pub(super) fn pick(&mut self, title: Action, pick: Pick) {
        match pick {
            Pick::Act(action) => self.act(action, None),
            Pick::Ask(query) => self.ask_again(*query),
            Pick::Use(source) => self.use_source(source),
            Pick::Set(field, value) => self.preview(Purpose::Set(field, value)),
            Pick::Field(index) => {
                let Some(field) = self.schema.fields().get(index) else { return };
                let values = field.values().unwrap_or_default().into_iter();
                let item = |value| Item { text: field.render(&value), detail: String::new(), pick: Pick::Set(index, value) };
                self.overlay = Some(Overlay::Picker(Picker::new(title, values.map(item).collect())));
            }
        }
    }
}

/// A line moved by a cursor key; `None` for any other action.
fn moved(line: usize, action: Action, times: usize, page: usize) -> Option<usize> {
    Some(match action {
        Action::Up => line.saturating_sub(times),
        Action::Down => line.saturating_add(times),
        Action::PageUp => line.saturating_sub(times.saturating_mul(page)),
        Action::PageDown => line.saturating_add(times.saturating_mul(page)),
        Action::First => 0,
        Action::Last => usize::MAX,
        _ => return None,
    })
}
