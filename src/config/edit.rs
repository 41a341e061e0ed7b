//! Changes to a project file that leave everything else in it as a person wrote it.

use std::io::Write;
use std::path::Path;

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use super::{ConfigError, FILE_NAME, parse};
use crate::conversation::{PoolImage, Purpose};

/// Adds images to the pools; of those already there, type, address, sample and group are replaced.
///
/// Beside each image stands its address as the project's grid writes it.
pub fn add_pool_images(dir: &Path, images: &[(PoolImage, Option<String>)]) -> Result<(), ConfigError> {
    change(dir, |document| images.iter().for_each(|(image, address)| add(document, image, address.as_deref())))
}

fn add(document: &mut DocumentMut, image: &PoolImage, address: Option<&str>) {
    // A remark at the file's end stays where it was, before what is added.
    let remark = document.trailing().as_str().unwrap_or_default().to_owned();
    let Some(rows) = rows_mut(document, image.purpose) else { return };
    let known = rows.iter().position(|row| row.get("image").and_then(Item::as_str) == Some(image.image.as_str()));
    if known.is_none() {
        let mut row = Table::new();
        row.decor_mut().set_prefix(format!("{remark}\n"));
        rows.push(row);
    }
    let Some(row) = rows.get_mut(known.unwrap_or(rows.len() - 1)) else { return };
    row["image_type"] = value(&image.image_type);
    row["image"] = value(image.image.as_str());
    let optional = [("address", address), ("sample", image.sample.as_ref().map(AsRef::as_ref)), ("group", image.group.as_deref())];
    for (key, text) in optional {
        match text {
            Some(text) => row[key] = value(text),
            None => drop(row.remove(key)),
        }
    }
    if known.is_none() {
        document.set_trailing("");
    }
}

/// Takes an image out of a pool; whether it was there.
pub fn remove_pool_image(dir: &Path, purpose: Purpose, image: &str) -> Result<bool, ConfigError> {
    let mut found = false;
    change(dir, |document| {
        if let Some(rows) = rows_mut(document, purpose) {
            let before = rows.len();
            rows.retain(|row| row.get("image").and_then(Item::as_str) != Some(image));
            found = rows.len() < before;
        }
    })?;
    Ok(found)
}

/// The `[[pools.PURPOSE]]` tables, made where they are missing; inline arrays become tables.
fn rows_mut(document: &mut DocumentMut, purpose: Purpose) -> Option<&mut ArrayOfTables> {
    let pools = document.entry("pools").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let rows = pools.as_table_like_mut()?.entry(purpose.name()).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    if let Some(array) = rows.as_array() {
        let tables = array.iter().filter_map(|row| row.as_inline_table()).map(|row| row.clone().into_table());
        *rows = Item::ArrayOfTables(tables.collect());
    }
    rows.as_array_of_tables_mut()
}

/// Changes the file: it appears whole, only when the result is a good project file, and with its permissions kept.
fn change(dir: &Path, edit: impl FnOnce(&mut DocumentMut)) -> Result<(), ConfigError> {
    let file = dir.join(FILE_NAME);
    let io = |source| ConfigError::Io { path: file.clone(), source };
    let text = std::fs::read_to_string(&file).map_err(io)?;
    parse(&text, &file, dir)?;
    let mut document: DocumentMut = text.parse().map_err(|_| ConfigError::NoProject(dir.to_owned()))?;
    edit(&mut document);
    let changed = document.to_string();
    parse(&changed, &file, dir)?;
    let mut whole = tempfile::NamedTempFile::new_in(dir).map_err(io)?;
    whole.write_all(changed.as_bytes()).map_err(io)?;
    whole.as_file().set_permissions(std::fs::metadata(&file).map_err(io)?.permissions()).map_err(io)?;
    whole.as_file().sync_all().map_err(io)?;
    whole.persist(&file).map_err(|error| io(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Language, Template, load};
    use super::*;
    use crate::domain::{Address, RelativePath};

    fn exemplar(path: &str) -> PoolImage {
        PoolImage {
            purpose: Purpose::Exemplar,
            image_type: "CYLN_RAW".into(),
            image: RelativePath::new(path).unwrap(),
            address: Some(Address { row: 0, column: 2 }),
            sample: None,
            group: None,
        }
    }

    #[test]
    fn only_the_pool_changes() {
        let dir = tempfile::tempdir().unwrap();
        let text = Template::Pins.text("pins", Language::En);
        std::fs::write(dir.path().join(FILE_NAME), &text).unwrap();
        add_pool_images(dir.path(), &[(exemplar("pools/星.png"), Some("U3".into()))]).unwrap();
        add_pool_images(dir.path(), &[(exemplar("pools/星.png"), Some("U3".into()))]).unwrap();
        let project = load(dir.path()).unwrap();
        assert_eq!(project.recipe.pool.images, [exemplar("pools/星.png")]);
        let changed = std::fs::read_to_string(dir.path().join(FILE_NAME)).unwrap();
        assert!(changed.starts_with(text.trim_end()), "what was there stays as it was");
        assert!(remove_pool_image(dir.path(), Purpose::Exemplar, "pools/星.png").unwrap());
        assert!(!remove_pool_image(dir.path(), Purpose::Exemplar, "pools/星.png").unwrap());
        assert!(load(dir.path()).unwrap().recipe.pool.images.is_empty());
    }

    #[test]
    fn a_bad_change_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE_NAME), Template::Pins.text("pins", Language::En)).unwrap();
        let before = std::fs::read(dir.path().join(FILE_NAME)).unwrap();
        assert!(add_pool_images(dir.path(), &[(exemplar("pools/a.png"), Some("X3".into()))]).is_err());
        assert_eq!(std::fs::read(dir.path().join(FILE_NAME)).unwrap(), before);
    }
}
