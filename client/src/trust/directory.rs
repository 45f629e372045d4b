//! The directory of the client's own files, and how they are replaced.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::trust::KnownError;

/// The file that is locked while another one is changed.
const LOCK: &str = "lock";

/// The directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory(PathBuf);

/// While this is held, no other process changes a file of the directory.
#[derive(Debug)]
pub struct Locked<'a> {
    directory: &'a Directory,
    /// The lock ends when it is closed.
    _lock: File,
}

impl Directory {
    /// That of the user: `HAUL_CONFIG_DIR`, or `haul` in the system's place for such files.
    ///
    /// # Errors
    /// If the environment names none.
    pub fn of_user() -> Result<Self, KnownError> {
        let named = |name: &str| std::env::var_os(name).filter(|text| !text.is_empty());
        if let Some(directory) = named("HAUL_CONFIG_DIR") {
            return Ok(Self(directory.into()));
        }
        let of_system = match cfg!(windows) {
            true => named("APPDATA").map(PathBuf::from),
            false => named("XDG_CONFIG_HOME")
                .map(PathBuf::from)
                // By its specification, a relative one means nothing.
                .filter(|path| path.is_absolute())
                .or_else(|| named("HOME").map(|home| Path::new(&home).join(".config"))),
        };
        of_system.map(|path| Self(path.join("haul"))).ok_or(KnownError::NoDirectory)
    }

    /// This one.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Whether this user may not even look for files in it. So it is another user's, as after `su` without `-`, and has no
    /// files of this one.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let looked = fs::metadata(self.0.join("."));
        looked.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Waits until no other process changes a file. Makes the directory, which only its user may enter, if it is missing.
    ///
    /// # Errors
    /// If the system does not let it.
    pub fn lock(&self) -> Result<Locked<'_>, KnownError> {
        make(&self.0).map_err(KnownError::io("make", &self.0))?;
        let path = self.file(LOCK);
        let open = || {
            let file = private().read(true).write(true).create(true).truncate(false).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        let lock = open().map_err(KnownError::io("lock", &path))?;
        Ok(Locked { directory: self, _lock: lock })
    }
}

impl Locked<'_> {
    /// Replaces a file in one step: whoever reads it has the old one or the new one, whole. Only its user may read it.
    ///
    /// # Errors
    /// If the system does not let it; the old one stays.
    pub fn replace(&self, name: &str, contents: &[u8]) -> Result<(), KnownError> {
        let path = self.directory.file(name);
        // A link stays one, and leads to the new file.
        let target = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        let write = || {
            let above = target.parent().unwrap_or_else(|| Path::new("."));
            let mut file = NamedTempFile::with_prefix_in(".haul-", above)?;
            file.write_all(contents)?;
            file.as_file().sync_all()?;
            file.persist(&target)?;
            Ok(())
        };
        write().map_err(KnownError::io("write", path))
    }
}

#[cfg(unix)]
fn private() -> fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.mode(0o600);
    options
}

#[cfg(not(unix))]
fn private() -> fs::OpenOptions {
    File::options()
}

/// Makes a directory that only its user may enter; parents are as usual.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        fs::create_dir_all(above)?;
    }
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has modes"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    match builder.create(path) {
        // Another process was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}
