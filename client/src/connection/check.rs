//! Asking what the server has: entries go out, a verdict comes back for each.

use std::path::{Path, PathBuf};

use haul_protocol::{Attributes, Entry, EntryKind, Name, Op, Verdict, encode_entry};

use super::{Connection, Pending};
use crate::error::{ConnectionError, FileError};
use crate::source::{attributes, link};
use crate::work::{Item, Kind};

/// Bytes of entries at which a request ends; one more always fits a body.
const FULL: usize = 1024 * 1024;

impl Connection<'_> {
    /// Whether the first of this connection's items must be compared before it is sent.
    pub(super) fn must_check(&self) -> bool {
        self.run.sync.compares() && self.batch.front().is_some_and(Item::is_unchecked)
    }

    /// Asks for the first of this connection's items, as many as fit one request.
    pub(super) fn check(&mut self) -> Result<(), ConnectionError> {
        let (mut items, mut lines) = (Vec::with_capacity(self.batch.len()), Vec::new());
        while lines.len() < FULL && self.must_check() {
            let Some(item) = self.batch.pop_front() else { break };
            match entry(&item) {
                Ok(entry) => {
                    encode_entry(&entry, &mut lines)?;
                    items.push(item);
                }
                Err(error) => self.give_up(item, &error),
            }
        }
        if items.is_empty() {
            return Ok(());
        }
        self.enter(Pending::Check(items), &Op::Check, lines.len() as u64)?;
        self.link.out().extend_from_slice(&lines);
        Ok(())
    }

    /// The server's verdicts, one letter for each item.
    pub(super) fn checked(&mut self, items: Vec<Item>, letters: &[u8]) {
        let (mut settled, mut opened) = (0, None);
        for (index, mut item) in items.into_iter().enumerate() {
            let letter = letters.get(index).copied().unwrap_or(b'?');
            let verdict = Verdict::from_letter(letter);
            // What a dry run would have made is not there for its attributes.
            let skipped = match (&item.kind, verdict) {
                (Kind::Directory(_) | Kind::Attributes(_), Some(Verdict::Same)) => true,
                (Kind::Attributes(_), Some(Verdict::Missing | Verdict::Kind)) => {
                    self.run.sync.dry_run
                }
                (_, Some(Verdict::Same)) => self.run.sync.only_changed,
                _ => false,
            };
            if skipped {
                if matches!(item.kind, Kind::File | Kind::Link) && !self.run.sync.is_last_round() {
                    self.run.progress.unchanged();
                }
                settled += 1;
                continue;
            }
            if item.inside && matches!(item.kind, Kind::File | Kind::Link) {
                self.open_up(&item, &mut opened);
            }
            item.verdict = Some(verdict);
            self.batch.push_back(item);
        }
        if settled > 0 {
            self.run.work.settle(settled);
        }
    }

    /// A directory that its owner may not write to is opened up before something is put into it; its
    /// attributes come in the end, as always.
    fn open_up(&mut self, item: &Item, opened: &mut Option<PathBuf>) {
        let (Some(parent), Ok(name)) = (item.path.parent(), Name::parse(item.name.split().0))
        else {
            return;
        };
        if opened.as_deref() == Some(parent) {
            return;
        }
        *opened = Some(parent.to_owned());
        let mode = mode(parent);
        if let Some(mode) = mode.filter(|mode| mode & 0o700 != 0o700) {
            let kind = Kind::Directory(Some(mode | 0o700));
            let mut directory = Item::new(parent.to_owned(), name, kind);
            directory.verdict = Some(Some(Verdict::Mode));
            self.run.work.found(1);
            self.batch.push_back(directory);
        }
    }
}

fn mode(directory: &Path) -> Option<u32> {
    attributes(&directory.symlink_metadata().ok()?).mode
}

/// What an item is now.
fn entry(item: &Item) -> Result<Entry, FileError> {
    let metadata = || item.path.symlink_metadata().map_err(FileError::local("look at"));
    let (kind, Attributes { mode, mtime }) = match &item.kind {
        Kind::Link => {
            let (target, mtime) = link(&item.path)?;
            (EntryKind::Link { target }, Attributes { mode: None, mtime })
        }
        Kind::Directory(_) => {
            // One that is not writable becomes so only if something is put into it.
            let mode = attributes(&metadata()?).mode.filter(|mode| mode & 0o700 == 0o700);
            (EntryKind::Directory, Attributes { mode, mtime: None })
        }
        Kind::Attributes(attributes) => (EntryKind::Directory, *attributes),
        _ => {
            let metadata = metadata()?;
            if !metadata.is_file() {
                return Err(FileError::Changed);
            }
            (EntryKind::File { size: metadata.len(), digest: None }, attributes(&metadata))
        }
    };
    Ok(Entry { name: item.name.clone(), kind, mode, mtime })
}
