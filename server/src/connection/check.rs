//! Comparing: the entries of a `check`, and the files whose digests are in it.
//!
//! Entries are compared as they come. Files are read when all have come, a little in each turn of the
//! connection, so that one with terabytes to be read keeps no worker from others; meanwhile nothing
//! more is read from its peer, which bounds what waits here.

use std::collections::VecDeque;

use haul_protocol::{Code, Digest, EntryKind, Name, Refusal, Reply, Verdict, decode_entry, limits};

use super::Connection;
use crate::pool::Worker;
use crate::store::Reading;
use crate::streams::Place;

/// What opening a file counts for beside its bytes, so that a turn ends with empty ones as well.
const OPENING: usize = 16 * 1024;

/// A comparison under way.
#[derive(Debug, Default)]
pub(super) struct Check {
    pub(super) id: u64,
    /// The line that has no end yet.
    line: Vec<u8>,
    /// The letter of each verdict: far fewer bytes than the lines, whose number the body bounds. That of
    /// a file whose bytes are not read yet is what it will be if they are the same.
    letters: Vec<u8>,
    /// Files to be read.
    unread: VecDeque<Unread>,
    /// The first of them, once it is open.
    reading: Option<(Reading, Place)>,
}

/// A file whose digest was stated and that differs in nothing before that.
#[derive(Debug)]
struct Unread {
    /// Which letter is its.
    index: usize,
    name: Name,
    size: u64,
    digest: Digest,
}

impl Check {
    pub(super) fn new(id: u64) -> Self {
        Self { id, ..Self::default() }
    }

    /// Compares the entries that end in the next bytes of the body.
    pub(super) fn append(&mut self, bytes: &[u8], worker: &Worker<'_>) -> Result<(), Refusal> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.line.len() + piece.len() > limits::MAX_HEADER_LEN {
                return Err(Refusal::new(Code::BadRequest, "an entry is too long"));
            }
            self.line.extend_from_slice(piece);
            if !piece.ends_with(b"\n") {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let entry =
                decode_entry(line).map_err(|error| Refusal::new(Code::BadRequest, error))?;
            let verdict = worker.shared.store.compare(&worker.parents, &entry)?;
            if let EntryKind::File { size, digest: Some(digest) } = entry.kind
                && matches!(verdict, Verdict::Same | Verdict::Mtime | Verdict::Mode)
            {
                let (index, name) = (self.letters.len(), entry.name);
                self.unread.push_back(Unread { index, name, size, digest });
            }
            self.letters.push(verdict.letter());
        }
        Ok(())
    }

    /// Reads on; returns what that counts for. 0: everything is compared.
    fn read(&mut self, worker: &mut Worker<'_>) -> Result<usize, Refusal> {
        let Some(unread) = self.unread.front() else { return Ok(0) };
        let mut counts = 0;
        if self.reading.is_none() {
            let busy = || Refusal::new(Code::Busy, "too many files are open at once");
            let place = worker.shared.streams.begin().ok_or_else(busy)?;
            let opened = worker.shared.store.read(&worker.parents, &unread.name, unread.size)?;
            self.reading = opened.map(|reading| (reading, place));
            counts = OPENING;
        }
        let digest = match &mut self.reading {
            None => None,
            Some((reading, _)) => {
                let (len, over) = reading.advance(&mut worker.buffer);
                counts += len;
                if !over {
                    return Ok(counts.max(1));
                }
                reading.digest()
            }
        };
        if digest != Some(unread.digest)
            && let Some(letter) = self.letters.get_mut(unread.index)
        {
            *letter = Verdict::Digest.letter();
        }
        self.reading = None;
        self.unread.pop_front();
        Ok(counts.max(1))
    }
}

impl Connection {
    /// All entries have come.
    pub(super) fn check_complete(&mut self, mut check: Box<Check>, worker: &Worker<'_>) {
        match check.append(b"\n", worker) {
            Ok(()) if check.unread.is_empty() => {
                self.answer(check.id, Reply::Done, &check.letters);
            }
            Ok(()) => self.checks.push_back(check),
            Err(refusal) => self.refuse(check.id, refusal),
        }
    }

    /// Reads a little for the first of the checks that wait; returns what that counts for.
    pub(super) fn read_for_check(&mut self, worker: &mut Worker<'_>) -> usize {
        let Some(check) = self.checks.front_mut() else { return 0 };
        let id = check.id;
        match check.read(worker) {
            Ok(0) => {
                let letters = std::mem::take(&mut check.letters);
                self.checks.pop_front();
                self.answer(id, Reply::Done, &letters);
                1
            }
            Ok(counts) => counts,
            Err(refusal) => {
                self.checks.pop_front();
                self.refuse(id, refusal);
                1
            }
        }
    }
}
