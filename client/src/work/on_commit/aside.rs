//! Removing a file under a name that others may give to another file at any moment.
//!
//! Nothing removes a name only if it is still that of a certain file. So the file first gets a name that nobody else uses;
//! then the client looks which file that is.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use haul_protocol::limits::MAX_COMPONENT_LEN;

use crate::source::ASIDE;

/// Nothing was removed.
#[derive(Debug)]
pub(super) enum Error {
    /// There was another file, which has its name again.
    Other,
    /// There was another file, and meanwhile yet another has its name. It is here now.
    Kept(PathBuf),
    /// The system said no.
    Io(io::Error),
}

/// Removes the file at a path if that is the one.
pub(super) fn remove(path: &Path, is_it: impl FnOnce(&Path) -> bool) -> Result<(), Error> {
    let Some(aside) = name(path) else { return Err(Error::Io(io::ErrorKind::InvalidInput.into())) };
    match rename(path, &aside) {
        Ok(()) => {}
        // The file system can't keep what may be there; nobody but haul uses such names.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            std::fs::rename(path, &aside).map_err(Error::Io)?;
        }
        Err(error) => return Err(Error::Io(error)),
    }
    if is_it(&aside) {
        return std::fs::remove_file(&aside).map_err(|error| match rename(&aside, path) {
            Ok(()) => Error::Io(error),
            Err(_) => Error::Kept(aside),
        });
    }
    match rename(&aside, path) {
        Ok(()) => Err(Error::Other),
        Err(_) => Err(Error::Kept(aside)),
    }
}

/// A name beside a path that nobody else uses, and that tells what the file was called.
fn name(path: &Path) -> Option<PathBuf> {
    let mut number = [0; 8];
    getrandom::fill(&mut number).ok()?;
    let mut name = OsString::from(format!("{ASIDE}{:016x}", u64::from_le_bytes(number)));
    if let Some(own) = path.file_name().filter(|own| own.len() < MAX_COMPONENT_LEN - name.len()) {
        name.push("-");
        name.push(own);
    }
    Some(path.with_file_name(name))
}

#[cfg(target_os = "linux")]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

#[cfg(not(target_os = "linux"))]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    std::fs::rename(from, to)
}

#[cfg(test)]
mod tests {
    use std::fs::{read, read_dir, write};

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn file_goes_and_another_one_keeps_its_name() {
        let place = TempDir::new().unwrap();
        let path = place.path().join("f");
        write(&path, "sent").unwrap();
        remove(&path, |_| true).unwrap();
        assert!(!path.exists());
        write(&path, "another").unwrap();
        assert!(matches!(remove(&path, |_| false), Err(Error::Other)));
        assert_eq!(read(&path).unwrap(), b"another");
        assert_eq!(read_dir(place.path()).unwrap().count(), 1);
        let newest = |_: &Path| {
            write(&path, "newest").unwrap();
            false
        };
        let Err(Error::Kept(aside)) = remove(&path, newest) else { panic!("not kept") };
        assert_eq!(
            (read(&path).unwrap(), read(aside).unwrap()),
            (b"newest".into(), b"another".into())
        );
    }
}
