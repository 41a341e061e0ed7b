//! Values as whole numbers, so that the table that is searched stays narrow.

use rusqlite::{Connection, OptionalExtension};

use super::StoreError;
use crate::domain::{Address, BoundingBox, Field, FieldKind, ReviewerName, Value};

/// "Nowhere" and "no box".
const NONE: i64 = -1;

/// The number of a value that the field allows: an option's index, the number itself, row and column of an address,
/// the four steps of a box; texts and sets are interned. Changes with the schema, as the table `current` does.
pub(super) fn code(connection: &Connection, field: &Field, value: &Value) -> Result<i64, StoreError> {
    match known_code(field, value) {
        Some(code) => Ok(code),
        None => intern(connection, &field.render(value)),
    }
}

/// As [`code`], but without making a number for a text that has none: no sample has such a value.
pub(super) fn find_code(connection: &Connection, field: &Field, value: &Value) -> Result<Option<i64>, StoreError> {
    match known_code(field, value) {
        Some(code) => Ok(Some(code)),
        None => find_word(connection, &field.render(value)),
    }
}

fn known_code(field: &Field, value: &Value) -> Option<i64> {
    match (&field.kind, value) {
        (FieldKind::Choice { options }, Value::Choice(chosen)) => {
            options.iter().position(|option| option == chosen).map(|index| index as i64)
        }
        (_, Value::Integer(number)) => Some(*number),
        (_, Value::Address(None) | Value::Box(None)) => Some(NONE),
        (_, Value::Address(Some(address))) => Some(i64::from(address.row) << 8 | i64::from(address.column)),
        (_, Value::Box(Some(area))) => Some(area.steps().into_iter().fold(0, |code, step| code << 10 | i64::from(step))),
        (_, Value::Choice(_) | Value::Choices(_) | Value::Text(_)) => None,
    }
}

/// The value with this number.
pub(super) fn value(connection: &Connection, field: &Field, code: i64) -> Result<Value, StoreError> {
    let damaged = StoreError::damaged("the number of a value in the table of current labels (`mekiki rebuild` makes it anew)");
    let found = match &field.kind {
        FieldKind::Choice { options } => options.get(code as usize).cloned().map(Value::Choice),
        FieldKind::Integer { .. } => Some(Value::Integer(code)),
        FieldKind::Address { .. } if code == NONE => Some(Value::Address(None)),
        FieldKind::Address { .. } => Some(Value::Address(Some(Address { row: (code >> 8) as u8, column: code as u8 }))),
        FieldKind::Box { .. } if code == NONE => Some(Value::Box(None)),
        FieldKind::Box { .. } => {
            let step = |shift: u32| (code >> shift & 0x3ff) as u16;
            BoundingBox::new(step(30), step(20), step(10), step(0)).map(|area| Value::Box(Some(area)))
        }
        FieldKind::MultiChoice { .. } | FieldKind::Text { .. } => field.parse(&word(connection, code)?).ok(),
    };
    found.ok_or_else(|| damaged(format!("{code} for {}", field.id)))
}

/// The number of a text; a new one when it has none yet.
pub(super) fn intern(connection: &Connection, text: &str) -> Result<i64, StoreError> {
    if let Some(code) = find_word(connection, text)? {
        return Ok(code);
    }
    connection.prepare_cached("INSERT INTO words (word) VALUES (?1)")?.execute([text])?;
    Ok(connection.last_insert_rowid())
}

/// The number of a text, if it has one.
pub(super) fn find_word(connection: &Connection, text: &str) -> Result<Option<i64>, StoreError> {
    Ok(connection.prepare_cached("SELECT code FROM words WHERE word = ?1")?.query_row([text], |row| row.get(0)).optional()?)
}

/// The text with this number.
pub(super) fn word(connection: &Connection, code: i64) -> Result<String, StoreError> {
    Ok(connection.prepare_cached("SELECT word FROM words WHERE code = ?1")?.query_row([code], |row| row.get(0))?)
}

/// The reviewer with this number.
pub(super) fn reviewer(connection: &Connection, code: i64) -> Result<ReviewerName, StoreError> {
    ReviewerName::new(word(connection, code)?).map_err(StoreError::damaged("a reviewer's name"))
}

/// A probability in millionths.
pub(super) fn ppm(share: f32) -> i64 {
    (f64::from(share) * 1e6).round() as i64
}

/// A probability from millionths.
pub(super) fn share(ppm: i64) -> f32 {
    (ppm as f64 / 1e6) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{every_kind, open_words};

    #[test]
    fn every_value_has_a_number_and_back() {
        let connection = open_words();
        let schema = every_kind();
        for (id, text) in [
            ("judgement", "defective"),
            ("quantity", "-7"),
            ("position", "U3"),
            ("position", "D9"),
            ("position", "none"),
            ("area", "<loc0000><loc1023><loc0512><loc1023>"),
            ("area", "none"),
            ("marks", "chip, burr"),
            ("marks", "none"),
            ("note", "傷 あり"),
        ] {
            let field = schema.field_named(id).unwrap();
            let given = field.parse(text).unwrap();
            let number = code(&connection, field, &given).unwrap();
            assert_eq!(value(&connection, field, number).unwrap(), given, "{id} {text}");
            assert_eq!(find_code(&connection, field, &given).unwrap(), Some(number));
        }
        let note = schema.field_named("note").unwrap();
        assert_eq!(find_code(&connection, note, &Value::Text("never said".into())).unwrap(), None);
    }

    #[test]
    fn probabilities_keep_six_digits() {
        assert_eq!((ppm(0.8), ppm(1.0), ppm(0.0)), (800_000, 1_000_000, 0));
        assert!((share(ppm(0.123_456)) - 0.123_456).abs() < 1e-6);
    }
}
