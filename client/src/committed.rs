//! What else happens when a file is committed: it is written into the receipt, and its source goes if that
//! was asked for.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use haul_protocol::{Digest, Name};
use thiserror::Error;

use crate::progress::Progress;
use crate::source::Stamp;

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
        // What was written to it since would be lost.
        if !stamp.is_still_at(path) {
            progress.failed(path, &"arrived, but has changed since, so it is not removed here");
        } else if let Err(error) = std::fs::remove_file(path) {
            progress.failed(path, &format_args!("arrived, but could not be removed here: {error}"));
        }
    }

    /// Whether the digests of single files are asked for.
    pub fn wants_digests(&self) -> bool {
        self.receipt.is_some()
    }

    /// The server has a file with this digest.
    pub fn verified(&self, path: &Path, name: &Name, digest: Digest, progress: &Progress) {
        let Some(receipt) = &self.receipt else { return };
        let added = match self.below.as_ref().map(|below| below.join(name.as_bytes())) {
            None => receipt.add(name, digest),
            Some(Ok(name)) => receipt.add(&name, digest),
            Some(Err(_)) => Err(ReceiptError::Name),
        };
        if let Err(error) = added {
            progress.failed(path, &format_args!("arrived, but is not in the receipt: {error}"));
        }
    }
}

/// A file of digests and names in the format of `b3sum`, which `b3sum --check` reads in the server's root.
#[derive(Debug)]
pub struct Receipt {
    path: PathBuf,
    file: Mutex<BufWriter<File>>,
}

/// A name can't be in a receipt, or the receipt can't be written.
#[derive(Debug, Error)]
pub enum ReceiptError {
    /// `b3sum` reads no such names.
    #[error("its name is not UTF-8 or has U+FFFD in it, which b3sum does not read")]
    Name,
    /// The file system said no.
    #[error("could not write {}: {source}", path.display())]
    Io {
        /// The receipt.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Receipt {
    /// Makes the file, or empties it.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn create(path: &Path) -> Result<Self, ReceiptError> {
        match File::create(path) {
            Ok(file) => Ok(Self { path: path.to_owned(), file: Mutex::new(BufWriter::new(file)) }),
            Err(source) => Err(ReceiptError::Io { path: path.to_owned(), source }),
        }
    }

    /// Appends a line.
    ///
    /// # Errors
    /// If the name can't be in it, or it can't be written.
    pub fn add(&self, name: &Name, digest: Digest) -> Result<(), ReceiptError> {
        let line = line(name.as_bytes(), digest).ok_or(ReceiptError::Name)?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).map_err(|source| self.failed(source))
    }

    /// Writes what is left, to the disk.
    ///
    /// # Errors
    /// If that fails: lines are missing then.
    pub fn finish(&self) -> Result<(), ReceiptError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> ReceiptError {
        ReceiptError::Io { path: self.path.clone(), source }
    }
}

/// As `b3sum` 1.8 writes it: a backslash in front if there are escapes in the name. `None` for names that
/// its `--check` refuses.
fn line(name: &[u8], digest: Digest) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    if name.contains('\u{fffd}') {
        return None;
    }
    if !name.contains(['\\', '\n', '\r']) {
        return Some(format!("{digest}  {name}\n"));
    }
    let name = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
    Some(format!("\\{digest}  {name}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_b3sum() {
        let digest = Digest::of(b"");
        let text = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(line(b"a/b c", digest), Some(format!("{text}  a/b c\n")));
        assert_eq!(line(b"a\\b\nc\r", digest), Some(format!("\\{text}  a\\\\b\\nc\\r\n")));
        assert_eq!(line(b"\xff", digest), None);
        assert_eq!(line("\u{fffd}".as_bytes(), digest), None);
    }
}
