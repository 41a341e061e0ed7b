//! Folders of the MVTec kind: `train/good`, `test/<defect>`, and masks in `ground_truth/<defect>`; or a folder of such.

use std::path::Path;

use super::inspection::{Inspection, PASSED};
use super::intake::{Draft, Fault, Intake};
use super::run::{Halt, Place, Raw, Run};
use super::{Format, ImportError, NewSample};
use crate::domain::RelativePath;
use crate::imaging;

/// The folder whose images are good products.
const GOOD: &str = "good";

/// Extensions of images.
const IMAGES: [&str; 7] = ["png", "jpg", "jpeg", "bmp", "tif", "tiff", "webp"];

/// Whether a folder, or one in it, has the layout.
pub(super) fn has_layout(root: &Path) -> bool {
    let here = |folder: &Path| folder.join("train").join(GOOD).is_dir() || folder.join("test").is_dir();
    here(root) || categories(root).iter().any(|name| here(&root.join(name)))
}

/// Reads every image as a sample: its folder is the defect mode.
pub(super) fn read(run: &mut Run<'_>) -> Result<(), Halt> {
    let inspection = Inspection::of(run.intake.options.schema, Format::Folder, &["defect_mode"])?;
    let root = run.opened.path.clone();
    let mut folders = Vec::new();
    for category in std::iter::once(String::new()).chain(categories(&root).into_iter().map(|name| name + "/")) {
        for part in ["train", "test"] {
            let below = format!("{category}{part}");
            folders.extend(list(&root.join(&below)).into_iter().map(|defect| format!("{below}/{defect}")));
        }
    }
    let mut images = Vec::new();
    for folder in folders {
        let full = root.join(&folder);
        let entries = std::fs::read_dir(&full).map_err(|source| ImportError::Io { path: full, source })?;
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).filter(|name| is_image(Path::new(name))).collect();
        names.sort_unstable();
        images.extend(names.into_iter().map(|name| match name.into_string() {
            Ok(name) => Ok(format!("{folder}/{name}")),
            Err(name) => Err(format!("{folder}/{}", name.to_string_lossy())),
        }));
    }
    run.opened.bytes = images.len() as u64;
    let rows = images.into_iter().map(|image| {
        let name = image.as_ref().unwrap_or_else(|name| name);
        let place = Place::File(root.join(name).display().to_string());
        Ok(Raw { place, size: 1, content: image.map_err(|name| Fault::row("a file name in UTF-8", name)) })
    });
    let root = root.clone();
    run.stream(rows, |intake, image| sample(intake, &root, &image, inspection))
}

fn sample(intake: &Intake<'_>, root: &Path, image: &str, inspection: Inspection<'_>) -> Result<NewSample, Fault> {
    // `category/test/scratch/000.png`, from behind; the category may be missing.
    let mut parts = image.rsplit('/');
    let (file, defect) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let category = parts.nth(1);
    let mut draft = Draft::of_query("file", image);
    draft.image_type = category.filter(|name| intake.options.schema.image_type_named(name).is_some()).map(Into::into);
    inspection.judge(&mut draft.label, "folder", if defect == GOOD { PASSED } else { defect })?;
    if let Some(field) = inspection.area.filter(|_| defect != GOOD) {
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let masks = category.map(|name| format!("{name}/")).unwrap_or_default() + "ground_truth/" + defect;
        let candidates = [format!("{masks}/{stem}_mask.png"), format!("{masks}/{stem}.png")];
        if let Some(mask) = candidates.iter().find(|mask| root.join(mask).is_file()) {
            draft.boxes.extend(mask_box(root, mask)?.map(|sides| (field.id.clone(), "mask", sides)));
        }
    }
    intake.finish(draft)
}

/// The box around what a mask marks, in pixels `[x1, y1, x2, y2]`; none when it marks nothing.
fn mask_box(root: &Path, mask: &str) -> Result<Option<[f64; 4]>, Fault> {
    let path = RelativePath::new(mask).map_err(|error| Fault::id("mask", error))?;
    let picture = imaging::locate(root, &path).and_then(|file| imaging::decode(&file, imaging::Limits::default()));
    let picture = picture.map_err(|error| Fault::new("mask", "a mask that can be read", error))?.into_luma8();
    let marked = picture.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] >= 128).map(|(x, y, _)| [x, y, x + 1, y + 1]);
    let around = marked.reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]);
    Ok(around.map(|sides| sides.map(f64::from)))
}

/// Folders with a layout of their own.
fn categories(root: &Path) -> Vec<String> {
    let parts = |name: &String| root.join(name).join("train").is_dir() || root.join(name).join("test").is_dir();
    list(root).into_iter().filter(parts).collect()
}

/// The folders in a folder that may be part of a path, by name; none when it cannot be read.
fn list(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| RelativePath::new(name.as_str()).is_ok());
    names.sort_unstable();
    names
}

fn is_image(name: &Path) -> bool {
    let extension = name.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    IMAGES.iter().any(|known| extension.eq_ignore_ascii_case(known))
}
