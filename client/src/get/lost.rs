//! The tasks of a connection that is over.

use super::comparing::Comparing;
use super::connection::Connection;
use super::item::{Batch, File};
use super::task::Task;
use crate::error::{ConnectionError, FileError};

impl Connection<'_> {
    /// The connection is over, and other connections get the tasks that it has not done. The request that had to be
    /// answered next is blamed for a loss; returns whether it is given up for that.
    pub(super) fn leave(mut self, error: Option<&ConnectionError>) -> bool {
        self.commit();
        let lost = self.wire.lost();
        let blamed = error.filter(|error| error.is_lost());
        let oldest = lost.oldest.into_iter().map(|pending| (blamed, pending));
        let newer = lost.newer.into_iter().map(|pending| (None, pending));
        let (mut tasks, mut culprit_gone) = (Vec::new(), false);
        for (blamed, pending) in oldest.chain(newer) {
            self.run.progress.answered(pending.bytes());
            let task = pending.task();
            let task = match blamed {
                Some(error) => self.blame(task, error),
                None => Some(task),
            };
            culprit_gone |= task.is_none();
            tasks.extend(task);
        }
        // The newest went first.
        tasks.reverse();
        self.run.queue.put_back(tasks);
        culprit_gone
    }

    /// A connection was lost when this had to be answered next; returns the task if it is done again.
    fn blame(&mut self, task: Task, reason: &ConnectionError) -> Option<Task> {
        match task {
            Task::Top(mut top) => {
                top.losses += 1;
                let Some(error) = self.given_up(top.losses, reason) else {
                    return Some(Task::Top(top));
                };
                self.source_failed(&top.path(), error);
            }
            Task::List(mut page) => {
                page.losses += 1;
                let Some(error) = self.given_up(page.losses, reason) else {
                    return Some(Task::List(page));
                };
                self.list_failed(&page.node, error);
            }
            Task::Small(batch) => return self.blame_batch(batch, reason),
            Task::Check(comparing) => return self.blame_comparing(comparing, reason),
            // No connection asks about files that are still to be read here.
            Task::Unread(_) => return Some(task),
            Task::First(mut file) => {
                if self.is_spared(&mut file, reason) {
                    return Some(Task::First(file));
                }
                self.run.queue.end_large();
                self.run.queue.settle(1);
            }
            Task::Part(large, index) => {
                let Some(error) = self.given_up(large.lose(index), reason) else {
                    return Some(Task::Part(large, index));
                };
                self.end_large(&large, Some(error));
            }
        }
        None
    }

    /// The same of small files, which are asked for one by one if that happens again: one of them may break the
    /// connections.
    fn blame_batch(&self, mut batch: Batch, reason: &ConnectionError) -> Option<Task> {
        batch.files.retain_mut(|file| self.is_spared(file, reason));
        let has_repeated = batch.files.iter().any(|file| file.losses > 1);
        if !has_repeated && !batch.files.is_empty() {
            return Some(Task::Small(batch));
        }
        self.run.queue.push(batch.files.into_iter().map(Task::First).collect());
        self.run.queue.settle(1);
        None
    }

    /// The same of files that are compared.
    fn blame_comparing(&self, mut comparing: Comparing, reason: &ConnectionError) -> Option<Task> {
        comparing.files.retain_mut(|compared| self.is_spared(&mut compared.file, reason));
        let has_repeated = comparing.files.iter().any(|compared| compared.file.losses > 1);
        let is_kept = if has_repeated { 1..=1 } else { 1..=usize::MAX };
        if is_kept.contains(&comparing.files.len()) {
            return Some(Task::Check(comparing));
        }
        let alone = |compared| Task::Check(Comparing { files: vec![compared], tries: 0 });
        self.run.queue.push(comparing.files.into_iter().map(alone).collect());
        self.run.queue.settle(1);
        None
    }

    /// Counts a loss that a file is blamed for; returns whether the file is asked for again. Otherwise it has failed.
    fn is_spared(&self, file: &mut File, reason: &ConnectionError) -> bool {
        file.losses += 1;
        let error = self.given_up(file.losses, reason);
        let is_spared = error.is_none();
        if let Some(error) = error {
            self.failed(file, error);
        }
        is_spared
    }

    /// The error of an entry that was blamed for so many losses, if that is enough.
    fn given_up(&self, times: u32, reason: &ConnectionError) -> Option<FileError> {
        let is_enough = times > self.run.wishes.settings.most_losses();
        is_enough.then(|| FileError::Lost { times, reason: reason.to_string() })
    }
}
