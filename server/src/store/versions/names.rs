//! The name of the directory that each home is about, in `.haul/names`: the name of a home is only a digest of it. Quotas need
//! it, because versions of a directory count for the accounts whose roots are above it.
//!
//! A file that a crash has cut off names nothing: its bytes have another digest. It is written again with the next version.

use std::io::{Read, Write};

use haul_protocol::Name;
use haul_protocol::limits::MAX_NAME_LEN;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::home::{NEXT, home_of};
use crate::store::temp::entries;
use crate::store::{Store, sys};

/// A home whose directory is known.
#[derive(Debug)]
pub(in crate::store) struct Home {
    pub(in crate::store) id: String,
    /// The directory.
    pub(in crate::store) name: Name,
}

impl Store {
    /// Notes the name of the directory that a home is about.
    pub(super) fn note_home(&self, id: &str, name: &Name) {
        if self.name_of_home(id).is_some() {
            return;
        }
        let flags = OFlags::WRONLY | OFlags::TRUNC;
        let noted = sys::create(&self.names, id.as_bytes(), flags, Mode::RUSR | Mode::WUSR)
            .map_err(std::io::Error::from)
            .and_then(|file| std::fs::File::from(file).write_all(name.as_bytes()));
        if let Err(error) = noted {
            tracing::warn!(name = name.as_bytes(), %error, "the versions of a directory count for no quota: could not note its name");
        }
    }

    /// The home is gone.
    pub(super) fn forget_name(&self, id: &str) {
        let _ = sys::unlink(&self.names, id.as_bytes());
    }

    /// The directory that a home is about.
    pub(in crate::store) fn name_of_home(&self, id: &str) -> Option<Name> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.names, id, flags, Mode::empty()).ok()?;
        let mut name = Vec::new();
        std::fs::File::from(file).take(MAX_NAME_LEN as u64 + 1).read_to_end(&mut name).ok()?;
        Name::parse(&name).ok().filter(|name| home_of(name) == id)
    }

    /// All homes whose directories are known.
    pub(in crate::store) fn homes(&self) -> Result<Vec<Home>, Errno> {
        let named = |id: String| Some(Home { name: self.name_of_home(&id)?, id });
        Ok(entries(&self.trees)?.into_iter().filter_map(named).collect())
    }

    /// A directory in a home, if it is there.
    pub(in crate::store) fn in_home(&self, id: &str, entry: &str) -> Option<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let home = rustix::fs::openat(&self.trees, id, flags, Mode::empty()).ok()?;
        self.rights.open_in(&home, entry.as_bytes()).ok()
    }

    /// The drafts in a home: their names, and the tokens with their owners.
    pub(in crate::store) fn drafts_in(&self, id: &str) -> Vec<(String, String)> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let home = rustix::fs::openat(&self.trees, id, flags, Mode::empty());
        let entries = home.and_then(|home| entries(&home)).unwrap_or_default();
        let drafts = entries.into_iter().filter_map(|entry| {
            let tag = entry.strip_prefix(NEXT)?.split_once('-')?.1.to_owned();
            Some((entry, tag))
        });
        drafts.collect()
    }
}
