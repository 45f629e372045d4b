//! What one turn of a connection may take before others have theirs: bytes and time. One byte can cost a
//! millisecond, so bytes alone bound nothing.

use std::time::{Duration, Instant};

/// Bytes that one turn may read.
const BYTES: usize = 4 * 1024 * 1024;

/// The same while new directories are filled: a file that comes for one after the turn costs more. The window lets no
/// more than some thousand files come before one is published, so also of the smallest it is no longer than of large ones.
const FILLING_BYTES: usize = 16 * BYTES;

/// How long a turn may take before its next step is left to the next turn. A step is one request, one slice of a long
/// one, or one read of the socket.
const TIME: Duration = Duration::from_millis(10);

/// The same while new directories are filled: they are published when the turn ends.
const FILLING_TIME: Duration = Duration::from_millis(50);

/// What the present turn has taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    began: Instant,
    bytes: usize,
}

impl Share {
    /// Of a turn that begins.
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), bytes: 0 }
    }

    /// So many bytes have been read.
    pub(super) fn took(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether the turn has taken all that it may.
    pub(super) fn is_over(&self, is_filling: bool) -> bool {
        let bytes = if is_filling { FILLING_BYTES } else { BYTES };
        self.bytes >= bytes || self.is_late(is_filling)
    }

    /// Whether the turn has taken all the time that it may. Bytes that are read already are left undecoded only then:
    /// keeping them copies them.
    pub(super) fn is_late(&self, is_filling: bool) -> bool {
        self.began.elapsed() >= if is_filling { FILLING_TIME } else { TIME }
    }
}
