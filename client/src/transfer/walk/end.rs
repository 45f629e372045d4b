//! The end of a run, when all entries have been sent: removing entries that the source lacks, and publishing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use haul_protocol::Name;

use super::{Found, REMEMBERED, Walk, name};
use crate::plan::policy::Delete;
use crate::plan::{Plan, Root};
use crate::report::note::Note;
use crate::source::anchor::Anchor;
use crate::source::attributes;
use crate::work::{BATCH, Item, Kind, Listing, Stopped};

impl Walk<'_> {
    /// Whether every source is what it was when the run began; failures are told.
    pub(super) fn are_there(&self, plan: &Plan, anchors: &[Arc<Anchor>]) -> bool {
        let is_adrift = |(root, anchor): &(&Root, &Arc<Anchor>)| {
            let result = anchor.check_kind(root.contents || plan.named.is_some());
            result.map_err(|error| anchor.tell(&error, self.progress)).is_err()
        };
        plan.roots.iter().zip(anchors).filter(is_adrift).count() == 0
    }

    /// Whether the next version would be empty and may not be, which is told.
    pub(super) fn is_empty_version(&self, anchors: &[Arc<Anchor>], delete: &Delete) -> bool {
        let is_empty = |anchor: &&Arc<Anchor>| anchor.is_empty();
        if !self.policy.is_whole() || delete.all {
            return false;
        }
        let empty = anchors.iter().find(is_empty);
        if let Some(anchor) = empty {
            anchor.tell(
                &"there is nothing in it to send, so the next version would be empty; --delete-all publishes it",
                self.progress,
            );
        }
        empty.is_some()
    }

    /// Looks through every directory at the server that the source has too, for what the source lacks;
    /// then sends what a directory was in the way of, and returns what that walk has found.
    pub(super) fn remove(
        &self,
        plan: &Plan,
        found: &[Found],
        anchors: &[Arc<Anchor>],
        delete: &Delete,
    ) -> Result<Option<Vec<Found>>, Stopped> {
        let has_directory = |(root, found): (&Root, &Found)| {
            root.contents || found.as_ref().is_none_or(|found| !found.is_empty())
        };
        let mut lists = plan.roots.iter().zip(found).zip(anchors);
        let lists: Vec<_> = lists.by_ref().filter(|(pair, _)| has_directory(*pair)).collect();
        for (_, anchor) in &lists {
            if let Err(error) = anchor.check() {
                anchor.tell(&error, self.progress);
                return Ok(None);
            }
        }
        if lists.is_empty() || !self.may_remove(delete) {
            return Ok(None);
        }
        self.progress.removing(true);
        for ((root, found), anchor) in lists {
            self.list(root, found, anchor)?;
        }
        self.work.drain()?;
        self.progress.removing(false);
        // Before a version is published, the client looks at its source once more.
        if self.policy.removes() && !self.are_there(plan, anchors) {
            return Ok(None);
        }
        if !self.course.begin_last_round() {
            return Ok(None);
        }
        let (mut again, mut room) = (Vec::new(), REMEMBERED);
        self.course.begin_walk();
        for (root, anchor) in plan.roots.iter().zip(anchors) {
            again.push(self.entries(root, anchor, &mut room)?);
        }
        self.work.drain()?;
        Ok(Some(again))
    }

    /// Whether the walk has seen all that the sources have, so that the rest at the server is too many; tells why not.
    fn may_remove(&self, delete: &Delete) -> bool {
        let vanished = self.progress.counts().vanished;
        if !self.policy.is_publish() && vanished > 0 && !delete.force {
            // They may have been moved, and be here under names that were not found.
            self.progress.failed(
                Path::new("--delete"),
                format!(
                    "nothing is removed, because {vanished} of what was found is gone; run it again, or with \
                     --force-delete"
                ),
            );
            return false;
        }
        let why = if self.course.is_halted() && !self.policy.is_publish() {
            "a directory went away before it could be looked at; run it again"
        } else if self.progress.counts().failed > 0 && !delete.force {
            "of what failed above; --force-delete removes all the same"
        } else {
            return true;
        };
        self.progress.note(Note::NothingRemoved(why));
        false
    }

    /// Asks for the entries of each directory at the server that a source has too.
    fn list(&self, root: &Root, found: &Found, anchor: &Arc<Anchor>) -> Result<(), Stopped> {
        let mut batch = Vec::with_capacity(BATCH);
        let mut list = |path: PathBuf, name: Option<Name>| {
            let (anchor, target) = (Arc::clone(anchor), name.clone());
            let listing = Listing { anchor, name: target, after: None, doomed: None };
            // The server's root has no name; that of the item is for nobody then.
            let Some(name) = name.or_else(|| Name::parse(b"root").ok()) else { return Ok(()) };
            batch.push(Item::new(path, name, Kind::List(Box::new(listing))));
            if batch.len() < BATCH {
                return Ok(());
            }
            self.work.push(std::mem::take(&mut batch))
        };
        if root.contents {
            list(root.source.clone(), root.target.clone())?;
        }
        // Entries below the root of a draft are found on the way.
        if !self.policy.is_publish() {
            let each = |path: PathBuf| match name(root, &path, self.progress) {
                // The walk leaves other file systems out, so the client can not know which entries are too many there.
                Some(_) if !self.policy.is_whole() && self.is_beyond(anchor, &path) => Ok(()),
                Some(name) => list(path, Some(name)),
                None => Ok(()),
            };
            self.each_directory(root, found, each, |_| Ok(()))?;
        }
        self.work.push(batch)
    }

    /// Everything is in the next version: it is published, if nothing has failed.
    pub(super) fn publish(&self, name: &Name, anchors: &[Arc<Anchor>]) -> Result<(), Stopped> {
        let Some(anchor) = anchors.first() else { return Ok(()) };
        let is_there = anchor.check().map_err(|error| anchor.tell(&error, self.progress));
        match is_there {
            Ok(metadata) if self.progress.counts().failed == 0 => {
                let kind = Kind::Publish(attributes(&metadata));
                self.work.push(vec![Item::new(anchor.path().to_owned(), name.clone(), kind)])?;
                self.work.drain()
            }
            _ => {
                self.progress.note(Note::NotPublished(name.clone()));
                Ok(())
            }
        }
    }
}
