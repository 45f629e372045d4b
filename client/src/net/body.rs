//! The bytes of one body.

use std::ops::Deref;

/// Bytes of a page.
const PAGE: usize = 4096;

/// A body in a buffer that is kept for the next one: its old bytes are not zeroed again.
///
/// The body starts at a page, as the bytes that are read into it do in the file: copies between two
/// places that stand differently to a page are slower, on some processors three times.
#[derive(Debug, Default)]
pub(crate) struct Body {
    buffer: Vec<u8>,
    /// Offset of the first page.
    start: usize,
    len: usize,
}

impl Body {
    /// Room for so many bytes, all of which the caller must replace.
    pub(crate) fn room(&mut self, len: usize) -> &mut [u8] {
        if self.buffer.len() < self.start + len {
            // The old bytes are of no use, and the system gives pages that are zero.
            self.buffer = Vec::new();
            self.buffer = vec![0; PAGE + len];
            self.start = self.buffer.as_ptr().align_offset(PAGE).min(PAGE);
        }
        self.len = len;
        &mut self.buffer[self.start..self.start + len]
    }

    /// The same behind the first `kept` bytes of the body, which stay. The body ends with the room.
    pub(crate) fn room_behind(&mut self, kept: usize, len: usize) -> &mut [u8] {
        if self.buffer.len() < self.start + kept + len {
            let mut larger = Self::default();
            larger.room((kept + len).next_power_of_two())[..kept].copy_from_slice(&self[..kept]);
            *self = larger;
        }
        self.len = kept + len;
        &mut self.buffer[self.start + kept..self.start + kept + len]
    }

    /// Bytes of memory.
    pub(crate) fn held(&self) -> usize {
        self.buffer.capacity()
    }

    /// Keeps only the first bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Keeps no bytes.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_starts_at_a_page_also_when_it_has_grown() {
        let mut body = Body::default();
        assert!(body.is_empty());
        for len in [1, 0, 5000, 4000, 100_000, 100_001, 2 << 20, 3] {
            let room = body.room(len);
            assert_eq!((room.as_ptr().addr() % PAGE, room.len()), (0, len));
            room.fill(7);
            assert_eq!(*body, *vec![7; len]);
        }
        body.clear();
        assert!(body.is_empty());
    }

    #[test]
    fn bytes_stay_when_there_is_room_behind_them() {
        let (mut body, mut expected) = (Body::default(), Vec::new());
        for len in [3, 0, 5000, 1, 100_000] {
            body.room_behind(expected.len(), len).fill(7);
            expected.resize(expected.len() + len, 7);
            assert_eq!((&*body, body.as_ptr().addr() % PAGE), (&*expected, 0));
        }
        body.room_behind(2, 1).fill(8);
        assert_eq!(*body, [7, 7, 8]);
    }
}
