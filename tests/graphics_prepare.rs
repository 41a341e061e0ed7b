//! From files to pictures: what workers do.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use image::{Rgb, RgbImage};
use mekiki::graphics::{
    Adjust, CellSize, Colours, Content, Depth, Limits, Look, PrepareError, Protocol, Request, Source, Target, ThumbnailCache, View,
    Workshop, Zoom, prepare,
};

fn request(content: Content) -> Request {
    let cell = CellSize::new(9, 18).unwrap();
    let target = Target {
        protocol: Protocol::KittyPlaceholders,
        cell,
        background: [0; 3],
        depth: Depth::True,
        tmux: false,
        colours: Colours::Palette,
        registers: 256,
    };
    Request { content, look: Look::default(), room: (20, 10), target, thumbnail: false }
}

fn source(folder: &Path, name: &str, seed: u32) -> Source {
    let path = folder.join(name);
    RgbImage::from_fn(600, 300, |x, y| Rgb([(x / 3) as u8, (y / 2) as u8, ((x ^ y) + seed) as u8])).save(&path).unwrap();
    Source { path, content: None }
}

fn workshop() -> Workshop {
    Workshop::new(Limits::default(), None, 8 << 20, 8 << 20)
}

#[test]
fn a_picture_is_made_once_and_shared_by_panes_of_one_size() {
    let dir = tempfile::tempdir().unwrap();
    let shop = workshop();
    let mut wanted = request(Content::Image(source(dir.path(), "a.png", 0)));
    assert_eq!(shop.ready(&wanted), None);
    let made = prepare(&shop, &wanted, &|| false).unwrap();
    assert_eq!((made.picture.cells(), made.frame.size), ((20, 5), (180, 90)));
    // The hash is known now: it is found without the file.
    let Content::Image(file) = &mut wanted.content else { unreachable!() };
    file.content = Some(made.content);
    std::fs::remove_file(&file.path).unwrap();
    assert!(Arc::ptr_eq(&shop.ready(&wanted).unwrap().picture, &made.picture));
    // Another look is made from the decoded picture.
    wanted.look = Look {
        view: View { zoom: Zoom::Percent(200), centre: (0.1, 0.5) },
        adjust: Adjust { brightness: 9, contrast: 9 },
        overlays: vec![],
    };
    let close = prepare(&shop, &wanted, &|| false).unwrap();
    assert_eq!((close.picture.cells(), close.frame.part), ((20, 10), (15, 105, 90, 90)));
    assert_ne!(close.picture.key(), made.picture.key());
    shop.clear();
    assert_eq!(shop.ready(&wanted), None);
}

#[test]
fn cells_and_places_of_the_image_correspond() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = request(Content::Image(source(dir.path(), "a.png", 0)));
    let made = prepare(&workshop(), &wanted, &|| false).unwrap();
    let (x, y) = made.share_at((10.0, 2.5)).unwrap();
    assert!((x - 0.5).abs() < 0.01 && (y - 0.5).abs() < 0.01);
    let (column, row) = made.cell_of((0.25, 0.75));
    assert!((column - 5.0).abs() < 0.1 && (row - 3.75).abs() < 0.1);
    assert_eq!(made.share_at((25.0, 2.0)), None);
}

#[test]
fn a_changed_file_is_told_by_its_hash_and_a_broken_one_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let shop = workshop();
    let mut file = source(dir.path(), "a.png", 0);
    let first = prepare(&shop, &request(Content::Image(file.clone())), &|| false).unwrap();
    file.content = Some(mekiki::imaging::hash_bytes(b"what it was long ago"));
    let now = prepare(&shop, &request(Content::Image(file.clone())), &|| false).unwrap();
    assert_eq!((now.content, &now.picture), (first.content, &first.picture));
    std::fs::write(&file.path, b"no picture").unwrap();
    let error = prepare(&shop, &request(Content::Image(Source { content: None, ..file.clone() })), &|| false).unwrap_err();
    assert!(matches!(error, PrepareError::Image(_)) && error.to_string().contains("a.png"));
    let small = Workshop::new(Limits { side: 100, bytes: 5 }, None, 0, 0);
    assert!(
        prepare(&small, &request(Content::Image(Source { content: None, ..file })), &|| false).unwrap_err().to_string().contains("a.png")
    );
}

#[test]
fn differences_and_thumbnails() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Workshop::new(Limits::default(), Some(ThumbnailCache::new(dir.path().join("cache"), 1 << 20)), 8 << 20, 8 << 20);
    let (query, reference) = (source(dir.path(), "a.png", 0), source(dir.path(), "b.png", 40));
    let both = Content::Difference { query: query.clone(), reference, amplify: 2.0 };
    let apart = prepare(&shop, &request(both), &|| false).unwrap();
    assert!(apart.reference.is_some_and(|reference| reference != apart.content));
    let mut wanted = request(Content::Image(query));
    wanted.thumbnail = true;
    let made = prepare(&shop, &wanted, &|| false).unwrap();
    assert_eq!(made.frame.image, (256, 128));
    // Another run finds it on disk.
    let Content::Image(file) = &mut wanted.content else { unreachable!() };
    file.content = Some(made.content);
    std::fs::remove_file(&file.path).unwrap();
    let again = Workshop::new(Limits::default(), Some(ThumbnailCache::new(dir.path().join("cache"), 1 << 20)), 0, 0);
    assert_eq!(prepare(&again, &wanted, &|| false).unwrap().frame, made.frame);
}

#[test]
fn it_stops_between_steps_and_goes_to_other_threads() {
    fn sendable<T: Send + Sync>() {}
    sendable::<Workshop>();
    sendable::<mekiki::graphics::Prepared>();
    sendable::<Request>();
    let dir = tempfile::tempdir().unwrap();
    let wanted = request(Content::Image(source(dir.path(), "a.png", 0)));
    for steps in 0..3 {
        let left = Cell::new(steps);
        let cancelled = || left.replace(left.get().max(1) - 1) == 0;
        assert!(matches!(prepare(&workshop(), &wanted, &cancelled), Err(PrepareError::Cancelled)), "{steps}");
    }
    assert!(prepare(&workshop(), &wanted, &|| false).is_ok());
}
