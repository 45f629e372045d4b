//! Turns tasks into requests: reads and hashes sources, and enters each request into the book.

use std::sync::Arc;

use haul_protocol::{Cv, Digest, Op, Verdict, Wanted, limits::MIN_PART_LEN};

use super::bundle::Read;
use super::differences::Differences;
use super::dry_run::DryRun;
use super::failure::Failure;
use super::perform::{Network, perform};
use super::{Connection, Pending, Sent};
use crate::error::{ConnectionError, FileError};
use crate::source::Source;
use crate::source::hashing::{PIECE, PartHashing};
use crate::source::spool::keep_whole;
use crate::work::decide::decide;
use crate::work::multipart::Large;
use crate::work::{Item, Kind, Listing, Task};

impl Connection<'_> {
    /// Sends what a task says, or settles it if it can't be sent.
    pub(super) fn send(&mut self, task: Task) -> Result<(), ConnectionError> {
        match task {
            Task::Check => self.check(),
            // It comes again, after a pause or because others have changed something: so it is compared again.
            Task::Item(item) if self.is_compared(&item) => {
                self.batch.push_front(item);
                Ok(())
            }
            // The account may not ask: a directory that is there, or not, stays as it is.
            Task::Item(item) if item.above => {
                self.run.work.settle(1);
                Ok(())
            }
            Task::Item(item) => {
                let Some(item) = self.after_private(item) else { return Ok(()) };
                match self.send_item(&item) {
                    Ok(None) => Ok(()),
                    Ok(Some(read)) => self.add_to_bundle(item, read),
                    Err(Failure::File(error)) => {
                        self.give_up(item, &error);
                        Ok(())
                    }
                    Err(Failure::Connection(error)) => Err(error),
                }
            }
            Task::Part(large, index) => match self.read_part(&large, index) {
                Ok(cv) => {
                    let op = Op::Part {
                        upload: large.upload,
                        offset: large.geometry.range(index).map_or(0, |range| range.start),
                        cv,
                    };
                    self.request_with_body(Pending::Part(large, index, cv), &op)
                }
                Err(error) => {
                    self.end_large(&large, error);
                    Ok(())
                }
            },
            Task::Look(large) => self.ask_whether_there(large),
            Task::Commit(large) => {
                let parts = large.parts();
                let digest = parts.digest().filter(|_| !parts.is_over());
                drop(parts);
                let Some(digest) = digest else { return Ok(()) };
                if large.is_doubtful() {
                    return self.ask_for_bytes(large, digest);
                }
                let op = Op::Commit { upload: large.upload, digest };
                self.request(Pending::Commit(large), &op)
            }
            Task::Abort(abort) => {
                let op = Op::Abort { upload: abort.upload };
                self.request(Pending::Abort(abort), &op)
            }
        }
    }

    /// Carries out the decision about an item; or only reads the item, if it goes with others.
    fn send_item(&mut self, item: &Item) -> Result<Option<Read>, Failure> {
        if let Kind::Remove(removal) = &item.kind
            && !self.may_still_remove(removal)
        {
            self.stays(removal);
            self.run.work.settle(1);
            return Ok(None);
        }
        if !matches!(item.kind, Kind::Remove(_) | Kind::List(_)) {
            self.looked_at = None;
        }
        let policy = self.run.policy;
        let action = decide(item, policy);
        if policy.verifies() {
            perform(&mut Differences(self), item, action)
        } else if policy.dry_run {
            perform(&mut DryRun(self), item, action)
        } else {
            perform(&mut Network(self), item, action)
        }
    }

    /// Asks for the entries of a directory.
    pub(super) fn ask_list(
        &mut self,
        item: &Item,
        listing: &Listing,
    ) -> Result<(), ConnectionError> {
        let (name, after) = (listing.name.clone(), listing.after.clone());
        self.request(Pending::List(item.clone()), &Op::List { name, after })
    }

    /// Opens the file that an item is.
    pub(super) fn open(&mut self, item: &Item) -> Result<Source, FileError> {
        if let Some(opened) = &item.opened {
            return opened.source();
        }
        Source::of(self.nearby.open(&item.path, self.run.policy.links)?)
    }

    pub(super) fn send_file(&mut self, item: &Item) -> Result<Option<Read>, Failure> {
        if item.untrue && item.opened.is_none() {
            return self.send_untrue(item);
        }
        let source = self.open(item)?;
        match self.send_source(item, source) {
            Err(Failure::File(FileError::Size)) if item.opened.is_none() => self.send_untrue(item),
            sent => sent,
        }
    }

    /// Sends all that a file has, though it says another size: files of `/proc` say that they are empty.
    fn send_untrue(&mut self, item: &Item) -> Result<Option<Read>, Failure> {
        let source = self.open(item)?;
        let most = usize::try_from(MIN_PART_LEN).unwrap_or(usize::MAX);
        let len = source.fill(self.body.room(most + 1))?;
        if len <= most {
            self.body.truncate(len);
            return self.send_body(item, &source);
        }
        let work = self.run.work;
        let opened = keep_whole(&source, self.max_file, &|| work.is_stopped())?;
        let source = opened.source()?;
        let item = Item { opened: Some(Arc::new(opened)), ..item.clone() };
        self.send_source(&item, source)
    }

    fn send_source(&mut self, item: &Item, source: Source) -> Result<Option<Read>, Failure> {
        let size = source.size;
        if size > self.max_file {
            return Err(FileError::TooLarge { size, max: self.max_file }.into());
        }
        if self.is_bundled(item, size) {
            return Ok(Some(self.read_into_bundle(item, &source)?));
        }
        let name = item.name.clone();
        let in_one = item.tries.in_one && size <= self.max_body;
        if size > MIN_PART_LEN && !in_one {
            if !self.run.work.begin_large(item) {
                return Ok(None);
            }
            let wanted = Wanted {
                name,
                size,
                attributes: source.attributes,
                fingerprint: source.fingerprint(),
                // If this run has opened the file before, it may have committed it as well.
                replace: item.compared.known.is(Verdict::Digest) && item.tries.earlier.is_none(),
            };
            let op = Op::Open(Box::new(wanted));
            self.request(Pending::Open(item.clone(), source), &op)?;
            // After a crash the server reads the parts that it has.
            self.wire.reads(size);
            return Ok(None);
        }
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        source.read_whole(self.body.room(len + 1))?;
        self.body.truncate(len);
        self.send_body(item, &source)
    }

    /// Sends what was read of a file, all at once.
    fn send_body(&mut self, item: &Item, source: &Source) -> Result<Option<Read>, Failure> {
        source.check_unchanged()?;
        let (name, size) = (item.name.clone(), self.body.len() as u64);
        let digest = Digest::of(&self.body);
        let op = Op::Put { name, size, digest, attributes: source.attributes };
        let (digest, stamp) = (Some(digest), item.stamp(source));
        let sent = Sent { size, special_bits: source.special_bits, digest, stamp };
        self.request_with_body(Pending::Item(item.clone(), sent), &op)?;
        Ok(None)
    }

    /// Reads a part into the body and hashes it.
    pub(super) fn read_part(&mut self, large: &Large, index: usize) -> Result<Cv, FileError> {
        let range = large.geometry.range(index).ok_or(FileError::Changed)?;
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut part = PartHashing::begin(&large.source, &large.geometry, index)?;
        for piece in self.body.room(len).chunks_mut(PIECE) {
            part.read(piece)?;
        }
        part.finish()
    }

    /// Sends a request without a body.
    pub(super) fn request(&mut self, pending: Pending, op: &Op) -> Result<(), ConnectionError> {
        self.send_bundle()?;
        self.wire.request(pending, op, &[])
    }

    /// Sends a request whose body is `self.body`.
    fn request_with_body(&mut self, pending: Pending, op: &Op) -> Result<(), ConnectionError> {
        self.send_bundle()?;
        self.run.progress.sent(self.body.len() as u64);
        self.wire.request_with(pending, op, &mut self.body)
    }
}
