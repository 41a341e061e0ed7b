//! Which pictures look alike: small vectors, clusters, outliers and near-duplicates.
//!
//! Contract: imports `domain`; pure. It gets vectors of bytes and returns numbers per sample; who makes the vectors and who
//! keeps the numbers is not known here. Equal vectors give equal numbers in whatever order they come, but for the names of
//! clusters of one size: all that is summed are whole numbers (products of bytes stay exact in f32), and all that is drawn is
//! drawn by what vectors hold and not by where they stand. A million vectors of 128 bytes take some 100 MB beside themselves.

mod assign;
mod duplicates;
mod kmeans;
mod outliers;
mod sampling;

use duplicates::Duplicates;
use kmeans::Centres;

/// Why vectors could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum SimilarError {
    /// A product of matrices failed, for want of memory for example.
    #[error("the vectors could not be compared: {0}")]
    Compute(#[from] candle_core::Error),
    /// A vector of another width.
    #[error("expected vectors of {expected} numbers, got one of {got}")]
    Width {
        /// That of those before it.
        expected: usize,
        /// Its own.
        got: usize,
    },
}

/// The most numbers in a vector: more, and products would no longer be exact.
pub const MOST_WIDTH: usize = 128;

/// Vectors of one width in one piece of memory. How unlike two samples are is the Euclidean distance between them.
#[derive(Debug, Clone, Default)]
pub struct Vectors {
    width: usize,
    values: Vec<i8>,
}

impl Vectors {
    /// No vectors yet, with room for `count` of `width` numbers (1 to [`MOST_WIDTH`]).
    pub fn new(width: usize, count: usize) -> Result<Self, SimilarError> {
        if (1..=MOST_WIDTH).contains(&width) {
            return Ok(Self { width, values: Vec::with_capacity(width * count) });
        }
        Err(SimilarError::Width { expected: MOST_WIDTH, got: width })
    }

    /// One more.
    pub fn push(&mut self, vector: impl ExactSizeIterator<Item = i8>) -> Result<(), SimilarError> {
        if vector.len() != self.width {
            return Err(SimilarError::Width { expected: self.width, got: vector.len() });
        }
        // -128 is left out, so that a vector and its opposite are equally long.
        self.values.extend(vector.map(|value| value.max(-127)));
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn get(&self, index: u32) -> &[i8] {
        let start = index as usize * self.width;
        &self.values[start..start + self.width]
    }

    /// Its length, squared.
    fn norm(&self, index: u32) -> i32 {
        self.get(index).iter().map(|value| i32::from(*value) * i32::from(*value)).sum()
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// At most so many clusters; √(n/2), at most [`MOST_CLUSTERS`], when not given.
    pub clusters: Option<usize>,
    /// From which likeness on two samples are near-duplicates: 1 is equal, 0 as unlike as two samples drawn by lot (on
    /// average, in squared distance).
    pub same: f64,
    /// Decides what is drawn.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { clusters: None, same: 0.9975, seed: 1 }
    }
}

/// The most clusters, unless more are asked for.
pub const MOST_CLUSTERS: usize = 512;

/// What is known of each sample, in the order of the vectors.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Likeness {
    /// The cluster, from 0 for the largest one.
    pub clusters: Vec<u32>,
    /// How far the sample lies from its like, 0 to 1: `z² / (z² + 9)`, where z counts how many standard deviations its
    /// distance from the cluster's centre lies above the middle distance. The standard deviation is that of the middle half
    /// (1.4826 · the median deviation), which outliers themselves do not widen, and at least 2 % of the distance between two
    /// samples drawn by lot. 0.5 is three deviations; [`OUTLIER`].
    pub outliers: Vec<f32>,
    /// The first sample that this one equals or nearly equals, where it is not the first itself.
    pub duplicates: Vec<Option<u32>>,
    /// Samples in each cluster.
    pub sizes: Vec<u32>,
}

/// From this score on, a sample counts as an outlier.
pub const OUTLIER: f32 = 0.5;

/// Clusters, outliers and near-duplicates. `done` hears how much of the work is done, 0 to 1.
///
/// Clusters are those of k-means, begun by greedy k-means++. Those of very few samples are dissolved, so that a lonely
/// picture is an outlier of the nearest cluster and not the middle of its own. Equal vectors are all found; near ones too,
/// unless more than three other clusters are about as near, or thousands of samples of a cluster are equally far from its
/// centre.
pub fn group(vectors: &Vectors, settings: &Settings, done: &(dyn Fn(f64) + Sync)) -> Result<Likeness, SimilarError> {
    if vectors.is_empty() {
        return Ok(Likeness::default());
    }
    let count = vectors.len();
    let wanted = settings.clusters.unwrap_or_else(|| ((count as f64 / 2.0).sqrt().round() as usize).min(MOST_CLUSTERS));
    let drawn = sampling::Drawn::of(vectors);
    done(0.03);
    let mut centres = Centres::find(vectors, &drawn.shuffled, wanted.clamp(1, count), settings.seed)?;
    done(0.3);
    let mut places = assign::assign(vectors, &centres)?;
    for round in 0..REFINED {
        if !centres.follow(&places.sums) {
            break;
        }
        places = assign::assign(vectors, &centres)?;
        done(0.3 + 0.2 * f64::from(round + 1) / f64::from(REFINED));
    }
    if centres.dissolve(&places.sums.counts, (count / wanted.max(1) / 4).clamp(2, 20) as u64) {
        places = assign::assign(vectors, &centres)?;
    }
    let sizes = places.number(&mut centres);
    drop(std::mem::take(&mut places.sums));
    done(0.55);
    let apart = mean_squared_distance(vectors);
    let sorted = places.by_cluster();
    let outliers = outliers::scores(&places, &sorted, apart);
    let limit = (apart * (1.0 - settings.same).max(0.0)) as i32;
    let found = Duplicates { vectors, centres: &centres, places: &places, first: &drawn.first, limit };
    let duplicates = found.find(sorted, &|share| done(0.6 + 0.4 * share))?;
    Ok(Likeness { clusters: places.clusters, outliers, duplicates, sizes })
}

/// Passes over all samples after the centres have been found on some of them.
const REFINED: u32 = 4;

/// The squared distance between two samples drawn by lot, on average.
fn mean_squared_distance(vectors: &Vectors) -> f64 {
    let mut sums = vec![0_i64; vectors.width];
    let mut squares = 0_i64;
    for vector in vectors.values.chunks_exact(vectors.width) {
        for (sum, value) in sums.iter_mut().zip(vector) {
            *sum += i64::from(*value);
            squares += i64::from(*value) * i64::from(*value);
        }
    }
    let count = vectors.len() as f64;
    let mean: f64 = sums.iter().map(|sum| (*sum as f64 / count).powi(2)).sum();
    (2.0 * (squares as f64 / count - mean)).max(0.0)
}
