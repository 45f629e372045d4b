//! Requests that change many entries: a directory is removed or copied with all in it, in turns.
//!
//! Each entry is one change as of any request, so each file is whole or not there. The walk holds no stack: it lists one
//! directory, goes down into each directory that it meets, and comes back to the entries behind that one.

use std::collections::VecDeque;

use haul_protocol::{Code, EntryKind, Name, RequestId};

use super::told::head;
use crate::accounts::ClientId;
use crate::audit::What;
use crate::commit::notify::ReplyTo;
use crate::connection::Connection;
use crate::connection::failed::{Failed, is_below};
use crate::connection::file_body::within;
use crate::connection::turn::Turn;
use crate::connection::walk::{Doing, Found, Walk};
use crate::http::dav::properties;
use crate::http::dav::xml::Tag;
use crate::http::status::Status;
use crate::http::target::address;
use crate::refusal::Refusal;
use crate::services::places::Place;
use crate::store::{Change, Copy, Replaces};

/// Changes that are under way at once.
const AT_ONCE: usize = 64;

/// Entries that a request names which it could not change; then it ends.
const MOST_FAILED: usize = 100;

/// Bytes of the names of those.
const MOST_FAILED_BYTES: usize = 64 * 1024;

/// One step of a request.
#[derive(Debug)]
pub(super) enum Task {
    /// An entry goes, with all in it.
    Remove(Name),
    /// An entry is copied; a directory with all in it (`is_deep`) or alone.
    Copy { name: Name, to: Name, is_deep: bool },
    /// A directory stays as it is if a symlink in it would lead out by the new name.
    Look { name: Name, to: Name },
    /// A change of the entry of this name.
    Change(Name, Box<Change>),
}

/// The answer once all is done.
#[derive(Debug)]
pub(super) enum Answer {
    Plain(Status),
    /// The entry at this address has these properties edited, and each has its status.
    Edited(String, Box<[Tag]>),
}

/// A request that changes many entries.
#[derive(Debug)]
pub(in crate::connection) struct Tree {
    id: RequestId,
    is_drive: bool,
    client: ClientId,
    tasks: VecDeque<Task>,
    walk: Option<Walk>,
    copying: Option<(Box<Copy>, Name, Place)>,
    /// The next step is one after all changes so far.
    settles: bool,
    failed: Vec<Failed>,
    /// The entries that the request itself names.
    named: Vec<Name>,
    answer: Answer,
}

impl Tree {
    pub(super) fn new(
        (id, is_drive): (RequestId, bool),
        client: ClientId,
        tasks: Vec<Task>,
        answer: Answer,
    ) -> Self {
        let (walk, copying, settles, failed) = (None, None, false, Vec::new());
        let named = tasks.iter().flat_map(|task| match task {
            Task::Remove(name) | Task::Change(name, _) | Task::Look { name, .. } => {
                vec![name.clone()]
            }
            Task::Copy { name, to, .. } => vec![name.clone(), to.clone()],
        });
        let (named, tasks) = (named.collect(), tasks.into());
        Self { id, is_drive, client, tasks, walk, copying, settles, failed, named, answer }
    }

    /// Whether it waits until changes are over.
    pub(in crate::connection) fn waits(&self, pending: usize) -> bool {
        pending >= AT_ONCE || (self.settles && pending > 0)
    }

    /// Whether it has a file or directory open.
    pub(in crate::connection) fn has_place(&self) -> bool {
        self.copying.is_some() || self.walk.as_ref().is_some_and(Walk::has_place)
    }

    /// Bytes of memory that it takes.
    pub(in crate::connection) fn held_bytes(&self) -> usize {
        let failed: usize = self.failed.iter().map(Failed::held_bytes).sum();
        let answer = match &self.answer {
            Answer::Plain(_) => 0,
            Answer::Edited(address, tags) => {
                address.len() + tags.iter().map(Tag::held_bytes).sum::<usize>()
            }
        };
        failed + answer + self.walk.as_ref().map_or(0, Walk::held_bytes)
    }

    /// Whether so much has failed that it ends.
    fn gives_up(&self) -> bool {
        let bytes: usize = self.failed.iter().map(Failed::held_bytes).sum();
        self.failed.len() >= MOST_FAILED || bytes >= MOST_FAILED_BYTES
    }
}

impl Connection {
    /// One of the changes of a request is over.
    pub(in crate::connection) fn http_step_over(
        &mut self,
        name: Name,
        result: Result<(), Refusal>,
    ) {
        let Err(refusal) = result else { return };
        self.tell_refusal(&refusal);
        let refusal = self.told(refusal);
        if let Some(http) = self.http() {
            http.failed.push(Failed { name, refusal });
        }
    }

    /// Changes some entries; returns it if it is to go on.
    pub(in crate::connection) fn go_on_with_tree(
        &mut self,
        mut tree: Box<Tree>,
        turn: &mut Turn<'_>,
    ) -> Option<Box<Tree>> {
        turn.services.store.refresh(&turn.base.parents);
        loop {
            self.take_failed(&mut tree);
            let waits = tree.waits(self.pending);
            if waits || self.is_over(turn) || self.must_wait(turn.services) {
                return Some(tree);
            }
            tree.settles = false;
            let step = match tree.gives_up() {
                true => Ok(false),
                false => self.step_of_tree(&mut tree, turn),
            };
            match step {
                Ok(true) => {}
                Ok(false) if self.pending > 0 => tree.settles = true,
                Ok(false) => {
                    self.take_failed(&mut tree);
                    self.answer_tree(*tree);
                    return None;
                }
                Err((name, refusal)) => self.http_step_over(name, Err(refusal)),
            }
        }
    }

    fn take_failed(&mut self, tree: &mut Tree) {
        let failed = self.http().map(|http| std::mem::take(&mut http.failed));
        tree.failed.extend(failed.unwrap_or_default());
    }

    /// One step; `false`: there is none left.
    fn step_of_tree(
        &mut self,
        tree: &mut Tree,
        turn: &mut Turn<'_>,
    ) -> Result<bool, (Name, Refusal)> {
        if let Some((copy, name, place)) = tree.copying.take() {
            return self.go_on_copying(tree, (copy, name, place), turn).map(|()| true);
        }
        if let Some(mut walk) = tree.walk.take() {
            let found = walk.next((turn, &tree.client), &tree.failed);
            let step = found.and_then(|found| self.found(tree, &mut walk, found, turn));
            let step = match (step, walk.only_looks()) {
                // It ends with the first entry that is in the way.
                (Err((_, refusal)), Some(top)) => return Err((top.clone(), self.of_top(refusal))),
                (step, _) => step,
            };
            if !walk.is_over() {
                tree.walk = Some(walk);
            }
            return step.map(|()| true);
        }
        // The next task is about what the one before has left.
        if self.pending > 0 {
            tree.settles = true;
            return Ok(true);
        }
        if !tree.failed.is_empty() {
            return Ok(false);
        }
        let Some(task) = tree.tasks.pop_front() else { return Ok(false) };
        self.begin_task(tree, task, turn).map(|()| true)
    }

    fn begin_task(
        &mut self,
        tree: &mut Tree,
        task: Task,
        turn: &mut Turn<'_>,
    ) -> Result<(), (Name, Refusal)> {
        let kind = |name: &Name, turn: &Turn<'_>| {
            let kind = turn.services.store.kind(&turn.base.parents, name);
            kind.map_err(|error| (name.clone(), Refusal::from(error)))
        };
        match task {
            Task::Change(name, change) => self.submit_step(tree, name, *change, turn),
            Task::Remove(name) => match kind(&name, turn)? {
                Some(EntryKind::Directory) => {
                    tree.walk = Some(Walk::begin(Doing::Remove, name, &tree.client));
                }
                Some(_) => self.submit_step(tree, name.clone(), Change::Remove { name }, turn),
                None => {}
            },
            Task::Look { name, to } => {
                tree.walk = Some(Walk::begin(Doing::Look { to }, name, &tree.client));
            }
            Task::Copy { name, to, is_deep } => match kind(&name, turn)? {
                None => {
                    let refusal = Refusal::new(Code::NotFound, "no entry has that name");
                    return Err((name, refusal));
                }
                Some(EntryKind::Directory) => {
                    self.submit_step(tree, to.clone(), made(&to), turn);
                    tree.settles = true;
                    tree.walk =
                        is_deep.then(|| Walk::begin(Doing::Copy { to }, name, &tree.client));
                }
                Some(kind) => self.copy_entry(tree, (&name, to), kind, turn)?,
            },
        }
        Ok(())
    }

    /// The walk has found an entry, or the end of a directory.
    fn found(
        &mut self,
        tree: &mut Tree,
        walk: &mut Walk,
        found: Found,
        turn: &mut Turn<'_>,
    ) -> Result<(), (Name, Refusal)> {
        match found {
            Found::Nothing => {}
            Found::Remove(name) => {
                self.submit_step(tree, name.clone(), Change::Remove { name }, turn);
            }
            Found::Copy(name, to, EntryKind::Directory) => {
                self.submit_step(tree, to.clone(), made(&to), turn);
                walk.enters(name);
                tree.settles = true;
            }
            Found::Copy(name, to, kind) => self.copy_entry(tree, (&name, to), kind, turn)?,
            Found::Link(name, to, target) => {
                let may = self.may_move_link((&name, &to), &target, turn);
                may.map_err(|refusal| (name, refusal))?;
            }
        }
        Ok(())
    }

    /// The refusal because of an entry in a directory, in the words of one of the directory, whose client may not learn more.
    fn of_top(&self, refusal: Refusal) -> Refusal {
        match self.may_learn() {
            true => refusal,
            false => Refusal::new(refusal.code().clone(), "an entry in it is in the way"),
        }
    }

    /// Copies a file or symlink.
    fn copy_entry(
        &mut self,
        tree: &mut Tree,
        (name, to): (&Name, Name),
        kind: EntryKind,
        turn: &mut Turn<'_>,
    ) -> Result<(), (Name, Refusal)> {
        match kind {
            EntryKind::File { size, .. } => {
                let most = turn.services.tuning().limits.max_file;
                within(size, most).map_err(|refusal| (to.clone(), refusal))?;
                let busy = || Refusal::new(Code::Busy, "too many files are half written at once");
                let place = turn.place().ok_or_else(|| (to.clone(), busy()))?;
                let copy = turn.services.store.begin_copy(&turn.base.parents, name, &to);
                let copy = copy.map_err(|error| (to.clone(), error.into()))?;
                tree.copying = Some((Box::new(copy), to, place));
            }
            EntryKind::Link { target } => {
                self.may_link(&to, &target, turn).map_err(|refusal| (to.clone(), refusal))?;
                let (mtime, replaces) = (None, Replaces::Anything);
                let change = Change::Link { name: to.clone(), target, mtime, replaces };
                self.submit_step(tree, to, change, turn);
            }
            _ => {
                let why = "only files, directories and symlinks are copied";
                return Err((to, Refusal::new(Code::Unsupported, why)));
            }
        }
        Ok(())
    }

    fn go_on_copying(
        &mut self,
        tree: &mut Tree,
        (mut copy, name, place): (Box<Copy>, Name, Place),
        turn: &mut Turn<'_>,
    ) -> Result<(), (Name, Refusal)> {
        let failed = |error: crate::store::StoreError| (name.clone(), Refusal::from(error));
        let copied = copy.advance(turn.buffer.room(0)).map_err(failed)?;
        turn.share.took(copied);
        if copied > 0 {
            tree.copying = Some((copy, name, place));
            return Ok(());
        }
        let (change, size, digest) = copy.complete().map_err(failed)?;
        let event = self.event(|| What::Copy { name: name.clone(), size, digest });
        let reply_to = ReplyTo::Step(tree.id, Box::new(name));
        self.submit_with(reply_to, change, None, event.into_iter().collect(), turn);
        Ok(())
    }

    fn submit_step(&mut self, tree: &Tree, name: Name, change: Change, turn: &Turn<'_>) {
        self.submit(ReplyTo::Step(tree.id, Box::new(name)), change, None, turn);
    }

    /// All is done that can be done.
    fn answer_tree(&mut self, tree: Tree) {
        let Tree { id, is_drive, mut failed, named, answer, .. } = tree;
        // A directory stays because of an entry in it.
        let lower: Vec<Name> = failed.iter().map(|one| one.name.clone()).collect();
        failed.retain(|one| {
            let is_above = lower.iter().any(|name| is_below(name, &one.name));
            one.refusal.code != Code::Conflict || !is_above
        });
        let view = self.view.clone();
        let Some(half) = self.half.http() else { return };
        match (answer, failed.as_slice()) {
            (Answer::Plain(status), []) => {
                half.will_be(status);
                half.done(id);
            }
            (Answer::Edited(address, tags), failed) => {
                let status = failed.first().map_or(Status::OK, |one| Status::of(&one.refusal.code));
                let text = properties::edited(&address, &*tags, |_| status);
                half.answer(&head(Status::MULTI), text.as_bytes());
            }
            (Answer::Plain(_), [one]) if named.contains(&one.name) => half.refuse(id, &one.refusal),
            (Answer::Plain(_), failed) => {
                let mut text = String::from(properties::BEGIN);
                for Failed { name, refusal } in failed {
                    let there = address(is_drive, view.outward(name).as_ref(), false);
                    let status = Status::of(&refusal.code);
                    properties::outcome(&there, status, &refusal.message, &mut text);
                }
                text.push_str(properties::END);
                half.answer(&head(Status::MULTI), text.as_bytes());
            }
        }
    }
}

/// A directory is there.
fn made(name: &Name) -> Change {
    let (name, replaces) = (name.clone(), Replaces::Anything);
    Change::Directory { name, mode: None, replace: true, replaces }
}
