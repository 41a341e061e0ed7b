//! Pools of good products: references to compare with, exemplars that teach addresses.

use crate::domain::{Address, RelativePath, Sample, SampleId, stable_hash};

/// What a pool image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// A good product to compare the query with.
    Reference,
    /// A good product with a red star at a known address.
    Exemplar,
}

impl Purpose {
    /// `reference` or `exemplar`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Exemplar => "exemplar",
        }
    }
}

/// An image of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolImage {
    /// What it is for.
    pub purpose: Purpose,
    /// The image type it serves.
    pub image_type: String,
    /// The file, in the project's folder.
    pub image: RelativePath,
    /// Where the star stands; exemplars only, and always there.
    pub address: Option<Address>,
    /// The sample it was made from, where it was.
    pub sample: Option<SampleId>,
    /// The group of the product it shows, where that is known: its split must be train.
    pub group: Option<String>,
}

/// Every pool image of a project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pool {
    /// In the order of the project file.
    pub images: Vec<PoolImage>,
}

impl Pool {
    /// The images of one purpose and type.
    pub fn of<'a, 't>(&'a self, purpose: Purpose, image_type: &'t str) -> impl Iterator<Item = &'a PoolImage> + use<'a, 't> {
        self.images.iter().filter(move |image| image.purpose == purpose && image.image_type == image_type)
    }

    /// Draws an image for a sample by rendezvous hashing of (seed, sample id, image): the same for ever, whatever
    /// happens to other samples; a new pool image moves one sample in n + 1, and only to itself. An image made from
    /// the sample is never drawn for it.
    ///
    /// `but_not` leaves out one address: the exemplar that is deliberately wrong.
    pub fn pick(&self, seed: u64, purpose: Purpose, image_type: &str, sample: &Sample, but_not: Option<Address>) -> Option<&PoolImage> {
        self.of(purpose, image_type)
            .filter(|image| image.sample.as_ref() != Some(&sample.id))
            .filter(|image| but_not.is_none() || image.address != but_not)
            .max_by_key(|image| stable_hash(seed, &[purpose.name(), sample.id.as_str(), image.image.as_str()]))
    }
}
