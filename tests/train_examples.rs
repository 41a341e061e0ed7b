//! What training learns from: the same by number, with pictures, answers and places that agree.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use mekiki::config::{self, Language, Project, Template};
use mekiki::conversation::Role;
use mekiki::domain::{Kind, Value};
use mekiki::train::{Boards, BoardsPlan, Classes, Examples, Photometry, Region, Shown};

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
            let (one, other) = (first.images.iter().rev().next().unwrap(), later.images.iter().rev().next().unwrap());
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
    assert!(error.contains("defect_mode") && error.contains("--template pins"), "{error}");
}
