//! Temperatures by which a source's probabilities are corrected: stored beside the predictions, applied when these are read.

use rusqlite::Connection;

use super::derive::active_source;
use super::prediction::find_source;
use super::record::{PredictedFields, write};
use super::{Store, StoreError};
use crate::domain::{FieldId, PredictionSource, Temperatures};

impl Store {
    /// The temperatures of a source; a field without one is as the model said it.
    pub fn temperatures(&self, source: &PredictionSource) -> Result<Temperatures, StoreError> {
        match find_source(&self.connection, &write(source)?)? {
            Some(number) => of_source(&self.connection, number),
            None => Ok(Temperatures::new()),
        }
    }

    /// Sets temperatures of a source's fields, durably and all or none; other fields keep theirs. `samples` is how many
    /// each was fitted on. From then on everything that reads its predictions finds them corrected: forms, lists, filters.
    pub fn set_temperatures(&mut self, source: &PredictionSource, fitted: &[(FieldId, f32, u64)]) -> Result<(), StoreError> {
        let writing = self.begin()?;
        let number = find_source(&writing, &write(source)?)?.ok_or_else(|| StoreError::UnknownSource(source.model.clone()))?;
        for (field, temperature, samples) in fitted {
            let mut insert = writing.prepare_cached("INSERT OR REPLACE INTO temperatures VALUES (?1, ?2, ?3, ?4)")?;
            insert.execute((number, field.as_str(), f64::from(*temperature), *samples as i64))?;
        }
        if active_source(&writing)? == Some(number) {
            let touched: Vec<i64> = {
                let mut statement = writing.prepare("SELECT seq FROM predictions WHERE source = ?1 ORDER BY seq")?;
                statement.query_map([number], |row| row.get(0))?.collect::<Result<_, _>>()?
            };
            writing.refresh(&touched)?;
        }
        writing.commit()
    }
}

/// The temperatures of the source with this number.
pub(super) fn of_source(connection: &Connection, source: i64) -> Result<Temperatures, StoreError> {
    let mut statement = connection.prepare_cached("SELECT field, temperature FROM temperatures WHERE source = ?1")?;
    let mut rows = statement.query([source])?;
    let mut temperatures = Temperatures::new();
    while let Some(row) = rows.next()? {
        let field = FieldId::new(row.get::<_, String>(0)?).map_err(StoreError::damaged("the field of a temperature"))?;
        temperatures.insert(field, row.get::<_, f64>(1)? as f32);
    }
    Ok(temperatures)
}

/// What a model said, at its temperatures.
pub(super) fn corrected(fields: PredictedFields, temperatures: &Temperatures) -> PredictedFields {
    let at = |field: &FieldId| temperatures.get(field).copied().unwrap_or(1.0);
    fields.into_iter().map(|(field, said)| (field.clone(), said.at_temperature(at(&field)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Exemplar, FieldPrediction, Filter, Kind};
    use crate::store::Rebuilt;
    use crate::store::testing::{id, pins, project};

    fn source(model: &str) -> PredictionSource {
        PredictionSource { model: model.into(), adapter: None, instruction: "v1".into(), exemplar: Exemplar::Right, kind: Kind::ZeroShot }
    }

    #[test]
    fn everything_that_is_read_is_at_its_temperature() {
        let (_dir, mut store) = project(pins(), 1);
        let field = store.schema().field_named("judgement").unwrap().clone();
        let [passed, defective] = ["passed", "defective"].map(|text| field.parse(text).unwrap());
        let said = FieldPrediction { value: defective.clone(), probabilities: vec![(defective, 0.8), (passed, 0.2)], outside: 0.0 };
        let fields = PredictedFields::from([(field.id.clone(), said)]);
        let source = source("first");
        assert!(matches!(store.set_temperatures(&source, &[]), Err(StoreError::UnknownSource(_))));
        store.add_predictions(&source, &[(id(0), fields.clone())]).unwrap();
        let count = |store: &Store, text: &str| store.count(&Filter::parse(store.schema(), text).unwrap()).unwrap();
        assert_eq!(count(&store, "confidence<0.7"), 0);
        store.set_temperatures(&source, &[(field.id.clone(), 2.0, 40)]).unwrap();
        assert_eq!((count(&store, "confidence<0.7"), count(&store, "confidence.judgement<0.66")), (1, 0));
        let near = |p: f32| (p - 2.0 / 3.0).abs() < 1e-6;
        assert!(near(store.sample(&id(0)).unwrap().prediction.unwrap().confidence().unwrap()));
        assert!(near(store.predictions(&id(0)).unwrap()[0].confidence().unwrap()));
        assert!((store.page(&Filter::default(), None, 1).unwrap().rows[0].disagreement.unwrap() - 2.0 / 3.0).abs() < 1e-6);
        assert_eq!(store.said(&id(0), &source).unwrap(), Some(fields.clone()));
        assert_eq!(store.temperatures(&source).unwrap(), [(field.id.clone(), 2.0)].into());
        assert_eq!(store.rebuild().unwrap(), Rebuilt::default());
        // A later prediction comes in at the temperature that is known.
        store.add_predictions(&source, &[(id(0), fields)]).unwrap();
        assert_eq!(count(&store, "confidence<0.7"), 1);
    }
}
