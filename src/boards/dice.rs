//! Chance that stays the same for ever: a small counter-based generator, so that no release of a random-number crate
//! can change what a seed draws.

/// SplitMix64: a counter put through a mixing function.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// A stream of its own for each pair of seed and purpose. Streams do not disturb each other: drawing one number
    /// more for a defect leaves the dust where it was.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let mut state = mix(seed ^ 0x9e37_79b9_7f4a_7c15);
        for byte in purpose.bytes() {
            state = mix(state ^ u64::from(byte));
        }
        Self(state)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform in 0..1, with 24 bits.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Uniform between `low` and `high`.
    pub(crate) fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform between `-reach` and `reach`.
    pub(crate) fn around(&mut self, reach: f32) -> f32 {
        self.range(-reach, reach)
    }

    pub(crate) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Uniform in `0..count`; 0 where `count` is 0.
    pub(crate) fn pick(&mut self, count: usize) -> usize {
        ((u128::from(self.bits()) * count as u128) >> 64) as usize
    }

    /// A unit vector in a uniform direction.
    pub(crate) fn direction(&mut self) -> [f32; 2] {
        let angle = self.range(0.0, std::f32::consts::TAU);
        [angle.cos(), angle.sin()]
    }

    /// Roughly normal, mean 0 and variance 1, never beyond ±3.5.
    pub(crate) fn normal(&mut self) -> f32 {
        let sum: f32 = (0..4).map(|_| self.around(1.0)).sum();
        sum * 0.866
    }
}

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
