//! Parquet: the columns of `metadata.jsonl` with the images in them, in shards by split.
//!
//! A shard holds a fixed range of places in import order, and so does a row group in it: what a new sample does not
//! fall into keeps its bytes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::Compression;
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::schema::types::ColumnPath;
use arrow_array::{ArrayRef, BinaryArray, ListArray, RecordBatch, StringArray, StructArray};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema};
use serde_json::{Map, Value as Json, json};

use super::format::Writer;
use super::messages::{dataset_name, write_info};
use super::row::{Content, Row};
use super::staging::{HashedFile, Listed, Staging};
use super::{ExportError, Request};
use crate::conversation::Recipe;
use crate::domain::Split;

/// Places in import order per shard and per row group.
const SHARD: u64 = 1000;
const GROUP: u64 = 100;
/// Image bytes after which a row group is closed early.
const GROUP_BYTES: usize = 64 << 20;

/// What tells `datasets` that the image column holds images; without it they load as dictionaries.
const FEATURES: &str = r#"{"info":{"features":{"images":{"feature":{"_type":"Image"},"_type":"List"}}}}"#;

/// The shards of each split, one of each open.
pub(super) struct Shards<'a> {
    recipe: &'a Recipe,
    project: &'a str,
    staging: &'a Staging<'a>,
    schema: Arc<Schema>,
    open: Vec<Shard>,
    closed: Vec<Listed>,
    seen: Vec<Split>,
}

struct Shard {
    split: Split,
    number: u64,
    writer: ArrowWriter<HashedFile>,
    group: u64,
    rows: Vec<Row>,
    bytes: usize,
}

impl<'a> Shards<'a> {
    pub(super) fn begin(request: &Request<'a>, staging: &'a Staging<'a>) -> Result<Self, ExportError> {
        staging.folder("data")?;
        let schema = Arc::new(schema(request.recipe));
        Ok(Self {
            recipe: request.recipe,
            project: request.project,
            staging,
            schema,
            open: Vec::new(),
            closed: Vec::new(),
            seen: Vec::new(),
        })
    }

    fn shard(&mut self, split: Split, number: u64) -> Result<&mut Shard, ExportError> {
        let at = match self.open.iter().position(|shard| shard.split == split) {
            Some(at) if self.open[at].number == number => at,
            found => {
                if let Some(at) = found {
                    let done = self.open.swap_remove(at);
                    self.closed.push(done.close(self.recipe, &self.schema)?);
                }
                self.open.push(self.create(split, number)?);
                self.open.len() - 1
            }
        };
        Ok(&mut self.open[at])
    }

    fn create(&self, split: Split, number: u64) -> Result<Shard, ExportError> {
        let name = format!("data/{}-{number:05}.parquet", split.name());
        let file = self.staging.create(&name)?;
        let images = ColumnPath::from("images.list.item.bytes");
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_key_value_metadata(Some(vec![KeyValue::new("huggingface".to_owned(), FEATURES.to_owned())]))
            .set_column_compression(images.clone(), Compression::UNCOMPRESSED)
            .set_column_dictionary_enabled(images.clone(), false)
            .set_column_statistics_enabled(images, EnabledStatistics::None)
            .set_write_batch_size(16)
            .set_max_row_group_row_count(None)
            .build();
        let path = file.path().to_owned();
        let writer = ArrowWriter::try_new(file, self.schema.clone(), Some(properties))
            .map_err(|error| ExportError::Parquet { path, message: error.to_string() })?;
        Ok(Shard { split, number, writer, group: 0, rows: Vec::new(), bytes: 0 })
    }
}

impl Writer for Shards<'_> {
    fn write(&mut self, row: Row) -> Result<(), ExportError> {
        let (recipe, schema) = (self.recipe, self.schema.clone());
        if !self.seen.contains(&row.split) {
            self.seen.push(row.split);
        }
        let ordinal = row.approved.sample().ordinal;
        let shard = self.shard(row.split, ordinal / SHARD)?;
        if shard.group != ordinal / GROUP || shard.bytes >= GROUP_BYTES {
            shard.flush(recipe, &schema)?;
            shard.group = ordinal / GROUP;
        }
        shard.bytes += row.images.iter().filter_map(|image| image.bytes.as_ref()).map(|bytes| bytes.len()).sum::<usize>();
        shard.rows.push(row);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<Listed>, ExportError> {
        for shard in std::mem::take(&mut self.open) {
            let done = shard.close(self.recipe, &self.schema)?;
            self.closed.push(done);
        }
        write_info(self.staging, &self.info())?;
        Ok(self.closed)
    }
}

impl Shards<'_> {
    /// LLaMA-Factory's list: everything, and each split, as `datasets` finds them in the folder.
    fn info(&mut self) -> Map<String, Json> {
        self.seen.sort_by_key(|split| split.name());
        let name = dataset_name(self.project);
        let source = |split: &str| json!({ "script_url": "data", "split": split, "formatting": "sharegpt", "columns": { "messages": "conversations", "images": "images" } });
        let names: Vec<&str> = self.seen.iter().map(|split| split.name()).collect();
        let each = names.iter().filter(|_| names.len() > 1).map(|split| (format!("{name}_{split}"), source(split)));
        std::iter::once((name.clone(), source(&names.join("+")))).chain(each).collect()
    }
}

impl Shard {
    fn flush(&mut self, recipe: &Recipe, schema: &Arc<Schema>) -> Result<(), ExportError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        let written = batch(&rows, recipe, schema).map_err(ParquetError::from).and_then(|batch| {
            self.writer.write(&batch)?;
            self.writer.flush()
        });
        written.map_err(|error| failed(self.writer.inner().path(), error))
    }

    fn close(mut self, recipe: &Recipe, schema: &Arc<Schema>) -> Result<Listed, ExportError> {
        self.flush(recipe, schema)?;
        let path = self.writer.inner().path().to_owned();
        self.writer.into_inner().map_err(|error| failed(&path, error))?.finish()
    }
}

/// The error of a shard's file; a full disk has its own.
fn failed(path: &Path, error: ParquetError) -> ExportError {
    let message = match error {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => return ExportError::io(path)(*source),
            Err(other) => other.to_string(),
        },
        other => other.to_string(),
    };
    ExportError::Parquet { path: path.to_owned(), message }
}

fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

fn list_of(name: &str, fields: Vec<Field>) -> Field {
    Field::new(name, DataType::List(item(fields.into())), true)
}

fn item(fields: Fields) -> FieldRef {
    Arc::new(Field::new("item", DataType::Struct(fields), true))
}

fn schema(recipe: &Recipe) -> Schema {
    let fields: Vec<Field> = recipe.schema.fields().iter().map(|field| text(field.id.as_str())).collect();
    let columns = vec![
        // Bytes before path, and no large types: `datasets` knows its images by just this.
        list_of("images", vec![Field::new("bytes", DataType::Binary, true), text("path")]),
        list_of("messages", vec![text("role"), list_of("content", vec![text("type"), text("text")])]),
        list_of("conversations", vec![text("from"), text("value")]),
        text("id"),
        text("sample"),
        text("kind"),
        text("split"),
        text("image_type"),
        text("instruction"),
        Field::new("fields", DataType::Struct(fields.into()), true),
    ];
    Schema::new(columns).with_metadata(HashMap::from([("huggingface".to_owned(), FEATURES.to_owned())]))
}

fn strings<'s>(texts: impl IntoIterator<Item = Option<&'s str>>) -> ArrayRef {
    Arc::new(texts.into_iter().collect::<StringArray>())
}

/// A list column of structs, from the flattened columns of the structs and each list's length.
fn lists(field: &Field, columns: Vec<ArrayRef>, lengths: impl IntoIterator<Item = usize>) -> Result<ArrayRef, ArrowError> {
    let DataType::List(item) = field.data_type() else {
        return Err(ArrowError::SchemaError(format!("{} is no list", field.name())));
    };
    let DataType::Struct(fields) = item.data_type() else {
        return Err(ArrowError::SchemaError(format!("{} is no list of structs", field.name())));
    };
    let items = StructArray::try_new(fields.clone(), columns, None)?;
    Ok(Arc::new(ListArray::try_new(item.clone(), OffsetBuffer::from_lengths(lengths), Arc::new(items), None)?))
}

fn batch(rows: &[Row], recipe: &Recipe, schema: &Arc<Schema>) -> Result<RecordBatch, ArrowError> {
    let images = || rows.iter().flat_map(|row| &row.images);
    let bytes = images().map(|image| image.bytes.as_ref().map(|bytes| bytes.as_slice())).collect::<BinaryArray>();
    let names = strings(images().map(|image| Some(image.name.as_str())));
    let image_lists = lists(schema.field(0), vec![Arc::new(bytes), names], rows.iter().map(|row| row.images.len()))?;

    let messages: Vec<_> = rows.iter().map(|row| row.messages(false)).collect();
    let turns = || messages.iter().flatten();
    let parts = || turns().flat_map(|turn| &turn.content);
    let kinds = strings(parts().map(|part| Some(if matches!(part, Content::Text { .. }) { "text" } else { "image" })));
    let texts = strings(parts().map(|part| if let Content::Text { text } = part { Some(*text) } else { None }));
    let content_field = list_of("content", vec![text("type"), text("text")]);
    let content = lists(&content_field, vec![kinds, texts], turns().map(|turn| turn.content.len()))?;
    let roles = strings(turns().map(|turn| Some(turn.role)));
    let message_lists = lists(schema.field(1), vec![roles, content], messages.iter().map(Vec::len))?;

    let conversations: Vec<_> = rows.iter().map(Row::conversations).collect();
    let said = || conversations.iter().flatten();
    let (from, value) = (strings(said().map(|said| Some(said.from))), strings(said().map(|said| Some(said.value.as_str()))));
    let conversation_lists = lists(schema.field(2), vec![from, value], conversations.iter().map(Vec::len))?;

    let labels: Vec<_> = rows.iter().map(|row| row.fields(recipe)).collect();
    let DataType::Struct(field_names) = schema.field(9).data_type() else {
        return Err(ArrowError::SchemaError("fields is no struct".to_owned()));
    };
    let field_columns = field_names.iter().map(|field| strings(labels.iter().map(|label| label.get(field.name()).and_then(Json::as_str))));
    let fields = StructArray::try_new(field_names.clone(), field_columns.collect(), None)?;
    let instruction = recipe.instructions.identity();
    let columns = vec![
        image_lists,
        message_lists,
        conversation_lists,
        strings(rows.iter().map(|row| Some(row.id.as_str()))),
        strings(rows.iter().map(|row| Some(row.approved.sample().id.as_str()))),
        strings(rows.iter().map(|row| Some(row.conversation.kind.name()))),
        strings(rows.iter().map(|row| Some(row.split.name()))),
        strings(rows.iter().map(|row| Some(row.image_type.as_str()))),
        strings(rows.iter().map(|_| Some(instruction.as_str()))),
        Arc::new(fields),
    ];
    RecordBatch::try_new(schema.clone(), columns)
}
