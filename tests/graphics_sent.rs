//! What we believe a terminal holds and shows is what it holds and shows.
#![allow(clippy::unwrap_used, clippy::type_complexity)]

mod terminal;

use std::collections::BTreeMap;

use image::{Rgba, RgbaImage};
use mekiki::graphics::{CellSize, Colours, Depth, Encoded, Key, Pane, Protocol, Sent, Target, encode};
use proptest::prelude::*;
use terminal::Terminal;

fn target(protocol: Protocol, tmux: bool) -> Target {
    let cell = CellSize::new(4, 8).unwrap();
    Target { protocol, cell, background: [0; 3], depth: Depth::True, tmux, colours: Colours::Palette, registers: 256 }
}

fn pictures(protocol: Protocol, tmux: bool) -> Vec<Encoded> {
    let picture = |n: u32| RgbaImage::from_fn(8 + n * 4 % 12, 16, |x, y| Rgba([(n * 20) as u8, (x * 9) as u8, (y * 5) as u8, 255]));
    (0..9).map(|n| encode(&picture(n), (10, 10), &target(protocol, tmux), Key::of(&(protocol, n))).unwrap()).collect()
}

#[derive(Debug, Clone)]
enum Step {
    /// Pane → picture, column, whether covered.
    Show(BTreeMap<u8, (usize, u16, bool)>),
    Ahead(usize),
    Damage(u16, u16),
    Forget(bool),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => proptest::collection::btree_map(1..4_u8, (0..9_usize, 0..3_u16, proptest::bool::weighted(0.2)), 0..4).prop_map(Step::Show),
        3 => (0..9_usize).prop_map(Step::Ahead),
        1 => (0..60_u16, 0..4_u16).prop_map(|(x, y)| Step::Damage(x, y)),
        1 => any::<bool>().prop_map(Step::Forget),
        1 => Just(Step::Clear),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Writes a frame as an interface would, whose cell buffer leaves out cells that stay the same.
fn frame(sent: &mut Sent, terminal: &mut Terminal, panes: &[Pane<'_>], cells: &mut BTreeMap<u8, (Key, (u16, u16), Option<u32>)>) {
    let drawn = sent.show(panes);
    terminal.write(&drawn.before);
    cells.retain(|pane, _| panes.iter().any(|p| p.pane == *pane));
    for (pane, id) in panes.iter().zip(&drawn.ids) {
        let now = (pane.picture.key(), pane.at, id.map(mekiki::graphics::PictureId::number));
        if cells.insert(pane.pane, now) != Some(now) {
            let mut out = Vec::new();
            pane.picture.text_at(&mut out, pane.at, *id);
            terminal.write(&out);
        }
    }
    terminal.write(&drawn.after);
    assert!(!terminal.is_loading());
}

fn check(sent: &Sent, terminal: &Terminal, panes: &[Pane<'_>], protocol: Protocol) {
    assert_eq!(sent.held(), terminal.images.keys().copied().collect::<Vec<_>>());
    assert!(terminal.images.len() <= 4);
    if protocol == Protocol::KittyDirect {
        let places: Vec<u32> = terminal.placements.keys().map(|(_, pane)| *pane).collect();
        assert_eq!(places.len(), panes.len(), "{places:?}");
        for pane in panes {
            let ((image, _), place) = terminal.placements.iter().find(|((_, p), _)| *p == u32::from(pane.pane)).unwrap();
            assert_eq!(*place, (pane.at.0, pane.at.1, pane.picture.cells().0, pane.picture.cells().1));
            assert!(terminal.images.contains_key(image));
        }
    } else {
        assert!(terminal.placements.is_empty());
    }
    for pane in panes {
        assert!(sent.shows(pane.pane, pane.at, pane.picture) || (pane.covered && protocol.paints()));
        assert!(!sent.shows(pane.pane, (pane.at.0 + 1, pane.at.1), pane.picture));
    }
    if protocol.paints() {
        let wanted = panes.iter().filter(|pane| !pane.covered);
        assert!(wanted.clone().all(|pane| terminal.painted.contains_key(&pane.at)));
        assert!(terminal.painted.len() <= panes.len());
    }
}

fn laws(protocol: Protocol, tmux: bool, steps: Vec<Step>) {
    let pictures = pictures(protocol, tmux);
    let mut sent = Sent::with_limits(7, 4, 1 << 20);
    let (mut terminal, mut cells) = (Terminal::default(), BTreeMap::new());
    let mut shown: Vec<Pane<'_>> = Vec::new();
    for step in steps {
        match step {
            Step::Show(wanted) => {
                let pane = |(pane, (picture, column, covered)): (u8, (usize, u16, bool))| Pane {
                    pane,
                    at: (u16::from(pane) * 20 + column, 1),
                    picture: &pictures[picture],
                    covered,
                };
                shown = wanted.into_iter().map(pane).collect();
                frame(&mut sent, &mut terminal, &shown, &mut cells);
                check(&sent, &terminal, &shown, protocol);
                if shown.iter().all(|pane| !pane.covered) {
                    let again = sent.show(&shown);
                    assert!(again.before.is_empty() && again.after.is_empty(), "a frame that changes nothing sends nothing");
                }
            }
            Step::Ahead(picture) => {
                let had = sent.has(&pictures[picture]);
                let bytes = sent.send_ahead(&pictures[picture]);
                assert!(!had || bytes.is_empty());
                terminal.write(&bytes);
                assert_eq!(sent.held(), terminal.images.keys().copied().collect::<Vec<_>>());
                // What is in sight stays.
                assert!(shown.iter().all(|pane| sent.has(pane.picture)));
            }
            Step::Damage(x, y) => sent.damage((x, y), (5, 2)),
            Step::Forget(lost) => {
                let bytes = sent.forget_all();
                if lost {
                    terminal = Terminal::default();
                }
                terminal.write(&bytes);
                terminal.painted.clear();
                cells.clear();
                assert!(terminal.images.is_empty() && terminal.placements.is_empty());
                shown.clear();
            }
            Step::Clear => {
                terminal.write(&sent.clear());
                cells.clear();
                shown.clear();
                assert!(terminal.images.is_empty() && terminal.placements.is_empty() && terminal.painted.is_empty());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn placeholders(steps in steps(), tmux: bool) {
        laws(Protocol::KittyPlaceholders, tmux, steps);
    }

    #[test]
    fn direct(steps in steps()) {
        laws(Protocol::KittyDirect, false, steps);
    }

    #[test]
    fn painted(steps in steps(), sixel: bool) {
        laws(if sixel { Protocol::Sixel } else { Protocol::Iterm2 }, false, steps);
    }

    #[test]
    fn half_blocks(steps in steps()) {
        laws(Protocol::HalfBlocks, false, steps);
    }
}

#[test]
fn ids_are_used_again_and_the_terminal_is_not_overfilled() {
    let pictures = pictures(Protocol::KittyPlaceholders, false);
    let at = |picture| [Pane { pane: 1, at: (0, 0), picture, covered: false }];
    let mut sent = Sent::with_limits(3, 2, 1 << 20);
    let first = sent.show(&at(&pictures[0])).ids[0].unwrap();
    assert_eq!(first.number(), 3 << 24 | 1);
    assert!(!sent.send_ahead(&pictures[1]).is_empty());
    assert!(sent.send_ahead(&pictures[0]).is_empty());
    // Going on costs no transmission; the picture after the next takes the place of the one left behind.
    let next = sent.show(&at(&pictures[1]));
    assert_eq!((next.before.len(), next.after.len(), next.ids[0].unwrap().number()), (0, 0, 3 << 24 | 2));
    assert!(String::from_utf8(sent.send_ahead(&pictures[2])).unwrap().starts_with("\x1b_Ga=d,d=I,i=50331649,q=2\x1b\\\x1b_Ga=T,U=1,"));
    // Three at once do not fit: the third pane gets none.
    let panes: Vec<Pane<'_>> =
        (1..=3).map(|pane| Pane { pane, at: (0, 0), picture: &pictures[usize::from(pane)], covered: false }).collect();
    assert_eq!(sent.show(&panes).ids.iter().filter(|id| id.is_some()).count(), 2);
    // By bytes, too.
    let mut small = Sent::with_limits(0, 9, 100);
    assert_eq!(small.show(&at(&pictures[0])).ids, [None]);
}

#[test]
fn a_covered_picture_waits_until_it_is_free() {
    let pictures = pictures(Protocol::Sixel, false);
    let at = |picture, covered| [Pane { pane: 1, at: (2, 2), picture, covered }];
    let mut sent = Sent::new(0);
    assert!(!sent.show(&at(&pictures[0], false)).after.is_empty());
    // A popup over it: nothing is sent, also when it closes elsewhere; where it was, the picture is painted again.
    assert!(sent.show(&at(&pictures[0], true)).after.is_empty());
    sent.damage((50, 50), (3, 3));
    assert!(sent.show(&at(&pictures[0], false)).after.is_empty());
    sent.damage((3, 3), (1, 1));
    assert!(!sent.show(&at(&pictures[0], false)).after.is_empty());
    // Another picture beneath a popup is painted when the popup has gone.
    let beneath = sent.show(&at(&pictures[1], true));
    assert!(!beneath.before.is_empty() && beneath.after.is_empty());
    assert!(!sent.show(&at(&pictures[1], false)).after.is_empty());
}
