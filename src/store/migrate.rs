//! The store's versions: steps that are only ever appended.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// Step n brings a store from version n to version n + 1. Released steps are never edited.
pub(super) const STEPS: &[&str] =
    &[include_str!("base.sql"), include_str!("temperatures.sql"), include_str!("likeness.sql"), include_str!("predictors.sql")];

/// `mkki`: marks the file as ours in its header.
const APPLICATION_ID: i64 = 0x6d6b_6b69;

/// The version of the store; 0 for an empty database. A foreign database and a newer version are refused.
pub(super) fn version(connection: &Connection, path: &Path, steps: &[&str]) -> Result<i64, StoreError> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, found, schema) = (number("application_id")?, number("user_version")?, number("schema_version")?);
    let known = steps.len() as i64;
    match (application, found) {
        (0, 0) if schema == 0 => Ok(0),
        (APPLICATION_ID, found) if found > known => Err(StoreError::Newer { path: path.to_owned(), found, known }),
        (APPLICATION_ID, found) => Ok(found),
        _ => Err(StoreError::Foreign(path.to_owned())),
    }
}

/// Brings the store to the newest version, all or nothing; an older one is copied first.
/// The backup's path is returned when one was made.
pub(super) fn migrate(connection: &mut Connection, path: &Path, steps: &[&str]) -> Result<Option<PathBuf>, StoreError> {
    let found = version(connection, path, steps)?;
    if found == steps.len() as i64 {
        return Ok(None);
    }
    let backup = if found > 0 { Some(back_up(connection, path, found)?) } else { None };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have migrated it while this one waited for the lock.
    let found = version(&transaction, path, steps)?;
    for step in steps.iter().skip(found as usize) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", steps.len() as i64)?;
    transaction.commit()?;
    Ok(backup)
}

/// Copies the store to `store.sqlite.v<version>.backup` beside it. A copy that was cut short never bears that name.
fn back_up(connection: &Connection, path: &Path, version: i64) -> Result<PathBuf, StoreError> {
    let named = |suffix: String| PathBuf::from(format!("{}{suffix}", path.display()));
    let (part, whole) = (named(format!(".{}.part", std::process::id())), named(format!(".v{version}.backup")));
    let _ = fs::remove_file(&part);
    connection.execute("VACUUM INTO ?1", [part.to_string_lossy()])?;
    fs::File::open(&part).and_then(|file| file.sync_all()).map_err(StoreError::file(&part, "write the backup"))?;
    fs::rename(&part, &whole).map_err(StoreError::file(&whole, "name the backup"))?;
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE a (x); INSERT INTO a VALUES (1);";
    const SECOND: &str = "ALTER TABLE a ADD COLUMN y DEFAULT 7;";

    #[test]
    fn an_older_store_is_copied_then_migrated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.sqlite");
        let mut connection = Connection::open(&path).unwrap();
        assert_eq!(migrate(&mut connection, &path, &[FIRST]).unwrap(), None);
        let backup = migrate(&mut connection, &path, &[FIRST, SECOND]).unwrap().unwrap();
        let sum = |connection: &Connection, sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(sum(&connection, "SELECT x + y FROM a"), 8);
        let old = Connection::open(backup).unwrap();
        assert_eq!(sum(&old, "SELECT x FROM a"), 1);
        assert_eq!(sum(&old, "PRAGMA user_version"), 1);
        assert_eq!(migrate(&mut connection, &path, &[FIRST, SECOND]).unwrap(), None);
    }

    #[test]
    fn a_failing_step_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.sqlite");
        let mut connection = Connection::open(&path).unwrap();
        migrate(&mut connection, &path, &[FIRST]).unwrap();
        assert!(migrate(&mut connection, &path, &[FIRST, "ALTER TABLE a ADD COLUMN z; nonsense;"]).is_err());
        assert_eq!(version(&connection, &path, &[FIRST]).unwrap(), 1);
        assert!(connection.prepare("SELECT z FROM a").is_err());
    }

    #[test]
    fn newer_and_foreign_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.sqlite");
        let mut connection = Connection::open(&path).unwrap();
        migrate(&mut connection, &path, &[FIRST, SECOND]).unwrap();
        let error = version(&connection, &path, &[FIRST]).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
        let other = Connection::open_in_memory().unwrap();
        other.execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(matches!(version(&other, &path, &[FIRST]), Err(StoreError::Foreign(_))));
    }
}
