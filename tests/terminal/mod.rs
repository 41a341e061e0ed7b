//! A terminal for tests: it understands exactly the escapes that the pictures use and refuses all others.
#![allow(clippy::unwrap_used, dead_code)]

use std::collections::{BTreeMap, HashMap};

/// What one kitty image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// The file, base64.
    pub(crate) payload: Vec<u8>,
    /// The cells of its virtual placement.
    pub(crate) virtual_cells: Option<(u16, u16)>,
}

/// A terminal that keeps pictures and knows which cell shows what was painted.
#[derive(Debug, Default)]
pub(crate) struct Terminal {
    /// kitty's pictures by number.
    pub(crate) images: BTreeMap<u32, Image>,
    /// kitty's placements at the cursor: (image, placement) → column, row, columns, rows.
    pub(crate) placements: BTreeMap<(u32, u32), (u16, u16, u16, u16)>,
    /// Painted escapes (sixel, iTerm2), by cell of their top left.
    pub(crate) painted: HashMap<(u16, u16), Vec<u8>>,
    /// The characters written, with foreground, by cell.
    pub(crate) text: HashMap<(u16, u16), (String, String)>,
    cursor: (u16, u16),
    saved: (u16, u16),
    style: String,
    loading: Option<(u32, Image)>,
}

impl Terminal {
    /// Interprets bytes; panics on anything that no picture should send.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            at += self.step(&bytes[at..]);
        }
    }

    fn step(&mut self, bytes: &[u8]) -> usize {
        let until = |from: usize, end: &[u8]| bytes[from..].windows(end.len()).position(|w| w == end).map(|p| from + p).unwrap();
        match bytes {
            [0x1b, b'7', ..] => {
                self.saved = self.cursor;
                2
            }
            [0x1b, b'8', ..] => {
                self.cursor = self.saved;
                2
            }
            [0x1b, b'[', ..] => {
                let end = 2 + bytes[2..].iter().position(u8::is_ascii_alphabetic).unwrap();
                let body = std::str::from_utf8(&bytes[2..end]).unwrap();
                match bytes[end] {
                    b'H' => {
                        let (row, column) = body.split_once(';').unwrap();
                        self.cursor = (column.parse::<u16>().unwrap() - 1, row.parse::<u16>().unwrap() - 1);
                    }
                    b'm' => body.clone_into(&mut self.style),
                    other => panic!("CSI {body}{}", char::from(other)),
                }
                end + 1
            }
            [0x1b, b'_', b'G', ..] => {
                let end = until(3, b"\x1b\\");
                assert!(bytes[3..end].iter().all(|b| (0x20..0x7f).contains(b)));
                self.kitty(std::str::from_utf8(&bytes[3..end]).unwrap());
                end + 2
            }
            [0x1b, b'P', b't', ..] => {
                // Through tmux: the escapes inside are doubled.
                assert!(bytes.starts_with(b"\x1bPtmux;"));
                let (mut inside, mut at) = (Vec::new(), 7);
                loop {
                    match &bytes[at..] {
                        [0x1b, 0x1b, ..] => {
                            inside.push(0x1b);
                            at += 2;
                        }
                        [0x1b, b'\\', ..] => break,
                        [byte, ..] => {
                            inside.push(*byte);
                            at += 1;
                        }
                        [] => panic!("an unfinished passage through tmux"),
                    }
                }
                assert!(inside.len() < 4096 + 200, "tmux has a limit");
                self.write(&inside);
                at + 2
            }
            [0x1b, b'P', ..] => {
                let end = until(2, b"\x1b\\") + 2;
                self.painted.insert(self.cursor, bytes[..end].to_vec());
                end
            }
            [0x1b, b']', ..] => {
                let end = until(2, b"\x07") + 1;
                assert!(bytes.starts_with(b"\x1b]1337;File="));
                self.painted.insert(self.cursor, bytes[..end].to_vec());
                end
            }
            [byte, ..] => {
                assert!(*byte >= 0x20, "control byte {byte:#x}");
                let length = bytes[1..].iter().take_while(|b| (0x80..0xc0).contains(*b)).count() + 1;
                let letter = std::str::from_utf8(&bytes[..length]).unwrap();
                let mark = letter.chars().all(|c| unicode_width::UnicodeWidthChar::width(c) == Some(0));
                if mark {
                    self.text.get_mut(&(self.cursor.0 - 1, self.cursor.1)).unwrap().0.push_str(letter);
                } else {
                    self.painted.retain(|place, _| *place != self.cursor);
                    self.text.insert(self.cursor, (letter.to_owned(), self.style.clone()));
                    self.cursor.0 += 1;
                }
                length
            }
            [] => 0,
        }
    }

    fn kitty(&mut self, command: &str) {
        let (keys, payload) = command.split_once(';').unwrap_or((command, ""));
        let keys: HashMap<&str, &str> = keys.split(',').map(|key| key.split_once('=').unwrap()).collect();
        assert_eq!(keys["q"], "2", "the terminal must not answer");
        let number = |key: &str| keys.get(key).map(|value| value.parse::<u32>().unwrap());
        if let Some((id, mut image)) = self.loading.take() {
            assert!(!keys.contains_key("a"), "a command inside of a picture");
            image.payload.extend_from_slice(payload.as_bytes());
            self.load(id, image, number("m") == Some(1));
            return;
        }
        match keys["a"] {
            action @ ("t" | "T") => {
                assert_eq!(keys["f"], "100");
                let virtual_cells = (action == "T").then(|| (number("c").unwrap() as u16, number("r").unwrap() as u16));
                assert_eq!(virtual_cells.is_some(), keys.get("U") == Some(&"1"));
                let image = Image { payload: payload.as_bytes().to_vec(), virtual_cells };
                // kitty replaces a picture of the same number together with its placements.
                let id = number("i").unwrap();
                self.placements.retain(|(image, _), _| *image != id);
                self.load(id, image, number("m") == Some(1));
            }
            "p" => {
                let id = number("i").unwrap();
                assert!(self.images.contains_key(&id), "placing what is not there");
                assert_eq!(keys["C"], "1");
                let place = (self.cursor.0, self.cursor.1, number("c").unwrap() as u16, number("r").unwrap() as u16);
                self.placements.insert((id, number("p").unwrap()), place);
            }
            "d" => {
                let id = number("i").unwrap();
                let placement = number("p");
                self.placements.retain(|(image, p), _| *image != id || placement.is_some_and(|wanted| wanted != *p));
                if keys["d"] == "I" {
                    self.images.remove(&id);
                }
            }
            other => panic!("a={other}"),
        }
    }

    fn load(&mut self, id: u32, image: Image, more: bool) {
        if more {
            self.loading = Some((id, image));
        } else {
            self.images.insert(id, image);
        }
    }

    /// Whether a picture is half sent.
    pub(crate) fn is_loading(&self) -> bool {
        self.loading.is_some()
    }
}
