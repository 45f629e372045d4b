//! Whether the root is still the directory that its path leads to: a handle alone would not tell.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, fstat, statat};
use rustix::io::Errno;

use super::bounds::Gone;
use super::error::StoreError;
use super::open::DIRECTORY;
use super::private::PRIVATE;
use super::root::Root;

/// Root and `.haul` as they were when the server started. Their handles are kept, so nothing else gets their inodes.
#[derive(Debug)]
pub(super) struct Present {
    root: (OwnedFd, Inode),
    /// `None`: the server has none, because it only reads.
    private: Option<(OwnedFd, Inode)>,
    /// The path of `.haul`: one look finds both.
    path: PathBuf,
    /// The log has been told.
    is_told: AtomicBool,
}

/// Device and number.
type Inode = (u64, u64);

impl Present {
    /// Of a root that has its `.haul`.
    pub(super) fn of(root: &Root) -> Result<Self, Errno> {
        let private = root.resolve(PRIVATE.as_bytes())?;
        Ok(Self { private: Some(with_inode(private)?), ..Self::of_root_alone(root)? })
    }

    /// Of a root whose `.haul` is not this server's.
    pub(super) fn of_root_alone(root: &Root) -> Result<Self, Errno> {
        let handle = rustix::fs::openat(root, ".", DIRECTORY, Mode::empty())?;
        Ok(Self {
            root: with_inode(handle)?,
            private: None,
            path: root.path().join(PRIVATE),
            is_told: AtomicBool::new(false),
        })
    }

    /// Fails if root or `.haul` was removed, replaced, moved away, mounted over or unmounted. The log is told once.
    pub(super) fn look(&self) -> Result<(), StoreError> {
        let gone = self.gone();
        let path = self.root_path().as_os_str().as_bytes();
        match (gone, self.is_told.load(Ordering::Relaxed)) {
            (None, false) => {}
            (Some(gone), false) => {
                if !self.is_told.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        root = path,
                        "{gone} was removed, replaced, moved or unmounted: every request is refused until it is put \
                         back, or hauld is started again"
                    );
                }
            }
            (None, true) => {
                if self.is_told.swap(false, Ordering::Relaxed) {
                    tracing::info!(root = path, "the root is there again");
                }
            }
            (Some(_), true) => {}
        }
        gone.map_or(Ok(()), |gone| Err(StoreError::Gone { gone }))
    }

    fn root_path(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    fn gone(&self) -> Option<Gone> {
        let at = |path: &Path| statat(CWD, path, AtFlags::empty()).map(|stat| inode(&stat));
        let Some((private, inode)) = &self.private else {
            return match at(self.root_path()) {
                Ok(found) if found == self.root.1 => None,
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE) => {
                    Some(Gone::Root)
                }
                Err(_) => is_removed(&self.root.0).then_some(Gone::Root),
            };
        };
        match at(&self.path) {
            Ok(found) if found == *inode => None,
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE) => {
                let is_root = at(self.root_path()) == Ok(self.root.1);
                Some(if is_root { Gone::Private } else { Gone::Root })
            }
            // The path tells nothing, as when a directory above may not be entered any more.
            Err(_) if is_removed(&self.root.0) => Some(Gone::Root),
            Err(_) if is_removed(private) => Some(Gone::Private),
            Err(_) => None,
        }
    }
}

fn with_inode(handle: OwnedFd) -> Result<(OwnedFd, Inode), Errno> {
    let inode = inode(&fstat(&handle)?);
    Ok((handle, inode))
}

fn inode(stat: &rustix::fs::Stat) -> Inode {
    (stat.st_dev, stat.st_ino)
}

/// Whether a directory has no name any more.
fn is_removed(handle: impl AsFd) -> bool {
    fstat(handle).is_ok_and(|stat| stat.st_nlink == 0)
}
