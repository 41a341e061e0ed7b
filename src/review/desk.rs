//! The sample that is being decided on: its form, what of it was drawn, and where the focus lies.

use std::sync::Arc;

use super::entry::{Change, Decision, Entry};
use super::form::{Doubt, Form};
use super::{Editor, RequestId};
use crate::conversation::ImageRole;
use crate::domain::{ContentHash, Field, ImageHashes, Schema, Shown, Value, ValueOrigin};

/// What the last frame showed: an accept carries this, with what the reviewer has typed since, and nothing that
/// arrived in between.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    form: Form,
    shown: Shown,
    images: Option<ImageHashes>,
}

impl Seen {
    fn decide(&self, change: Change) -> Decision {
        let entry = self.form.entry();
        Decision { sample: entry.id.clone(), base: entry.revision, change }
    }
}

/// How a picture of the sample stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Picture {
    /// On its way.
    #[default]
    Awaited,
    /// There; its file has this hash.
    Ready(ContentHash),
    /// There is none, and why.
    Failed(String),
}

/// Why nothing was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// No frame has shown the sample yet.
    Unseen,
    /// A field is in doubt.
    Doubt(usize, Doubt),
}

/// The sample on the desk.
#[derive(Debug, Clone, PartialEq)]
pub struct Desk {
    /// Its place in the queue, where it has one.
    pub index: Option<usize>,
    /// Its form, with everything that is known now.
    pub form: Form,
    /// The field that has the focus.
    pub focus: usize,
    /// What is being typed into it.
    pub editor: Option<Editor>,
    /// Steps by which a box is moved, in 1/1024 of the picture.
    pub box_step: u16,
    /// The look that its pictures belong to.
    pub generation: RequestId,
    /// The question whose answer is the sample as it is now.
    pub refresh: RequestId,
    /// The query picture.
    pub query: Picture,
    /// The reference picture.
    pub reference: Picture,
    /// The exemplar.
    pub exemplar: Picture,
    seen: Option<Seen>,
}

/// Coarse steps of a box.
const COARSE: u16 = 16;
/// Fine steps of a box: about a pixel.
const FINE: u16 = 2;

impl Desk {
    /// Lays a sample on the desk. The focus lies on the first field in doubt, else on the first field.
    pub fn new(schema: Arc<Schema>, entry: Arc<Entry>, index: Option<usize>) -> Self {
        let mut desk = Self {
            index,
            form: Form::new(schema, entry),
            focus: 0,
            editor: None,
            box_step: COARSE,
            generation: RequestId::default(),
            refresh: RequestId::default(),
            query: Picture::Awaited,
            reference: Picture::Awaited,
            exemplar: Picture::Awaited,
            seen: None,
        };
        desk.ask_next();
        desk
    }

    /// The sample.
    pub fn entry(&self) -> &Arc<Entry> {
        self.form.entry()
    }

    /// The field that has the focus.
    pub fn field(&self) -> &Field {
        &self.form.fields()[self.focus]
    }

    /// Whether a frame has shown the sample.
    pub fn was_seen(&self) -> bool {
        self.seen.is_some()
    }

    /// What the next accept would carry.
    pub fn seen_form(&self) -> Option<&Form> {
        self.seen.as_ref().map(|seen| &seen.form)
    }

    /// A frame has shown the desk as it is.
    pub fn drawn(&mut self, shown: Shown) {
        let query = if let Picture::Ready(hash) = self.query { Some(hash) } else { None };
        let reference = match (&self.reference, self.entry().own_reference) {
            (Picture::Ready(hash), true) => Some(Some(*hash)),
            (_, true) => None,
            (_, false) => Some(None),
        };
        let images = query.zip(reference).map(|(query, reference)| ImageHashes { query, reference });
        match &mut self.seen {
            Some(seen) if seen.form == self.form => (seen.shown, seen.images) = (shown, images),
            _ => self.seen = Some(Seen { form: self.form.clone(), shown, images }),
        }
    }

    /// A picture has come, or will not.
    pub fn picture(&mut self, role: ImageRole, outcome: Result<ContentHash, String>) {
        let picture = match role {
            ImageRole::Query => &mut self.query,
            ImageRole::Reference => &mut self.reference,
            ImageRole::Exemplar => &mut self.exemplar,
            ImageRole::Difference => return,
        };
        *picture = outcome.map_or_else(Picture::Failed, Picture::Ready);
    }

    /// The store or the model says something new. It is shown, but not accepted before it was drawn.
    pub fn learn(&mut self, entry: Arc<Entry>) {
        self.form = self.form.over(entry);
    }

    /// A change of ours is durable: what was drawn is still what the store holds, but for that change.
    pub fn own_change(&mut self, apply: impl Fn(&Entry) -> Entry) {
        let forms = std::iter::once(&mut self.form).chain(self.seen.as_mut().map(|seen| &mut seen.form));
        for form in forms {
            *form = form.over(Arc::new(apply(form.entry())));
        }
    }

    /// The reviewer changes the form: what is shown and what will be accepted alike.
    pub fn edit(&mut self, change: impl Fn(&mut Form) -> bool) -> bool {
        if let Some(seen) = &mut self.seen {
            change(&mut seen.form);
        }
        change(&mut self.form)
    }

    /// Gives the field with the focus a value, and goes to the next field in doubt.
    pub fn give(&mut self, value: &Value, origin: &ValueOrigin) -> bool {
        let focus = self.focus;
        let given = self.edit(|form| form.give(focus, value.clone(), origin.clone()));
        if given {
            self.editor = None;
            self.ask_next();
        }
        given
    }

    /// Puts the focus on a field and asks for its value.
    pub fn ask(&mut self, field: usize) {
        self.focus = field.min(self.form.fields().len().saturating_sub(1));
        self.editor = Editor::asking(self.field());
    }

    /// Asks for the first field in doubt, if there is one.
    pub fn ask_next(&mut self) {
        if let Some((field, _)) = self.form.doubts().first() {
            self.ask(*field);
        }
    }

    /// Switches between coarse and fine steps.
    pub fn switch_step(&mut self) {
        self.box_step = if self.box_step == COARSE { FINE } else { COARSE };
    }

    /// The decision that accepts what was drawn.
    pub fn accept(&self) -> Result<Decision, Hold> {
        let seen = self.seen.as_ref().ok_or(Hold::Unseen)?;
        let label = seen.form.approval().map_err(|(field, doubt)| Hold::Doubt(field, doubt))?;
        Ok(seen.decide(Change::Approve { label, images: seen.images.clone(), shown: seen.shown.clone() }))
    }

    /// Any other decision on what was drawn.
    pub fn decision(&self, change: Change) -> Result<Decision, Hold> {
        self.seen.as_ref().map(|seen| seen.decide(change)).ok_or(Hold::Unseen)
    }

    /// What the reviewer has said without accepting, to be kept when the desk is left.
    pub fn unfinished(&self) -> Vec<Decision> {
        let form = self.seen.as_ref().map_or(&self.form, |seen| &seen.form);
        let entry = form.entry();
        let kept =
            form.changes().into_iter().filter(|(field, value, _)| entry.label.get(field) != Some(value) || !entry.decided.contains(field));
        let decision = |change| Decision { sample: entry.id.clone(), base: entry.revision, change };
        kept.map(|(field, value, origin)| decision(Change::Set { field, value, origin })).collect()
    }
}
