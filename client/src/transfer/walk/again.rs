//! A source that changes while haul walks it.
//!
//! The walk misses an entry that somebody moves from a directory that it has not read yet into one that it has read. So
//! haul publishes, and removes, only by a source that has stood still from the beginning of a walk to its end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Walk, Walked};
use crate::plan::Plan;
use crate::report::note::Note;
use crate::source::anchor::{Adrift, Anchor};
use crate::work::Stopped;

/// Milliseconds that haul waits before each further walk of the source. After the last one it gives up.
const PAUSES: [u64; 4] = [0, 200, 1000, 3000];

impl Walk<'_> {
    /// Walks once more as long as something has changed or vanished since the last walk began, and anything could come of
    /// it. If the source does not stand still, that is told as a failure.
    pub(super) fn until_at_rest(
        &self,
        plan: &Plan,
        first: Walked,
        again: impl Fn(&Walked) -> Result<Walked, Stopped>,
    ) -> Result<Walked, Stopped> {
        let (anchors, mut walked) = (first.anchors.clone(), first);
        let has_failed = || self.progress.counts().failed > 0;
        let mut pauses = PAUSES.iter();
        while !has_failed() {
            let Some(path) = self.changed(plan, &walked) else {
                if !self.lacks(&walked) && self.policy.filter.changed().is_none() {
                    self.course.stood_still();
                }
                break;
            };
            let Some(&pause) = pauses.next() else {
                self.progress.failed(&path, Adrift::Restless(PAUSES.len() + 1));
                break;
            };
            self.progress.note(Note::WalkedAgain(path));
            self.work.pause(Duration::from_millis(pause))?;
            self.course.begin_again();
            if self.policy.is_publish() {
                self.policy.filter.forget();
            } else {
                self.policy.filter.walks_again();
            }
            self.committed.repeats();
            walked = again(&walked)?;
        }
        // Mounts below the source may have gone between two walks.
        if !has_failed() {
            self.are_there(plan, &anchors);
        }
        Ok(walked)
    }

    /// A directory whose entries may be others than those that the walk has read, or a file of rules that may be another
    /// one; the source itself if something has vanished or moved.
    fn changed(&self, plan: &Plan, walked: &Walked) -> Option<PathBuf> {
        if self.lacks(walked) {
            // Otherwise the code that removes nothing because of that tells it.
            let root = plan.roots.first().filter(|_| self.policy.is_publish());
            return root.map(|root| root.source.clone());
        }
        let roots = plan.roots.iter().zip(&walked.found).zip(&walked.anchors);
        let changed = roots.into_iter().find_map(|((root, found), anchor)| {
            let links = self.policy.links;
            let filter = &self.policy.filter;
            let check =
                |path: PathBuf| match anchor.is_as_read(&path, links) && filter.is_as_read(&path) {
                    true => Ok(()),
                    // Nobody has read it.
                    false if self.is_beyond(anchor, &path) => Ok(()),
                    false => Err((path, anchor)),
                };
            let itself = || match anchor.had_directory(&root.source) {
                true => check(root.source.clone()),
                false => Ok(()),
            };
            itself().and_then(|()| self.each_directory(root, found, check, check)).err()
        });
        match changed {
            Some((path, anchor)) if self.is_another(anchor, &path) => None,
            Some((path, _)) => Some(path),
            // In a large tree rules are read again, and entries that they may leave out now were passed by. The code that
            // removes nothing because of that tells it.
            None => self.policy.filter.changed().filter(|_| self.policy.is_publish()),
        }
    }

    /// Whether something that the walk has found is not there any more.
    fn lacks(&self, walked: &Walked) -> bool {
        self.course.is_halted() || self.progress.counts().vanished > walked.vanished
    }

    /// Whether a directory that was walked is not that directory any more. Then nothing is removed, which is told; a
    /// version is of what is there now.
    pub(super) fn is_another(&self, anchor: &Anchor, path: &Path) -> bool {
        if self.policy.is_publish() || !anchor.had_directory(path) {
            return false;
        }
        let Err(error) = anchor.check_below(path, self.policy.links) else { return false };
        if !self.course.halt() {
            self.progress.failed(path, &error);
        }
        true
    }
}
