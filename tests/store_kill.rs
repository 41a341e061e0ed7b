//! Promise: a decision that was acknowledged is there after a SIGKILL, once, and derived tables are what the log makes
//! of them.

mod store_support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use mekiki::domain::Edit;
use mekiki::store::{Decision, DecisionKind, Rebuilt, Store};
use store_support::{again, id, project, schema, who};

const KILLS: u32 = 200;
const SAMPLES: usize = 40;
const DIR: &str = "MEKIKI_TEST_KILL_DIR";
/// The text of the next remark, so that each one is written only once.
const FIRST: &str = "MEKIKI_TEST_KILL_FIRST";

/// Not a test by itself: decides as fast as it can until it is killed.
#[test]
fn writer() {
    let (Ok(dir), Ok(first)) = (std::env::var(DIR), std::env::var(FIRST)) else { return };
    let mut store = Store::open(Path::new(&dir), &schema()).unwrap();
    for n in first.parse::<u64>().unwrap().. {
        let sample = id(n as usize % SAMPLES);
        let base = store.sample(&sample).unwrap().revision;
        let edit = if n % 7 == 0 { Edit::Reject } else { Edit::Comment(n.to_string()) };
        let outcome = store.decide(&who("aiko"), DecisionKind::Single, &n.to_string(), &[Decision { sample, base, edit }]).unwrap();
        println!("\ndone {n} {}", outcome.operation.unwrap());
        std::io::stdout().flush().unwrap();
        if n % 5 == 0 {
            let undone = store.undo(&who("aiko")).unwrap();
            println!("\nundone {n} {}", undone.operation);
            std::io::stdout().flush().unwrap();
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    drop(project(dir.path(), SAMPLES));
    let mut acknowledged: BTreeMap<String, &str> = BTreeMap::new();
    let mut next = 1;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..KILLS {
        let text = next.to_string();
        let mut child = again("writer", &[(DIR, dir.path().to_str().unwrap()), (FIRST, &text)]).spawn().unwrap();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let until = Instant::now() + Duration::from_micros(5_000 + (random >> 40) % 60_000);
        let reader = BufReader::new(child.stdout.take().unwrap());
        let lines = std::thread::spawn(move || reader.lines().map_while(Result::ok).collect::<Vec<String>>());
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.join().unwrap() {
            if let [what @ ("done" | "undone"), n, operation] = line.split(' ').collect::<Vec<_>>()[..] {
                assert_eq!(acknowledged.insert(operation.to_owned(), if what == "done" { "decide" } else { "undo" }), None);
                next = next.max(n.parse::<u64>().unwrap() + 1);
            }
        }
        // What was written but not acknowledged is not written again.
        let store = Store::open_read_only(dir.path(), &schema()).unwrap();
        let last = store.log(None, 20).unwrap().iter().find_map(|operation| operation.source.parse::<u64>().ok());
        next = next.max(last.unwrap_or(0) + 1);
    }
    let mut store = Store::open(dir.path(), &schema()).unwrap();
    let log = store.log(None, usize::MAX >> 1).unwrap();
    assert!(acknowledged.len() > KILLS as usize, "only {} decisions in {KILLS} runs: the test shows nothing", acknowledged.len());
    for (operation, kind) in &acknowledged {
        let found: Vec<_> = log.iter().filter(|logged| logged.id.to_string() == *operation).map(|logged| logged.kind.name()).collect();
        assert_eq!(found, [*kind], "{operation}");
    }
    let mut sources: Vec<&str> = log.iter().filter(|logged| logged.kind.name() == "decide").map(|logged| logged.source.as_str()).collect();
    sources.sort_unstable();
    assert!(sources.windows(2).all(|pair| pair[0] != pair[1]), "a decision is there twice");
    assert_eq!(store.rebuild().unwrap(), Rebuilt::default());
}
