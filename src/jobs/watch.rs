//! Predictions as they are stored, whoever stores them: the screen hears of each.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Report;
use crate::domain::PredictionSource;
use crate::review::Message;
use crate::store::{Store, StoreError};

/// Between two looks, unless somebody in this process says that there is something to see.
const LOOK: Duration = Duration::from_millis(400);
/// How many predictions are reported in one go.
const MOST: usize = 256;

#[derive(Debug)]
struct Post {
    source: PredictionSource,
    poked: bool,
    over: bool,
}

/// What the watch and those who call it share.
#[derive(Debug)]
pub(super) struct Bell {
    post: Mutex<Post>,
    rung: Condvar,
}

impl Bell {
    fn post(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is something to see.
    pub(super) fn ring(&self) {
        self.post().poked = true;
        self.rung.notify_all();
    }

    /// Looks for the predictions of this source from now on.
    pub(super) fn watch(&self, source: PredictionSource) {
        self.post().source = source;
    }
}

/// The thread that watches. Dropping this ends it.
#[derive(Debug)]
pub(super) struct Watch {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches from now on: what is stored already is not reported.
    pub(super) fn start(store: Store, source: PredictionSource, report: Report) -> Result<Self, StoreError> {
        let seen = store.newest_prediction()?;
        let bell = Arc::new(Bell { post: Mutex::new(Post { source, poked: false, over: false }), rung: Condvar::new() });
        let theirs = Arc::clone(&bell);
        let thread = std::thread::spawn(move || watch(&theirs, &store, &report, seen));
        Ok(Self { bell, thread: Some(thread) })
    }

    /// By which the watch is called.
    pub(super) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.bell.post().over = true;
        self.bell.rung.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(bell: &Bell, store: &Store, report: &Report, mut seen: i64) {
    let mut version = None;
    loop {
        let source = {
            let mut post = bell.post();
            if !post.poked && !post.over {
                post = bell.rung.wait_timeout(post, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            }
            if post.over {
                return;
            }
            post.poked = false;
            post.source.clone()
        };
        // What cannot be read now is read the next time; whoever decides hears of it from the store itself.
        let Ok(now) = store.version() else { continue };
        if version == Some(now) {
            continue;
        }
        let Ok(found) = store.predictions_after(&source, seen, MOST) else { continue };
        if found.len() < MOST {
            version = Some(now);
        }
        for (sample, prediction) in found {
            seen = seen.max(prediction.id);
            report(Message::Predicted { sample, prediction: Box::new(prediction) });
        }
    }
}
