//! The properties of entries, from the store to the document that tells them.

use haul_protocol::{Entry, EntryKind, Name};

use crate::connection::turn::Turn;
use crate::http::dav::asked::{Wanted, kept};
use crate::http::dav::properties::{BEGIN, Facts};
use crate::http::media::Media;
use crate::http::response::Response;
use crate::http::status::Status;
use crate::http::target::address;
use crate::http::validators::Validators;
use crate::store::Properties;

/// The head of an answer whose body is a document.
pub(in crate::connection) fn head(status: Status) -> Response {
    Response::new(status).with("Content-Type", "application/xml; charset=utf-8")
}

/// An answer to a `PROPFIND` under way.
#[derive(Debug)]
pub(in crate::connection) struct Told {
    wanted: Wanted,
    is_drive: bool,
    /// Bytes that can come, and bytes that are there.
    room: Option<(u64, u64)>,
    /// The document up to the entries of a directory.
    begin: String,
}

impl Told {
    /// With the entry itself. `name`: as the client sees it; `None` is the root.
    pub(super) fn begin(
        wanted: Wanted,
        is_drive: bool,
        room: Option<(u64, u64)>,
        (name, found): (Option<&Name>, Properties),
    ) -> Self {
        let mut told = Self { wanted, is_drive, room, begin: String::from(BEGIN) };
        let mut begin = std::mem::take(&mut told.begin);
        told.facts(name, found).tell(&told.wanted, &mut begin);
        told.begin = begin;
        told
    }

    pub(in crate::connection) fn take_begin(&mut self) -> String {
        std::mem::take(&mut self.begin)
    }

    /// Bytes of memory that it takes.
    pub(in crate::connection) fn held_bytes(&self) -> usize {
        self.begin.capacity() + self.wanted.held_bytes()
    }

    /// Appends an entry of the directory. `inward`: its name in the store. Symlinks and other entries that can't be had by
    /// WebDAV are left out.
    pub(in crate::connection) fn entry(
        &self,
        (turn, inward): (&Turn<'_>, Option<&Name>),
        entry: &Entry,
        out: &mut String,
    ) {
        let (is_directory, size) = match &entry.kind {
            EntryKind::Directory => (true, None),
            EntryKind::File { size, .. } => (false, Some(*size)),
            _ => return,
        };
        let found = inward.filter(|_| self.wanted.looks_closer()).and_then(|name| {
            turn.services.store.properties(&turn.base.parents, Some(name)).ok().flatten()
        });
        let facts = match found {
            Some(found) => self.facts(Some(&entry.name), found),
            None => {
                let modified = entry.mtime.map(|mtime| mtime.s);
                let facts = Facts { size, modified, ..Facts::default() };
                self.named(Some(&entry.name), is_directory, facts)
            }
        };
        facts.tell(&self.wanted, out);
    }

    fn facts(&self, name: Option<&Name>, found: Properties) -> Facts {
        let Properties { is_directory, size, mtime, created, state, digest, kept: own } = found;
        let modified = mtime.map(|mtime| mtime.s);
        let facts = Facts {
            size: (!is_directory).then_some(size),
            etag: (!is_directory).then(|| Validators::new(digest, state, modified).etag),
            modified,
            created,
            kept: own.iter().filter_map(|(key, value)| kept(key, value)).collect(),
            ..Facts::default()
        };
        self.named(name, is_directory, facts)
    }

    fn named(&self, name: Option<&Name>, is_directory: bool, facts: Facts) -> Facts {
        let last = name.map_or(&b"/"[..], |name| name.split().1);
        let room = self.room.filter(|_| is_directory);
        Facts {
            href: address(self.is_drive, name, is_directory),
            name: String::from_utf8_lossy(last).into_owned(),
            is_directory,
            media: (!is_directory).then(|| Media::of(last).name),
            available: room.map(|(available, _)| available),
            used: room.map(|(_, used)| used),
            ..facts
        }
    }
}
