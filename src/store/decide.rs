//! Decisions: checked against what is there, logged and applied in one durable transaction.

use rusqlite::{Connection, OptionalExtension};

use super::log::{NewOperation, append, append_sample, reviewer_at};
use super::record::write_edit;
use super::writing::Writing;
use super::{OperationId, OperationKind, Reason, Refusal, Store, StoreError, Who};
use crate::domain::{Edit, FieldId, Label, ReviewerName, SampleId, Schema, Value, breaches};

/// The last operation that touched a sample when it was looked at. A decision made on an older one is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub(super) i64);

impl Revision {
    /// The revision of this number, as another process was told it.
    pub fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// Its number, to be told to another process; 0 before any operation.
    pub fn number(self) -> i64 {
        self.0
    }
}

/// One sample's part of a decision. Several edits of one sample may stand in one operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The sample.
    pub sample: SampleId,
    /// The revision that the reviewer saw.
    pub base: Revision,
    /// What becomes of it.
    pub edit: Edit,
}

/// What came of a decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The operation in the log; `None` when everything was refused.
    pub operation: Option<OperationId>,
    /// The samples that changed, and their new revision, in the order of the decisions.
    pub applied: Vec<SampleId>,
    /// The revision that all of `applied` now have.
    pub revision: Revision,
    /// The samples that were left alone, and why.
    pub refused: Vec<Refusal>,
}

/// How a decision was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecisionKind {
    /// Sample by sample.
    Single,
    /// Many at once, without a look at each: samples that another reviewer has claimed are left alone.
    Batch,
}

impl Store {
    /// Applies the decisions that can be applied and reports the others; they are durable when this returns.
    ///
    /// `source` says in the log where they came from, for example `review` or `approve --where state=undecided`.
    pub fn decide(&mut self, who: &Who, kind: DecisionKind, source: &str, decisions: &[Decision]) -> Result<Outcome, StoreError> {
        let writing = self.begin()?;
        let mut outcome = Outcome { operation: None, applied: Vec::new(), revision: Revision::default(), refused: Vec::new() };
        let mut accepted: Vec<(i64, &Decision)> = Vec::new();
        for decision in decisions {
            match writing.check(who, kind, decision)? {
                Ok(seq) => accepted.push((seq, decision)),
                Err(reason) => outcome.refused.push(Refusal { sample: decision.sample.clone(), reason }),
            }
        }
        let mut touched: Vec<i64> = accepted.iter().map(|(seq, _)| *seq).collect();
        touched.sort_unstable();
        touched.dedup();
        if touched.is_empty() {
            return Ok(outcome);
        }
        let kind = match kind {
            DecisionKind::Single => OperationKind::Decide,
            DecisionKind::Batch => OperationKind::Batch,
        };
        let new = NewOperation { who, time_ms: writing.now_ms, kind, samples: touched.len(), undoes: None, source };
        let (op, id) = append(&writing, &new)?;
        for (seq, decision) in &accepted {
            append_sample(&writing, op, *seq, decision.base.0, Some(&write_edit(writing.schema, &decision.edit)?))?;
            if matches!(decision.edit, Edit::Approve { .. } | Edit::Reject) {
                let mut done = writing.prepare_cached("DELETE FROM claims WHERE sample = ?1 AND reviewer = ?2")?;
                done.execute((seq, who.reviewer.as_str()))?;
            }
        }
        writing.refresh(&touched)?;
        writing.remember(&who.reviewer, op)?;
        writing.commit()?;
        outcome.applied = accepted.into_iter().map(|(_, decision)| decision.sample.clone()).collect();
        outcome.applied.dedup();
        Ok(Outcome { operation: Some(id), revision: Revision(op), ..outcome })
    }
}

impl Writing<'_> {
    /// The sample's number when the decision can be applied, else why not.
    fn check(&self, who: &Who, kind: DecisionKind, decision: &Decision) -> Result<Result<i64, Reason>, StoreError> {
        let mut statement =
            self.prepare_cached("SELECT s.seq, c.revision FROM samples s JOIN current c ON c.seq = s.seq WHERE s.id = ?1")?;
        let found = statement.query_row([decision.sample.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((seq, revision)) = found else { return Ok(Err(Reason::Unknown)) };
        if revision != decision.base.0 {
            let (by, time_ms) = author(self, revision)?;
            return Ok(Err(Reason::Stale { by, time_ms }));
        }
        if kind == DecisionKind::Batch
            && let Some(by) = self.claimed_by_another(seq, &who.reviewer)?
        {
            return Ok(Err(Reason::Claimed { by }));
        }
        Ok(allowed(self.schema, &decision.edit).map(|()| seq))
    }

    fn claimed_by_another(&self, seq: i64, reviewer: &ReviewerName) -> Result<Option<ReviewerName>, StoreError> {
        let mut statement = self.prepare_cached("SELECT reviewer FROM claims WHERE sample = ?1 AND reviewer <> ?2 AND expires_ms > ?3")?;
        let mut rows = statement.query((seq, reviewer.as_str(), self.now_ms))?;
        rows.next()?.map(|row| reviewer_at(row, 0)).transpose()
    }
}

/// Who made an operation, and when.
fn author(connection: &Connection, op: i64) -> Result<(ReviewerName, i64), StoreError> {
    let mut statement = connection.prepare_cached("SELECT reviewer, time_ms FROM operations WHERE seq = ?1")?;
    let mut rows = statement.query([op])?;
    match rows.next()? {
        Some(row) => Ok((reviewer_at(row, 0)?, row.get(1)?)),
        None => Err(StoreError::damaged("an operation for each revision (`mekiki rebuild` makes revisions anew)")(op)),
    }
}

/// Whether the schema and its rules take the edit.
fn allowed(schema: &Schema, edit: &Edit) -> Result<(), Reason> {
    match edit {
        Edit::Set { field, value, .. } => check_value(schema, &mut Label::default(), field, value),
        Edit::Approve { label: values, .. } => {
            let mut label = Label::default();
            values.iter().try_for_each(|(field, value, _)| check_value(schema, &mut label, field, value))?;
            let breaches = breaches(schema, &label);
            if breaches.is_empty() {
                return Ok(());
            }
            let text = breaches.iter().map(|breach| breach.message(schema)).collect::<Vec<_>>().join("; ");
            Err(Reason::Breaches { breaches, text })
        }
        Edit::Reject | Edit::Reopen | Edit::Flag(_) | Edit::Comment(_) => Ok(()),
    }
}

fn check_value(schema: &Schema, label: &mut Label, field: &FieldId, value: &Value) -> Result<(), Reason> {
    label.set(schema, field, value.clone()).map_err(|problem| Reason::NotAllowed(format!("{}: {}", problem.field, problem.error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Filter, State};
    use crate::store::CLAIM_MS;
    use crate::store::testing::{approve, id, label, pins, project, set, who};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    fn one(n: usize, base: Revision, edit: Edit) -> Vec<Decision> {
        vec![Decision { sample: id(n), base, edit }]
    }

    #[test]
    fn a_stale_decision_is_refused_by_name() {
        let (_dir, mut store) = project(pins(), 2);
        let seen = store.sample(&id(0)).unwrap().revision;
        let outcome = store.decide(&who("aiko"), DecisionKind::Single, "test", &one(0, seen, Edit::Reject)).unwrap();
        assert_eq!(outcome.applied, [id(0)]);
        let mut both = one(0, seen, Edit::Reopen);
        both.extend(one(1, Revision::default(), Edit::Flag(true)));
        let outcome = store.decide(&who("ben"), DecisionKind::Single, "test", &both).unwrap();
        assert_eq!(outcome.applied, [id(1)]);
        let refusal = outcome.refused[0].to_string();
        assert!(refusal.starts_with("pin-0000: aiko changed it at 20"), "{refusal}");
        assert_eq!(store.sample(&id(0)).unwrap().state, State::Rejected);
        assert_eq!(store.sample(&id(1)).unwrap().revision, outcome.revision);
    }

    #[test]
    fn only_whole_labels_within_the_rules_are_approved() {
        let schema = pins();
        let (_dir, mut store) = project(schema.clone(), 1);
        let mut refused = |edit| {
            let outcome = store.decide(&who("aiko"), DecisionKind::Single, "test", &one(0, Revision::default(), edit)).unwrap();
            assert_eq!(outcome.operation, None);
            outcome.refused[0].to_string()
        };
        assert!(refused(approve(&label(&schema, &[("judgement", "defective")]))).contains("defect_mode has no value"));
        let broken = label(&schema, &[("judgement", "passed"), ("defect_mode", "passed"), ("position", "U3")]);
        assert!(refused(approve(&broken)).contains("position = none must hold, since judgement = passed"));
        let foreign = Edit::Set {
            field: schema.fields()[0].id.clone(),
            value: Value::Choice("maybe".into()),
            origin: crate::domain::ValueOrigin::Typed,
        };
        assert!(refused(foreign).contains("one of passed, defective"));
        let unknown = vec![Decision { sample: id(9), base: Revision::default(), edit: Edit::Reject }];
        assert_eq!(store.decide(&who("aiko"), DecisionKind::Single, "test", &unknown).unwrap().refused[0].reason, Reason::Unknown);
        assert_eq!(store.log(None, 10).unwrap().len(), 1);
    }

    #[test]
    fn several_edits_of_one_sample_are_one_operation() {
        let schema = pins();
        let (_dir, mut store) = project(schema.clone(), 1);
        let edits = [set(&schema, "judgement", "defective"), set(&schema, "position", "C5"), Edit::Comment("傷".into())];
        let decisions: Vec<Decision> = edits.into_iter().flat_map(|edit| one(0, Revision::default(), edit)).collect();
        assert_eq!(store.decide(&who("aiko"), DecisionKind::Single, "form", &decisions).unwrap().applied, [id(0)]);
        let view = store.sample(&id(0)).unwrap();
        assert_eq!(view.label, label(&schema, &[("judgement", "defective"), ("defect_mode", "passed"), ("position", "C5")]));
        assert_eq!((view.decided.len(), view.comment.as_str()), (2, "傷"));
        store.undo(&who("aiko")).unwrap();
        assert_eq!(store.sample(&id(0)).unwrap().label, view.sample.imported);
        let log = store.log(None, 10).unwrap();
        let told: Vec<_> = log.iter().map(|operation| (operation.kind.name(), operation.samples, operation.undoes)).collect();
        assert_eq!(told, [("undo", 1, Some(log[1].id)), ("decide", 1, None), ("import", 1, None)]);
        assert_eq!((log[0].parent, log[2].parent), (Some(log[1].id), None));
        assert_eq!(store.log(Some(log[0].number), 1).unwrap(), log[1..2]);
    }

    #[test]
    fn batches_leave_claimed_samples_alone() {
        let (_dir, mut store) = project(pins(), 3);
        let clock = Arc::new(AtomicI64::new(1_000));
        let shared = Arc::clone(&clock);
        store.set_clock(move || shared.load(Ordering::Relaxed));
        let claim = |store: &mut Store, reviewer| {
            store.claim_next(&Filter::default(), &who(reviewer).reviewer, reviewer).unwrap().map(|view| view.sample.id)
        };
        assert_eq!(claim(&mut store, "aiko"), Some(id(0)));
        assert_eq!(claim(&mut store, "aiko"), Some(id(1)));
        let batch: Vec<Decision> = (0..3).flat_map(|n| one(n, Revision::default(), Edit::Reject)).collect();
        let outcome = store.decide(&who("ben"), DecisionKind::Batch, "test", &batch).unwrap();
        assert_eq!(outcome.applied, [id(2)]);
        assert_eq!(outcome.refused[0].to_string(), "pin-0000: aiko is looking at it");
        assert_eq!(claim(&mut store, "aiko"), None);
        clock.fetch_add(CLAIM_MS - 1, Ordering::Relaxed);
        assert_eq!(store.renew("aiko").unwrap(), 2);
        clock.fetch_add(CLAIM_MS, Ordering::Relaxed);
        assert_eq!(claim(&mut store, "ben"), Some(id(0)), "an expired claim is taken over");
        assert_eq!(store.sample(&id(0)).unwrap().claim.map(|claim| claim.reviewer), Some(who("ben").reviewer));
        store.release("aiko").unwrap();
        assert_eq!(claim(&mut store, "aiko"), Some(id(1)));
    }

    #[test]
    fn the_log_cannot_be_changed() {
        let (_dir, mut store) = project(pins(), 1);
        store.decide(&who("aiko"), DecisionKind::Single, "test", &one(0, Revision::default(), Edit::Reject)).unwrap();
        for sql in [
            "UPDATE operations SET reviewer = 'ben'",
            "DELETE FROM operations",
            "UPDATE operation_samples SET edit = NULL",
            "DELETE FROM operation_samples",
        ] {
            let error = store.connection.execute(sql, []).unwrap_err();
            assert!(error.to_string().contains("append-only"), "{sql}: {error}");
        }
    }

    #[test]
    fn a_changed_schema_is_noticed() {
        let (dir, mut store) = project(pins(), 2);
        let other = crate::store::testing::every_kind();
        let mut newer = Store::open(dir.path(), &Arc::new(other)).unwrap();
        let decision = one(0, Revision::default(), Edit::Reject);
        assert!(matches!(store.decide(&who("aiko"), DecisionKind::Single, "test", &decision), Err(StoreError::SchemaChanged)));
        assert!(matches!(store.count(&Filter::default()), Err(StoreError::SchemaChanged)));
        assert_eq!(newer.decide(&who("aiko"), DecisionKind::Single, "test", &decision).unwrap().applied, [id(0)]);
        assert_eq!(newer.rebuild().unwrap(), crate::store::Rebuilt::default());
    }
}
