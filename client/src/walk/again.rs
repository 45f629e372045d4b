//! A source that changes while haul walks it.
//!
//! What is moved from a directory that the walk has not read yet into one that it has read is nowhere in what was sent.
//! A version is published only of a source that has stood still from the beginning of a walk to its end.

use std::path::{Path, PathBuf};

use super::{Walk, Walked};
use crate::plan::Plan;
use crate::source::anchor::Adrift;
use crate::work::Stopped;

/// How often a source is walked for one version. A walk after the first one sends only what has changed, and is short.
const WALKS: usize = 5;

impl Walk<'_> {
    /// Walks once more as long as something has changed or vanished since the last walk began, and anything could come of
    /// it. If the source does not stand still, that is told as a failure.
    pub(super) fn until_at_rest(&self, plan: &Plan, first: Walked) -> Result<Walked, Stopped> {
        let (anchors, mut walked) = (first.anchors.clone(), first);
        let has_failed = || self.progress.counts().failed > 0;
        for walks in 1..=WALKS {
            let Some(path) = self.changed(plan, &walked).filter(|_| !has_failed()) else { break };
            if walks == WALKS {
                self.progress.failed(&path, &Adrift::Restless(WALKS));
                break;
            }
            self.sync.begin_again();
            walked = self.once(plan)?;
        }
        // What is mounted below the source may have gone between two walks.
        self.are_there(&anchors);
        Ok(walked)
    }

    /// A directory whose entries may be others than those that the walk has read, or a file of rules that may be another
    /// one; the source itself if something has vanished.
    fn changed(&self, plan: &Plan, walked: &Walked) -> Option<PathBuf> {
        if let Some(path) = self.sync.filter.changed() {
            return Some(path);
        }
        if self.progress.counts().vanished > walked.vanished {
            return plan.roots.first().map(|root| root.source.clone());
        }
        let roots = plan.roots.iter().zip(&walked.found).zip(&walked.anchors);
        roots.into_iter().find_map(|((root, found), anchor)| {
            let check = |path: &Path| match anchor.is_as_read(path, self.sync.links) {
                true => Ok(()),
                false => Err(path.to_owned()),
            };
            let below = || self.each_directory(root, found, |path: PathBuf| check(&path));
            check(&root.source).and_then(|()| below()).err()
        })
    }
}
