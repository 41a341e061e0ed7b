//! Pixels, texts, tokens and positions, against transformers and Pillow: equal to the last bit.

use mekiki::model::ModelError;
use mekiki::model::processor::{ChatTemplate, Grid};
use mekiki::model::qwen_vl::positions;

use serde_json::json;

use crate::{FAMILIES, Fixture, picture};

/// FNV-1a over the 32-bit words of f32 values, as `make.py` has it.
fn fingerprint(values: &[f32]) -> String {
    let hash = values
        .iter()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, value| (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0000_0100_0000_01B3));
    format!("{hash:016x}")
}

#[test]
fn pixel_values_to_the_last_bit() {
    for family in ["qwen2", "qwen3"] {
        let fixture = Fixture::load(family);
        let pairs = fixture.pixels.as_array().unwrap();
        assert!(pairs.len() >= 30);
        for pair in pairs {
            let [width, height, seed] = [0, 1, 2].map(|at| pair[at].as_u64().unwrap() as u32);
            let (grid, expected): ((usize, usize), String) = serde_json::from_value(json!([pair[3], pair[4]])).unwrap();
            let patches = fixture.processor.images.patches_of_rgb(&picture(width, height, seed)).unwrap();
            assert_eq!((patches.grid.height, patches.grid.width), grid, "{family} {width} x {height}");
            assert_eq!(patches.grid, fixture.processor.images.grid(width, height).unwrap());
            assert_eq!(fingerprint(&patches.values), expected, "{family} {width} x {height}");
        }
    }
}

#[test]
fn texts_tokens_and_positions() {
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        for (name, talk) in &fixture.talks {
            let chat = &fixture.processor.chat;
            assert_eq!(chat.render(&talk.turns, true).unwrap(), talk.reference["text"].as_str().unwrap(), "{family} {name}");
            assert_eq!(chat.render(&talk.turns, false).unwrap(), talk.reference["complete"].as_str().unwrap(), "{family} {name}");
            let grids: Vec<Grid> = fixture.patches(talk).iter().map(|patches| patches.grid).collect();
            assert_eq!(grids, talk.grids());
            let prompt = fixture.processor.prompt(&talk.turns, &grids, true).unwrap();
            assert_eq!(prompt.ids, talk.ids(), "{family} {name}");
            let token = fixture.model.config().image_token;
            for (span, grid) in prompt.images.iter().zip(&grids) {
                assert_eq!(span.len(), grid.patches() / 4);
                assert!(prompt.ids[span.clone()].iter().all(|id| *id == token));
            }
            let expected: Vec<Vec<u32>> = serde_json::from_value(talk.reference["positions"].clone()).unwrap();
            let got = positions(&prompt.ids, token, &grids, 2, 0).unwrap();
            for (axis, expected) in expected.iter().enumerate() {
                assert_eq!(&got.each.iter().map(|position| position[axis]).collect::<Vec<_>>(), expected, "{family} {name}");
            }
            // In two pieces, the second going on where the first ends.
            let split = prompt.images.last().unwrap().start;
            let (before, after) = (grids.len() - 1, grids.len());
            let first = positions(&prompt.ids[..split], token, &grids[..before], 2, 0).unwrap();
            let second = positions(&prompt.ids[split..], token, &grids[before..after], 2, first.next).unwrap();
            assert_eq!([first.each, second.each].concat(), got.each);
            assert_eq!(second.next, got.next);
        }
    }
}

#[test]
fn text_comes_back() {
    let tokens = Fixture::load("qwen3").processor.tokens;
    let text = "- image type->CYLN_DST\n- 欠陥 -> 傷, 27 pcs";
    assert_eq!(tokens.decode(&tokens.encode(text).unwrap()).unwrap(), text);
    let special = tokens.encode("<|im_start|>user").unwrap();
    assert_eq!(special[0], tokens.id("<|im_start|>").unwrap());
    assert!(tokens.count() > special.len());
}

#[test]
fn images_and_placeholders_must_agree() {
    let fixture = Fixture::load("qwen3");
    let (_, talk) = &fixture.talks[0];
    let mut grids = talk.grids();
    grids.pop();
    let short = fixture.processor.prompt(&talk.turns, &grids, true).unwrap_err();
    assert_eq!(short.to_string(), "the prompt does not fit its images: 2 image placeholders for 1 images");
    let ids = talk.ids();
    let token = fixture.model.config().image_token;
    assert!(matches!(positions(&ids, token, &grids, 2, 0), Err(ModelError::Prompt(_))));
    assert!(matches!(positions(&[1, 2], token, &grids, 2, 0), Err(ModelError::Prompt(_))));
    assert!(matches!(positions(&[1, token], token, &grids, 2, 0), Err(ModelError::Prompt(_))));
}

#[test]
fn templates_run_within_limits() {
    let fixture = Fixture::load("qwen3");
    let (_, talk) = &fixture.talks[0];
    let render = |text: &str| ChatTemplate::parse(text, "t.jinja".as_ref()).and_then(|chat| chat.render(&talk.turns, true));
    assert_eq!(render("{{ messages[0].role }}{{ messages[0].content[1].type }}").unwrap(), "userimage");
    assert_eq!(render("{% if tools is defined %}no{% endif %}{{ 'a b'.split(' ')[1] }}").unwrap(), "b");
    for bad in [
        "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% set x = namespace(v='aaaaaaaa') %}{% for i in range(60) %}{% set x.v = x.v ~ x.v %}{% endfor %}{{ x.v | length }}",
        "{{ 'a' * 99999999999 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ raise_exception('no') }}",
        "{{ messages[7].role.name }}",
        "{% include 'other' %}",
    ] {
        assert!(render(bad).is_err(), "{bad}");
    }
    assert!(matches!(ChatTemplate::parse("{% for %}", "t.jinja".as_ref()), Err(ModelError::File { .. })));
}

#[test]
fn without_a_template_the_plain_one_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let (_, talk) = &Fixture::load("qwen3").talks[1];
    let text = ChatTemplate::load(dir.path()).unwrap().render(&talk.turns, true).unwrap();
    let image = "<|vision_start|><|image_pad|><|vision_end|>";
    assert!(text.starts_with(&format!("<|im_start|>user\nWhere is the star? {image}<|im_end|>\n<|im_start|>assistant\n")), "{text}");
    assert!(text.ends_with(&format!("{image}{image}<|im_end|>\n<|im_start|>assistant\n")), "{text}");
}
