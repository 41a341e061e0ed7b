//! Vectors of pictures, and how samples compare by them. They stand outside the log: nobody decided them.

use rusqlite::{Connection, OptionalExtension, params};

use super::code::{ppm, share};
use super::sample::image_at;
use super::{Order, Store, StoreError};
use crate::domain::{Filter, ImageRef, SampleId};

/// Up to so many samples are looked up one by one; more are read in one pass.
const FEW: usize = if cfg!(test) { 8 } else { 5_000 };

/// What makes vectors of pictures: equal identities make comparable vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoder {
    /// Model, how its output is summed up, and how it was made small.
    pub identity: String,
    /// What a vector of zeros stands for; as many numbers as a vector has.
    pub centre: Vec<f32>,
    /// By how much the differences from it were multiplied.
    pub scale: f32,
}

/// A sample's query picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The sample's place in import order.
    pub ordinal: u64,
    /// The sample.
    pub id: SampleId,
    /// The picture.
    pub query: ImageRef,
}

/// How a sample compares with the others, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NewLikeness {
    /// The sample's place in import order.
    pub ordinal: u64,
    /// Its cluster, from 0.
    pub cluster: u32,
    /// How far it lies from its like, 0 to 1.
    pub outlier: f32,
    /// The place in import order of the first sample that it equals or nearly equals.
    pub duplicate_of: Option<u64>,
}

/// How a sample compares with the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Alike {
    /// Its cluster, from 0 for the largest.
    pub cluster: u32,
    /// How far it lies from its like, 0 to 1.
    pub outlier: f32,
    /// The first sample that it equals or nearly equals.
    pub duplicate_of: Option<SampleId>,
}

impl Store {
    /// The encoder with this identity, if it has made vectors here.
    pub fn encoder(&self, identity: &str) -> Result<Option<Encoder>, StoreError> {
        let mut statement = self.connection.prepare("SELECT centre, scale FROM encoders WHERE identity = ?1")?;
        let found: Option<(Vec<u8>, f64)> = statement.query_row([identity], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        Ok(found.map(|(centre, scale)| Encoder {
            identity: identity.to_owned(),
            centre: centre.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            scale: scale as f32,
        }))
    }

    /// Makes an encoder known, unless another process has: the one that vectors are to be made with is returned.
    pub fn add_encoder(&mut self, encoder: &Encoder) -> Result<Encoder, StoreError> {
        let writing = self.begin()?;
        let centre: Vec<u8> = encoder.centre.iter().flat_map(|value| value.to_le_bytes()).collect();
        writing.execute(
            "INSERT OR IGNORE INTO encoders (identity, centre, scale) VALUES (?1, ?2, ?3)",
            params![encoder.identity, centre, f64::from(encoder.scale)],
        )?;
        writing.commit()?;
        Ok(self.encoder(&encoder.identity)?.unwrap_or_else(|| encoder.clone()))
    }

    /// Forgets an encoder and all that it made, so that it can be made anew.
    pub fn forget_encoder(&mut self, identity: &str) -> Result<(), StoreError> {
        let writing = self.begin()?;
        writing.execute("DELETE FROM vectors WHERE encoder IN (SELECT id FROM encoders WHERE identity = ?1)", [identity])?;
        writing.execute("DELETE FROM encoders WHERE identity = ?1", [identity])?;
        writing.commit()
    }

    /// The samples of a filter, in its order, of whose pictures this encoder has made no vector.
    pub fn without_vector(&self, filter: &Filter, identity: &str) -> Result<Order, StoreError> {
        let _snapshot = self.snapshot()?;
        let number = number(&self.connection, identity)?;
        let mut order = self.places_of(filter)?;
        let mut there = self.connection.prepare("SELECT 1 FROM vectors WHERE encoder = ?1 AND seq = ?2")?;
        let mut missing = Vec::new();
        for seq in order.places() {
            if !there.exists((number, seq))? {
                missing.push(*seq);
            }
        }
        order.replace(missing);
        Ok(order)
    }

    /// The query pictures of at most `count` samples of an order from a place on.
    pub fn pictures(&self, order: &Order, from: usize, count: usize) -> Result<Vec<Picture>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT id, query_folder, query_path FROM samples WHERE seq = ?1")?;
        let mut pictures = Vec::with_capacity(count.min(order.len()));
        for seq in order.places().iter().skip(from).take(count) {
            let mut rows = statement.query([seq])?;
            let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            pictures.push(Picture {
                ordinal: seq.unsigned_abs(),
                id: SampleId::new(row.get::<_, String>(0)?).map_err(StoreError::damaged("a sample's id"))?,
                query: image_at(row, 1)?.ok_or_else(|| StoreError::damaged("a query image")("none"))?,
            });
        }
        Ok(pictures)
    }

    /// Stores vectors, by the samples' places in import order, durably and all or none.
    pub fn add_vectors(&mut self, identity: &str, vectors: &[(u64, Vec<i8>)]) -> Result<(), StoreError> {
        let writing = self.begin()?;
        let number = number(&writing, identity)?;
        {
            let mut insert = writing.prepare("INSERT OR REPLACE INTO vectors (encoder, seq, vector) VALUES (?1, ?2, ?3)")?;
            for (ordinal, vector) in vectors {
                let bytes: Vec<u8> = vector.iter().map(|value| value.cast_unsigned()).collect();
                insert.execute((number, *ordinal as i64, bytes))?;
            }
        }
        writing.commit()
    }

    /// How many vectors an encoder has made.
    pub fn vectors_of(&self, identity: &str) -> Result<usize, StoreError> {
        let mut statement = self.connection.prepare("SELECT count(*) FROM vectors WHERE encoder = ?1")?;
        Ok(statement.query_row([number(&self.connection, identity)?], |row| row.get::<_, i64>(0))? as usize)
    }

    /// Hands out the vectors of a filter's samples in import order, each with the sample's place.
    pub fn each_vector<E: From<StoreError>>(
        &self,
        filter: &Filter,
        identity: &str,
        mut take: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let _snapshot = self.snapshot()?;
        let mut places = self.places_of(filter)?.places().to_vec();
        places.sort_unstable();
        let failed = |error| E::from(StoreError::from(error));
        let number = number(&self.connection, identity)?;
        let mut statement = self.connection.prepare("SELECT seq, vector FROM vectors WHERE encoder = ?1 ORDER BY seq").map_err(failed)?;
        let mut rows = statement.query([number]).map_err(failed)?;
        let mut wanted = places.into_iter().peekable();
        while let Some(row) = rows.next().map_err(failed)? {
            let seq: i64 = row.get(0).map_err(failed)?;
            while wanted.next_if(|place| *place < seq).is_some() {}
            if wanted.peek() == Some(&seq) {
                take(seq.unsigned_abs(), row.get_ref(1).map_err(failed)?.as_blob().map_err(|error| failed(error.into()))?)?;
            }
        }
        Ok(())
    }

    /// Replaces what was known of how samples compare: those not named compare with nothing any more.
    pub fn set_likeness(&mut self, likeness: impl IntoIterator<Item = NewLikeness>) -> Result<(), StoreError> {
        let writing = self.begin()?;
        writing.execute("DELETE FROM likeness", [])?;
        {
            let mut insert = writing.prepare("INSERT INTO likeness (seq, cluster, outlier, duplicate_of) VALUES (?1, ?2, ?3, ?4)")?;
            for new in likeness {
                let duplicate_of = new.duplicate_of.map(|ordinal| ordinal as i64);
                insert.execute((new.ordinal as i64, new.cluster, ppm(new.outlier), duplicate_of))?;
            }
        }
        // What derive.rs makes of the table, for all rows at once; nothing else in them changes.
        let indexes = || writing.layout.indexes.iter().filter(|index| index.is_on(&["cluster", "outlier", "duplicate"]));
        for index in indexes() {
            writing.execute_batch(&index.drop())?;
        }
        writing.execute_batch(
            "UPDATE current SET cluster = NULL, outlier = NULL, duplicate = 0
             WHERE cluster IS NOT NULL AND seq NOT IN (SELECT seq FROM likeness);
             UPDATE current SET (cluster, outlier, duplicate) =
             (SELECT cluster, outlier, duplicate_of IS NOT NULL FROM likeness WHERE likeness.seq = current.seq)
             WHERE seq IN (SELECT seq FROM likeness);",
        )?;
        for index in indexes() {
            writing.execute_batch(&index.create())?;
        }
        writing.commit()
    }

    /// Whether any samples have been compared.
    pub fn has_likeness(&self) -> Result<bool, StoreError> {
        Ok(self.connection.prepare_cached("SELECT 1 FROM likeness")?.exists([])?)
    }

    /// Cluster and outlier score (in millionths) of every sample of an order, in that order.
    pub fn alike_in(&self, order: &Order) -> Result<Vec<Option<(u32, u32)>>, StoreError> {
        let _snapshot = self.snapshot()?;
        let places = order.places();
        if places.len() <= FEW {
            let mut statement = self.connection.prepare_cached("SELECT cluster, outlier FROM likeness WHERE seq = ?1")?;
            return places.iter().map(|seq| Ok(statement.query_row([seq], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)).collect();
        }
        let last = places.iter().copied().max().unwrap_or(0);
        let mut all = vec![None; last as usize + 1];
        let mut statement = self.connection.prepare("SELECT seq, cluster, outlier FROM likeness WHERE seq <= ?1")?;
        let mut rows = statement.query([last])?;
        while let Some(row) = rows.next()? {
            all[row.get::<_, i64>(0)? as usize] = Some((row.get(1)?, row.get(2)?));
        }
        Ok(places.iter().map(|seq| all[*seq as usize]).collect())
    }
}

fn number(connection: &Connection, identity: &str) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id FROM encoders WHERE identity = ?1")?;
    Ok(statement.query_row([identity], |row| row.get(0)).optional()?)
}

/// How a sample compares, if it has been compared.
pub(super) fn known(connection: &Connection, seq: i64) -> Result<Option<Alike>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT l.cluster, l.outlier, s.id FROM likeness l LEFT JOIN samples s ON s.seq = l.duplicate_of WHERE l.seq = ?1",
    )?;
    let mut rows = statement.query([seq])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let duplicate_of: Option<String> = row.get(2)?;
    let duplicate_of = duplicate_of.map(SampleId::new).transpose().map_err(StoreError::damaged("a sample's id"))?;
    Ok(Some(Alike { cluster: row.get(0)?, outlier: share(row.get(1)?), duplicate_of }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Label;
    use crate::store::testing::{id, pins, project, sample, who};
    use crate::store::{NewImage, Rebuilt};

    fn encoder() -> Encoder {
        Encoder { identity: "tiny".into(), centre: vec![0.5, -1.0], scale: 30.0 }
    }

    fn vectors(store: &Store, text: &str) -> Vec<(u64, Vec<u8>)> {
        let filter = Filter::parse(store.schema(), text).unwrap();
        let mut all = Vec::new();
        let take = |ordinal, vector: &[u8]| {
            all.push((ordinal, vector.to_vec()));
            Ok::<_, StoreError>(())
        };
        store.each_vector(&filter, "tiny", take).unwrap();
        assert!(store.vectors_of("tiny").unwrap() >= all.len());
        all
    }

    fn ids(store: &Store, text: &str) -> Vec<SampleId> {
        let filter = Filter::parse(store.schema(), text).unwrap();
        store.page(&filter, None, 100).unwrap().rows.into_iter().map(|row| row.id).collect()
    }

    #[test]
    fn vectors_are_made_once_and_handed_out_in_order() {
        let (_dir, mut store) = project(pins(), 12);
        assert_eq!(store.encoder("tiny").unwrap(), None);
        assert_eq!(store.add_encoder(&encoder()).unwrap(), encoder());
        let other = Encoder { scale: 1.0, ..encoder() };
        assert_eq!(store.add_encoder(&other).unwrap(), encoder(), "the first one stays");
        store.add_vectors("tiny", &[(3, vec![-5, 127]), (1, vec![1, 2]), (11, vec![0, 0])]).unwrap();
        assert_eq!(vectors(&store, ""), [(1, vec![1, 2]), (3, vec![251, 127]), (11, vec![0, 0])]);
        assert_eq!(vectors(&store, "id=*000* sort=-id"), [(1, vec![1, 2]), (3, vec![251, 127])]);
        let missing = store.without_vector(&Filter::parse(store.schema(), "sort=-id").unwrap(), "tiny").unwrap();
        assert_eq!(missing.len(), 9);
        let pictures = store.pictures(&missing, 0, 2).unwrap();
        assert_eq!(pictures.iter().map(|picture| picture.ordinal).collect::<Vec<_>>(), [10, 9]);
        assert_eq!((pictures[0].id.clone(), pictures[0].query.path.as_str()), (id(10), "images/10.png"));
        store.forget_encoder("tiny").unwrap();
        assert_eq!((store.encoder("tiny").unwrap(), vectors(&store, "")), (None, vec![]));
    }

    #[test]
    fn likeness_is_queried_and_stays_when_tables_are_made_anew() {
        let (_dir, mut store) = project(pins(), 12);
        assert!(!store.has_likeness().unwrap());
        let new = |ordinal, cluster, outlier, duplicate_of| NewLikeness { ordinal, cluster, outlier, duplicate_of };
        store.set_likeness([new(11, 1, 0.9, None)]).unwrap();
        let all = (0..10).map(|ordinal| new(ordinal, u32::from(ordinal == 7), ordinal as f32 / 10.0, (ordinal == 4).then_some(2)));
        store.set_likeness(all).unwrap();
        assert!(store.has_likeness().unwrap());
        assert_eq!(ids(&store, "cluster=1"), [id(7)]);
        assert_eq!(ids(&store, "cluster="), [id(10), id(11)], "those of the grouping before are not in this one");
        assert_eq!(ids(&store, "outlier>0.6 sort=-outlier"), [id(9), id(8), id(7)]);
        assert_eq!(ids(&store, "duplicate"), [id(4)]);
        let view = store.sample(&id(4)).unwrap();
        assert_eq!(view.alike, Some(Alike { cluster: 0, outlier: 0.4, duplicate_of: Some(id(2)) }));
        for text in ["", "id=*00*1*"] {
            let order = store.order(&Filter::parse(store.schema(), text).unwrap()).unwrap();
            let told = store.alike_in(&order).unwrap();
            for (place, told) in told.iter().enumerate() {
                let view = store.views(&order, place, 1).unwrap().remove(0);
                assert_eq!(told.map(|(cluster, _)| cluster), view.alike.map(|alike| alike.cluster), "{}", view.sample.id);
            }
        }
        assert_eq!(store.rebuild().unwrap(), Rebuilt::default());
        assert_eq!(ids(&store, "cluster=1"), [id(7)]);
    }

    #[test]
    fn another_picture_is_looked_at_again() {
        let (_dir, mut store) = project(pins(), 4);
        store.add_encoder(&encoder()).unwrap();
        store.add_vectors("tiny", &[(0, vec![1, 1]), (1, vec![1, 2])]).unwrap();
        let new = |ordinal| NewLikeness { ordinal, cluster: 0, outlier: 0.2, duplicate_of: None };
        store.set_likeness([new(0), new(1)]).unwrap();
        let mut import = store.begin_import(&who("aiko"), "rows").unwrap();
        let elsewhere = NewImage { folder: None, path: crate::domain::RelativePath::new("other.png").unwrap() };
        import.add(&crate::store::NewSample { query: elsewhere, ..sample(0, Label::default()) }).unwrap();
        import.add(&sample(1, Label::default())).unwrap();
        assert_eq!(import.finish().unwrap().updated, 2);
        assert_eq!(vectors(&store, ""), [(1, vec![1, 2])], "the same picture stays what it is");
        assert_eq!(ids(&store, "cluster=0"), [id(1)]);
        assert_eq!(store.rebuild().unwrap(), Rebuilt::default());
    }
}
