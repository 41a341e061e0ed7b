//! One training at a time in a project: a lock, and beside it what everybody may know of who trains what.
//!
//! The lock is the operating system's, on `.mekiki/training.lock`: it goes with the process that holds it, however that
//! ends, and no number of a process is trusted. `.mekiki/training.json` is written by whoever holds the lock; where nobody
//! does, it tells of the last training. `.mekiki/training.stop` holds the id of a training that is asked to stop.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// More than a description of a training ever takes, in bytes.
const MOST_BYTES: u64 = 1 << 20;
/// Whoever looks whether the lock is free holds it for a moment: so often it is tried again, and after so long.
const TRIES: (u32, Duration) = (10, Duration::from_millis(20));

/// A training of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Training {
    /// Its own name: no other training has it.
    pub id: String,
    /// What the model or the adapter will be called: the name of its folder.
    pub name: String,
    /// The folder that is written.
    pub folder: PathBuf,
    /// The log, a JSON object a line.
    pub log: PathBuf,
    /// The checkpoint that is trained or adapted; `None` for a new one.
    pub base: Option<PathBuf>,
    /// Whether it becomes an adapter.
    pub adapter: bool,
    /// Who started it.
    pub reviewer: String,
    /// On which machine.
    pub host: String,
    /// Its process, for whoever looks for it.
    pub pid: u32,
    /// When it was started, in milliseconds since 1970.
    pub started_ms: i64,
    /// Steps in all, at most.
    pub steps: u64,
    /// Bytes of memory that it takes at the most, by the plan.
    pub needs: Option<u64>,
    /// Whether models that predict may stay in memory beside it.
    pub beside: bool,
    /// How it stands.
    pub stand: Stand,
}

/// How a training stands, by its own account: one that is killed has no last word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Stand {
    /// Samples are read, the model is loaded.
    Preparing,
    /// It makes steps.
    Running,
    /// It has ended, and what it made is saved.
    Finished {
        /// Steps made.
        steps: u64,
    },
    /// It was stopped, and can be gone on with.
    Stopped {
        /// Steps made.
        steps: u64,
    },
    /// It went wrong.
    Failed {
        /// Why.
        problem: String,
    },
}

/// A training as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What is known of it.
    pub training: Training,
    /// Whether its process lives.
    pub alive: bool,
}

/// Why a training cannot have the project for itself.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another one has it.
    #[error("{}", taken(.0.as_deref()))]
    Taken(Option<Box<Training>>),
    /// A file.
    #[error("{path}: {source}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

fn taken(by: Option<&Training>) -> String {
    let advice = "one training at a time in a project; wait for its end, or stop it with 'mekiki train --stop'";
    match by {
        Some(training) => {
            let Training { reviewer, name, host, pid, .. } = training;
            format!("{reviewer} trains {name} in this project (process {pid} on {host}); {advice}")
        }
        None => format!("another process trains in this project; {advice}"),
    }
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> LockError {
    move |source| LockError::Io { path: path.to_owned(), source }
}

fn file(project: &Path, name: &str) -> PathBuf {
    project.join(".mekiki").join(name)
}

/// The lock, held until this is dropped.
#[derive(Debug)]
pub struct Lock {
    project: PathBuf,
    training: Training,
    /// Holds the lock.
    _file: File,
}

impl Lock {
    /// Takes the project's training lock, and says who trains what.
    pub fn take(project: &Path, training: Training) -> Result<Self, LockError> {
        let path = file(project, "training.lock");
        let folder = project.join(".mekiki");
        fs::create_dir_all(&folder).map_err(io_at(&folder))?;
        let lock = open(project, &path).map_err(io_at(&path))?;
        let (tries, pause) = TRIES;
        for nth in 1..=tries {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if nth < tries => std::thread::sleep(pause),
                Err(TryLockError::WouldBlock) => return Err(LockError::Taken(read(project).map(Box::new))),
                Err(TryLockError::Error(error)) => return Err(io_at(&path)(error)),
            }
        }
        let lock = Self { project: project.to_owned(), training, _file: lock };
        lock.forget_stop();
        lock.write()?;
        Ok(lock)
    }

    /// What is known of the training.
    pub fn training(&self) -> &Training {
        &self.training
    }

    /// Says something else of the training.
    pub fn change(&mut self, change: impl FnOnce(&mut Training)) -> Result<(), LockError> {
        change(&mut self.training);
        self.write()
    }

    fn write(&self) -> Result<(), LockError> {
        let text = serde_json::to_vec_pretty(&self.training).map_err(|error| io_at(&self.training.folder)(error.into()))?;
        replace(&self.project, "training.json", &text)
    }

    fn forget_stop(&self) {
        // Where it stays, it names another training.
        let _ = fs::remove_file(file(&self.project, "training.stop"));
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.forget_stop();
    }
}

/// Whoever may write into the project may write this.
fn mode(project: &Path) -> Permissions {
    Permissions::from_mode(fs::metadata(project).map_or(0o600, |about| about.permissions().mode() & 0o666))
}

/// Replaces a file whole.
fn replace(project: &Path, name: &str, bytes: &[u8]) -> Result<(), LockError> {
    let path = file(project, name);
    let written = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(project);
        let mut fresh = tempfile::Builder::new().prefix(".training-").permissions(mode(project)).tempfile_in(folder)?;
        fresh.write_all(bytes)?;
        fresh.persist(&path).map_err(|error| error.error)?;
        Ok(())
    };
    written().map_err(io_at(&path))
}

fn open(project: &Path, path: &Path) -> io::Result<File> {
    let made = OpenOptions::new().create_new(true).write(true).open(path);
    match made {
        Ok(file) => {
            // Of somebody else's folder it may stay as it is: it is locked as well when it can only be read.
            let _ = file.set_permissions(mode(project));
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => File::open(path),
        Err(error) => Err(error),
    }
}

fn read(project: &Path) -> Option<Training> {
    let mut text = String::new();
    File::open(file(project, "training.json")).ok()?.take(MOST_BYTES).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Whether somebody holds the lock.
fn is_held(project: &Path) -> bool {
    let Ok(lock) = File::open(file(project, "training.lock")) else { return false };
    // It is given back with the file.
    matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// The training that goes on in a project, else the last one.
pub fn look(project: &Path) -> Option<Seen> {
    loop {
        let training = read(project)?;
        let alive = is_held(project);
        // Another one may have begun, or this one may have said its last word, between the two looks.
        if alive || read(project).as_ref() == Some(&training) {
            return Some(Seen { training, alive });
        }
    }
}

/// Asks a training to stop, as soon as its step is made, with a checkpoint from which it can be gone on with.
pub fn ask_to_stop(project: &Path, id: &str) -> Result<(), LockError> {
    replace(project, "training.stop", id.as_bytes())
}

/// Whether a training is asked to stop.
pub fn is_asked_to_stop(project: &Path, id: &str) -> bool {
    let mut asked = String::new();
    let read = File::open(file(project, "training.stop")).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut asked));
    read.is_ok() && asked.trim() == id
}

/// Whether a model that predicts may stay in memory beside a training: what the training takes at the most, and twice the
/// weights of its base for one that predicts, fit into what is free. Where one of them is not known, it may not.
pub fn fits_beside(needs: u64, weights: Option<u64>, free: Option<u64>) -> bool {
    let all = weights.and_then(|weights| needs.checked_add(weights.checked_mul(2)?));
    all.zip(free).is_some_and(|(all, free)| all <= free)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn training(id: &str) -> Training {
        Training {
            id: id.to_owned(),
            name: "scratches".to_owned(),
            folder: "models/scratches".into(),
            log: "models/scratches/train.jsonl".into(),
            base: None,
            adapter: true,
            reviewer: "aki".to_owned(),
            host: "gpu-1".to_owned(),
            pid: 4711,
            started_ms: 1,
            steps: 1000,
            needs: Some(1 << 30),
            beside: true,
            stand: Stand::Preparing,
        }
    }

    #[test]
    fn a_second_training_is_refused_and_the_first_named() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(look(dir.path()), None);
        let mut first = Lock::take(dir.path(), training("a")).unwrap();
        let refused = Lock::take(dir.path(), training("b")).unwrap_err().to_string();
        assert!(refused.starts_with("aki trains scratches in this project (process 4711 on gpu-1)"), "{refused}");
        assert!(look(dir.path()).unwrap().alive);
        first.change(|training| training.stand = Stand::Stopped { steps: 7 }).unwrap();
        drop(first);
        let seen = look(dir.path()).unwrap();
        assert_eq!((seen.alive, &seen.training.stand, seen.training.id.as_str()), (false, &Stand::Stopped { steps: 7 }, "a"));
        assert_eq!(Lock::take(dir.path(), training("b")).unwrap().training().id, "b");
    }

    #[test]
    fn only_the_training_that_is_meant_stops() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path(), training("a")).unwrap();
        ask_to_stop(dir.path(), "b").unwrap();
        assert!(!is_asked_to_stop(dir.path(), "a"));
        ask_to_stop(dir.path(), "a").unwrap();
        assert!(is_asked_to_stop(dir.path(), "a"));
        drop(lock);
        assert!(!is_asked_to_stop(dir.path(), "a"), "it is forgotten with the training");
    }

    #[test]
    fn what_is_not_known_does_not_fit() {
        let gb = |gb: u64| Some(gb << 30);
        assert!(fits_beside(10 << 30, gb(4), gb(18)));
        assert!(!fits_beside(10 << 30, gb(4), gb(17)));
        assert!(!fits_beside(1 << 30, None, gb(80)) && !fits_beside(1 << 30, gb(1), None));
    }
}
