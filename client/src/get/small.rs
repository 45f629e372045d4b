//! Small files: many in one answer, each staged here and given its name with others.

use std::time::Instant;

use haul_protocol::{Code, Digest, Fetched, decode_fetched, limits};

use super::connection::Connection;
use super::item::{Arrived, Batch, File};
use super::task::Task;
use crate::error::{ConnectionError, FileError, ProtocolError};

impl Connection<'_> {
    /// An answer with small files has come.
    pub(super) fn fetched(
        &mut self,
        batch: Batch,
        body: &[u8],
        more: bool,
        digest: Digest,
    ) -> Result<(), ConnectionError> {
        let mut files = batch.files.into_iter();
        if body.len() as u64 > limits::MAX_BUNDLE_LEN {
            return Err(ProtocolError::Fetched.into());
        }
        if Digest::of(body) != digest {
            self.damaged(files.collect());
            return Ok(());
        }
        let found = decode_fetched(body, files.len()).map_err(|_| ProtocolError::Fetched)?;
        if found.is_empty() || (found.len() < files.len()) != more {
            return Err(ProtocolError::Fetched.into());
        }
        let mut tasks = Vec::new();
        for (found, file) in found.into_iter().zip(files.by_ref()) {
            match found {
                Ok(found) => {
                    self.run.progress.received(found.bytes.len() as u64);
                    self.stage(file, &found);
                }
                // It has grown since it was listed.
                Err(refusal) if refusal.code == Code::TooLarge => {
                    let size = file.size.max(limits::MAX_FETCHED_SIZE + 1);
                    tasks.push(Task::First(File { size, ..file }));
                }
                Err(refusal) if refusal.retry && file.tries < 3 => {
                    tasks.push(Task::First(File { tries: file.tries + 1, ..file }));
                }
                Err(refusal) => self.failed(&file, FileError::Refused(refusal)),
            }
        }
        tasks.extend(self.tasks(files.collect()));
        self.run.queue.push(tasks);
        self.run.queue.settle(1);
        Ok(())
    }

    /// The bytes of an answer are not those that the server has read: each file is asked for alone, a few times.
    fn damaged(&mut self, files: Vec<File>) {
        let mut tasks = Vec::new();
        for mut file in files {
            file.tries += 1;
            if file.tries < 3 {
                tasks.push(Task::First(file));
            } else {
                self.failed(&file, FileError::Damaged);
            }
        }
        self.run.queue.push(tasks);
        self.run.queue.settle(1);
    }

    /// Writes a file that has no name yet, or one that nobody uses; it gets its own name with others.
    pub(super) fn stage(&mut self, file: File, found: &Fetched<'_>) {
        if self.group.is_full() {
            self.commit();
        }
        let Some(directory) = file.node.directory() else {
            return self.failed(&file, FileError::Changed);
        };
        let over = self.run.wishes.over();
        match directory.stage(&file.component(), found.bytes, &found.attributes, over) {
            Ok(staged) => {
                self.staged.get_or_insert_with(Instant::now);
                let digest = self.run.receipt.map(|_| Digest::of(found.bytes));
                self.group.add(staged, Arrived { file, bytes: found.bytes.len() as u64, digest });
            }
            Err(error) => self.failed(&file, error),
        }
    }
}
