//! The other half of the loop on the screen: exports, trainings, what changed with them.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::*;
use mekiki::domain::{Filter, PredictionSource};
use mekiki::review::*;

fn bench() -> Bench {
    Bench::new((0..4).map(|index| entry(index, PASSED, SCRATCH)).collect())
}

fn job(kind: JobKind, state: JobState) -> Job {
    Job {
        id: 77,
        kind,
        title: "adapter-1".into(),
        state,
        done: 3,
        total: Some(10),
        per_second: None,
        left_s: None,
        memory: None,
        problem: None,
    }
}

const TRAINING: JobKind = JobKind::Train { loss: Some(0.5), held_out: Some(0.75) };

fn adapted() -> PredictionSource {
    PredictionSource { adapter: Some("adapter-1".into()), ..source("demo") }
}

#[test]
fn a_training_set_is_asked_for_with_its_folder() {
    let mut bench = bench();
    bench.keys("W");
    let effects = bench.keys("<C-u> o u t <Enter>");
    assert_eq!(effects, [Effect::Export { folder: "out".into() }]);
    bench.tell(Message::Exported(Err("disk full".into())));
    assert_eq!(bench.notice(), "no training set was written: disk full");
    let set = Exported {
        path: "/p/out".into(),
        conversations: 7,
        changed: 2,
        withdrawn: 1,
        refused: 3,
        first_refused: Some(("s9".into(), "its image changed".into())),
    };
    bench.tell(Message::Exported(Ok(Box::new(set))));
    assert_eq!(bench.notice(), "7 conversations in /p/out: 2 new or changed, 1 withdrawn; 3 left out: s9 (its image changed)");
    // From the palette too, and without an answer nothing happens.
    assert_eq!(bench.keys(": e x p o r t <Enter> <Esc>"), []);
    assert_eq!(bench.keys("W <C-u> <Enter>"), []);
}

#[test]
fn a_training_has_a_name_that_is_free_and_options() {
    let mut bench = bench();
    let adapters = vec!["adapter-1".into(), "adapter-3".into()];
    bench.tell(Message::Sources(Sources { adapters, ..Sources::default() }));
    let effects = bench.keys("m t <Space> - - s t e p s <Space> 5 <Enter>");
    let options = strings(&["--steps", "5"]);
    assert_eq!(effects, [Effect::Train { name: "adapter-2".into(), options }]);
    assert_eq!(bench.keys("m t <C-u> - - s t e p s <Enter>"), []);
    assert!(matches!(&bench.state.overlay, Some(Overlay::Prompt(prompt)) if prompt.problem.is_some()));
    bench.keys("<Esc>");
    bench.tell(Message::TrainingBegun(Err("ken trains other".into())));
    assert_eq!(bench.notice(), "nothing is trained: ken trains other");
}

#[test]
fn a_training_can_be_stopped_and_taken_up_again_and_an_export_cannot() {
    let mut bench = bench();
    bench.tell(Message::Job(job(TRAINING, JobState::Running)));
    bench.keys("w");
    assert_eq!(bench.keys("x"), [Effect::CancelJob(77)]);
    assert!(bench.notice().contains("with a checkpoint"));
    let effects = bench.tell(Message::Job(job(TRAINING, JobState::Cancelled)));
    assert_eq!(effects, [], "no prediction has changed");
    assert_eq!(bench.keys("+"), [Effect::RaiseJob(77)]);
    bench.tell(Message::Job(job(JobKind::Export, JobState::Running)));
    assert_eq!(bench.keys("x"), []);
}

#[test]
fn what_changed_opens_only_when_the_reviewer_wants_it() {
    let mut bench = bench();
    bench.keys("/ s t a t e = u n d e c i d e d <Enter>");
    bench.answer_pages();
    assert_eq!(bench.keys("m c"), []);
    let (order, on_desk) = (bench.state.queue.order, bench.on_desk().to_owned());
    let changed = Changed { name: "adapter-1".into(), source: adapted(), against: source("demo"), count: 3 };
    assert_eq!(bench.tell(Message::Changed(Box::new(changed))), []);
    assert_eq!((bench.state.queue.order, bench.on_desk()), (order, on_desk.as_str()));
    assert_eq!(bench.state.source, source("demo"));
    assert_eq!(bench.notice(), "adapter-1 says something else of 3 samples; open-changes shows them");
    let effects = bench.keys("m c");
    assert!(effects.contains(&Effect::UseSource(adapted())));
    let asked = effects.iter().find_map(|effect| if let Effect::LoadPage { query, .. } = effect { Some(query) } else { None }).unwrap();
    assert_eq!((&asked.source, asked.against.as_ref(), &asked.filter), (&adapted(), Some(&source("demo")), &Filter::default()));
    assert_eq!((bench.state.screen, bench.state.changed.is_none()), (Screen::Queue, true));
    assert_eq!(bench.state.before, Some((source("demo"), Some(3))));
}

#[test]
fn whoever_rests_says_why() {
    let mut bench = bench();
    bench.tell(Message::Resting(Some("adapter-1".into())));
    assert_eq!(bench.state.resting.as_deref(), Some("adapter-1"));
    bench.tell(Message::TrainingEnded { name: "adapter-1".into(), ending: Ending::Stopped(5) });
    assert!(bench.notice().starts_with("the training of adapter-1 was stopped after 5 steps"));
    bench.tell(Message::Resting(None));
    assert_eq!(bench.state.resting, None);
}
