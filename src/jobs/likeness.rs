//! Vectors of query pictures made where they are missing, and samples compared by them.

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;

use rayon::prelude::*;

use super::Folders;
use crate::config::Project;
use crate::domain::{Filter, SampleId};
use crate::imaging::{self, Limits};
use crate::model::ModelError;
use crate::model::encoder::{Encoder, Pixels, Quantiser};
use crate::similar::{self, OUTLIER, Settings, SimilarError, Vectors};
use crate::store::{self, NewLikeness, Order, Picture, Store, StoreError};

/// From so many pictures, spread over the whole project, it is seen how vectors differ here.
const FIRST: usize = 256;

/// Why pictures could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum LikenessError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The comparison.
    #[error(transparent)]
    Similar(#[from] SimilarError),
    /// The encoder makes nothing of any of the first pictures.
    #[error("no picture could be read: {0}")]
    Nothing(String),
}

/// Vectors that were made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Made {
    /// How many are new.
    pub computed: u64,
    /// Samples of whose picture none could be made, and why.
    pub failed: Vec<(SampleId, String)>,
}

/// What a comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compared {
    /// Samples that have vectors.
    pub vectors: u64,
    /// Groups that look alike.
    pub clusters: u64,
    /// Samples that equal, or nearly equal, one before them.
    pub duplicates: u64,
    /// Samples whose score is at least [`OUTLIER`].
    pub outliers: u64,
}

/// Makes vectors of pictures, one batch after the other; the next one is read while one is computed.
#[derive(Debug)]
pub struct Maker<'a> {
    /// The project.
    pub project: &'a Project,
    /// Where its images lie.
    pub folders: &'a Folders,
    /// What makes the vectors.
    pub encoder: &'a Encoder,
    /// Pictures at a time.
    pub batch: usize,
}

/// Prepared pictures, or why not.
type Prepared = Vec<(Picture, Result<Pixels, String>)>;

impl Maker<'_> {
    /// Makes the vectors that a filter's samples lack and stores them as they come, so that it can be ended at any time and
    /// goes on where it was. `progress` hears how many are done, and of how many.
    pub fn make(&self, store: &mut Store, filter: &Filter, mut progress: impl FnMut(u64, u64)) -> Result<Made, LikenessError> {
        let mut made = Made::default();
        let mut missing = store.without_vector(filter, self.encoder.identity())?;
        if missing.is_empty() {
            return Ok(made);
        }
        let known = store.encoder(self.encoder.identity())?.filter(|known| known.centre.len() == self.encoder.width());
        let known = if let Some(known) = known {
            known
        } else {
            let known = self.begin(store, &mut made, &mut progress)?;
            missing = store.without_vector(filter, self.encoder.identity())?;
            known
        };
        let quantiser = Quantiser { centre: known.centre, scale: known.scale };
        let all = made.computed + missing.len() as u64;
        self.read(&missing, |vectors| {
            let mut bytes = Vec::with_capacity(vectors.len());
            for (picture, vector) in vectors {
                match vector {
                    Ok(vector) => bytes.push((picture.ordinal, quantiser.bytes(&vector))),
                    Err(error) => made.failed.push((picture.id, error)),
                }
            }
            store.add_vectors(self.encoder.identity(), &bytes)?;
            made.computed += bytes.len() as u64;
            progress(made.computed + made.failed.len() as u64, all);
            Ok(())
        })?;
        Ok(made)
    }

    /// Sees how vectors differ in this project, and stores those that it looked at. They are spread over all of it, whatever
    /// the filter: what is seen holds from now on.
    fn begin(&self, store: &mut Store, made: &mut Made, progress: &mut dyn FnMut(u64, u64)) -> Result<store::Encoder, LikenessError> {
        let mut some = store.order(&Filter::default())?;
        let step = some.len().div_ceil(FIRST).max(1);
        some.retain(|index| index.is_multiple_of(step));
        let all = some.len() as u64;
        let (mut places, mut vectors) = (Vec::with_capacity(some.len()), Vec::with_capacity(some.len()));
        let mut failed = None;
        self.read(&some, |read| {
            for (picture, vector) in read {
                match vector {
                    Ok(vector) => {
                        places.push(picture.ordinal);
                        vectors.push(vector);
                    }
                    // Those of the filter are met again, and told then.
                    Err(error) => failed = Some(error),
                }
            }
            progress(vectors.len() as u64, all);
            Ok(())
        })?;
        if vectors.is_empty() {
            return Err(LikenessError::Nothing(failed.unwrap_or_else(|| "there is none".to_owned())));
        }
        let Quantiser { centre, scale } = Quantiser::of(&vectors);
        let known = store.add_encoder(&store::Encoder { identity: self.encoder.identity().to_owned(), centre, scale })?;
        let quantiser = Quantiser { centre: known.centre.clone(), scale: known.scale };
        let bytes: Vec<_> = places.into_iter().zip(&vectors).map(|(place, vector)| (place, quantiser.bytes(vector))).collect();
        store.add_vectors(self.encoder.identity(), &bytes)?;
        made.computed += bytes.len() as u64;
        Ok(known)
    }

    /// Computes batch after batch and hands each over.
    fn read(
        &self,
        order: &Order,
        mut take: impl FnMut(Vec<(Picture, Result<Vec<f32>, String>)>) -> Result<(), LikenessError>,
    ) -> Result<(), LikenessError> {
        let reader = Store::open_read_only(&self.project.dir, self.project.schema())?;
        std::thread::scope(|scope| {
            let (sender, receiver) = sync_channel::<Result<Prepared, StoreError>>(1);
            scope.spawn(move || {
                for from in (0..order.len()).step_by(self.batch.max(1)) {
                    let pictures = reader.pictures(order, from, self.batch.max(1));
                    let prepared = pictures.map(|pictures| pictures.into_par_iter().map(|picture| self.prepare(picture)).collect());
                    let last = prepared.is_err();
                    // Whoever takes nothing more has failed, and says so.
                    if sender.send(prepared).is_err() || last {
                        break;
                    }
                }
            });
            for prepared in receiver {
                take(self.vectors(prepared?))?;
            }
            Ok(())
        })
    }

    fn prepare(&self, picture: Picture) -> (Picture, Result<Pixels, String>) {
        let pixels = self.locate(&picture).and_then(|path| {
            let decoded = imaging::decode(&path, Limits::default()).map_err(|error| error.to_string())?;
            self.encoder.prepare(&decoded).map_err(|error| format!("{}: {error}", path.display()))
        });
        (picture, pixels)
    }

    fn locate(&self, picture: &Picture) -> Result<PathBuf, String> {
        let folder = self.folders.iter().find(|(number, _)| *number == picture.query.folder);
        let (_, folder) = folder.ok_or_else(|| format!("{}: its folder is not known to the project", picture.query.path))?;
        imaging::locate(folder, &picture.query.path).map_err(|error| error.to_string())
    }

    fn vectors(&self, prepared: Prepared) -> Vec<(Picture, Result<Vec<f32>, String>)> {
        let pixels: Vec<Pixels> = prepared.iter().filter_map(|(_, pixels)| pixels.as_ref().ok().cloned()).collect();
        let mut vectors = self.compute(&pixels).into_iter();
        let vector = |pixels: Result<Pixels, String>| match pixels {
            Ok(_) => vectors.next().unwrap_or_else(|| Err("it was not computed".to_owned())),
            Err(error) => Err(error),
        };
        let (pictures, pixels): (Vec<Picture>, Vec<_>) = prepared.into_iter().unzip();
        let vectors: Vec<_> = pixels.into_iter().map(vector).collect();
        pictures.into_iter().zip(vectors).collect()
    }

    /// All together; where that fails, half of them at a time: fewer may fit, and what is wrong with one is no failure of the
    /// others.
    fn compute(&self, pixels: &[Pixels]) -> Vec<Result<Vec<f32>, String>> {
        if pixels.is_empty() {
            return Vec::new();
        }
        match self.encoder.vectors(pixels) {
            Ok(vectors) => vectors.into_iter().map(Ok).collect(),
            Err(_) if pixels.len() > 1 => {
                let (first, second) = pixels.split_at(pixels.len() / 2);
                let mut vectors = self.compute(first);
                vectors.extend(self.compute(second));
                vectors
            }
            Err(error) => vec![Err(ModelError::to_string(&error))],
        }
    }
}

/// Compares a filter's samples by an encoder's vectors and stores what was found; samples outside of the filter compare with
/// nothing afterwards.
pub fn compare(
    store: &mut Store,
    project: &Project,
    filter: &Filter,
    encoder: &Encoder,
    settings: &Settings,
    progress: &(dyn Fn(f64) + Sync),
) -> Result<Compared, LikenessError> {
    let (places, vectors) = {
        // A connection of its own, whose memory is given back before the work begins.
        let reader = Store::open_read_only(&project.dir, project.schema())?;
        let room = reader.vectors_of(encoder.identity())?;
        let (mut places, mut vectors) = (Vec::with_capacity(room), Vectors::new(encoder.width(), room)?);
        reader.each_vector(filter, encoder.identity(), |ordinal, bytes| {
            places.push(ordinal as u32);
            vectors.push(bytes.iter().map(|byte| byte.cast_signed())).map_err(LikenessError::from)
        })?;
        (places, vectors)
    };
    let likeness = similar::group(&vectors, settings, progress)?;
    let all = places.iter().enumerate().map(|(index, place)| NewLikeness {
        ordinal: u64::from(*place),
        cluster: likeness.clusters[index],
        outlier: likeness.outliers[index],
        duplicate_of: likeness.duplicates[index].map(|first| u64::from(places[first as usize])),
    });
    store.set_likeness(all)?;
    Ok(Compared {
        vectors: places.len() as u64,
        clusters: likeness.sizes.len() as u64,
        duplicates: likeness.duplicates.iter().flatten().count() as u64,
        outliers: likeness.outliers.iter().filter(|score| **score >= OUTLIER).count() as u64,
    })
}
