//! New directories, which are filled before they appear: how requests get there and are told of it.
//!
//! Only for one turn: before it ends, all is visible and acknowledged, or queued to be, if it must be
//! durable.

use haul_protocol::{LinkTarget, Mtime, Name, RequestId};

use super::file_body::Incoming;
use super::turn::Turn;
use super::{Connection, Dialect};
use crate::audit::{Event, What};
use crate::commit::notify::{Done, ReplyTo, Ticket};
use crate::hooks::Reserved;
use crate::refusal::Refusal;
use crate::store::{Change, Replaces, Staged, StoreError};

impl Connection {
    /// A directory: into the tree, as a new tree, or where it belongs.
    pub(super) fn make_directory(
        &mut self,
        id: RequestId,
        name: Name,
        mode: Option<u32>,
        turn: &mut Turn<'_>,
    ) {
        if self.replaces() == Replaces::Nothing && self.version().is_none() {
            // A tree is filled before it is known what stands there.
            self.publish_fresh(turn);
            let replaces = Replaces::Nothing;
            let change = Change::Directory { name, mode, replace: false, replaces };
            return self.submit(ReplyTo::Ack(id), change, None, turn);
        }
        let told = self.told_of_fresh(self.event(|| What::Directory { name: name.clone() }), turn);
        let mut taken = told.is_some() && turn.fresh.directory(&turn.base.parents, &name, mode);
        if !taken && !self.fresh.is_empty() {
            self.publish_fresh(turn);
            taken = told.is_some() && turn.fresh.directory(&turn.base.parents, &name, mode);
        }
        if taken {
            return self.wait_for_fresh(id, told.unwrap_or_default());
        }
        drop(told);
        let change = Change::Directory { name, mode, replace: false, replaces: Replaces::Anything };
        self.submit(ReplyTo::Ack(id), change, None, turn);
    }

    /// A symbolic link: into the tree, or where it belongs.
    pub(super) fn make_link(
        &mut self,
        id: RequestId,
        name: Name,
        target: LinkTarget,
        mtime: Option<Mtime>,
        turn: &mut Turn<'_>,
    ) {
        if turn.fresh.concerns(&name) {
            let event = self.event(|| What::Symlink { name: name.clone(), target: target.clone() });
            if let Some(told) = self.told_of_fresh(event, turn)
                && turn.fresh.link(&name, &target, mtime)
            {
                return self.wait_for_fresh(id, told);
            }
            self.publish_fresh(turn);
        }
        self.submit(
            ReplyTo::Ack(id),
            Change::Link { name, target, mtime, replaces: Replaces::Anything },
            None,
            turn,
        );
    }

    /// A file all of whose bytes are here: into the tree, or where it belongs.
    pub(super) fn whole_file(&mut self, mut file: Incoming, bytes: &[u8], turn: &mut Turn<'_>) {
        if let Some(id) = file.id
            && turn.fresh.concerns(&file.name)
        {
            if let Err(error) = file.verify(bytes) {
                return self
                    .complete(Done { reply_to: ReplyTo::Ack(id), result: Err(error.into()) });
            }
            let stated = file.digest;
            file.note_digest(bytes);
            if let Some(told) = self.told_of_fresh(self.event_of_file(&file), turn)
                && turn.fresh.file(&file.name, &file.attributes, bytes, stated)
            {
                turn.fresh.keep(file.share.take());
                return self.wait_for_fresh(id, told);
            }
            file.digest = stated;
            self.publish_fresh(turn);
        }
        let staged = file.stage(bytes, turn);
        self.file_staged(file, staged, turn);
    }

    /// A file that is written and verified: into the tree, or where it belongs.
    pub(super) fn file_staged(
        &mut self,
        mut file: Incoming,
        staged: Result<Staged, StoreError>,
        turn: &mut Turn<'_>,
    ) {
        let reply_to = file.reply_to();
        let mut staged = match staged {
            Ok(staged) => staged,
            Err(error) => return self.complete(Done { reply_to, result: Err(error.into()) }),
        };
        let event = self.event_of_file(&file);
        if turn.fresh.concerns(&file.name) {
            if let ReplyTo::Ack(id) = reply_to
                && let Some(told) = self.told_of_fresh(event.clone(), turn)
                && turn.fresh.staged(&mut staged, &file.name)
            {
                turn.fresh.keep(file.share.take());
                return self.wait_for_fresh(id, told);
            }
            self.publish_fresh(turn);
        }
        let only_new = file.is_only_new();
        staged.keep_room(&file.name, file.room, file.share);
        let change = Change::File { staged, name: file.name };
        let change = if only_new { change.of_new_only() } else { change };
        self.submit_with(reply_to, change, None, event.into_iter().collect(), turn);
    }

    /// A change that is to be told once the staged tree is visible, and room for it in the spool of the hook; `None`: there is no
    /// room, so the tree can't take the entry.
    fn told_of_fresh(
        &self,
        event: Option<Event>,
        turn: &Turn<'_>,
    ) -> Option<(Option<Event>, Option<Reserved>)> {
        let reserved = turn.services.reserve_told(event.as_slice()).ok()?;
        Some((event, reserved))
    }

    /// Makes the tree visible, if there is one, or queues it. A later request must not take effect before the tree,
    /// so every request that the tree does not take, and that may be about its entries, comes here first.
    pub(super) fn publish_fresh(&mut self, turn: &mut Turn<'_>) {
        if self.fresh.is_empty() {
            return;
        }
        let ids = std::mem::take(&mut self.fresh);
        let events = std::mem::take(&mut self.fresh_events);
        let reserved = self.fresh_reserved.take();
        self.pending -= ids.len();
        let is_queued = turn.services.committer.is_some() && self.version().is_none();
        if is_queued && let Some(tree) = turn.fresh.take() {
            let change = Change::Tree(Box::new(tree));
            let (connection, reply_to) = (self.id, ReplyTo::Acks(ids));
            let ticket = Ticket { connection, reply_to, events, reserved, spooled: None };
            self.submit_ticket(ticket, change, None, turn);
        } else {
            let kinds = turn.fresh.kinds();
            let services = turn.services;
            let spooled = services.begin_told(&events);
            drop(reserved);
            let results = match spooled {
                Ok(spooled) => {
                    let results = self.publish_now(turn, ids.len());
                    services.end_told(spooled, &results);
                    results
                }
                Err(refusal) => give_up(turn, ids.len(), refusal),
            };
            for (kind, result) in kinds.into_iter().zip(&results) {
                self.metrics().changed(kind, result.is_ok());
            }
            let mut events = events.into_iter();
            for (id, result) in ids.into_iter().zip(results) {
                if let Some(event) = events.next() {
                    services.logs.over(&[event], &result, Refusal::is_uncertain);
                }
                self.complete(Done { reply_to: ReplyTo::Ack(id), result });
            }
        }
        if !self.half.is_open() {
            self.say_last_word();
        }
    }

    /// The result of each of so many entries.
    fn publish_now(&self, turn: &mut Turn<'_>, count: usize) -> Vec<Result<(), Refusal>> {
        let Dialect::Haul(haul) = &self.dialect else { return Vec::new() };
        let left = haul.fence.enter();
        let inside = match &left {
            Err(refusal) => Err(refusal.clone()),
            Ok(_) => {
                self.version().map(|version| version.enter()).transpose().map_err(Refusal::from)
            }
        };
        let results = match inside {
            Err(refusal) => return give_up(turn, count, refusal),
            Ok(Some(_)) => turn.fresh.publish(&turn.base.parents),
            Ok(None) => turn.fresh.publish_guarded(&turn.base.parents),
        };
        results.into_iter().map(|result| result.map_err(Refusal::from)).collect()
    }
}

/// The tree is not made visible: none of its entries is.
fn give_up(turn: &mut Turn<'_>, count: usize, refusal: Refusal) -> Vec<Result<(), Refusal>> {
    turn.fresh.discard();
    vec![Err(refusal); count]
}
