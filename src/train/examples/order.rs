//! Orders in which each of a number of things comes once before one comes again.

use crate::domain::stable_hash;

/// Place `nth` of an endless sequence of shufflings of `0..count`: every `count` numbers, each value comes once.
pub(super) fn shuffled(seed: u64, nth: u64, count: u64) -> u64 {
    if count < 2 {
        return 0;
    }
    let (round, place) = (nth / count, nth % count);
    // A Feistel network permutes 0..4^half; values beyond `count` are sent through again until one lies within.
    let half = (64 - (count - 1).leading_zeros()).div_ceil(2);
    let mask = (1_u64 << half) - 1;
    let mut value = place;
    loop {
        let (mut left, mut right) = (value >> half, value & mask);
        for step in 0..4_u64 {
            let mixed = stable_hash(seed ^ round.rotate_left(20) ^ (step << 56) ^ right, &["shuffle"]) & mask;
            (left, right) = (right, left ^ mixed);
        }
        value = (left << half) | right;
        if value < count {
            return value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_comes_once_a_round_and_rounds_differ() {
        for count in [1, 2, 3, 7, 64, 1000] {
            let round = |round: u64| (0..count).map(|place| shuffled(5, round * count + place, count)).collect::<Vec<_>>();
            assert_eq!(round(0).iter().collect::<BTreeSet<_>>().len() as u64, count);
            assert!(round(0).iter().all(|value| *value < count));
            if count > 60 {
                assert_ne!(round(0), round(1));
                let kept = round(0).iter().enumerate().filter(|(place, value)| **value == *place as u64).count();
                assert!(kept < 10, "{kept}");
            }
        }
    }
}
