//! The value of one field.

use std::collections::BTreeSet;
use std::fmt;

use super::{Address, BoundingBox};

/// A value that some [`Field`](super::Field) allows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// One of the field's options.
    Choice(String),
    /// Any number of the field's options.
    Choices(BTreeSet<String>),
    /// A whole number within the field's bounds.
    Integer(i64),
    /// One line of text.
    Text(String),
    /// A cell of the field's grid, or none.
    Address(Option<Address>),
    /// A box on the query image, or none.
    Box(Option<BoundingBox>),
}

/// Why a text is no value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    /// What the field takes.
    pub expected: String,
    /// What was given.
    pub got: String,
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, got {:?}", self.expected, self.got)
    }
}

impl std::error::Error for ValueError {}
