//! GPUs that people have.

use super::super::Precision;

/// A GPU and the memory that its driver leaves to programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Card {
    /// Its name with the memory that it is sold with.
    pub name: &'static str,
    /// Bytes.
    pub bytes: u64,
    /// Whether it computes in bf16.
    pub bf16: bool,
}

const MIB: u64 = 1 << 20;

/// The common ones, smallest first; memory as their drivers report it.
pub const CARDS: [Card; 5] = [
    Card { name: "T4 16 GB", bytes: 15_360 * MIB, bf16: false },
    Card { name: "L4 24 GB", bytes: 23_034 * MIB, bf16: true },
    Card { name: "A100 40 GB", bytes: 40_960 * MIB, bf16: true },
    Card { name: "A100 80 GB", bytes: 81_920 * MIB, bf16: true },
    Card { name: "H200 141 GB", bytes: 143_771 * MIB, bf16: true },
];

impl Card {
    /// The smallest on which so many bytes fit, computed in a precision.
    pub fn smallest(bytes: u64, precision: Precision) -> Option<Self> {
        CARDS.into_iter().find(|card| card.bytes >= bytes && (card.bf16 || precision == Precision::F32))
    }
}
