//! Going on with requests that take more than one turn.

use std::convert::Infallible;
use std::sync::Arc;

use haul_protocol::{
    Bundled, Code, Entry, EntryKind, Name, Op, Reply, Request, RequestId, encode_entry,
};

use super::bundle::Bundle;
use super::compare::Check;
use super::file_body::Incoming;
use super::job::{Deep, Job, List};
use super::turn::Turn;
use super::{Connection, Dialect};
use crate::commit::notify::{ReplyTo, waker};
use crate::hooks::question::Answer;
use crate::net::peer_end::PeerEnd;
use crate::refusal::Refusal;
use crate::store::{Change, Closed, DEEP, Enough, Listed, Listing, Rollback};

/// Bytes of an answer to `list` at which it ends; one more entry always fits a body.
const LIST_BYTES: usize = 1024 * 1024;

/// Entries of an answer to `list` at which it ends.
const LIST_ENTRIES: usize = 10_000;

impl Connection {
    /// Goes on with the request that takes more than one turn.
    pub(super) fn work(&mut self, turn: &mut Turn<'_>) {
        if !self.has_root(turn) {
            return;
        }
        match self.job.take() {
            Some(Job::Check(check)) => self.read_for_check(check, turn),
            Some(Job::List(list)) => self.go_on_listing(list, turn),
            Some(Job::Get(get)) => self.job = self.go_on_getting(get, turn).map(Job::Get),
            Some(Job::Fetch(fetch)) => self.job = self.go_on_fetching(fetch, turn).map(Job::Fetch),
            Some(Job::Bundle(bundle, body)) => self.bundle(*bundle, &body, turn),
            Some(Job::Question(request)) => self.ask_hook_first(*request, turn),
            Some(Job::Parents(deep, name)) => self.prepare(*deep, name, turn),
            Some(Job::Open(id, opening)) => self.go_on_opening(id, opening, turn),
            Some(Job::Greet(greeting)) => self.go_on_greeting(*greeting, turn),
            Some(Job::Rollback(id, wanted, closed)) => {
                let reply_to = ReplyTo::RolledBack(id, Arc::clone(&wanted.facts));
                let change = Change::Rollback { wanted, closed: Some(closed) };
                self.submit(reply_to, change, None, turn);
            }
            Some(Job::Seat(waiting)) => self.http_has_seat(*waiting, turn),
            Some(Job::Ordered(seeking)) => self.go_on_seeking(seeking, turn),
            Some(Job::Send(sending)) => {
                self.job = self.go_on_sending(sending, turn).map(Job::Send);
            }
            Some(Job::Directory(directory)) => {
                self.job = self.go_on_with_directory(directory, turn).map(Job::Directory);
            }
            Some(Job::Rename(renaming)) => self.go_on_renaming(renaming, turn),
            Some(Job::Asked(asking, question)) => self.was_answered(*asking, &question, turn),
            Some(Job::Tree(tree)) => self.job = self.go_on_with_tree(tree, turn).map(Job::Tree),
            None => {}
        }
        self.worked = turn.services.now();
        if self.job.is_none() {
            self.asked_gone = None;
        }
        self.acknowledge();
    }

    /// Whether a body that comes now has to wait for the request that takes more than one turn.
    pub(super) fn holds_body_up(&self) -> bool {
        matches!(
            self.job,
            Some(
                Job::Parents(..)
                    | Job::Question(_)
                    | Job::Seat(_)
                    | Job::Ordered(_)
                    | Job::Asked(..)
            )
        )
    }

    /// Makes the directories above a deep name, as many as the turn allows, and carries the request out if all are there.
    pub(super) fn prepare(&mut self, deep: Deep, name: Name, turn: &mut Turn<'_>) {
        let made = match &deep {
            Deep::Request(Request { op: Ok(Op::Publish { .. }), .. }) => {
                self.makes_place(&name, turn)
            }
            _ => self.makes_parents(&name, turn),
        };
        match (made, deep) {
            (Ok(true), Deep::Request(request)) => self.carry_out(request, turn),
            (Ok(true), Deep::Classic(size)) => self.classic_put(name, size, turn),
            (Ok(true), Deep::Http(asked)) => self.http_carry_out(asked, name, turn),
            (Ok(false), deep) => self.job = Some(Job::Parents(Box::new(deep), name)),
            (Err(refusal), Deep::Request(request)) => self.refuse(request.id, refusal),
            (Err(refusal), Deep::Http(asked)) => self.refuse(asked.id, refusal),
            (Err(refusal), Deep::Classic(_)) => {
                if self.may_log() {
                    tracing::warn!(peer = self.peer, %refusal, "refused a classic put");
                }
            }
        }
    }

    /// Makes the missing directories above the one that is published: not in the draft, but where it will be.
    fn makes_place(&mut self, name: &Name, turn: &mut Turn<'_>) -> Result<bool, Refusal> {
        self.publish_fresh(turn);
        let share = turn.share;
        let store = &turn.services.store;
        let fence = turn.base.version.as_ref().map(|(_, fence)| fence.enter());
        let _leave = fence.transpose()?;
        let made = store.make_parents_unseen(&store.parents(), name, &|| share.is_over(false));
        made.map_err(|error| Refusal::from(error).of_root())
    }

    /// Makes the missing directories above a name if it is deep, since there may be two thousand; tells whether nothing of
    /// it is left for the next turn.
    pub(super) fn makes_parents(
        &mut self,
        name: &Name,
        turn: &mut Turn<'_>,
    ) -> Result<bool, Refusal> {
        if name.depth() <= DEEP {
            return Ok(true);
        }
        if turn.fresh.concerns(name) {
            self.publish_fresh(turn);
        }
        let share = turn.share;
        let is_over = || share.is_over(false);
        let (store, parents) = (&turn.services.store, &turn.base.parents);
        if let Some(_leave) = turn.base.enter()? {
            return Ok(store.make_parents_unseen(parents, name, &is_over)?);
        }
        let fence = match &self.dialect {
            Dialect::Haul(haul) => Some(haul.fence.enter()?),
            Dialect::Unknown | Dialect::Classic | Dialect::Http(_) => None,
        };
        let made = store.make_parents(parents, name, &is_over);
        drop(fence);
        Ok(made?)
    }

    /// Brings the version before of a directory back. The committer waits for changes of others there; a worker does not.
    pub(super) fn begin_rollback(
        &mut self,
        id: RequestId,
        wanted: Box<Rollback>,
        turn: &Turn<'_>,
    ) -> Result<(), Refusal> {
        if turn.services.committer.is_some() {
            let reply_to = ReplyTo::RolledBack(id, Arc::clone(&wanted.facts));
            self.submit(reply_to, Change::Rollback { wanted, closed: None }, None, turn);
        } else {
            let waker = waker(turn.notify, self.id);
            let closed = Closed::begin(&turn.services.store, &wanted.name, &waker)?;
            self.job = Some(Job::Rollback(id, wanted, closed));
        }
        Ok(())
    }

    /// Lists a directory (`None`: the root) from a name on.
    pub(super) fn list(
        &mut self,
        id: RequestId,
        name: Option<Name>,
        after: Option<&Name>,
        turn: &mut Turn<'_>,
    ) {
        let Dialect::Haul(haul) = &self.dialect else { return };
        let list = List::new(id, Listing::new(&haul.client, name, after));
        match self.peer_end(turn) {
            PeerEnd::Open => self.go_on_listing(list, turn),
            PeerEnd::Sent | PeerEnd::Gone => self.job = Some(Job::List(list)),
        }
        self.worked = turn.services.now();
    }

    fn go_on_listing(&mut self, mut list: Box<List>, turn: &mut Turn<'_>) {
        let List { id, listing, body, entries, .. } = &mut *list;
        let id = *id;
        let share = turn.share;
        let is_over = || share.is_over(false);
        let store = &turn.services.store;
        let view = &turn.base.view;
        let listed = listing.advance(store, &turn.base.parents, &is_over, |entry| {
            let Ok(()) = view.shown(entry, |entry| {
                say(entry, body);
                Ok::<_, Infallible>(())
            });
            *entries += 1;
            let is_enough = body.len() > LIST_BYTES || *entries == LIST_ENTRIES;
            if is_enough { Enough::Yes } else { Enough::No }
        });
        match listed {
            Ok(Listed::Over { more, left_out }) => {
                self.answer(id, Reply::Listed { more, left_out }, &list.body);
            }
            Ok(Listed::NotYet) => {
                // Names that are looked at need no open directory.
                let is_open = list.listing.is_reading();
                list.place = if is_open { list.place.or_else(|| turn.place()) } else { None };
                if is_open && list.place.is_none() {
                    return self
                        .refuse(id, Refusal::new(Code::Busy, "too many files are open at once"));
                }
                self.job = Some(Job::List(list));
            }
            Err(error) => self.refuse(id, error.into()),
        }
    }

    /// All entries have come.
    pub(super) fn check_complete(&mut self, mut check: Box<Check>, turn: &Turn<'_>) {
        match check.complete(turn) {
            Ok(true) => self.answer(check.id, Reply::Done, &check.letters),
            Ok(false) => self.job = Some(Job::Check(check)),
            Err(refusal) => self.refuse(check.id, refusal),
        }
    }

    /// Reads a little for a comparison.
    pub(super) fn read_for_check(&mut self, mut check: Box<Check>, turn: &mut Turn<'_>) {
        match check.read(turn) {
            Ok(true) => self.job = Some(Job::Check(check)),
            Ok(false) => self.answer(check.id, Reply::Done, &check.letters),
            Err(refusal) => self.refuse(check.id, refusal),
        }
    }

    /// The whole body is in the buffer.
    pub(super) fn begin_bundle(&mut self, bundle: Bundle, body: &[u8], turn: &mut Turn<'_>) {
        match bundle.check(body) {
            Ok(()) => {
                if let Some(bundle) = self.ask_about_bundle(bundle, body, turn) {
                    self.bundle(bundle, body, turn);
                }
            }
            Err(refusal) => self.refuse_all(bundle.ids(), refusal),
        }
    }

    /// Stores the files that are left, or as many as the turn allows: each may need directories that are missing.
    pub(super) fn bundle(&mut self, mut bundle: Bundle, body: &[u8], turn: &mut Turn<'_>) {
        let files = match bundle.files(body) {
            Ok(files) => files,
            Err(refusal) => return self.refuse_all(bundle.ids(), refusal),
        };
        let left = bundle.ids().zip(files).skip(usize::try_from(bundle.done).unwrap_or(usize::MAX));
        for (id, mut file) in left {
            if bundle.done > 0 && (self.is_over(turn) || self.must_wait(turn.services)) {
                self.job = Some(Job::Bundle(Box::new(bundle), body.to_vec()));
                return;
            }
            file.name = match turn.base.view.inward(file.name) {
                Ok(name) => name,
                Err(refusal) => {
                    bundle.done += 1;
                    self.refuse(id, refusal.into());
                    continue;
                }
            };
            match self.makes_parents(&file.name, turn) {
                Ok(true) => {}
                Ok(false) => {
                    self.job = Some(Job::Bundle(Box::new(bundle), body.to_vec()));
                    return;
                }
                Err(refusal) => {
                    bundle.done += 1;
                    self.refuse(id, refusal);
                    continue;
                }
            }
            let answer = bundle.answers.get(usize::try_from(bundle.done).unwrap_or(usize::MAX));
            let allowed = answer.map_or(Ok(()), Answer::allows);
            bundle.done += 1;
            if let Err(refusal) = allowed {
                self.refuse(id, refusal);
                continue;
            }
            let Bundled { name, attributes, digest, bytes } = file;
            let what = (Some(id), name, bytes.len() as u64);
            let whence = (turn.services, &turn.base.parents);
            match Incoming::admit(whence, what, digest, attributes) {
                Ok(file) => self.whole_file(file, bytes, turn),
                Err(refusal) => self.refuse(id, refusal),
            }
        }
    }

    /// The last bytes of the body have been appended.
    pub(super) fn bundle_complete(&mut self, mut bundle: Bundle, turn: &mut Turn<'_>) {
        let body = std::mem::take(&mut bundle.body);
        self.begin_bundle(bundle, &body, turn);
    }
}

/// Adds an entry to a list. A file of a size that the protocol can't say is one of no known kind; it is never left out: a client
/// that goes by the list would remove its own entry of that name.
fn say(entry: &Entry, list: &mut Vec<u8>) {
    if encode_entry(entry, list).is_err() {
        let kind = EntryKind::Other;
        let other = Entry { name: entry.name.clone(), kind, mode: None, mtime: None };
        let said = encode_entry(&other, list);
        debug_assert!(said.is_ok(), "it has no numbers: {said:?}");
    }
}
