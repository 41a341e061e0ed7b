//! What every screen shows, and that no screen breaks at any size or with any data.
#![allow(clippy::unwrap_used)]

mod bench;

use bench::*;
use mekiki::review::*;
use mekiki::tui::sketch;

const SIZES: [(u16, u16); 2] = [(80, 24), (120, 40)];

fn text(bench: &Bench, width: u16, height: u16) -> String {
    let buffer = sketch(&bench.state, &bench.keymap, "pins demo", width, height);
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect::<Vec<_>>().join("\n")
}

fn rows() -> Vec<Entry> {
    let mut rows: Vec<Entry> = (0..30)
        .map(|index| match index % 3 {
            0 => entry(index, PASSED, SCRATCH),
            1 => entry(index, SCRATCH, SCRATCH),
            _ => entry(index, "", PASSED),
        })
        .collect();
    rows[2].flagged = true;
    "傷が薄い".clone_into(&mut rows[0].comment);
    rows
}

/// Each screen by its name, and the keys that lead there.
fn screens() -> Vec<(&'static str, Bench)> {
    let keys = [
        ("sample", ""),
        ("sample-editing", "<F4> e s"),
        ("sheet", "o c <Space> <Space>"),
        ("queue", "o q"),
        ("tasks", "o w"),
        ("help", "?"),
        ("palette", ": a p p"),
        ("filter", "/ j u d"),
    ];
    let mut screens: Vec<(&str, Bench)> = keys
        .into_iter()
        .map(|(name, keys)| {
            let mut bench = Bench::new(rows());
            if !keys.is_empty() {
                bench.keys(keys);
            }
            (name, bench)
        })
        .collect();
    screens.extend([("sheet-likeness", by_likeness()), ("sheet-answer", by_answer())]);
    let mut stats = Bench::new(rows());
    stats.keys("o t");
    stats.state.stats.figures = Some(figures());
    screens.push(("stats", stats));
    let mut working = Bench::new(rows());
    let job = |id, state, problem: Option<&str>| Job {
        id,
        kind: JobKind::Predict,
        title: "demo zero-shot".into(),
        state,
        done: 120,
        total: Some(480),
        per_second: Some(21.3),
        left_s: Some(17.0),
        memory: Some(3_200_000_000),
        problem: problem.map(str::to_owned),
    };
    working.keys("o w");
    let problem = "models: no model demo there; put its folder into it, or use another one";
    working.tell(Message::Job(job(1, JobState::Failed, Some(problem))));
    working.tell(Message::Job(job(2, JobState::Running, None)));
    screens.push(("tasks-at-work", working));
    let mut learning = Bench::new(rows());
    learning.keys("o w");
    let train = JobKind::Train { loss: Some(0.1234), held_out: Some(0.875) };
    let training = Job { kind: train, title: "adapter-1 (ken)".into(), per_second: None, ..job(3, JobState::Running, None) };
    learning.tell(Message::Job(training));
    learning.tell(Message::Job(Job {
        kind: JobKind::Export,
        title: "training-set".into(),
        per_second: None,
        left_s: None,
        memory: None,
        ..job(4, JobState::Done, None)
    }));
    learning.tell(Message::Resting(Some("adapter-1".into())));
    let against = learning.state.source.clone();
    let source = mekiki::domain::PredictionSource { adapter: Some("adapter-0".into()), ..against.clone() };
    let changed = Changed { name: "adapter-0".into(), source, against, count: 34 };
    learning.tell(Message::Changed(Box::new(changed)));
    screens.push(("tasks-learning", learning));
    screens
}

/// Answers what groups were asked for.
fn grouped(bench: &mut Bench, groups: Vec<Group>) {
    bench.answer_pages();
    let asked = bench.effects.iter().rev().find_map(|effect| match effect {
        Effect::LoadGroups { request, .. } => Some(*request),
        _ => None,
    });
    bench.tell(Message::Groups { request: asked.unwrap(), groups, problem: None });
}

fn by_likeness() -> Bench {
    let mut rows = rows();
    for (index, row) in rows.iter_mut().enumerate() {
        row.cluster = (index < 28).then_some(u32::from(index >= 17));
        row.outlier = row.cluster.map(|_| 0.97 - (index % 17) as f32 * 0.05);
    }
    rows[1].duplicate_of = Some(id(9));
    let mut bench = Bench::new(rows);
    bench.keys("o c G G O");
    let group = |from, len, cluster| Group { from, len, name: GroupName::Cluster(cluster) };
    grouped(&mut bench, vec![group(0, 17, Some(0)), group(17, 11, Some(1)), group(28, 2, None)]);
    bench.keys("<Down> <Down> <Down> <Down>");
    bench
}

fn by_answer() -> Bench {
    let mut bench = Bench::new(rows());
    bench.keys("o c G");
    let answer = |from, len, texts: &[&str]| Group { from, len, name: GroupName::Answer(strings(texts)) };
    let scratch = ["DST", "27", "defective", "scratch", "U3"];
    grouped(&mut bench, vec![answer(0, 1, &[]), answer(1, 6, &scratch), answer(7, 23, &["DST", "27", "passed", "passed", "none"])]);
    bench
}

fn figures() -> Statistics {
    let confusion = Confusion {
        labels: strings(&["passed", "defective"]),
        predictions: strings(&["passed", "defective"]),
        counts: vec![vec![100, 4], vec![7, 89]],
    };
    let field = |field: &mekiki::domain::Field| FieldStatistics {
        field: field.id.clone(),
        compared: 200,
        agreed: 189,
        confusion: confusion.clone(),
        calibration: (0..10).map(|bin| (bin * 4, bin * 3)).collect(),
    };
    Statistics {
        fields: schema().fields().iter().map(field).collect(),
        paces: vec![Pace { reviewer: reviewer("aki"), decided: 40, per_hour: Some(120.0) }],
        undecided: 160,
        left_s: Some(4800.0),
    }
}

#[test]
fn every_screen_reads_as_it_should() {
    for (name, bench) in screens() {
        for (width, height) in SIZES {
            insta::assert_snapshot!(format!("tui-{name}-{width}x{height}"), text(&bench, width, height));
        }
    }
}

#[test]
fn no_window_is_too_small_or_too_large() {
    for (name, bench) in screens() {
        for width in (1..40).chain([59, 60, 61, 200, 300]) {
            for height in [1, 2, 3, 15, 16, 17, 60, 100] {
                let shown = text(&bench, width, height);
                assert!(width < 60 || height < 16 || shown.contains("pins"), "{name} {width} × {height}");
            }
        }
    }
}

#[test]
fn nothing_from_data_acts_on_the_terminal() {
    let hostile = "a\u{1b}]0;x\u{7}\u{202e}\u{200b}\r\n\t目利き";
    for keys in ["", "o c", "o q", "C"] {
        let mut rows = rows();
        rows[0].comment = hostile.to_owned();
        let mut bench = Bench::new(rows);
        if !keys.is_empty() {
            bench.keys(keys);
        }
        bench.tell(Message::Error(hostile.to_owned()));
        for (width, height) in SIZES {
            let shown = text(&bench, width, height);
            let bad = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}');
            assert!(!shown.contains(bad), "{shown:?}");
        }
    }
}
