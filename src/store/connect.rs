//! The one place where connections are made.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::StoreError;
use super::network::refuse_network;

/// Longer than any transaction of ours takes: the import of a million samples holds the lock for some 20 seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a connection is going to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Makes the store where there is none.
    Create,
    /// Reads and writes.
    Write,
    /// Only reads, also where nothing may be written.
    Read,
}

/// `DIR/.mekiki/store.sqlite`.
pub(super) fn store_path(dir: &Path) -> PathBuf {
    dir.join(".mekiki").join("store.sqlite")
}

/// Opens the store's file. Every connection is durable (`synchronous=FULL`), patient, and of bounded memory.
pub(super) fn connect(dir: &Path, access: Access) -> Result<Connection, StoreError> {
    let path = store_path(dir);
    match (access, path.exists()) {
        (Access::Create, true) => return Err(StoreError::Exists(dir.to_owned())),
        (Access::Write | Access::Read, false) => return Err(StoreError::Missing(dir.to_owned())),
        _ => refuse_network(dir)?,
    }
    let connection = match access {
        Access::Create => {
            make_files(dir, &path)?;
            Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?
        }
        Access::Write => Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?,
        Access::Read => Connection::open_with_flags(
            read_only_uri(&path),
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?,
    };
    match configure(&connection, access) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => Err(StoreError::Foreign(path)),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(connection),
    }
}

fn configure(connection: &Connection, access: Access) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(128);
    // Plans do not depend on bound values; else SQLite would plan some cached statements anew for each value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // 48 MiB of pages; a write-ahead log that a large import leaves behind is cut back to 64 MiB.
    connection.pragma_update(None, "cache_size", -48 * 1024)?;
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    if access == Access::Create {
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    }
    Ok(())
}

/// Makes the folder and an empty database. Whoever may read or write the project may do so with these: SQLite gives
/// `-wal` and `-shm` the mode of the database, and the set-group-id bit gives all of them the group of the project.
fn make_files(dir: &Path, path: &Path) -> Result<(), StoreError> {
    let project = fs::metadata(dir).map_err(StoreError::file(dir, "look at the folder"))?;
    let shared = project.mode() & 0o777;
    let folder_mode = if shared & 0o020 == 0 { shared } else { shared | 0o2000 };
    let file_mode = shared & 0o666;
    let folder = path.parent().unwrap_or(dir);
    match DirBuilder::new().mode(folder_mode).create(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(StoreError::file(folder, "make the folder")(error));
        }
        Err(_) => {}
        Ok(()) => {
            // The group first: a change of owner takes the set-group-id bit away.
            let _ = chown(folder, None, Some(project.gid()));
            fs::set_permissions(folder, Permissions::from_mode(folder_mode)).map_err(StoreError::file(folder, "share the folder"))?;
        }
    }
    OpenOptions::new().write(true).create_new(true).mode(file_mode).open(path).map_err(StoreError::file(path, "make the store"))?;
    // Again and explicitly, since the umask takes bits away.
    fs::set_permissions(path, Permissions::from_mode(file_mode)).map_err(StoreError::file(path, "share the store"))
}

/// On a medium that cannot be written to, the usual lock files cannot be made; nobody changes the store there either.
fn read_only_uri(path: &Path) -> String {
    let escaped: String = path
        .to_string_lossy()
        .chars()
        .map(|c| match c {
            '%' | '?' | '#' => format!("%{:02x}", c as u32),
            c => c.to_string(),
        })
        .collect();
    let writable = path.parent().is_some_and(|folder| rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok());
    let logged = path.with_extension("sqlite-wal").exists();
    if writable || logged { format!("file:{escaped}") } else { format!("file:{escaped}?immutable=1") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::testing::{id, pins, project};
    use std::sync::Arc;

    #[test]
    fn every_connection_is_durable() {
        let dir = tempfile::tempdir().unwrap();
        for access in [Access::Create, Access::Write, Access::Read] {
            let connection = connect(dir.path(), access).unwrap();
            let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
            assert_eq!(pragma("synchronous"), 2, "{access:?}: FULL");
            assert_eq!(pragma("busy_timeout"), 30_000, "{access:?}");
            let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
            assert_eq!(mode, "wal", "{access:?}");
        }
    }

    #[test]
    fn connections_are_made_nowhere_else() {
        for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/store")).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let makes = code.contains("Connection::open") && !path.ends_with("testing.rs");
            assert_eq!(makes, path.ends_with("connect.rs"), "{}", path.display());
        }
    }

    #[test]
    fn the_store_is_as_open_as_its_project() {
        for (project, folder, file) in [(0o755, 0o755, 0o644), (0o700, 0o700, 0o600), (0o2775, 0o2775, 0o664), (0o770, 0o2770, 0o660)] {
            let dir = tempfile::tempdir().unwrap();
            fs::set_permissions(dir.path(), Permissions::from_mode(project)).unwrap();
            let _store = Store::create(dir.path(), &Arc::new(pins())).unwrap();
            let mode = |name: &str| fs::metadata(dir.path().join(".mekiki").join(name)).unwrap().mode() & 0o7777;
            assert_eq!(mode(""), folder, "{project:o}");
            for name in ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm"] {
                assert_eq!(mode(name), file, "{project:o} {name}");
            }
        }
    }

    #[test]
    fn a_place_without_a_project_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let schema = Arc::new(pins());
        assert!(matches!(Store::open(dir.path(), &schema), Err(StoreError::Missing(_))));
        drop(Store::create(dir.path(), &schema).unwrap());
        assert!(matches!(Store::create(dir.path(), &schema), Err(StoreError::Exists(_))));
        fs::write(store_path(dir.path()), "a letter to the editor, long enough to be no empty database").unwrap();
        assert!(matches!(Store::open(dir.path(), &schema), Err(StoreError::Foreign(_))));
    }

    #[test]
    fn a_reader_changes_nothing() {
        let (dir, store) = project(pins(), 3);
        drop(store);
        let mut reader = Store::open_read_only(dir.path(), &Arc::new(pins())).unwrap();
        assert_eq!(reader.sample(&id(1)).unwrap().sample.ordinal, 1);
        assert!(matches!(reader.rebuild(), Err(StoreError::ReadOnly(_))));
    }

    #[test]
    fn names_with_signs_are_found() {
        assert!(read_only_uri(Path::new("/a?b#c%d/x")).starts_with("file:/a%3fb%23c%25d/x"));
    }
}
