//! What a sample's log amounts to: the pure heart of the store.

use std::collections::BTreeSet;

use crate::domain::{Edit, FieldId, ImageHashes, Label, ReviewerName, Schema, State, ValueOrigin};

/// One line of a sample's log.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The operation's number.
    pub op: i64,
    /// The operation that it undoes.
    pub undoes: Option<i64>,
    /// Whose it is.
    pub reviewer: ReviewerName,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
    /// What it does; `None` for undo, redo, import, and values that the schema no longer allows.
    pub edit: Option<Edit>,
}

/// Who approved, and on what grounds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Approval {
    pub op: i64,
    pub images: ImageHashes,
    pub origins: Vec<(FieldId, ValueOrigin)>,
}

/// Where a sample stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Effective {
    pub label: Label,
    /// The fields whose value a reviewer has set or approved.
    pub decided: BTreeSet<FieldId>,
    pub state: State,
    /// Who decided last, and when. Marks and remarks are no decisions.
    pub by: Option<(ReviewerName, i64)>,
    pub flagged: bool,
    pub comment: String,
    /// Present while the state is approved.
    pub approval: Option<Approval>,
}

/// Lays the entries (oldest first) that count over the imported label. An operation counts for a sample unless a
/// later operation that counts undoes it, so that redo is an undo of an undo.
///
/// A value set on a decided sample opens it again: an approval is for a whole label and no other.
pub(super) fn effective(schema: &Schema, imported: Label, entries: &[Entry]) -> Effective {
    let mut cancelled = Vec::new();
    let mut counting = Vec::new();
    for entry in entries.iter().rev() {
        if cancelled.contains(&entry.op) {
            continue;
        }
        match entry.undoes {
            Some(undone) => cancelled.push(undone),
            None => counting.push(entry),
        }
    }
    let mut now = Effective {
        label: imported,
        decided: BTreeSet::new(),
        state: State::Undecided,
        by: None,
        flagged: false,
        comment: String::new(),
        approval: None,
    };
    for entry in counting.into_iter().rev() {
        now.apply(schema, entry);
    }
    now
}

impl Effective {
    fn apply(&mut self, schema: &Schema, entry: &Entry) {
        let Some(edit) = &entry.edit else { return };
        match edit {
            Edit::Flag(on) => return self.flagged = *on,
            Edit::Comment(text) => return self.comment.clone_from(text),
            Edit::Set { field, value, .. } => {
                if self.label.set(schema, field, value.clone()).is_ok() {
                    self.decided.insert(field.clone());
                }
                self.state = State::Undecided;
            }
            Edit::Approve { label, .. } => {
                self.label = Label::default();
                for (field, value, _) in label {
                    // Values that the schema does not allow were left out when the edit was read.
                    let _ = self.label.set(schema, field, value.clone());
                }
                self.decided = label.iter().map(|(field, ..)| field.clone()).collect();
                self.state = State::Approved;
            }
            Edit::Reject => self.state = State::Rejected,
            Edit::Reopen => self.state = State::Undecided,
        }
        self.by = Some((entry.reviewer.clone(), entry.time_ms));
        self.approval = match edit {
            Edit::Approve { label, images, .. } => Some(Approval {
                op: entry.op,
                images: images.clone(),
                origins: label.iter().map(|(field, _, origin)| (field.clone(), origin.clone())).collect(),
            }),
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{approve, label, pins, set};

    fn entry(op: i64, undoes: Option<i64>, edit: Option<Edit>) -> Entry {
        Entry { op, undoes, reviewer: ReviewerName::new("aiko").unwrap(), time_ms: op * 10, edit }
    }

    #[test]
    fn undo_and_redo_alternate() {
        let schema = pins();
        let imported = label(&schema, &[("judgement", "passed")]);
        let mut log = vec![entry(1, None, Some(set(&schema, "judgement", "defective"))), entry(2, None, Some(Edit::Reject))];
        let state = |log: &[Entry]| effective(&schema, imported.clone(), log).state;
        assert_eq!(state(&log), State::Rejected);
        for (op, undoes, expected) in [(3, 2, State::Undecided), (4, 3, State::Rejected), (5, 2, State::Undecided), (6, 5, State::Rejected)]
        {
            log.push(entry(op, Some(undoes), None));
            assert_eq!(state(&log), expected, "after {op}");
        }
        let now = effective(&schema, imported.clone(), &log);
        assert_eq!(now.by.unwrap().1, 20);
        assert_eq!(now.label, label(&schema, &[("judgement", "defective")]));
    }

    #[test]
    fn an_approval_holds_until_something_is_decided() {
        let schema = pins();
        let whole = label(&schema, &[("judgement", "passed"), ("defect_mode", "passed"), ("position", "none")]);
        let mut log = vec![entry(1, None, Some(approve(&whole))), entry(2, None, Some(Edit::Flag(true)))];
        let now = effective(&schema, Label::default(), &log);
        assert_eq!((now.state, now.approval.map(|approval| approval.op), now.flagged), (State::Approved, Some(1), true));
        log.push(entry(3, None, Some(set(&schema, "position", "U3"))));
        let now = effective(&schema, Label::default(), &log);
        assert_eq!((now.state, now.approval), (State::Undecided, None));
        assert_eq!(now.decided.len(), 3);
    }
}
