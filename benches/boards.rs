//! Boards per second: on one thread, and on all of them as training draws them.

use std::path::Path;

use divan::counter::ItemsCount;
use mekiki::boards::{BoardMix, BoardSpec, BoardType, DefectMode, draw};
use mekiki::config::{self, Language, Template};
use mekiki::train::{Boards, BoardsPlan, Examples};
use rayon::prelude::*;

fn main() {
    divan::main();
}

const BATCH: u64 = 64;

fn spec(index: u64, width: u32) -> BoardSpec {
    BoardSpec::random(7, index, &BoardMix { modes: &DefectMode::ALL, defective: 0.6, width })
}

#[divan::bench(args = [BoardType::CylnDst, BoardType::CylnRaw])]
fn one_thread(bencher: divan::Bencher<'_, '_>, board_type: BoardType) {
    let mut index = 0;
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        index += 1;
        draw(&BoardSpec { board_type, ..spec(index, 448) })
    });
}

#[divan::bench]
fn one_thread_896(bencher: divan::Bencher<'_, '_>) {
    let mut index = 0;
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        index += 1;
        draw(&spec(index, 896))
    });
}

#[divan::bench]
fn all_threads(bencher: divan::Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench(|| (0..BATCH).into_par_iter().map(|index| draw(&spec(index, 448)).image).collect::<Vec<_>>());
}

/// What one core makes for training: a board in another light, through a JPEG file, with its conversation.
#[divan::bench(args = [0, 64])]
fn example(bencher: divan::Bencher<'_, '_>, kept: usize) {
    let text = Template::Pins.text("bench", Language::En);
    let Ok(project) = config::parse(&text, Path::new("mekiki.toml"), Path::new(".")) else { return };
    let Ok(boards) = Boards::new(BoardsPlan { kept, ..BoardsPlan::default() }, project.recipe) else { return };
    let mut nth = 0;
    // The references, exemplars and kept boards of a while are drawn before.
    (0..200).for_each(|nth| drop(boards.example(nth)));
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        nth += 1;
        boards.example(nth).map(|example| example.images.len())
    });
}
