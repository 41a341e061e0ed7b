//! Several sources as one.

use super::ExamplesError;
use super::order::shuffled;
use crate::train::{Example, Examples, TrainError};

/// Numbers after which every source has had exactly its share.
const CYCLE: u64 = 100;

/// Examples of several sources, each its share. Every source is asked for its own numbers in order, so that none of its
/// examples is left out.
pub struct Mixed {
    seed: u64,
    /// With each source, how many of a cycle's numbers are its own.
    sources: Vec<(Box<dyn Examples>, u64)>,
}

impl Mixed {
    /// Mixes sources with equal classes; weights count against each other, and those above 0 get at least one example in
    /// a hundred.
    pub fn new(seed: u64, sources: Vec<(Box<dyn Examples>, f64)>) -> Result<Self, TrainError> {
        let sources: Vec<_> = sources.into_iter().filter(|(_, weight)| *weight > 0.0 && weight.is_finite()).collect();
        let total: f64 = sources.iter().map(|(_, weight)| weight).sum();
        let Some((first, _)) = sources.first() else { return Err(ExamplesError::None.into()) };
        if let Some((other, _)) = sources.iter().find(|(source, _)| source.classes() != first.classes()) {
            let list = |source: &dyn Examples| source.classes().join(", ");
            return Err(ExamplesError::Classes { first: list(first.as_ref()), other: list(other.as_ref()) }.into());
        }
        let mut shares: Vec<u64> = sources.iter().map(|(_, weight)| ((weight / total * CYCLE as f64).round() as u64).max(1)).collect();
        // What rounding left over or took too much goes to the largest.
        if let Some(largest) = (0..shares.len()).max_by_key(|place| shares[*place]) {
            let others: u64 = shares.iter().sum::<u64>() - shares[largest];
            shares[largest] = CYCLE.saturating_sub(others).max(1);
        }
        Ok(Self { seed, sources: sources.into_iter().map(|(source, _)| source).zip(shares).collect() })
    }

    /// The source of a number, and its number there.
    fn place(&self, nth: u64) -> (usize, u64) {
        let cycle: u64 = self.sources.iter().map(|(_, share)| share).sum();
        let mut place = shuffled(self.seed, nth, cycle);
        let round = nth / cycle;
        for (source, (_, share)) in self.sources.iter().enumerate() {
            if place < *share {
                return (source, round * share + place);
            }
            place -= share;
        }
        (0, round)
    }
}

impl Examples for Mixed {
    fn classes(&self) -> &[String] {
        self.sources.first().map_or(&[], |(source, _)| source.classes())
    }

    fn example(&self, nth: u64) -> Result<Example, TrainError> {
        let (source, number) = self.place(nth);
        match self.sources.get(source) {
            Some((source, _)) => source.example(number),
            None => Err(ExamplesError::None.into()),
        }
    }

    fn parts(&self) -> Vec<&dyn Examples> {
        self.sources.iter().map(|(source, _)| source.as_ref()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    struct Nothing(Vec<String>);

    impl Examples for Nothing {
        fn classes(&self) -> &[String] {
            &self.0
        }

        fn example(&self, nth: u64) -> Result<Example, TrainError> {
            Err(ExamplesError::NoImage(nth.to_string()).into())
        }
    }

    fn nothing(class: &str) -> Box<dyn Examples> {
        Box::new(Nothing(vec![class.to_owned()]))
    }

    #[test]
    fn every_source_has_its_share_and_each_number_once() {
        let mixed = Mixed::new(3, vec![(nothing("a"), 5.0), (nothing("a"), 0.0), (nothing("a"), 3.0), (nothing("a"), 2.0)]).unwrap();
        let mut seen: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for nth in 0..400 {
            let (source, number) = mixed.place(nth);
            seen.entry(source).or_default().push(number);
        }
        assert_eq!(seen.values().map(Vec::len).collect::<Vec<_>>(), [200, 120, 80]);
        for numbers in seen.values_mut() {
            numbers.sort_unstable();
            assert_eq!(*numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_to_mix_and_unequal_classes_are_refused() {
        assert!(Mixed::new(1, vec![(nothing("a"), 0.0)]).is_err());
        let error = Mixed::new(1, vec![(nothing("a"), 1.0), (nothing("b"), 1.0)]).err().unwrap().to_string();
        assert!(error.contains('a') && error.contains('b'), "{error}");
    }
}
