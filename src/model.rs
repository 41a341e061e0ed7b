//! The eye: vision-language models that read product photos, and decide every field with its confidence.
//!
//! Contract: imports `domain`, `conversation` and `imaging`; prints nothing and never panics. Checkpoints, tokenizers,
//! adapters, chat templates and images are untrusted: what is wrong with them is an error that names the file, what was
//! expected and what stands there, and sizes are limited before memory is taken. What is computed equals transformers
//! (logits to 1e-4 in f32, pixels and tokens to the last bit); `tests/model_parity.rs` holds it to that.
//!
//! [`checkpoint`] reads Hugging Face folders, [`processor`] makes tokens and pixels of conversations, [`qwen_vl`] is the
//! network, [`adapter`] what is laid over it, [`decide`] walks the allowed answers, [`predictor`] does all of this for
//! samples, [`encoder`] makes vectors of pictures, [`server`] asks a model elsewhere, [`device`] opens a GPU, and [`random`]
//! makes checkpoints to try.

pub mod adapter;
pub mod checkpoint;
pub mod decide;
pub mod device;
pub mod encoder;
mod error;
pub mod predictor;
pub mod processor;
pub mod qwen_vl;
pub mod random;
pub mod server;

pub use error::ModelError;
