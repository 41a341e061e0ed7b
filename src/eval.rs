//! What predictions are worth: metrics on reviewed samples, and two ways of predicting side by side.
//!
//! Contract: imports `domain` and `conversation`; pure. It gets labels and predictions, and returns figures; nothing here
//! reads files, asks a model or prints.
