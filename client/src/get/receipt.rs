//! The receipt of a run: the digests of files that have come, each under its name below the target.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use haul_protocol::{Digest, Name};

use super::item::File;
use super::namesakes::may_repeat;
use super::source::Source;
use crate::error::receipt::ReceiptError;
use crate::report::progress::Progress;
use crate::source::filter::{Rules, is_rules};
use crate::source::{bytes, regular, stdin};
use crate::work::on_commit::Receipt;

/// The receipt of a run.
#[derive(Debug)]
pub(super) struct Lines {
    receipt: Receipt,
    path: PathBuf,
    /// The names that have lines, if several sources may have a file of one name.
    names: Option<Mutex<HashSet<Name>>>,
}

/// The other files that a run uses, of which none may be the receipt.
#[derive(Debug)]
pub(super) struct Others<'a> {
    pub(super) rules: &'a Rules,
    /// The list of `--files-from`.
    pub(super) list: Option<&'a Path>,
    /// The target, if entries in it are removed that the server lacks.
    pub(super) mirrored: Option<&'a Path>,
}

impl Lines {
    /// Begins a receipt. A regular file at the path stays as it is until the receipt is [finished](Self::finish).
    ///
    /// # Errors
    /// If it can't be written, or is a file that the run uses otherwise.
    pub(super) fn create(
        path: &Path,
        sources: &[Source],
        others: &Others<'_>,
        check: fn(&Path) -> io::Result<()>,
    ) -> Result<Self, ReceiptError> {
        let failed = |source| ReceiptError::io(path, source);
        stdin::check_descriptor(path).map_err(failed)?;
        check(path).map_err(failed)?;
        if let Some(other) = others.taken(path) {
            return Err(failed(io::Error::other(format!("it is {other}"))));
        }
        let names = may_repeat(sources).then(Mutex::default);
        Ok(Self { receipt: Receipt::create(path)?, path: path.to_owned(), names })
    }

    /// A file has its name here, with this digest.
    pub(super) fn add(&self, file: &File, digest: Digest, progress: &Progress) {
        let added = name(file).ok_or(ReceiptError::Name).and_then(|name| {
            let add = || self.receipt.add(&name, digest);
            let Some(names) = &self.names else { return add() };
            // Two connections may write one name after the other; the lines come in the same order only here.
            let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
            if !names.insert(name.clone()) {
                self.receipt.repeats();
            }
            add()
        });
        if let Err(error) = added {
            progress.failed(&file.path(), error);
        }
    }

    /// All files are durable that are in it, as far as the user wants that: puts it where it belongs. `kept_promise`: or the reason
    /// why the receipt may not be.
    ///
    /// # Errors
    /// If it may not be true, or lines are missing.
    pub(super) fn finish(
        &self,
        kept_promise: Result<(), &'static str>,
    ) -> Result<(), ReceiptError> {
        kept_promise.map_err(|why| ReceiptError::io(&self.path, io::Error::other(why)))?;
        self.receipt.finish()
    }
}

/// The name of a file below the target.
fn name(file: &File) -> Option<Name> {
    let mut path: PathBuf = file.node.components().into_iter().collect();
    path.push(file.component());
    Name::parse(&bytes(path.as_os_str()).ok()?).ok()
}

impl Others<'_> {
    /// The other part that the file at the path of the receipt has in this run, and a way out.
    fn taken(&self, path: &Path) -> Option<&'static str> {
        if self.mirrored.is_some_and(|target| is_in(path, target)) {
            return Some("in DIR, where --delete would remove it; name a file elsewhere");
        }
        let receipt = regular(&path.metadata().ok()?)?;
        let is_receipt =
            |file: &Path| file.metadata().is_ok_and(|found| regular(&found) == Some(receipt));
        let input = stdin::file().and_then(|input| input.metadata());
        if input.is_ok_and(|input| regular(&input) == Some(receipt)) {
            Some("standard input; name another file")
        } else if path.canonicalize().is_ok_and(|path| is_rules(&path))
            || self.rules.files().any(is_receipt)
        {
            Some("a file of rules; name another file")
        } else if self.list.is_some_and(is_receipt) {
            Some("the list of --files-from; name another file")
        } else {
            None
        }
    }
}

/// Whether a file is in a directory, or would be.
fn is_in(file: &Path, directory: &Path) -> bool {
    let above = file.parent().filter(|above| !above.as_os_str().is_empty());
    let above = above.unwrap_or(Path::new(".")).canonicalize();
    let directory = match directory.as_os_str().is_empty() {
        true => Path::new(".").canonicalize(),
        false => directory.canonicalize(),
    };
    above.is_ok_and(|above| directory.is_ok_and(|directory| above.starts_with(directory)))
}
