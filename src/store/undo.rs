//! Undo and redo: new operations that take earlier ones back, reviewer by reviewer.

use rusqlite::params;

use super::history::{Change, Stack, top, undone_by};
use super::log::{NewOperation, append, append_sample, operation_id, reviewer_at};
use super::writing::Writing;
use super::{OperationId, OperationKind, Reason, Refusal, Store, StoreError, Who};
use crate::domain::{ReviewerName, SampleId};

/// What came of an undo or redo.
#[derive(Debug, Clone, PartialEq)]
pub struct StepBack {
    /// The new operation in the log.
    pub operation: OperationId,
    /// The operation that it takes back: a decision (undo) or an undo (redo).
    pub of: OperationId,
    /// The samples that changed. Where others have decided on all of them since, none: the step is then off the
    /// reviewer's stack, so that the next one reaches the decision before it.
    pub applied: Vec<SampleId>,
    /// The samples that were left alone, since another reviewer has decided on them.
    pub refused: Vec<Refusal>,
}

impl Store {
    /// Takes the reviewer's last decision back that still stands, as one, however many samples it was for.
    pub fn undo(&mut self, who: &Who) -> Result<StepBack, StoreError> {
        self.step(who, Stack::Undo)
    }

    /// Brings the reviewer's last undone decision back.
    pub fn redo(&mut self, who: &Who) -> Result<StepBack, StoreError> {
        self.step(who, Stack::Redo)
    }

    fn step(&mut self, who: &Who, stack: Stack) -> Result<StepBack, StoreError> {
        let writing = self.begin()?;
        let nothing = || match stack {
            Stack::Undo => StoreError::NothingToUndo(who.reviewer.clone()),
            Stack::Redo => StoreError::NothingToRedo(who.reviewer.clone()),
        };
        let top = top(&writing, &who.reviewer, stack)?.ok_or_else(nothing)?;
        let (mut touched, mut applied, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for (seq, revision, sample) in writing.samples_of(top)? {
            if let Some(reason) = writing.decided_since(seq, top, &who.reviewer)? {
                refused.push(Refusal { sample, reason });
            } else {
                touched.push((seq, revision));
                applied.push(sample);
            }
        }
        let kind = match stack {
            Stack::Undo => OperationKind::Undo,
            Stack::Redo => OperationKind::Redo,
        };
        let new = NewOperation { who, time_ms: writing.now_ms, kind, samples: touched.len(), undoes: Some(top), source: "" };
        let (op, operation) = append(&writing, &new)?;
        touched.iter().try_for_each(|(seq, revision)| append_sample(&writing, op, *seq, *revision, None))?;
        writing.refresh(&touched.iter().map(|(seq, _)| *seq).collect::<Vec<_>>())?;
        let undone = undone_by(&writing, top)?;
        Change::of(stack, op, top, undone, touched.len()).apply(&writing, &who.reviewer)?;
        let of = operation_id(&writing, top)?;
        writing.commit()?;
        Ok(StepBack { operation, of, applied, refused })
    }
}

impl Writing<'_> {
    /// Number, revision and id of each sample of an operation.
    fn samples_of(&self, op: i64) -> Result<Vec<(i64, i64, SampleId)>, StoreError> {
        let mut statement = self.prepare_cached(
            "SELECT DISTINCT o.sample, c.revision, s.id FROM operation_samples o JOIN current c ON c.seq = o.sample \
             JOIN samples s ON s.seq = o.sample WHERE o.op = ?1",
        )?;
        let mut rows = statement.query([op])?;
        let mut samples = Vec::new();
        while let Some(row) = rows.next()? {
            let id = SampleId::new(row.get::<_, String>(2)?).map_err(StoreError::damaged("a sample's id"))?;
            samples.push((row.get(0)?, row.get(1)?, id));
        }
        Ok(samples)
    }

    /// The last operation of another reviewer on a sample since `op`. Imports are nobody's decision.
    fn decided_since(&self, sample: i64, op: i64, reviewer: &ReviewerName) -> Result<Option<Reason>, StoreError> {
        let mut statement = self.prepare_cached(
            "SELECT o.reviewer, o.time_ms FROM operation_samples s JOIN operations o ON o.seq = s.op \
             WHERE s.sample = ?1 AND s.op > ?2 AND o.reviewer <> ?3 AND o.kind <> 'import' ORDER BY s.op DESC LIMIT 1",
        )?;
        let mut rows = statement.query(params![sample, op, reviewer.as_str()])?;
        match rows.next()? {
            Some(row) => Ok(Some(Reason::DecidedSince { by: reviewer_at(row, 0)?, time_ms: row.get(1)? })),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Edit, Label, Schema, State};
    use crate::store::testing::{approve, id, label, pins, project, set, who};
    use crate::store::{Decision, DecisionKind, Rebuilt, Revision, SampleView};
    use proptest::prelude::*;

    fn decide(store: &mut Store, reviewer: &str, samples: &[usize], edit: &Edit) {
        let decisions: Vec<Decision> = samples
            .iter()
            .map(|n| Decision { sample: id(*n), base: store.sample(&id(*n)).unwrap().revision, edit: edit.clone() })
            .collect();
        let outcome = store.decide(&who(reviewer), DecisionKind::Batch, "test", &decisions).unwrap();
        assert_eq!((outcome.applied.len(), outcome.refused), (samples.len(), vec![]));
    }

    fn state(store: &Store, n: usize) -> State {
        store.sample(&id(n)).unwrap().state
    }

    fn passed(schema: &Schema) -> Edit {
        approve(&label(schema, &[("judgement", "passed"), ("defect_mode", "passed"), ("position", "none")]))
    }

    #[test]
    fn a_batch_undoes_as_one() {
        let (dir, mut store) = project(pins(), 5);
        let edit = passed(&pins());
        decide(&mut store, "aiko", &[0, 1, 2], &edit);
        decide(&mut store, "aiko", &[3], &Edit::Reject);
        store.undo(&who("aiko")).unwrap();
        drop(store);
        // Undo survives a restart.
        let mut store = Store::open(dir.path(), &std::sync::Arc::new(pins())).unwrap();
        assert_eq!(store.undo(&who("aiko")).unwrap().applied, [id(0), id(1), id(2)]);
        assert_eq!(store.stats().unwrap().undecided, 5);
        assert!(matches!(store.undo(&who("aiko")), Err(StoreError::NothingToUndo(_))));
        assert_eq!(store.redo(&who("aiko")).unwrap().applied.len(), 3);
        assert_eq!(store.redo(&who("aiko")).unwrap().applied, [id(3)]);
        assert!(matches!(store.redo(&who("aiko")), Err(StoreError::NothingToRedo(_))));
        assert_eq!((state(&store, 1), state(&store, 3)), (State::Approved, State::Rejected));
        store.undo(&who("aiko")).unwrap();
        decide(&mut store, "aiko", &[4], &Edit::Flag(true));
        assert!(matches!(store.redo(&who("aiko")), Err(StoreError::NothingToRedo(_))));
        assert_eq!(store.rebuild().unwrap(), Rebuilt::default());
    }

    #[test]
    fn what_another_has_decided_since_is_left_alone() {
        let (_dir, mut store) = project(pins(), 3);
        decide(&mut store, "aiko", &[0], &Edit::Flag(true));
        decide(&mut store, "aiko", &[1, 2], &Edit::Reject);
        decide(&mut store, "ben", &[2], &Edit::Reopen);
        let step = store.undo(&who("aiko")).unwrap();
        assert_eq!(step.applied, [id(1)]);
        assert_eq!(step.refused[0].sample, id(2));
        assert!(step.refused[0].to_string().contains("ben has decided on it since"), "{}", step.refused[0]);
        store.redo(&who("aiko")).unwrap();
        decide(&mut store, "ben", &[1], &Edit::Comment("見て".into()));
        // Nothing is left of it; it is said once, and the next undo reaches the decision before.
        let step = store.undo(&who("aiko")).unwrap();
        assert_eq!((step.applied.len(), step.refused.len()), (0, 2));
        assert_eq!((state(&store, 1), state(&store, 2)), (State::Rejected, State::Undecided));
        assert_eq!(store.undo(&who("aiko")).unwrap().applied, [id(0)]);
        assert_eq!(store.rebuild().unwrap(), Rebuilt::default());
    }

    /// What one of three reviewers does next.
    #[derive(Debug, Clone)]
    enum Act {
        Decide(usize, Vec<usize>, usize),
        Undo(usize),
        Redo(usize),
        Import(usize, bool),
    }

    const REVIEWERS: [&str; 3] = ["aiko", "ben", "千代"];
    const SAMPLES: usize = 5;

    fn act() -> impl Strategy<Value = Act> {
        let samples = proptest::collection::btree_set(0..SAMPLES, 1..4).prop_map(|set| set.into_iter().collect());
        prop_oneof![
            5 => (0..3_usize, samples, 0..6_usize).prop_map(|(who, samples, edit)| Act::Decide(who, samples, edit)),
            3 => (0..3_usize).prop_map(Act::Undo),
            2 => (0..3_usize).prop_map(Act::Redo),
            1 => (0..SAMPLES, any::<bool>()).prop_map(|(sample, labelled)| Act::Import(sample, labelled)),
        ]
    }

    fn perform(store: &mut Store, schema: &Schema, act: &Act) {
        match act {
            Act::Decide(reviewer, samples, edit) => {
                let edits = [
                    set(schema, "position", "U3"),
                    set(schema, "judgement", "defective"),
                    passed(schema),
                    Edit::Reject,
                    Edit::Reopen,
                    Edit::Flag(samples.len() > 1),
                ];
                decide(store, REVIEWERS[*reviewer], samples, &edits[*edit]);
            }
            Act::Undo(reviewer) => drop(store.undo(&who(REVIEWERS[*reviewer]))),
            Act::Redo(reviewer) => drop(store.redo(&who(REVIEWERS[*reviewer]))),
            Act::Import(sample, labelled) => {
                let label = if *labelled { label(schema, &[("judgement", "defective")]) } else { Label::default() };
                let mut import = store.begin_import(&who("import"), "test").unwrap();
                import.add(&crate::store::testing::sample(*sample, label)).unwrap();
                import.finish().unwrap();
            }
        }
    }

    fn views(store: &Store) -> Vec<SampleView> {
        (0..SAMPLES).map(|n| SampleView { revision: Revision::default(), ..store.sample(&id(n)).unwrap() }).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
        #[test]
        fn derived_tables_are_what_the_log_makes_of_them(acts in proptest::collection::vec(act(), 1..25)) {
            let schema = pins();
            let (_dir, mut store) = project(schema.clone(), SAMPLES);
            for act in &acts {
                perform(&mut store, &schema, act);
            }
            let before = views(&store);
            prop_assert_eq!(store.rebuild().unwrap(), Rebuilt::default());
            prop_assert_eq!(views(&store), before);
        }

        #[test]
        fn redo_takes_an_undo_back(acts in proptest::collection::vec(act(), 1..15), reviewer in 0..3_usize) {
            let schema = pins();
            let (_dir, mut store) = project(schema.clone(), SAMPLES);
            for act in &acts {
                perform(&mut store, &schema, act);
            }
            let before = views(&store);
            if let Ok(undone) = store.undo(&who(REVIEWERS[reviewer])) {
                if undone.applied.is_empty() {
                    prop_assert_eq!(views(&store), before);
                } else {
                    let redone = store.redo(&who(REVIEWERS[reviewer])).unwrap();
                    prop_assert_eq!(redone.applied, undone.applied);
                    prop_assert_eq!(views(&store), before);
                }
            }
        }
    }
}
