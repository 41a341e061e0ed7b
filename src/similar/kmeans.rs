//! Centres of clusters: greedy k-means++ and Lloyd's rounds on a part of the samples.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::assign::{self, Sums};
use super::sampling::Random;
use super::{SimilarError, Vectors};

/// Centres are kept in eighths: fine enough, and products with them are whole numbers that f32 holds exactly.
pub(super) const SCALE: i32 = 8;
/// Samples for each cluster among which the first centres are chosen.
const SEEDED: usize = 32;
/// Samples for each cluster on which centres are moved.
const LEARNED: usize = 256;
/// The most rounds of Lloyd's algorithm.
const ROUNDS: usize = 25;

/// Centres of clusters.
#[derive(Debug, Clone)]
pub(super) struct Centres {
    width: usize,
    /// `[centres, width]`, in 1 / [`SCALE`].
    values: Vec<i32>,
    /// Squared lengths, in 1 / [`SCALE`]².
    norms: Vec<i32>,
}

impl Centres {
    /// At most `wanted` centres of the samples, of which the first of `shuffled` are looked at.
    pub(super) fn find(vectors: &Vectors, shuffled: &[u32], wanted: usize, seed: u64) -> Result<Self, SimilarError> {
        let seeds = seeds(vectors, &shuffled[..shuffled.len().min(wanted.saturating_mul(SEEDED).max(2048))], wanted, seed);
        let values = seeds.iter().flat_map(|index| vectors.get(*index)).map(|value| SCALE * i32::from(*value)).collect();
        let mut centres = Self { width: vectors.width, values, norms: Vec::new() };
        centres.measure();
        let members = &shuffled[..shuffled.len().min(wanted.saturating_mul(LEARNED))];
        for _ in 0..ROUNDS {
            if !centres.follow(&assign::sums(vectors, members, &centres)?) {
                break;
            }
        }
        Ok(centres)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.norms.len()
    }

    /// Squared lengths, in 1 / [`SCALE`]².
    pub(super) fn norms(&self) -> &[i32] {
        &self.norms
    }

    /// The centres as a matrix `[width, centres]`.
    pub(super) fn columns(&self) -> Result<Tensor, SimilarError> {
        let values: Vec<f32> = self.values.iter().map(|value| *value as f32).collect();
        Ok(Tensor::from_vec(values, (self.len(), self.width), &Device::Cpu)?.t()?.contiguous()?)
    }

    /// Moves each centre to the middle of its samples; says whether any moved.
    pub(super) fn follow(&mut self, sums: &Sums) -> bool {
        let before = self.values.clone();
        let centres = self.values.chunks_exact_mut(self.width).zip(sums.values.chunks_exact(self.width)).zip(&sums.counts);
        for ((centre, sums), count) in centres.filter(|(_, count)| **count > 0) {
            for (value, sum) in centre.iter_mut().zip(sums) {
                *value = (i64::from(SCALE) * sum).div_euclid(*count as i64) as i32;
            }
        }
        self.measure();
        self.values != before
    }

    /// Drops centres of fewer than `least` samples, but not the largest; says whether there were any.
    pub(super) fn dissolve(&mut self, counts: &[u64], least: u64) -> bool {
        let largest = counts.iter().copied().max().unwrap_or(0);
        let kept: Vec<usize> = (0..self.len()).filter(|centre| counts[*centre] >= least.min(largest)).collect();
        let dissolved = kept.len() < self.len();
        self.put_in_order(&kept);
        dissolved
    }

    /// Keeps these centres, in this order.
    pub(super) fn put_in_order(&mut self, order: &[usize]) {
        let width = self.width;
        self.values = order.iter().flat_map(|centre| self.values[centre * width..(centre + 1) * width].to_vec()).collect();
        self.measure();
    }

    fn measure(&mut self) {
        self.norms = self.values.chunks_exact(self.width).map(|centre| centre.iter().map(|value| value * value).sum()).collect();
    }
}

fn squared_distance(a: &[i8], b: &[i8]) -> u32 {
    let difference = |(a, b): (&i8, &i8)| (i32::from(*a) - i32::from(*b)).pow(2).cast_unsigned();
    a.iter().zip(b).map(difference).sum()
}

/// Samples that lie far apart: each is drawn with a probability that grows with the square of its distance from those
/// before; of some draws, the one that leaves the rest nearest is taken.
fn seeds(vectors: &Vectors, among: &[u32], wanted: usize, seed: u64) -> Vec<u32> {
    let mut random = Random(seed);
    let draws = 2 + wanted.ilog2() as usize;
    let first = among[random.below(among.len() as u64) as usize];
    let mut chosen = vec![first];
    let mut distances: Vec<u32> = among.par_iter().map(|index| squared_distance(vectors.get(*index), vectors.get(first))).collect();
    while chosen.len() < wanted {
        let total: u64 = distances.iter().map(|distance| u64::from(*distance)).sum();
        if total == 0 {
            break;
        }
        let candidates: Vec<u32> = (0..draws)
            .map(|_| {
                let mut left = random.below(total);
                let reached = distances.iter().position(|distance| {
                    let here = u64::from(*distance);
                    let found = left < here;
                    left = left.saturating_sub(here);
                    found
                });
                among[reached.unwrap_or(0)]
            })
            .collect();
        let tried = candidates.into_par_iter().map(|candidate| {
            let vector = vectors.get(candidate);
            let nearer = among.iter().zip(&distances).map(|(index, known)| (*known).min(squared_distance(vectors.get(*index), vector)));
            let nearer: Vec<u32> = nearer.collect();
            (nearer.iter().map(|distance| u64::from(*distance)).sum::<u64>(), vector, candidate, nearer)
        });
        let Some((_, _, candidate, nearer)) = tried.min_by_key(|(left, vector, ..)| (*left, *vector)) else { break };
        chosen.push(candidate);
        distances = nearer;
    }
    chosen
}
