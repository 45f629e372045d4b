//! A file of which only mode or mtime differ: it gets these without its bytes.
//!
//! `setattr` is about a name. Between the comparison and the request another client may put another file there, which gets mode
//! or mtime then. So when the request is answered, the client compares once more, and sends its file if the server's is
//! another one: with mode and mtime of this file, its bytes would count as the same in all later runs.

use haul_protocol::Verdict;

use super::Connection;
use crate::work::known::Known;
use crate::work::{Item, Task};

impl Connection<'_> {
    /// The server has set mode or mtime. Returns how many items are settled by that.
    pub(super) fn set_attributes(&self, mut item: Item) -> usize {
        // Nobody else changes a draft.
        if self.run.policy.is_publish() {
            self.counts_as_adjusted(&item);
            return 1;
        }
        item.compared.known = Known::Adjusted;
        self.run.work.add_urgent(Task::Item(item));
        0
    }

    /// The server has compared a file once more. Returns how many items are settled by that.
    pub(super) fn adjusted(&mut self, item: Item, verdict: Option<Verdict>) -> usize {
        // Some file systems keep no mode.
        if matches!(verdict, Some(Verdict::Same | Verdict::Mode)) {
            self.counts_as_adjusted(&item);
            return 1;
        }
        self.send_whole(item);
        0
    }

    /// Mode and mtime can't be set by themselves, because the file is somebody else's or has several names, or another one has
    /// come: sent whole, the name gets a file of its own.
    pub(super) fn send_whole(&mut self, mut item: Item) {
        (item.compared.known, item.compared.stated) = (Known::Unknown, None);
        if item.inside {
            self.open_up(&item, &mut None);
        }
        self.batch.push_back(item);
    }

    fn counts_as_adjusted(&self, item: &Item) {
        let (committed, progress) = (self.run.committed, self.run.progress);
        if let Some(digest) = item.compared.stated.and_then(|stated| stated.digest) {
            committed.verified(&item.path, &item.name, digest, progress);
        }
        progress.adjusted(&item.name);
    }
}
