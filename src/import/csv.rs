//! Comma-separated values (tab-separated in a `.tsv`) with a header.
//!
//! Records are cut out of the text here, where their length can be limited and their line is known, and read by the
//! `csv` crate, in parallel.

use std::borrow::Cow;
use std::io::Read;

use super::cell::{Cell, Record};
use super::intake::{Fault, Intake};
use super::lines::Lines;
use super::run::{Halt, Raw, Run};
use super::{ImportError, MOST_LINE_BYTES, NewSample, generic, source};

/// Reads rows by columns.
pub(super) fn read(run: &mut Run<'_>) -> Result<(), Halt> {
    records(run, generic::sample)
}

/// Whether a file of this name is a table rather than JSON.
pub(super) fn is_table(name: &str) -> bool {
    matches!(source::extension(name).as_str(), "csv" | "tsv")
}

/// Reads the records below the header and makes samples of them.
pub(super) fn records(run: &mut Run<'_>, sample: impl Fn(&Intake<'_>, &Record<'_>) -> Result<NewSample, Fault> + Sync) -> Result<(), Halt> {
    let delimiter = if source::extension(&run.opened.name) == "tsv" { b'\t' } else { b',' };
    let mut texts = Texts { lines: Lines::new(run.file()?), delimiter };
    let header = match texts.next() {
        None => return Ok(()),
        Some(Err(error)) => return Err(run.io(error).into()),
        Some(Ok(raw)) => raw.content.and_then(|text| cells(&text, delimiter)),
    };
    let header = header.map_err(|fault| run.broken("a table with a header", format!("{}: {}", fault.expected, fault.got)))?;
    let names: Vec<&str> = header.iter().map(str::trim).collect();
    run.intake.options.columns.check(&names)?;
    let path = run.opened.path.clone();
    let texts = texts.map(|text| text.map_err(|source| ImportError::Io { path: path.clone(), source }));
    run.stream(texts, |intake, text| {
        let row = cells(&text, delimiter)?;
        if row.len() != names.len() {
            return Err(Fault::row(format!("{} cells, as in the header", names.len()), format!("{} cells: {text}", row.len())));
        }
        let cells = names.iter().zip(&row).map(|(name, cell)| (Cow::Borrowed(*name), Cell::Text(Cow::Borrowed(cell))));
        sample(intake, &Record(cells.collect()))
    })
}

/// The cells of one record.
pub(super) fn cells(text: &str, delimiter: u8) -> Result<::csv::StringRecord, Fault> {
    let mut record = ::csv::StringRecord::new();
    ::csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .buffer_capacity(text.len().max(1))
        .from_reader(text.as_bytes())
        .read_record(&mut record)
        .map_err(|error| Fault::row(format!("comma-separated values ({error})"), text))?;
    Ok(record)
}

/// The texts of records: lines, joined while a quotation mark is open.
struct Texts<R> {
    lines: Lines<R>,
    delimiter: u8,
}

impl<R: Read> Iterator for Texts<R> {
    type Item = std::io::Result<Raw<String>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut first = match self.lines.next()? {
            Ok(raw) => raw,
            Err(error) => return Some(Err(error)),
        };
        let Ok(text) = &mut first.content else { return Some(Ok(first)) };
        let mut open = ends_inside_quotes(text, self.delimiter, false);
        while open {
            let next = match self.lines.next_line() {
                Ok(next) => next,
                Err(error) => return Some(Err(error)),
            };
            let fault = match next {
                Some(Raw { size, content: Ok(more), .. }) => {
                    first.size += size;
                    open = ends_inside_quotes(&more, self.delimiter, true);
                    text.push('\n');
                    text.push_str(&more);
                    (text.len() > MOST_LINE_BYTES).then(|| Fault::row(format!("a record of at most {MOST_LINE_BYTES} bytes"), &*text))
                }
                Some(Raw { size, content: Err(fault), .. }) => {
                    first.size += size;
                    Some(fault)
                }
                None => Some(Fault::row("a closing quotation mark before the file ends", &*text)),
            };
            if let Some(fault) = fault {
                first.content = Err(fault);
                break;
            }
        }
        Some(Ok(first))
    }
}

/// Whether a quoted cell is still open at the end of a line. A mark opens only at a cell's beginning.
fn ends_inside_quotes(line: &str, delimiter: u8, mut inside: bool) -> bool {
    let mut may_open = !inside;
    for byte in line.bytes() {
        (inside, may_open) = match byte {
            // A mark right after a closing one opens again: two of them stand for one within the cell.
            b'"' if inside => (false, true),
            b'"' if may_open => (true, false),
            _ => (inside, !inside && byte == delimiter),
        };
    }
    inside
}
