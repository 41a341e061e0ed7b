//! Laws: whatever is pressed, reported and drawn, nothing breaks, and what is approved is complete and was shown.
#![allow(clippy::unwrap_used)]

mod bench;

use std::sync::Arc;

use bench::*;
use mekiki::domain::{Label, Shown, ValueOrigin, breaches};
use mekiki::review::*;
use proptest::prelude::*;

/// What can be done to a form.
#[derive(Debug, Clone)]
enum Step {
    Give(usize, usize),
    Clear(usize),
    Undo,
    Redo,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..8, 0_usize..30).prop_map(|(field, value)| Step::Give(field, value)),
        1 => (0_usize..8).prop_map(Step::Clear),
        1 => Just(Step::Undo),
        1 => Just(Step::Redo),
    ]
}

fn take(form: &mut Form, step: &Step) -> bool {
    match step {
        Step::Give(field, value) => {
            let values = form.fields()[*field].values().unwrap_or_default();
            values.get(*value).is_some_and(|value| form.give(*field, value.clone(), ValueOrigin::Typed))
        }
        Step::Clear(field) => form.clear(*field),
        Step::Undo => form.undo(),
        Step::Redo => form.redo(),
    }
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let texts = ["", PASSED, SCRATCH, "judgement=passed defect_mode=dent", "quantity=3"];
    (proptest::sample::select(texts.to_vec()), proptest::sample::select(texts.to_vec())).prop_map(|(label, said)| entry(0, label, said))
}

/// Anything that can come in; numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Event {
    Act(usize, Option<u32>),
    Key(&'static str),
    Type(String),
    Point(usize),
    Draw,
    Answer(usize),
    Predict(usize),
    Refuse,
    Fail,
    Save,
    Others(usize),
    Tick,
}

const KEYS: &[&str] = &[
    "a",
    "x",
    "s",
    "f",
    "u",
    "<C-r>",
    ".",
    "j",
    "k",
    "J",
    "1",
    "2",
    "[",
    "]",
    "<F5>",
    "<F2>",
    "<F6>",
    "<F7>",
    "<F8>",
    "e",
    "<Enter>",
    "<Esc>",
    "<Tab>",
    "c",
    "o q",
    "<Space>",
    "v",
    "<C-a>",
    "A",
    "y",
    "E",
    ":",
    "?",
    "q",
    "3",
    "9",
    "<Backspace>",
    "R",
    "n",
    "/",
    ",",
];

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (any::<usize>(), proptest::option::of(0_u32..200)).prop_map(|(action, count)| Event::Act(action, count)),
        8 => proptest::sample::select(KEYS).prop_map(Event::Key),
        1 => "(\\PC|[a-z0-9 =]){0,6}".prop_map(Event::Type),
        1 => any::<usize>().prop_map(Event::Point),
        6 => Just(Event::Draw),
        4 => any::<usize>().prop_map(Event::Answer),
        1 => (0_usize..12).prop_map(Event::Predict),
        1 => Just(Event::Refuse),
        1 => Just(Event::Fail),
        2 => Just(Event::Save),
        1 => (0_usize..12).prop_map(Event::Others),
        1 => Just(Event::Tick),
    ]
}

fn happen(bench: &mut Bench, event: &Event) -> Vec<Effect> {
    match event {
        Event::Act(action, count) => {
            let actions: Vec<Action> = Action::all().collect();
            bench.input(InputKind::Action { action: actions[action % actions.len()], count: *count })
        }
        Event::Key(keys) => bench.burst(keys),
        Event::Type(text) => bench.input(InputKind::Text(text.clone())),
        Event::Point(n) => {
            let points =
                [Point::Field(n % 9), Point::Choice(n % 11), Point::Row(n % 13), Point::Item(n % 40), Point::Confusion(n % 3, n % 2)];
            bench.input(InputKind::Point(points[n / 16 % points.len()]))
        }
        Event::Draw => bench.input(InputKind::Drawn { shown: Shown::Thumbnail }),
        Event::Answer(n) if n % 3 == 0 => {
            bench.answer_pages();
            Vec::new()
        }
        Event::Answer(n) => bench.tell(Message::Page { request: RequestId(*n as u64 % 50), from: 0, total: 12, rows: bench.rows.clone() }),
        Event::Predict(n) => bench.tell(Message::Predicted { sample: id(*n), prediction: Box::new(prediction(77, SCRATCH)) }),
        Event::Refuse => {
            bench.refuse(&Reason::Stale { by: reviewer("ken"), time_ms: 1 });
            Vec::new()
        }
        Event::Fail => {
            let saves = bench.saves();
            saves.into_iter().flat_map(|(save, ..)| bench.tell(Message::SaveFailed { save, error: "full".into() })).collect()
        }
        Event::Save => {
            bench.save_all(5);
            Vec::new()
        }
        Event::Others(n) => {
            let request = RequestId(*n as u64 + 3);
            let theirs = Entry { revision: Revision(3), ..entry(*n, SCRATCH, PASSED) };
            bench.tell(Message::Sample { request, entry: Some(Box::new(theirs)) })
        }
        Event::Tick => bench.wait(5_000),
    }
}

fn hold_invariants(bench: &Bench, seen: Option<&(String, Label)>, effects: &[Effect]) {
    let state = &bench.state;
    assert!(state.queue.cursor < state.queue.len().max(1));
    assert!(state.queue.rows().all(|(index, entry)| index < state.queue.len() && state.queue.place_of(&entry.id) == Some(index)));
    assert!(state.sheet.anchor.is_none_or(|anchor| anchor < state.queue.len().max(1)));
    if let Some(desk) = &state.desk {
        assert!(desk.focus < desk.form.fields().len());
        assert!(desk.form.label().iter().all(|(id, value)| state.schema.field(id).unwrap().allows(value)));
    }
    if let Some(Overlay::Picker(picker)) = &state.overlay {
        assert!(picker.cursor() < picker.visible().len().max(1));
    }
    for effect in effects {
        let Effect::Save { kind, decisions, .. } = effect else { continue };
        for decision in decisions {
            let Change::Approve { label, .. } = &decision.change else { continue };
            let label = Label::from_values(label.iter().map(|(id, value, _)| (state.schema.field(id).unwrap(), value.clone())));
            assert_eq!(breaches(&state.schema, &label), [], "an approval keeps the rules");
            // A verdict that is sent at once says what was seen; one that waited for an earlier save was checked then.
            if let (SaveKind::Single, Some((sample, seen))) = (kind, seen)
                && decision.sample.as_str() == sample
            {
                assert_eq!(label, *seen, "what is approved was shown");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_step_on_a_form_can_be_taken_back_exactly(start in any_entry(), steps in proptest::collection::vec(any_step(), 0..20), last in (0_usize..8, 0_usize..30)) {
        let mut form = Form::new(schema(), Arc::new(start));
        for step in &steps {
            take(&mut form, step);
            prop_assert!(form.label().iter().all(|(id, value)| form.fields().iter().any(|field| field.id == *id && field.allows(value))));
            match form.approval() {
                Ok(_) => prop_assert_eq!(breaches(&schema(), &form.label()), []),
                Err((field, _)) => prop_assert!(field < form.fields().len()),
            }
        }
        let before = form.changes();
        if take(&mut form, &Step::Give(last.0, last.1)) {
            let after = form.changes();
            prop_assert!(form.undo());
            prop_assert_eq!(form.changes(), before);
            prop_assert!(form.redo());
            prop_assert_eq!(form.changes(), after);
        }
        let mut steps = 0;
        while form.undo() { steps += 1; }
        prop_assert!(!form.is_touched());
        for _ in 0..steps { prop_assert!(form.redo()); }
    }

    #[test]
    fn the_rules_hold_live(start in any_entry(), field in 2_usize..5, value in 0_usize..28) {
        let mut form = Form::new(schema(), Arc::new(start));
        if take(&mut form, &Step::Give(field, value)) {
            let given = form.value(field).cloned();
            let values = form.fields()[field].values().unwrap();
            prop_assert_eq!(given.as_ref(), values.get(value), "what was chosen stands");
            let speaks_of_it = |doubt: &Doubt| matches!(doubt, Doubt::Breach(rule) if rule.contains("judgement"));
            prop_assert!(!form.doubts().iter().any(|(_, doubt)| speaks_of_it(doubt)), "{:?}", form.doubts());
        }
    }

    #[test]
    fn nothing_that_happens_breaks_the_screen(events in proptest::collection::vec(any_event(), 1..60)) {
        let texts = ["", PASSED, SCRATCH];
        let mut bench = Bench::new((0..12).map(|index| entry(index, texts[index % 3], texts[index / 3 % 3])).collect());
        for event in &events {
            let seen = bench.state.desk.as_ref().and_then(|desk| Some((desk.entry().id.to_string(), desk.seen_form()?.label())));
            let effects = happen(&mut bench, event);
            hold_invariants(&bench, seen.as_ref(), &effects);
        }
    }

    #[test]
    fn equal_inputs_give_equal_states(events in proptest::collection::vec(any_event(), 1..30)) {
        let run = || {
            let mut bench = Bench::agreed(6);
            let effects: Vec<_> = events.iter().map(|event| happen(&mut bench, event)).collect();
            (bench.state, effects)
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn no_save_is_ever_lost(events in proptest::collection::vec(any_event(), 1..60)) {
        let mut bench = Bench::agreed(6);
        for event in &events {
            happen(&mut bench, event);
        }
        bench.input(InputKind::Action { action: Action::Quit, count: None });
        // Whatever was said, the store hears of it once it answers.
        for _ in 0..200 {
            bench.wait(10);
            if bench.save_all(9) == 0 {
                break;
            }
        }
        prop_assert_eq!(bench.state.history.outstanding(), 0);
    }

    #[test]
    fn a_line_of_text_keeps_its_cursor_on_a_border(texts in proptest::collection::vec("(\\PC|か゛|👨‍👩‍👧|[a b\u{1b}]){0,4}", 1..6), moves in proptest::collection::vec(0_usize..11, 0..30)) {
        use unicode_segmentation::UnicodeSegmentation;
        let actions = [
            Action::EraseBack, Action::EraseForward, Action::EraseWord, Action::CursorLeft, Action::CursorRight, Action::CursorWordLeft,
            Action::CursorWordRight, Action::CursorHome, Action::CursorEnd, Action::EraseLine, Action::CursorLeft,
        ];
        let mut input = TextInput::default();
        for (index, action) in moves.iter().enumerate() {
            input.insert(&texts[index % texts.len()]);
            input.act(actions[*action]);
            prop_assert!(!input.text().chars().any(char::is_control));
            let borders: Vec<usize> = input.text().grapheme_indices(true).map(|(at, _)| at).chain([input.text().len()]).collect();
            prop_assert!(borders.contains(&input.before().len()));
        }
    }
}

#[test]
fn every_action_does_something_somewhere() {
    let places = [
        "",
        "2",
        "2 u",
        "<Left> <Left>",
        "<F5>",
        "<F6>",
        "<F7>",
        "<F8> e",
        "<F2>",
        "<F4>",
        "<F7> e a b <Left>",
        "c <Space> <Down>",
        "c <Right>",
        "o q <Space>",
        "o t <Down>",
        "o t <Right>",
        "w <Down>",
        "w",
        "/ a b <Space> j u <Left>",
        "/ j u",
        ": a <Down>",
        ":",
        "?",
        "? <Down>",
        "c <C-a> A <Down>",
        "c <C-a> A",
        "z",
    ];
    let job = Job {
        kind: JobKind::Predict,
        id: 1,
        title: String::new(),
        state: JobState::Running,
        done: 0,
        total: None,
        per_second: None,
        left_s: None,
        memory: None,
        problem: None,
    };
    let pair = || strings(&["passed", "defective"]);
    let field = |name: &str| FieldStatistics {
        field: mekiki::domain::FieldId::new(name).unwrap(),
        compared: 4,
        agreed: 2,
        confusion: Confusion { labels: pair(), predictions: pair(), counts: vec![vec![1, 1], vec![1, 1]] },
        calibration: vec![],
    };
    let view = |bench: &Bench| {
        let state = bench.state.clone();
        let screens = (state.screen, state.overlay, state.desk, state.queue, state.sheet, state.look);
        (screens, state.stats, state.tasks, state.theme, state.language, state.quitting)
    };
    let mut idle: Vec<Action> = Action::all().collect();
    for place in places {
        idle.retain(|action| {
            let mut bench = Bench::new((0..5).map(|index| entry(index, if index == 1 { PASSED } else { "" }, SCRATCH)).collect());
            bench.state.before = Some((source("old"), None));
            bench.state.changed = Some(Changed { name: "new".into(), source: source("new"), against: source("demo"), count: 1 });
            bench.state.stats.figures =
                Some(Statistics { fields: vec![field("judgement"), field("defect_mode")], ..Statistics::default() });
            bench.tell(Message::Job(job.clone()));
            bench.tell(Message::Job(Job { id: 2, ..job.clone() }));
            bench.keys("<F1> 2 a j");
            bench.save_all(5);
            if !place.is_empty() {
                bench.keys(place);
            }
            bench.draw();
            let before = view(&bench);
            bench.act(*action).is_empty() && view(&bench) == before
        });
    }
    // The schema of this test has ten options and eight fields.
    idle.retain(|action| !matches!(action, Action::ChooseOption(11..) | Action::FocusField(9..)));
    assert_eq!(idle, []);
}
