//! Keys and values of what has been read.

use std::ops::Range;

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

    /// A deep copy of rows of several caches as the rows of one, with room for `capacity` slots. Padding is left out; rows
    /// that have read less than others are padded at their ends.
    pub fn join(parts: &[(&Self, usize)], capacity: usize) -> Result<Self, ModelError> {
        let mut rows = Vec::with_capacity(parts.len());
        let mut filled = Vec::with_capacity(parts.len());
        for (cache, row) in parts {
            let known = cache.rows.get(*row).ok_or_else(|| ModelError::Prompt(format!("no row {row} in a cache of {}", cache.rows())))?;
            let slots: Vec<u32> = (0..).zip(&known.filled).filter(|(_, filled)| **filled).map(|(slot, _)| slot).collect();
            let next: Vec<u32> = slots.iter().map(|slot| known.next[*slot as usize]).collect();
            rows.push(Row { filled: vec![true; slots.len()], next });
            filled.push(slots);
        }
        let used = filled.iter().map(Vec::len).max().unwrap_or(0);
        let Some((first, _)) = parts.first() else { return Err(ModelError::Prompt("no rows to join".to_owned())) };
        if used > capacity {
            return Err(ModelError::CacheFull { capacity, wanted: used });
        }
        for row in &mut rows {
            let next = row.next.last().copied().unwrap_or(0);
            row.filled.resize(used, false);
            row.next.resize(used, next);
        }
        #[cfg(feature = "cuda")]
        if let Some(layers) = Self::lay_out(parts, &filled, used, capacity)? {
            return Ok(Self { layers, capacity, rows });
        }
        let copy = |layer: usize, of: fn(&(Tensor, Tensor)) -> &Tensor| -> Result<Tensor, ModelError> {
            let (_, heads, _, width) = of(&first.layers[layer]).dims4()?;
            let to =
                Tensor::zeros((parts.len(), heads, capacity, width), of(&first.layers[layer]).dtype(), of(&first.layers[layer]).device())?;
            if used == 0 {
                return Ok(to);
            }
            let each = parts.iter().zip(&filled).map(|((cache, row), slots)| {
                let from = of(&cache.layers[layer]).narrow(0, *row, 1)?;
                let part = if slots.len() == cache.len() {
                    from.narrow(2, 0, slots.len())?.contiguous()?
                } else {
                    from.contiguous()?.index_select(&Tensor::new(slots.as_slice(), from.device())?, 2)?
                };
                Ok(part.pad_with_zeros(2, 0, used - slots.len())?)
            });
            let each = each.collect::<Result<Vec<_>, ModelError>>()?;
            to.slice_set(&Tensor::cat(&each, 0)?.contiguous()?, 2, 0)?;
            Ok(to)
        };
        let layers = (0..first.layers.len()).map(|layer| Ok((copy(layer, |(key, _)| key)?, copy(layer, |(_, value)| value)?)));
        Ok(Self { layers: layers.collect::<Result<_, ModelError>>()?, capacity, rows })
    }

    /// The same in one kernel, where rows are filled from their beginnings on.
    #[cfg(feature = "cuda")]
    fn lay_out(
        parts: &[(&Self, usize)],
        filled: &[Vec<u32>],
        used: usize,
        capacity: usize,
    ) -> Result<Option<Vec<(Tensor, Tensor)>>, ModelError> {
        let layers = || parts.first().map_or(&[][..], |(first, _)| first.layers.as_slice());
        let Some(kernels) = layers().first().and_then(|(key, _)| super::cuda::Kernels::of(key)) else { return Ok(None) };
        let from_the_beginning = |slots: &Vec<u32>| slots.last().is_none_or(|last| *last as usize + 1 == slots.len());
        if !filled.iter().all(from_the_beginning) {
            return Ok(None);
        }
        let room = |like: &Tensor| -> Result<Tensor, ModelError> {
            let (_, heads, _, width) = like.dims4()?;
            Ok(kernels.room(&[parts.len(), heads, capacity, width], like.dtype())?)
        };
        let made = layers().iter().map(|(key, value)| Ok((room(key)?, room(value)?))).collect::<Result<Vec<_>, ModelError>>()?;
        let mut jobs = Vec::with_capacity(2 * made.len() * parts.len());
        for (layer, (keys, values)) in made.iter().enumerate() {
            for (to_row, ((cache, from_row), slots)) in parts.iter().zip(filled).enumerate() {
                let (key, value) = &cache.layers[layer];
                for (from, to) in [(key, keys), (value, values)] {
                    jobs.push(super::cuda::Job { from, from_row: *from_row, to, to_row, filled: slots.len() });
                }
            }
        }
        kernels.lay_out(&jobs, used)?;
        Ok(Some(made))
    }

    /// A layer's keys and values.
    #[cfg(feature = "cuda")]
    pub(super) fn layer(&self, index: usize) -> (&Tensor, &Tensor) {
        (&self.layers[index].0, &self.layers[index].1)
    }

    /// The slots of a row that hold tokens.
    pub fn seen(&self, row: usize) -> Vec<Range<usize>> {
        let mut seen: Vec<Range<usize>> = Vec::new();
        for slot in
            self.rows.get(row).map_or(&[][..], |row| &row.filled).iter().enumerate().filter(|(_, filled)| **filled).map(|(slot, _)| slot)
        {
            match seen.last_mut() {
                Some(last) if last.end == slot => last.end += 1,
                _ => seen.push(slot..slot + 1),
            }
        }
        seen
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
