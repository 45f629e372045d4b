//! Bytes on their way to the peer.

use alloc::vec::Vec;

use zeroize::Zeroize;

/// Encoded frames that the transport did not take yet.
///
/// Invariant: bytes that were taken need no more memory than those that were not.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    taken: usize,
}

impl Outbox {
    /// Bytes that the transport is to take next.
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// The end of the buffer, to append frames to.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The transport has taken so many bytes from the front, at most all.
    pub(crate) fn take(&mut self, len: usize) {
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

    /// Overwrites everything, also bytes that were taken.
    pub(crate) fn wipe(&mut self) {
        self.bytes.zeroize();
        self.taken = 0;
    }

    /// Gives the memory of an empty outbox back.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            self.bytes = Vec::new();
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
}
