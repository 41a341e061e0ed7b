//! Several batches under way at once.

use super::*;

#[test]
fn an_accelerator_has_two_batches_under_way_and_whoever_waits_beside_them() {
    let scene = Scene::in_lanes(60, &[], false, 2);
    scene.stage.let_pass(0);
    let task = scene.predict_all();
    until(|| (scene.stage.sizes() == [4, 4]).then_some(()));
    // A third of the rest is ready and waits; what is on the screen does not.
    until(|| (scene.predicting.shared.board().wants.task(task)?.taken == 12).then_some(()));
    scene.predicting.want(Priority::Now, ids([50]));
    until(|| (scene.stage.sizes() == [4, 4, 1]).then_some(()));
    scene.stage.let_pass(1000);
    assert_eq!(scene.ended(task).failed, 1);
    assert_eq!(scene.predictions("demo"), 59);
    let each: Vec<SampleId> = scene.stage.batches().into_iter().flatten().collect();
    assert_eq!(each.len(), 59, "each once: {each:?}");
    assert_eq!(scene.stage.under_way.lock().unwrap().1, 3);
}

#[test]
fn what_does_not_fit_beside_another_batch_is_tried_alone() {
    let scene = Scene::in_lanes(8, &[Act::OutOfMemory], false, 2);
    scene.stage.let_pass(0);
    let task = scene.predict_all();
    until(|| (scene.stage.sizes() == [4, 4]).then_some(()));
    scene.stage.let_pass(1);
    // The one that did not fit waits for the other one to end, which may not go on yet.
    until(|| (*scene.stage.under_way.lock().unwrap() == (vec![4], 2)).then_some(()));
    assert_eq!(*scene.stage.relieved.lock().unwrap(), 0);
    scene.stage.let_pass(1000);
    assert_eq!(scene.ended(task).made, 8);
    let sizes: Vec<usize> = scene.stage.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [4, 4, 2, 2]);
    assert_eq!(*scene.stage.relieved.lock().unwrap(), 1);
}

#[test]
fn a_fault_in_one_lane_ends_the_others_and_loses_nothing() {
    let scene = Scene::in_lanes(20, &[Act::Panics], false, 2);
    scene.stage.let_pass(0);
    let task = scene.predict_all();
    until(|| (scene.stage.sizes() == [4, 4]).then_some(()));
    scene.stage.let_pass(1000);
    assert!(scene.ended(task).problem.unwrap().contains("index out of bounds"));
    until(|| (*scene.stage.alive.lock().unwrap() == 0).then_some(()));
    scene.predicting.raise(task);
    until(|| scene.predicting.outcome(task).filter(|made| made.problem.is_none()));
    assert_eq!(scene.predictions("demo"), 19);
}
