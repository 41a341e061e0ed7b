//! The eye: vision-language models that read product photos.
//!
//! Contract: imports `domain`, `conversation` and `imaging`; prints nothing and never panics. Checkpoints, tokenizers,
//! chat templates and images are untrusted: what is wrong with them is a [`ModelError`] that names the file, what was
//! expected and what stands there, and sizes are limited before memory is taken. What is computed equals transformers
//! (logits to 1e-4 in f32, pixels and tokens to the last bit); `tests/model_parity.rs` holds it to that.
//!
//! [`checkpoint`] reads Hugging Face folders, [`processor`] makes tokens and pixels of conversations, and [`qwen_vl`]
//! is the network.

pub mod checkpoint;
mod error;
pub mod processor;
pub mod qwen_vl;

pub use error::ModelError;
