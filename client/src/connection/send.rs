//! Turning tasks into requests: reading and hashing sources, and entering what is sent into the book.

use std::sync::Arc;

use haul_protocol::{Cv, Digest, Op, Verdict, Wanted, encode, limits::MIN_PART_LEN};

use super::bundle::Read;
use super::compare::measured;
use super::failure::Failure;
use super::{Connection, Pending, Sent};
use crate::error::{ConnectionError, FileError};
use crate::plan::policy::Policy;
use crate::source::spool::keep_whole;
use crate::source::{Link, Source};
use crate::work::known::Known;
use crate::work::multipart::Large;
use crate::work::{Item, Kind, Task};

/// Bodies up to this are copied behind their header; larger ones are sent from where they are.
const COPIED: usize = 64 * 1024;

/// Bytes of a part that are read and hashed at once: they are still in the second-level cache then.
const PIECE: usize = 128 * 1024;

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
            Task::Item(item) => match self.send_item(&item) {
                Ok(None) => Ok(()),
                Ok(Some(read)) => self.add_to_bundle(item, read),
                Err(Failure::File(error)) => {
                    self.give_up(item, &error);
                    Ok(())
                }
                Err(Failure::Connection(error)) => Err(error),
            },
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
            Task::Commit(large) => match large.digest() {
                Some(digest) if !large.is_over() => {
                    let op = Op::Commit { upload: large.upload, digest };
                    self.request(Pending::Commit(large), &op)
                }
                _ => Ok(()),
            },
            Task::Abort(abort) => {
                let op = Op::Abort { upload: abort.upload };
                self.request(Pending::Abort(abort), &op)
            }
        }
    }

    /// Makes a request of an item; or only reads it, if it goes with others.
    fn send_item(&mut self, item: &Item) -> Result<Option<Read>, Failure> {
        if let Kind::Remove(above) = &item.kind
            && self.run.course.is_halted()
        {
            if let Some(above) = above {
                self.gone(above, false);
            }
            self.run.work.settle(1);
            return Ok(None);
        }
        if self.run.policy.dry_run && !matches!(item.kind, Kind::List(_)) {
            self.tell(item)?;
            return Ok(None);
        }
        if matches!(item.kind, Kind::File) && item.only_attributes().is_none() {
            return self.send_file(item);
        }
        let (name, mut sent) = (item.name.clone(), Sent::default());
        let op = match &item.kind {
            Kind::File => {
                sent.digest = item.stated.and_then(|stated| stated.digest);
                let attributes = item.only_attributes().unwrap_or_default();
                Op::Setattr { name, is_file: true, attributes }
            }
            Kind::Directory(mode) => {
                let replace = self.run.policy.only_changed() && item.known.is(Verdict::Kind);
                Op::Mkdir { name, mode: *mode, replace }
            }
            Kind::Attributes(attributes) => {
                Op::Setattr { name, is_file: false, attributes: *attributes }
            }
            Kind::Remove(_) => Op::Remove { name },
            Kind::Publish(attributes) => {
                let op = Op::Publish { attributes: *attributes };
                self.request(Pending::Publish(item.clone()), &op)?;
                return Ok(None);
            }
            Kind::List(listing) => {
                let (name, after) = (listing.name.clone(), listing.after.clone());
                self.request(Pending::List(item.clone()), &Op::List { name, after })?;
                return Ok(None);
            }
            Kind::Link => {
                let link = self.nearby.link(&item.path, self.run.policy.links)?;
                let Link { target, mtime, stamp } = link;
                sent.stamp = Some(stamp);
                Op::Symlink { name, target, mtime }
            }
        };
        self.request(Pending::Item(item.clone(), sent), &op)?;
        Ok(None)
    }

    /// In a dry run: what would be done, and why.
    fn tell(&mut self, item: &Item) -> Result<(), FileError> {
        let (progress, policy) = (self.run.progress, self.run.policy);
        let why = item.known.why();
        if policy.verifies() {
            match (&item.kind, item.known) {
                (Kind::Remove(_), _) => progress.differs("extra", &item.name, None),
                (_, Known::Is(Verdict::Missing)) => progress.differs("missing", &item.name, None),
                (_, Known::Is(Verdict::Kind | Verdict::Directory)) => {
                    progress.differs(
                        "differs",
                        &item.name,
                        Some("something of another kind is there"),
                    );
                }
                _ => progress.differs("differs", &item.name, Some(why)),
            }
            if let Kind::Remove(Some(above)) = &item.kind {
                self.gone(above, true);
            }
            self.run.work.settle(1);
            return Ok(());
        }
        if is_in_the_way(item, policy) {
            progress.failed(&item.path, &"something of another kind is in the way at the server");
            self.run.work.settle(1);
            return Ok(());
        }
        match &item.kind {
            Kind::File if item.only_attributes().is_some() => {
                progress.would("adjust", &item.name, why, None);
                progress.adjusted(&item.name);
            }
            Kind::File => {
                let size = match &item.opened {
                    Some(opened) => opened.source()?.size,
                    None if item.untrue => measured(item, &mut self.nearby, self.run)?.0,
                    None => {
                        policy.links.look(&item.path).map_err(FileError::local("look at"))?.len()
                    }
                };
                progress.would("send", &item.name, why, Some(size));
                progress.file_done(&item.name, size);
            }
            Kind::Link => {
                progress.would("send", &item.name, why, None);
                progress.link_done(&item.name);
            }
            Kind::Directory(_) if item.known.is(Verdict::Mode) => {}
            Kind::Directory(_) => progress.would("make", &item.name, why, None),
            Kind::Attributes(_) => {
                progress.would("adjust", &item.name, why, None);
                progress.directory_done(&item.name);
            }
            Kind::Remove(above) => {
                progress.would("remove", &item.name, "not in the source", None);
                progress.removed(&item.name);
                if let Some(above) = above {
                    self.gone(above, true);
                }
            }
            Kind::List(_) | Kind::Publish(_) => {}
        }
        self.run.work.settle(1);
        Ok(())
    }

    /// Opens the file that an item is.
    pub(super) fn open(&mut self, item: &Item) -> Result<Source, FileError> {
        if let Some(opened) = &item.opened {
            return opened.source();
        }
        let file = self.nearby.open(&item.path, self.run.policy.links);
        Source::of(file.map_err(FileError::local("open"))?)
    }

    fn send_file(&mut self, item: &Item) -> Result<Option<Read>, Failure> {
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
        if size > MIN_PART_LEN {
            if !self.run.work.begin_large(item) {
                return Ok(None);
            }
            let wanted = Wanted {
                name,
                size,
                attributes: source.attributes,
                fingerprint: source.fingerprint(),
                // What this run has opened before, it may have published as well.
                replace: item.known.is(Verdict::Digest) && item.earlier.is_none(),
            };
            let op = Op::Open(Box::new(wanted));
            self.request(Pending::Open(item.clone(), source), &op)?;
            // After a crash the server reads the parts that it has.
            self.link.silence.reads(size);
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
        let mut hasher = large.geometry.hasher(index).ok_or(FileError::Changed)?;
        let mut offset = range.start;
        for piece in self.body.room(len).chunks_mut(PIECE) {
            large.source.read(offset, piece)?;
            offset += piece.len() as u64;
            if !hasher.update(piece) {
                return Err(FileError::Changed);
            }
        }
        // Of the last part only: it is there that a file may go on.
        if offset == large.geometry.size() {
            large.source.check_end()?;
        }
        hasher.finish().ok_or(FileError::Changed)
    }

    /// Sends a request without a body.
    pub(super) fn request(&mut self, pending: Pending, op: &Op) -> Result<(), ConnectionError> {
        self.enter(pending, op, 0)
    }

    pub(super) fn enter(
        &mut self,
        pending: Pending,
        op: &Op,
        len: u64,
    ) -> Result<(), ConnectionError> {
        self.send_bundle()?;
        // Everything that is sent was checked before, so what fails here is a bug of ours.
        encode::request(self.book.next_id(), len, op, self.link.out())?;
        if self.book.unanswered() == 0 {
            self.link.expects();
        }
        self.book.sent(pending, op.is_change(), len);
        Ok(())
    }

    /// Sends a request whose body is `self.body`.
    fn request_with_body(&mut self, pending: Pending, op: &Op) -> Result<(), ConnectionError> {
        let len = self.body.len() as u64;
        self.enter(pending, op, len)?;
        self.run.progress.sent(len);
        if self.body.len() <= COPIED {
            self.link.out().extend_from_slice(&self.body);
        } else {
            self.link.follow(&mut self.body);
        }
        Ok(())
    }
}

/// Whether the server would refuse it, because what is there is not replaced by it.
fn is_in_the_way(item: &Item, policy: &Policy) -> bool {
    match (&item.kind, item.known) {
        // Nor is what is to be published as a directory.
        (Kind::Directory(None), Known::Is(Verdict::Kind)) if policy.is_whole() => true,
        (Kind::Directory(_), Known::Is(Verdict::Kind)) => !policy.only_changed(),
        // What is in it is told to be removed first.
        (Kind::File | Kind::Link, Known::Is(Verdict::Directory)) => policy.delete().is_none(),
        _ => false,
    }
}
