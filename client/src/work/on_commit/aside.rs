//! Removing a file under a name that others may give to another file at any moment.
//!
//! Nothing removes a name only if it is still that of a certain file. So the file first gets a name that nobody else uses;
//! then the client looks which file that is.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use haul_protocol::limits::MAX_COMPONENT_LEN;

use crate::source::ASIDE;
use crate::source::base::Base;

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

/// Removes the file at a path, which is in this directory, if that is the one.
pub(super) fn remove(
    base: &Base,
    path: &Path,
    is_it: impl FnOnce(&OsStr) -> bool,
) -> Result<(), Error> {
    let names = path.file_name().and_then(|own| Some((own, name(own)?)));
    let Some((own, aside)) = names else {
        return Err(Error::Io(io::ErrorKind::InvalidInput.into()));
    };
    match base.rename(own, &aside) {
        Ok(()) => {}
        // The file system can't keep what may be there; nobody but haul uses such names.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            base.rename_over(own, &aside).map_err(Error::Io)?;
        }
        Err(error) => return Err(Error::Io(error)),
    }
    let kept = || Error::Kept(path.with_file_name(&aside));
    if is_it(&aside) {
        return base.remove(&aside).map_err(|error| match base.rename(&aside, own) {
            Ok(()) => Error::Io(error),
            Err(_) => kept(),
        });
    }
    match base.rename(&aside, own) {
        Ok(()) => Err(Error::Other),
        Err(_) => Err(kept()),
    }
}

/// A name that nobody else uses, and that tells what the file was called.
fn name(own: &OsStr) -> Option<OsString> {
    let mut number = [0; 8];
    getrandom::fill(&mut number).ok()?;
    let mut name = OsString::from(format!("{ASIDE}{:016x}", u64::from_le_bytes(number)));
    if own.len() < MAX_COMPONENT_LEN - name.len() {
        name.push("-");
        name.push(own);
    }
    Some(name)
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
        let base = Base::open(place.path()).unwrap();
        remove(&base, &path, |_| true).unwrap();
        assert!(!path.exists());
        write(&path, "another").unwrap();
        assert!(matches!(remove(&base, &path, |_| false), Err(Error::Other)));
        assert_eq!(read(&path).unwrap(), b"another");
        assert_eq!(read_dir(place.path()).unwrap().count(), 1);
        let newest = |_: &OsStr| {
            write(&path, "newest").unwrap();
            false
        };
        let Err(Error::Kept(aside)) = remove(&base, &path, newest) else { panic!("not kept") };
        assert_eq!(
            (read(&path).unwrap(), read(aside).unwrap()),
            (b"newest".into(), b"another".into())
        );
    }
}
