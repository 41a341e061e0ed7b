//! What training learns from: the same by number, with pictures, answers and places that agree.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use image::{Rgb, RgbImage};
use mekiki::config::{self, Language, Project, Template};
use mekiki::conversation::{Role, SamplingPlan};
use mekiki::domain::{
    ApprovedSample, ImageHashes, ImageRef, Kind, Label, Provenance, RelativePath, ReviewerName, Sample, SampleId, SampleOrigin, Symmetries,
    Value, approve,
};
use mekiki::imaging::{hash_file, locate};
use mekiki::train::{
    Approved, ApprovedPlan, Boards, BoardsPlan, Circuits, CircuitsPlan, Classes, Examples, Locate, Photometry, Region, Shown,
};

fn project(template: Template) -> Project {
    config::parse(&template.text("test", Language::En), Path::new("mekiki.toml"), Path::new("/p")).unwrap()
}

fn boards(change: impl FnOnce(&mut BoardsPlan)) -> Boards {
    let mut plan = BoardsPlan { width: 112, pool: 3, ..BoardsPlan::default() };
    change(&mut plan);
    Boards::new(plan, project(Template::Pins).recipe).unwrap()
}

#[test]
fn an_example_is_named_by_its_number() {
    let (one, other) = (boards(|_| ()), boards(|_| ()));
    for nth in [0, 7, 4096, 1 << 40] {
        let (a, b) = (one.example(nth).unwrap(), other.example(nth).unwrap());
        assert_eq!(a.conversation, b.conversation);
        assert_eq!(a.regions, b.regions);
        assert!(a.images.iter().zip(&b.images).all(|(a, b)| a.hash == b.hash && a.image == b.image));
    }
    assert_ne!(one.example(1).unwrap().images[0].hash, boards(|plan| plan.seed = 2).example(1).unwrap().images[0].hash);
}

#[test]
fn answers_regions_and_kinds_agree_with_the_boards() {
    let boards = boards(|plan| plan.one_shot = 0.5);
    let recipe = project(Template::Pins).recipe;
    let (classes, position) = (Classes::of(&recipe.schema), recipe.schema.field_named("position").unwrap());
    let mut shots = [0; 2];
    for nth in 0..60 {
        let example = boards.example(nth).unwrap();
        let one_shot = example.conversation.kind == Kind::OneShot;
        shots[usize::from(one_shot)] += 1;
        assert_eq!(example.conversation.turns.len(), if one_shot { 4 } else { 2 });
        assert_eq!(example.images.len(), if one_shot { 3 } else { 2 });
        let last = example.conversation.turns.last().unwrap();
        assert_eq!(last.role, Role::Assistant);
        let said = recipe.answer.parse(&last.text());
        assert!(said.problems.is_empty());
        let regions = example.regions.unwrap();
        let class = classes.of_label(&said.label);
        assert_eq!(regions.iter().map(|region| region.class).collect::<Vec<_>>(), class.into_iter().collect::<Vec<_>>());
        if let (Some(region), Some(Value::Address(Some(address)))) = (regions.first(), said.label.get(&position.id)) {
            let [x1, y1, x2, y2] = region.area;
            assert!(x1 < x2 && y1 < y2 && x1 >= 0.0 && y2 <= 1.0);
            // Nine columns of pins stand between about 0.15 and 0.9 of the width, three rows between 0.24 and 0.78.
            let (x, y) = (f32::midpoint(x1, x2), f32::midpoint(y1, y2));
            assert!((x - (0.143 + f32::from(address.column) * 0.095)).abs() < 0.08, "{address:?} {x}");
            assert!((y - (0.24 + f32::from(address.row) * 0.268)).abs() < 0.14, "{address:?} {y}");
        }
    }
    assert!(shots.iter().all(|count| *count > 15), "{shots:?}");
}

#[test]
fn references_are_shared_for_a_while_and_then_others() {
    let boards = boards(|plan| (plan.renewed, plan.one_shot) = (50, 0.0));
    let references = |from: u64| (from..from + 50).map(|nth| boards.example(nth).unwrap().images[0].hash).collect::<BTreeSet<_>>();
    let (first, second) = (references(0), references(50));
    assert_eq!((first.len(), second.len()), (6, 6));
    assert!(first.is_disjoint(&second));
    assert_eq!(first, references(0));
}

#[test]
fn kept_boards_come_back_moved_with_their_defects() {
    let kept = boards(|plan| (plan.kept, plan.width, plan.photometry) = (4, 448, Photometry::NONE));
    let (mut moved, mut held) = (0, 0);
    for nth in 0..4 {
        let (first, later) = (kept.example(nth).unwrap(), kept.example(nth + 4 * 9).unwrap());
        assert_eq!(first.conversation.turns.last().unwrap().text(), later.conversation.turns.last().unwrap().text());
        if let ([first_region], [later_region]) = (first.regions.unwrap().as_slice(), later.regions.unwrap().as_slice()) {
            let cut = |shown: &Shown, region: &Region| {
                let [x1, y1, x2, y2] = region.area;
                let (x, y) = ((x1 * 448.0).round() as u32, (y1 * 192.0).round() as u32);
                let size = (((x2 - x1) * 448.0).round() as u32, ((y2 - y1) * 192.0).round() as u32);
                image::imageops::crop_imm(&shown.image, x, y, size.0, size.1).to_image()
            };
            let (one, other) = (first.images.last().unwrap(), later.images.last().unwrap());
            assert_eq!(cut(one, first_region), cut(other, later_region));
            moved += usize::from(first_region.area != later_region.area);
            held += 1;
        }
    }
    assert!(held > 0 && moved > 0);
}

#[test]
fn a_schema_without_words_for_boards_is_refused() {
    let error = Boards::new(BoardsPlan::default(), project(Template::Pcb).recipe).err().unwrap().to_string();
    assert!(error.contains("defect_mode") && error.contains("pins"), "{error}");
}

/// Writes a picture and names it.
fn write(dir: &Path, name: &str, image: &RgbImage) -> ImageRef {
    image.save(dir.join(name)).unwrap();
    ImageRef { folder: 0, path: RelativePath::new(name).unwrap() }
}

/// An approved sample with this label.
fn approved(
    project: &Project,
    dir: &Path,
    id: &str,
    query: ImageRef,
    reference: Option<ImageRef>,
    texts: &[(&str, &str)],
) -> ApprovedSample {
    let (label, problems) = Label::from_texts(project.schema(), texts.iter().copied());
    assert!(problems.is_empty());
    let hash = |image: &ImageRef| hash_file(&dir.join(image.path.as_str())).unwrap();
    let images = ImageHashes { query: hash(&query), reference: reference.as_ref().map(hash) };
    let sample = Sample {
        id: SampleId::new(id).unwrap(),
        ordinal: 0,
        image_type: project.schema().image_types()[0].clone(),
        query,
        reference,
        group: "board".to_owned(),
        origin: SampleOrigin::Imported,
        imported: Label::default(),
    };
    let reviewer = ReviewerName::new("r").unwrap();
    let provenance = Provenance { operation: "1".to_owned(), reviewer, time_ms: 0, images, origins: Vec::new() };
    approve(project.schema(), sample, label, provenance).unwrap()
}

fn source(project: &Project, dir: &Path, samples: Vec<ApprovedSample>, plan: ApprovedPlan) -> Approved {
    let dir = dir.to_owned();
    let find = Box::new(move |image: &ImageRef| locate(&dir, &image.path));
    Approved::new(plan, samples, &project.recipe, project.corners.clone(), find).unwrap()
}

/// A grey picture with a red mark.
fn marked(size: (u32, u32), [x1, y1, x2, y2]: [u32; 4]) -> RgbImage {
    RgbImage::from_fn(size.0, size.1, |x, y| if (x1..x2).contains(&x) && (y1..y2).contains(&y) { Rgb([255, 0, 0]) } else { Rgb([90; 3]) })
}

/// `[x1, y1, x2, y2]` of the red mark, as shares of the sides.
fn mark(image: &RgbImage) -> [f32; 4] {
    let red: Vec<(u32, u32)> = image.enumerate_pixels().filter(|(_, _, p)| p.0[0] > 180 && p.0[1] < 80).map(|(x, y, _)| (x, y)).collect();
    let side = |values: &mut dyn Iterator<Item = u32>, side: u32| {
        let values: Vec<u32> = values.collect();
        (*values.iter().min().unwrap() as f32 / side as f32, (*values.iter().max().unwrap() + 1) as f32 / side as f32)
    };
    let (x, y) = (side(&mut red.iter().map(|p| p.0), image.width()), side(&mut red.iter().map(|p| p.1), image.height()));
    [x.0, y.0, x.1, y.1]
}

fn close(a: [f32; 4], b: [f32; 4], by: f32) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= by)
}

#[test]
fn places_follow_the_pixels_under_every_symmetry_and_shift() {
    let dir = tempfile::tempdir().unwrap();
    let project = project(Template::Pcb);
    assert_eq!(project.train.symmetries, Symmetries::Square);
    let (query, reference) = (marked((96, 96), [54, 8, 71, 20]), marked((96, 96), [40, 70, 44, 90]));
    let (query, reference) = (write(dir.path(), "q.png", &query), write(dir.path(), "r.png", &reference));
    // The box's middle lies in the upper row, and by one and a half pixels not yet in the right column.
    let texts = [("judgement", "defective"), ("defect_mode", "spur"), ("position", "U2"), ("bbox", "<loc0085><loc0576><loc0213><loc0757>")];
    let sample = approved(&project, dir.path(), "a", query, Some(reference), &texts);
    let plan = ApprovedPlan {
        symmetries: Symmetries::Square,
        shift: 0.05,
        photometry: Photometry::NONE,
        kinds: SamplingPlan::All(Kind::ZeroShot),
        ..ApprovedPlan::default()
    };
    let examples = source(&project, dir.path(), vec![sample], plan);
    assert_eq!(examples.classes(), ["open", "short", "mousebite", "spur", "copper", "pin-hole"]);
    let grid_cell = |x: f32, y: f32| format!("{}{}", ["U", "C", "D"][(y * 3.0) as usize], (x * 3.0) as usize + 1);
    let (mut seen, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for nth in 0..80 {
        let example = examples.example(nth).unwrap();
        let [region] = example.regions.as_deref().unwrap() else { panic!() };
        let found = mark(&example.images[1].image);
        assert_eq!(region.class, 3);
        assert!(close(region.area, found, 0.002), "{:?} {found:?}", region.area);
        // What is said of the position and the box is where the mark is.
        let said = project.recipe.answer.parse(&example.conversation.turns[1].text()).label;
        let text: BTreeMap<String, String> = said.texts(project.schema()).map(|(id, text)| (id.to_string(), text)).collect();
        assert_eq!(text["position"], grid_cell(f32::midpoint(found[0], found[2]), f32::midpoint(found[1], found[3])));
        let Some(Value::Box(Some(area))) = said.get(&project.schema().field_named("bbox").unwrap().id) else { panic!() };
        let [x1, y1, x2, y2] = area.to_pixels(96, 96).map(|side| side as f32 / 96.0);
        assert!(close([x1, y1, x2, y2], found, 0.004), "{area} {found:?}");
        // The reference went the same way: its mark is where it was beside the query's.
        let beside = mark(&example.images[0].image);
        let distance = |axis: usize| (beside[axis] + beside[axis + 2] - found[axis] - found[axis + 2]).abs() / 2.0;
        let distances = [distance(0), distance(1)];
        assert!(close(
            [distances[0].min(distances[1]), distances[0].max(distances[1]), 0.0, 0.0],
            [20.5 / 96.0, 66.0 / 96.0, 0.0, 0.0],
            0.001
        ));
        seen.insert(example.images[1].hash);
        addresses.insert(text["position"].clone());
    }
    assert!(seen.len() > 50, "{}", seen.len());
    assert!(addresses.len() > 5, "{addresses:?}");
}

#[test]
fn a_cell_serves_where_no_box_is_known_and_good_products_have_no_region() {
    let dir = tempfile::tempdir().unwrap();
    let project = project(Template::Pcb);
    let plan = || ApprovedPlan {
        symmetries: Symmetries::Square,
        kinds: SamplingPlan::All(Kind::ZeroShot),
        ..ApprovedPlan::plain(SamplingPlan::Both)
    };
    let picture = |name: &str, image: RgbImage| write(dir.path(), name, &image);
    let texts = [("judgement", "defective"), ("defect_mode", "open"), ("position", "D1")];
    let bad = approved(
        &project,
        dir.path(),
        "bad",
        picture("q.png", marked((60, 60), [0, 40, 20, 60])),
        Some(picture("r.png", RgbImage::new(60, 60))),
        &texts,
    );
    let examples = source(&project, dir.path(), vec![bad], plan());
    for nth in 0..24 {
        let example = examples.example(nth).unwrap();
        assert!(close(example.regions.unwrap()[0].area, mark(&example.images[1].image), 0.001));
    }
    let texts = [("judgement", "passed"), ("defect_mode", "passed"), ("position", "none"), ("bbox", "none")];
    let good = approved(
        &project,
        dir.path(),
        "good",
        picture("g.png", RgbImage::new(60, 60)),
        Some(picture("s.png", RgbImage::new(60, 60))),
        &texts,
    );
    let example = source(&project, dir.path(), vec![good], plan()).example(3).unwrap();
    assert_eq!(example.regions, Some(Vec::new()));
}

#[test]
fn images_that_changed_and_missing_samples_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let project = project(Template::Pcb);
    let query = write(dir.path(), "q.png", &RgbImage::new(40, 40));
    let reference = write(dir.path(), "r.png", &RgbImage::new(40, 40));
    let texts = [("judgement", "passed"), ("defect_mode", "passed"), ("position", "none")];
    let sample = approved(&project, dir.path(), "a", query, Some(reference), &texts);
    write(dir.path(), "r.png", &marked((40, 40), [1, 1, 3, 3]));
    let examples = source(&project, dir.path(), vec![sample], ApprovedPlan::plain(SamplingPlan::All(Kind::ZeroShot)));
    let error = examples.example(0).unwrap_err().to_string();
    assert!(error.contains("r.png") && error.contains("changed"), "{error}");
    let none = Approved::new(ApprovedPlan::default(), Vec::new(), &project.recipe, BTreeMap::new(), Box::new(|_| unreachable!()));
    assert!(none.err().unwrap().to_string().contains("approve"));
}

fn pictures(dir: &Path) -> Locate {
    let dir = dir.to_owned();
    Box::new(move |image: &ImageRef| locate(&dir, &image.path))
}

#[test]
fn circuits_are_named_by_their_number_and_their_answers_tell_what_was_drawn() {
    let recipe = || project(Template::Pcb).recipe;
    let plan = || CircuitsPlan { one_shot: 0.0, side: 96, ..CircuitsPlan::default() };
    let drawn = Circuits::drawn(plan(), recipe(), Box::new(|_| unreachable!())).unwrap();
    let schema = recipe().schema;
    let (position, area) = (schema.field_named("position").unwrap(), schema.field_named("bbox").unwrap());
    let mut defective = 0;
    for nth in 0..24 {
        let example = drawn.example(nth).unwrap();
        let said = recipe().answer.parse(&example.conversation.turns.last().unwrap().text());
        assert!(said.problems.is_empty());
        assert_eq!(schema.broken(&said.label).count(), 0);
        let regions = example.regions.unwrap();
        assert_eq!(regions.first().map(|region| region.class), Classes::of(&schema).of_label(&said.label));
        if let [region] = regions.as_slice() {
            let Some(Value::Box(Some(found))) = said.label.get(&area.id) else { panic!() };
            let [x1, y1, x2, y2] = found.to_pixels(1, 1).map(|side| side as f32);
            assert!(close(region.area, [x1, y1, x2, y2], 0.002));
            let (x, y) = (f32::midpoint(x1, x2) * 3.0, f32::midpoint(y1, y2) * 3.0);
            let cell = format!("{}{}", ["U", "C", "D"][y as usize], x as usize + 1);
            assert_eq!(position.render(said.label.get(&position.id).unwrap()), cell);
            defective += 1;
        }
        let again = drawn.example(nth).unwrap();
        assert!(example.images.iter().zip(&again.images).all(|(a, b)| a.hash == b.hash));
    }
    assert!((12..24).contains(&defective), "{defective}");
    assert!(Circuits::drawn(plan(), project(Template::Pins).recipe, Box::new(|_| unreachable!())).is_err());
}

#[test]
fn defects_on_real_pairs_replace_the_real_ones() {
    let dir = tempfile::tempdir().unwrap();
    let project = project(Template::Pcb);
    // Conductors; the query has a blot of copper between them.
    let conductors = |x: u32| [20..30, 60..70, 90..100].iter().any(|columns| columns.contains(&x));
    let reference = RgbImage::from_fn(120, 120, |x, _| if conductors(x) { Rgb([0; 3]) } else { Rgb([255; 3]) });
    let mut query = reference.clone();
    (40..48).for_each(|x| (50..58).for_each(|y| query.put_pixel(x, y, Rgb([0; 3]))));
    let (query, reference) = (write(dir.path(), "q.png", &query), write(dir.path(), "r.png", &reference));
    let texts =
        [("judgement", "defective"), ("defect_mode", "copper"), ("position", "C2"), ("bbox", "<loc0341><loc0256><loc0580><loc0495>")];
    let sample = approved(&project, dir.path(), "a", query, Some(reference), &texts);
    let plan = CircuitsPlan { defective: 0.0, one_shot: 0.0, shift: 0.0, ..CircuitsPlan::default() };
    let good = Circuits::on(plan.clone(), project.recipe.clone(), vec![sample.clone()], pictures(dir.path())).unwrap();
    let differing = |a: &RgbImage, b: &RgbImage| a.pixels().zip(b.pixels()).filter(|(a, b)| a != b).count();
    let mut same = 0;
    for nth in 0..12 {
        let example = good.example(nth).unwrap();
        assert_eq!(example.regions, Some(Vec::new()));
        same += usize::from(differing(&example.images[0].image, &example.images[1].image) == 0);
    }
    // The blot is gone from all of them; made second pictures differ at their edges.
    assert!(same >= 4, "{same}");
    let bad = Circuits::on(CircuitsPlan { defective: 1.0, ..plan }, project.recipe.clone(), vec![sample], pictures(dir.path())).unwrap();
    let spoilt = (0..12).filter(|nth| bad.example(*nth).unwrap().regions.unwrap().len() == 1).count();
    assert!(spoilt >= 9, "{spoilt}");
    assert!(Circuits::on(CircuitsPlan::default(), project.recipe.clone(), Vec::new(), pictures(dir.path())).is_err());
}
