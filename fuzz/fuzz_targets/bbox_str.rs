//! `bbox_str` of the original rows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mekiki::import::parse_bbox_str;

fuzz_target!(|text: &str| {
    if let Ok((mode, area)) = parse_bbox_str(text) {
        assert_eq!(parse_bbox_str(&format!("{mode}{area}")), Ok((mode, area)));
    }
});
