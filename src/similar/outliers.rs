//! How far samples lie from their like.

use super::assign::Places;
use super::kmeans::SCALE;

/// The standard deviation of a normal distribution by its median deviation.
const DEVIATION: f32 = 1.4826;
/// The least that counts as a deviation, by the distance between two samples drawn by lot.
const LEAST: f64 = 0.02;
/// So many deviations are half of the way.
const HALF: f32 = 3.0;

/// The score of each sample. `sorted` is by cluster and distance; `apart` the mean squared distance of two samples.
pub(super) fn scores(places: &Places, sorted: &[u32], apart: f64) -> Vec<f32> {
    let distance = |index: &u32| (places.distances[*index as usize] as f32).sqrt() / SCALE as f32;
    let least = (LEAST * apart.sqrt()).max(0.5) as f32;
    let mut scores = vec![0.0; sorted.len()];
    for members in sorted.chunk_by(|a, b| places.clusters[*a as usize] == places.clusters[*b as usize]) {
        let middle = distance(&members[members.len() / 2]);
        let mut deviations: Vec<f32> = members.iter().map(|index| (distance(index) - middle).abs()).collect();
        let half = deviations.len() / 2;
        let (_, deviation, _) = deviations.select_nth_unstable_by(half, f32::total_cmp);
        let deviation = (*deviation * DEVIATION).max(least);
        for index in members {
            let z = ((distance(index) - middle) / deviation).max(0.0);
            scores[*index as usize] = z * z / (z * z + HALF * HALF);
        }
    }
    scores
}
