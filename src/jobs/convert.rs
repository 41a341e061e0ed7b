//! Between what the store says and what the review screen knows.

use crate::domain::{Edit, ImageHashes, ReviewerName};
use crate::review::{self, Change, Entry, Reason, Refusal};
use crate::store::{self, SampleView};

/// A sample as a row of the queue; claims of the reviewer's own do not count.
pub(super) fn entry(view: SampleView, me: &ReviewerName) -> Entry {
    let alike = view.alike;
    Entry {
        id: view.sample.id,
        revision: review::Revision(view.revision.number()),
        state: view.state,
        by: view.by.map(|(by, _)| by),
        flagged: view.flagged,
        comment: view.comment,
        image_type: view.sample.image_type,
        own_reference: view.sample.reference.is_some(),
        label: view.label,
        decided: view.decided,
        prediction: view.prediction,
        claimed_by: view.claim.map(|claim| claim.reviewer).filter(|by| by != me),
        outlier: alike.as_ref().map(|alike| alike.outlier),
        cluster: alike.as_ref().map(|alike| alike.cluster),
        duplicate_of: alike.and_then(|alike| alike.duplicate_of),
    }
}

/// The store's form of a change; `images` where it is an approval.
pub(super) fn edit(change: Change, images: ImageHashes) -> Edit {
    match change {
        Change::Set { field, value, origin } => Edit::Set { field, value, origin },
        Change::Approve { label, images: seen, shown } => Edit::Approve { label, images: seen.unwrap_or(images), shown },
        Change::Reject => Edit::Reject,
        Change::Reopen => Edit::Reopen,
        Change::Flag(on) => Edit::Flag(on),
        Change::Comment(text) => Edit::Comment(text),
    }
}

/// Why the store left a sample alone.
pub(super) fn refusal(refusal: store::Refusal) -> Refusal {
    let reason = match refusal.reason {
        store::Reason::Stale { by, time_ms } | store::Reason::DecidedSince { by, time_ms } => Reason::Stale { by, time_ms },
        store::Reason::Claimed { by } => Reason::Claimed { by },
        other => Reason::Other(other.to_string()),
    };
    Refusal { sample: refusal.sample, reason }
}
