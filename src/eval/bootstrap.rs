//! How far a share could have come out otherwise: percentile intervals of resampled samples.

/// Resamples of an interval.
const RESAMPLES: usize = 1000;

/// Where the draws of every interval begin, so that the same samples give the same interval.
const SEED: u64 = 0x6d65_6b69_6b69;

/// How many of some samples are right, with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Share {
    /// Right ones.
    pub right: u64,
    /// All of them.
    pub of: u64,
    /// The 95 % interval of the share by bootstrap over samples; both ends are the share itself where all samples are
    /// right, or none.
    pub interval: (f64, f64),
}

impl Share {
    /// Counts flags.
    pub fn of(flags: impl IntoIterator<Item = bool>) -> Self {
        let values: Vec<f64> = flags.into_iter().map(|right| f64::from(u8::from(right))).collect();
        let right = values.iter().filter(|value| **value > 0.0).count() as u64;
        Self { right, of: values.len() as u64, interval: interval(&values).unwrap_or_default() }
    }

    /// The share, 0 to 1; `None` of nothing.
    pub fn share(&self) -> Option<f64> {
        (self.of > 0).then(|| self.right as f64 / self.of as f64)
    }
}

/// The 95 % percentile interval of a mean, from 1,000 resamples with a fixed seed; `None` of nothing.
pub fn interval(values: &[f64]) -> Option<(f64, f64)> {
    let first = *values.first()?;
    if values.iter().all(|value| *value == first) {
        return Some((first, first));
    }
    let mut draws = Draws(SEED);
    let mut means: Vec<f64> =
        (0..RESAMPLES).map(|_| (0..values.len()).map(|_| values[draws.below(values.len())]).sum::<f64>() / values.len() as f64).collect();
    means.sort_by(f64::total_cmp);
    let tail = RESAMPLES / 40;
    Some((means[tail], means[RESAMPLES - 1 - tail]))
}

/// Numbers that look drawn: a counter in steps of the golden ratio, mixed.
struct Draws(u64);

impl Draws {
    /// A number from 0 up to and without `count`.
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9), (27, 0x94d0_49bb_1331_11eb_u64)] {
            bits = (bits ^ (bits >> shift)).wrapping_mul(factor);
        }
        bits ^= bits >> 31;
        ((u128::from(bits) * count as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_the_same_each_time_and_as_wide_as_they_should_be() {
        let flags = || (0..400).map(|n| n % 4 != 0);
        let share = Share::of(flags());
        assert_eq!(share, Share::of(flags()));
        assert_eq!((share.right, share.of, share.share()), (300, 400, Some(0.75)));
        // 1.96 standard errors: 1.96 * sqrt(0.75 * 0.25 / 400) = 0.0424.
        let (low, high) = share.interval;
        assert!((0.75 - low - 0.0424).abs() < 0.006 && (high - 0.75 - 0.0424).abs() < 0.006, "{low} {high}");
    }

    #[test]
    fn shares_without_doubt_or_samples() {
        assert_eq!(Share::of([true; 9]).interval, (1.0, 1.0));
        assert_eq!((Share::of([]).share(), interval(&[])), (None, None));
        assert_eq!(interval(&[-1.0]), Some((-1.0, -1.0)));
    }

    #[test]
    fn draws_reach_every_number_evenly() {
        let mut draws = Draws(SEED);
        let mut counts = [0; 7];
        (0..70_000).for_each(|_| counts[draws.below(7)] += 1);
        assert!(counts.iter().all(|count| (9600..10_400).contains(count)), "{counts:?}");
    }
}
