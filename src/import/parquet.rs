//! Hugging Face Parquet: images as `struct<bytes, path>`, as bytes or as paths, fields as columns.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use ::parquet::file::metadata::RowGroupMetaData;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema as ArrowSchema};

use super::cell::{Cell, Record};
use super::columns::Columns;
use super::generic;
use super::run::{Halt, Place, Raw, Run};
use crate::domain::Schema;

/// Rows that are decoded together: few where each may hold a photograph.
const BATCH_ROWS: usize = 4096;
const BATCH_ROWS_WITH_BYTES: usize = 32;

/// The most bytes of one column in one row group, unpacked.
const MOST_CHUNK_BYTES: i64 = 4 << 30;

/// Names of Hugging Face class labels by column: such a column holds indices into them.
type ClassNames = HashMap<String, Vec<String>>;

const EXPECTED: &str = "a Parquet file";

/// Reads rows by columns, row group by row group; a row's line is its number from 1.
pub(super) fn read(run: &mut Run<'_>) -> Result<(), Halt> {
    let file = run.file()?;
    let opened = guard(|| ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string()));
    let builder = opened.map_err(|error| run.broken(EXPECTED, error))?;
    let metadata = builder.metadata().clone();
    if metadata.row_groups().iter().flat_map(RowGroupMetaData::columns).any(|chunk| chunk.uncompressed_size() > MOST_CHUNK_BYTES) {
        return Err(run.broken("columns of at most 4 GiB a row group", "more").into());
    }
    let schema = builder.schema().clone();
    let (columns, fields) = (run.intake.options.columns, run.intake.options.schema);
    let header: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    columns.check(&header)?;
    let used = used(columns, fields);
    let wanted: Vec<usize> = (0..header.len()).filter(|index| used.contains(header[*index])).collect();
    let with_bytes = wanted.iter().any(|index| holds_bytes(schema.field(*index).data_type()));
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let batch_rows = if with_bytes { BATCH_ROWS_WITH_BYTES } else { BATCH_ROWS };
    let built = guard(|| builder.with_projection(mask).with_batch_size(batch_rows).build().map_err(|error| error.to_string()));
    let mut batches = built.map_err(|error| run.broken(EXPECTED, error))?;
    let names = class_names(&schema);
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0).max(1);
    let size = run.opened.bytes / rows;
    let mut before = 0;
    while let Some(batch) = guard(|| next(&mut batches)).map_err(|error| run.broken(EXPECTED, error))? {
        let rows = (0..batch.num_rows()).map(|row| Ok(Raw { place: Place::Line(before + row as u64 + 1), size, content: Ok(row) }));
        run.stream(rows, |intake, row| generic::sample(intake, &record(&batch, row, &names)))?;
        before += batch.num_rows() as u64;
    }
    Ok(())
}

fn next(batches: &mut ParquetRecordBatchReader) -> Result<Option<RecordBatch>, String> {
    batches.next().transpose().map_err(|error| error.to_string())
}

/// Decoders of other people's bytes may panic on damage that they did not foresee; here that is an error.
fn guard<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err("damaged content".to_owned()))
}

/// The columns that may say something; others, of whatever size, are not read.
fn used<'a>(columns: &'a Columns, schema: &'a Schema) -> BTreeSet<&'a str> {
    let roles = ["id", "query", "reference", "group", "type"].into_iter().flat_map(|role| columns.of_role(role));
    let fields = schema.fields().iter().flat_map(|field| columns.of_field(field.id.as_str(), true));
    roles.chain(fields).collect()
}

fn holds_bytes(kind: &DataType) -> bool {
    match kind {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Struct(fields) => fields.iter().any(|field| holds_bytes(field.data_type())),
        DataType::List(item) | DataType::LargeList(item) => holds_bytes(item.data_type()),
        _ => false,
    }
}

/// What the `datasets` library notes of its features.
fn class_names(schema: &ArrowSchema) -> ClassNames {
    let noted = schema.metadata().get("huggingface").and_then(|text| serde_json::from_str::<Cell<'_>>(text).ok());
    let Some(Cell::Map(features)) = noted.as_ref().and_then(|noted| noted.get("info")?.get("features")) else {
        return ClassNames::new();
    };
    let names = |feature: &Cell<'_>| match feature.get("names")? {
        Cell::List(names) => names.iter().map(|name| name.text().map(Cow::into_owned)).collect(),
        _ => None,
    };
    features.0.iter().filter_map(|(column, feature)| Some((column.to_string(), names(feature)?))).collect()
}

fn record<'a>(batch: &'a RecordBatch, row: usize, names: &'a ClassNames) -> Record<'a> {
    let fields = batch.schema_ref().fields().iter().zip(batch.columns());
    let cells = fields.map(|(field, array)| {
        let cell = match (cell(array.as_ref(), row), names.get(field.name())) {
            // Below 0 is how a class label says that there is none.
            (Cell::Integer(index), Some(_)) if index < 0 => Cell::Null,
            (Cell::Integer(index), Some(names)) if (index as usize) < names.len() => {
                Cell::Text(Cow::Borrowed(names[index as usize].as_str()))
            }
            (cell, _) => cell,
        };
        (Cow::Borrowed(field.name().as_str()), cell)
    });
    Record(cells.collect())
}

/// One value of a column.
fn cell(array: &dyn Array, row: usize) -> Cell<'_> {
    macro_rules! integer {
        ($($kind:ty),*) => {
            $(if let Some(numbers) = array.as_primitive_opt::<$kind>() {
                return Cell::Integer(i64::from(numbers.value(row)));
            })*
        };
    }
    if array.is_null(row) {
        return Cell::Null;
    }
    let text = array.as_string_opt::<i32>().map(|texts| texts.value(row));
    let text = text.or_else(|| array.as_string_opt::<i64>().map(|texts| texts.value(row)));
    if let Some(text) = text.or_else(|| array.as_string_view_opt().map(|texts| texts.value(row))) {
        return Cell::Text(Cow::Borrowed(text));
    }
    let bytes = array.as_binary_opt::<i32>().map(|all| all.value(row));
    let bytes = bytes.or_else(|| array.as_binary_opt::<i64>().map(|all| all.value(row)));
    if let Some(bytes) = bytes.or_else(|| array.as_binary_view_opt().map(|all| all.value(row))) {
        return Cell::Image(bytes, None);
    }
    if let Some(parts) = array.as_struct_opt() {
        let part = |name| parts.column_by_name(name).map(|part| cell(part.as_ref(), row));
        return match (part("bytes"), part("path")) {
            (Some(Cell::Image(bytes, _)), Some(Cell::Text(Cow::Borrowed(path)))) => Cell::Image(bytes, Some(path)),
            (Some(image @ Cell::Image(..)), _) => image,
            (_, Some(path)) => path,
            _ => Cell::Null,
        };
    }
    if let Some(lists) = array.as_list_opt::<i32>() {
        let (from, to) = (lists.value_offsets()[row] as usize, lists.value_offsets()[row + 1] as usize);
        return Cell::List((from..to).map(|index| cell(lists.values().as_ref(), index)).collect());
    }
    if let Some(values) = array.as_boolean_opt() {
        return Cell::Bool(values.value(row));
    }
    if let Some(numbers) = array.as_primitive_opt::<Float64Type>() {
        return Cell::Number(numbers.value(row));
    }
    if let Some(numbers) = array.as_primitive_opt::<Float32Type>() {
        return Cell::Number(f64::from(numbers.value(row)));
    }
    if let Some(numbers) = array.as_primitive_opt::<Int64Type>() {
        return Cell::Integer(numbers.value(row));
    }
    if let Some(numbers) = array.as_primitive_opt::<UInt64Type>() {
        let number = numbers.value(row);
        return i64::try_from(number).map_or(Cell::Number(number as f64), Cell::Integer);
    }
    integer!(Int8Type, Int16Type, Int32Type, UInt8Type, UInt16Type, UInt32Type);
    // Refused with this text where the column counts.
    Cell::Text(Cow::Owned(format!("a value of type {}", array.data_type())))
}
