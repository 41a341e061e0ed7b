//! What the boards room promises.

use image::RgbImage;
use mekiki::boards::{Board, BoardMix, BoardSpec, BoardType, COLUMNS, DefectMode, ROWS, draw, pin_centre, star};
use mekiki::domain::Address;

fn good(seed: u64, board_type: BoardType) -> BoardSpec {
    BoardSpec { seed, board_type, defect: None, star: None, width: 448 }
}

fn addresses() -> impl Iterator<Item = Address> {
    (0..ROWS as u8).flat_map(|row| (0..COLUMNS as u8).map(move |column| Address { row, column }))
}

fn centre(board: &Board, address: Address) -> [f32; 2] {
    pin_centre(&board.corners, ROWS, COLUMNS, address)
}

/// The pixels in which two pictures of one size differ, and by how much in all channels.
fn changes(one: &RgbImage, other: &RgbImage) -> Vec<(u32, u32, u32)> {
    let row = one.width() as usize * 3;
    let rows = one.as_raw().chunks(row).zip(other.as_raw().chunks(row)).enumerate().filter(|(_, (one, other))| one != other);
    rows.flat_map(|(y, (one, other))| {
        let pixels = one.chunks(3).zip(other.chunks(3)).enumerate().filter(|(_, (one, other))| one != other);
        pixels.map(move |(x, (one, other))| (x as u32, y as u32, one.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(*b))).sum()))
    })
    .collect()
}

#[test]
fn the_same_spec_gives_the_same_bytes() {
    for index in 0..12 {
        let spec = BoardSpec::random(3, index, &BoardMix { modes: &DefectMode::ALL, defective: 0.6, width: 448 });
        assert_eq!(draw(&spec).image, draw(&spec).image);
    }
    assert_ne!(draw(&good(1, BoardType::CylnDst)).image, draw(&good(2, BoardType::CylnDst)).image);
}

#[test]
fn a_picture_has_the_size_asked_for() {
    for (width, height) in [(448, 192), (896, 384), (224, 96)] {
        let board = draw(&BoardSpec { width, ..good(5, BoardType::CylnRaw) });
        assert_eq!(board.image.dimensions(), (width, height));
    }
}

#[test]
fn a_larger_picture_has_more_detail_than_an_enlarged_one() {
    let sharpness = |image: &RgbImage| -> f64 {
        let (width, height) = image.dimensions();
        let step = |x: u32, y: u32| f64::from(image.get_pixel(x, y).0[1]) - f64::from(image.get_pixel(x + 1, y).0[1]);
        (0..height).flat_map(|y| (0..width - 1).map(move |x| (x, y))).map(|(x, y)| step(x, y).powi(2)).sum()
    };
    for board_type in BoardType::ALL {
        let small = draw(&good(9, board_type)).image;
        let enlarged = image::imageops::resize(&small, 896, 384, image::imageops::FilterType::CatmullRom);
        let large = draw(&BoardSpec { width: 896, ..good(9, board_type) }).image;
        assert!(sharpness(&large) > 1.2 * sharpness(&enlarged), "{board_type:?}");
    }
}

#[test]
fn all_pins_lie_inside_the_picture() {
    for seed in 0..15 {
        for board_type in BoardType::ALL {
            let board = draw(&good(seed, board_type));
            for address in addresses() {
                let [x, y] = centre(&board, address);
                assert!((14.0..434.0).contains(&x) && (14.0..178.0).contains(&y), "{seed} {board_type:?} {address:?} {x} {y}");
            }
        }
    }
}

/// Every mode at every address, the types in turn; each address has a seed of its own.
#[test]
fn a_defect_changes_its_pin_visibly_and_nothing_else() {
    let specs: Vec<(Address, BoardSpec)> =
        addresses().enumerate().map(|(place, address)| (address, good(place as u64 * 7, BoardType::ALL[place % 2]))).collect();
    let without: Vec<Board> = specs.iter().map(|(_, spec)| draw(spec)).collect();
    for mode in DefectMode::ALL {
        let mut least = f64::MAX;
        for ((address, spec), without) in specs.iter().zip(&without) {
            let with = draw(&BoardSpec { defect: Some((mode, *address)), ..*spec });
            assert_eq!(without.corners, with.corners);
            let [cx, cy] = centre(without, *address);
            let mut inside = 0;
            for (x, y, change) in changes(&without.image, &with.image) {
                let (dx, dy) = (x as f32 - cx, y as f32 - cy);
                assert!(dx.abs() <= 64.0 && (-48.0..70.0).contains(&dy), "{mode:?} {address:?} changes {x} {y}");
                if dx.abs() < 17.0 && (-17.0..27.0).contains(&dy) {
                    inside += change;
                }
            }
            least = least.min(f64::from(inside) / (34.0 * 44.0 * 3.0));
            let [x1, y1, x2, y2] = with.defect_box.unwrap_or_else(|| panic!("{mode:?} {address:?} has no box"));
            assert!(x1 < x2 && y1 < y2 && x2 - x1 <= 56.0 && y2 - y1 <= 60.0, "{mode:?} {:?}", with.defect_box);
            assert!(cx > x1 - 16.0 && cx < x2 + 16.0 && cy > y1 - 36.0 && cy < y2 + 16.0, "{mode:?} {:?}", with.defect_box);
        }
        assert!(least > 0.8, "{mode:?}: a mean change of {least:.2} of 255 is too little to see");
    }
}

#[test]
fn good_boards_have_no_box() {
    assert_eq!(draw(&good(4, BoardType::CylnDst)).defect_box, None);
}

#[test]
fn a_star_is_red_at_its_address_and_only_there() {
    for (place, address) in addresses().enumerate() {
        let spec = good(place as u64, BoardType::ALL[place % 2]);
        let board = draw(&BoardSpec { star: Some(address), ..spec });
        let [x, y] = centre(&board, address);
        let [red, green, blue] = board.image.get_pixel(x as u32, y as u32).0;
        assert!(red > 200 && green < 60 && blue < 60, "{address:?} {red} {green} {blue}");
        for (px, py, _) in changes(&draw(&spec).image, &board.image) {
            assert!((px as f32 - x).hypot(py as f32 - y) <= 20.0, "{address:?} changes {px} {py}");
        }
    }
}

#[test]
fn a_star_can_be_drawn_on_any_photograph() {
    let mut photograph = RgbImage::from_pixel(64, 64, image::Rgb([90, 90, 90]));
    star(&mut photograph, [32.0, 32.0], 12.0);
    assert!(photograph.get_pixel(32, 32).0[0] > 200);
    assert_eq!(photograph.get_pixel(2, 2).0, [90, 90, 90]);
}

#[test]
fn random_specs_cover_types_modes_and_addresses_evenly() {
    let modes = &DefectMode::ALL[..8];
    let mix = BoardMix { modes, defective: 0.6, width: 448 };
    let specs: Vec<BoardSpec> = (0..8000).map(|index| BoardSpec::random(11, index, &mix)).collect();
    let share = |count: usize| count as f64 / specs.len() as f64;
    let defects: Vec<_> = specs.iter().filter_map(|spec| spec.defect).collect();
    assert!((share(defects.len()) - 0.6).abs() < 0.03);
    assert!((share(specs.iter().filter(|spec| spec.board_type == BoardType::CylnDst).count()) - 0.5).abs() < 0.03);
    for mode in modes {
        assert!((share(defects.iter().filter(|(other, _)| other == mode).count()) - 0.6 / 8.0).abs() < 0.02);
    }
    for address in addresses() {
        assert!((share(defects.iter().filter(|(_, other)| *other == address).count()) - 0.6 / 27.0).abs() < 0.01);
    }
    assert!(defects.iter().all(|(mode, _)| *mode != DefectMode::Crack));
    assert_eq!(BoardSpec::random(11, 5, &mix), specs[5]);
    assert!((0..50).all(|index| BoardSpec::random(1, index, &BoardMix { modes: &[], ..mix }).defect.is_none()));
}

#[test]
fn ids_lead_back() {
    assert!(DefectMode::ALL.into_iter().all(|mode| DefectMode::from_id(mode.id()) == Some(mode)));
    assert!(BoardType::ALL.into_iter().all(|board_type| BoardType::from_id(board_type.id()) == Some(board_type)));
    assert_eq!(DefectMode::from_id("passed"), None);
}
