//! The bytes of one body.

use std::ops::Deref;

/// A body in a buffer that is kept for the next one: what it once was is not zeroed again.
#[derive(Debug, Default)]
pub(super) struct Body {
    buffer: Vec<u8>,
    len: usize,
}

impl Body {
    /// Room for so many bytes, all of which the caller must replace.
    pub(super) fn room(&mut self, len: usize) -> &mut [u8] {
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        self.len = len;
        &mut self.buffer[..len]
    }

    /// Nothing.
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}
