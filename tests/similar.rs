//! Likeness against plain searches: blobs are told apart, near-duplicates found, order does not matter.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use mekiki::similar::{Likeness, MOST_WIDTH, OUTLIER, Settings, SimilarError, Vectors, group};

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// Between -1 and 1, mostly near 0.
    fn bell(&mut self) -> f64 {
        (0..6).map(|_| self.below(2001) as f64 / 1000.0 - 1.0).sum::<f64>() / 6.0_f64.sqrt()
    }
}

fn around(random: &mut Random, centre: &[i8], spread: f64) -> Vec<i8> {
    centre.iter().map(|value| (f64::from(*value) + random.bell() * spread).round().clamp(-127.0, 127.0) as i8).collect()
}

/// Blobs of these sizes, and the blob of each vector.
fn blobs(seed: u64, width: usize, sizes: &[usize], spread: f64) -> (Vec<Vec<i8>>, Vec<usize>) {
    let mut random = Random(seed);
    let (mut all, mut truth) = (Vec::new(), Vec::new());
    for (blob, size) in sizes.iter().enumerate() {
        let centre: Vec<i8> = (0..width).map(|_| (random.bell() * 55.0).clamp(-110.0, 110.0) as i8).collect();
        for _ in 0..*size {
            all.push(around(&mut random, &centre, spread));
            truth.push(blob);
        }
    }
    (all, truth)
}

fn vectors(all: &[Vec<i8>]) -> Vectors {
    let mut vectors = Vectors::new(all.first().map_or(1, Vec::len), all.len()).unwrap();
    for vector in all {
        vectors.push(vector.iter().copied()).unwrap();
    }
    vectors
}

fn likeness(all: &[Vec<i8>], settings: &Settings) -> Likeness {
    group(&vectors(all), settings, &|share| assert!((0.0..=1.0).contains(&share))).unwrap()
}

fn squared(a: &[i8], b: &[i8]) -> i64 {
    a.iter().zip(b).map(|(a, b)| (i64::from(*a) - i64::from(*b)).pow(2)).sum()
}

/// The mean squared distance of all ordered pairs, of a sample with itself too.
fn apart(all: &[Vec<i8>]) -> f64 {
    let total: i64 = all.iter().flat_map(|a| all.iter().map(|b| squared(a, b))).sum();
    total as f64 / (all.len() * all.len()) as f64
}

#[test]
fn separate_blobs_are_told_apart() {
    for seed in 0..4 {
        let sizes = [90, 60, 45, 30, 30, 12];
        let (all, truth) = blobs(seed, 24, &sizes, 9.0);
        let found = likeness(&all, &Settings { clusters: Some(sizes.len()), ..Settings::default() });
        assert_eq!(found.sizes, [90, 60, 45, 30, 30, 12], "largest first");
        let pairs: BTreeMap<usize, u32> = truth.iter().copied().zip(found.clusters.iter().copied()).collect();
        assert!(truth.iter().zip(&found.clusters).all(|(blob, cluster)| pairs[blob] == *cluster), "seed {seed}");
    }
}

#[test]
fn order_changes_nothing_but_names() {
    let (mut all, _) = blobs(5, 16, &[70, 50, 50, 31], 25.0);
    all.extend(all[..9].to_vec());
    let settings = Settings { same: 0.95, ..Settings::default() };
    let plain = likeness(&all, &settings);
    assert!(plain.sizes.len() > 5, "the blobs are divided further, at no clear border");
    let mut random = Random(9);
    for _ in 0..3 {
        let mut order: Vec<usize> = (0..all.len()).collect();
        (1..order.len()).rev().for_each(|last| order.swap(last, random.below(last + 1)));
        let mixed: Vec<Vec<i8>> = order.iter().map(|index| all[*index].clone()).collect();
        let found = likeness(&mixed, &settings);
        assert_eq!(found.sizes, plain.sizes);
        let names: BTreeMap<u32, u32> = order.iter().zip(&found.clusters).map(|(from, name)| (plain.clusters[*from], *name)).collect();
        for (place, from) in order.iter().enumerate() {
            assert_eq!(found.clusters[place], names[&plain.clusters[*from]]);
            assert_eq!(found.outliers[place].to_bits(), plain.outliers[*from].to_bits());
        }
        let mut named: Vec<u32> = names.values().copied().collect();
        named.dedup();
        assert_eq!(named.len(), plain.sizes.len());
    }
}

#[test]
fn near_duplicates_are_those_of_a_plain_search() {
    // One cloud is cut at no natural border: copies lie on either side.
    let (blob, cloud): (&[usize], &[usize]) = (&[120, 90, 60], &[500]);
    for (seed, width, copies, same, sizes, spread) in [
        (1, 8, 60, 0.99, blob, 20.0),
        (2, 40, 80, 0.9975, blob, 20.0),
        (3, 128, 120, 0.9975, blob, 20.0),
        (4, 3, 60, 0.9985, cloud, 35.0),
        (5, 5, 60, 0.99, cloud, 35.0),
    ] {
        let (mut all, _) = blobs(seed, width, sizes, spread);
        let mut random = Random(seed + 100);
        for _ in 0..copies {
            let of = all[random.below(all.len())].clone();
            let spread = [0.0, 1.0, 2.0, 4.0][random.below(4)];
            all.push(around(&mut random, &of, spread));
        }
        let limit = (apart(&all) * (1.0 - same)) as i64;
        let expected: Vec<Option<u32>> = (0..all.len())
            .map(|later| (0..later).find(|earlier| squared(&all[*earlier], &all[later]) <= limit).map(|earlier| earlier as u32))
            .collect();
        assert!(expected.iter().flatten().count() > copies / 3 && expected.iter().flatten().count() < all.len() / 2);
        let found = likeness(&all, &Settings { same, ..Settings::default() });
        assert_eq!(found.duplicates, expected, "seed {seed}");
    }
}

#[test]
fn a_lonely_picture_is_an_outlier_and_no_cluster() {
    let (mut all, _) = blobs(11, 32, &[80, 80, 80], 8.0);
    let odd: Vec<i8> = all[0].iter().enumerate().map(|(at, value)| if at % 2 == 0 { value.saturating_add(70) } else { *value }).collect();
    all.push(odd);
    all.push(vec![-120; 32]);
    let found = likeness(&all, &Settings { clusters: Some(5), ..Settings::default() });
    assert!(found.sizes.iter().all(|size| *size >= 12), "{:?}", found.sizes);
    assert!(found.outliers[240] > 0.9 && found.outliers[241] > 0.9, "{:?}", &found.outliers[240..]);
    assert_eq!(found.clusters[240], found.clusters[0]);
    let among_others = found.outliers[..240].iter().filter(|score| **score > OUTLIER).count();
    assert!(among_others < 12, "{among_others} of 240");
}

#[test]
fn few_and_equal_pictures_are_no_trouble() {
    assert_eq!(group(&Vectors::new(4, 0).unwrap(), &Settings::default(), &|_| ()).unwrap(), Likeness::default());
    let one = likeness(&[vec![1, 2]], &Settings::default());
    assert_eq!((one.clusters, one.outliers, one.duplicates, one.sizes), (vec![0], vec![0.0], vec![None], vec![1]));
    let same = likeness(&vec![vec![7; MOST_WIDTH]; 300], &Settings { clusters: Some(9), ..Settings::default() });
    assert_eq!(same.sizes, [300]);
    assert!(same.outliers.iter().all(|score| *score == 0.0));
    assert!(same.duplicates[0].is_none() && same.duplicates[1..].iter().all(|first| *first == Some(0)));
    let mut vectors = Vectors::new(2, 1).unwrap();
    assert!(matches!(vectors.push([1].into_iter()), Err(SimilarError::Width { expected: 2, got: 1 })));
    assert!(Vectors::new(MOST_WIDTH + 1, 1).is_err() && Vectors::new(0, 1).is_err());
}

#[test]
fn the_longest_vectors_are_compared_exactly() {
    // Products reach the last whole number that f32 tells from the next.
    let mut random = Random(3);
    let all: Vec<Vec<i8>> =
        (0..200).map(|nth| (0..MOST_WIDTH).map(|_| if random.below(40) == 0 { -127 } else { 127 - (nth / 100) as i8 }).collect()).collect();
    let limit = (apart(&all) * 0.4) as i64;
    let expected: Vec<Option<u32>> = (0..all.len())
        .map(|later| (0..later).find(|earlier| squared(&all[*earlier], &all[later]) <= limit).map(|earlier| earlier as u32))
        .collect();
    let found = likeness(&all, &Settings { clusters: Some(1), same: 0.6, ..Settings::default() });
    assert_eq!(found.duplicates, expected);
}
