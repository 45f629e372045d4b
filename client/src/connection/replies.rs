//! The meaning of each answer for the request that it answers.

use std::sync::Arc;

use haul_protocol::{Bitmap, ClientEvent, Code, Digest, Geometry, Refusal, Reply, Token, Verdict};

use super::{Connection, Pending, Sent};
use crate::error::{ConnectionError, FileError, ProtocolError};
use crate::source::{Source, Stamp};
use crate::work::context::Run;
use crate::work::foreseen::Fate;
use crate::work::multipart::Large;
use crate::work::on_commit::{Arrived, remove_source};
use crate::work::{Item, Kind, Task};

/// Bytes of answers that are read before the connection is looked after.
const TURN: usize = 4 * 1024 * 1024;

impl Connection<'_> {
    /// Reads answers that are there, and leaves the rest for the next time if they are many: a server that sends
    /// without end must not keep the connection from everything else. Returns whether there were any.
    pub(super) fn read(&mut self) -> Result<bool, ConnectionError> {
        let (mut any, mut left) = (false, TURN);
        let mut bytes = std::mem::take(&mut self.wire.input);
        let result = loop {
            match self.wire.read(&mut bytes) {
                Ok(0) => break Ok(any),
                Ok(len) => {
                    any = true;
                    if let Err(error) = self.take(&bytes[..len]) {
                        break Err(error);
                    }
                    left = left.saturating_sub(len);
                    if left == 0 {
                        break Ok(any);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        self.wire.input = bytes;
        result
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), ConnectionError> {
        while let Some(event) = self.wire.receive(&mut bytes)? {
            match event {
                ClientEvent::Acked(done) => {
                    if !done.is_empty() {
                        self.run.reached.hear();
                    }
                    self.run.progress.answered(done.iter().map(Pending::body).sum());
                    let settled = done.into_iter().map(|pending| self.done(pending)).sum();
                    if settled > 0 {
                        self.run.work.settle(settled);
                    }
                }
                ClientEvent::Refused(pending, refusal) => {
                    self.run.progress.answered(pending.body());
                    self.refused(pending, refusal);
                }
                ClientEvent::Answered(pending, reply, body) => {
                    self.run.reached.hear();
                    self.answered(pending, reply, body)?;
                }
                ClientEvent::Ended(refusal) => {
                    let ended = self.run.login.ended(refusal, true, true);
                    return Err(ended.of_run(self.run.progress.has_large()));
                }
                _ => return Err(ProtocolError::Kind.into()),
            }
        }
        Ok(())
    }

    /// A change is acknowledged; returns how many items are settled by that.
    pub(super) fn done(&self, pending: Pending) -> usize {
        match pending {
            Pending::Item(item, Sent { size, special_bits, digest, stamp }) => {
                let (progress, committed) = (self.run.progress, self.run.committed);
                if special_bits {
                    progress.special_bits_dropped();
                }
                if item.only_attributes().is_some() {
                    return self.set_attributes(item);
                }
                if matches!(item.kind, Kind::File | Kind::Link) {
                    self.arrived(&item, digest, stamp);
                }
                if matches!(item.kind, Kind::Directory(_)) {
                    self.run.course.unmade().settled(&item.name);
                }
                match &item.kind {
                    Kind::File => progress.file_done(&item.name, size),
                    Kind::Link => {
                        committed.removed(&item.name);
                        progress.link_done(&item.name);
                    }
                    Kind::Attributes(_) => progress.directory_done(&item.name),
                    // It has taken the place of a file.
                    Kind::Directory(_) if item.compared.known.is(Verdict::Kind) => {
                        committed.removed(&item.name);
                    }
                    Kind::Directory(Some(_)) if item.compared.known.is(Verdict::Mode) => {
                        self.run.course.mode_changed(&item.name);
                    }
                    Kind::Directory(_) | Kind::List(_) | Kind::Publish(_) => {}
                    // Nobody has seen it.
                    Kind::Remove(removal) if self.run.policy.is_publish() => {
                        committed.removed(&item.name);
                        if let Some(above) = &removal.above {
                            self.gone(above, true);
                        }
                    }
                    Kind::Remove(removal) => {
                        committed.removed(&item.name);
                        progress.removed(&item.name);
                        if let Some(above) = &removal.above {
                            self.gone(above, true);
                        }
                    }
                }
                1
            }
            Pending::Part(large, index, cv) => {
                let is_last = large.part_done(index, cv, self.run.progress);
                if is_last {
                    self.complete(large);
                }
                0
            }
            // None of these is a change.
            Pending::Check(_)
            | Pending::List(_)
            | Pending::Publish(_)
            | Pending::Open(..)
            | Pending::Look(_)
            | Pending::Bytes(_)
            | Pending::Commit(_)
            | Pending::Abort(_) => 0,
        }
    }

    /// A file or symlink is committed as it was at `stamp`. Its source goes if the user wants that, but not if another
    /// source has a file of the same name: a later run would put that file in its place.
    fn arrived(&self, item: &Item, digest: Option<Digest>, stamp: Option<Stamp>) {
        let Run { committed, namesakes, policy, progress, .. } = self.run;
        if let Some(digest) = digest {
            committed.verified(&item.path, &item.name, digest, progress);
        }
        let (true, Some(stamp)) = (committed.remove_source, stamp) else { return };
        match namesakes.other(&item.path, &item.name, policy) {
            Some(other) => progress.failed(&item.path, FileError::Namesake(other)),
            None => {
                let arrived = match item.kind {
                    Kind::Link => Arrived::Symlink,
                    _ => Arrived::File(digest),
                };
                remove_source(&self.bases, &item.path, stamp, arrived, progress);
            }
        }
    }

    /// The parts of an open file are hashed or sent by all connections, or all of them are there.
    pub(super) fn go_on(&self, large: Arc<Large>) {
        let is_complete = large.parts().is_complete();
        if is_complete {
            self.complete(large);
        } else {
            self.run.work.add_large(large);
        }
    }

    /// All parts are there. The source must still be the same as when it was opened.
    pub(super) fn complete(&self, large: Arc<Large>) {
        match large.source.check_unchanged() {
            Ok(()) => self.run.work.add_urgent(Task::Commit(large)),
            Err(error) => self.end_large(&large, error),
        }
    }

    /// A request that is not a change is answered.
    fn answered(
        &mut self,
        pending: Pending,
        reply: Reply,
        body: Vec<u8>,
    ) -> Result<(), ConnectionError> {
        match (pending, reply) {
            (Pending::Open(item, source), Reply::Opened { upload, part_size }) => {
                let held = Bitmap::from_bytes(body);
                self.upload_opened((item, source), (upload, part_size), held)
            }
            (Pending::Look(large), Reply::Done) => {
                self.looked(large, &body);
                Ok(())
            }
            (Pending::Bytes(large), Reply::Done) => {
                self.bytes_compared(&large, &body);
                Ok(())
            }
            (Pending::Commit(large), Reply::Done) => {
                self.upload_committed(&large);
                Ok(())
            }
            (Pending::Abort(abort), Reply::Done) => {
                self.give_up(abort.item, &abort.error);
                Ok(())
            }
            (Pending::Check(items), Reply::Done) => {
                let (letters, entries) = (body.len(), items.len());
                if letters != entries {
                    return Err(ProtocolError::Letters { letters, entries }.into());
                }
                self.checked(items, &body);
                Ok(())
            }
            (Pending::List(item), Reply::Listed { more, left_out }) => {
                self.listed(item, &body, more, left_out)
            }
            (Pending::Publish(_), Reply::Done) => {
                self.run.progress.published();
                self.run.work.settle(1);
                Ok(())
            }
            _ => Err(ProtocolError::Kind.into()),
        }
    }

    /// The server takes a large file, and may hold some of it.
    fn upload_opened(
        &mut self,
        (item, source): (Item, Source),
        (upload, part_size): (Token, u64),
        held: Bitmap,
    ) -> Result<(), ConnectionError> {
        let geometry = Geometry::new(source.size, part_size).map_err(ProtocolError::from)?;
        if part_size > self.max_body {
            let max_body = self.max_body;
            return Err(ProtocolError::PartSize { part_size, max_body }.into());
        }
        let losses = self.run.reached.losses();
        let large = Arc::new(Large::new(item, source, upload, geometry, held, losses));
        self.run.progress.resumed(large.resumed);
        large.opened(self.run.progress);
        if self.may_be_there(&large) {
            // Not here: an answer may come in the middle of a body that is being sent.
            self.run.work.add_urgent(Task::Look(large));
        } else {
            self.go_on(large);
        }
        Ok(())
    }

    /// A large file has its name. The answer may come twice.
    fn upload_committed(&self, large: &Large) {
        if !large.parts().end() {
            return;
        }
        let (work, progress) = (self.run.work, self.run.progress);
        work.end_large();
        large.not_held(progress);
        if large.source.special_bits {
            progress.special_bits_dropped();
        }
        let item = &large.item;
        let (digest, stamp) = (large.parts().digest(), item.stamp(&large.source));
        self.arrived(item, digest, stamp);
        match large.is_there() {
            true => progress.unchanged(large.geometry.size()),
            false => progress.file_done(&item.name, large.geometry.size()),
        }
        work.settle(1);
    }

    fn refused(&mut self, pending: Pending, refusal: Refusal) {
        match pending {
            Pending::Check(items) => {
                self.asked -= items.len();
                for item in items {
                    self.give_up(item, &FileError::Refused(refusal.clone()));
                }
            }
            // Nothing is in it, or it is something else by now.
            Pending::List(item) if matches!(refusal.code, Code::NotFound | Code::Conflict) => {
                self.list_over(&item, refusal.code == Code::NotFound);
                self.run.work.settle(1);
            }
            // In a dry run it is still a symlink.
            Pending::List(item)
                if refusal.code == Code::Escape
                    && self.run.course.foreseen().is_at_or_above(&item.name, Fate::Replaced) =>
            {
                self.list_over(&item, true);
                self.run.work.settle(1);
            }
            Pending::Publish(item) => {
                self.run.progress.publishing(false);
                self.give_up(item, &FileError::Refused(refusal));
            }
            Pending::List(item) => {
                self.give_up(item, &FileError::Refused(refusal));
            }
            // It has come since the first walk, and nothing was put into it.
            Pending::Item(Item { kind: Kind::Attributes(_), .. }, _)
                if refusal.code == Code::NotFound =>
            {
                self.run.work.settle(1);
            }
            // It could not be made, which was told.
            Pending::Item(Item { kind: Kind::Attributes(_), name, .. }, _)
                if refusal.code == Code::Conflict
                    && self.run.course.foreseen().is(&name, Fate::Blocks) =>
            {
                self.run.work.settle(1);
            }
            // It is not only this name's, or somebody else's: sent whole, the name gets a file of its own.
            Pending::Item(item, _) if item.only_attributes().is_some() => self.send_whole(item),
            Pending::Item(item, _) => self.give_up(item, &FileError::Refused(refusal)),
            // It would be one part at this server.
            Pending::Open(mut item, source)
                if refusal.code == Code::BadRequest
                    && !item.tries.in_one
                    && source.size <= self.max_body =>
            {
                self.run.work.end_large();
                item.tries.in_one = true;
                self.run.work.add_urgent(Task::Item(item));
            }
            Pending::Open(item, _) => {
                self.run.work.end_large();
                self.give_up(item, &FileError::Refused(refusal));
            }
            Pending::Part(large, index, _) => self.part_refused(large, index, refusal),
            Pending::Look(large) => self.go_on(large),
            Pending::Bytes(large) => self.end_large(&large, FileError::Refused(refusal)),
            Pending::Commit(large) => self.commit_refused(&large, refusal),
            // The server has nothing of it any more, which is what was wanted.
            Pending::Abort(abort) => self.give_up(abort.item, &abort.error),
        }
    }
}
