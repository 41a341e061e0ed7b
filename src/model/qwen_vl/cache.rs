//! Keys and values of what has been read.

use candle_core::{DType, Device, Tensor};

use super::TextConfig;
use crate::model::ModelError;

/// Keys and values of one or several conversations that are continued together, and where each of them goes on.
///
/// All rows have the same number of slots; where one row's segment was shorter, its last slots are padding that nothing
/// looks at. The memory is taken once: `rows · capacity` tokens.
#[derive(Debug)]
pub struct Cache {
    /// Per layer, `[rows, kv heads, capacity, width]` each.
    layers: Vec<(Tensor, Tensor)>,
    capacity: usize,
    rows: Vec<Row>,
}

/// What is known of a conversation besides its keys and values. All rows have one entry per slot.
#[derive(Debug, Clone, Default)]
struct Row {
    /// Whether a slot holds a token.
    filled: Vec<bool>,
    /// The position at which the conversation goes on behind a slot.
    next: Vec<u32>,
}

impl Cache {
    pub(super) fn new(config: &TextConfig, rows: usize, capacity: usize, dtype: DType, device: &Device) -> Result<Self, ModelError> {
        let shape = (rows, config.kv_heads, capacity, config.head_dim);
        let layers = (0..config.layers)
            .map(|_| Ok((Tensor::zeros(shape, dtype, device)?, Tensor::zeros(shape, dtype, device)?)))
            .collect::<Result<_, ModelError>>()?;
        Ok(Self { layers, capacity, rows: vec![Row::default(); rows] })
    }

    /// Slots in use, padding included.
    pub fn len(&self) -> usize {
        self.rows.first().map_or(0, |row| row.filled.len())
    }

    /// Whether nothing has been read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Conversations.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Slots that there is room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes of memory that the keys and values take.
    pub fn bytes(&self) -> usize {
        self.layers.iter().map(|(key, value)| (key.elem_count() + value.elem_count()) * key.dtype().size_in_bytes()).sum()
    }

    /// The position (M-RoPE) at which a row goes on.
    pub fn position(&self, row: usize) -> u32 {
        self.rows.get(row).and_then(|row| row.next.last().copied()).unwrap_or(0)
    }

    /// Forgets everything behind the first `slots` slots.
    pub fn truncate(&mut self, slots: usize) {
        for row in &mut self.rows {
            row.filled.truncate(slots);
            row.next.truncate(slots);
        }
    }

    /// A deep copy: what one reads, the other does not see.
    pub fn fork(&self) -> Result<Self, ModelError> {
        let rows: Vec<usize> = (0..self.rows()).collect();
        self.gather(&rows, self.capacity)
    }

    /// A deep copy of the given rows, each as often as it is named, with room for `capacity` slots: one shared prefix for a
    /// batch, or the rows of a batch that go on.
    pub fn gather(&self, rows: &[usize], capacity: usize) -> Result<Self, ModelError> {
        let used = self.len();
        if used > capacity {
            return Err(ModelError::CacheFull { capacity, wanted: used });
        }
        if let Some(row) = rows.iter().find(|row| **row >= self.rows()) {
            return Err(ModelError::Prompt(format!("no row {row} in a cache of {}", self.rows())));
        }
        let Some((first, _)) = self.layers.first() else { return Err(ModelError::Prompt("a cache without layers".to_owned())) };
        let index = Tensor::new(rows.iter().map(|row| *row as u32).collect::<Vec<_>>(), first.device())?;
        let copy = |from: &Tensor| -> Result<Tensor, ModelError> {
            let (_, heads, _, width) = from.dims4()?;
            let to = Tensor::zeros((rows.len(), heads, capacity, width), from.dtype(), from.device())?;
            if used > 0 {
                let part = from.narrow(2, 0, used)?.contiguous()?;
                // One row for all needs no gathering on the device, only repetition.
                let part =
                    if self.rows() == 1 { part.broadcast_as((rows.len(), heads, used, width))? } else { part.index_select(&index, 0)? };
                to.slice_set(&part.contiguous()?, 2, 0)?;
            }
            Ok(to)
        };
        let layers = self.layers.iter().map(|(key, value)| Ok((copy(key)?, copy(value)?))).collect::<Result<_, ModelError>>()?;
        Ok(Self { layers, capacity, rows: rows.iter().map(|row| self.rows[*row].clone()).collect() })
    }

    /// Checks that `more` slots fit.
    pub(super) fn reserve(&self, more: usize) -> Result<(), ModelError> {
        let wanted = self.len() + more;
        if wanted > self.capacity { Err(ModelError::CacheFull { capacity: self.capacity, wanted }) } else { Ok(()) }
    }

    /// Writes a layer's new keys and values `[rows, kv heads, tokens, width]` behind those in use and returns all of them,
    /// `[rows, kv heads, slots + tokens, width]`.
    pub(super) fn append(&self, layer: usize, key: &Tensor, value: &Tensor) -> Result<(Tensor, Tensor), ModelError> {
        let (keys, values) = &self.layers[layer];
        let used = self.len();
        let all = used + key.dim(2)?;
        keys.slice_set(&key.contiguous()?, 2, used)?;
        values.slice_set(&value.contiguous()?, 2, used)?;
        Ok((keys.narrow(2, 0, all)?, values.narrow(2, 0, all)?))
    }

    /// Notes the positions of what has been written, per row: one per token, then padding up to `slots`.
    pub(super) fn note(&mut self, positions: &[super::Positions], slots: usize) {
        for (row, new) in self.rows.iter_mut().zip(positions) {
            let mut next = row.next.last().copied().unwrap_or(0);
            for position in &new.each {
                next = next.max(1 + position.iter().copied().max().unwrap_or(0));
                row.filled.push(true);
                row.next.push(next);
            }
            row.filled.resize(row.filled.len() + slots - new.each.len(), false);
            row.next.resize(row.filled.len(), next);
        }
    }

    /// Which slots of a row hold tokens.
    pub(super) fn filled(&self, row: usize) -> &[bool] {
        &self.rows[row].filled
    }
}
