//! Numbers as options give them.

fn number(text: &str, fits: impl Fn(f64) -> bool, expected: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && fits(*number)).ok_or_else(|| format!("expected {expected}"))
}

pub(super) fn positive(text: &str) -> Result<f64, String> {
    number(text, |number| number > 0.0, "a number above 0")
}

pub(super) fn at_least_zero(text: &str) -> Result<f64, String> {
    number(text, |number| number >= 0.0, "0 or a number above")
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    number(text, |number| (0.0..=1.0).contains(&number), "a share from 0 to 1")
}
