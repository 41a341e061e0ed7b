//! What a store says of itself, for whoever looks after it.

use std::fs;
use std::path::{Path, PathBuf};

use super::connect::store_path;
use super::{CLAIM_MS, Store, StoreError, migrate, network};

/// A store's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its file.
    pub path: PathBuf,
    /// Its version, and the newest that this program knows.
    pub version: (i64, i64),
    /// How SQLite keeps its journal: `wal`.
    pub journal: String,
    /// Bytes of the file, and of the write-ahead log beside it.
    pub bytes: (u64, u64),
    /// The file system's name as the system's list of mounts has it; none where there is no such list.
    pub file_system: Option<String>,
    /// Samples.
    pub samples: u64,
    /// Claims that last, by reviewer, with the longest time that is left in milliseconds.
    pub claims: Vec<(String, u64, i64)>,
}

impl Store {
    /// What there is to say of a project's store.
    pub fn about(&self, dir: &Path) -> Result<About, StoreError> {
        let path = store_path(dir);
        let size = |path: &Path| fs::metadata(path).map_or(0, |about| about.len());
        let now = (self.clock)();
        let mut statement = self.connection.prepare(
            "SELECT reviewer, count(*), max(expires_ms) FROM claims WHERE expires_ms > ?1 AND expires_ms <= ?2 GROUP BY reviewer ORDER BY reviewer",
        )?;
        // What lasts longer than any claim was written by a clock that went wrong.
        let claims = statement
            .query_map([now, now + CLAIM_MS], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs(), row.get::<_, i64>(2)? - now)))?;
        Ok(About {
            version: (migrate::version(&self.connection, &path, migrate::STEPS)?, migrate::STEPS.len() as i64),
            journal: self.connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?,
            bytes: (size(&path), size(&path.with_extension("sqlite-wal"))),
            file_system: network::file_system(dir),
            samples: self.connection.query_row("SELECT count(*) FROM samples", [], |row| row.get::<_, i64>(0))?.unsigned_abs(),
            claims: claims.collect::<Result<_, _>>()?,
            path,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::domain::{Filter, ReviewerName};
    use crate::store::testing::{pins, project};

    #[test]
    fn tells_what_stands() {
        let (dir, mut store) = project(pins(), 3);
        let about = store.about(dir.path()).unwrap();
        assert_eq!((about.samples, about.journal.as_str(), about.claims.len()), (3, "wal", 0));
        assert_eq!(about.version.0, about.version.1);
        assert!(about.bytes.0 > 0);
        let filter = Filter::parse(store.schema(), "").unwrap();
        for _ in 0..2 {
            store.claim_next(&filter, &ReviewerName::new("aki").unwrap(), "s").unwrap();
        }
        let claims = store.about(dir.path()).unwrap().claims;
        assert_eq!((claims.len(), claims[0].0.as_str(), claims[0].1), (1, "aki", 2));
    }
}
