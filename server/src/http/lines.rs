//! Lines that end with CR LF, looked at byte by byte: a head, or the trailers behind a body in chunks.

use super::status::{Status, Wrong};

/// Lines of a head, its first line and its end left out.
pub(crate) const MAX_LINES: usize = 100;

/// The lines of which some bytes have come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// Lines that are complete.
    complete: usize,
    /// Bytes of the present line.
    len: usize,
    /// The last byte was a CR.
    cr: bool,
}

/// The line that a byte ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// No line.
    Nothing,
    /// A line that has something in it.
    Line,
    /// An empty line.
    Empty,
}

impl Lines {
    /// Whether no byte has come.
    pub(super) fn is_new(self) -> bool {
        self == Self::default()
    }

    /// Complete lines that have something in them.
    pub(super) fn complete(self) -> usize {
        self.complete
    }

    /// Bytes of the present line.
    pub(super) fn present(self) -> usize {
        self.len
    }

    /// The next byte.
    pub(super) fn push(&mut self, byte: u8) -> Result<Ends, Wrong> {
        match (self.cr, byte) {
            (true, b'\n') => {
                self.cr = false;
                if self.len == 0 {
                    return Ok(Ends::Empty);
                }
                self.len = 0;
                self.complete += 1;
                if self.complete > MAX_LINES + 1 {
                    return Err(Wrong::new(Status::HEAD_TOO_LARGE, "more than 100 header fields"));
                }
                return Ok(Ends::Line);
            }
            (true, _) => return Err(Wrong::bad("a CR without an LF")),
            (false, b'\n') => return Err(Wrong::bad("an LF without a CR")),
            (false, 0) => return Err(Wrong::bad("a NUL")),
            (false, b'\r') => self.cr = true,
            (false, _) => self.len += 1,
        }
        Ok(Ends::Nothing)
    }
}
