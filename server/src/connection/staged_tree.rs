//! New directories, which are filled before they appear: how requests get there and are told of it.
//!
//! Only for one turn: before it ends, all is visible and acknowledged, or queued to be, if it must be
//! durable.

use haul_protocol::{LinkTarget, Mtime, Name, RequestId};

use super::file_body::Incoming;
use super::turn::Turn;
use super::{Connection, Dialect};
use crate::audit::What;
use crate::commit::notify::{Done, ReplyTo};
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
        let mut taken = turn.fresh.directory(&turn.base.parents, &name, mode);
        if !taken && !self.fresh.is_empty() {
            self.publish_fresh(turn);
            taken = turn.fresh.directory(&turn.base.parents, &name, mode);
        }
        if taken {
            let event = self.event(|| What::Directory { name });
            return self.wait_for_fresh(id, event);
        }
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
            if turn.fresh.link(&name, &target, mtime) {
                let event = self.event(|| What::Symlink { name, target });
                return self.wait_for_fresh(id, event);
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
            if turn.fresh.file(&file.name, &file.attributes, bytes, file.digest) {
                file.note_digest(bytes);
                turn.fresh.keep(file.share.take());
                return self.wait_for_fresh(id, self.event_of_file(&file));
            }
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
            match reply_to {
                ReplyTo::Ack(id) if turn.fresh.staged(&mut staged, &file.name) => {
                    turn.fresh.keep(file.share.take());
                    return self.wait_for_fresh(id, event);
                }
                _ => self.publish_fresh(turn),
            }
        }
        let only_new = file.is_only_new();
        staged.keep_room(&file.name, file.room, file.share);
        let change = Change::File { staged, name: file.name };
        let change = if only_new { change.of_new_only() } else { change };
        self.submit_with(reply_to, change, None, event.into_iter().collect(), turn);
    }

    /// Makes the tree visible, if there is one, or queues it. A later request must not take effect before the tree,
    /// so every request that the tree does not take, and that may be about its entries, comes here first.
    pub(super) fn publish_fresh(&mut self, turn: &mut Turn<'_>) {
        if self.fresh.is_empty() {
            return;
        }
        let ids = std::mem::take(&mut self.fresh);
        let events = std::mem::take(&mut self.fresh_events);
        self.pending -= ids.len();
        let is_queued = turn.services.committer.is_some() && self.version().is_none();
        if is_queued && let Some(tree) = turn.fresh.take() {
            let change = Change::Tree(Box::new(tree));
            self.submit_with(ReplyTo::Acks(ids), change, None, events, turn);
        } else {
            let kinds = turn.fresh.kinds();
            let services = turn.services;
            let spooled = services.may_tell(&events).and_then(|()| services.begin_told(&events));
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
