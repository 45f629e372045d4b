//! Files that are open already: what can be read only once, or says a wrong size, is kept in a temporary file first.
//!
//! Size and digest have to be known before the server makes a file visible, and what a lost connection has lost is
//! sent again. The temporary file has no name, so nothing of it stays behind, however haul ends.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haul_protocol::Attributes;

use super::{Source, Stamp, platform};
use crate::error::FileError;

/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;

/// A file that is not found by its path.
#[derive(Debug)]
pub struct Opened {
    file: File,
    attributes: Attributes,
    /// The stamp of the source whose bytes these are, if it is a file.
    of: Option<Stamp>,
}

impl Opened {
    /// Bytes that have neither a mode nor an mtime: those of the temporary file are nobody's.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self { file, attributes: Attributes::default(), of: None }
    }

    /// Whether nothing but the bytes tells whether the server has the same.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.attributes == Attributes::default()
    }

    /// A file that is found by no path, as it is.
    #[must_use]
    pub fn from_source(source: Source) -> Self {
        Self { file: source.file, attributes: source.attributes, of: None }
    }

    /// The same bytes for a source that has attributes of its own.
    #[must_use]
    pub fn of(self, source: &Source) -> Self {
        Self { attributes: source.attributes, of: Some(source.stamp), ..self }
    }

    /// The bytes, to be read any number of times.
    ///
    /// # Errors
    /// If there are too many open files.
    pub fn source(&self) -> Result<Source, FileError> {
        let file = self.file.try_clone().map_err(FileError::local("open"))?;
        Ok(Source { attributes: self.attributes, ..Source::of(file)? })
    }

    /// The stamp of the source, if it is a file that may be removed when its bytes have arrived.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        self.of
    }
}

/// Reads all that comes, up to `most` bytes. `wait` returns when there may be something to read, or with `false` if it
/// is not wanted any more; then there is no file.
///
/// # Errors
/// If it can't be read, is more, or there is no room where temporary files are.
pub fn keep(
    mut input: impl Read,
    most: u64,
    wait: &dyn Fn() -> bool,
) -> Result<Option<Opened>, FileError> {
    let place = std::env::temp_dir();
    let failed = |source| FileError::Spool { place: place.clone(), source: Arc::new(source) };
    let mut file = nameless(&place).map_err(failed)?;
    let (mut buffer, mut size) = (vec![0; PIECE], 0);
    loop {
        if !wait() {
            return Ok(None);
        }
        match input.read(&mut buffer) {
            Ok(0) => return Ok(Some(Opened::new(file))),
            Ok(len) => {
                size += len as u64;
                if size > most {
                    return Err(FileError::TooLarge { size, max: most });
                }
                file.write_all(&buffer[..len]).map_err(failed)?;
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(FileError::local("read")(error)),
        }
    }
}

/// A source whose size is true: itself, or a file with all bytes that were read from it.
///
/// # Errors
/// If it can't be read, is more than `most`, or changes meanwhile. [`FileError::Changed`] if it was `stopped`.
pub fn settled(source: Source, most: u64, stopped: &dyn Fn() -> bool) -> Result<Source, FileError> {
    match source.check_end() {
        Err(FileError::Size) => keep_whole(&source, most, stopped)?.source(),
        checked => checked.map(|()| source),
    }
}

/// Keeps all that a source has, whatever size it says.
///
/// # Errors
/// As of [`settled`].
pub fn keep_whole(
    source: &Source,
    most: u64,
    stopped: &dyn Fn() -> bool,
) -> Result<Opened, FileError> {
    let kept = keep(Whole { source, offset: 0 }, most, &|| !stopped())?;
    source.check_unchanged()?;
    kept.map(|opened| opened.of(source)).ok_or(FileError::Changed)
}

/// A file from its start to its end. A file that can't be read at once is an error.
struct Whole<'a> {
    source: &'a Source,
    offset: u64,
}

impl Read for Whole<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read_some(self.offset, buffer).map_err(io::Error::other)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Whether reading again is all that is to be done about an error.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}

/// A file without a name; others of this user can't open it either.
fn nameless(place: &Path) -> io::Result<File> {
    if let Some(file) = platform::nameless(place) {
        return Ok(file);
    }
    unnamed(place)
}

/// The same where files have names: in a directory that only this user may enter, and the name is gone again before
/// the first byte is written.
fn unnamed(place: &Path) -> io::Result<File> {
    let directory = tempfile::TempDir::new_in(place)?;
    let path: PathBuf = directory.path().join("spool");
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    platform::unname(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_and_can_be_read_any_number_of_times() {
        let bytes: Vec<u8> = (0..=250).cycle().take(1_000_000).collect();
        let opened = keep(&bytes[..], u64::MAX, &|| true).unwrap().unwrap();
        for _ in 0..2 {
            let source = opened.source().unwrap();
            let mut read = vec![0; bytes.len()];
            source.read(0, &mut read).unwrap();
            assert!(source.size == bytes.len() as u64 && read == bytes);
        }
    }

    #[test]
    fn stream_states_no_mode_and_no_mtime_and_a_file_that_is_kept_its_own() {
        let opened = keep(&b"1234"[..], 4, &|| true).unwrap().unwrap();
        assert_eq!(opened.source().unwrap().attributes, Attributes::default());
        let source = Source::of(tempfile::tempfile().unwrap()).unwrap();
        let kept = keep_whole(&source, 4, &|| false).unwrap();
        assert!(source.attributes.mode.is_some());
        assert_eq!(kept.source().unwrap().attributes, source.attributes);
    }

    #[test]
    fn nothing_is_left_where_files_have_names() {
        let place = tempfile::TempDir::new().unwrap();
        let mut file = unnamed(place.path()).unwrap();
        assert_eq!(place.path().read_dir().unwrap().count(), 0);
        file.write_all(b"1234").unwrap();
        assert_eq!(Opened::new(file).source().unwrap().size, 4);
    }

    #[test]
    fn nothing_is_kept_of_what_is_too_much_or_not_wanted() {
        assert!(matches!(keep(&b"1234"[..], 3, &|| true), Err(FileError::TooLarge { .. })));
        assert!(keep(&b"1234"[..], 4, &|| false).unwrap().is_none());
    }
}
