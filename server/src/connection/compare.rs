//! Comparing: the entries of a `check` or an `adopt`, and the files that have to be read for them.
//!
//! Entries are compared as they come. Files are read when all have come, a little in each turn of the
//! connection, so that one with terabytes to be read keeps no worker from others; meanwhile nothing
//! more is read from its peer, which bounds what waits here.

use std::collections::VecDeque;

use haul_protocol::{Code, Entry, EntryKind, RequestId, Verdict, decode_entry, limits, trim_line};

use super::turn::Turn;
use super::unread::{InOrder, Opened, Present, Read, Unread, adopt, is_deep, spared};
use crate::refusal::Refusal;
use crate::services::places::Place;
use crate::store::{Adopted, Believe, Change, Replaces};

/// The letter of an entry that can't be looked at.
const UNKNOWN: u8 = b'?';

/// A comparison under way.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) id: RequestId,
    /// Files and links that are the same in the present version of the directory are taken over into the draft.
    adopt: bool,
    /// The digests that were kept with files count.
    believe: Believe,
    /// The line that has no end yet.
    line: Vec<u8>,
    /// The letter of each verdict: far fewer bytes than the lines, whose number the body bounds. That of
    /// a file whose bytes are not read yet is what it will be if they are the same.
    pub(super) letters: Vec<u8>,
    /// Files to be read.
    unread: VecDeque<Unread>,
    /// Bytes of the names of those.
    unread_names: usize,
    /// The first of them, once it is open.
    reading: Option<(Read, Place)>,
}

impl Check {
    pub(super) fn new(id: RequestId, adopt: bool, believe: Believe) -> Self {
        Self {
            id,
            adopt,
            believe,
            line: Vec::new(),
            letters: Vec::new(),
            unread: VecDeque::new(),
            unread_names: 0,
            reading: None,
        }
    }

    /// Compares the entries that end in the next bytes of the body.
    pub(super) fn append(&mut self, bytes: &[u8], turn: &Turn<'_>) -> Result<(), Refusal> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.line.len() + piece.len() > limits::MAX_HEADER_LEN {
                return Err(Refusal::new(Code::BadRequest, "an entry is too long"));
            }
            if !self.line.is_empty() || !piece.ends_with(b"\n") {
                self.line.extend_from_slice(piece);
            }
            if !piece.ends_with(b"\n") {
                continue;
            }
            let kept = std::mem::take(&mut self.line);
            self.line_complete(if kept.is_empty() { piece } else { &kept }, turn)?;
        }
        Ok(())
    }

    fn line_complete(&mut self, line: &[u8], turn: &Turn<'_>) -> Result<(), Refusal> {
        let line = trim_line(line);
        if line.is_empty() {
            return Ok(());
        }
        let mut entry =
            decode_entry(line).map_err(|error| Refusal::new(Code::BadRequest, error))?;
        let Ok(name) = turn.base.view.inward(entry.name) else {
            // Nothing can have a name that is so long.
            self.letters.push(Verdict::Missing.letter());
            return Ok(());
        };
        entry.name = name;
        let place = InOrder { index: self.letters.len(), again: false };
        let letter = letter(self.compare(entry, place, turn))?;
        self.letters.push(letter);
        Ok(())
    }

    /// The verdict of an entry. If its file has to be read, the verdict for the case that the bytes are right.
    fn compare(
        &mut self,
        entry: Entry,
        place: InOrder,
        turn: &Turn<'_>,
    ) -> Result<Verdict, Refusal> {
        let store = &turn.services.store;
        let verdict = store.compare(&turn.base.parents, &entry)?;
        if let EntryKind::Link { target } = &entry.kind
            && verdict != Verdict::Same
            && let Some(present) = turn.base.present.as_ref().filter(|_| self.adopt)
            && store.compare(present, &entry)? == Verdict::Same
            // The client sends it instead, and its parents are made a few in each turn.
            && !is_deep(&entry)
        {
            let (name, target) = (entry.name.clone(), target.clone());
            let link =
                Change::Link { name, target, mtime: entry.mtime, replaces: Replaces::Anything };
            let _leave = turn.base.enter()?;
            return Ok(match store.apply_unseen(&turn.base.parents, link) {
                Ok(()) => Verdict::Same,
                Err(_) => verdict,
            });
        }
        let EntryKind::File { size, digest } = entry.kind else { return Ok(verdict) };
        if may_be_same(verdict) && (digest.is_some() || !self.adopt || verdict == Verdict::Same) {
            if digest.is_some() {
                self.wait(Unread { place, entry, size, digest, present: None });
            }
            return Ok(verdict);
        }
        // Files of one size are many: without a digest or an mtime nothing says that this is the same one.
        let is_told = digest.is_some() || entry.mtime.is_some();
        let Some(present) = turn.base.present.as_ref().filter(|_| self.adopt && is_told) else {
            return Ok(verdict);
        };
        // A file can't be taken over if a directory is in its way.
        let there = match verdict {
            Verdict::Kind | Verdict::Directory => return Ok(verdict),
            _ => store.compare(present, &entry)?,
        };
        let file = Present { there, before: verdict };
        let wanted = match (there, digest) {
            // When it is its turn, after its parents.
            (Verdict::Same | Verdict::Mode, None) if is_deep(&entry) => true,
            (Verdict::Same | Verdict::Mode, None) => match adopt(&entry, size, file, turn)? {
                Adopted::Yes => return Ok(Verdict::Same),
                // Opened again when it is its turn: what waits holds no open file.
                Adopted::Copying(_) => true,
                Adopted::No => false,
            },
            (there, Some(_)) => may_be_same(there),
            _ => false,
        };
        if !wanted {
            return Ok(verdict);
        }
        self.wait(Unread { place, entry, size, digest, present: Some(file) });
        Ok(Verdict::Same)
    }

    /// A file has to be read, when it is its turn.
    fn wait(&mut self, unread: Unread) {
        self.unread_names += unread.entry.name.as_bytes().len();
        if unread.place.again {
            self.unread.push_front(unread);
        } else {
            self.unread.push_back(unread);
        }
    }

    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.line.capacity()
            + self.letters.capacity()
            + self.unread.capacity() * size_of::<Unread>()
            + self.unread_names
    }

    /// Whether it has a file open.
    pub(super) fn has_place(&self) -> bool {
        self.reading.is_some()
    }

    /// All entries have come; returns whether all are compared.
    pub(super) fn complete(&mut self, turn: &Turn<'_>) -> Result<bool, Refusal> {
        self.append(b"\n", turn)?;
        if self.unread.is_empty() {
            return Ok(true);
        }
        // No more come, and they may wait for hours.
        self.unread.shrink_to_fit();
        self.letters.shrink_to_fit();
        Ok(false)
    }

    /// Reads a little for the first file that waits; tells whether there was one.
    pub(super) fn read(&mut self, turn: &mut Turn<'_>) -> Result<bool, Refusal> {
        let Some(unread) = self.unread.front() else { return Ok(false) };
        match unread.makes_parents(turn)? {
            Some(true) => {}
            Some(false) => return Ok(true),
            None => {
                self.reading = None;
                self.settle(false);
                return Ok(true);
            }
        }
        let Some((read, _)) = &mut self.reading else {
            let busy = || Refusal::new(Code::Busy, "too many files are open at once");
            let place = turn.place().ok_or_else(busy)?;
            match unread.open(self.believe, turn)? {
                Opened::Read(read) => self.reading = Some((read, place)),
                Opened::Decided(right) => self.settle(right),
                Opened::Other => self.decide_again(turn)?,
            }
            return Ok(true);
        };
        let (len, over) = match read {
            Read::Hash(reading) => reading.advance(turn.buffer.room(0)),
            Read::Copy(copying) => copying.advance(turn.buffer.room(0))?,
        };
        turn.share.took(len);
        if let Some((version, _)) = &turn.base.version {
            version.touch();
        }
        if !over {
            return Ok(true);
        }
        match self.reading.take() {
            Some((Read::Hash(reading), _)) => {
                let right = reading.digest() == unread.digest;
                match (right, unread.present) {
                    (true, Some(file)) => self.take_over(file, turn)?,
                    // The draft alone decides, as entries of the same name before this one have left it.
                    (false, Some(Present { before, .. })) => match unread.is_as_before(turn)? {
                        true => self.settle_as(before),
                        false => self.decide_again(turn)?,
                    },
                    (right, None) => self.settle(right),
                }
            }
            Some((Read::Copy(copying), _)) => {
                if !unread.is_as_before(turn)? {
                    self.decide_again(turn)?;
                    return Ok(true);
                }
                let _leave = turn.base.enter()?;
                let copied = spared(copying.publish(&turn.base.parents))?.unwrap_or(false);
                self.settle(copied);
            }
            None => {}
        }
        Ok(true)
    }

    /// The first file that waits has the right bytes in the present version.
    fn take_over(&mut self, file: Present, turn: &Turn<'_>) -> Result<(), Refusal> {
        let Some(unread) = self.unread.front_mut() else { return Ok(()) };
        if !unread.is_as_before(turn)? {
            return self.decide_again(turn);
        }
        match adopt(&unread.entry, unread.size, file, turn)? {
            Adopted::Yes => self.settle(true),
            Adopted::No => self.settle(false),
            // Not to be compared any more, and next to be copied.
            Adopted::Copying(_) => unread.digest = None,
        }
        Ok(())
    }

    /// The draft or the present version has another entry under the name of the first file that waits than when that file
    /// was compared. If an earlier entry of the same name has brought it there, the file is compared once more. If
    /// another connection has, with other bytes, that newer entry stays.
    fn decide_again(&mut self, turn: &Turn<'_>) -> Result<(), Refusal> {
        let Some(Unread { place: InOrder { index, again: false }, entry, digest, .. }) =
            self.unread.front()
        else {
            self.settle(false);
            return Ok(());
        };
        let (index, entry) = (*index, entry.clone());
        let may_be_earlier = match turn.services.store.compare(&turn.base.parents, &entry)? {
            Verdict::Same | Verdict::Mode => true,
            // Its bytes are compared, and it is not replaced.
            Verdict::Mtime => digest.is_some(),
            _ => false,
        };
        if !may_be_earlier {
            self.settle(false);
            return Ok(());
        }
        self.settle(true);
        let letter = letter(self.compare(entry, InOrder { index, again: true }, turn))?;
        if let Some(there) = self.letters.get_mut(index) {
            *there = letter;
        }
        Ok(())
    }

    /// The first file that waits is decided: its letter is the one that it has, if its bytes are right.
    fn settle(&mut self, right: bool) {
        match right {
            true => drop(self.decided()),
            false => self.settle_as(Verdict::Digest),
        }
    }

    /// The first file that waits has this letter.
    fn settle_as(&mut self, verdict: Verdict) {
        if let Some(index) = self.decided()
            && let Some(letter) = self.letters.get_mut(index)
        {
            *letter = verdict.letter();
        }
    }

    /// Takes the first file that waits, and tells its place in the order.
    fn decided(&mut self) -> Option<usize> {
        let unread = self.unread.pop_front()?;
        self.unread_names -= unread.entry.name.as_bytes().len();
        Some(unread.place.index)
    }
}

/// The letter of an entry. A refusal about this entry alone has one too.
fn letter(compared: Result<Verdict, Refusal>) -> Result<u8, Refusal> {
    match compared {
        Ok(verdict) => Ok(verdict.letter()),
        Err(refusal) if *refusal.code() == Code::Permission => Ok(UNKNOWN),
        Err(refusal) => Err(refusal),
    }
}

/// Whether only mode and mtime may differ, as far as is known without reading.
fn may_be_same(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Same | Verdict::Mtime | Verdict::Mode)
}
