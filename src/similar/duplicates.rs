//! Samples that are nearly the same picture.
//!
//! Two samples within the limit of each other lie in one cluster, or one of them lies hardly nearer to its own centre than
//! to the other's; and from any centre they are about equally far. So each sample is compared with stretches of few clusters.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use rayon::prelude::*;

use super::assign::{self, BLOCK, Places};
use super::kmeans::{Centres, SCALE};
use super::{SimilarError, Vectors};

/// Clusters besides its own in which a sample is looked for.
const NEIGHBOURS: usize = 3;
/// The most samples of one cluster with which a block is compared: those about equally far from the centre.
const MOST_COMPARED: usize = 8192;
/// Samples that are compared together.
const ROWS: usize = 256;

/// What is looked through.
pub(super) struct Duplicates<'a> {
    pub vectors: &'a Vectors,
    pub centres: &'a Centres,
    pub places: &'a Places,
    /// The first sample with the same vector.
    pub first: &'a [u32],
    /// The largest squared distance between duplicates.
    pub limit: i32,
}

/// A sample that is looked for in a cluster, and its squared distance from that cluster's centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Visit {
    cluster: u32,
    distance: u32,
    sample: u32,
}

/// One block of samples to be looked for in a cluster.
struct Task {
    cluster: usize,
    /// Places in the cluster, or among the visits.
    rows: Range<usize>,
    visiting: bool,
}

impl Duplicates<'_> {
    /// For each sample the first one that it equals or nearly equals. `sorted` is by cluster and distance.
    pub(super) fn find(&self, mut sorted: Vec<u32>, done: &(dyn Fn(f64) + Sync)) -> Result<Vec<Option<u32>>, SimilarError> {
        // Equal vectors need not be compared.
        sorted.retain(|index| self.first[*index as usize] == *index);
        let clusters = self.stretches(&sorted);
        let visits = self.visits(&sorted)?;
        done(0.2);
        let found: Vec<AtomicU32> = self.first.iter().map(|_| AtomicU32::new(u32::MAX)).collect();
        let own = clusters.iter().enumerate().flat_map(|(cluster, range)| {
            range.clone().step_by(ROWS).map(move |start| Task { cluster, rows: start..range.end.min(start + ROWS), visiting: false })
        });
        let mut tasks: Vec<Task> = own.collect();
        let mut start = 0;
        for visitors in visits.chunk_by(|a, b| a.cluster == b.cluster) {
            let end = start + visitors.len();
            let cluster = visitors[0].cluster as usize;
            let blocks = (start..end).step_by(ROWS);
            tasks.extend(blocks.map(|start| Task { cluster, rows: start..end.min(start + ROWS), visiting: true }));
            start = end;
        }
        let over = AtomicUsize::new(0);
        tasks.par_iter().try_for_each(|task| {
            self.compare(task, &sorted, &clusters[task.cluster], &visits, &found)?;
            let over = over.fetch_add(1, Ordering::Relaxed);
            if over.is_multiple_of(64) {
                done(0.2 + 0.8 * over as f64 / tasks.len() as f64);
            }
            Ok::<_, SimilarError>(())
        })?;
        let near = |index: u32| Some(found[index as usize].load(Ordering::Relaxed)).filter(|near| *near != u32::MAX);
        // A copy of a sample is as near to others as the sample itself.
        let first = |(index, first): (usize, &u32)| {
            let index = index as u32;
            near(*first).or((*first != index).then_some(*first))
        };
        Ok(self.first.iter().enumerate().map(first).collect())
    }

    /// The stretch of `sorted` that each cluster takes.
    fn stretches(&self, sorted: &[u32]) -> Vec<Range<usize>> {
        let cluster = |index: &u32| self.places.clusters[*index as usize] as usize;
        let starts: Vec<usize> = (0..=self.centres.len()).map(|name| sorted.partition_point(|index| cluster(index) < name)).collect();
        starts.windows(2).map(|pair| pair[0]..pair[1]).collect()
    }

    /// Which other clusters hold what may be near, by the triangle inequality; sorted.
    fn visits(&self, sorted: &[u32]) -> Result<Vec<Visit>, SimilarError> {
        let against = self.centres.columns()?;
        let reach = 2.0 * f64::from(self.limit).sqrt();
        let blocks = sorted.par_chunks(BLOCK).map(|members| {
            let mut found = Vec::new();
            let products = assign::products(self.vectors, members, &against)?;
            for (sample, products) in members.iter().zip(products.chunks_exact(self.centres.len())) {
                let own = self.places.clusters[*sample as usize];
                let most = (f64::from(self.places.distances[*sample as usize]).sqrt() / f64::from(SCALE) + reach) * f64::from(SCALE);
                let most = most * most;
                let norm = SCALE * SCALE * self.vectors.norm(*sample);
                let distances =
                    products.iter().zip(self.centres.norms()).map(|(product, length)| norm + length - 2 * SCALE * *product as i32);
                let near = |(cluster, distance): (usize, i32)| Visit {
                    cluster: cluster as u32,
                    distance: distance.cast_unsigned(),
                    sample: *sample,
                };
                let near = distances.enumerate().map(near).filter(|visit| visit.cluster != own && f64::from(visit.distance) <= most);
                let mut near: Vec<Visit> = near.collect();
                near.sort_unstable_by_key(|visit| (visit.distance, visit.cluster));
                found.extend(near.into_iter().take(NEIGHBOURS));
            }
            Ok(found)
        });
        let mut visits = blocks.collect::<Result<Vec<Vec<Visit>>, SimilarError>>()?.concat();
        visits.par_sort_unstable();
        Ok(visits)
    }

    /// Compares a block of samples, sorted by their distance from a cluster's centre, with the samples of that cluster which
    /// are about as far from it.
    fn compare(
        &self,
        task: &Task,
        sorted: &[u32],
        cluster: &Range<usize>,
        visits: &[Visit],
        found: &[AtomicU32],
    ) -> Result<(), SimilarError> {
        let distance = |index: u32| self.places.distances[index as usize];
        let (samples, ends) = if task.visiting {
            let visits = &visits[task.rows.clone()];
            (visits.iter().map(|visit| visit.sample).collect(), [visits[0].distance, visits[visits.len() - 1].distance])
        } else {
            let own = &sorted[task.rows.clone()];
            (own.to_vec(), [distance(own[0]), distance(own[own.len() - 1])])
        };
        let reach = f64::from(self.limit).sqrt() * f64::from(SCALE);
        let [from, to] = ends.map(|end| f64::from(end).sqrt());
        let (from, to) = (from - reach, to + reach);
        let members = &sorted[cluster.clone()];
        let mut window = members.partition_point(|index| f64::from(distance(*index)).sqrt() < from)
            ..members.partition_point(|index| f64::from(distance(*index)).sqrt() <= to);
        if !task.visiting {
            // What stands before has been compared with these.
            window.start = task.rows.start - cluster.start;
        }
        if window.len() > MOST_COMPARED {
            let middle = members.partition_point(|index| distance(*index) < ends[0]).clamp(window.start, window.end);
            let start = middle.saturating_sub(if task.visiting { MOST_COMPARED / 2 } else { 0 }).max(window.start);
            window = start..window.end.min(start + MOST_COMPARED);
        }
        let rows = assign::rows(self.vectors, &samples)?;
        let norms: Vec<i32> = samples.iter().map(|sample| self.vectors.norm(*sample)).collect();
        for others in members[window].chunks(BLOCK) {
            let products: Vec<f32> = rows.matmul(&assign::rows(self.vectors, others)?.t()?)?.flatten_all()?.to_vec1()?;
            let other_norms: Vec<i32> = others.iter().map(|other| self.vectors.norm(*other)).collect();
            for ((sample, norm), products) in samples.iter().zip(&norms).zip(products.chunks_exact(others.len())) {
                for ((other, other_norm), product) in others.iter().zip(&other_norms).zip(products) {
                    if norm + other_norm - 2 * *product as i32 <= self.limit && sample != other {
                        let (earlier, later) = (sample.min(other), sample.max(other));
                        found[*later as usize].fetch_min(*earlier, Ordering::Relaxed);
                    }
                }
            }
        }
        Ok(())
    }
}
