//! Promise: eight processes decide on one project at once and nothing is lost, nobody gets the same sample, and two Unix
//! accounts of one group can work on one project.

mod store_support;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;

use mekiki::domain::{Edit, Filter};
use mekiki::store::{Decision, DecisionKind, Rebuilt, Store};
use store_support::{again, approve, project, said, schema, who};

const DIR: &str = "MEKIKI_TEST_MANY_DIR";
const NAME: &str = "MEKIKI_TEST_MANY_NAME";
const SAMPLES: usize = 400;

/// Not a test by itself: claims and approves until nothing is left; of every fourth it takes its decision back and
/// decides again.
#[test]
fn reviewer() {
    let (Ok(dir), Ok(name)) = (std::env::var(DIR), std::env::var(NAME)) else { return };
    let mut store = Store::open(Path::new(&dir), &schema()).unwrap();
    let who = who(&name);
    let mut turn = 0;
    while let Some(view) = store.claim_next(&Filter::default(), &who.reviewer, &name).unwrap() {
        println!("\nclaimed {}", view.sample.id);
        let decide = |store: &mut Store, base, edit| {
            let decision = Decision { sample: view.sample.id.clone(), base, edit };
            let outcome = store.decide(&who, DecisionKind::Single, "many", &[decision]).unwrap();
            assert_eq!(outcome.refused, []);
        };
        turn += 1;
        if turn % 4 == 0 {
            decide(&mut store, view.revision, Edit::Flag(true));
            assert_eq!(store.undo(&who).unwrap().applied, std::slice::from_ref(&view.sample.id));
            let base = store.sample(&view.sample.id).unwrap().revision;
            decide(&mut store, base, approve(&view.label));
        } else {
            decide(&mut store, view.revision, approve(&view.label));
        }
    }
}

#[test]
fn eight_processes_decide_at_once() {
    let dir = tempfile::tempdir().unwrap();
    drop(project(dir.path(), SAMPLES));
    let children: Vec<_> = (0..8)
        .map(|n| again("reviewer", &[(DIR, dir.path().to_str().unwrap()), (NAME, &format!("reviewer {n}"))]).spawn().unwrap())
        .collect();
    let claimed: Vec<String> = children.into_iter().flat_map(|child| said(child, "claimed ")).collect();
    assert_eq!(claimed.len(), SAMPLES);
    assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len(), SAMPLES, "somebody got another's sample");
    let mut store = Store::open(dir.path(), &schema()).unwrap();
    assert_eq!(store.stats().unwrap().approved, SAMPLES as u64);
    let approved = store.approved(None, SAMPLES + 1).unwrap();
    assert_eq!((approved.samples.len(), approved.problems.len(), approved.next), (SAMPLES, 0, None));
    let log = store.log(None, 10_000).unwrap();
    assert!(log.windows(2).all(|pair| pair[0].parent == Some(pair[1].id)), "the log is one chain");
    assert_eq!(store.rebuild().unwrap(), Rebuilt::default());
}

#[test]
fn two_accounts_of_one_group_share_a_project() {
    const GROUP: u32 = 54_321;
    if !rustix::process::getuid().is_root() {
        println!("not checked: only root can act as two accounts");
        return;
    }
    let dir = tempfile::Builder::new().prefix("mekiki-shared").tempdir_in("/tmp").unwrap();
    chown(dir.path(), Some(60_001), Some(GROUP)).unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o770)).unwrap();
    // A copy of this program where both accounts can run it.
    let tools = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir_in("/tmp").unwrap();
    let program = tools.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let run = |test: &str, uid: u32, name: &str| {
        let mut command = std::process::Command::new(&program);
        command.args(["--exact", test, "--nocapture"]).env(DIR, dir.path()).env(NAME, name).uid(uid).gid(GROUP);
        let output = command.output().unwrap();
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{told}");
        told
    };
    run("founder", 60_001, "aiko");
    assert!(run("reviewer_of_one", 60_002, "ben").contains("approved"));
    assert!(run("reviewer_of_one", 60_001, "aiko").contains("approved"));
    let store = Store::open(dir.path(), &schema()).unwrap();
    assert_eq!(store.stats().unwrap().approved, 2);
    drop(store);
    // Somebody else may look, where nothing can be written.
    for (place, mode) in [("", 0o555), (".mekiki", 0o555), (".mekiki/store.sqlite", 0o444)] {
        fs::set_permissions(dir.path().join(place), Permissions::from_mode(mode)).unwrap();
    }
    assert!(run("looker", 60_003, "guest").contains("approved 2"));
}

/// Not a test by itself: looks at a project.
#[test]
fn looker() {
    if let (Ok(dir), Ok(_)) = (std::env::var(DIR), std::env::var(NAME)) {
        let store = Store::open_read_only(Path::new(&dir), &schema()).unwrap();
        println!("approved {}", store.stats().unwrap().approved);
    }
}

/// Not a test by itself: makes a project.
#[test]
fn founder() {
    if let (Ok(dir), Ok(_)) = (std::env::var(DIR), std::env::var(NAME)) {
        drop(project(Path::new(&dir), 2));
    }
}

/// Not a test by itself: claims and approves one sample.
#[test]
fn reviewer_of_one() {
    let (Ok(dir), Ok(name)) = (std::env::var(DIR), std::env::var(NAME)) else { return };
    let mut store = Store::open(Path::new(&dir), &schema()).unwrap();
    let view = store.claim_next(&Filter::default(), &who(&name).reviewer, &name).unwrap().unwrap();
    let decision = Decision { sample: view.sample.id, base: view.revision, edit: approve(&view.label) };
    assert_eq!(store.decide(&who(&name), DecisionKind::Single, "many", &[decision]).unwrap().refused, []);
    println!("approved");
}
