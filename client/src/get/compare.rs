//! `--checksum`: a file here that has the size of the server's is compared by the digest of its bytes.
//!
//! Threads of their own read files here, so that no connection waits for the disk of this machine. Then a connection asks the
//! server whether its files have the same digests (PROTOCOL.md, section 6.10), for many at once. Only then the run decides
//! what becomes of each.

use std::ffi::OsString;
use std::{io, thread};

use haul_protocol::{
    Attributes, Digest, Entry, EntryKind, Mtime, Op, Refusal, Verdict, encode_entry,
};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::answers::may_be_done_again;
use super::comparing::{Compared, Comparing};
use super::connection::Connection;
use super::decide::{Action, same_bytes};
use super::item::File;
use super::pending::Pending;
use super::run::Run;
use super::task::Task;
use crate::error::{ConnectionError, FileError, ProtocolError};
use crate::source::Source;
use crate::source::hashing::{HashThreads, Hashing};
use crate::target::Kind;
use crate::transfer::guards::StopOnPanic;

/// The most threads that read files here.
const THREADS: usize = 8;

/// Threads that read files here; a pool of their own, because they wait.
pub(super) fn readers() -> io::Result<ThreadPool> {
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get().min(THREADS));
    let pool = ThreadPoolBuilder::new().num_threads(threads);
    pool.thread_name(|index| format!("reader-{index}")).build().map_err(io::Error::other)
}

/// Reads files here until the run is over.
pub(super) fn read_files(run: &Run<'_>, readers: &ThreadPool) {
    let threads = HashThreads::default();
    readers.scope(|scope| {
        for _ in 0..readers.current_num_threads() {
            let threads = &threads;
            scope.spawn(move |_| {
                let _guard = StopOnPanic(|| run.queue.stop(ConnectionError::Stopped));
                read(run, threads);
            });
        }
    });
}

/// The work of one thread.
fn read(run: &Run<'_>, threads: &HashThreads) {
    while let Some(mut comparing) = run.queue.take_unread(&|| run.is_stopped()) {
        for compared in &mut comparing.files {
            let found = digest(&compared.file, run, threads).ok();
            (compared.digest, compared.mtime) = found.unzip();
        }
        run.queue.put_back(vec![Task::Check(comparing)]);
    }
}

/// The digest of a file here.
fn digest(file: &File, run: &Run<'_>, threads: &HashThreads) -> Result<(Digest, Mtime), FileError> {
    let directory = file.node.directory().ok_or(FileError::Changed)?;
    let before = directory.look(&file.component())?.and_then(|there| there.mtime);
    let source = Source::of(directory.open_to_read(&file.component())?)?;
    if source.size != file.size {
        return Err(FileError::Changed);
    }
    let mut hashing = Hashing::begin(&source, false, threads);
    loop {
        let len = hashing.advance(&source, false, threads)?;
        run.progress.hashed(len);
        if len == 0 {
            break;
        }
        if run.is_stopped() {
            return Err(FileError::Changed);
        }
    }
    source.check_unchanged()?;
    Ok((hashing.finish()?.0, before.ok_or(FileError::Changed)?))
}

impl Connection<'_> {
    /// Asks the server whether its files have the digests of those here.
    pub(super) fn ask_check(&mut self, comparing: Comparing) -> Result<(), ConnectionError> {
        let (mut lines, mut bytes) = (Vec::new(), 0_u64);
        for Compared { file, digest, .. } in &comparing.files {
            if digest.is_none() {
                continue;
            }
            let (name, kind) =
                (file.name.clone(), EntryKind::File { size: file.size, digest: *digest });
            encode_entry(&Entry { name, kind, mode: None, mtime: None }, &mut lines)?;
            bytes = bytes.saturating_add(file.size);
        }
        if lines.is_empty() {
            return self.checked(comparing, &[]);
        }
        self.wire.request(Pending::Check(comparing), &Op::Check { reread: false }, &lines)?;
        self.wire.reads(bytes);
        Ok(())
    }

    /// The server has compared the files of a group.
    pub(super) fn checked(
        &mut self,
        comparing: Comparing,
        letters: &[u8],
    ) -> Result<(), ConnectionError> {
        let asked = comparing.files.iter().filter(|compared| compared.digest.is_some()).count();
        if letters.len() != asked {
            return Err(ProtocolError::Letters { letters: letters.len(), entries: asked }.into());
        }
        let mut letters = letters.iter();
        let mut files = Vec::new();
        for compared in comparing.files {
            let letter = compared.digest.and_then(|_| letters.next());
            let is_same =
                letter.and_then(|letter| Verdict::from_letter(*letter)) == Some(Verdict::Same);
            let digest = compared.digest.filter(|_| is_same);
            let same = digest.zip(compared.mtime);
            files.extend(self.compared(compared.file, compared.attributes, same));
        }
        let tasks = self.tasks(files);
        self.run.queue.push(tasks);
        self.run.queue.settle(1);
        Ok(())
    }

    /// Carries out what becomes of a file; returns it if it is to come. `same`: the digest of its bytes here and at the server,
    /// if these are the same, and its mtime here when they were.
    fn compared(
        &self,
        file: File,
        attributes: Attributes,
        same: Option<(Digest, Mtime)>,
    ) -> Option<File> {
        let component: OsString = file.component();
        let path = file.path();
        // It may be another one since it was read.
        let there = file.node.directory().map(|directory| directory.look(&component));
        let action = match (same, there) {
            (_, Some(Err(error))) => {
                self.failed(&file, error);
                return None;
            }
            (Some((_, mtime)), Some(Ok(Some(there))))
                if there.kind == Kind::File
                    && there.size == file.size
                    && there.mtime == Some(mtime) =>
            {
                same_bytes(&attributes, &there)
            }
            _ => Action::Bring("its bytes are others"),
        };
        let size = Some(file.size);
        if self.carry_out(action, &file.node, &component, &path, &file.name, size) {
            return Some(file);
        }
        self.run.write_down(&file, same.map(|(digest, _)| digest));
        file.node.settle(&self.run.ends);
        None
    }

    /// The server has refused to compare the files of a group.
    pub(super) fn refused_check(&mut self, mut comparing: Comparing, refusal: Refusal) {
        comparing.tries += 1;
        let error = FileError::Refused(refusal);
        if let Some(pause) =
            may_be_done_again(&error, comparing.tries, self.run.wishes.settings.retry_for)
        {
            self.run.queue.put_back_later(Task::Check(comparing), pause);
            return;
        }
        if comparing.files.len() > 1 {
            // Each alone: one of the names may be at fault.
            let alone = |compared| Task::Check(Comparing { files: vec![compared], tries: 0 });
            self.run.queue.push(comparing.files.into_iter().map(alone).collect());
        } else {
            comparing.files.iter().for_each(|compared| self.failed(&compared.file, error.clone()));
        }
        self.run.queue.settle(1);
    }
}
