//! Workers that make pictures: the newest wishes first, what is no longer wanted given up between two steps.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use lru::LruCache;

use super::{Premises, save};
use crate::conversation::ImageRole;
use crate::domain::{Address, BoundingBox, ContentHash, Exemplar, FieldKind, Grid, ImageRef, Kind, SampleId};
use crate::graphics::{
    Arrived, Content, GridOverlay, Limits, Order, Overlay, PrepareError, Request, Source, Target, ThumbnailCache, Wanted, Workshop, prepare,
};
use crate::imaging;
use crate::store::{Store, StoreError};

/// How many pictures are made at once.
const WORKERS: usize = 2;
/// How much wider and higher than the place itself a close-up is.
const SURROUNDINGS: f64 = 1.4;
/// How many times differences are enlarged.
const AMPLIFY: f32 = 4.0;
/// Bytes of decoded pictures, and of encoded ones, that are kept.
const KEPT: usize = 48 << 20;
/// Bytes of thumbnails on disk.
const THUMBNAILS: u64 = 512 << 20;

/// A picture that the screen wants.
type Wish = Order<ImageRole>;

/// How pictures reach the screen.
pub type Deliver = Arc<dyn Fn(Arrived) + Send + Sync>;

/// The wishes that stand, and the end.
#[derive(Debug, Default)]
struct Board {
    wishes: VecDeque<Wish>,
    /// The numbers of all that is wanted, also of what is being made.
    wanted: BTreeSet<u64>,
    busy: BTreeSet<u64>,
    over: bool,
}

#[derive(Debug, Default)]
struct Shared {
    board: Mutex<Board>,
    changed: Condvar,
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workers. Dropping this ends them.
#[derive(Debug)]
pub struct Pictures {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pictures {
    pub(super) fn start(premises: &Premises, target: Target, deliver: &Deliver) -> Result<Self, StoreError> {
        let thumbnails = ThumbnailCache::user_folder().map(|folder| ThumbnailCache::new(folder, THUMBNAILS));
        let workshop = Arc::new(Workshop::new(Limits::default(), thumbnails, KEPT, KEPT));
        let shared = Arc::new(Shared::default());
        let mut threads = Vec::new();
        for _ in 0..WORKERS {
            let store = Store::open_read_only(&premises.project.dir, premises.project.schema())?;
            let mut worker = Worker {
                premises: premises.clone(),
                store,
                workshop: Arc::clone(&workshop),
                target,
                known: LruCache::new(std::num::NonZeroUsize::new(512).unwrap_or(std::num::NonZeroUsize::MIN)),
            };
            let (shared, deliver) = (Arc::clone(&shared), Arc::clone(deliver));
            threads.push(std::thread::spawn(move || work(&shared, &mut worker, &deliver)));
        }
        Ok(Self { shared, threads })
    }

    /// Replaces all wishes; the first is the most urgent. What is being made and is wanted again goes on, all else is given up.
    pub fn want(&self, wishes: Vec<Wish>) {
        let mut board = self.shared.board();
        board.wanted = wishes.iter().map(|wish| wish.number).collect();
        board.wishes = wishes.into_iter().filter(|wish| !board.busy.contains(&wish.number)).collect();
        drop(board);
        self.shared.changed.notify_all();
    }
}

impl Drop for Pictures {
    fn drop(&mut self) {
        self.shared.board().over = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn work(shared: &Shared, worker: &mut Worker, deliver: &Deliver) {
    loop {
        let wish = {
            let mut board = shared.board();
            loop {
                if board.over {
                    return;
                }
                if let Some(wish) = board.wishes.pop_front() {
                    board.busy.insert(wish.number);
                    break wish;
                }
                board = shared.changed.wait(board).unwrap_or_else(PoisonError::into_inner);
            }
        };
        let unwanted = || {
            let board = shared.board();
            board.over || !board.wanted.contains(&wish.number)
        };
        let made = worker.make(&wish, &unwanted);
        let mut board = shared.board();
        board.busy.remove(&wish.number);
        if made.is_none() && board.wanted.contains(&wish.number) {
            // It was given up and is wanted again since.
            board.wishes.push_back(wish);
        }
        drop(board);
        if let Some(delivered) = made {
            deliver(delivered);
        }
    }
}

/// The images of a sample.
#[derive(Debug, Clone)]
struct Images {
    query: ImageRef,
    reference: Result<ImageRef, String>,
    exemplar: Result<ImageRef, String>,
    image_type: String,
}

struct Worker {
    premises: Premises,
    store: Store,
    workshop: Arc<Workshop>,
    target: Target,
    known: LruCache<SampleId, Images>,
}

impl Worker {
    fn make(&mut self, wish: &Wish, cancelled: &dyn Fn() -> bool) -> Option<Arrived> {
        let images = match self.images(&wish.wanted.sample) {
            Ok(images) => images,
            Err(error) => return Some(Arrived { number: wish.number, outcome: Err(error), grid: None }),
        };
        let grid = self.grid(&images.image_type);
        let outcome = self.request(&wish.wanted, &images, grid.as_ref()).and_then(|request| {
            let made = prepare(&self.workshop, &request, cancelled);
            made.map(Some).or_else(|error| if matches!(error, PrepareError::Cancelled) { Ok(None) } else { Err(error.to_string()) })
        });
        let outcome = outcome.transpose()?;
        Some(Arrived { number: wish.number, outcome, grid })
    }

    fn images(&mut self, sample: &SampleId) -> Result<Images, String> {
        if let Some(images) = self.known.get(sample) {
            return Ok(images.clone());
        }
        let view = self.store.sample(sample).map_err(|error| error.to_string())?;
        let recipe = &self.premises.project.recipe;
        let image_type = view.image_type(&recipe.schema, &view.label).to_owned();
        let zero = recipe.prompt(&view.sample, &image_type, Kind::ZeroShot, Exemplar::Right).map_err(|error| error.to_string());
        let one = recipe.prompt(&view.sample, &image_type, Kind::OneShot, Exemplar::Right).map_err(|error| error.to_string());
        let own = |path| ImageRef { folder: 0, path };
        let none = || "there is no exemplar for this image type".to_owned();
        let images = Images {
            query: view.sample.query.clone(),
            reference: zero.map(|prompt| prompt.picks.reference),
            exemplar: one.and_then(|prompt| prompt.picks.exemplar.map(|exemplar| own(exemplar.image)).ok_or_else(none)),
            image_type,
        };
        self.known.put(sample.clone(), images.clone());
        Ok(images)
    }

    fn grid(&self, image_type: &str) -> Option<GridOverlay> {
        let project = &self.premises.project;
        let corners = *project.corners.get(image_type)?;
        let grid = self.address_grid()?;
        Some(GridOverlay { corners, rows: grid.rows.clone(), columns: grid.columns.clone() })
    }

    /// The corners of a cell. Where the project does not say where the grid lies, the cells share out the image.
    fn cell(&self, address: Address, grid: Option<&GridOverlay>) -> [(f64, f64); 4] {
        let names = |grid: &Grid| GridOverlay::even(grid.rows.clone(), grid.columns.clone());
        grid.cloned()
            .or_else(|| self.address_grid().map(names))
            .map_or([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)], |grid| grid.cell(address))
    }

    fn address_grid(&self) -> Option<&Grid> {
        self.premises.project.schema().fields().iter().find_map(|field| match &field.kind {
            FieldKind::Address { grid, .. } => Some(grid),
            _ => None,
        })
    }

    fn source(&self, image: &ImageRef) -> Result<Source, String> {
        let path = save::locate(&self.premises.folders, image)?;
        // The bytes are hashed as they are shown, so that what was approved is what was seen.
        let content: Option<ContentHash> = imaging::hash_file(&path).ok();
        Ok(Source { path, content })
    }

    fn request(&self, wanted: &Wanted<ImageRole>, images: &Images, grid: Option<&GridOverlay>) -> Result<Request, String> {
        let content = match wanted.role {
            ImageRole::Query => Content::Image(self.source(&images.query)?),
            ImageRole::Reference => Content::Image(self.source(images.reference.as_ref().map_err(Clone::clone)?)?),
            ImageRole::Exemplar => Content::Image(self.source(images.exemplar.as_ref().map_err(Clone::clone)?)?),
            ImageRole::Difference => Content::Difference {
                query: self.source(&images.query)?,
                reference: self.source(images.reference.as_ref().map_err(Clone::clone)?)?,
                amplify: AMPLIFY,
            },
        };
        let mut look = wanted.look.clone();
        if wanted.close_up {
            let place = wanted.area.map(BoundingBox::corners).or_else(|| Some(self.cell(wanted.cell?, grid)));
            look.view = place.map_or(look.view, |corners| imaging::View::around(corners, SURROUNDINGS));
            return Ok(Request { content, look, room: wanted.room, target: self.target, thumbnail: false });
        }
        if let Some(grid) = grid {
            look.overlays.extend(wanted.grid.then(|| Overlay::Grid(grid.clone())));
            look.overlays.extend(wanted.cell.map(|cell| Overlay::Cell(grid.clone(), cell)));
        }
        look.overlays.extend(wanted.area.map(Overlay::Box));
        Ok(Request { content, look, room: wanted.room, target: self.target, thumbnail: wanted.thumbnail })
    }
}
