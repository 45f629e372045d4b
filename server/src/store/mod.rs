//! The files under one root: written privately, published atomically.
//!
//! Knows names, attributes and bytes; knows nothing of connections or requests. Every path goes
//! through [`root`], which alone may open one that is not below a handle.

mod attributes;
mod commit;
mod error;
mod list;
mod recover;
mod root;
mod staged;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fd::OwnedFd;
use rustix::fs::Mode;

pub(crate) use error::{OpenError, StoreError};
pub(crate) use root::Parents;
pub(crate) use staged::Staged;

use root::Root;

/// The store of one server process, which holds the root's lock for life.
#[derive(Debug)]
pub(crate) struct Store {
    root: Root,
    /// `.haul/staged`: on the root's file system, named by no client, swept at start.
    staging: OwnedFd,
    next_staged: AtomicU64,
    /// Bits that absent modes lose. The process's own umask is 0, so that sent modes are exact.
    umask: Mode,
    _lock: OwnedFd,
}

impl Store {
    /// Opens (or makes) the root, locks it and removes what an earlier server left half-written.
    pub(crate) fn open(path: &Path, umask: Mode) -> Result<Self, OpenError> {
        let root = Root::open(path, Mode::from_raw_mode(0o777) - umask)?;
        let recovered = recover::recover(&root)?;
        if recovered.swept > 0 {
            tracing::info!(files = recovered.swept, "removed half-written files of an earlier run");
        }
        Ok(Self {
            root,
            staging: recovered.staging,
            next_staged: AtomicU64::new(0),
            umask,
            _lock: recovered.lock,
        })
    }

    /// The absolute path of the root, for people.
    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// A cache of parent directories, to be kept for moments only (see [`Parents`]).
    pub(crate) fn parents(&self) -> Parents<'_> {
        Parents::new(&self.root, Mode::from_raw_mode(0o777) - self.umask)
    }

    fn staged_name(&self) -> String {
        format!("{:x}", self.next_staged.fetch_add(1, Ordering::Relaxed))
    }
}
