//! The meaning of each answer for the task that has asked.

use haul_protocol::{Code, Refusal, Reply};

use super::connection::{Connection, Pending};
use super::item::{Arrived, File};
use super::task::Task;
use crate::error::{ConnectionError, FileError, ProtocolError, Retry};

impl Connection<'_> {
    /// The server has answered a request.
    pub(super) fn answered(
        &mut self,
        pending: Pending,
        reply: Reply,
        body: &[u8],
    ) -> Result<(), ConnectionError> {
        match (pending, reply) {
            (Pending::Top(top), Reply::Listed { .. }) => self.top(&top, body),
            (Pending::List(page), Reply::Listed { more }) => self.listed(page, body, more),
            (Pending::Small(batch), Reply::Fetched { more, digest }) => {
                self.fetched(batch, body, more, digest)
            }
            (Pending::First(file), Reply::Part(facts)) => self.first(file, &facts, body),
            (Pending::Part(large, index), Reply::Part(facts)) => {
                self.part(&large, index, &facts, body)
            }
            _ => Err(ProtocolError::Kind.into()),
        }
    }

    /// The server has refused a request.
    pub(super) fn refused(&mut self, pending: Pending, refusal: Refusal) {
        match pending {
            Pending::Top(mut top) => {
                top.tries += 1;
                let (tries, path) = (top.tries, top.path());
                if let Some(error) = self.again(FileError::Refused(refusal), tries, Task::Top(top))
                {
                    self.run.progress.failed(&path, error);
                    self.run.is_listed();
                    self.run.queue.settle(1);
                }
            }
            Pending::List(mut page) => {
                page.tries += 1;
                let (tries, node) = (page.tries, std::sync::Arc::clone(&page.node));
                if let Some(error) =
                    self.again(FileError::Refused(refusal), tries, Task::List(page))
                {
                    self.run.progress.failed(node.own_path(), error);
                    self.run.is_listed();
                    node.settle(&self.run.ends);
                    self.run.queue.settle(1);
                }
            }
            Pending::Small(batch) => {
                // Each alone: one of the names may be at fault.
                let tasks = batch.files.into_iter().filter_map(|mut file| {
                    file.tries += 1;
                    let error = FileError::Refused(refusal.clone());
                    match may_be_done_again(&error, file.tries) {
                        Some(_) => Some(Task::First(file)),
                        None => {
                            self.failed(&file, error);
                            None
                        }
                    }
                });
                let tasks: Vec<_> = tasks.collect();
                self.run.queue.push(tasks);
                self.run.queue.settle(1);
            }
            Pending::First(file) => self.refused_file(file, FileError::Refused(refusal)),
            Pending::Part(large, index) => match refusal.code {
                Code::Changed => self.begin_again(&large, FileError::Refused(refusal)),
                _ if refusal.retry => self.part_again(&large, index, refusal),
                _ => self.end_large(&large, Some(FileError::Refused(refusal))),
            },
        }
    }

    /// A file that has begun as a task of its own does not come now: it is tried again, or has failed.
    pub(super) fn refused_file(&mut self, mut file: File, error: FileError) {
        file.tries += 1;
        let tries = file.tries;
        match may_be_done_again(&error, tries) {
            Some(pause) => self.run.queue.put_back_later(Task::First(file), pause),
            None => {
                self.run.queue.end_large();
                self.run.queue.settle(1);
                self.failed(&file, error);
            }
        }
    }

    /// Does a task again, if that can help; otherwise returns its error.
    fn again(&self, error: FileError, tries: u32, task: Task) -> Option<FileError> {
        match may_be_done_again(&error, tries) {
            Some(pause) => {
                self.run.queue.put_back_later(task, pause);
                None
            }
            None => Some(error),
        }
    }

    /// A file has failed for good, and its task is settled otherwise.
    pub(super) fn failed(&self, file: &File, error: FileError) {
        self.run.progress.failed(&file.path(), error);
        file.node.settle(&self.run.ends);
    }

    /// A file that was staged has its name, or could not get it.
    pub(super) fn named(&mut self, arrived: Arrived, result: Result<(), FileError>) {
        let Arrived { file, bytes } = arrived;
        match result {
            Ok(()) => {
                self.run.progress.file_done(&file.name, bytes);
                file.node.settle(&self.run.ends);
            }
            // It has come while the run went on.
            Err(error) if self.run.wishes.ignore_existing && error.is_in_the_way() => {
                self.run.progress.unchanged(bytes);
                file.node.settle(&self.run.ends);
            }
            Err(error) => self.failed(&file, error),
        }
    }
}

/// Whether the same may be asked again after so many tries that have failed like this, and after which pause.
fn may_be_done_again(error: &FileError, tries: u32) -> Option<std::time::Duration> {
    /// How often a busy server is asked again.
    const BUSY: u32 = 100;
    match error.retry(false) {
        Retry::Now(most) if tries < most => Some(std::time::Duration::ZERO),
        Retry::Later(pause) if tries < BUSY => Some(pause),
        _ => None,
    }
}
