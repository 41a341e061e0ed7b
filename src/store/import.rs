//! Taking samples in: staged beside the store while files are read, then moved in one transaction.

use std::path::PathBuf;

use rusqlite::{ToSql, params};

use super::log::{NewOperation, append, append_sample};
use super::record::write_label;
use super::writing::Writing;
use super::{OperationKind, Store, StoreError, Who};
use crate::domain::{Label, RelativePath, SampleId, SampleOrigin, stable_hash};

/// A sample about to come in.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSample {
    /// Unique in the project: an import of a known id updates that sample.
    pub id: SampleId,
    /// One of the schema's image types.
    pub image_type: String,
    /// The picture that is asked about.
    pub query: NewImage,
    /// The good product to compare with, where the sample names its own.
    pub reference: Option<NewImage>,
    /// Related samples share a group.
    pub group: String,
    /// Imported or generated.
    pub origin: SampleOrigin,
    /// The label that comes with it; possibly empty.
    pub label: Label,
}

/// An image of a sample about to come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImage {
    /// The absolute folder; `None` for the project itself.
    pub folder: Option<PathBuf>,
    /// The file below it.
    pub path: RelativePath,
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Imported {
    /// Samples that were not there before.
    pub added: u64,
    /// Samples that were there with other images, group or label.
    pub updated: u64,
    /// Samples that were there just so.
    pub unchanged: u64,
}

/// An import under way. Until [`ImportSession::finish`] the project does not change and nobody waits for it; dropped
/// before, the import has not happened.
pub struct ImportSession<'a> {
    store: &'a mut Store,
    who: Who,
    source: String,
    /// Texts of the folders met so far, in the order of their numbers in `staged_folders`; the project's is empty.
    folders: Vec<String>,
}

const STAGE: &str = "
    CREATE TEMP TABLE staged_folders (n INTEGER PRIMARY KEY, path TEXT NOT NULL);
    CREATE TEMP TABLE staged (
        n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, image_type TEXT NOT NULL, query_folder INTEGER NOT NULL, query_path TEXT NOT NULL,
        reference_folder INTEGER, reference_path TEXT, grp TEXT NOT NULL, origin INTEGER NOT NULL, label TEXT NOT NULL, hash INTEGER NOT NULL
    );
    BEGIN";

const UNSTAGE: &str = "DROP TABLE IF EXISTS temp.staged; DROP TABLE IF EXISTS temp.staged_folders";

/// The columns of `samples` behind `id`, from `staged` as `t` with its folders as `q` and `r`.
const COLUMNS: &str = "t.image_type, q.id, t.query_path, r.id, t.reference_path, t.grp, t.origin, t.label, t.hash";

const FOLDERS: &str = "JOIN staged_folders qs ON qs.n = t.query_folder JOIN folders q ON q.path = qs.path \
     LEFT JOIN staged_folders rs ON rs.n = t.reference_folder LEFT JOIN folders r ON r.path = rs.path";

impl Store {
    /// Begins an import. `source` says in the log where it came from.
    pub fn begin_import(&mut self, who: &Who, source: &str) -> Result<ImportSession<'_>, StoreError> {
        if self.read_only {
            return Err(StoreError::ReadOnly("import"));
        }
        self.connection.execute_batch(STAGE)?;
        Ok(ImportSession { store: self, who: who.clone(), source: source.to_owned(), folders: Vec::new() })
    }
}

impl ImportSession<'_> {
    /// Stages one sample. An id that this import has had already is refused, and the first one stays.
    pub fn add(&mut self, sample: &NewSample) -> Result<(), StoreError> {
        let (query, query_text) = self.folder(&sample.query)?;
        let reference = sample.reference.as_ref().map(|image| self.folder(image)).transpose()?;
        let label = write_label(&self.store.schema, &sample.label)?;
        let reference_path = sample.reference.as_ref().map(|image| image.path.as_str());
        let origin = sample.origin as i64;
        let hash = stable_hash(
            origin as u64,
            &[
                &sample.image_type,
                &query_text,
                sample.query.path.as_str(),
                reference.as_ref().map_or("", |(_, text)| text),
                reference_path.unwrap_or_default(),
                &sample.group,
                &label,
            ],
        );
        let mut insert = self.store.connection.prepare_cached(
            "INSERT OR IGNORE INTO staged (id, image_type, query_folder, query_path, reference_folder, reference_path, grp, origin, label, hash) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        let staged = insert.execute(params![
            sample.id.as_str(),
            sample.image_type,
            query,
            sample.query.path.as_str(),
            reference.map(|(number, _)| number),
            reference_path,
            sample.group,
            origin,
            label,
            hash.cast_signed(),
        ])?;
        if staged == 0 { Err(StoreError::RepeatedSample(sample.id.clone())) } else { Ok(()) }
    }

    /// Number and text of an image's folder.
    fn folder(&mut self, image: &NewImage) -> Result<(i64, String), StoreError> {
        let text = match &image.folder {
            None => "",
            Some(folder) => folder.to_str().filter(|_| folder.is_absolute()).ok_or_else(|| StoreError::Folder(folder.clone()))?,
        };
        let number = self.folders.iter().position(|known| known == text).unwrap_or(self.folders.len());
        if number == self.folders.len() {
            self.store.connection.execute("INSERT INTO staged_folders VALUES (?1, ?2)", params![number as i64, text])?;
            self.folders.push(text.to_owned());
        }
        Ok((number as i64, text.to_owned()))
    }

    /// Moves everything into the project, all or nothing.
    pub fn finish(self) -> Result<Imported, StoreError> {
        // The stage's own transaction; the project is not part of it.
        self.store.connection.execute_batch("COMMIT")?;
        let writing = self.store.begin()?;
        let imported = writing.take_in(&self.who, &self.source)?;
        writing.commit()?;
        Ok(imported)
    }
}

impl Drop for ImportSession<'_> {
    fn drop(&mut self) {
        if !self.store.connection.is_autocommit() {
            let _ = self.store.connection.execute_batch("ROLLBACK");
        }
        let _ = self.store.connection.execute_batch(UNSTAGE);
    }
}

impl Writing<'_> {
    /// Everything staged.
    fn take_in(&self, who: &Who, source: &str) -> Result<Imported, StoreError> {
        let number = |sql: &str| self.query_row(sql, [], |row| row.get::<_, i64>(0));
        self.execute("INSERT OR IGNORE INTO folders (path) SELECT path FROM staged_folders", [])?;
        let unchanged = number("SELECT count(*) FROM staged t JOIN samples s ON s.id = t.id WHERE s.hash = t.hash")?;
        let first = number("SELECT coalesce(max(seq) + 1, 0) FROM samples")?;
        let changed: Vec<(i64, i64)> = {
            let mut statement =
                self.prepare("SELECT t.n, s.seq FROM staged t JOIN samples s ON s.id = t.id WHERE s.hash <> t.hash ORDER BY s.seq")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?
        };
        let added = self.execute(
            &format!(
                "INSERT INTO samples SELECT {first} - 1 + row_number() OVER (ORDER BY t.n), t.id, {COLUMNS} FROM staged t {FOLDERS} \
                 WHERE NOT EXISTS (SELECT 1 FROM samples s WHERE s.id = t.id) ORDER BY t.n"
            ),
            [],
        )?;
        self.update(who, source, added, &changed)?;
        self.search_from(first)?;
        self.refresh(&changed.iter().map(|(_, seq)| *seq).collect::<Vec<_>>())?;
        self.add(first..first + added as i64)?;
        Ok(Imported { added: added as u64, updated: changed.len() as u64, unchanged: unchanged.unsigned_abs() })
    }

    /// Replaces what came with known samples, and writes the import into the log where it did anything.
    fn update(&self, who: &Who, source: &str, added: usize, changed: &[(i64, i64)]) -> Result<(), StoreError> {
        let samples = added + changed.len();
        if samples == 0 {
            return Ok(());
        }
        let new = NewOperation { who, time_ms: self.now_ms, kind: OperationKind::Import, samples, undoes: None, source };
        let (op, _) = append(self, &new)?;
        let mut update = self.prepare(&format!(
            "UPDATE samples SET (image_type, query_folder, query_path, reference_folder, reference_path, grp, origin, label, hash) \
             = (SELECT {COLUMNS} FROM staged t {FOLDERS} WHERE t.n = ?1) WHERE seq = ?2"
        ))?;
        for (n, seq) in changed {
            update.execute([n as &dyn ToSql, seq])?;
            let revision = self.query_row("SELECT revision FROM current WHERE seq = ?1", [seq], |row| row.get(0))?;
            append_sample(self, op, *seq, revision, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Filter;
    use crate::store::Rebuilt;
    use crate::store::testing::{id, label, pins, project, sample, who};

    fn import(store: &mut Store, samples: impl IntoIterator<Item = NewSample>) -> Imported {
        let mut import = store.begin_import(&who("aiko"), "rows.jsonl").unwrap();
        samples.into_iter().for_each(|sample| import.add(&sample).unwrap());
        import.finish().unwrap()
    }

    #[test]
    fn importing_twice_adds_nothing_twice() {
        let (_dir, mut store) = project(pins(), 0);
        let defective = label(store.schema(), &[("judgement", "defective")]);
        let rows = |count| (0..count).map(|n| sample(n, defective.clone()));
        assert_eq!(import(&mut store, rows(3)), Imported { added: 3, updated: 0, unchanged: 0 });
        assert_eq!(import(&mut store, rows(3)), Imported { added: 0, updated: 0, unchanged: 3 });
        assert_eq!(store.log(None, 9).unwrap().len(), 1, "an import that does nothing is not logged");
        let elsewhere = NewSample {
            reference: Some(NewImage { folder: Some("/data/良品".into()), path: RelativePath::new("r.png").unwrap() }),
            ..sample(1, Label::default())
        };
        assert_eq!(
            import(&mut store, rows(1).chain([elsewhere, sample(7, Label::default())])),
            Imported { added: 1, updated: 1, unchanged: 1 }
        );
        let view = store.sample(&id(1)).unwrap();
        assert_eq!((view.sample.ordinal, view.label.is_empty()), (1, true));
        assert_ne!(view.revision, store.sample(&id(0)).unwrap().revision, "a form that shows the old label is stale");
        let reference = view.sample.reference.unwrap();
        assert!(store.folders().unwrap().contains(&(reference.folder, "/data/良品".into())));
        assert_eq!(store.sample(&id(7)).unwrap().sample.ordinal, 3);
        assert_eq!(store.rebuild().unwrap(), Rebuilt::default());
    }

    #[test]
    fn a_repeated_id_is_named_and_the_first_stays() {
        let (_dir, mut store) = project(pins(), 0);
        let mut session = store.begin_import(&who("aiko"), "rows.jsonl").unwrap();
        session.add(&sample(1, Label::default())).unwrap();
        let again = NewSample { group: "other".into(), ..sample(1, Label::default()) };
        assert!(session.add(&again).unwrap_err().to_string().contains("\"pin-0001\" again"));
        assert_eq!(session.finish().unwrap().added, 1);
        assert_eq!(store.sample(&id(1)).unwrap().sample.group, "board-0");
    }

    #[test]
    fn an_import_that_is_broken_off_has_not_happened() {
        let (dir, mut store) = project(pins(), 2);
        let mut other = Store::open(dir.path(), store.schema()).unwrap();
        let mut session = store.begin_import(&who("aiko"), "rows.jsonl").unwrap();
        (0..9).for_each(|n| session.add(&sample(n, Label::default())).unwrap());
        // Nobody waits for it meanwhile.
        assert_eq!(import(&mut other, [sample(5, Label::default())]).added, 1);
        drop(session);
        assert_eq!(store.count(&Filter::default()).unwrap(), 3);
        assert_eq!(import(&mut store, (0..9).map(|n| sample(n, Label::default()))).added, 6);
    }
}
