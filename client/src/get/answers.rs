//! The meaning of each answer for the task that has asked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use haul_protocol::{Code, Refusal, Reply};

use super::connection::Connection;
use super::item::{Arrived, File};
use super::node::Node;
use super::pending::Pending;
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
            (Pending::List(page), Reply::Listed { more, left_out }) => {
                self.listed(page, body, more, left_out)
            }
            (Pending::Small(batch), Reply::Fetched { more, digest }) => {
                self.fetched(batch, body, more, digest)
            }
            (Pending::First(file, index, whole), Reply::Part(facts)) => {
                self.first(file, (index, whole), &facts, body)
            }
            (Pending::Part(large, index), Reply::Part(facts)) => self.part(&large, index, &facts),
            (Pending::Check(comparing), Reply::Done) => self.checked(comparing, body),
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
                    self.source_failed(&path, error);
                }
            }
            Pending::List(mut page) => {
                page.tries += 1;
                let (tries, node) = (page.tries, Arc::clone(&page.node));
                if let Some(error) =
                    self.again(FileError::Refused(refusal), tries, Task::List(page))
                {
                    self.list_failed(&node, error);
                }
            }
            Pending::Small(batch) => {
                // Each alone: one of the names may be at fault.
                let retry_for = self.run.wishes.settings.retry_for;
                let tasks = batch.files.into_iter().filter_map(|mut file| {
                    file.tries += 1;
                    let error = FileError::Refused(refusal.clone());
                    match may_be_done_again(&error, file.tries, retry_for) {
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
            Pending::First(file, ..) => self.refused_file(file, FileError::Refused(refusal)),
            Pending::Check(comparing) => self.refused_check(comparing, refusal),
            Pending::Part(large, index) => match refusal.code {
                Code::Changed => self.begin_again(&large, FileError::Refused(refusal)),
                _ => self.part_again(&large, index, refusal),
            },
        }
    }

    /// A file that has begun as a task of its own does not come now: it is tried again, or has failed.
    pub(super) fn refused_file(&mut self, mut file: File, error: FileError) {
        file.tries += 1;
        let tries = file.tries;
        match may_be_done_again(&error, tries, self.run.wishes.settings.retry_for) {
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
        match may_be_done_again(&error, tries, self.run.wishes.settings.retry_for) {
            Some(pause) => {
                self.run.queue.put_back_later(task, pause);
                None
            }
            None => Some(error),
        }
    }

    /// A source has failed for good.
    pub(super) fn source_failed(&self, path: &Path, error: FileError) {
        self.run.progress.failed(path, error);
        self.run.is_listed();
        self.run.queue.settle(1);
    }

    /// A directory can't be listed to its end.
    pub(super) fn list_failed(&self, node: &Arc<Node>, error: FileError) {
        self.run.progress.failed(node.own_path(), error);
        self.run.is_listed();
        node.refuse();
        node.settle(&self.run.ends);
        self.run.queue.settle(1);
    }

    /// A file has failed for good, and its task is settled otherwise.
    pub(super) fn failed(&self, file: &File, error: FileError) {
        self.run.progress.failed(&file.path(), file.node.explain(error));
        file.node.settle(&self.run.ends);
    }

    /// A file that was staged has its name, or could not get it.
    pub(super) fn named(&mut self, arrived: Arrived, result: Result<(), FileError>) {
        let Arrived { file, bytes, digest } = arrived;
        match result {
            Ok(()) => {
                self.run.progress.file_done(&file.name, bytes);
                self.run.write_down(&file, digest);
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

/// Whether the same may be asked again after so many tries that have failed like this, and after which pause. A busy
/// server is asked as long as a lost one is.
pub(super) fn may_be_done_again(
    error: &FileError,
    tries: u32,
    retry_for: Duration,
) -> Option<Duration> {
    match error.retry(false) {
        Retry::Now(most) if tries < most => Some(Duration::ZERO),
        Retry::Later(pause) if pause * tries <= retry_for => Some(pause),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: Code) -> FileError {
        FileError::Refused(Refusal { code, message: String::new(), retry: true })
    }

    #[test]
    fn busy_server_is_asked_again_as_long_as_a_lost_one() {
        let (error, minute) = (refused(Code::Busy), Duration::from_secs(60));
        let pause = may_be_done_again(&error, 1, minute).unwrap();
        let tries = u32::try_from(minute.as_millis() / pause.as_millis()).unwrap();
        assert_eq!(may_be_done_again(&error, tries, minute), Some(pause));
        assert_eq!(may_be_done_again(&error, tries + 1, minute), None);
        assert_eq!(may_be_done_again(&error, 1, Duration::ZERO), None);
    }

    #[test]
    fn error_that_may_pass_is_tried_again_at_once_and_seldom() {
        let error = refused(Code::Io);
        assert_eq!(may_be_done_again(&error, 2, Duration::ZERO), Some(Duration::ZERO));
        assert_eq!(may_be_done_again(&error, 3, Duration::ZERO), None);
    }
}
