//! New directories, which are filled before they appear: how requests get there and are told of it.
//!
//! Only for one turn: before it ends, all is published and acknowledged, or queued to be, if it must be
//! durable.

use haul_protocol::{LinkTarget, Mtime, Name, Refusal};

use super::file_body::Incoming;
use super::{Connection, Dialect};
use crate::commit::committer::What;
use crate::runtime::worker::Worker;
use crate::store::{Change, Staged, StoreError};

impl Connection {
    /// A directory: into the tree, as a new tree, or where it belongs.
    pub(super) fn make_directory(
        &mut self,
        id: u64,
        name: Name,
        mode: Option<u32>,
        worker: &mut Worker<'_>,
    ) {
        let mut taken = worker.fresh.directory(&worker.parents, &name, mode);
        if !taken && !self.fresh.is_empty() {
            self.publish_fresh(worker);
            taken = worker.fresh.directory(&worker.parents, &name, mode);
        }
        if taken {
            return self.wait_for_fresh(id);
        }
        let change = Change::Directory { name, mode, replace: false };
        self.submit(What::Change(id), change, None, worker);
    }

    /// A symbolic link: into the tree, or where it belongs.
    pub(super) fn make_link(
        &mut self,
        id: u64,
        name: Name,
        target: LinkTarget,
        mtime: Option<Mtime>,
        worker: &mut Worker<'_>,
    ) {
        if worker.fresh.concerns(&name) {
            if worker.fresh.link(&name, &target, mtime) {
                return self.wait_for_fresh(id);
            }
            self.publish_fresh(worker);
        }
        self.submit(What::Change(id), Change::Link { name, target, mtime }, None, worker);
    }

    /// A file all of whose bytes are here: into the tree, or where it belongs.
    pub(super) fn whole_file(&mut self, file: Incoming, bytes: &[u8], worker: &mut Worker<'_>) {
        if let Some(id) = file.id
            && worker.fresh.concerns(&file.name)
        {
            if let Err(error) = file.verify(bytes) {
                return self.complete(What::Change(id), Err(error.into()));
            }
            if worker.fresh.file(&file.name, &file.attributes, bytes) {
                return self.wait_for_fresh(id);
            }
            self.publish_fresh(worker);
        }
        let staged = file.stage(bytes, worker);
        self.file_staged(file, staged, worker);
    }

    /// A file that is written and verified: into the tree, or where it belongs.
    pub(super) fn file_staged(
        &mut self,
        file: Incoming,
        staged: Result<Staged, StoreError>,
        worker: &mut Worker<'_>,
    ) {
        let what = file.what();
        let mut staged = match staged {
            Ok(staged) => staged,
            Err(error) => return self.complete(what, Err(error.into())),
        };
        if worker.fresh.concerns(&file.name) {
            match what {
                What::Change(id) if worker.fresh.staged(&mut staged, &file.name) => {
                    return self.wait_for_fresh(id);
                }
                _ => self.publish_fresh(worker),
            }
        }
        staged.keep_room(&file.name, file.room);
        self.submit(what, Change::File { staged, name: file.name }, None, worker);
    }

    fn wait_for_fresh(&mut self, id: u64) {
        self.fresh.push(id);
        self.pending += 1;
    }

    /// Makes the tree visible, if there is one, or queues it. What was asked for after it must not happen before it,
    /// so everything that the tree does not take, and that may be about what is in it, comes here first.
    pub(super) fn publish_fresh(&mut self, worker: &mut Worker<'_>) {
        if self.fresh.is_empty() {
            return;
        }
        let ids = std::mem::take(&mut self.fresh);
        self.pending -= ids.len();
        let is_queued = worker.shared.committer.is_some() && self.version().is_none();
        if is_queued && let Some(tree) = worker.fresh.take() {
            self.submit(What::Tree(ids), Change::Tree(Box::new(tree)), None, worker);
        } else {
            let results = self.publish_now(worker, ids.len());
            for (id, result) in ids.into_iter().zip(results) {
                self.complete(What::Change(id), result);
            }
        }
        if self.last_word.is_some() {
            self.say_last_word();
        }
    }

    /// The result of each of so many entries.
    fn publish_now(&self, worker: &mut Worker<'_>, count: usize) -> Vec<Result<(), Refusal>> {
        let Dialect::Haul(haul) = &self.dialect else { return Vec::new() };
        let left = haul.fence.enter();
        let inside = match &left {
            Err(refusal) => Err(refusal.clone()),
            Ok(_) => self.version().map(|version| version.enter()).transpose(),
        };
        let results = match inside {
            Err(refusal) => {
                worker.fresh.discard();
                return vec![Err(refusal); count];
            }
            Ok(Some(_)) => worker.fresh.publish(&worker.parents),
            Ok(None) => worker.fresh.publish_guarded(&worker.parents),
        };
        results.into_iter().map(|result| result.map_err(Refusal::from)).collect()
    }
}
