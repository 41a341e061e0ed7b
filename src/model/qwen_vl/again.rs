//! Segments of the network that are computed twice: once for what comes after them, and once more when their gradients are
//! wanted. Between the two nothing of a segment is kept but its input.
//!
//! candle's graph cannot be taken up in the middle, so that a segment is one operation of it. When the backward pass reaches
//! the operation, the segment is computed again over a copy of its input, with a graph of its own, and that graph is passed
//! back from the gradient that has arrived. What is found for the input goes on through the outer graph. What is found for
//! variables lies here until the outer pass is over, since an operation can hand on gradients of three arguments at most.
//!
//! A segment is one block. What blocks hand to each other is little beside what one keeps inside, so that longer segments
//! would take more memory and not less.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, TensorId, Var};

use super::gradient::known;
use crate::model::ModelError;

/// How a network's blocks are computed, and the gradients that were found inside them.
#[derive(Debug, Clone)]
pub(super) struct Again(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// An argument of every segment: what leads to no variable is not passed back, and a segment's own variables cannot be seen.
    root: Var,
    variables: HashSet<TensorId>,
    found: Mutex<HashMap<TensorId, Tensor>>,
}

impl Again {
    /// For one pass over a network of these variables.
    pub(super) fn new<'a>(variables: impl Iterator<Item = &'a Var>, device: &Device) -> Result<Self> {
        let variables = variables.map(|var| var.as_tensor().id()).collect();
        let root = Var::zeros(1, DType::F32, device)?;
        Ok(Self(Arc::new(Inner { root, variables, found: Mutex::default() })))
    }

    /// `segment(x)`. Whatever else the segment depends on must be the same when it is computed again.
    pub(super) fn compute(
        &self,
        x: &Tensor,
        segment: impl Fn(&Tensor) -> std::result::Result<Tensor, ModelError> + Send + Sync + 'static,
    ) -> std::result::Result<Tensor, ModelError> {
        // Shares the memory of what the graph keeps in any case.
        let (input, moves) = (x.detach(), x.track_op());
        let value = segment(&start(&input, moves)?)?;
        if !value.track_op() {
            return Ok(value);
        }
        let inner = self.0.clone();
        let again = move |gradient: &Tensor| -> Result<[Option<Tensor>; 2]> {
            let input = start(&input, moves)?;
            let found = passed_back(segment(&input).map_err(plain)?, gradient)?;
            inner.keep(&found)?;
            Ok([found.get(&input).cloned(), None])
        };
        Ok(known([x, &self.0.root], value.detach(), again)?)
    }

    /// Adds to the gradients of a pass those that were found in its segments.
    pub(super) fn hand_over(&self, gradients: &mut GradStore) -> Result<()> {
        for (id, found) in self.0.found.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            let sum = match gradients.get_id(id) {
                Some(known) => (known + found)?.detach(),
                None => found,
            };
            gradients.insert_id(id, sum);
        }
        gradients.remove(&self.0.root);
        Ok(())
    }
}

impl Inner {
    fn keep(&self, gradients: &GradStore) -> Result<()> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for id in &self.variables {
            let Some(gradient) = gradients.get_id(*id) else { continue };
            let sum = match found.get(id) {
                Some(known) => (known + gradient)?.detach(),
                None => gradient.clone(),
            };
            found.insert(*id, sum);
        }
        Ok(())
    }
}

/// Where a segment's own graph begins.
fn start(input: &Tensor, moves: bool) -> Result<Tensor> {
    if moves { Ok(Var::from_tensor(input)?.into_inner()) } else { Ok(input.clone()) }
}

/// The gradients of what `value` was made of, from its own.
fn passed_back(value: Tensor, gradient: &Tensor) -> Result<GradStore> {
    let gradient = gradient.clone();
    let end = Tensor::zeros((), value.dtype(), value.device())?;
    let end = known([&value], end, move |_| Ok([Some(gradient.clone())]))?;
    drop(value);
    end.backward()
}

/// What went wrong, as the graph passes it on.
fn plain(error: ModelError) -> candle_core::Error {
    match error {
        ModelError::Compute(error) => error,
        other => candle_core::Error::wrap(other),
    }
}
