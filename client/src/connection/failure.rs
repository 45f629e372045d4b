//! Items and large files that did not arrive: sent again, or told as failures.

use std::sync::Arc;

use haul_protocol::{Code, Refusal, Verdict};

use super::Connection;
use crate::error::{ConnectionError, FileError, Retry};
use crate::work::foreseen::Fate;
use crate::work::multipart::Large;
use crate::work::{Abort, Item, Kind, Removal, Task};

/// An item can't be sent, for one of these reasons.
pub(super) enum Failure {
    File(FileError),
    Connection(ConnectionError),
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        Self::Connection(error)
    }
}

impl Connection<'_> {
    /// An item did not arrive: again, if that can help.
    pub(super) fn give_up(&self, mut item: Item, error: &FileError) {
        let (work, progress) = (self.run.work, self.run.progress);
        item.untrue |= matches!(error, FileError::Size);
        let retry = error.retry(matches!(item.kind, Kind::Directory(_)));
        item.tries.count(retry);
        match retry {
            Retry::Now(times) if item.tries.attempts <= times => work.add_urgent(Task::Item(item)),
            Retry::Later(pause) if pause * item.tries.busy <= self.run.settings.retry_for => {
                work.add_delayed(item, pause)
            }
            Retry::Last(times) if item.tries.attempts <= times => work.add_last(item),
            _ if self.may_be_replaced_above(&item, error) && item.tries.attempts <= 2 => {
                work.add_last(item)
            }
            _ => {
                // A version is of what is there in the end: everything is walked once more.
                let is_gone =
                    error.is_vanished() || (error.is_replaced() && self.run.policy.is_publish());
                if is_gone && !item.named {
                    progress.vanished(&item.path);
                } else if !item.is_repeated && !self.comes_again(&item, error) {
                    progress.failed(&item.path, error);
                }
                if matches!(item.kind, Kind::Directory(_)) {
                    self.run.course.unmade().settled(&item.name);
                }
                match &item.kind {
                    Kind::Directory(_) if error.is_conflict() => {
                        self.run.course.foreseen().tell(&item.name, Fate::Blocks);
                    }
                    Kind::Remove(removal) => self.stays(removal),
                    Kind::List(_) => self.list_over(&item, false),
                    _ => {}
                }
                work.settle(1);
            }
        }
    }

    /// Whether what stands in an item's way may be gone in a later round, because the source lacks it.
    fn comes_again(&self, item: &Item, error: &FileError) -> bool {
        let is_sent = matches!(item.kind, Kind::File | Kind::Link | Kind::Directory(_));
        let policy = self.run.policy;
        // If what is there stays, only what stands where a directory above would be can be in the way.
        let may_go =
            is_sent && error.is_conflict() && policy.delete().is_some() && !policy.ignore_existing;
        may_go && self.run.course.comes_again(&item.path, error)
    }

    /// Whether a directory above an item may be about to take the place of a file or a symlink at the server, over
    /// another connection. What stands in the item's own place is none of that: the server would have said so.
    fn may_be_replaced_above(&self, item: &Item, error: &FileError) -> bool {
        let stands = error.is_conflict() || error.is_escape();
        let missing = item.compared.known.is(Verdict::Missing);
        stands && missing && item.inside && self.run.policy.only_changed()
    }

    /// An entry at the server stays, and so do the directories above it.
    pub(super) fn stays(&self, removal: &Removal) {
        if let Some(above) = &removal.above {
            self.gone(above, false);
        }
    }

    /// A directory at the server was looked through, or could not be.
    pub(super) fn list_over(&self, item: &Item, looked: bool) {
        if let Kind::List(listing) = &item.kind
            && let Some(doomed) = &listing.doomed
        {
            self.gone(doomed, looked);
        }
    }

    /// A large file did not arrive. What the server holds of it is discarded only if it is no good
    /// to a later run either.
    pub(super) fn end_large(&self, large: &Arc<Large>, error: FileError) {
        let is_first = large.parts().end();
        if !is_first {
            return;
        }
        let work = self.run.work;
        work.end_large();
        if error.spoils_upload() {
            self.run.progress.not_resumed(large.told_resumed());
            large.not_held(self.run.progress);
            let (upload, item) = (large.upload, large.item.clone());
            work.add_urgent(Task::Abort(Box::new(Abort { upload, item, error })));
        } else if error.retry(false) == Retry::Never {
            self.give_up(large.item.clone(), &error);
        } else {
            // Opened again, the server says what it holds by now.
            self.run.progress.not_resumed(large.told_resumed());
            large.not_held(self.run.progress);
            self.give_up(large.reopened(), &error);
        }
    }

    /// The server, or another one in its place, does not know an upload any more: it is opened again.
    /// That is no failure of the file if something was achieved in between, or if a connection was lost,
    /// which a server may be with that was started again; so often as connections may be lost in a row.
    pub(super) fn reopen(&self, large: &Arc<Large>, refusal: Refusal) {
        let run = self.run;
        let mut item = large.reopened();
        let has_progress = large.parts().has_progress();
        if !has_progress || large.is_reopened_too_often() {
            item.tries.interrupted += 1;
            if large.opened_after == run.reached.losses()
                || item.tries.interrupted > run.settings.most_losses()
            {
                return self.end_large(large, FileError::Refused(refusal));
            }
        }
        let is_first = large.parts().end();
        if is_first {
            run.work.end_large();
            run.progress.not_resumed(large.told_resumed());
            large.not_held(run.progress);
            run.work.add_urgent(Task::Item(item));
        }
    }

    /// A part was refused.
    pub(super) fn part_refused(&self, large: Arc<Large>, index: usize, refusal: Refusal) {
        match refusal.code {
            Code::UnknownUpload => self.reopen(&large, refusal),
            Code::TakenOver => self.end_large(&large, FileError::TakenOver),
            // No two connections of this run have the same part, so the newer request is what a lost
            // one had left in its socket, and nobody waits for its answer.
            Code::Superseded if large.parts().again(index) => self.run.work.add_large(large),
            _ if refusal.retry && large.parts().again(index) => self.run.work.add_large(large),
            _ => self.end_large(&large, FileError::Refused(refusal)),
        }
    }

    /// A commit was refused.
    pub(super) fn commit_refused(&self, large: &Arc<Large>, refusal: Refusal) {
        match refusal.code {
            Code::UnknownUpload => self.reopen(large, refusal),
            Code::TakenOver => self.end_large(large, FileError::TakenOver),
            _ => self.end_large(large, FileError::Refused(refusal)),
        }
    }
}
