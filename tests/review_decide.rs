//! Deciding on one sample: what is proposed, what an accept carries, what keys do to fields.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::*;
use mekiki::domain::{BoundingBox, Shown, Value, ValueOrigin};
use mekiki::review::*;

#[test]
fn an_agreed_sample_costs_one_key() {
    let mut bench = Bench::agreed(3);
    for (index, key) in ["a", "<Enter>", "a"].into_iter().enumerate() {
        let effects = bench.keys(key);
        assert_eq!(approved(&effects), [(format!("s{index}"), 1, "DST 27 passed passed none".to_owned())]);
    }
    assert!(changes(&bench.effects).iter().all(|change| matches!(change, Change::Approve { shown: Shown::Sample { zoom: 100, .. }, .. })));
}

/// The prediction, the keys, the form after them: a wrong field costs at most three keys more than the accept.
#[test]
fn a_wrong_field_costs_at_most_three_keys() {
    let cases = [
        (SCRATCH, "<F4> 3", "DST 27 defective dent U3"),
        (SCRATCH, "<F4> 0", "DST 27 defective crack U3"),
        (SCRATCH, "<F5> d 9", "DST 27 defective scratch D9"),
        (SCRATCH, "<F5> D 9", "DST 27 defective scratch D9"),
        (SCRATCH, "<F2> 2 6", "DST 26 defective scratch U3"),
        (SCRATCH, "<F2> 9", "DST 9 defective scratch U3"),
        (SCRATCH, "<F2> -", "DST 26 defective scratch U3"),
        (SCRATCH, "<F3> 1", "DST 27 passed passed none"),
        (SCRATCH, "<F1> 2", "RAW 27 defective scratch U3"),
        (SCRATCH, "2", "RAW 27 defective scratch U3"),
        // Three fields are wrong: each asks for itself once the one before is given.
        (PASSED, "<F3> 2 2 u 3", "DST 27 defective scratch U3"),
        // An address says that something is wrong.
        (PASSED, "<F5> u 3 2", "DST 27 defective scratch U3"),
    ];
    for (predicted, keys, after) in cases {
        let mut bench = Bench::new(vec![entry(0, "", predicted), entry(1, "", PASSED)]);
        bench.keys(keys);
        assert_eq!(bench.form(), after, "{keys}");
        let effects = bench.keys("a");
        assert_eq!(approved(&effects), [("s0".to_owned(), 1, after.to_owned())], "{keys}");
        assert_eq!(bench.on_desk(), "s1");
    }
}

#[test]
fn a_conflict_is_not_preselected_and_stops_an_accept() {
    let mut bench = Bench::new(vec![entry(0, PASSED, SCRATCH), entry(1, "", PASSED)]);
    assert_eq!(bench.form(), "DST 27 ? ? ?");
    assert_eq!(approved(&bench.keys("a")), []);
    assert_eq!((bench.desk().focus, bench.notice().as_str()), (2, "choose a value for judgement"));
    // The prediction's judgement rules the label's other values out, so that one choice settles all three.
    bench.keys("]");
    assert_eq!(bench.form(), "DST 27 defective scratch U3");
    let effects = bench.keys("a");
    let Change::Approve { label, .. } = changes(&effects)[0] else { panic!() };
    let origins: Vec<&ValueOrigin> = label.iter().map(|(_, _, origin)| origin).collect();
    assert_eq!(origins[0], &ValueOrigin::Imported);
    assert_eq!(origins[2..], [&ValueOrigin::Prediction(100); 3]);

    let mut bench = Bench::new(vec![entry(0, PASSED, SCRATCH)]);
    bench.keys("[");
    assert_eq!(bench.form(), "DST 27 passed passed none");
    let effects = bench.keys("a");
    let Change::Approve { label, .. } = changes(&effects)[0] else { panic!() };
    assert_eq!(label[2].2, ValueOrigin::Imported);
}

#[test]
fn what_is_accepted_is_what_the_last_frame_showed() {
    let mut bench = Bench::new(vec![entry(0, PASSED, ""), entry(1, "", PASSED)]);
    let told = Message::Predicted { sample: id(0), prediction: Box::new(prediction(9, SCRATCH)) };
    bench.tell(told.clone());
    assert_eq!(bench.form(), "DST 27 ? ? ?");
    assert_eq!(approved(&bench.burst("a")), [("s0".to_owned(), 1, "DST 27 passed passed none".to_owned())]);

    // Once the frame has shown it, the same key stops.
    let mut bench = Bench::new(vec![entry(0, PASSED, "")]);
    bench.tell(told);
    assert_eq!(approved(&bench.keys("a")), []);

    // A sample that no frame has shown is never accepted, however fast the keys come; what was typed is.
    let mut bench = Bench::agreed(3);
    let effects = bench.burst("<F2> 9 a a x");
    assert_eq!(approved(&effects), [("s0".to_owned(), 1, "DST 9 passed passed none".to_owned())]);
    assert_eq!(changes(&effects).len(), 1);
    assert_eq!(bench.notice(), "not accepted: this sample was not on the screen yet");
    assert!(bench.state.wants_a_frame());

    // Another reviewer's decision that was not drawn is not built upon: the store will refuse the old revision.
    let mut bench = Bench::agreed(2);
    bench.effects.clear();
    let refresh = bench.desk().refresh;
    let theirs = Entry { revision: Revision(5), ..entry(0, SCRATCH, "") };
    bench.tell(Message::Sample { request: refresh, entry: Some(Box::new(theirs)) });
    assert_eq!(approved(&bench.burst("a"))[0].1, 1);
}

/// Keys on a conflict-free sample, and what the focused field holds after.
#[test]
fn every_kind_of_field_is_edited_from_the_keyboard() {
    let cases: &[(&str, usize, &str)] = &[
        ("<F4> e s t a <Enter>", 3, "stain"),
        ("<F4> e c o l o u r <Enter>", 3, "discolouration"),
        ("<F4> e x x <Backspace> <Backspace> d e n <Enter>", 3, "dent"),
        ("<F4> e d e n <Esc>", 3, "scratch"),
        ("<F4> +", 3, "dent"),
        ("<F4> -", 3, "passed"),
        ("<A-4> 5", 3, "missing"),
        ("<F2> 2 <Enter>", 1, "2"),
        ("<F2> 2 <Backspace> 1 <Enter>", 1, "1"),
        ("<F2> 2 <Esc>", 1, "27"),
        ("<F5> u <Backspace> d 1", 4, "D1"),
        ("<F6> 1 3", 5, "chip, 傷"),
        ("<F6> 1 3 1", 5, "傷"),
        ("<F6> n", 5, "no mark"),
        ("<F6> e b u <Enter>", 5, "burr"),
        ("<F7> e 傷 あ り <Backspace> <Enter>", 6, "傷あ"),
        ("<F7> e a b c <C-w> x <Home> y <Enter>", 6, "yx"),
        ("<F7> e a b <C-u> z <Left> <Delete> q <End> r <Enter>", 6, "qr"),
        ("<F7> e a <Space> b <C-Left> c <C-Right> d <Enter>", 6, "a cbd"),
        ("<F7> e a <Enter> e <C-a> b <C-e> c <Enter>", 6, "bac"),
        ("<F8> e", 7, "<loc0384><loc0384><loc0640><loc0640>"),
        ("<F8> e <Right> <Down>", 7, "<loc0400><loc0400><loc0656><loc0656>"),
        ("<F8> e <Left> <Up> <S-Right> <S-Down>", 7, "<loc0368><loc0368><loc0640><loc0640>"),
        ("<F8> e ` <S-Left> <S-Up>", 7, "<loc0384><loc0384><loc0638><loc0638>"),
        ("<F8> e n", 7, "no box"),
        ("<F8> e <Delete>", 7, ""),
        ("<F4> <Delete>", 3, ""),
    ];
    for (keys, field, after) in cases {
        let mut bench = Bench::new(vec![entry(0, "", SCRATCH)]);
        bench.keys(keys);
        assert_eq!(bench.value(*field), *after, "{keys}");
    }
}

#[test]
fn while_text_is_typed_no_verdict_acts() {
    let mut bench = Bench::new(vec![entry(0, "", PASSED)]);
    bench.keys("<F7> e a x u . q s");
    assert_eq!(bench.saves(), []);
    assert!(matches!(bench.state.editor(), Some(Editor::Text(input)) if input.text() == "axu.qs"));
    // Not even from elsewhere than the keyboard.
    for action in [Action::Accept, Action::Reject, Action::Skip, Action::Undo, Action::Quit] {
        assert_eq!(bench.act(action), [], "{action}");
    }
    // An address that has begun takes nothing but its columns.
    bench.keys("<Esc> <F5> d a x");
    assert_eq!(bench.saves(), []);
    assert_eq!(bench.desk().editor, Some(Editor::Entry("d".into())));
    bench.keys("<F7>");
    assert_eq!(bench.desk().focus, 4);
}

#[test]
fn values_that_a_field_does_not_take_are_refused_with_what_it_takes() {
    let mut bench = Bench::new(vec![entry(0, "", SCRATCH)]);
    bench.keys("<F2> +");
    assert_eq!((bench.value(1).as_str(), bench.notice().as_str()), ("27", "expected a whole number from 0 to 27 (pcs)"));
    bench.keys("<F4> e z z <Enter>");
    assert_eq!(bench.notice(), format!("expected {}", bench.desk().field().expectation()));
    bench.keys("<Esc> <F3> 7");
    assert_eq!(bench.notice(), "choose-option 7 does nothing here");
}

#[test]
fn accepting_a_field_holds_it_against_later_predictions() {
    let mut bench = Bench::new(vec![entry(0, "", SCRATCH)]);
    bench.keys("<F4> <Space>");
    bench.tell(Message::Predicted { sample: id(0), prediction: Box::new(prediction(9, &SCRATCH.replace("scratch", "dent"))) });
    assert_eq!(bench.value(3), "scratch");
}

#[test]
fn the_other_verdicts() {
    let mut bench = Bench::agreed(5);
    assert_eq!(changes(&bench.keys("x")), [&Change::Reject]);
    assert_eq!(bench.on_desk(), "s1");
    assert_eq!(changes(&bench.keys("s")).len(), 0);
    assert_eq!(bench.on_desk(), "s2");
    assert_eq!(changes(&bench.keys("f")), [&Change::Flag(true)]);
    assert_eq!(bench.on_desk(), "s2");
    assert_eq!(bench.keys("f"), []);
    assert_eq!(bench.keys("C h i <Enter>"), []);
    assert_eq!(bench.keys("a")[0], Effect::Release(id(2)));
    // They wait for each other, so that no later one is refused for the earlier.
    for (revision, expected) in [(7, Change::Flag(false)), (8, Change::Comment("hi".into()))] {
        bench.save_all(revision);
        let saves = bench.effects.clone();
        assert_eq!(changes(&saves), [&expected]);
        let Some(Effect::Save { decisions, .. }) = saves.iter().find(|effect| matches!(effect, Effect::Save { .. })) else { panic!() };
        assert_eq!(decisions[0].base, Revision(revision));
    }
    bench.save_all(9);
    assert_eq!(approved(&bench.effects)[0].1, 9);
    bench.save_all(10);
    assert_eq!(bench.state.history.outstanding(), 0);
    assert_eq!(bench.keys("R"), [], "an undecided sample has nothing to reopen");
    bench.keys("k k k");
    assert_eq!(bench.on_desk(), "s0");
    assert_eq!(changes(&bench.keys("R")), [&Change::Reopen]);
    assert!(bench.keys("P").iter().any(|effect| matches!(effect, Effect::Predict { priority: Priority::Selected, .. })));
}

#[test]
fn a_decision_shows_as_saved_only_when_it_is() {
    let mut bench = Bench::agreed(2);
    bench.keys("a");
    let state = |bench: &Bench| bench.state.queue.row(0).unwrap().state;
    assert_eq!(state(&bench), mekiki::domain::State::Undecided);
    assert!(bench.state.history.is_saving(&id(0)));
    bench.save_all(2);
    assert_eq!(state(&bench), mekiki::domain::State::Approved);
    assert!(!bench.state.history.is_saving(&id(0)));
    // An approved sample that is accepted as it is costs no operation.
    bench.keys("k");
    assert_eq!(bench.on_desk(), "s0");
    bench.effects.clear();
    bench.keys("a");
    assert_eq!(bench.saves(), []);
}

#[test]
fn the_last_fix_is_repeated_as_one_step() {
    let mut bench = Bench::agreed(3);
    bench.keys(".");
    assert_eq!(bench.notice(), "nothing has been fixed yet");
    bench.keys("<F3> 2 2 u 3 a .");
    assert_eq!((bench.on_desk(), bench.form().as_str()), ("s1", "DST 27 defective scratch U3"));
    bench.keys("u");
    assert_eq!(bench.form(), "DST 27 passed passed none");
    bench.keys("<C-r> a");
    assert_eq!(approved(&bench.effects)[1].2, "DST 27 defective scratch U3");
    bench.keys(". a");
    assert_eq!(approved(&bench.effects)[2].2, "DST 27 defective scratch U3");
}

#[test]
fn fixes_that_were_not_accepted_are_kept_when_the_sample_is_left() {
    let mut bench = Bench::agreed(3);
    let effects = bench.keys("<F3> 2 j");
    let set: Vec<String> = changes(&effects)
        .into_iter()
        .map(|change| if let Change::Set { field, .. } = change { field.to_string() } else { panic!() })
        .collect();
    assert_eq!(set, ["judgement"]);
    bench.save_all(4);
    bench.keys("k");
    assert_eq!((bench.on_desk(), bench.value(2).as_str()), ("s0", "defective"));
}

#[test]
fn undo_takes_back_the_form_first_then_decisions() {
    let mut bench = Bench::agreed(3);
    bench.keys("<F1> 2 <F2> 9 u");
    assert_eq!(bench.form(), "RAW 27 passed passed none");
    bench.keys("u");
    assert_eq!(bench.form(), "DST 27 passed passed none");
    let effects = bench.keys("u");
    let [Effect::Undo { request }] = effects[..] else { panic!("{effects:?}") };
    let outcome =
        Ok(Box::new(Reverted { entries: vec![Entry { revision: Revision(9), ..entry(2, "", SCRATCH) }], samples: 1, refused: vec![] }));
    bench.tell(Message::Reverted { request, outcome: outcome.clone() });
    assert_eq!((bench.on_desk(), bench.form().as_str()), ("s2", "DST 27 defective scratch U3"));
    // An answer that was not asked for changes nothing.
    let before = bench.state.clone();
    bench.tell(Message::Reverted { request, outcome });
    assert_eq!(before.queue, bench.state.queue);
    assert!(matches!(bench.keys("<C-r>")[..], [Effect::Redo { .. }]));
}

#[test]
fn a_refused_decision_comes_back_and_names_who_was_first() {
    let mut bench = Bench::agreed(4);
    bench.keys("a");
    bench.refuse(&Reason::Stale { by: reviewer("ken"), time_ms: 5 });
    assert_eq!((bench.on_desk(), bench.notice().as_str()), ("s0", "s0 was not saved: ken has changed it since"));
    assert!(bench.effects.iter().any(|effect| matches!(effect, Effect::LoadSample { sample, .. } if *sample == id(0))));
    // Not while something else is being typed: then it comes after the next verdict.
    let mut bench = Bench::agreed(4);
    bench.keys("a <F1> 2");
    bench.refuse(&Reason::Claimed { by: reviewer("ken") });
    assert_eq!(bench.on_desk(), "s1");
    bench.keys("a");
    assert_eq!(bench.on_desk(), "s0");
}

#[test]
fn quitting_waits_for_every_save_and_drops_none() {
    let mut bench = Bench::agreed(3);
    bench.keys("a <F1> 2 q");
    assert!(bench.state.quitting);
    assert!(!bench.effects.contains(&Effect::Quit));
    let saves = bench.saves();
    assert_eq!(saves.len(), 2, "the verdict, and the fix that was not accepted");
    // A save that fails is sent again.
    bench.tell(Message::SaveFailed { save: saves[1].0, error: "the disk is full".into() });
    bench.tell(Message::Saved { save: saves[0].0, operation: None, applied: vec![id(0)], revision: Revision(2), refused: vec![] });
    assert!(!bench.effects.contains(&Effect::Quit));
    assert_eq!(bench.state.history.outstanding(), 1);
    bench.save_all(3);
    assert!(bench.effects.contains(&Effect::Quit));

    // It can be called off.
    let mut bench = Bench::agreed(3);
    bench.keys("a q a");
    assert_eq!(bench.notice(), "waiting for 1 saves");
    bench.keys("<Esc>");
    assert!(!bench.state.quitting);
    bench.save_all(2);
    assert!(!bench.effects.contains(&Effect::Quit));
    assert_eq!(Bench::agreed(1).keys("q").last(), Some(&Effect::Quit));
}

#[test]
fn a_click_does_what_keys_do() {
    let mut bench = Bench::new(vec![entry(0, "", SCRATCH), entry(1, "", PASSED)]);
    let position = |text| {
        if let Value::Address(Some(address)) = schema().field_named("position").unwrap().parse(text).unwrap() { address } else { panic!() }
    };
    bench.input(InputKind::Point(Point::Cell(position("D9"))));
    assert_eq!((bench.value(4).as_str(), bench.desk().focus), ("D9", 4));
    bench.input(InputKind::Point(Point::Field(3)));
    bench.input(InputKind::Point(Point::Choice(2)));
    assert_eq!(bench.value(3), "dent");
    bench.input(InputKind::Point(Point::Wheel { closer: true }));
    assert_eq!(bench.state.look.zoom, Some(200), "the whole picture was shown at 100 % already");
    for past in [Point::Field(99), Point::Choice(99), Point::Row(99), Point::Confusion(9, 9), Point::Item(9)] {
        assert_eq!(bench.input(InputKind::Point(past)), [], "{past:?}");
    }
    assert!(BoundingBox::new(0, 0, 1, 1).is_some());
}

#[test]
fn zooming_starts_from_what_the_frame_showed() {
    use Action::{ZoomIn, ZoomOut};

    let zooms = |fitted: u32, actions: &[Action]| {
        let mut bench = Bench::agreed(1);
        bench.input(InputKind::Drawn { shown: Shown::Sample { protocol: "kitty".into(), zoom: fitted } });
        let zoom = |action: &Action| {
            bench.act(*action);
            bench.state.look.zoom
        };
        actions.iter().map(zoom).collect::<Vec<_>>()
    };
    // The whole picture stands at 168 % in a wide window: a step in is larger, and the last step out is the whole again.
    assert_eq!(zooms(168, &[ZoomIn, ZoomIn, ZoomOut, ZoomOut, ZoomOut]), [Some(200), Some(400), Some(200), None, None]);
    // On half-blocks it stands at 9 %: the first step shows real pixels, and steps out go on below them.
    assert_eq!(zooms(9, &[ZoomIn, ZoomOut, ZoomOut, ZoomOut]), [Some(100), Some(50), Some(25), None]);
    // Beyond the largest step there is nothing.
    assert_eq!(zooms(5000, &[ZoomIn]), [None]);
}

#[test]
fn who_only_looks_changes_nothing() {
    let mut bench = Bench::agreed(3);
    bench.state.read_only = true;
    for action in Action::all().filter(|action| action.writes()) {
        bench.act(action);
        // Some mean something in another scope only.
        assert!(
            ["this project is open for reading only".to_owned()].contains(&bench.notice()) || bench.notice().contains("here"),
            "{action}"
        );
    }
    bench.keys("a x j");
    assert_eq!(changes(&bench.effects).len(), 0);
    assert!(!bench.effects.iter().any(|effect| matches!(effect, Effect::Claim(_) | Effect::Predict { .. })), "{:?}", bench.effects);
    assert_eq!(bench.desk().entry().id, id(1), "moving goes on");
}
