//! Publishing: what was staged appears under its final name, whole or not at all.

use std::sync::Arc;

use haul_protocol::{Attributes, LinkTarget, Mtime, Name};
use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::attributes::times;
use super::error::StoreError;
use super::root::Parents;
use super::{Staged, Store};

impl Store {
    /// Stages and publishes a file whose bytes are all there and have been verified.
    pub(crate) fn put(
        self: &Arc<Self>,
        parents: &Parents<'_>,
        name: &Name,
        attributes: &Attributes,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let staged = self.stage(name, attributes)?;
        staged.write_at(name, 0, bytes)?;
        self.publish(parents, staged, name, attributes)
    }

    /// Publishes a staged file that is complete and verified, replacing a file or link.
    pub(crate) fn publish(
        &self,
        parents: &Parents<'_>,
        mut staged: Staged,
        name: &Name,
        attributes: &Attributes,
    ) -> Result<(), StoreError> {
        if let Some(file) = staged.file.take() {
            if let Some(mtime) = attributes.mtime {
                rustix::fs::futimens(&file, &times(mtime))
                    .map_err(|errno| StoreError::new("set mtime of", name, errno))?;
            }
            // A network file system may report a failed write only here, and a drop would lose it.
            nix::unistd::close(file).map_err(|errno| StoreError::Io {
                op: "close",
                name: name.to_string(),
                source: errno.into(),
            })?;
        }
        self.rename(parents, &staged.name, name)?;
        staged.renamed = true;
        Ok(())
    }

    /// Publishes a symbolic link, replacing a file or link.
    pub(crate) fn link(
        &self,
        parents: &Parents<'_>,
        name: &Name,
        target: &LinkTarget,
        mtime: Option<Mtime>,
    ) -> Result<(), StoreError> {
        let failed = |op| move |errno| StoreError::new(op, name, errno);
        let staged = self.staged_name();
        rustix::fs::symlinkat(target.as_bytes(), &self.staging, staged.as_str())
            .map_err(failed("make link"))?;
        let published = match mtime {
            Some(mtime) => rustix::fs::utimensat(
                &self.staging,
                staged.as_str(),
                &times(mtime),
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .map_err(failed("set mtime of")),
            None => Ok(()),
        }
        .and_then(|()| self.rename(parents, &staged, name));
        if published.is_err()
            && let Err(errno) =
                rustix::fs::unlinkat(&self.staging, staged.as_str(), AtFlags::empty())
        {
            tracing::warn!(file = staged, %errno, "could not remove a half-made link");
        }
        published
    }

    /// Makes the parents of a large file and refuses at once what could never be published.
    pub(crate) fn prepare(&self, parents: &Parents<'_>, name: &Name) -> Result<(), StoreError> {
        let parent = parents.of(name)?;
        match rustix::fs::statat(&parent, name.split().1, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                Err(StoreError::new("replace", name, Errno::ISDIR))
            }
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(StoreError::new("look at", name, errno)),
        }
    }

    /// rename(2) replaces a file, a link itself, or one name of several of an inode; atomically.
    fn rename(&self, parents: &Parents<'_>, staged: &str, name: &Name) -> Result<(), StoreError> {
        let mut fresh = false;
        loop {
            let parent = parents.of(name)?;
            match rustix::fs::renameat(&self.staging, staged, &parent, name.split().1) {
                Ok(()) => return Ok(()),
                // The parent was removed since it was opened.
                Err(Errno::NOENT) if !fresh => {
                    fresh = true;
                    parents.clear();
                }
                Err(errno) => return Err(StoreError::new("publish", name, errno)),
            }
        }
    }
}
