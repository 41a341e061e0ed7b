//! `mekiki predict --from`: stores predictions that were made elsewhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Instant;

use serde::Deserialize;
use serde_json::json;

use super::super::context::{Context, absolute};
use super::super::output::{Failure, Outcome};
use crate::config::Project;
use crate::domain::{Exemplar, FieldPrediction, Kind, PredictionSource, SampleId, Schema, printable};
use crate::import::{BadRow, MOST_LINE_BYTES};
use crate::store::{PredictedFields, Store, StoreError};

#[derive(Deserialize)]
struct Line {
    id: SampleId,
    model: Option<String>,
    adapter: Option<String>,
    instruction: Option<String>,
    kind: Option<Kind>,
    exemplar: Option<Exemplar>,
    fields: BTreeMap<String, LineField>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a value, or an object with value, probabilities and outside")]
enum LineField {
    Text(String),
    Number(i64),
    Whole {
        value: Scalar,
        #[serde(default)]
        probabilities: BTreeMap<String, f32>,
        #[serde(default)]
        outside: f32,
    },
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text or a whole number")]
enum Scalar {
    Text(String),
    Number(i64),
}

/// How many predictions are stored at a time.
const BATCH: usize = 2000;

/// Stores the predictions of a file; `model` names the model of lines that do not.
pub(super) fn run(context: &Context, file: &Path, model: Option<&str>) -> Result<Outcome, Failure> {
    let (project, mut store) = context.open()?;
    let started = Instant::now();
    let file = absolute(file);
    let model = model.map(str::to_owned).or_else(|| project.model.clone()).unwrap_or_else(|| "imported".to_owned());
    let length = std::fs::metadata(&file).map_err(|error| Failure::new(format_args!("{}: {error}", file.display())))?.len();
    let progress = context.out.progress(length, "storing");
    let mut intake = Intake { store: &mut store, waiting: BTreeMap::new(), count: 0, predicted: 0, errors: Vec::new(), file: &file };
    let mut reader = BufReader::new(File::open(&file)?);
    let (mut line, mut number, mut read) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        let got = reader.by_ref().take(MOST_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
        if got == 0 {
            break;
        }
        number += 1;
        read += got as u64;
        progress.set(read);
        if got > MOST_LINE_BYTES {
            return Err(Failure::new(format_args!("{}:{number}: expected lines of at most {MOST_LINE_BYTES} bytes", file.display())));
        }
        if !line.trim_ascii().is_empty() {
            match parse(&project, &model, &line) {
                Ok((source, id, fields)) => intake.add(number, source, id, fields)?,
                Err(wrong) => intake.bad(number, wrong),
            }
        }
    }
    intake.flush()?;
    let (predicted, errors) = (intake.predicted, intake.errors);
    drop(progress);
    let per_second = predicted as f64 / started.elapsed().as_secs_f64().max(1e-9);
    context.out.object(&json!({
        "predicted": predicted, "failed": errors.len(), "per_second": per_second, "device": null, "model": model, "errors": errors,
    }))?;
    for error in &errors {
        context.out.line(error);
    }
    context.out.line(format_args!("{predicted} predictions stored, {} bad lines", errors.len()));
    Ok(if errors.is_empty() { Outcome::Done } else { Outcome::Problems })
}

/// What is wrong with a line: field, expected, got.
type Wrong = (Option<String>, String, String);

fn parse(project: &Project, model: &str, line: &[u8]) -> Result<(PredictionSource, SampleId, PredictedFields), Wrong> {
    let line: Line = serde_json::from_slice(line).map_err(|error| (None, "a prediction as JSON".to_owned(), error.to_string()))?;
    let mut fields = PredictedFields::new();
    for (id, field) in line.fields {
        let known =
            project.schema().field_named(&id).ok_or_else(|| (Some(id.clone()), "a field of the schema".to_owned(), format!("{id:?}")))?;
        let prediction = field_prediction(project.schema(), &id, field).map_err(|(expected, got)| (Some(id), expected, got))?;
        fields.insert(known.id.clone(), prediction);
    }
    let source = PredictionSource {
        model: line.model.unwrap_or_else(|| model.to_owned()),
        adapter: line.adapter,
        instruction: line.instruction.unwrap_or_else(|| project.recipe.instructions.identity()),
        exemplar: line.exemplar.unwrap_or(Exemplar::Right),
        kind: line.kind.unwrap_or(Kind::ZeroShot),
    };
    Ok((source, line.id, fields))
}

fn field_prediction(schema: &Schema, id: &str, field: LineField) -> Result<FieldPrediction, (String, String)> {
    let known = schema.field_named(id).ok_or_else(|| ("a field of the schema".to_owned(), format!("{id:?}")))?;
    let read = |text: &str| known.parse(text).map_err(|error| (error.expected, error.got));
    let (value, listed, outside) = match field {
        LineField::Text(text) => (read(&text)?, BTreeMap::new(), 0.0),
        LineField::Number(number) => (read(&number.to_string())?, BTreeMap::new(), 0.0),
        LineField::Whole { value: Scalar::Text(text), probabilities, outside } => (read(&text)?, probabilities, outside),
        LineField::Whole { value: Scalar::Number(number), probabilities, outside } => (read(&number.to_string())?, probabilities, outside),
    };
    let mut probabilities = listed.iter().map(|(text, p)| Ok((read(text)?, *p))).collect::<Result<Vec<_>, (String, String)>>()?;
    let share = |p: f32| (0.0..=1.0).contains(&p);
    if let Some((_, p)) = probabilities.iter().find(|(_, p)| !share(*p)) {
        return Err(("probabilities from 0 to 1".to_owned(), p.to_string()));
    }
    if !share(outside) {
        return Err(("outside from 0 to 1".to_owned(), outside.to_string()));
    }
    if probabilities.is_empty() {
        // A bare value is a prediction that admits no doubt.
        probabilities.push((value.clone(), 1.0));
    }
    probabilities.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    Ok(FieldPrediction { value, probabilities, outside })
}

struct Intake<'a> {
    store: &'a mut Store,
    waiting: BTreeMap<PredictionSource, Vec<(SampleId, PredictedFields)>>,
    count: usize,
    predicted: u64,
    errors: Vec<BadRow>,
    file: &'a Path,
}

impl Intake<'_> {
    fn add(&mut self, line: u64, source: PredictionSource, id: SampleId, fields: PredictedFields) -> Result<(), Failure> {
        if !self.store.has(&id)? {
            self.bad(line, (Some("id".to_owned()), "the id of a sample of this project".to_owned(), printable(id.as_str()).into_owned()));
            return Ok(());
        }
        self.waiting.entry(source).or_default().push((id, fields));
        self.count += 1;
        if self.count >= BATCH { self.flush() } else { Ok(()) }
    }

    fn bad(&mut self, line: u64, (field, expected, got): Wrong) {
        self.errors.push(BadRow { file: self.file.display().to_string(), line: Some(line), field, expected, got });
    }

    fn flush(&mut self) -> Result<(), Failure> {
        for (source, predictions) in std::mem::take(&mut self.waiting) {
            self.store.add_predictions(&source, &predictions).map_err(|error: StoreError| Failure::from(error))?;
            self.predicted += predictions.len() as u64;
        }
        self.count = 0;
        Ok(())
    }
}
