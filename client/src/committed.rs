//! What else happens when a file is committed: it is written into the receipt, and its source goes if that
//! was asked for.

mod receipt;

use std::path::Path;

use haul_protocol::{Digest, Name};

use crate::filter;
use crate::progress::Progress;
use crate::source::Stamp;
pub use receipt::{Receipt, ReceiptError};

/// What is done for each file that the server has acknowledged.
#[derive(Debug, Default)]
pub struct Committed {
    /// Where digests are written.
    pub receipt: Option<Receipt>,
    /// Files and links are removed here.
    pub remove_source: bool,
    /// What all names are below.
    pub below: Option<Name>,
}

impl Committed {
    /// A file or link (which has no digest) is committed, as it was at `stamp`.
    pub fn arrived(
        &self,
        path: &Path,
        name: &Name,
        digest: Option<Digest>,
        stamp: Option<Stamp>,
        progress: &Progress,
    ) {
        if let Some(digest) = digest {
            self.verified(path, name, digest, progress);
        }
        let (true, Some(stamp)) = (self.remove_source, stamp) else { return };
        if filter::is_rules(path) {
            progress.stays(path, "it says what is left out here");
            return;
        }
        remove(path, stamp, progress);
    }

    /// Whether the digests of single files are asked for.
    pub fn wants_digests(&self) -> bool {
        self.receipt.is_some()
    }

    /// The server has a file with this digest.
    pub fn verified(&self, path: &Path, name: &Name, digest: Digest, progress: &Progress) {
        let Some(receipt) = &self.receipt else { return };
        let added = match self.full_name(name) {
            Some(name) => receipt.add(&name, digest),
            None => Err(ReceiptError::Name),
        };
        if let Err(error) = added {
            progress.failed(path, &format_args!("arrived, but is not in the receipt: {error}"));
        }
    }

    /// Everything is looked at once more: files may arrive that have arrived before.
    pub fn repeats(&self) {
        if let Some(receipt) = &self.receipt {
            receipt.repeats();
        }
    }

    /// The server does not have a file of this name any more.
    pub fn removed(&self, name: &Name) {
        if let (Some(receipt), Some(name)) = (&self.receipt, self.full_name(name)) {
            receipt.forget(&name);
        }
    }

    /// The name below the server's root; `None` if it is too long.
    fn full_name(&self, name: &Name) -> Option<Name> {
        match &self.below {
            None => Some(name.clone()),
            Some(below) => below.join(name.as_bytes()).ok(),
        }
    }
}

/// Removes a source that has arrived as it was at `stamp`.
fn remove(path: &Path, stamp: Stamp, progress: &Progress) {
    // A removal would lose bytes that somebody has written since.
    if !stamp.is_still_at(path) {
        progress.failed(path, &"arrived, but has changed since, so it is not removed here");
    } else if let Err(error) = std::fs::remove_file(path) {
        progress.failed(path, &format_args!("arrived, but could not be removed here: {error}"));
    }
}
