//! McNemar's test: whether two ways of predicting differ by more than chance on the same samples.

/// From so many samples on that only one of the two has right, the approximation is used.
const APPROXIMATED_FROM: u64 = 25;

/// How the probability was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// Two-sided binomial test: each differing sample falls to either side like a coin.
    Exact,
    /// Chi-squared with one degree of freedom and continuity correction.
    ChiSquared,
}

impl Test {
    /// `exact` or `chi-squared`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::ChiSquared => "chi-squared",
        }
    }
}

/// What McNemar's test says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct McNemar {
    /// Samples that only the first has right.
    pub only_first: u64,
    /// Samples that only the second has right.
    pub only_second: u64,
    /// The probability of a difference at least as large if both were equally good, 0 to 1.
    pub p: f64,
    /// How it was found.
    pub test: Test,
}

/// The test for so many samples that only the first, and only the second has right: exact below 25 of them.
pub fn mcnemar(only_first: u64, only_second: u64) -> McNemar {
    let differing = only_first + only_second;
    let (p, test) = if differing < APPROXIMATED_FROM {
        (binomial(only_first.min(only_second), differing), Test::Exact)
    } else {
        let corrected = (only_first.abs_diff(only_second) as f64 - 1.0).max(0.0);
        // A chi-squared variable with one degree of freedom is a squared normal one.
        (erfc((corrected * corrected / differing as f64 / 2.0).sqrt()), Test::ChiSquared)
    };
    McNemar { only_first, only_second, p, test }
}

/// Twice the probability of at most `few` heads in `throws` throws, at most 1.
fn binomial(few: u64, throws: u64) -> f64 {
    let mut term = 0.5_f64.powi(throws as i32);
    let mut sum = 0.0;
    for heads in 0..=few {
        sum += term;
        term *= (throws - heads) as f64 / (heads + 1) as f64;
    }
    (2.0 * sum).min(1.0)
}

/// The complementary error function of a number that is not negative, to about twelve digits.
fn erfc(x: f64) -> f64 {
    let scale = std::f64::consts::FRAC_2_SQRT_PI;
    if x < 2.0 {
        // The power series of the error function.
        let (mut power, mut sum) = (x, x);
        for k in 1..60 {
            let k = f64::from(k);
            power *= -x * x / k;
            sum += power / (2.0 * k + 1.0);
        }
        1.0 - scale * sum
    } else {
        // The continued fraction of its tail, from the inside out.
        let fraction = (1..=80).rev().fold(x, |inner, k| x + f64::from(k) / 2.0 / inner);
        scale / 2.0 * (-x * x).exp() / fraction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    #[test]
    fn few_differing_samples_are_thrown_coins() {
        // Tables of the binomial distribution with p = 0.5.
        for (first, second, p) in [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (1, 9, 0.021_484_375), (2, 8, 0.109_375), (6, 0, 0.03125)] {
            let said = mcnemar(first, second);
            assert!(near(said.p, p) && said.test == Test::Exact, "{said:?}");
        }
        assert_eq!(mcnemar(3, 7).p, mcnemar(7, 3).p);
        assert_eq!(mcnemar(4, 20).test, Test::Exact);
    }

    #[test]
    fn many_differing_samples_are_chi_squared() {
        // 121 against 59, of which McNemar's statistic with correction is 61² / 180.
        let said = mcnemar(121, 59);
        assert!((said.p - 5.450_094_825e-6).abs() < 1e-12 && said.test == Test::ChiSquared, "{said:?}");
        // Where the statistic is 3.841459, the 5 % point of the distribution.
        assert!(near(erfc((3.841_458_820_694_124_f64 / 2.0).sqrt()), 0.05));
        assert!(near(mcnemar(13, 12).p, 1.0) && near(mcnemar(15, 10).p, 0.423_710_797));
    }

    #[test]
    fn both_ways_to_the_tail_meet() {
        assert!((erfc(2.0 - 1e-12) - erfc(2.0)).abs() < 1e-11);
        assert!(near(erfc(0.0), 1.0) && (erfc(4.0) - 1.541_725_790_028e-8).abs() < 1e-18);
    }
}
