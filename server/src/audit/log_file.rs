//! A file that lines are appended to: of the audit log, or of the access log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A log can't be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogFileError {
    #[error("could not open the {what} `{}`: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the {what} `{}` is no file", path.display())]
    NoFile { what: &'static str, path: PathBuf },
    #[error("the {what} `{}` would be below the root, where clients could replace it", path.display())]
    InRoot { what: &'static str, path: PathBuf },
    #[error("the access log `{}` is the audit log: each needs a file of its own", _0.display())]
    Same(PathBuf),
}

/// The file of a log.
#[derive(Debug)]
pub(super) struct LogFile {
    /// The log, in words.
    what: &'static str,
    path: PathBuf,
    /// The root, in which no log is.
    root: PathBuf,
    pub(super) file: File,
    /// The file ends with a part of a line.
    is_torn: bool,
}

impl LogFile {
    /// The file of this path, which is made for its owner alone if it is missing.
    pub(super) fn open(
        what: &'static str,
        path: PathBuf,
        root: &Path,
    ) -> Result<Self, LogFileError> {
        let file = open(what, &path, root)?;
        // A file that can't be read may end in any way.
        let is_torn = end_of(&path, 1).is_ok_and(|end| !end.is_empty() && end != b"\n");
        Ok(Self { what, path, root: root.to_owned(), file, is_torn })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Goes on in the file that has the name now; returns whether that is another one. If it can't be had, the log goes on in
    /// the old one.
    pub(super) fn reopen(&mut self) -> Result<bool, LogFileError> {
        let file = open(self.what, &self.path, &self.root)?;
        let is_other = !is_same(&self.file, &file);
        if is_other {
            // A sandbox lets the server append to the file, and not read it; another file is a new one.
            self.is_torn = false;
        }
        self.file = file;
        Ok(is_other)
    }

    /// Whether the file has no name any more.
    pub(super) fn is_removed(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.nlink() == 0)
    }

    /// Whether both write to one file.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        is_same(&self.file, &other.file)
    }

    /// Appends lines, on a line of their own. Returns the bytes that were written, and the error that the others met.
    pub(super) fn append(&mut self, lines: &str) -> (usize, io::Result<()>) {
        if lines.is_empty() {
            return (0, Ok(()));
        }
        if self.is_torn {
            match write(&mut self.file, b"\n") {
                (_, Ok(())) => self.is_torn = false,
                (_, failed) => return (0, failed),
            }
        }
        let (written, result) = write(&mut self.file, lines.as_bytes());
        if written > 0 {
            self.is_torn = lines.as_bytes()[written - 1] != b'\n';
        }
        (written, result)
    }
}

/// The bytes that were written, and the error that the others met.
fn write(file: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(len) => written += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// The last bytes of a file, at most so many.
pub(super) fn end_of(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = crate::regular::open(path)?;
    let len = file.metadata()?.len();
    let last = len.min(most);
    let mut end = vec![0; usize::try_from(last).unwrap_or_default()];
    file.read_exact_at(&mut end, len - last)?;
    Ok(end)
}

fn is_same(one: &File, other: &File) -> bool {
    let identity = |file: &File| file.metadata().map(|found| (found.dev(), found.ino())).ok();
    identity(one) == identity(other)
}

/// Opens a log, or makes it; not below the root, whatever symlinks lead there.
fn open(what: &'static str, path: &Path, root: &Path) -> Result<File, LogFileError> {
    let failed = |source| LogFileError::Io { what, path: path.to_owned(), source };
    let is_in_root = |real: &Path| root.canonicalize().is_ok_and(|root| real.starts_with(root));
    let in_root = || LogFileError::InRoot { what, path: path.to_owned() };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let real = absolute.ancestors().find_map(|path| path.canonicalize().ok());
    if real.is_some_and(|real| is_in_root(&real)) {
        return Err(in_root());
    }
    // The log would be made where it leads.
    if path.is_symlink() && !path.exists() {
        return Err(failed(io::Error::other("it is a symlink that leads to nothing")));
    }
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(nonblocking);
    let file = options.open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(LogFileError::NoFile { what, path: path.to_owned() });
    }
    // The name may have come to lead elsewhere meanwhile.
    match path.canonicalize() {
        Ok(real) if is_in_root(&real) => Err(in_root()),
        _ => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_is_a_file_and_not_below_the_root() {
        let place = tempfile::TempDir::new().unwrap();
        let open = |path: PathBuf| LogFile::open("audit log", path, place.path());
        let refused = open(place.path().join("a/b"));
        assert!(matches!(refused, Err(LogFileError::InRoot { .. })), "{refused:?}");
        let (log, elsewhere) = (tempfile::TempDir::new().unwrap(), place.path().join("made"));
        let path = log.path().join("log");
        for leads_to in [&*elsewhere, place.path()] {
            std::os::unix::fs::symlink(leads_to, &path).unwrap();
            let refused = open(path.clone());
            assert!(refused.is_err() && !elsewhere.exists(), "{refused:?}");
            std::fs::remove_file(&path).unwrap();
        }
        // A name that leads into the root later is not gone on with.
        let mut opened = open(path.clone()).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(matches!(opened.reopen(), Err(LogFileError::InRoot { .. })));
        let device = open("/dev/null".into());
        assert!(matches!(device, Err(LogFileError::NoFile { .. })), "{device:?}");
        let missing = open("/nowhere/at/all".into());
        assert!(matches!(missing, Err(LogFileError::Io { .. })), "{missing:?}");
    }
}
