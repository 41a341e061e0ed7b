//! Who predicts: one process for each model, which the others ask through the store.

use std::path::PathBuf;

use rusqlite::{OptionalExtension, Row, params};

use super::log::reviewer_at;
use super::prediction::{find_source, register};
use super::record::{read, write};
use super::sample::seq_of;
use super::{Store, StoreError};
use crate::domain::{PredictionSource, ReviewerName, SampleId};

/// How long a lease lasts unless it is renewed, in milliseconds. Wishes last as long.
pub const LEASE_MS: i64 = 30_000;

/// A process that predicts, or would like to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its own name: no other process has it.
    pub session: String,
    /// Who started it.
    pub reviewer: ReviewerName,
    /// The machine's name.
    pub host: String,
    /// Within what its pid means something: the boot of a machine, and the container on it.
    pub machine: String,
    /// Its process.
    pub pid: u32,
}

/// Whether this process predicts with a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lease {
    /// It does.
    Mine,
    /// Another one does.
    Theirs(Holder),
}

/// A prediction that another process asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignWish {
    /// With what.
    pub source: PredictionSource,
    /// Of which sample.
    pub sample: SampleId,
    /// How urgent: the larger, the sooner.
    pub priority: u8,
}

/// What the name of a model or an adapter stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCheckpoint {
    /// Where it was last.
    pub folder: PathBuf,
    /// What tells it from any other.
    pub fingerprint: String,
    /// The sizes and times of its files: where they are the same, so is the fingerprint.
    pub stamp: String,
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// The prediction is stored.
    Stored,
    /// It cannot be made.
    Failed(String),
}

impl Store {
    /// Takes the lease on a model or makes it last again for [`LEASE_MS`], unless another process holds it that lives.
    /// `is_dead` says of a holder that its process is gone: then its lease counts for nothing.
    pub fn lease_predictor(&mut self, model: &str, me: &Holder, is_dead: impl Fn(&Holder) -> bool) -> Result<Lease, StoreError> {
        // Looking costs less than writing, and others look often.
        if let Some(other) = self.predictor(model, (self.clock)())?.filter(|holder| holder.session != me.session && !is_dead(holder)) {
            return Ok(Lease::Theirs(other));
        }
        let writing = self.begin()?;
        let found = holder(&writing, model, writing.now_ms)?;
        if let Some(other) = found.filter(|holder| holder.session != me.session && !is_dead(holder)) {
            return Ok(Lease::Theirs(other));
        }
        writing.prepare_cached("INSERT OR REPLACE INTO predictors VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params![
            model,
            me.session,
            me.reviewer.as_str(),
            me.host,
            me.machine,
            me.pid,
            writing.now_ms + LEASE_MS
        ])?;
        writing.commit()?;
        Ok(Lease::Mine)
    }

    /// Who holds the lease on a model.
    fn predictor(&self, model: &str, now_ms: i64) -> Result<Option<Holder>, StoreError> {
        holder(&self.connection, model, now_ms)
    }

    /// Gives the lease on a model back, if the session holds it.
    pub fn release_predictor(&mut self, model: &str, session: &str) -> Result<(), StoreError> {
        let writing = self.begin()?;
        writing.execute("DELETE FROM predictors WHERE model = ?1 AND session = ?2", [model, session])?;
        writing.commit()
    }

    /// Asks whoever predicts for these, for [`LEASE_MS`]; all that the session has asked for before and is not among
    /// them is withdrawn.
    pub fn wish_predictions(&mut self, session: &str, source: &PredictionSource, wishes: &[(SampleId, u8)]) -> Result<(), StoreError> {
        let writing = self.begin()?;
        let number = register(&writing, &write(source)?)?;
        writing.execute("DELETE FROM prediction_wishes WHERE session = ?1 OR expires_ms <= ?2", params![session, writing.now_ms])?;
        for (id, priority) in wishes {
            let seq = seq_of(&writing, id)?;
            let mut insert = writing.prepare_cached("INSERT OR REPLACE INTO prediction_wishes VALUES (?1, ?2, ?3, ?4, ?5, NULL)")?;
            insert.execute(params![number, seq, session, priority, writing.now_ms + LEASE_MS])?;
        }
        writing.commit()
    }

    /// What other sessions ask of a source for which `wanted` holds, the most urgent first; at most `limit`.
    pub fn foreign_wishes(
        &self,
        session: &str,
        wanted: impl Fn(&PredictionSource) -> bool,
        limit: usize,
    ) -> Result<Vec<ForeignWish>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT p.source, s.id, w.priority FROM prediction_wishes w JOIN prediction_sources p ON p.id = w.source \
             JOIN samples s ON s.seq = w.seq \
             WHERE w.session <> ?1 AND w.expires_ms > ?2 AND w.problem IS NULL ORDER BY w.priority DESC, w.seq",
        )?;
        let mut rows = statement.query(params![session, (self.clock)()])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()?.filter(|_| found.len() < limit) {
            let source = read("a prediction source", &row.get::<_, String>(0)?)?;
            if wanted(&source) {
                let sample = SampleId::new(row.get::<_, String>(1)?).map_err(StoreError::damaged("a sample's id"))?;
                found.push(ForeignWish { source, sample, priority: row.get::<_, i64>(2)?.clamp(0, 255) as u8 });
            }
        }
        Ok(found)
    }

    /// Tells those who asked that a prediction cannot be made, and why.
    pub fn refuse_wishes(&mut self, source: &PredictionSource, problems: &[(SampleId, String)]) -> Result<(), StoreError> {
        if problems.is_empty() {
            return Ok(());
        }
        let writing = self.begin()?;
        if let Some(number) = find_source(&writing, &write(source)?)? {
            for (id, problem) in problems {
                let seq = seq_of(&writing, id)?;
                let mut update = writing.prepare_cached("UPDATE prediction_wishes SET problem = ?3 WHERE source = ?1 AND seq = ?2")?;
                update.execute(params![number, seq, problem])?;
            }
        }
        writing.commit()
    }

    /// What has become of the samples that a session asked for; those of which nothing is known yet are left out.
    pub fn answered(&self, session: &str, source: &PredictionSource, asked: &[SampleId]) -> Result<Vec<(SampleId, Answered)>, StoreError> {
        let Some(number) = find_source(&self.connection, &write(source)?)? else { return Ok(Vec::new()) };
        let mut stored = self.connection.prepare_cached("SELECT 1 FROM predictions WHERE seq = ?1 AND source = ?2")?;
        let mut failed = self.connection.prepare_cached(
            "SELECT problem FROM prediction_wishes WHERE source = ?1 AND seq = ?2 AND session = ?3 AND problem IS NOT NULL",
        )?;
        let mut found = Vec::new();
        for id in asked {
            let seq = seq_of(&self.connection, id)?;
            if stored.exists((seq, number))? {
                found.push((id.clone(), Answered::Stored));
            } else if let Some(problem) = failed.query_row(params![number, seq, session], |row| row.get(0)).optional()? {
                found.push((id.clone(), Answered::Failed(problem)));
            }
        }
        Ok(found)
    }

    /// What the name of a model or an adapter stands for; `None` before it has predicted here.
    pub fn checkpoint(&self, name: &str) -> Result<Option<KnownCheckpoint>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT folder, fingerprint, stamp FROM checkpoints WHERE name = ?1")?;
        let known = statement.query_row([name], |row| {
            Ok(KnownCheckpoint { folder: PathBuf::from(row.get::<_, String>(0)?), fingerprint: row.get(1)?, stamp: row.get(2)? })
        });
        Ok(known.optional()?)
    }

    /// The names that stand for a checkpoint.
    pub fn checkpoint_names(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT name FROM checkpoints ORDER BY name")?;
        let names = statement.query_map([], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }

    /// Keeps what a name stands for.
    pub fn keep_checkpoint(&mut self, name: &str, known: &KnownCheckpoint) -> Result<(), StoreError> {
        let writing = self.begin()?;
        writing.execute(
            "INSERT OR REPLACE INTO checkpoints VALUES (?1, ?2, ?3, ?4)",
            params![name, known.folder.to_string_lossy(), known.fingerprint, known.stamp],
        )?;
        writing.commit()
    }

    /// A number that is another one after any other connection has written.
    pub fn version(&self) -> Result<i64, StoreError> {
        Ok(self.connection.pragma_query_value(None, "data_version", |row| row.get(0))?)
    }
}

fn holder(connection: &rusqlite::Connection, model: &str, now_ms: i64) -> Result<Option<Holder>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT session, reviewer, host, machine, pid FROM predictors WHERE model = ?1 AND expires_ms > ?2")?;
    let mut rows = statement.query(params![model, now_ms])?;
    rows.next()?.map(read_holder).transpose()
}

fn read_holder(row: &Row<'_>) -> Result<Holder, StoreError> {
    Ok(Holder {
        session: row.get(0)?,
        reviewer: reviewer_at(row, 1)?,
        host: row.get(2)?,
        machine: row.get(3)?,
        pid: row.get::<_, i64>(4)?.unsigned_abs() as u32,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::domain::{Exemplar, Kind};
    use crate::store::PredictedFields;
    use crate::store::testing::{id, pins, project};

    fn source(model: &str) -> PredictionSource {
        PredictionSource { model: model.into(), adapter: None, instruction: "v1".into(), exemplar: Exemplar::Right, kind: Kind::ZeroShot }
    }

    fn holder(session: &str, pid: u32) -> Holder {
        let reviewer = ReviewerName::new("aiko").unwrap();
        Holder { session: session.into(), reviewer, host: "server".into(), machine: "boot".into(), pid }
    }

    #[test]
    fn one_predicts_until_it_gives_back_dies_or_says_nothing_more() {
        let (_dir, mut store) = project(pins(), 1);
        let now = Arc::new(AtomicI64::new(1_000));
        let clock = Arc::clone(&now);
        store.set_clock(move || clock.load(Ordering::Relaxed));
        let (first, second) = (holder("a", 1), holder("b", 2));
        let alive = |_: &Holder| false;
        assert_eq!(store.lease_predictor("demo", &first, alive).unwrap(), Lease::Mine);
        assert_eq!(store.lease_predictor("demo", &second, alive).unwrap(), Lease::Theirs(first.clone()));
        assert_eq!(store.lease_predictor("other", &second, alive).unwrap(), Lease::Mine, "each model has its own");
        now.store(20_000, Ordering::Relaxed);
        assert_eq!(store.lease_predictor("demo", &first, alive).unwrap(), Lease::Mine, "renewed");
        now.store(20_000 + LEASE_MS - 1, Ordering::Relaxed);
        assert_eq!(store.lease_predictor("demo", &second, alive).unwrap(), Lease::Theirs(first.clone()));
        assert_eq!(store.lease_predictor("demo", &second, |holder| holder.pid == 1).unwrap(), Lease::Mine, "the first one is dead");
        assert_eq!(store.lease_predictor("demo", &first, alive).unwrap(), Lease::Theirs(second.clone()));
        store.release_predictor("demo", "a").unwrap();
        assert_eq!(store.lease_predictor("demo", &first, alive).unwrap(), Lease::Theirs(second));
        now.store(20_000 + 2 * LEASE_MS, Ordering::Relaxed);
        assert_eq!(store.lease_predictor("demo", &first, alive).unwrap(), Lease::Mine, "nothing was heard of the second one");
        store.release_predictor("demo", "a").unwrap();
        assert_eq!(store.lease_predictor("demo", &holder("c", 3), alive).unwrap(), Lease::Mine);
    }

    #[test]
    fn wishes_are_read_served_refused_and_run_out() {
        let (_dir, mut store) = project(pins(), 4);
        let now = Arc::new(AtomicI64::new(1_000));
        let clock = Arc::clone(&now);
        store.set_clock(move || clock.load(Ordering::Relaxed));
        let demo = source("demo");
        store.wish_predictions("b", &demo, &[(id(2), 0), (id(1), 3), (id(3), 0)]).unwrap();
        store.wish_predictions("c", &source("other"), &[(id(0), 3)]).unwrap();
        let of_demo = |store: &Store, session: &str| -> Vec<SampleId> {
            let wishes = store.foreign_wishes(session, |source| source.model == "demo", 10).unwrap();
            wishes.into_iter().map(|wish| wish.sample).collect()
        };
        assert_eq!(of_demo(&store, "a"), [id(1), id(2), id(3)], "the most urgent first");
        assert!(of_demo(&store, "b").is_empty(), "nobody serves himself");
        assert_eq!(store.add_missing_predictions(&demo, &[(id(1), PredictedFields::new())]).unwrap(), [true]);
        assert_eq!(store.add_missing_predictions(&demo, &[(id(1), PredictedFields::new())]).unwrap(), [false], "once");
        store.refuse_wishes(&demo, &[(id(2), "no such image".into())]).unwrap();
        assert_eq!(of_demo(&store, "a"), [id(3)]);
        let answers = store.answered("b", &demo, &[id(1), id(2), id(3)]).unwrap();
        assert_eq!(answers, [(id(1), Answered::Stored), (id(2), Answered::Failed("no such image".into()))]);
        store.wish_predictions("b", &demo, &[(id(0), 0)]).unwrap();
        assert_eq!(of_demo(&store, "a"), [id(0)], "what is not asked for any more is withdrawn");
        now.store(1_000 + LEASE_MS, Ordering::Relaxed);
        assert!(of_demo(&store, "a").is_empty(), "who asked has not been heard of");
    }
}
