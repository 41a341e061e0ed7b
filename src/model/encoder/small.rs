//! Long vectors made short, and numbers made bytes.

use crate::domain::stable_hash;

/// The most numbers in a vector that is kept.
pub const MOST_WIDTH: usize = 128;

/// How many standard deviations from the middle a byte reaches; what lies beyond is cut off.
const REACH: f32 = 4.5;

/// `[width, wide]`: directions drawn by lot that stand at right angles, made as long as it takes for lengths to stay what
/// they are on average. The same name always gives the same ones.
pub(super) fn projection(name: &str, wide: usize, width: usize) -> Vec<f32> {
    let mut state = stable_hash(0, &["projection", name, &wide.to_string(), &width.to_string()]);
    let mut uniform = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(width);
    while rows.len() < width {
        // Box and Muller: normally distributed, so that no direction is preferred.
        let mut row: Vec<f64> =
            (0..wide).map(|_| (-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()).collect();
        for other in &rows {
            let along: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
        }
        let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
        for value in &mut row {
            *value /= length;
        }
        rows.push(row);
    }
    let longer = (wide as f64 / width as f64).sqrt();
    rows.into_iter().flatten().map(|value| (value * longer) as f32).collect()
}

/// Makes bytes of vectors: the difference from the middle of what was seen first, multiplied so that it fills a byte.
///
/// Pictures from one camera differ little; without the middle taken away, little would be left of that in eight bits.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantiser {
    /// What becomes zeros.
    pub centre: Vec<f32>,
    /// By how much the difference is multiplied.
    pub scale: f32,
}

impl Quantiser {
    /// From some vectors of one width.
    pub fn of(vectors: &[Vec<f32>]) -> Self {
        let width = vectors.first().map_or(0, Vec::len);
        let count = vectors.len().max(1) as f64;
        let mut centre = vec![0.0_f64; width];
        for vector in vectors {
            centre.iter_mut().zip(vector).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        for sum in &mut centre {
            *sum /= count;
        }
        let squares =
            vectors.iter().flat_map(|vector| vector.iter().zip(&centre).map(|(value, middle)| (f64::from(*value) - middle).powi(2)));
        let deviation = (squares.sum::<f64>() / (count * width.max(1) as f64)).sqrt();
        // Vectors that are all the same leave nothing to fill a byte with.
        let scale = if deviation > 1e-9 { 127.0 / (REACH * deviation as f32) } else { 1.0 };
        Self { centre: centre.into_iter().map(|value| value as f32).collect(), scale }
    }

    /// A vector's bytes.
    pub fn bytes(&self, vector: &[f32]) -> Vec<i8> {
        let byte = |(value, middle): (&f32, &f32)| ((value - middle) * self.scale).round().clamp(-127.0, 127.0) as i8;
        vector.iter().zip(&self.centre).map(byte).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_stand_at_right_angles_and_stay() {
        let rows = projection("a", 40, 8);
        assert_eq!(rows, projection("a", 40, 8));
        assert_ne!(rows, projection("b", 40, 8));
        for (nth, row) in rows.chunks(40).enumerate() {
            for (other, against) in rows.chunks(40).enumerate() {
                let product: f32 = row.iter().zip(against).map(|(a, b)| a * b).sum();
                let expected = if nth == other { 5.0 } else { 0.0 };
                assert!((product - expected).abs() < 1e-4, "{nth} {other}: {product}");
            }
        }
    }

    #[test]
    fn bytes_show_small_differences_of_like_vectors() {
        let vectors: Vec<Vec<f32>> = (0..50).map(|nth| (0..16).map(|at| 1.0 + 1e-3 * ((nth * 7 + at * 3) % 11) as f32).collect()).collect();
        let quantiser = Quantiser::of(&vectors);
        let bytes: Vec<Vec<i8>> = vectors.iter().map(|vector| quantiser.bytes(vector)).collect();
        let reached = bytes.iter().flatten().map(|byte| byte.unsigned_abs()).max().unwrap();
        assert!((30..=127).contains(&reached), "{reached}");
        assert_ne!(bytes[0], bytes[1]);
        assert_eq!(quantiser.bytes(&[9.0; 16]), [127; 16]);
        assert_eq!(Quantiser::of(&[vec![0.5; 4], vec![0.5; 4]]).bytes(&[0.5; 4]), [0; 4]);
    }
}
