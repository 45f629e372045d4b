//! The directory that becomes the root: the one that the client wants, beneath that of the command line if there is one.

use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::greeting::{Failure, Reason};

/// The server's own directories in a root, which are nobody's root.
const PRIVATE: &[u8] = b".haul";

/// Flags for a handle on a directory that is to be a root.
pub(super) const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Names below the directory of the command line are no more followed through symlinks than those of files: a client could
/// have put one there.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// The mode of directories that are made, before the umask of the process.
const MODE: Mode = Mode::from_raw_mode(0o777);

/// Calls of openat2 for one name, if a rename races with it.
const RACES: usize = 16;

/// A directory, and its path for people.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: OwnedFd,
    pub(super) path: PathBuf,
}

/// The directory in which a root is looked for, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search<'a> {
    /// The root of the command line.
    pub(super) given: Option<&'a Path>,
    /// Missing directories are made, as the umask of the process has it.
    pub(super) make: bool,
}

impl Search<'_> {
    /// Opens the root that a client wants: without one of the command line any, with one that one or a directory in it.
    pub(super) fn wanted(self, wanted: &Path) -> Result<Place, Failure> {
        match self.given {
            None => self.open(wanted),
            Some(given) if given == wanted => self.open(given),
            Some(given) => self.beneath(&self.open(given)?, wanted.as_os_str().as_bytes()),
        }
    }

    /// Opens a directory by any path.
    pub(super) fn open(self, path: &Path) -> Result<Place, Failure> {
        let failed = |error| failure(path, error);
        if self.make {
            std::fs::create_dir_all(path).map_err(failed)?;
        }
        let opened = rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty());
        place(opened.map_err(|errno| failed(errno.into()))?).map_err(failed)
    }

    /// Opens a directory below another one, component by component, through no symlink. A path from `/` or from `~` begins there,
    /// too: for the client it is all that there is.
    fn beneath(self, base: &Place, wanted: &[u8]) -> Result<Place, Failure> {
        let whole = || base.path.join(Path::new(std::ffi::OsStr::from_bytes(inner(wanted))));
        let denied = |why| {
            let path = whole();
            Failure::new(Reason::Denied, format!("`{}` {why}", path.display()))
        };
        let mut at =
            base.directory.as_fd().try_clone_to_owned().map_err(|e| failure(&whole(), e))?;
        for name in inner(wanted).split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => continue,
                b".." => return Err(denied("could lead out of the root of the command line")),
                name if name.eq_ignore_ascii_case(PRIVATE) => {
                    return Err(denied("is a directory of hauld's own"));
                }
                _ => {}
            }
            at = match self.step(&at, name) {
                Ok(next) => next,
                Err(Errno::LOOP | Errno::XDEV) => {
                    return Err(denied("leads through a symlink, and none is followed there"));
                }
                Err(errno) => return Err(failure(&whole(), errno.into())),
            };
        }
        place(at).map_err(|error| failure(&whole(), error))
    }

    /// Opens one directory in another one.
    fn step(self, directory: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
        let open = || {
            let mut races = 0;
            loop {
                let opened =
                    rustix::fs::openat2(directory, name, DIRECTORY, Mode::empty(), BENEATH);
                match opened {
                    Err(Errno::AGAIN) if races < RACES => races += 1,
                    Err(Errno::INTR) => {}
                    opened => return opened,
                }
            }
        };
        match (open(), self.make) {
            (Err(Errno::NOENT), true) => match rustix::fs::mkdirat(directory, name, MODE) {
                Ok(()) | Err(Errno::EXIST) => open(),
                Err(errno) => Err(errno),
            },
            (opened, _) => opened,
        }
    }
}

/// A path without its beginning at the root of the file system or at the home.
fn inner(mut wanted: &[u8]) -> &[u8] {
    loop {
        wanted = match wanted {
            [b'/', rest @ ..] | [b'~', b'/', rest @ ..] => rest,
            b"~" => b"",
            inner => return inner,
        }
    }
}

/// A handle's path is where it is now, whatever led there.
pub(super) fn place(directory: OwnedFd) -> io::Result<Place> {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))?;
    Ok(Place { directory, path })
}

fn failure(path: &Path, error: io::Error) -> Failure {
    let path = path.display();
    match error.kind() {
        ErrorKind::NotFound => Failure::new(Reason::NotFound, format!("`{path}` does not exist")),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => Failure::new(
            Reason::NotADirectory,
            format!("`{path}` is no directory, or something above it is none"),
        ),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Failure::new(Reason::Denied, format!("`{path}` can't be opened or made: {error}"))
        }
        _ => Failure::new(Reason::Io, format!("`{path}` can't be opened or made: {error}")),
    }
}
