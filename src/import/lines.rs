//! Lines of text, one at a time and limited in length.

use std::io::{BufRead, BufReader, Read};

use super::MOST_LINE_BYTES;
use super::intake::Fault;
use super::run::{Place, Raw};

/// The lines of a text that are not blank, numbered from 1. Takes a byte order mark and both kinds of line end.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    line: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self { reader: BufReader::with_capacity(1 << 18, source), line: 0 }
    }

    /// The next line, blank or not, with its bytes in the source; none at the end.
    pub(super) fn next_line(&mut self) -> std::io::Result<Option<Raw<String>>> {
        let mut bytes = Vec::new();
        let mut size = self.reader.by_ref().take(MOST_LINE_BYTES as u64 + 1).read_until(b'\n', &mut bytes)? as u64;
        if size == 0 {
            return Ok(None);
        }
        self.line += 1;
        let complete = bytes.pop_if(|last| *last == b'\n').is_some();
        let content = if !complete && bytes.len() > MOST_LINE_BYTES {
            size += self.reader.skip_until(b'\n')? as u64;
            Err(Fault::row(format!("a line of at most {MOST_LINE_BYTES} bytes"), format!("{size} bytes")))
        } else {
            bytes.pop_if(|last| *last == b'\r');
            if self.line == 1 && bytes.starts_with("\u{feff}".as_bytes()) {
                bytes.drain(..3);
            }
            String::from_utf8(bytes).map_err(|error| Fault::row("text in UTF-8", String::from_utf8_lossy(error.as_bytes())))
        };
        Ok(Some(Raw { place: Place::Line(self.line), size, content }))
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = std::io::Result<Raw<String>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_line().transpose()? {
                Ok(raw) if raw.content.as_ref().is_ok_and(|text| text.trim().is_empty()) => {}
                other => return Some(other),
            }
        }
    }
}
