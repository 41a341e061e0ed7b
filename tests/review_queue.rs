//! Moving, the queue, selections, batches, statistics, tasks, what lies on top.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::*;
use mekiki::conversation::{Conversation, Picks};
use mekiki::domain::{self, FieldId, ImageRef, Kind, RelativePath, Sort, SortKey};
use mekiki::review::*;

fn decided(index: usize) -> Entry {
    Entry { state: domain::State::Approved, ..entry(index, PASSED, PASSED) }
}

fn selected(bench: &Bench) -> Vec<String> {
    bench.state.sheet.picked().map(|entry| entry.id.to_string()).collect()
}

/// Keys, and the sample on the desk after them: samples 0, 2 and 5 of 8 are undecided.
#[test]
fn moving_between_samples() {
    let cases = [
        ("j", "s1"),
        ("j j k", "s1"),
        ("<End>", "s7"),
        ("<End> j", "s7"),
        ("<End> <Home>", "s0"),
        ("k", "s0"),
        ("J", "s2"),
        ("J J", "s5"),
        ("J J J", "s0"),
        ("K", "s5"),
        ("<Right> <Left> <Right>", "s1"),
        ("o q <Down> <Enter>", "s1"),
        ("o q G <End> <Enter>", "s7"),
        ("o q <End> <Esc>", "s0"),
        ("c <Down> <Right> <Enter>", "s5"),
        ("c <PageDown> <Enter>", "s7"),
        ("o q 3 j <Enter>", "s3"),
        ("o q 1 0 j <Enter>", "s7"),
        ("' s 4 <Enter>", "s4"),
        ("o q 5 j <PageUp> <Enter>", "s0"),
    ];
    let rows = || (0..8).map(|index| if [0, 2, 5].contains(&index) { entry(index, "", PASSED) } else { decided(index) }).collect();
    for (keys, sample) in cases {
        let mut bench = Bench::new(rows());
        bench.keys(keys);
        bench.answer_pages();
        assert_eq!(bench.on_desk(), sample, "{keys}");
    }
    let mut vim = Bench::with("vim", rows());
    vim.keys("3 j");
    assert_eq!(vim.on_desk(), "s3");
    vim.keys("g g G n N 2 n");
    assert_eq!(vim.on_desk(), "s2");
}

#[test]
fn laying_a_sample_asks_for_what_belongs_to_it() {
    let mut bench = Bench::new((0..6).map(|index| entry(index, "", if index < 2 { PASSED } else { "" })).collect());
    let effects = bench.keys("j");
    let ids = |indices: &[usize]| indices.iter().map(|index| id(*index)).collect::<Vec<_>>();
    assert_eq!(effects[..2], [Effect::Release(id(0)), Effect::Claim(id(1))]);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Pictures { samples, .. } if *samples == ids(&[1, 2, 3, 0]))));
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Predict { samples, priority: Priority::Soon, .. } if *samples == ids(&[2, 3])))
    );
    assert!(effects.contains(&Effect::RememberPlace { text: String::new(), sample: id(1) }));
    assert!(bench.wait(31_000).contains(&Effect::Renew(id(1))));
    assert_eq!(bench.wait(1_000), []);
    bench.tell(Message::ClaimLost { sample: id(1), by: reviewer("ken") });
    assert_eq!(bench.notice(), "ken is looking at this sample too");
}

#[test]
fn a_long_queue_is_read_by_pages_and_the_next_undecided_is_asked_for() {
    let like = decided(0);
    let mut rows: Vec<Entry> = (0..1000).map(|index| Entry { id: id(index), ..like.clone() }).collect();
    rows[900] = entry(900, "", PASSED);
    let mut bench = Bench::new(rows);
    let effects = bench.keys("J");
    let [Effect::Find { target: Target::Undecided { from: 199, backward: false, nth: 1 }, request, .. }] = effects[..] else {
        panic!("{effects:?}")
    };
    // Meanwhile the reviewer goes elsewhere: the latest wish counts.
    let effects = bench.keys("' s 5 0 0 <Enter>");
    assert!(matches!(effects[..], [Effect::Find { .. }]));
    bench.tell(Message::Found { request, index: Some(900) });
    assert_eq!(bench.on_desk(), "s0");
    bench.answer_pages();
    assert_eq!(bench.on_desk(), "s500");
    let effects = bench.keys("J");
    let [Effect::Find { request, .. }] = effects[..] else { panic!("{effects:?}") };
    bench.effects.clear();
    bench.tell(Message::Found { request, index: None });
    assert_eq!((bench.on_desk(), bench.notice().as_str()), ("s500", "every sample of this queue is decided"));
    // Rows of an order that is over are dropped.
    let order = bench.state.queue.order;
    bench.tell(Message::Page { request: RequestId(3), from: 0, total: 3, rows: vec![entry(7, "", "")] });
    assert_eq!((bench.state.queue.order, bench.state.queue.len()), (order, 1000));
}

#[test]
fn filters_views_and_orders() {
    let mut bench = Bench::agreed(4);
    bench.keys("/ j u <Tab> = d e <Tab>");
    let Some(Overlay::Prompt(prompt)) = &bench.state.overlay else { panic!() };
    assert_eq!(prompt.input.text(), "judgement=defective");
    let effects = bench.keys("<Enter>");
    assert!(
        matches!(&effects[0], Effect::LoadPage { query, from: 0, .. } if query.text == "judgement=defective" && query.filter.terms.len() == 1)
    );
    assert_eq!(bench.keys("o V m i n e <Enter>"), [Effect::SaveView { name: "mine".into(), text: "judgement=defective".into() }]);
    bench.keys("/ x x <Enter>");
    assert!(matches!(&bench.state.overlay, Some(Overlay::Prompt(prompt)) if prompt.problem.is_some()));
    bench.keys("<Esc> <A-/>");
    assert_eq!(bench.state.queue.query.text, "");
    bench.keys(", - c o n <Enter>");
    let by_confidence = Sort { key: SortKey::Confidence, descending: true };
    assert_eq!((bench.state.queue.query.text.as_str(), bench.state.queue.query.filter.sort), ("sort=-confidence", by_confidence));
    bench.keys(", o u t l <Enter>");
    assert!(bench.state.queue.query.outliers_first);
    bench.tell(Message::Views(vec![
        View { name: "hard".into(), text: "disagree".into() },
        View { name: "old".into(), text: "gone=1".into() },
    ]));
    bench.keys("o v <Enter>");
    assert_eq!(bench.state.queue.query.text, "disagree");
    let request =
        bench.effects.iter().rev().find_map(|effect| if let Effect::Count { request, .. } = effect { Some(*request) } else { None });
    let counts = Counts { total: 4, undecided: 3, ..Counts::default() };
    bench.tell(Message::Counts { request: RequestId(1), counts: Counts::default() });
    assert_eq!(bench.state.queue.counts, None);
    bench.tell(Message::Counts { request: request.unwrap(), counts });
    assert_eq!(bench.state.queue.counts, Some(counts));
}

#[test]
fn predictions_never_move_a_list_or_a_selection() {
    let mut bench = Bench::agreed(4);
    bench.keys(", - c o n <Enter>");
    bench.answer_pages();
    bench.keys("o q <Space> <Space>");
    let before: Vec<_> = bench.state.queue.rows().map(|(index, row)| (index, row.id.clone())).collect();
    let told = |source: &str| {
        let mut prediction = prediction(50, SCRATCH);
        prediction.source.model = source.into();
        Message::Predicted { sample: id(3), prediction: Box::new(prediction) }
    };
    bench.tell(told("another model"));
    assert!(!bench.state.queue.outdated);
    bench.tell(told("demo"));
    assert!(bench.state.queue.outdated, "a notice offers to sort again");
    assert_eq!(bench.state.queue.rows().map(|(index, row)| (index, row.id.clone())).collect::<Vec<_>>(), before);
    assert_eq!(bench.state.queue.row(3).unwrap().prediction.as_ref().unwrap().id, 50);
    assert_eq!((selected(&bench), bench.state.queue.cursor), (vec!["s0".to_owned(), "s1".to_owned()], 2));
    assert!(matches!(&bench.keys(";")[0], Effect::LoadPage { .. }));
    bench.answer_pages();
    assert!(!bench.state.queue.outdated);
    assert_eq!((selected(&bench).len(), bench.state.queue.cursor), (2, 2));
}

/// Keys on the sheet, and what is selected after them.
#[test]
fn selecting() {
    let cases = [
        ("<Space> <Space>", "s0 s1"),
        ("<Space> <Up> <Left> <Space>", ""),
        ("v <Right> <Right> v", "s0 s1 s2"),
        ("3 <Space> <Home> i", "s3 s4 s5"),
        ("<C-a>", "s0 s1 s2 s3 s4 s5"),
        ("<C-a> N", ""),
        ("<Space> <End> v <Left> v", "s0 s4 s5"),
    ];
    for (keys, after) in cases {
        let mut bench = Bench::agreed(6);
        bench.keys("c");
        bench.keys(keys);
        assert_eq!(selected(&bench).join(" "), after, "{keys}");
    }
    // It survives paging, another filter and another order.
    let like = entry(0, "", PASSED);
    let mut bench = Bench::new((0..30_000).map(|index| Entry { id: id(index), ..like.clone() }).collect());
    bench.keys("c <Space> <End>");
    bench.answer_pages();
    for row in (0..29_000).step_by(150) {
        bench.input(InputKind::Point(Point::Row(row)));
        bench.answer_pages();
    }
    assert!(bench.state.queue.rows().count() < 20_000);
    bench.keys("G");
    assert_eq!((selected(&bench), bench.state.queue.query.grouping), (vec!["s0".to_owned()], Grouping::Answer));
    bench.answer_pages();
    bench.keys("O <C-a>");
    bench.answer_pages();
    bench.keys("<C-a>");
    assert_eq!(bench.notice(), "at most 10000 at once; narrow the filter");
    // Rows that are not here are asked for.
    let mut bench = Bench::agreed(900);
    let effects = bench.keys("c <C-a>");
    let [Effect::LoadAll { request, .. }] = effects[..] else { panic!("{effects:?}") };
    bench.tell(Message::All { request, rows: Some((0..900).map(|index| entry(index, "", PASSED)).collect()) });
    assert_eq!(bench.state.sheet.len(), 900);
    assert!(matches!(&bench.keys("P")[..], [Effect::Predict { samples, .. }] if samples.len() == 900));
}

#[test]
fn a_batch_carries_exactly_what_its_preview_showed() {
    let mut rows: Vec<Entry> = (0..6).map(|index| entry(index, "", PASSED)).collect();
    rows[1] = entry(1, PASSED, SCRATCH);
    rows[2] = decided(2);
    rows[3].claimed_by = Some(reviewer("ken"));
    let mut bench = Bench::new(rows);
    bench.keys("c A");
    assert_eq!(bench.notice(), "nothing is selected");
    bench.keys("<C-a> A");
    let Some(Overlay::Preview(preview)) = &bench.state.overlay else { panic!() };
    assert_eq!(preview.groups(bench.state.schema.fields()), [("DST · 27 · passed · passed · none".to_owned(), 3)]);
    let left: Vec<_> = preview.left.iter().map(|(sample, left)| (sample.as_str(), left.clone())).collect();
    assert_eq!(left, [("s1", Left::Doubt(2, Doubt::Conflict)), ("s2", Left::Decided), ("s3", Left::Claimed(reviewer("ken")))]);
    // Not before it was drawn.
    assert_eq!(bench.act(Action::Confirm), []);
    bench.draw();
    // What arrives meanwhile changes nothing of it, and is reported.
    bench.tell(Message::Predicted { sample: id(4), prediction: Box::new(prediction(50, SCRATCH)) });
    let effects = bench.keys("y");
    let expected: Vec<_> = [0, 4, 5].map(|index| (format!("s{index}"), 1, "DST 27 passed passed none".to_owned())).into();
    assert_eq!(approved(&effects), expected);
    let Effect::Save { save, kind: SaveKind::Batch, .. } = effects[0] else { panic!() };
    let refused = vec![Refusal { sample: id(4), reason: Reason::Stale { by: reviewer("ken"), time_ms: 1 } }];
    bench.tell(Message::Saved { save, operation: Some("op".into()), applied: vec![id(0), id(5)], revision: Revision(8), refused });
    assert_eq!(bench.notice(), "2 saved, 1 left alone: s4 (ken has changed it since)");
    assert_eq!(selected(&bench), ["s1", "s2", "s3", "s4"]);
    assert_eq!(bench.state.queue.row(5).unwrap().state, domain::State::Approved);
}

#[test]
fn one_field_is_set_for_a_selection_and_the_rules_act() {
    let mut bench = Bench::new(vec![entry(0, "", SCRATCH), entry(1, "", PASSED)]);
    bench.keys("c <C-a> E j u d <Enter> p a s <Enter>");
    let Some(Overlay::Preview(preview)) = &bench.state.overlay else { panic!() };
    assert_eq!(preview.groups(bench.state.schema.fields()).len(), 2);
    let effects = bench.keys("<Enter>");
    let fields: Vec<_> = changes(&effects)
        .into_iter()
        .map(|change| if let Change::Set { field, .. } = change { field.as_str() } else { panic!() })
        .collect();
    assert_eq!(fields, ["judgement", "defect_mode", "position", "judgement"]);
}

#[test]
fn a_spot_check_looks_at_a_share_before_the_rest_is_approved() {
    let mut bench = Bench::agreed(200);
    bench.keys("c <C-a> A j <Down> 1 0 s");
    assert_eq!(bench.state.spot.as_ref().unwrap().todo.len(), 19);
    let drawn: Vec<_> = bench.state.spot.as_ref().unwrap().todo.iter().cloned().collect();
    // The same seed draws the same samples.
    let mut again = Bench::agreed(200);
    again.keys("c <C-a> A 1 0 s");
    assert_eq!(again.state.spot.as_ref().unwrap().todo.iter().cloned().collect::<Vec<_>>(), drawn);
    bench.keys("a <F2> 9 a x s");
    bench.keys(&vec!["a"; 16].join(" "));
    let Some(Overlay::Preview(preview)) = &bench.state.overlay else { panic!("{:?}", bench.state.spot) };
    assert_eq!((preview.spot, preview.rows.len()), (Spot { checked: 19, wrong: 2 }, 180));
    let (share, most) = preview.spot.estimate().unwrap();
    assert!((0.10..0.11).contains(&share) && (0.2..0.4).contains(&most), "{share} {most}");
    let effects = bench.keys("y");
    assert_eq!(approved(&effects).len(), 180);
    assert!(bench.notice().starts_with("saving 180; estimated error 10.5 %"), "{}", bench.notice());
    assert_eq!(bench.state.screen, Screen::Sheet);
    // Given up, the preview is back.
    let mut bench = Bench::agreed(20);
    bench.keys("c <C-a> A s <Esc>");
    assert!(matches!(bench.state.overlay, Some(Overlay::Preview(_))));
    bench.keys("n");
    assert_eq!(bench.state.overlay, None);
}

#[test]
fn a_confusion_cell_opens_as_a_queue() {
    let mut bench = Bench::agreed(2);
    let effects = bench.keys("o t");
    let [Effect::LoadStats { request, .. }] = effects[..] else { panic!() };
    let field = |id: &str| FieldStatistics {
        field: FieldId::new(id).unwrap(),
        compared: 10,
        agreed: 8,
        confusion: Confusion {
            labels: strings(&["passed", "defective"]),
            predictions: strings(&["passed", "defective"]),
            counts: vec![vec![5, 1], vec![1, 3]],
        },
        calibration: vec![],
    };
    let stats = Statistics { fields: vec![field("judgement"), field("defect_mode")], ..Statistics::default() };
    bench.tell(Message::Stats { request, stats: Box::new(stats) });
    bench.keys("<Tab> ] [ <S-Tab> <Down> <Down> <Right> <Left> k j h l <End> <Left>");
    assert_eq!(bench.state.stats.cell, (1, 0));
    let effects = bench.keys("<Enter>");
    assert!(
        matches!(&effects[0], Effect::LoadPage { query, .. } if query.text == "label.judgement=\"defective\" predicted.judgement=\"passed\"" && query.filter.terms.len() == 2)
    );
    assert_eq!(bench.state.screen, Screen::Queue);
}

#[test]
fn tasks_are_listed_stopped_and_put_first() {
    let mut bench = Bench::agreed(2);
    let job = |id, state| Job {
        kind: JobKind::Predict,
        id,
        title: "predict".into(),
        state,
        done: 5,
        total: Some(9),
        per_second: Some(2.0),
        left_s: Some(2.0),
        memory: None,
        problem: None,
    };
    bench.tell(Message::Job(job(4, JobState::Running)));
    bench.tell(Message::Job(job(5, JobState::Waiting)));
    bench.tell(Message::Job(job(4, JobState::Done)));
    assert_eq!(bench.keys("w j x"), [Effect::CancelJob(5)]);
    assert_eq!(bench.keys("k +"), [Effect::RaiseJob(4)]);
    bench.keys("<End> <Home> <PageDown> <PageUp> q");
    assert_eq!(bench.state.tasks.jobs().len(), 2);
}

#[test]
fn another_model_counts_what_flips_and_opens_it() {
    let mut bench = Bench::agreed(2);
    bench.keys("m f");
    assert_eq!(bench.notice(), "open-flips does nothing here");
    bench.tell(Message::Sources(Sources {
        models: strings(&["demo", "big"]),
        adapters: strings(&["run-1"]),
        instructions: strings(&["1", "2"]),
    }));
    let effects = bench.keys("m m b i g <Enter>");
    assert_eq!(effects[0], Effect::UseSource(source("big")));
    let Effect::CountFlips { request, .. } = effects[1] else { panic!() };
    bench.tell(Message::Flips { request, count: 3 });
    assert_eq!(bench.notice(), "3 predictions differ");
    // What flips is known only when the other model has predicted: then it is counted again, once.
    let job = |state| Job {
        kind: JobKind::Predict,
        id: 1,
        title: "big".into(),
        state,
        done: 2,
        total: Some(2),
        per_second: None,
        left_s: None,
        memory: None,
        problem: None,
    };
    assert_eq!(bench.tell(Message::Job(job(JobState::Running))), []);
    assert!(matches!(&bench.tell(Message::Job(job(JobState::Done)))[..], [Effect::CountFlips { .. }]));
    assert_eq!(bench.tell(Message::Job(job(JobState::Done))), []);
    assert!(matches!(&bench.keys("m f")[0], Effect::LoadPage { query, .. } if query.against == Some(source("demo"))));
    for (keys, changed) in [
        ("m a r u n <Enter>", "adapter"),
        ("m i 2 <Enter>", "instruction"),
        ("m e w r o <Enter>", "exemplar"),
        ("m k z e r o <Enter>", "kind"),
    ] {
        let before = bench.state.source.clone();
        assert!(matches!(bench.keys(keys)[0], Effect::UseSource(_)), "{changed}");
        assert_ne!(bench.state.source, before, "{changed}");
    }
}

#[test]
fn pages_to_read_and_settings() {
    let mut bench = Bench::agreed(2);
    let effects = bench.keys("t");
    let Effect::Compose { request, .. } = effects[0] else { panic!() };
    let reference = ImageRef { folder: 0, path: RelativePath::new("r.png").unwrap() };
    let turns = Conversation { kind: Kind::ZeroShot, turns: vec![], picks: Picks { exemplar: None, reference } };
    bench.tell(Message::Composed { request, outcome: Ok(Box::new(turns)) });
    assert!(matches!(&bench.state.overlay, Some(Overlay::Reader(Page::Conversation(Some(Ok(_))), 0))));
    bench.keys("j j k <Space> <End> <Home> <Down> q i <Esc> ? q :");
    assert!(matches!(&bench.state.overlay, Some(Overlay::Picker(picker)) if picker.visible().len() > 100));
    bench.keys("s w i t c h <Space> t h e m e <Enter>");
    assert_eq!((bench.state.theme, &bench.state.overlay), (Theme::Light, &None));
    let effects = bench.keys("L");
    assert_eq!(effects, [Effect::RememberSettings { language: Language::Ja, theme: Theme::Light }]);
    bench.keys(": 配 色 <Down> <Up> <Enter>");
    assert_eq!(bench.state.theme, Theme::HighContrast);
    assert_eq!(bench.keys("<C-z>"), [Effect::Suspend]);
    let before = bench.state.look;
    bench.keys("z z Z <A-z> <A-z> <S-Left> <S-Right> <S-Up> <S-Down> r d g b F > <lt> ) ( =");
    assert_eq!(bench.state.look, Look { full_screen: true, ..before });
    bench.keys("<Esc>");
    assert_eq!(bench.state.look, before);
    bench.wait(9_000);
    assert_eq!(bench.state.notices.posted(), []);
}

#[test]
fn groups_are_asked_for_with_the_order_and_told_of_once() {
    let mut bench = Bench::agreed(6);
    bench.keys("o c");
    let asked = |effects: &[Effect]| {
        effects.iter().find_map(|effect| if let Effect::LoadGroups { request, order } = effect { Some((*request, *order)) } else { None })
    };
    let first = asked(&bench.act(Action::GroupBy)).unwrap();
    assert_eq!(first.1, bench.state.queue.order);
    let second = asked(&bench.act(Action::GroupBy)).unwrap();
    assert_eq!(bench.state.queue.query.grouping, Grouping::Likeness);
    bench.answer_pages();
    let group = |from, len, cluster| Group { from, len, name: GroupName::Cluster(cluster) };
    let groups = vec![group(0, 4, Some(0)), group(4, 2, None)];
    bench.tell(Message::Groups { request: first.0, groups: groups.clone(), problem: None });
    assert_eq!(bench.state.queue.group_of(0), None, "the answer to an order that is gone");
    bench.tell(Message::Groups { request: second.0, groups: groups.clone(), problem: None });
    let of = |index| bench.state.queue.group_of(index).map(|group| group.from);
    assert_eq!([0, 3, 4, 5, 6].map(of), [Some(0), Some(0), Some(4), Some(4), None]);
    assert_eq!(asked(&bench.act(Action::GroupBy)), None, "not grouped");
    let outliers = asked(&bench.act(Action::OutliersFirst)).unwrap();
    bench.tell(Message::Groups { request: outliers.0, groups: vec![], problem: Some(Ungrouped::NotCompared) });
    assert!(bench.notice().contains("mekiki similar"), "{}", bench.notice());
}
