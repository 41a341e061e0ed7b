//! What terminals answer, read without trusting it: any bytes are taken, replies are found among them, the rest is left.

/// One thing a terminal said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Its name and version, without control characters (XTVERSION).
    Version(String),
    /// What it thinks of a kitty graphics command with that image number.
    Kitty {
        /// The number in the query.
        id: u32,
        /// Whether it could do it.
        ok: bool,
    },
    /// The size of a cell in pixels (`CSI 16 t`).
    CellSize {
        /// Across.
        width: u16,
        /// Down.
        height: u16,
    },
    /// Its background colour (`OSC 11`).
    Background([u8; 3]),
    /// How many colour registers sixel pictures have (XTSMGRAPHICS).
    Registers(u16),
    /// Whether it keeps a 24-bit colour as it is (DECRQSS, after one was set).
    TrueColour(bool),
    /// What it can do (DA1): 4 is sixel.
    Attributes(Vec<u16>),
    /// It is ready (DSR), and has therefore answered what was asked before.
    Ready,
}

/// The background that is set and asked for, to learn whether 24-bit colours are kept: red, green, blue.
pub(super) const PROBE: [u8; 3] = [1, 2, 3];
/// The longest text that is kept of a string reply.
const LONGEST: usize = 200;

/// The replies among some bytes, in order. Keys, cut-off sequences and everything unknown are left out.
pub fn parse(bytes: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    let mut at = 0;
    while let Some(escape) = bytes[at..].iter().position(|byte| *byte == 0x1b) {
        let start = at + escape + 1;
        let (reply, after) = match bytes.get(start) {
            Some(b'[') => control(bytes, start + 1),
            Some(kind @ (b']' | b'P' | b'_')) => string(bytes, *kind, start + 1),
            _ => (None, start),
        };
        replies.extend(reply);
        at = after;
    }
    replies
}

/// A control sequence: parameters, intermediates, a final letter. Gives what it means and where it ends.
fn control(bytes: &[u8], start: usize) -> (Option<Reply>, usize) {
    let body = bytes[start..].iter().take_while(|byte| (0x20..=0x3f).contains(*byte)).count();
    let end = start + body;
    let Some(last) = bytes.get(end).filter(|byte| (0x40..=0x7e).contains(*byte)) else { return (None, end) };
    (meaning(&bytes[start..end], *last), end + 1)
}

fn meaning(body: &[u8], last: u8) -> Option<Reply> {
    let body = std::str::from_utf8(body).ok()?;
    let (private, numbers) = body.strip_prefix('?').map_or((false, body), |rest| (true, rest));
    let numbers: Vec<u16> =
        numbers.split(';').map(|part| if part.is_empty() { Ok(0) } else { part.parse() }).collect::<Result<_, _>>().ok()?;
    match (private, last, numbers.as_slice()) {
        (true, b'c', _) => Some(Reply::Attributes(numbers)),
        (true, b'S', [1, 0, registers]) => Some(Reply::Registers(*registers)),
        (false, b't', [6, height, width]) => Some(Reply::CellSize { width: *width, height: *height }),
        (false, b'n', [0 | 3]) => Some(Reply::Ready),
        _ => None,
    }
}

/// A string: an operating system command, a device control string or an application command, ended by ST or BEL.
fn string(bytes: &[u8], kind: u8, start: usize) -> (Option<Reply>, usize) {
    let length = bytes[start..].iter().take_while(|byte| !matches!(byte, 0x07 | 0x18 | 0x1a | 0x1b)).count();
    let end = start + length;
    let after = match (bytes.get(end), bytes.get(end + 1)) {
        (Some(0x07), _) => end + 1,
        (Some(0x1b), Some(b'\\')) => end + 2,
        // Cut off: what interrupted it is read by itself.
        _ => return (None, end),
    };
    let text: String = String::from_utf8_lossy(&bytes[start..end]).chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    let reply = match kind {
        b']' => text.strip_prefix("11;").and_then(colour).map(Reply::Background),
        b'P' => text.strip_prefix(">|").map(|name| Reply::Version(name.to_owned())).or_else(|| {
            text.strip_prefix("1$r").and_then(|style| style.strip_suffix('m')).map(|style| Reply::TrueColour(keeps_probe(style)))
        }),
        _ => text.strip_prefix('G').and_then(kitty),
    };
    (reply, after)
}

/// `0;48:2::1:2:3`, with colons or semicolons, with or without a colour space.
fn keeps_probe(style: &str) -> bool {
    let parts: Vec<&str> = style.split([';', ':']).filter(|part| !part.is_empty()).collect();
    parts.windows(5).any(|five| five[0] == "48" && five[1] == "2" && five[2..].iter().zip(PROBE).all(|(part, v)| *part == v.to_string()))
}

/// `i=31;OK`, or `i=31,…;EINVAL:…`.
fn kitty(text: &str) -> Option<Reply> {
    let (keys, message) = text.split_once(';')?;
    let id = keys.split(',').find_map(|key| key.strip_prefix("i="))?.parse().ok()?;
    Some(Reply::Kitty { id, ok: message == "OK" })
}

/// `rgb:1e1e/1e1e/1e1e`, with one to four digits each; a fourth part, alpha, is left out. `#rrggbb` too.
fn colour(text: &str) -> Option<[u8; 3]> {
    let channel = |digits: &str| {
        let most = match digits.len() {
            1..=4 => (1_u32 << (4 * digits.len())) - 1,
            _ => return None,
        };
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(())?;
        Some(((u32::from_str_radix(digits, 16).ok()? * 255 + most / 2) / most) as u8)
    };
    let parts: Vec<&str> = match text.split_once(':') {
        Some(("rgb" | "rgba", parts)) => parts.split('/').collect(),
        _ => text.strip_prefix('#').filter(|hex| hex.len() == 6 && hex.is_ascii()).map(|hex| vec![&hex[..2], &hex[2..4], &hex[4..]])?,
    };
    match parts.as_slice() {
        [r, g, b] | [r, g, b, _] => Some([channel(r)?, channel(g)?, channel(b)?]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_replies_among_other_things() {
        let bytes = b"jk;22c\x1b[A\x1b]11;rgb:1/80/ffff\x07\x1b_Gi=31;OK\x1b\\\x1bP>|kitty(0.41.1)\x1b\\x\x1b[?62;4;c\x1b[6;36;18t\x1b[?1;0;256S\x1b[0n\x1bP>|cut";
        let expected = [
            Reply::Background([17, 128, 255]),
            Reply::Kitty { id: 31, ok: true },
            Reply::Version("kitty(0.41.1)".into()),
            Reply::Attributes(vec![62, 4, 0]),
            Reply::CellSize { width: 18, height: 36 },
            Reply::Registers(256),
            Reply::Ready,
        ];
        assert_eq!(parse(bytes), expected);
    }

    #[test]
    fn a_kept_colour_is_told_from_a_reduced_one() {
        for (style, kept) in [("0;48:2::1:2:3", true), ("48;2;1;2;3", true), ("0;48:2:1:2:3", true), ("0;48;5;16", false), ("0", false)] {
            assert_eq!(parse(format!("\x1bP1$r{style}m\x1b\\").as_bytes()), [Reply::TrueColour(kept)], "{style}");
        }
        assert_eq!(parse(b"\x1bP0$r\x1b\\"), []);
    }

    #[test]
    fn broken_replies_hide_nothing_after_them() {
        assert_eq!(parse(b"\x1b[?6\x1b[0n"), [Reply::Ready]);
        assert_eq!(parse(b"\x1bP>|half\x1b[0n"), [Reply::Ready]);
        assert_eq!(parse(b"\x1b_Gi=1;E\x18\x1b[0n"), [Reply::Ready]);
        assert_eq!(parse(b"\x1b\x1b\x1b[0n\x1b"), [Reply::Ready]);
        assert_eq!(parse(b"\x1b[99999;1;2t\x1b[6;1t\x1b]11;rgb:zz/1/2\x07\x1b]11;rgb:12345/1/2\x07\x1b]11;#12345\xc3\xa9\x07"), []);
        assert_eq!(parse(b"\x1b_Gi=7,I=2;ENOENT:no\x1b\\"), [Reply::Kitty { id: 7, ok: false }]);
        assert_eq!(parse(b"\x1bP>|a\x00\xffb\x1b\\"), [Reply::Version("a\u{fffd}b".into())]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(prop_oneof![Just(0x1b_u8), Just(b'['), Just(b'P'), Just(b']'), Just(b'_'), Just(b'\\'), Just(b';'), any::<u8>()], 0..400)) {
            for reply in parse(&bytes) {
                if let Reply::Version(name) = reply {
                    prop_assert!(name.chars().count() <= LONGEST && !name.chars().any(char::is_control));
                }
            }
        }
    }
}
