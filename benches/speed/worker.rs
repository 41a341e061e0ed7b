//! The worker of `mekiki predict` and of the review, from image files to stored fields.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mekiki::config::Project;
use mekiki::domain::{Exemplar, Kind, Label, PredictionSource, RelativePath, ReviewerName, SampleId, SampleOrigin};
use mekiki::jobs::predict::{Compute, Eye, Loads, Named, Office, Predicting, Seer, Seers, Trouble, Work, keep};
use mekiki::model::predictor::Spent;
use mekiki::review::{Job, JobState, Priority};
use mekiki::store::{NewImage, NewSample, PredictedFields, Store, Who};

use super::{Peak, TYPE, count, id, ms, project, query};

/// Samples that are asked for one by one.
const SINGLE: usize = 32;
/// How long anything may take.
const LONG: Duration = Duration::from_secs(300);

/// What loads the models, and lets their stages' times be seen.
struct Watched {
    seers: Seers,
    loaded: Arc<Mutex<Option<Arc<Seer>>>>,
}

struct Shown(Arc<Seer>);

impl Loads for Watched {
    type Eye = Shown;

    fn load(&mut self, source: &PredictionSource) -> Result<Shown, String> {
        let seer = Arc::new(self.seers.load(source)?);
        *self.loaded.lock().unwrap() = Some(seer.clone());
        Ok(Shown(seer))
    }
}

impl Eye for Shown {
    type Ready = <Seer as Eye>::Ready;

    fn prepare(&self, store: &Store, source: &PredictionSource, samples: &[SampleId]) -> Vec<Result<Self::Ready, String>> {
        self.0.prepare(store, source, samples)
    }

    fn answer(&self, ready: &[Self::Ready]) -> Result<Vec<Result<PredictedFields, String>>, Trouble> {
        self.0.answer(ready)
    }

    fn relieve(&self) {
        self.0.relieve();
    }

    fn most(&self) -> usize {
        self.0.most()
    }

    fn lanes(&self) -> usize {
        self.0.lanes()
    }

    fn memory(&self) -> Option<u64> {
        self.0.memory()
    }
}

fn source() -> PredictionSource {
    // A model is called by its folder.
    PredictionSource { model: "model".into(), adapter: None, instruction: "1/en".into(), exemplar: Exemplar::Right, kind: Kind::OneShot }
}

/// A worker over a fresh store of the samples.
struct Place {
    dir: tempfile::TempDir,
    predicting: Predicting,
    jobs: Receiver<Job>,
    stored: Receiver<()>,
    loaded: Arc<Mutex<Option<Arc<Seer>>>>,
}

impl Place {
    fn new(dir: &Path, compute: Compute, batch: usize, screen: bool, samples: usize) -> Self {
        let own = tempfile::tempdir().unwrap();
        let project = Project { dir: own.path().to_owned(), ..project(dir) };
        let who = Who { reviewer: ReviewerName::new("speed").unwrap(), uid: 0, user: "speed".to_owned(), host: "speed".to_owned() };
        let mut store = Store::create(own.path(), project.schema()).unwrap();
        let dir = std::path::absolute(dir).unwrap();
        let mut import = store.begin_import(&who, "speed").unwrap();
        for nth in 0..samples {
            let query = NewImage { folder: Some(dir.clone()), path: RelativePath::new(query(nth)).unwrap() };
            let image_type = TYPE.to_owned();
            let (group, origin) = (format!("g{nth}"), SampleOrigin::Imported);
            import.add(&NewSample { id: id(nth), image_type, query, reference: None, group, origin, label: Label::default() }).unwrap();
        }
        import.finish().unwrap();
        keep(&mut store, &Named { name: "model".to_owned(), folder: dir.join("model") }).unwrap();
        let mut folders = store.folders().unwrap();
        folders.retain(|(number, _)| *number != 0);
        folders.push((0, dir));
        drop(store);
        let (project, folders) = (Arc::new(project), Arc::new(folders));
        let (done, stored) = channel();
        let (reports, jobs) = channel();
        let office = Office::new(
            own.path().to_owned(),
            project.schema().clone(),
            &who,
            screen,
            Arc::new(move || {
                let _ = done.send(());
            }),
        );
        let loaded = Arc::default();
        let seers = Seers { project, folders, compute, batch: Some(batch), screen };
        let loads = Watched { seers, loaded: Arc::clone(&loaded) };
        let predicting = Predicting::start(office, source(), loads, Arc::new(move |job| drop(reports.send(job)))).unwrap();
        Self { dir: own, predicting, jobs, stored, loaded }
    }

    fn add(&self, samples: std::ops::Range<usize>) -> u64 {
        self.predicting.add("speed".to_owned(), Work::Samples(samples.map(id).collect()))
    }

    fn ended(&self, task: u64) {
        loop {
            let job = self.jobs.recv_timeout(LONG).unwrap();
            if job.id == task && matches!(job.state, JobState::Done | JobState::Failed | JobState::Cancelled) {
                let made = self.predicting.outcome(task).unwrap_or_default();
                if let Some(problem) = made.problem.or_else(|| made.listed.into_iter().next().map(|(_, problem)| problem)) {
                    println!("failed: {problem}");
                }
                return;
            }
        }
    }

    /// How long it takes until a sample that is on the screen is stored; nothing else is.
    fn single(&self, nth: usize) -> f64 {
        while self.stored.try_recv().is_ok() {}
        let start = Instant::now();
        self.predicting.want(Priority::Now, vec![id(nth)]);
        self.stored.recv_timeout(LONG).unwrap();
        ms(start)
    }

    /// Waits until a sample has a prediction.
    fn until_known(&self, nth: usize) {
        let project = project(self.dir.path());
        let store = Store::open_read_only(self.dir.path(), project.schema()).unwrap();
        while store.predictions(&id(nth)).unwrap().is_empty() {
            let _ = self.stored.recv_timeout(Duration::from_millis(2));
        }
    }

    fn spent(&self) -> Spent {
        self.loaded.lock().unwrap().as_ref().unwrap().predictor().spent()
    }
}

/// Samples a second at batch sizes, and the most memory.
pub(super) fn predict(dir: &Path, compute: Compute, batches: &[usize]) {
    let all = count(dir);
    println!("{all} samples; files to stored fields through the worker");
    println!("batch  samples/s  ms/sample  peak MiB");
    for batch in batches.iter().copied() {
        // Small batches are slow: fewer samples tell as much. A last one warms the model up.
        let samples = (all - 1).min(batch * 64);
        let place = Place::new(dir, compute, batch, false, samples + 1);
        let start = Instant::now();
        let first = place.single(samples);
        let warm = place.add(samples..samples + 1);
        place.ended(warm);
        place.loaded.lock().unwrap().as_ref().unwrap().predictor().forget();
        let peak = Peak::watch();
        let ready = start.elapsed();
        let start = Instant::now();
        let task = place.add(0..samples);
        place.ended(task);
        let seconds = ms(start) / 1e3;
        let made = place.predicting.outcome(task).unwrap_or_default();
        println!("{batch:5}  {:9.1}  {:9.2}  {:8}", made.made as f64 / seconds, seconds * 1e3 / made.made as f64, peak.mib());
        println!(
            "       {} made, {} failed; loaded and warm after {:.1} s, the first after {first:.0} ms",
            made.made,
            made.failed,
            ready.as_secs_f64()
        );
        super::tell(&place.spent(), samples, batch);
    }
}

/// How long one sample takes from being shown to being stored: alone, and while all others are predicted.
pub(super) fn latency(dir: &Path, compute: Compute, batch: usize) {
    let all = count(dir);
    let known = all.saturating_sub(2 * SINGLE).min(512);
    for screen in [false, true] {
        let place = Place::new(dir, compute, batch, screen, all);
        // All pairs of exemplar and reference are known afterwards.
        let task = place.add(0..known);
        place.ended(task);
        let mut times: Vec<f64> = (all - SINGLE..all).map(|nth| place.single(nth)).collect();
        times.sort_by(f64::total_cmp);
        let what = if screen { "a review" } else { "a command" };
        println!(
            "{what}: one sample: median {:.1} ms, fastest {:.1}, 90 % within {:.1}",
            times[SINGLE / 2],
            times[0],
            times[SINGLE * 9 / 10]
        );
        let rest = place.add(known..all - 2 * SINGLE);
        let mut times: Vec<f64> = Vec::new();
        for nth in all - 2 * SINGLE..all - SINGLE {
            if place.predicting.outcome(rest).is_some() {
                break;
            }
            let start = Instant::now();
            place.predicting.want(Priority::Now, vec![id(nth)]);
            // Other batches are stored meanwhile: the board tells which sample this was.
            place.until_known(nth);
            times.push(ms(start));
        }
        times.sort_by(f64::total_cmp);
        if let (Some(fastest), Some(slowest)) = (times.first(), times.last()) {
            println!(
                "{what}: beside batches of at most {batch}: {} samples, median {:.1} ms, fastest {fastest:.1}, slowest {slowest:.1}",
                times.len(),
                times[times.len() / 2]
            );
        }
    }
}
