//! Uploads in parts, of the haul dialect: `open`, `part`, `commit` and `abort` (PROTOCOL.md, section 7).

use std::sync::Arc;

use haul_protocol::{Cv, Digest, Reply, RequestId, Token, Wanted};

use super::file_body::within;
use super::job::Job;
use super::sink::Sink;
use super::turn::Turn;
use super::{Connection, Dialect};
use crate::commit::notify::ReplyTo;
use crate::refusal::Refusal;
use crate::store::{Replaces, Version};
use crate::uploads::{Commit, Opened, Opening, Sender};

impl Connection {
    /// A part comes: its bytes go to the disk, or nowhere if the upload has them.
    pub(super) fn part(
        &self,
        id: RequestId,
        length: u64,
        (upload, offset, cv): (&Token, u64, Cv),
        turn: &Turn<'_>,
    ) -> Result<Sink, Refusal> {
        let uploads = &turn.services.uploads;
        Ok(match uploads.part(&self.scope(), upload, offset, length, cv)? {
            Some(writer) => Sink::Part { id, writer: Box::new(writer) },
            None => Sink::Held { id },
        })
    }

    /// Begins an upload, or goes on with one.
    pub(super) fn open(
        &mut self,
        id: RequestId,
        wanted: Wanted,
        version: Option<&Arc<Version>>,
        turn: &Turn<'_>,
    ) -> Result<(), Refusal> {
        let (services, parents) = (turn.services, &turn.base.parents);
        within(wanted.size, services.tuning().limits.max_file)?;
        let Dialect::Haul(haul) = &self.dialect else { return Ok(()) };
        let leave = haul.fence.enter()?;
        // The same file of another place is another file.
        let identity = match version {
            Some(version) => format!("{} {}", haul.identity, version.id()),
            None => {
                services.store.may_change(&wanted.name)?;
                haul.identity.clone()
            }
        };
        if !turn.fresh.concerns(&wanted.name) {
            services.store.prepare(parents, &wanted.name)?;
        }
        let goes_on_as = self.goes_on_as(&wanted.name);
        let sender = Sender {
            client: &haul.client,
            scope: self.scope(),
            identity: &identity,
            replaces: if version.is_some() { Replaces::Anything } else { self.replaces() },
            goes_on_as: goes_on_as.as_ref(),
        };
        let opened = services.uploads.open(&services.store, parents, sender, wanted)?;
        drop(leave);
        self.opened(id, opened);
        Ok(())
    }

    /// An upload is open, or will be when the parts that it may hold have been read.
    pub(super) fn opened(&mut self, id: RequestId, opened: Opened) {
        match opened {
            Opened::Now { token, geometry, held } => {
                let reply = Reply::Opened { upload: token, part_size: geometry.part_size() };
                self.answer(id, reply, held.as_bytes());
            }
            Opened::Later(opening) => self.job = Some(Job::Open(id, opening)),
        }
    }

    /// Reads a little of the parts that an upload may hold.
    pub(super) fn go_on_opening(
        &mut self,
        id: RequestId,
        opening: Box<Opening>,
        turn: &mut Turn<'_>,
    ) {
        let Dialect::Haul(haul) = &self.dialect else { return };
        let opened = haul.fence.enter().and_then(|_leave| {
            let (parents, room) = (&turn.base.parents, turn.buffer.room(0));
            let (read, opened) = turn.services.uploads.go_on(opening, parents, room)?;
            turn.share.took(read);
            Ok(opened)
        });
        match opened {
            Ok(opened) => self.opened(id, opened),
            Err(refusal) => self.refuse(id, refusal),
        }
    }

    /// All bytes of an upload are here, if its client is right: it gets its name.
    pub(super) fn commit(
        &mut self,
        id: RequestId,
        upload: &Token,
        digest: Digest,
        turn: &mut Turn<'_>,
    ) -> Result<(), Refusal> {
        match turn.services.uploads.commit(&self.scope(), upload, digest)? {
            Commit::Done => self.answer(id, Reply::Done, &[]),
            Commit::Change(change, publishing) => {
                if change.name().is_none_or(|name| turn.fresh.concerns(name)) {
                    self.publish_fresh(turn);
                }
                self.submit(ReplyTo::Answer(id), change, Some(*publishing), turn);
            }
        }
        Ok(())
    }

    /// Gives an upload up, with all of its bytes.
    pub(super) fn abort(
        &mut self,
        id: RequestId,
        upload: &Token,
        turn: &Turn<'_>,
    ) -> Result<(), Refusal> {
        let Dialect::Haul(haul) = &self.dialect else { return Ok(()) };
        let leave = haul.fence.enter()?;
        turn.services.uploads.abort(&self.scope(), upload)?;
        drop(leave);
        self.answer(id, Reply::Done, &[]);
        Ok(())
    }
}
