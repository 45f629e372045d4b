//! Bytes on their way to the peer.

use alloc::vec::Vec;

use zeroize::Zeroize;

/// Bytes of a body that stand behind its header, so that the transport never takes a header alone.
const TOGETHER: usize = 16 * 1024;

/// Encoded frames that the transport did not take yet: some, then a large body that was not copied or that is not here at
/// all, then those behind it.
///
/// Invariants: bytes of frames that were taken need no more memory than those that were not; a large body stays in memory
/// until all of it is taken. There is one large body at most, and without one nothing is behind it.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    taken: usize,
    body: Vec<u8>,
    body_taken: usize,
    /// Bytes of a body that the caller has, and that it has not sent yet.
    apart: u64,
    behind: Vec<u8>,
}

impl Outbox {
    /// Bytes that the transport is to take next.
    pub(crate) fn as_slice(&self) -> &[u8] {
        let first = &self.bytes[self.taken..];
        if first.is_empty() { &self.body[self.body_taken..] } else { first }
    }

    pub(crate) fn len(&self) -> usize {
        let apart = usize::try_from(self.apart).unwrap_or(usize::MAX);
        let body = (self.body.len() - self.body_taken).saturating_add(apart);
        (self.bytes.len() - self.taken + self.behind.len()).saturating_add(body)
    }

    /// Bytes of a body that the caller has to send: the next ones, if [`as_slice`](Self::as_slice) has none.
    pub(crate) fn apart(&self) -> u64 {
        self.apart
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity() + self.body.capacity() + self.behind.capacity()
    }

    /// The end of the buffer, to append frames to.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        if self.has_body() { &mut self.behind } else { &mut self.bytes }
    }

    /// Whether a large body waits.
    pub(crate) fn has_body(&self) -> bool {
        !self.body.is_empty() || self.apart > 0
    }

    /// The frame that was appended last has a body of so many bytes, which the caller sends. No other large body may wait.
    pub(crate) fn append_apart(&mut self, len: u64) {
        debug_assert!(!self.has_body(), "two large bodies wait");
        self.apart = len;
    }

    /// The caller has sent so many bytes of that body, at most all.
    pub(crate) fn take_apart(&mut self, len: u64) {
        self.apart = self.apart.saturating_sub(len);
        self.end_body();
    }

    /// Appends the body of the frame that was appended last. A large one is taken as it is, if no other one waits.
    pub(crate) fn append(&mut self, body: Vec<u8>) {
        if !self.has_body() && body.len() > TOGETHER {
            self.bytes.extend_from_slice(&body[..TOGETHER]);
            (self.body, self.body_taken) = (body, TOGETHER);
        } else {
            self.end().extend_from_slice(&body);
        }
    }

    /// The transport has taken so many bytes from the front, at most all that are here.
    pub(crate) fn take(&mut self, len: usize) {
        let mut left = len;
        while left > 0 && !self.as_slice().is_empty() {
            let before = self.len();
            self.take_front(left);
            left -= before - self.len();
        }
    }

    /// Takes bytes of what is in front.
    fn take_front(&mut self, len: usize) {
        if self.taken == self.bytes.len() {
            self.body_taken = (self.body_taken + len).min(self.body.len());
            self.end_body();
            return;
        }
        self.taken = (self.taken + len).min(self.bytes.len());
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        } else if self.taken > self.bytes.len() / 2 {
            // Fewer bytes move than were taken.
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// If all of the large body is taken, the frames behind it come next.
    fn end_body(&mut self) {
        if self.body_taken == self.body.len() && self.apart == 0 {
            (self.body, self.body_taken) = (Vec::new(), 0);
            if self.taken == self.bytes.len() {
                (self.bytes, self.taken) = (core::mem::take(&mut self.behind), 0);
            } else {
                self.bytes.append(&mut self.behind);
            }
        }
    }

    /// Overwrites everything, also bytes that were taken.
    pub(crate) fn wipe(&mut self) {
        for bytes in [&mut self.bytes, &mut self.body, &mut self.behind] {
            bytes.zeroize();
        }
        (self.taken, self.body_taken, self.apart) = (0, 0, 0);
    }

    /// Gives the memory of an empty outbox back.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The peer takes all that it is sent, but is always a little behind.
    #[test]
    fn bytes_that_were_taken_are_not_kept() {
        let mut outbox = Outbox::default();
        let (mut next, mut expected) = (0_u8, 0_u8);
        for _ in 0..10_000 {
            while outbox.len() < 1000 {
                outbox.end().push(next);
                next = next.wrapping_add(1);
            }
            let taken = outbox.as_slice()[..700].to_vec();
            outbox.take(700);
            for byte in taken {
                assert_eq!(byte, expected);
                expected = expected.wrapping_add(1);
            }
        }
        assert!(outbox.held() <= 4096, "{} bytes are kept", outbox.held());
        outbox.wipe();
        assert!(outbox.is_empty() && outbox.held() > 0);
        outbox.shrink();
        assert_eq!(outbox.held(), 0);
    }

    #[test]
    fn large_body_comes_between_the_frames_around_it_and_is_not_copied() {
        for step in [1, 1000, TOGETHER, TOGETHER + 3, usize::MAX] {
            let mut outbox = Outbox::default();
            let body = |first: u8| -> Vec<u8> {
                (0..=250).cycle().map(|at| first ^ at).take(50_000).collect()
            };
            let mut expected = Vec::new();
            let mut append = |outbox: &mut Outbox, frame: &[u8], body: Vec<u8>| {
                expected.extend_from_slice(frame);
                expected.extend_from_slice(&body);
                outbox.end().extend_from_slice(frame);
                outbox.append(body);
            };
            append(&mut outbox, b"small", b"body".to_vec());
            let large = body(1);
            let place = large.as_ptr();
            append(&mut outbox, b"large", large);
            assert_eq!(outbox.body.as_ptr(), place);
            append(&mut outbox, b"behind", body(2));
            append(&mut outbox, b"last", Vec::new());
            assert_eq!(outbox.len(), expected.len());
            let mut taken = Vec::new();
            while !outbox.is_empty() {
                let len = outbox.as_slice().len().min(step);
                taken.extend_from_slice(&outbox.as_slice()[..len]);
                outbox.take(len);
            }
            assert!(taken == expected, "{step}");
            outbox.shrink();
            assert_eq!(outbox.held(), 0);
            outbox.append(body(3));
            outbox.take(usize::MAX);
            assert!(outbox.is_empty());
        }
    }

    #[test]
    fn body_that_the_caller_sends_comes_between_the_frames_around_it() {
        let mut outbox = Outbox::default();
        outbox.end().extend_from_slice(b"header");
        outbox.append_apart(5);
        outbox.end().extend_from_slice(b"behind");
        outbox.append([7; 2 * TOGETHER].to_vec());
        assert_eq!(outbox.len(), 17 + 2 * TOGETHER);
        assert_eq!((outbox.as_slice(), outbox.apart()), (&b"header"[..], 5));
        // No more than there is in front of the body.
        outbox.take(100);
        assert_eq!((outbox.as_slice(), outbox.apart()), (&b""[..], 5));
        outbox.take_apart(3);
        assert_eq!((outbox.as_slice(), outbox.apart(), outbox.is_empty()), (&b""[..], 2, false));
        outbox.take_apart(2);
        assert_eq!((&outbox.as_slice()[..7], outbox.apart()), (&b"behind\x07"[..], 0));
        outbox.take(usize::MAX);
        outbox.shrink();
        assert_eq!((outbox.is_empty(), outbox.held()), (true, 0));
    }

    #[test]
    fn wiped_outbox_has_nothing_left() {
        let mut outbox = Outbox::default();
        outbox.end().push(1);
        outbox.append([2; 3 * TOGETHER].to_vec());
        outbox.end().push(3);
        outbox.wipe();
        assert!(outbox.is_empty() && outbox.as_slice().is_empty());
    }
}
