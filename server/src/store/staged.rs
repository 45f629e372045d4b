//! A file that is written where no client can name it, until it is published or dropped.

use haul_protocol::{Attributes, Name};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::Store;
use super::attributes::kept;
use super::error::StoreError;

/// A file under way. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(super) file: Option<OwnedFd>,
    pub(super) name: String,
    /// A handle of its own, so that dropping needs nobody's help.
    staging: std::sync::Arc<Store>,
    pub(super) renamed: bool,
}

impl Store {
    /// Starts a file that will be published as `target`, with its final mode from the beginning.
    pub(crate) fn stage(
        self: &std::sync::Arc<Self>,
        target: &Name,
        attributes: &Attributes,
    ) -> Result<Staged, StoreError> {
        let name = self.staged_name();
        let mode = kept(attributes.mode).unwrap_or(Mode::from_raw_mode(0o666) - self.umask);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.staging, name.as_str(), flags, mode)
            .map_err(|errno| StoreError::new("stage", target, errno))?;
        Ok(Staged { file: Some(file), name, staging: std::sync::Arc::clone(self), renamed: false })
    }
}

impl Staged {
    /// Writes all of `bytes` at `offset`.
    pub(crate) fn write_at(
        &self,
        target: &Name,
        mut offset: u64,
        mut bytes: &[u8],
    ) -> Result<(), StoreError> {
        let Some(file) = &self.file else {
            return Err(StoreError::new("write", target, Errno::BADF));
        };
        while !bytes.is_empty() {
            match rustix::io::pwrite(file, bytes, offset) {
                Ok(0) => return Err(StoreError::new("write", target, Errno::NOSPC)),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(StoreError::new("write", target, errno)),
            }
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.renamed {
            let staging = &self.staging.staging;
            if let Err(errno) = rustix::fs::unlinkat(staging, self.name.as_str(), AtFlags::empty())
            {
                tracing::warn!(file = self.name, %errno, "could not remove a half-written file");
            }
        }
    }
}
