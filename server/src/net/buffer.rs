//! The buffer that a worker reads into.

use std::ops::Range;

use zeroize::Zeroize;

use super::tls::RECORD;
use crate::locks::{Mutex, MutexGuard, Rank};

/// Bytes that a worker reads at once: they stay in the second-level cache while they are hashed and
/// written.
pub(crate) const LEN: usize = 256 * 1024;

/// Bytes of a page.
const PAGE: usize = 4096;

/// Room for [`LEN`] bytes that stand in memory as they do in their file, counted from the start of a
/// page. Linux copies between the two with `rep movsb` where the processor says that it is quick; on
/// AMD's Zen it is a fifth slower if they stand differently, and three times if by less than 16 bytes
/// (measured).
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// Where the first page starts.
    start: usize,
    /// Where its bytes begin.
    from: usize,
    /// Bytes from there on that wait for those behind them.
    kept: usize,
    /// Room for ciphertext: empty until the first TLS connection reads.
    ciphertext: Vec<u8>,
}

impl Buffer {
    /// [`Default`] is an empty one, of no use.
    pub(crate) fn allocate() -> Self {
        let bytes = vec![0; LEN + 2 * PAGE];
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Self { bytes, start, from: start, kept: 0, ciphertext: Vec::new() }
    }

    /// Room for the bytes from this offset of a file on; or, if some are kept, for those behind them.
    pub(crate) fn room(&mut self, offset: u64) -> &mut [u8] {
        self.place(offset);
        &mut self.bytes[self.from + self.kept..self.from + LEN]
    }

    /// The same, and room for ciphertext.
    pub(crate) fn rooms(&mut self, offset: u64) -> (&mut [u8], &mut Vec<u8>) {
        self.place(offset);
        (&mut self.bytes[self.from + self.kept..self.from + LEN], &mut self.ciphertext)
    }

    fn place(&mut self, offset: u64) {
        if self.kept == 0 {
            self.from = self.start + usize::try_from(offset % PAGE as u64).unwrap_or(0);
        }
    }

    /// The bytes that were kept, and so many bytes that have been read into the room behind them.
    pub(crate) fn bytes(&self, read: usize) -> &[u8] {
        &self.bytes[self.from..self.from + self.kept + read]
    }

    /// Keeps the last `rest` of [`bytes`](Self::bytes), and nothing else.
    pub(crate) fn keep(&mut self, read: usize, rest: usize) {
        let end = self.from + self.kept + read;
        let from = end - rest;
        // All of it, while one body comes in many pieces.
        if from != self.from {
            self.bytes.copy_within(from..end, self.start);
            self.from = self.start;
        }
        self.kept = rest;
    }

    /// Overwrites these of its [`bytes`](Self::bytes): a secret is in them, and nobody needs them any more.
    pub(crate) fn wipe(&mut self, bytes: Range<usize>) {
        self.bytes[self.from + bytes.start..self.from + bytes.end].zeroize();
    }

    /// Overwrites so many bytes of ciphertext, which were decrypted where they are, behind a record that was not whole before.
    pub(crate) fn wipe_ciphertext(&mut self, taken: usize) {
        let len = self.ciphertext.len().min(RECORD + taken);
        self.ciphertext[..len].zeroize();
    }

    /// Overwrites everything but the bytes that are kept.
    pub(crate) fn wipe_all(&mut self) {
        self.bytes[self.from + self.kept..].zeroize();
        self.ciphertext[..].zeroize();
    }

    /// Whether bytes are kept.
    pub(crate) fn keeps(&self) -> bool {
        self.kept > 0
    }
}

/// Buffers that no worker uses now. The one that was used last is taken first: it is still in a cache,
/// whichever worker had it.
#[derive(Debug)]
pub(crate) struct Buffers(Mutex<Vec<Buffer>>);

impl Default for Buffers {
    fn default() -> Self {
        Self(Mutex::new(Rank::Buffers, Vec::new()))
    }
}

impl Buffers {
    pub(crate) fn take(&self) -> Buffer {
        let last = self.lock().pop();
        last.unwrap_or_else(Buffer::allocate)
    }

    pub(crate) fn give_back(&self, buffer: Buffer) {
        self.lock().push(buffer);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Buffer>> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_stand_in_memory_as_in_their_file() {
        let mut buffer = Buffer::allocate();
        for offset in [0, 1, 4095, 4096, 5000, u64::MAX] {
            let room = buffer.room(offset);
            assert_eq!(room.as_ptr().addr() % PAGE, usize::try_from(offset % 4096).unwrap());
            assert_eq!(room.len(), LEN);
        }
    }

    #[test]
    fn what_is_kept_is_in_front_of_what_comes() {
        let mut buffer = Buffer::allocate();
        buffer.room(100)[..5].copy_from_slice(b"abcde");
        assert_eq!(buffer.bytes(5), b"abcde");
        buffer.keep(5, 2);
        assert!(buffer.keeps());
        // Wherever it would belong otherwise.
        let room = buffer.room(4000);
        assert_eq!(room.len(), LEN - 2);
        room[..3].copy_from_slice(b"fgh");
        assert_eq!(buffer.bytes(3), b"defgh");
        buffer.keep(3, 4);
        assert_eq!(buffer.bytes(0), b"efgh");
        buffer.keep(0, 0);
        assert!(!buffer.keeps());
        assert_eq!(buffer.room(1).len(), LEN);
    }

    #[test]
    fn bytes_that_are_wiped_are_those_of_the_read_and_no_others() {
        let mut buffer = Buffer::allocate();
        let (room, ciphertext) = buffer.rooms(10);
        room[..6].copy_from_slice(b"abcdef");
        ciphertext.extend_from_slice(b"ghij");
        buffer.wipe(1..4);
        assert_eq!(buffer.bytes(6), b"a\0\0\0ef");
        buffer.keep(6, 2);
        buffer.wipe(0..1);
        assert_eq!(buffer.bytes(0), b"\0f");
        buffer.ciphertext.resize(RECORD + 9, 7);
        buffer.wipe_ciphertext(7);
        assert_eq!(buffer.ciphertext[RECORD + 5..], [0, 0, 7, 7]);
        buffer.wipe_all();
        assert_eq!((buffer.bytes(0), buffer.ciphertext.iter().max()), (&b"\0f"[..], Some(&0)));
    }

    #[test]
    fn buffer_that_was_used_last_is_taken_first() {
        let buffers = Buffers::default();
        let (mut first, mut second) = (buffers.take(), buffers.take());
        let places = [&mut first, &mut second].map(|buffer| buffer.room(0).as_ptr());
        assert_ne!(places[0], places[1]);
        buffers.give_back(first);
        buffers.give_back(second);
        assert_eq!(buffers.take().room(0).as_ptr(), places[1]);
    }
}
