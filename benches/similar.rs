//! Likeness of many samples: `cargo bench --bench similar`.
//!
//! `MEKIKI_BENCH_VECTORS` (default 100,000) sets the number; a million is what the memory is promised for. The vectors are
//! made, not stored: 400 groups of unequal sizes whose members differ in few directions, 2 % near-copies, 0.1 % far from all.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints measurements")]

use std::time::Instant;

use mekiki::similar::{MOST_WIDTH, OUTLIER, Settings, Vectors, group};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// Mostly near 0, of standard deviation 1.
    fn bell(&mut self) -> f32 {
        (0..4).map(|_| (self.next() % 2001) as f32 / 1000.0 - 1.0).sum::<f32>() * 0.866
    }
}

const GROUPS: usize = 400;
const DIRECTIONS: usize = 12;

fn made(count: usize) -> Vectors {
    let mut random = Random(1);
    let mut direction = |size: f32| -> Vec<f32> { (0..MOST_WIDTH).map(|_| random.bell() * size).collect() };
    let centres: Vec<Vec<f32>> = (0..GROUPS).map(|_| direction(22.0)).collect();
    let directions: Vec<Vec<f32>> = (0..DIRECTIONS).map(|_| direction(4.0)).collect();
    let mut vectors = Vectors::new(MOST_WIDTH, count).unwrap();
    let mut before = vec![0.0; MOST_WIDTH];
    for nth in 0..count {
        let mut vector = before.clone();
        match random.next() % 1000 {
            0..20 if nth > 0 => vector.iter_mut().for_each(|value| *value += random.bell() * 0.4),
            20 => vector = (0..MOST_WIDTH).map(|_| random.bell() * 40.0).collect(),
            _ => {
                // The first groups are the largest.
                let group = (random.next() % GROUPS as u64).min(random.next() % GROUPS as u64) as usize;
                vector.clone_from(&centres[group]);
                for direction in &directions {
                    let along = random.bell();
                    vector.iter_mut().zip(direction).for_each(|(value, way)| *value += along * way);
                }
                for value in &mut vector {
                    *value += random.bell() * 2.5;
                }
            }
        }
        vectors.push(vector.iter().map(|value| value.round().clamp(-127.0, 127.0) as i8)).unwrap();
        before = vector;
    }
    vectors
}

/// A line of `/proc/self/status`, in MB; 0 where there is none.
fn memory_mb(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.trim_start_matches(':').trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn main() {
    let count = std::env::var("MEKIKI_BENCH_VECTORS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let vectors = made(count);
    println!("{count} vectors of {MOST_WIDTH} bytes; {} threads; {} MB before", rayon::current_num_threads(), memory_mb("VmRSS"));
    let began = Instant::now();
    let found = group(&vectors, &Settings::default(), &|share| {
        if std::env::var_os("MEKIKI_BENCH_STEPS").is_some() {
            println!("  {:>5.1} % after {:.1} s, {} MB", share * 100.0, began.elapsed().as_secs_f64(), memory_mb("VmRSS"));
        }
    })
    .unwrap();
    println!("time   {:>9.1} s", began.elapsed().as_secs_f64());
    println!("memory {:>9} MB at most", memory_mb("VmHWM"));
    println!(
        "{} clusters (the largest of {}), {} near-duplicates, {} outliers",
        found.sizes.len(),
        found.sizes[0],
        found.duplicates.iter().flatten().count(),
        found.outliers.iter().filter(|score| **score >= OUTLIER).count()
    );
}
