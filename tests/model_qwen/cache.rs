//! Reading in pieces gives what reading at once gives.

use mekiki::model::ModelError;
use mekiki::model::qwen_vl::{Run, Segment};

use crate::{FAMILIES, Fixture, Talk, difference};

/// Equal but for the last bits: other shapes are summed in another order.
const NEAR: f32 = 2e-5;

/// The conversation in pieces: up to the last image, that image with what follows, but for the last `tail` tokens, and
/// those one by one.
fn pieces(fixture: &Fixture, talk: &Talk, tail: usize) -> Vec<Segment> {
    let whole = fixture.segment(talk);
    let prompt = fixture.processor.prompt(&talk.turns, &talk.grids(), true).unwrap();
    let split = prompt.images.last().unwrap().start;
    let last = whole.ids.len() - tail;
    let (earlier, latest) = whole.images.split_at(whole.images.len() - 1);
    let mut pieces = vec![
        Segment { ids: whole.ids[..split].to_vec(), images: earlier.to_vec() },
        Segment { ids: whole.ids[split..last].to_vec(), images: latest.to_vec() },
    ];
    pieces.extend(whole.ids[last..].iter().map(|id| Segment { ids: vec![*id], images: Vec::new() }));
    pieces
}

fn whole(fixture: &Fixture, segments: &[Segment]) -> Vec<Vec<f32>> {
    let joined = Segment {
        ids: segments.iter().flat_map(|segment| segment.ids.clone()).collect(),
        images: segments.iter().flat_map(|segment| segment.images.clone()).collect(),
    };
    fixture.logits_of(&fixture.model.forward_whole(&[joined]).unwrap())
}

#[test]
fn a_prefix_is_read_once() {
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        for (name, talk) in &fixture.talks {
            let expected = whole(&fixture, &pieces(&fixture, talk, 0));
            let mut cache = fixture.model.cache(1, expected.len()).unwrap();
            let mut got = Vec::new();
            for segment in pieces(&fixture, talk, 3) {
                got.extend(fixture.logits_of(&fixture.model.forward(&mut cache, &[segment]).unwrap()));
            }
            let worst = difference(&got, &expected);
            println!("{family} {name}: {worst:e}");
            assert!(worst <= NEAR, "{family} {name}: {worst}");
            assert_eq!(cache.len(), cache.capacity());
            let one_more = Segment { ids: vec![1], images: Vec::new() };
            let full = fixture.model.forward(&mut cache, &[one_more]).unwrap_err();
            assert!(matches!(full, ModelError::CacheFull { .. }), "{full}");
        }
    }
}

#[test]
fn truncation_and_forks_leave_no_trace() {
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        let (_, talk) = &fixture.talks[1];
        let parts = pieces(&fixture, talk, 0);
        let expected = whole(&fixture, &parts);
        let read = parts[0].ids.len();
        let mut cache = fixture.model.cache(1, expected.len()).unwrap();
        fixture.model.forward(&mut cache, &parts[..1]).unwrap();

        let mut fork = cache.fork().unwrap();
        let other = Segment { ids: vec![5, 9, 2, 7], images: Vec::new() };
        let other_got = fixture.logits_of(&fixture.model.forward(&mut fork, std::slice::from_ref(&other)).unwrap());
        let other_expected = whole(&fixture, &[parts[0].clone(), other.clone()]);
        assert!(difference(&other_got, &other_expected[read..]) <= NEAR);
        assert_eq!((cache.len(), fork.len()), (read, read + 4));

        // What the fork wrote is not seen here, and what is cut off is not seen either.
        fixture.model.forward(&mut cache, &[other]).unwrap();
        cache.truncate(read);
        let got = fixture.logits_of(&fixture.model.forward(&mut cache, &parts[1..]).unwrap());
        let worst = difference(&got, &expected[read..]);
        println!("{family}: {worst:e}");
        assert!(worst <= NEAR, "{family}: {worst}");
        let again = fixture.logits_of(&fixture.model.forward(&mut fork, &[Segment { ids: vec![3], images: Vec::new() }]).unwrap());
        let all = whole(&fixture, &[parts[0].clone(), Segment { ids: vec![5, 9, 2, 7, 3], images: Vec::new() }]);
        assert!(difference(&again, &all[read + 4..]) <= NEAR);
    }
}

#[test]
fn a_batch_goes_on_from_one_prefix() {
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        let (_, two) = &fixture.talks[0];
        let (_, three) = &fixture.talks[1];
        let shared = pieces(&fixture, three, 0);
        let other = pieces(&fixture, two, 0);
        // Segments of different lengths, with different images or none; then all go on twice.
        let last = |segment: &Segment, text: &[u32]| Segment { ids: [&segment.ids, text].concat(), images: segment.images.clone() };
        let text = |ids: &[u32]| Segment { ids: ids.to_vec(), images: Vec::new() };
        let rows: Vec<[Segment; 3]> = vec![
            [shared[1].clone(), text(&[4]), text(&[7, 8, 9])],
            [last(&other[1], &[9, 8, 7]), text(&[5, 6]), text(&[1])],
            [text(&[3, 1]), text(&[6, 6, 6]), text(&[2, 2])],
        ];
        let mut prefix = fixture.model.cache(1, shared[0].ids.len()).unwrap();
        fixture.model.forward(&mut prefix, &shared[..1]).unwrap();
        let mut cache = prefix.gather(&[0, 0, 0], 400).unwrap();
        let mut got: Vec<Vec<Vec<f32>>> = vec![Vec::new(); rows.len()];
        let steps: [fn(&[Segment; 3]) -> &Segment; 2] = [|row| &row[0], |row| &row[1]];
        for step in steps {
            let segments: Vec<Segment> = rows.iter().map(|row| step(row).clone()).collect();
            let hidden = fixture.model.forward(&mut cache, &segments).unwrap();
            for (row, segment) in segments.iter().enumerate() {
                let places: Vec<(usize, usize)> = (0..segment.ids.len()).map(|token| (row, token)).collect();
                let hidden = fixture.model.at(&hidden, &places).unwrap();
                got[row].extend(fixture.model.logits(&hidden).unwrap().to_vec2::<f32>().unwrap());
            }
        }
        // Two of the rows go on, in another order.
        let mut cache = cache.gather(&[2, 0], 400).unwrap();
        let hidden = fixture.model.forward(&mut cache, &[rows[2][2].clone(), rows[0][2].clone()]).unwrap();
        for (at, row) in [(0, 2), (1, 0)] {
            let places: Vec<(usize, usize)> = (0..rows[row][2].ids.len()).map(|token| (at, token)).collect();
            let hidden = fixture.model.at(&hidden, &places).unwrap();
            got[row].extend(fixture.model.logits(&hidden).unwrap().to_vec2::<f32>().unwrap());
        }
        for (row, segments) in rows.iter().enumerate() {
            let all: Vec<Segment> = std::iter::once(shared[0].clone()).chain(segments.iter().cloned()).collect();
            let expected = whole(&fixture, &all);
            let from = shared[0].ids.len();
            let worst = difference(&got[row], &expected[from..from + got[row].len()]);
            println!("{family} row {row}: {worst:e}");
            assert!(worst <= NEAR, "{family} row {row}: {worst}");
        }
    }
}

#[test]
fn runs_of_one_pass_see_each_other_where_they_say_so() {
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        let (_, talk) = &fixture.talks[0];
        let prompt = pieces(&fixture, talk, 0).remove(0);
        let end = prompt.ids.len();
        let text = |ids: &[u32]| Segment { ids: ids.to_vec(), images: Vec::new() };
        let paths = [[4, 5, 6], [4, 9, 2]];
        let mut cache = fixture.model.cache(1, end + 8).unwrap();
        fixture.model.forward(&mut cache, std::slice::from_ref(&prompt)).unwrap();
        let run = |ids: &[u32], sees: usize, behind: u32| Run {
            ids: ids.to_vec(),
            sees: std::iter::once(0..sees).collect(),
            position: cache.position(0) + behind,
        };
        // 4 stands for both paths.
        let runs = vec![run(&[4, 5, 6], end, 0), run(&[9, 2], end + 1, 1)];
        let hidden = fixture.model.forward_runs(&mut cache, &[runs]).unwrap();
        for (path, places) in paths.iter().zip([[0, 1, 2], [0, 3, 4]]) {
            let got = fixture.model.logits(&fixture.model.at(&hidden, &places.map(|place| (0, place))).unwrap()).unwrap();
            let expected = whole(&fixture, &[prompt.clone(), text(path)]);
            let worst = difference(&got.to_vec2().unwrap(), &expected[end..]);
            assert!(worst <= NEAR, "{family}: {worst}");
        }
        let mut cache = fixture.model.cache(1, end + 8).unwrap();
        fixture.model.forward(&mut cache, &[prompt]).unwrap();
        let own = Run { ids: vec![4], sees: std::iter::once(0..end + 1).collect(), position: cache.position(0) };
        assert!(fixture.model.forward_runs(&mut cache, &[vec![own]]).is_err());
    }
}

#[test]
fn images_together_or_alone() {
    for family in FAMILIES {
        let fixture = Fixture::load(family);
        let pictures: Vec<_> = [(90, 150), (150, 90), (90, 150), (61, 140), (150, 90)].iter().zip(0..).collect();
        let patches: Vec<_> = pictures
            .iter()
            .map(|((width, height), seed)| fixture.processor.images.patches_of_rgb(&crate::picture(*width, *height, *seed)).unwrap())
            .collect();
        let together = fixture.model.embed_images(&patches).unwrap();
        let placed: Vec<_> = patches.iter().map(|patches| fixture.model.place(patches.clone()).unwrap()).collect();
        for (embedding, placed) in together.iter().zip(fixture.model.embed_placed(&placed).unwrap()) {
            let pairs = std::iter::once((&embedding.main, &placed.main)).chain(embedding.deepstack.iter().zip(&placed.deepstack));
            for (a, b) in pairs {
                assert!(difference(&a.to_vec2().unwrap(), &b.to_vec2().unwrap()) <= NEAR);
            }
        }
        for (patches, embedding) in patches.iter().zip(together) {
            let alone = fixture.model.embed_images(std::slice::from_ref(patches)).unwrap().remove(0);
            assert_eq!(alone.grid, embedding.grid);
            let kept = embedding.to_keep().unwrap();
            let pairs = std::iter::once((&alone.main, &kept.main)).chain(alone.deepstack.iter().zip(&kept.deepstack));
            for (a, b) in pairs {
                assert!(difference(&a.to_vec2().unwrap(), &b.to_vec2().unwrap()) <= NEAR);
            }
        }
    }
}
