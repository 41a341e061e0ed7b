//! A sample: the images of one product and what was said of it when it came in.

use super::{Label, RelativePath, SampleId};

/// An image file below one of the project's image folders.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageRef {
    /// The folder: 0 is the project's own, others were registered by an import from outside of it.
    pub folder: i64,
    /// The file's path below that folder.
    pub path: RelativePath,
}

/// Where a sample came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleOrigin {
    /// Imported from somebody's data.
    Imported,
    /// Drawn by the project's own generator, which knows the truth.
    Generated,
}

/// One product: query image, its own reference if it has one, and the label that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Unique in the project.
    pub id: SampleId,
    /// The place in import order, from 0: decides which samples become one-shot, approved or not.
    pub ordinal: u64,
    /// One of the schema's image types.
    pub image_type: String,
    /// The picture that is asked about.
    pub query: ImageRef,
    /// The good product to compare with, where the sample names its own; else the pool serves.
    pub reference: Option<ImageRef>,
    /// Related samples (one board, one lot) share a group and never straddle splits.
    pub group: String,
    /// Imported or generated.
    pub origin: SampleOrigin,
    /// The label that came with it; possibly empty, possibly wrong.
    pub imported: Label,
}
