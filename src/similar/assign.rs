//! The nearest centre of every sample, by products of matrices.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::kmeans::{Centres, SCALE};
use super::{SimilarError, Vectors};

/// Rows of a product.
pub(super) const BLOCK: usize = 1024;

/// Sums over the samples of each centre.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// Samples of each centre.
    pub counts: Vec<u64>,
    /// `[centres, width]`
    pub values: Vec<i64>,
}

impl Sums {
    fn none(centres: usize, width: usize) -> Self {
        Self { counts: vec![0; centres], values: vec![0; centres * width] }
    }

    fn add(&mut self, centre: usize, vector: &[i8]) {
        self.counts[centre] += 1;
        let width = vector.len();
        for (sum, value) in self.values[centre * width..(centre + 1) * width].iter_mut().zip(vector) {
            *sum += i64::from(*value);
        }
    }

    fn join(mut self, other: &Self) -> Self {
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, more)| *sum += more);
        self.values.iter_mut().zip(&other.values).for_each(|(sum, more)| *sum += more);
        self
    }
}

/// Where every sample belongs.
#[derive(Debug)]
pub(super) struct Places {
    /// The nearest centre.
    pub clusters: Vec<u32>,
    /// The squared distance from it, in 1 / [`SCALE`]².
    pub distances: Vec<u32>,
    pub sums: Sums,
}

impl Places {
    /// Numbers the clusters by their size, the largest first; returns the sizes.
    pub(super) fn number(&mut self, centres: &mut Centres) -> Vec<u32> {
        let mut sizes = vec![(0_u32, u32::MAX); centres.len()];
        for (index, cluster) in self.clusters.iter().enumerate() {
            let (size, first) = &mut sizes[*cluster as usize];
            (*size, *first) = (*size + 1, (*first).min(index as u32));
        }
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_by_key(|cluster| (std::cmp::Reverse(sizes[*cluster].0), sizes[*cluster].1));
        let mut names = vec![0; sizes.len()];
        for (name, cluster) in order.iter().enumerate() {
            names[*cluster] = name as u32;
        }
        self.clusters.iter_mut().for_each(|cluster| *cluster = names[*cluster as usize]);
        centres.put_in_order(&order);
        order.iter().map(|cluster| sizes[*cluster].0).filter(|size| *size > 0).collect()
    }

    /// All samples, by cluster and then by distance from its centre.
    pub(super) fn by_cluster(&self) -> Vec<u32> {
        let mut sorted: Vec<u32> = (0..self.clusters.len() as u32).collect();
        sorted.par_sort_unstable_by_key(|index| (self.clusters[*index as usize], self.distances[*index as usize], *index));
        sorted
    }
}

/// The nearest centre of every sample; of two equally near, the first.
pub(super) fn assign(vectors: &Vectors, centres: &Centres) -> Result<Places, SimilarError> {
    let count = vectors.len();
    let (mut clusters, mut distances) = (vec![0; count], vec![0; count]);
    let against = centres.columns()?;
    // Few long stretches: each has sums of its own.
    let stretch = count.div_ceil(rayon::current_num_threads() * 4).next_multiple_of(BLOCK);
    let stretches = clusters.par_chunks_mut(stretch).zip(distances.par_chunks_mut(stretch)).enumerate();
    let sums = stretches.map(|(nth, (clusters, distances))| {
        let mut sums = Sums::none(centres.len(), vectors.width);
        for (block, (clusters, distances)) in clusters.chunks_mut(BLOCK).zip(distances.chunks_mut(BLOCK)).enumerate() {
            let start = (nth * stretch + block * BLOCK) as u32;
            let indices: Vec<u32> = (start..start + clusters.len() as u32).collect();
            nearest(vectors, &indices, centres, &against, |row, centre, distance| {
                (clusters[row], distances[row]) = (centre, distance);
                sums.add(centre as usize, vectors.get(indices[row]));
            })?;
        }
        Ok(sums)
    });
    let sums = stretches_joined(sums, centres.len(), vectors.width)?;
    Ok(Places { clusters, distances, sums })
}

/// Only the sums, of some samples.
pub(super) fn sums(vectors: &Vectors, members: &[u32], centres: &Centres) -> Result<Sums, SimilarError> {
    let against = centres.columns()?;
    let stretch = members.len().div_ceil(rayon::current_num_threads() * 4).next_multiple_of(BLOCK);
    let stretches = members.par_chunks(stretch).map(|members| {
        let mut sums = Sums::none(centres.len(), vectors.width);
        for members in members.chunks(BLOCK) {
            nearest(vectors, members, centres, &against, |row, centre, _| sums.add(centre as usize, vectors.get(members[row])))?;
        }
        Ok(sums)
    });
    stretches_joined(stretches, centres.len(), vectors.width)
}

fn stretches_joined(
    stretches: impl ParallelIterator<Item = Result<Sums, SimilarError>>,
    centres: usize,
    width: usize,
) -> Result<Sums, SimilarError> {
    stretches.try_reduce(|| Sums::none(centres, width), |sums, more| Ok(sums.join(&more)))
}

/// Tells of each row its nearest centre and the squared distance from it.
fn nearest(
    vectors: &Vectors,
    indices: &[u32],
    centres: &Centres,
    against: &Tensor,
    mut take: impl FnMut(usize, u32, u32),
) -> Result<(), SimilarError> {
    let products = products(vectors, indices, against)?;
    for (row, products) in products.chunks_exact(centres.len()).enumerate() {
        let mut best = (i32::MAX, 0);
        for (centre, (product, norm)) in products.iter().zip(centres.norms()).enumerate() {
            let distance = norm - 2 * SCALE * *product as i32;
            if distance < best.0 {
                best = (distance, centre as u32);
            }
        }
        let norm = SCALE * SCALE * vectors.norm(indices[row]);
        take(row, best.1, (norm + best.0).cast_unsigned());
    }
    Ok(())
}

/// The products `[indices, columns]` of samples with the columns of `[width, columns]`.
pub(super) fn products(vectors: &Vectors, indices: &[u32], against: &Tensor) -> Result<Vec<f32>, SimilarError> {
    Ok(rows(vectors, indices)?.matmul(against)?.flatten_all()?.to_vec1()?)
}

/// Samples as a matrix `[indices, width]`.
pub(super) fn rows(vectors: &Vectors, indices: &[u32]) -> Result<Tensor, SimilarError> {
    let mut values = Vec::with_capacity(indices.len() * vectors.width);
    for index in indices {
        values.extend(vectors.get(*index).iter().map(|value| f32::from(*value)));
    }
    Ok(Tensor::from_vec(values, (indices.len(), vectors.width), &Device::Cpu)?)
}
