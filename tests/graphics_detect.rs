//! Which protocol each terminal gets, from answers that were recorded from it (kitty, xterm, foot, mlterm, tmux) or are known of it.
#![allow(clippy::unwrap_used, clippy::type_complexity)]

use mekiki::graphics::query::{INNER_ID, OUTER_ID};
use mekiki::graphics::{CellSize, Depth, Detected, Environment, Note, Protocol, TmuxClient, WindowSize, detect};
use proptest::prelude::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
}

/// Answers written shortly: `V:` name, `K` kitty says OK, `k` kitty says no, `O` kitty says OK through tmux, `C` a cell size of 9 × 18,
/// `B` a black background, `T` keeps 24-bit colours, `A:` attributes, `R` ready.
fn answers(short: &[&str]) -> Vec<u8> {
    let each = short.iter().map(|one| match one.split_once(':') {
        Some(("V", name)) => format!("\x1bP>|{name}\x1b\\"),
        Some(("A", list)) => format!("\x1b[?{list}c"),
        Some(("G", count)) => format!("\x1b[?1;0;{count}S"),
        _ => match *one {
            "K" => format!("\x1b_Gi={INNER_ID};OK\x1b\\"),
            "k" => format!("\x1b_Gi={INNER_ID};EINVAL:no\x1b\\"),
            "O" => format!("\x1b_Gi={OUTER_ID};OK\x1b\\"),
            "C" => "\x1b[6;18;9t".to_owned(),
            "B" => "\x1b]11;rgb:1010/1010/1010\x1b\\".to_owned(),
            "T" => "\x1bP1$r0;48:2::1:2:3m\x1b\\".to_owned(),
            "R" => "\x1b[0n".to_owned(),
            other => other.to_owned(),
        },
    });
    each.collect::<String>().into_bytes()
}

fn found(variables: &[(&str, &str)], short: &[&str], client: Option<&TmuxClient>) -> Detected {
    let window = WindowSize { columns: 120, rows: 36, width: 1080, height: 648 };
    detect(&environment(variables), &answers(short), Some(window), client, None)
}

#[test]
fn each_terminal_gets_what_it_shows_best() {
    use Protocol::{HalfBlocks, Iterm2, KittyDirect, KittyPlaceholders, Sixel};
    let xterm = [("TERM", "xterm-256color")].as_slice();
    let rows: &[(&str, &[(&str, &str)], &[&str], Protocol, Depth)] = &[
        ("kitty 0.41", &[("TERM", "xterm-kitty")], &["V:kitty(0.41.1)", "K", "C", "B", "A:62;", "R"], KittyPlaceholders, Depth::True),
        ("kitty 0.26", &[("TERM", "xterm-kitty")], &["V:kitty(0.26.5)", "K", "C", "B", "A:62;", "R"], KittyDirect, Depth::True),
        ("kitty 0.28", xterm, &["V:kitty(0.28.0)", "K", "T", "R"], KittyPlaceholders, Depth::True),
        ("kitty 1.0", xterm, &["V:kitty(1.0)", "K", "R"], KittyPlaceholders, Depth::Palette),
        ("Ghostty", &[("TERM", "xterm-ghostty")], &["V:ghostty 1.2.0", "K", "C", "A:62;22;52", "R"], KittyPlaceholders, Depth::True),
        (
            "WezTerm",
            &[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")],
            &["V:WezTerm 20240203-110809-5046fc22", "K", "C", "A:65;4;6;18;22", "R"],
            Iterm2,
            Depth::True,
        ),
        ("iTerm2", xterm, &["V:iTerm2 3.5.14", "C", "T", "A:62;4", "R"], Iterm2, Depth::True),
        ("iTerm2 by name only", &[("TERM", "xterm-256color"), ("LC_TERMINAL", "iTerm2")], &["A:62;4", "R"], Iterm2, Depth::Palette),
        ("xterm -ti vt340", xterm, &["V:XTerm(379)", "B", "G:1024", "T", "A:63;1;2;4;6;9;15;16;22;28", "R"], Sixel, Depth::True),
        (
            "xterm -ti vt420",
            xterm,
            &["V:XTerm(379)", "B", "\x1b[?1;3S", "A:64;1;2;6;9;15;16;17;18;21;22;28", "R"],
            HalfBlocks,
            Depth::Palette,
        ),
        ("foot", &[("TERM", "foot")], &["V:foot(1.13.1)", "C", "B", "G:1024", "A:62;4;22", "R"], Sixel, Depth::True),
        ("mlterm", &[("TERM", "mlterm")], &["\x1b[6;16;8t", "B", "G:1024", "A:63;1;2;3;4;6;7;15;18;22;29", "R"], Sixel, Depth::Palette),
        ("Konsole", xterm, &["V:Konsole 25.04.2", "K", "A:62;1;4", "R"], KittyDirect, Depth::Palette),
        ("VS Code with pictures", xterm, &["V:xterm.js(5.5.0)", "A:62;4;9;22", "R"], Iterm2, Depth::Palette),
        ("VS Code without", &[("TERM_PROGRAM", "vscode"), ("TERM", "xterm-256color")], &["A:1;2", "R"], HalfBlocks, Depth::Palette),
        ("an unknown one with kitty graphics", xterm, &["V:newterm 1", "K", "R"], KittyDirect, Depth::Palette),
        ("kitty that refuses", &[("TERM", "xterm-kitty")], &["V:kitty(0.41.1)", "k", "A:62;", "R"], HalfBlocks, Depth::True),
        ("silent", xterm, &[], HalfBlocks, Depth::Palette),
        ("the console", &[("TERM", "linux")], &["A:6", "R"], HalfBlocks, Depth::Sixteen),
        ("reordered", &[("TERM", "xterm-kitty")], &["R", "A:62;", "K", "V:kitty(0.41.1)"], KittyPlaceholders, Depth::True),
        (
            "with keys and left-over replies",
            &[("TERM", "foot")],
            &["jj;4c", "\x1b[A", "\x1b_Gi=31;OK\x1b\\", "A:62;4;22", "V:foot(1.13.1)", "A:62;4;22", "R", "R"],
            Sixel,
            Depth::True,
        ),
        (
            "inherited variables",
            &[("TERM", "xterm-256color"), ("KITTY_WINDOW_ID", "1"), ("TERM_PROGRAM", "iTerm.app")],
            &["V:XTerm(379)", "A:64;1;2", "R"],
            HalfBlocks,
            Depth::Palette,
        ),
        ("screen", &[("TERM", "screen.xterm-256color"), ("STY", "1.a")], &["A:1;2;4", "R"], HalfBlocks, Depth::Palette),
    ];
    for (name, variables, short, protocol, depth) in rows {
        let found = found(variables, short, None);
        assert_eq!((found.protocol, found.depth), (*protocol, *depth), "{name}");
        assert!(!found.tmux, "{name}");
    }
}

#[test]
fn inside_tmux_the_terminal_outside_counts() {
    use Protocol::{HalfBlocks, KittyPlaceholders};
    let client = |terminal: &str, features: &str, passthrough| TmuxClient {
        terminal: terminal.into(),
        features: features.into(),
        cell: None,
        passthrough,
    };
    let rgb = client("kitty(0.41.1)", "256,RGB,title", true);
    let plain = client("kitty(0.41.1)", "bpaste,title", true);
    let off = client("kitty(0.41.1)", "RGB", false);
    let old = client("kitty(0.26.5)", "RGB", true);
    let sixel = client("XTerm(379)", "", true);
    let inner = [("TMUX", "/tmp/tmux-0/default,1,0"), ("TERM", "tmux-256color")];
    let rows: &[(&str, &[&str], Option<&TmuxClient>, Protocol, Depth, Option<Note>)] = &[
        (
            "3.5a, RGB",
            &["V:tmux 3.5a", "C", "B", "G:1024", "A:1;2;4", "R", "V:kitty(0.41.1)", "O", "R"],
            Some(&rgb),
            KittyPlaceholders,
            Depth::True,
            None,
        ),
        (
            "3.5a, no RGB",
            &["V:tmux 3.5a", "C", "A:1;2;4", "R", "V:kitty(0.41.1)", "O", "R"],
            Some(&plain),
            KittyPlaceholders,
            Depth::Palette,
            None,
        ),
        ("3.3a", &["V:tmux 3.3a", "A:1;2", "R", "V:kitty(0.41.1)", "O", "R"], Some(&rgb), KittyPlaceholders, Depth::True, None),
        ("reordered", &["R", "O", "V:kitty(0.41.1)", "V:tmux 3.3a", "A:1;2", "R"], Some(&rgb), KittyPlaceholders, Depth::True, None),
        ("name from tmux alone", &["V:tmux 3.3a", "A:1;2", "R", "O"], Some(&rgb), KittyPlaceholders, Depth::True, None),
        ("nothing passes", &["V:tmux 3.3a", "A:1;2", "R"], Some(&off), HalfBlocks, Depth::True, Some(Note::PassthroughOff)),
        ("on another machine", &["V:tmux 3.3a", "A:1;2", "R"], None, HalfBlocks, Depth::Palette, Some(Note::PassthroughOff)),
        (
            "old kitty",
            &["V:tmux 3.3a", "A:1;2", "R", "V:kitty(0.26.5)", "O", "R"],
            Some(&old),
            HalfBlocks,
            Depth::True,
            Some(Note::OldKittyInTmux),
        ),
        (
            "WezTerm",
            &["V:tmux 3.5a", "A:1;2", "R", "V:WezTerm 2024", "O", "R"],
            None,
            HalfBlocks,
            Depth::Palette,
            Some(Note::NotThroughMultiplexer),
        ),
        ("xterm; tmux claims sixel", &["V:tmux 3.5a", "A:1;2;4", "R", "V:XTerm(379)", "R"], Some(&sixel), HalfBlocks, Depth::Palette, None),
    ];
    for (name, short, client, protocol, depth, note) in rows {
        let found = found(&inner, short, *client);
        assert_eq!((found.protocol, found.depth, found.notes.first()), (*protocol, *depth, note.as_ref()), "{name}");
        assert!(found.tmux, "{name}");
    }
    // tmux on the other side of an SSH hop is known by its name only.
    assert!(found(&[("TERM", "screen-256color")], &["V:tmux 3.3a", "A:1;2", "R", "V:kitty(0.41.1)", "O"], None).tmux);
}

#[test]
fn cells_choice_and_notes() {
    let window = WindowSize { columns: 120, rows: 36, width: 1080, height: 684 };
    let bytes = answers(&["V:XTerm(379)", "G:16", "A:63;4", "R"]);
    let terminal = environment(&[("TERM", "xterm-256color")]);
    let found = detect(&terminal, &bytes, Some(window), None, None);
    assert_eq!((found.cell, found.registers), (CellSize::new(9, 19).unwrap(), 16));
    assert_eq!(found.notes, [Note::FewRegisters(16)]);
    let unsized_window = WindowSize { width: 0, height: 0, ..window };
    let found = detect(&terminal, &bytes, Some(unsized_window), None, None);
    assert_eq!((found.cell, found.notes.contains(&Note::CellSizeGuessed)), (CellSize::USUAL, true));
    let chosen = detect(&terminal, &[], Some(WindowSize::default()), None, Some(Protocol::Iterm2));
    assert_eq!(chosen.protocol, Protocol::Iterm2);
    for protocol in Protocol::ALL {
        assert_eq!(protocol.to_string().parse(), Ok(protocol));
    }
    assert!("kitten".parse::<Protocol>().is_err());
}

proptest! {
    #[test]
    fn any_answers_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..300), tmux: bool, sizes: [u16; 4]) {
        let environment = Environment { tmux, ..Environment::default() };
        let window = WindowSize { columns: sizes[0], rows: sizes[1], width: sizes[2], height: sizes[3] };
        let found = detect(&environment, &bytes, Some(window), None, None);
        prop_assert!(found.terminal.is_none_or(|name| !name.chars().any(char::is_control)));
        prop_assert!(found.cell.width >= 2 && found.cell.height >= 2 && found.registers >= 2);
    }
}
