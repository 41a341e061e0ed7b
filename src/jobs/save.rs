//! Saving: image hashes made sure of, one operation of the store, its outcome told.

use crate::domain::{ContentHash, ImageHashes, ImageRef};
use crate::imaging;
use crate::review::{self, Change, Decision, Message, Reason, Refusal, SaveId, SaveKind};
use crate::store::{self, DecisionKind, Revision, Store, StoreError, Who};

use super::{Folders, convert};

/// The file of an image.
pub(super) fn locate(folders: &Folders, image: &ImageRef) -> Result<std::path::PathBuf, String> {
    let folder = folders.iter().find(|(number, _)| *number == image.folder).map(|(_, folder)| folder);
    let folder = folder.ok_or_else(|| format!("{}: its folder is not known to the project", image.path))?;
    imaging::locate(folder, &image.path).map_err(|error| error.to_string())
}

fn hash(folders: &Folders, image: &ImageRef) -> Result<ContentHash, String> {
    imaging::hash_file(&locate(folders, image)?).map_err(|error| error.to_string())
}

/// What the images of an approval hold: what was shown, else what the files hold now. What was shown must still be there.
fn images(store: &Store, folders: &Folders, decision: &Decision) -> Result<ImageHashes, Reason> {
    let seen = match &decision.change {
        Change::Approve { images, .. } => images.as_ref(),
        _ => return Ok(ImageHashes { query: ContentHash::from_bytes([0; 32]), reference: None }),
    };
    let view = store.sample(&decision.sample).map_err(|error| Reason::Other(error.to_string()))?;
    let query = hash(folders, &view.sample.query).map_err(Reason::Other)?;
    let reference = view.sample.reference.as_ref().map(|image| hash(folders, image)).transpose().map_err(Reason::Other)?;
    let now = ImageHashes { query, reference };
    match seen {
        Some(seen) if seen.query != now.query => Err(Reason::ImageChanged(view.sample.query.path.to_string())),
        Some(seen) if seen.reference != now.reference => {
            Err(Reason::ImageChanged(view.sample.reference.map(|image| image.path.to_string()).unwrap_or_default()))
        }
        _ => Ok(now),
    }
}

/// Makes decisions durable and says what came of them.
pub(super) fn save(store: &mut Store, who: &Who, folders: &Folders, save: SaveId, kind: SaveKind, decisions: Vec<Decision>) -> Message {
    let mut refused: Vec<Refusal> = Vec::new();
    let mut ready = Vec::with_capacity(decisions.len());
    for decision in decisions {
        match images(store, folders, &decision) {
            Ok(images) => ready.push(store::Decision {
                sample: decision.sample,
                base: Revision::from_number(decision.base.0),
                edit: convert::edit(decision.change, images),
            }),
            Err(reason) => refused.push(Refusal { sample: decision.sample, reason }),
        }
    }
    let (kind, source) = match kind {
        SaveKind::Single => (DecisionKind::Single, "review"),
        SaveKind::Batch => (DecisionKind::Batch, "review, contact sheet"),
    };
    let outcome = if ready.is_empty() { Ok(None) } else { store.decide(who, kind, source, &ready).map(Some) };
    match outcome {
        Ok(None) => Message::Saved { save, operation: None, applied: Vec::new(), revision: review::Revision::default(), refused },
        Ok(Some(outcome)) => {
            refused.extend(outcome.refused.into_iter().map(convert::refusal));
            Message::Saved {
                save,
                operation: outcome.operation.map(|id| id.to_string()),
                applied: outcome.applied,
                revision: review::Revision(outcome.revision.number()),
                refused,
            }
        }
        Err(error) => {
            tracing::error!(decisions = ready.len(), %error, "a save failed");
            Message::SaveFailed { save, error: error.to_string() }
        }
    }
}

/// Takes a decision back, or an undo; at most `most` of its samples are listed.
pub(super) fn step(store: &mut Store, who: &Who, undo: bool, most: usize) -> Result<Box<review::Reverted>, String> {
    let text = |error: StoreError| error.to_string();
    let back = if undo { store.undo(who) } else { store.redo(who) }.map_err(text)?;
    let samples = back.applied.len();
    let listed = back.applied.iter().take(most).map(|id| store.sample(id).map(|view| convert::entry(view, &who.reviewer)));
    let entries = listed.collect::<Result<_, _>>().map_err(text)?;
    Ok(Box::new(review::Reverted { entries, samples, refused: back.refused.into_iter().map(convert::refusal).collect() }))
}
