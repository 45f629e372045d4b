//! What comes when all entries have been sent: removing what the source lacks, and publishing.

use std::path::{Path, PathBuf};

use haul_protocol::Name;

use super::{Found, REMEMBERED, Walk, name};
use crate::error::FileError;
use crate::plan::Plan;
use crate::source::attributes;
use crate::sync::Delete;
use crate::work::{BATCH, Item, Kind, Listing, Stopped};

impl Walk<'_> {
    /// Looks through every directory at the server that the source has too, for what the source lacks;
    /// then sends what a directory was in the way of, and returns what that walk has found.
    pub(super) fn remove(
        &self,
        plan: &Plan,
        found: &[Found],
        identities: &[Option<[i64; 2]>],
        delete: &Delete,
    ) -> Result<Option<Vec<Found>>, Stopped> {
        let vanished = self.progress.counts().vanished;
        if self.sync.publish.is_none() && vanished > 0 && !delete.force {
            // They may have been moved, and be here under names that were not found.
            self.progress.failed(
                Path::new("--delete"),
                &format_args!(
                    "nothing is removed, because {vanished} of what was found is gone; run it again, or with \
                     --force-delete"
                ),
            );
            return Ok(None);
        }
        if self.progress.counts().failed > 0 && !delete.force {
            self.progress.note(
                &"haul: nothing is removed, because of what failed above; --force-delete removes all \
                  the same",
            );
            return Ok(None);
        }
        self.progress.removing(true);
        for ((root, found), identity) in plan.roots.iter().zip(found).zip(identities) {
            let mut batch = Vec::with_capacity(BATCH);
            let mut list = |path: PathBuf, name: Option<Name>| {
                let (root, target) = (root.source.clone(), name.clone());
                let identity = *identity;
                let listing = Listing { root, identity, name: target, after: None, doomed: None };
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
            // What is below the root of a next version is found on the way.
            if self.sync.publish.is_none() {
                self.each_directory(root, found, |path| match name(root, &path, self.progress) {
                    Some(name) => list(path, Some(name)),
                    None => Ok(()),
                })?;
            }
            self.work.push(batch)?;
        }
        self.work.drain()?;
        self.progress.removing(false);
        if !self.sync.begin_last_round() {
            return Ok(None);
        }
        let (mut again, mut room) = (Vec::new(), REMEMBERED);
        for root in &plan.roots {
            again.push(self.entries(root, &mut room)?);
        }
        self.work.drain()?;
        Ok(Some(again))
    }

    /// Everything is in the next version: it is published, if nothing has failed.
    pub(super) fn publish(&self, plan: &Plan) -> Result<(), Stopped> {
        let (Some(name), Some(root)) = (&self.sync.publish, plan.roots.first()) else {
            return Ok(());
        };
        let counts = self.progress.counts();
        if counts.vanished > 0 {
            // It may be back by now, or here under another name.
            self.progress.failed(
                &root.source,
                &format_args!(
                    "{} of what was found is gone: no version, but a mixture",
                    counts.vanished
                ),
            );
        }
        if counts.failed + counts.vanished > 0 {
            self.progress.message(&format_args!(
                "haul: nothing is published, because of what failed above; {name} is as it was"
            ));
            return Ok(());
        }
        match root.source.metadata() {
            Ok(metadata) => {
                let kind = Kind::Publish(attributes(&metadata));
                self.work.push(vec![Item::new(root.source.clone(), name.clone(), kind)])?;
                self.work.drain()
            }
            Err(error) => {
                self.progress.failed(&root.source, &FileError::local("look at")(error));
                Ok(())
            }
        }
    }
}
