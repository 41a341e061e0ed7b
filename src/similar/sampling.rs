//! Drawing samples by what their vectors hold, so that it does not matter in which order they came.

use rayon::prelude::*;

use super::Vectors;

/// Samples in an order that only looks random, and which are equal.
pub(super) struct Drawn {
    /// All samples.
    pub shuffled: Vec<u32>,
    /// The first sample with the same vector.
    pub first: Vec<u32>,
}

impl Drawn {
    pub(super) fn of(vectors: &Vectors) -> Self {
        let count = vectors.len() as u32;
        let mut keys: Vec<u64> = (0..count).into_par_iter().map(|index| key(vectors.get(index))).collect();
        let mut shuffled: Vec<u32> = (0..count).collect();
        shuffled.par_sort_unstable_by_key(|index| (keys[*index as usize], vectors.get(*index), *index));
        let mut first = vec![0; count as usize];
        let (mut leader, mut copies) = (0, 0_u64);
        for (nth, index) in shuffled.iter().enumerate() {
            let same = nth > 0 && vectors.get(shuffled[nth - 1]) == vectors.get(*index);
            (leader, copies) = if same { (leader, copies + 1) } else { (*index, 0) };
            first[*index as usize] = leader;
            // Copies are drawn one by one, as often as they are there.
            if copies > 0 {
                keys[*index as usize] = mixed(keys[*index as usize].wrapping_add(copies));
            }
        }
        shuffled.par_sort_unstable_by_key(|index| (keys[*index as usize], vectors.get(*index), *index));
        Self { shuffled, first }
    }
}

fn key(vector: &[i8]) -> u64 {
    let bytes: Vec<u8> = vector.iter().map(|value| value.cast_unsigned()).collect();
    blake3::hash(&bytes).as_bytes().iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
}

/// Well-mixed bits (the end of `SplitMix64`).
fn mixed(state: u64) -> u64 {
    let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Numbers that only look random: `SplitMix64`.
pub(super) struct Random(pub u64);

impl Random {
    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        ((u128::from(mixed(self.0)) * u128::from(limit)) >> 64) as u64
    }
}
