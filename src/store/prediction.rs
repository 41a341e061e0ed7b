//! What models said. Predictions stand outside the log: they are no decisions, and undo does not know them.

use rusqlite::{Connection, OptionalExtension};

use super::derive::active_source;
use super::record::{PredictedFields, read, read_prediction, write, write_prediction};
use super::sample::seq_of;
use super::temperature::{corrected, of_source};
use super::{Order, Store, StoreError};
use crate::domain::{Filter, Prediction, PredictionSource, SampleId};

/// A model, and how much it has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSummary {
    /// What made the predictions.
    pub source: PredictionSource,
    /// Whether lists, filters and the form show its predictions.
    pub active: bool,
    /// How many samples it has predicted.
    pub predictions: u64,
}

impl Store {
    /// Stores predictions of one source, durably and all or none; those that it made before of the same samples give
    /// way. The first source of a project becomes the active one. Values that the schema does not allow are left out.
    pub fn add_predictions(&mut self, source: &PredictionSource, predictions: &[(SampleId, PredictedFields)]) -> Result<(), StoreError> {
        self.insert(source, predictions, "REPLACE").map(drop)
    }

    /// The ids of the samples that a filter lets through, in its order.
    pub fn ids(&self, filter: &Filter) -> Result<Vec<SampleId>, StoreError> {
        let _snapshot = self.snapshot()?;
        let mut id = self.connection.prepare("SELECT id FROM samples WHERE seq = ?1")?;
        let places = self.reader().places(filter, &[], None, i64::MAX as usize)?;
        let ids = places.iter().map(|place| {
            let id: String = id.query_row([place.seq], |row| row.get(0))?;
            SampleId::new(id).map_err(StoreError::damaged("a sample's id"))
        });
        ids.collect()
    }

    /// The samples that a filter lets through and of which this source has said nothing yet, in the filter's order.
    pub fn without_prediction(&self, filter: &Filter, source: &PredictionSource) -> Result<Vec<SampleId>, StoreError> {
        let order = self.order(filter)?;
        self.lacking(&order, source)?.into_iter().filter_map(|place| self.id_at(&order, place).transpose()).collect()
    }

    /// Stores predictions of one source, durably and all or none, but for samples that it has predicted before; whether
    /// each was stored. Nobody waits for these any more.
    pub fn add_missing_predictions(
        &mut self,
        source: &PredictionSource,
        predictions: &[(SampleId, PredictedFields)],
    ) -> Result<Vec<bool>, StoreError> {
        self.insert(source, predictions, "IGNORE")
    }

    /// `conflict` says what becomes of a sample that the source has predicted before.
    fn insert(
        &mut self,
        source: &PredictionSource,
        predictions: &[(SampleId, PredictedFields)],
        conflict: &str,
    ) -> Result<Vec<bool>, StoreError> {
        let writing = self.begin()?;
        let number = register(&writing, &write(source)?)?;
        writing.execute("INSERT OR IGNORE INTO settings VALUES ('active_source', ?1)", [number])?;
        let (mut said, mut touched) = (Vec::with_capacity(predictions.len()), Vec::with_capacity(predictions.len()));
        for (id, fields) in predictions {
            let seq = seq_of(&writing, id)?;
            let sql = format!("INSERT OR {conflict} INTO predictions (seq, source, fields) VALUES (?1, ?2, ?3)");
            let stored = writing.prepare_cached(&sql)?.execute((seq, number, write_prediction(writing.schema, fields)?))?;
            writing.prepare_cached("DELETE FROM prediction_wishes WHERE source = ?1 AND seq = ?2")?.execute((number, seq))?;
            said.push(stored > 0);
            if stored > 0 {
                touched.push(seq);
            }
        }
        if active_source(&writing)? == Some(number) {
            writing.refresh(&touched)?;
        }
        writing.commit()?;
        Ok(said)
    }

    /// The places in an order of the samples of which this source has said nothing yet.
    pub fn lacking(&self, order: &Order, source: &PredictionSource) -> Result<Vec<u32>, StoreError> {
        let _snapshot = self.snapshot()?;
        let number = find_source(&self.connection, &write(source)?)?;
        let mut said = self.connection.prepare_cached("SELECT 1 FROM predictions WHERE seq = ?1 AND source = ?2")?;
        let mut left = Vec::new();
        for (place, seq) in (0..).zip(order.places().iter().copied()) {
            if number.is_none() || !said.exists((seq, number))? {
                left.push(place);
            }
        }
        Ok(left)
    }

    /// The predictions of a source that were stored after the one of this number, whoever stored them: oldest first, at
    /// most `limit`.
    pub fn predictions_after(
        &self,
        source: &PredictionSource,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(SampleId, Prediction)>, StoreError> {
        let Some(number) = find_source(&self.connection, &write(source)?)? else { return Ok(Vec::new()) };
        let mut statement = self.connection.prepare_cached(
            "SELECT p.id, s.id, p.fields FROM predictions p JOIN samples s ON s.seq = p.seq \
             WHERE p.id > ?1 AND p.source = ?2 ORDER BY p.id LIMIT ?3",
        )?;
        let mut rows = statement.query((after, number, limit as i64))?;
        let temperatures = of_source(&self.connection, number)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let id = SampleId::new(row.get::<_, String>(1)?).map_err(StoreError::damaged("a sample's id"))?;
            let fields = corrected(read_prediction(&self.schema, &row.get::<_, String>(2)?)?, &temperatures);
            found.push((id, Prediction { id: row.get(0)?, source: source.clone(), fields }));
        }
        Ok(found)
    }

    /// The number of the newest prediction of all; 0 before the first.
    pub fn newest_prediction(&self) -> Result<i64, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT coalesce(max(id), 0) FROM predictions")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// As [`Store::set_active_source`], also where the source has predicted nothing yet.
    pub fn adopt_source(&mut self, source: &PredictionSource) -> Result<(), StoreError> {
        let writing = self.begin()?;
        register(&writing, &write(source)?)?;
        writing.commit()?;
        self.set_active_source(source)
    }

    /// Makes lists, filters and the form show the predictions of this source.
    pub fn set_active_source(&mut self, source: &PredictionSource) -> Result<(), StoreError> {
        let writing = self.begin()?;
        let number = find_source(&writing, &write(source)?)?;
        let number = number.ok_or_else(|| StoreError::UnknownSource(source.model.clone()))?;
        let before = active_source(&writing)?;
        writing.execute("INSERT OR REPLACE INTO settings VALUES ('active_source', ?1)", [number])?;
        let touched: Vec<i64> = {
            let mut statement = writing.prepare("SELECT DISTINCT seq FROM predictions WHERE source IN (?1, ?2) ORDER BY seq")?;
            statement.query_map((before, number), |row| row.get(0))?.collect::<Result<_, _>>()?
        };
        writing.refresh(&touched)?;
        writing.commit()
    }

    /// The source whose predictions lists, filters and the form show.
    pub fn active_source(&self) -> Result<Option<PredictionSource>, StoreError> {
        let Some(active) = active_source(&self.connection)? else { return Ok(None) };
        let mut statement = self.connection.prepare_cached("SELECT source FROM prediction_sources WHERE id = ?1")?;
        let text: Option<String> = statement.query_row([active], |row| row.get(0)).optional()?;
        text.map(|text| read("a prediction source", &text)).transpose()
    }

    /// Every source that has predicted in this project, oldest first.
    pub fn sources(&self) -> Result<Vec<SourceSummary>, StoreError> {
        let active = active_source(&self.connection)?;
        let mut statement = self.connection.prepare(
            "SELECT s.id, s.source, count(p.id) FROM prediction_sources s LEFT JOIN predictions p ON p.source = s.id GROUP BY s.id ORDER BY s.id",
        )?;
        let mut rows = statement.query([])?;
        let mut sources = Vec::new();
        while let Some(row) = rows.next()? {
            sources.push(SourceSummary {
                source: read("a prediction source", &row.get::<_, String>(1)?)?,
                active: Some(row.get(0)?) == active,
                predictions: row.get::<_, i64>(2)?.unsigned_abs(),
            });
        }
        Ok(sources)
    }

    /// The name of the model that made the prediction with this number; `None` when it has given way to a newer one.
    pub fn model_of(&self, prediction: i64) -> Result<Option<String>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT s.source FROM predictions p JOIN prediction_sources s ON s.id = p.source WHERE p.id = ?1")?;
        let source: Option<String> = statement.query_row([prediction], |row| row.get(0)).optional()?;
        source.map(|source| Ok(read::<PredictionSource>("a prediction source", &source)?.model)).transpose()
    }

    /// What a source said of a sample, as it said it: before any temperature.
    pub fn said(&self, id: &SampleId, source: &PredictionSource) -> Result<Option<PredictedFields>, StoreError> {
        let number = find_source(&self.connection, &write(source)?)?;
        let mut statement = self.connection.prepare_cached("SELECT fields FROM predictions WHERE seq = ?1 AND source = ?2")?;
        let text: Option<String> = statement.query_row((seq_of(&self.connection, id)?, number), |row| row.get(0)).optional()?;
        text.map(|text| read_prediction(&self.schema, &text)).transpose()
    }

    /// Everything that any model said of a sample, oldest first, at the temperatures of its source.
    pub fn predictions(&self, id: &SampleId) -> Result<Vec<Prediction>, StoreError> {
        self.read_predictions(seq_of(&self.connection, id)?, None)
    }

    /// What the active source said of a sample.
    pub(super) fn active_prediction(&self, seq: i64) -> Result<Option<Prediction>, StoreError> {
        match active_source(&self.connection)? {
            Some(active) => Ok(self.read_predictions(seq, Some(active))?.pop()),
            None => Ok(None),
        }
    }

    fn read_predictions(&self, seq: i64, source: Option<i64>) -> Result<Vec<Prediction>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT p.id, s.source, p.fields, s.id FROM predictions p JOIN prediction_sources s ON s.id = p.source \
             WHERE p.seq = ?1 AND (?2 IS NULL OR p.source = ?2) ORDER BY p.id",
        )?;
        let mut rows = statement.query((seq, source))?;
        let mut predictions = Vec::new();
        while let Some(row) = rows.next()? {
            predictions.push(Prediction {
                id: row.get(0)?,
                source: read("a prediction source", &row.get::<_, String>(1)?)?,
                fields: corrected(read_prediction(&self.schema, &row.get::<_, String>(2)?)?, &of_source(&self.connection, row.get(3)?)?),
            });
        }
        Ok(predictions)
    }
}

/// The number of a source, which gets one if it has none.
pub(super) fn register(connection: &Connection, text: &str) -> Result<i64, StoreError> {
    connection.execute("INSERT OR IGNORE INTO prediction_sources (source) VALUES (?1)", [text])?;
    find_source(connection, text)?.ok_or_else(|| StoreError::damaged("a prediction source")("none"))
}

/// The number of a source, if it has one.
pub(super) fn find_source(connection: &Connection, text: &str) -> Result<Option<i64>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id FROM prediction_sources WHERE source = ?1")?;
    Ok(statement.query_row([text], |row| row.get(0)).optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Exemplar, FieldPrediction, Filter, Kind};
    use crate::store::Rebuilt;
    use crate::store::testing::{id, pins, project};

    fn source(model: &str) -> PredictionSource {
        PredictionSource { model: model.into(), adapter: None, instruction: "v1".into(), exemplar: Exemplar::Right, kind: Kind::OneShot }
    }

    /// "Defective", said of a sample that is labelled as passed.
    fn defective(store: &Store, share: f32) -> PredictedFields {
        let field = store.schema().field_named("judgement").unwrap();
        let [passed, defective] = ["passed", "defective"].map(|text| field.parse(text).unwrap());
        let probabilities = vec![(defective.clone(), share), (passed, 1.0 - share)];
        PredictedFields::from([(field.id.clone(), FieldPrediction { value: defective, probabilities, outside: 0.0 })])
    }

    #[test]
    fn the_active_source_is_what_lists_show() {
        let (_dir, mut store) = project(pins(), 3);
        let (first, second) = (source("first"), source("second"));
        let (sure, unsure) = (defective(&store, 0.9), defective(&store, 0.6));
        store.add_predictions(&first, &[(id(0), sure.clone()), (id(1), unsure.clone())]).unwrap();
        store.add_predictions(&second, &[(id(2), sure.clone())]).unwrap();
        let schema = store.schema().clone();
        let ids = |store: &Store, text: &str| -> Vec<SampleId> {
            let filter = Filter::parse(&schema, text).unwrap();
            store.page(&filter, None, 10).unwrap().rows.into_iter().map(|row| row.id).collect()
        };
        assert_eq!(ids(&store, "disagree sort=-disagreement"), [id(0), id(1)]);
        assert_eq!(ids(&store, "confidence<0.8"), [id(1)]);
        assert_eq!(store.stats().unwrap().fields[0].compared, 2);
        let left = |source, text| -> Vec<SampleId> {
            let order = store.order(&Filter::parse(&schema, text).unwrap()).unwrap();
            let left = store.lacking(&order, source).unwrap();
            left.into_iter().map(|place| store.id_at(&order, place).unwrap().unwrap()).collect()
        };
        let third = source("third");
        assert_eq!((left(&first, ""), left(&third, "").len()), (vec![id(2)], 3));
        assert_eq!(left(&second, "disagree sort=-disagreement"), [id(0), id(1)]);
        store.set_active_source(&second).unwrap();
        assert_eq!((ids(&store, "predicted"), store.active_source().unwrap()), (vec![id(2)], Some(second.clone())));
        assert_eq!(
            store.sources().unwrap().iter().map(|known| (known.active, known.predictions)).collect::<Vec<_>>(),
            [(false, 2), (true, 1)]
        );
        assert!(matches!(store.set_active_source(&source("third")), Err(StoreError::UnknownSource(model)) if model == "third"));
        let after = |source, number| store.predictions_after(source, number, 10).unwrap().into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!((after(&first, 0), after(&first, 1), after(&second, 0)), (vec![id(0), id(1)], vec![id(1)], vec![id(2)]));
        assert_eq!((after(&third, 0), store.newest_prediction().unwrap()), (vec![], 3));
        store.adopt_source(&third).unwrap();
        assert_eq!(ids(&store, "predicted"), [], "it is shown, although it has said nothing yet");
        assert_eq!(store.rebuild().unwrap(), Rebuilt::default());
    }

    #[test]
    fn a_new_prediction_takes_the_place_of_the_old_but_not_its_number() {
        let (_dir, mut store) = project(pins(), 1);
        let first = source("first");
        for share in [0.9, 0.6] {
            let said = defective(&store, share);
            store.add_predictions(&first, &[(id(0), said)]).unwrap();
        }
        let all = store.predictions(&id(0)).unwrap();
        assert_eq!((all.len(), all[0].id, all[0].fields.clone()), (1, 2, defective(&store, 0.6)));
        assert_eq!(store.sample(&id(0)).unwrap().prediction, Some(all[0].clone()));
        assert!(matches!(store.add_predictions(&first, &[(id(5), PredictedFields::new())]), Err(StoreError::UnknownSample(_))));
    }
}
