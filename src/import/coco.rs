//! COCO JSON: images, annotations with `bbox` as `[x, y, width, height]` in pixels, categories.

use std::collections::HashMap;

use serde::Deserialize;

use super::cell::Cell;
use super::inspection::{Inspection, PASSED};
use super::intake::{Draft, Fault, Intake};
use super::run::{Halt, Place, Raw, Run};
use super::{Format, NewSample};

/// What is read of a document; polygons and the rest are passed over.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    images: Vec<Image<'a>>,
    #[serde(borrow, default)]
    annotations: Vec<Annotation<'a>>,
    #[serde(borrow, default)]
    categories: Vec<Category<'a>>,
}

#[derive(Deserialize)]
struct Image<'a> {
    #[serde(borrow, default)]
    id: Cell<'a>,
    #[serde(borrow, default)]
    file_name: Cell<'a>,
}

#[derive(Deserialize)]
struct Annotation<'a> {
    #[serde(borrow, default)]
    image_id: Cell<'a>,
    #[serde(borrow, default)]
    category_id: Cell<'a>,
    #[serde(borrow, default)]
    bbox: Cell<'a>,
}

#[derive(Deserialize)]
struct Category<'a> {
    #[serde(borrow, default)]
    id: Cell<'a>,
    #[serde(borrow, default)]
    name: Cell<'a>,
}

/// Reads every image as a sample: its largest annotation is the defect, and without one it is good.
pub(super) fn read(run: &mut Run<'_>) -> Result<(), Halt> {
    let inspection = Inspection::of(run.intake.options.schema, Format::Coco, &["defect_mode"])?;
    let text = run.document()?;
    let document: Document<'_> =
        serde_json::from_str(&text).map_err(|error| run.broken("COCO JSON with images, annotations and categories", error))?;
    let categories: HashMap<String, &Cell<'_>> =
        document.categories.iter().filter_map(|category| Some((category.id.text()?.into_owned(), &category.name))).collect();
    let mut annotations: HashMap<String, (usize, &Annotation<'_>)> = HashMap::new();
    for (index, annotation) in document.annotations.iter().enumerate() {
        let Some(image) = annotation.image_id.text() else { continue };
        let known = annotations.entry(image.into_owned()).or_insert((index, annotation));
        // Of two as large the first stays.
        if area(annotation) > area(known.1) {
            *known = (index, annotation);
        }
    }
    let size = text.len() as u64 / (document.images.len() as u64).max(1);
    let rows = document.images.iter().enumerate().map(|(index, image)| {
        let place = Place::Part(format!("images[{index}]"));
        Ok(Raw { place, size, content: Ok(image) })
    });
    run.stream(rows, |intake, image| sample(intake, image, &annotations, &categories, inspection))
}

fn sample(
    intake: &Intake<'_>,
    image: &Image<'_>,
    annotations: &HashMap<String, (usize, &Annotation<'_>)>,
    categories: &HashMap<String, &Cell<'_>>,
    inspection: Inspection<'_>,
) -> Result<NewSample, Fault> {
    let path = match &image.file_name {
        Cell::Text(path) => path.as_ref(),
        other => return Err(Fault::new("file_name", "the path of an image", other)),
    };
    let id = image.id.text().ok_or_else(|| Fault::new("id", "a number or text", &image.id))?;
    let mut draft = Draft::of_query("file_name", path);
    match annotations.get(id.as_ref()) {
        None => inspection.judge(&mut draft.label, "category_id", PASSED)?,
        Some((index, annotation)) => {
            let fault =
                |column: &str, expected: &str, cell: &Cell<'_>| Fault::new(&format!("annotations[{index}].{column}"), expected, cell);
            let category = annotation.category_id.text().and_then(|id| categories.get(id.as_ref())).and_then(|name| name.text());
            let category = category.ok_or_else(|| fault("category_id", "the id of a category with a name", &annotation.category_id))?;
            inspection.judge(&mut draft.label, "category_id", &category)?;
            match (annotation.bbox.four(), &annotation.bbox) {
                (Some([x, y, w, h]), _) => inspection.locate_pixels(&mut draft, "bbox", [x, y, x + w, y + h]),
                (None, Cell::Null) => {}
                (None, other) => return Err(fault("bbox", "[x, y, width, height] in pixels", other)),
            }
        }
    }
    intake.finish(draft)
}

/// The size of an annotation's box in square pixels; less than any when it has none.
fn area(annotation: &Annotation<'_>) -> f64 {
    annotation.bbox.four().map_or(-1.0, |[_, _, w, h]| w * h)
}
