//! The answers about large files: each part is verified and written, until all are there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use haul_protocol::{Cv, Digest, Fetched, Geometry, PartFacts, Refusal};

use super::answers::may_be_done_again;
use super::coming::{Came, Coming};
use super::connection::Connection;
use super::item::{File, part_size};
use super::large::{Large, hash};
use super::task::Task;
use crate::error::target::TargetError;
use crate::error::{ConnectionError, FileError, ProtocolError};
use crate::target::{Kind, Partial, Subject};

/// How often one file is begun anew because it changes, and how often a part is asked for again.
const TRIES: u32 = 3;

impl Connection<'_> {
    /// A part of a file has come, the first one in this run, and with it the facts of all of it.
    pub(super) fn first(
        &mut self,
        file: File,
        (index, whole): (usize, bool),
        facts: &PartFacts,
        body: &[u8],
    ) -> Result<(), ConnectionError> {
        let part_size = part_size(file.size);
        let Ok(geometry) = Geometry::new(facts.size, part_size) else {
            return match index {
                0 => self.whole(file, facts, body),
                _ => Err(ProtocolError::Fetched.into()),
            };
        };
        let len = geometry.range(index).map(|range| range.end - range.start);
        let is_told = facts.cv.is_some() || (whole && facts.digest.is_some());
        if Some(body.len() as u64) != len || !is_told {
            return Err(ProtocolError::Fetched.into());
        }
        let is_right = |cv: &Cv| facts.cv.is_none_or(|stated| stated == *cv);
        let Some(cv) = hash(&geometry, index, body).filter(is_right) else {
            self.refused_file(file, FileError::Damaged);
            return Ok(());
        };
        self.run.progress.received(body.len() as u64);
        let Some(directory) = file.node.directory() else {
            self.refused_file(file, FileError::Changed);
            return Ok(());
        };
        let component = file.component();
        let opened = match directory.look(&component) {
            // Its parts would all come, and be of no use.
            Ok(Some(found)) if matches!(found.kind, Kind::Directory | Kind::Other) => {
                Err(found.kind.in_the_way())
            }
            Ok(_) => {
                let subject = Subject { state: facts.state, digest: facts.digest };
                Partial::open(directory, &component, subject, geometry, facts.cv.is_some())
            }
            Err(error) => Err(error),
        };
        let (partial, held) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.run.queue.end_large();
                self.run.queue.settle(1);
                self.failed(&file, error);
                return Ok(());
            }
        };
        let large = Large::new(file, geometry, facts, partial, &held, index);
        self.run.progress.resumed(large.held);
        large.keep(large.held, self.run.progress);
        let is_whole = large.is_whole();
        let large = Arc::new(large);
        if is_whole {
            self.complete(&large);
            return Ok(());
        }
        self.run.queue.add_large(Arc::clone(&large));
        match large.write(index, 0, body) {
            Ok(()) => self.hold(&large, index, cv),
            Err(error) => self.end_large(&large, Some(error)),
        }
        Ok(())
    }

    /// A file that has only one part has come.
    fn whole(&mut self, file: File, facts: &PartFacts, body: &[u8]) -> Result<(), ConnectionError> {
        let stated = facts.digest.filter(|_| facts.size == body.len() as u64);
        if stated.ok_or(ProtocolError::Fetched)? != Digest::of(body) {
            self.refused_file(file, FileError::Damaged);
            return Ok(());
        }
        self.run.progress.received(body.len() as u64);
        self.run.queue.end_large();
        self.run.queue.settle(1);
        self.stage(file, &Fetched { attributes: facts.attributes, bytes: body });
        Ok(())
    }

    /// A part of a large file has come.
    pub(super) fn part(
        &mut self,
        large: &Arc<Large>,
        index: usize,
        facts: &PartFacts,
    ) -> Result<(), ConnectionError> {
        let came = self.coming.take().map_or(Came::Other, Coming::end);
        let cv = match came {
            Came::Other => return Err(ProtocolError::Fetched.into()),
            Came::Unwritten(error) => {
                self.end_large(large, Some(error));
                return Ok(());
            }
            Came::Whole(cv) => cv,
        };
        if !large.is_right(index, facts, cv).ok_or(ProtocolError::Fetched)? {
            if large.tries.fetch_add(1, Ordering::Relaxed) < TRIES {
                self.run.queue.put_back(vec![Task::Part(Arc::clone(large), index)]);
            } else {
                self.end_large(large, Some(FileError::Damaged));
            }
            return Ok(());
        }
        self.run.progress.received(large.part_len(index));
        self.hold(large, index, cv);
        Ok(())
    }

    /// A part is written and right; with the last one the file is complete.
    fn hold(&mut self, large: &Arc<Large>, index: usize, cv: Cv) {
        match large.hold(index, cv, self.run.progress) {
            Ok(false) => {}
            Ok(true) => self.complete(large),
            Err(error) => self.end_large(large, Some(error)),
        }
    }

    /// All parts are there: the file gets its name, if they are those that the server knows.
    fn complete(&mut self, large: &Arc<Large>) {
        let known = large.digest();
        let Some(partial) = large.end() else { return };
        large.keep_nothing(self.run.progress);
        if known.is_some() && partial.digest() != known {
            partial.discard();
            if large.has_uncompared() && !large.file.by_parts {
                // Now the server has to tell a chaining value of each part.
                self.run.progress.not_resumed(large.held);
                let file = File { by_parts: true, ..large.file.clone() };
                self.refused_file(file, FileError::Damaged);
                return;
            }
            // Each part is as the server has read it, so asking again would help nobody.
            self.run.queue.end_large();
            self.run.queue.settle(1);
            self.failed(&large.file, TargetError::Rotten.into());
            return;
        }
        self.run.queue.end_large();
        self.run.queue.settle(1);
        let digest = self.run.receipt.and_then(|_| partial.digest());
        match partial.commit(&large.attributes, self.run.wishes.over(), self.run.wishes.durable) {
            Ok(()) => {
                self.run.progress.file_done(&large.file.name, large.geometry.size());
                self.run.write_down(&large.file, digest);
                large.file.node.settle(&self.run.ends);
            }
            // It has come while the run went on.
            Err(error) if self.run.wishes.ignore_existing && error.is_in_the_way() => {
                self.run.progress.unchanged(large.geometry.size());
                large.file.node.settle(&self.run.ends);
            }
            Err(error) => self.failed(&large.file, error),
        }
    }

    /// The file is another one at the server: its parts are of no use, and it is begun anew.
    pub(super) fn begin_again(&mut self, large: &Arc<Large>, error: FileError) {
        let Some(partial) = large.end() else { return };
        large.keep_nothing(self.run.progress);
        partial.discard();
        self.restart(large, error);
    }

    /// A file that is over is begun anew, a few times.
    fn restart(&mut self, large: &Arc<Large>, error: FileError) {
        self.run.progress.not_resumed(large.held);
        self.refused_file(large.file.clone(), error);
    }

    /// A part was refused: it is asked for again, if that can help.
    pub(super) fn part_again(&mut self, large: &Arc<Large>, index: usize, refusal: Refusal) {
        let (error, tries) = (FileError::Refused(refusal), large.refuse(index));
        match may_be_done_again(&error, tries, self.run.wishes.settings.retry_for) {
            Some(pause) => {
                let task = Task::Part(Arc::clone(large), index);
                self.run.queue.put_back_later(task, pause);
            }
            None => self.end_large(large, Some(error)),
        }
    }

    /// The file does not come. Its parts stay for the next run.
    pub(super) fn end_large(&mut self, large: &Arc<Large>, error: Option<FileError>) {
        if large.end().is_none() {
            return;
        }
        self.run.queue.end_large();
        self.run.queue.settle(1);
        if let Some(error) = error {
            self.failed(&large.file, error);
        }
    }
}
