//! Asking a terminal, played by the other end of a pseudo-terminal.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use mekiki::graphics::query::{INNER_ID, ask, questions};
use mekiki::graphics::{Environment, Protocol, detect};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

fn pty() -> (File, OwnedFd) {
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = ptsname(&keyboard, Vec::new()).unwrap();
    let tty = rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    (File::from(keyboard), tty)
}

fn echoes(tty: &OwnedFd) -> bool {
    tcgetattr(tty).unwrap().local_modes.contains(LocalModes::ECHO | LocalModes::ICANON)
}

/// Reads the questions, then answers in parts, each after a pause.
fn play(mut keyboard: File, answers: Vec<(u64, Vec<u8>)>) -> std::thread::JoinHandle<File> {
    std::thread::spawn(move || {
        let mut asked = vec![0; questions(&Environment::default()).len()];
        keyboard.read_exact(&mut asked).unwrap();
        assert_eq!(asked, questions(&Environment::default()));
        for (pause, part) in answers {
            std::thread::sleep(Duration::from_millis(pause));
            keyboard.write_all(&part).unwrap();
        }
        keyboard
    })
}

#[test]
fn a_terminal_that_answers_is_known_at_once() {
    let (keyboard, tty) = pty();
    let kitty = format!("\x1bP>|kitty(0.41.1)\x1b\\\x1b_Gi={INNER_ID};OK\x1b\\\x1b[6;18");
    let player = play(keyboard, vec![(5, kitty.into_bytes()), (5, b";9t\x1b[?62;c\x1b[0n".to_vec()), (5, b"\x1b[?late".to_vec())]);
    let started = Instant::now();
    let answers = ask(&tty, &Environment::default(), Duration::from_secs(5)).unwrap();
    assert!(started.elapsed() < Duration::from_secs(4));
    assert!(echoes(&tty));
    let found = detect(&Environment::default(), &answers.bytes, answers.window, None, None);
    assert_eq!((found.protocol, found.cell.height), (Protocol::KittyPlaceholders, 18));
    // What came late does not wait for the keyboard's reader.
    assert!(answers.bytes.ends_with(b"late"));
    drop(player.join().unwrap());
}

#[test]
fn a_silent_terminal_costs_the_limit_and_is_left_as_it_was() {
    let (keyboard, tty) = pty();
    let player = play(keyboard, vec![]);
    let started = Instant::now();
    let answers = ask(&tty, &Environment::default(), Duration::from_millis(200)).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(200) && started.elapsed() < Duration::from_secs(3));
    assert!(answers.bytes.is_empty() && echoes(&tty));
    assert_eq!(detect(&Environment::default(), &[], None, None, None).protocol, Protocol::HalfBlocks);
    drop(player.join().unwrap());
}

#[test]
fn half_an_answer_is_enough_to_go_on_with() {
    let (keyboard, tty) = pty();
    let player = play(keyboard, vec![(1, b"\x1b[?62;4c\x1bP>|fo".to_vec())]);
    let answers = ask(&tty, &Environment::default(), Duration::from_millis(200)).unwrap();
    assert_eq!(detect(&Environment::default(), &answers.bytes, None, None, None).protocol, Protocol::Sixel);
    assert!(echoes(&tty));
    drop(player.join().unwrap());
}
