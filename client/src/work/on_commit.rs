//! Steps after a file is committed: it is written into the receipt, and its source goes if that
//! was asked for.

mod aside;
mod receipt;
mod replacement;

use std::ffi::OsStr;
use std::fs::Metadata;
use std::path::Path;
use std::sync::Arc;

use haul_protocol::{Digest, Name};

use crate::error::FileError;
use crate::error::adrift::Adrift;
use crate::error::receipt::ReceiptError;
use crate::report::note::Note;
use crate::report::progress::Progress;
use crate::source::base::{Base, Bases};
use crate::source::hashing::{HashThreads, Hashing};
use crate::source::{Now, Source, Stamp, filter};
pub use receipt::Receipt;
pub(crate) use replacement::remove_unfinished;

/// The bytes of a source that has arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Arrived {
    /// A file, and its digest if that is known.
    File(Option<Digest>),
    /// A symlink, into which nobody can write.
    Symlink,
}

/// The steps for each file that the server has acknowledged.
#[derive(Debug, Default)]
pub struct Committed {
    /// Where digests are written.
    pub receipt: Option<Receipt>,
    /// Files and links are removed here.
    pub remove_source: bool,
    /// The directory that all names are below.
    pub below: Option<Name>,
}

impl Committed {
    /// Whether the digest of a single file is asked for: for the receipt, or because only its bytes may tell in the end whether
    /// the file has changed.
    pub fn wants_digest(&self, stamp: Stamp) -> bool {
        self.receipt.is_some() || (self.remove_source && stamp.has_other_names())
    }

    /// The server has a file with this digest.
    pub fn verified(&self, path: &Path, name: &Name, digest: Digest, progress: &Progress) {
        let Some(receipt) = &self.receipt else { return };
        let added = match self.full_name(name) {
            Some(name) => receipt.add(&name, digest),
            None => Err(ReceiptError::Name),
        };
        if let Err(error) = added {
            progress.failed(path, error);
        }
    }

    /// Whether the entry of a source at a path is the receipt itself. `look` is asked only if there is one.
    pub fn is_receipt(&self, path: &Path, look: impl FnOnce() -> Option<Metadata>) -> bool {
        let Some(receipt) = &self.receipt else { return false };
        look().is_some_and(|entry| receipt.is(path, &entry))
    }

    /// The rules of a directory are read. No receipt replaces their file.
    pub fn needs_rules(&self, directory: &Path) {
        let Some(receipt) = self.receipt.as_ref().filter(|receipt| receipt.replaces()) else {
            return;
        };
        let path = filter::rules_of(directory);
        if let Ok(file) = path.metadata() {
            receipt.needs(&path, &file);
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

/// Removes a source that has arrived as it was at `stamp`, unless it must stay.
pub(crate) fn remove_source(
    bases: &Bases<'_>,
    path: &Path,
    stamp: Stamp,
    arrived: Arrived,
    progress: &Progress,
) {
    if filter::is_rules(path) {
        progress.note(Note::Stays(path.to_owned(), "it says what is left out here"));
        return;
    }
    match bases.of(path) {
        Ok(base) => remove(&base, path, stamp, arrived, progress),
        Err(FileError::Adrift(Adrift::Renumbered)) => progress.failed(
            path,
            &"arrived, but the file system has renumbered its directory while haul ran, so it is not removed here",
        ),
        Err(error) if error.is_replaced() => progress.failed(
            path,
            &"arrived, but its directory was replaced while haul ran; nothing of the other one is removed",
        ),
        Err(error) => progress.failed(path, error),
    }
}

fn remove(base: &Base, path: &Path, stamp: Stamp, arrived: Arrived, progress: &Progress) {
    let name = path.file_name().unwrap_or_default();
    let now = base.stamp(name).map_or(Now::Other, |now| stamp.now(now));
    let is_it = match (now, arrived) {
        (Now::Same, _) | (Now::FewerNames, Arrived::Symlink) => true,
        (Now::FewerNames, Arrived::File(Some(digest))) => {
            digest_of(base, name).is_ok_and(|now| now == digest)
        }
        (Now::FewerNames, Arrived::File(None)) | (Now::Other, _) => false,
    };
    // A removal would lose bytes that somebody has written since.
    if !is_it {
        progress.failed(path, &"arrived, but has changed since, so it is not removed here");
        return;
    }
    match aside::remove(base, path, |aside| base.stamp(aside).is_ok_and(|now| stamp.is_moved(now)))
    {
        Ok(()) => {}
        Err(aside::Error::Other) => {
            progress.failed(path, &"arrived, but another file has come since, which stays here");
        }
        Err(aside::Error::Kept(at)) => progress.failed(
            path,
            format!("arrived, but changes all the time: a version of it is in {}", at.display()),
        ),
        Err(aside::Error::Io(error)) => {
            progress.failed(path, FileError::NotRemoved(Arc::new(error)));
        }
    }
}

/// The digest of a file that does not change meanwhile.
fn digest_of(base: &Base, name: &OsStr) -> Result<Digest, FileError> {
    let source = Source::of(base.file(name).map_err(FileError::local("open"))?)?;
    // Read to its end, whatever size it says.
    let (untrue, threads) = (true, HashThreads::default());
    let mut hashing = Hashing::begin(&source, untrue, &threads);
    while hashing.advance(&source, untrue, &threads)? > 0 {}
    source.check_unchanged()?;
    hashing.finish().map(|(digest, _)| digest)
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{File, hard_link, read, remove_file, write};

    use tempfile::TempDir;

    use super::*;
    use crate::source::links::Links;

    /// The change time is that of the name that went.
    #[test]
    fn file_that_was_written_and_lost_another_name_stays() {
        let (progress, _events) = Progress::new(&());
        for (written, stays) in [("old", false), ("new", true)] {
            let place = TempDir::new().unwrap();
            let [one, two] = ["one", "two"].map(|name| place.path().join(name));
            write(&one, "old").unwrap();
            hard_link(&one, &two).unwrap();
            let source = Source::open(&one, Links::Copy).unwrap();
            let (stamp, mtime) = (source.stamp(), one.metadata().unwrap().modified().unwrap());
            write(&one, written).unwrap();
            File::options().append(true).open(&one).unwrap().set_modified(mtime).unwrap();
            remove_file(&two).unwrap();
            let base = Base::open(place.path()).unwrap();
            remove(&base, &one, stamp, Arrived::File(Some(Digest::of(b"old"))), &progress);
            assert_eq!(one.exists(), stays);
            assert!(!stays || read(&one).unwrap() == written.as_bytes());
        }
    }
}
