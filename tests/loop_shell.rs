//! Promise: `examples/loop.sh` goes round the whole loop with this program, on the demo.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

#[test]
fn the_loop_from_the_shell() {
    if Command::new("bash").arg("--version").output().is_err() {
        println!("skipped: there is no bash, which the script is written for");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/loop.sh");
    let mut command = Command::new("bash");
    command.arg(script).arg(folder.path()).env("MEKIKI", env!("CARGO_BIN_EXE_mekiki"));
    for variable in ["XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "HOME"] {
        command.env(variable, &home);
    }
    let run = command.env("SOME_SAMPLES", "id=raw-000*").output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    // Every step has worked on the same samples.
    let samples = said.lines().filter(|line| line.contains(" samples predicted by demo")).collect::<Vec<_>>();
    let [first, second] = samples[..] else { panic!("{said}") };
    let count = |line: &str| line.split(' ').next().unwrap().to_owned();
    assert_eq!(count(first), count(second));
    for told in
        [" approved, 0 refused", " conversations (", "trained 2 steps on 4 conversations", " flips in 5 fields: ", "demo + scratches"]
    {
        assert!(said.contains(told), "{told}\n{said}");
    }
    assert!(said.contains(&format!("{} approved, 0 refused", count(first))));
    let set = std::fs::read_to_string(folder.path().join("training-set/metadata.jsonl")).unwrap();
    assert_eq!(set.lines().count().to_string(), count(first));
    assert!(folder.path().join("demo/models/scratches/adapter_model.safetensors").is_file());
    // What it makes lies where it was told to, and nowhere else.
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0);
}
