//! The tasks of a connection that is over.

use super::connection::Connection;
use super::item::File;
use super::task::Task;
use crate::error::{ConnectionError, FileError};

/// How often one task may be lost with a connection, and blamed for that, if nobody says otherwise.
const LOSSES: u32 = 10;

impl Connection<'_> {
    /// The connection is over, and other connections get the entries that it has asked for. The request that had to be answered next is blamed for
    /// a loss; returns whether it is given up for that.
    pub(super) fn leave(mut self, error: Option<&ConnectionError>) -> bool {
        self.commit();
        let lost = self.wire.lost();
        let (mut tasks, mut culprit_gone) = (Vec::new(), false);
        let all = lost.oldest.into_iter().map(|pending| (true, pending));
        for (is_oldest, pending) in
            all.chain(lost.newer.into_iter().map(|pending| (false, pending)))
        {
            self.run.progress.answered(pending.bytes());
            let task = pending.task();
            match error {
                Some(error) if is_oldest && error.is_lost() => {
                    let again = self.blame(task, error);
                    culprit_gone = again.is_none();
                    tasks.extend(again);
                }
                _ => tasks.push(task),
            }
        }
        // The newest went first.
        tasks.reverse();
        self.run.queue.put_back(tasks);
        culprit_gone
    }

    /// A connection was lost when this had to be answered next; returns the task if it is done again.
    fn blame(&mut self, task: Task, error: &ConnectionError) -> Option<Task> {
        let most = self.run.wishes.retries.unwrap_or(LOSSES);
        let count = |file: &mut File| {
            file.losses += 1;
            if file.losses <= most {
                return true;
            }
            let error = FileError::Lost { times: file.losses, reason: error.to_string() };
            self.run.progress.failed(&file.path(), error);
            file.node.settle(&self.run.ends);
            false
        };
        match task {
            Task::Small(mut batch) => {
                batch.files.retain_mut(|file| count(file));
                let has_repeated = batch.files.iter().any(|file| file.losses > 1);
                if !has_repeated && !batch.files.is_empty() {
                    return Some(Task::Small(batch));
                }
                // Each alone from now on: one of them may break the connections.
                self.run.queue.push(batch.files.into_iter().map(Task::First).collect());
                self.run.queue.settle(1);
                None
            }
            Task::First(mut file) => {
                if count(&mut file) {
                    return Some(Task::First(file));
                }
                self.run.queue.end_large();
                self.run.queue.settle(1);
                None
            }
            task => Some(task),
        }
    }
}
