//! A body in chunks (RFC 9112, section 7.1): whatever is not exactly that ends the connection.

use super::lines::{Ends, Lines};
use super::status::{Status, Wrong};

/// Bytes of the line before a chunk, with extensions, which have no meaning here.
const MAX_LINE: usize = 256;

/// Bytes of all trailers, which have no meaning here either.
const MAX_TRAILERS: usize = 8 * 1024;

/// Digits of the largest size, 2^64 - 1.
const MAX_DIGITS: usize = 16;

/// A body in chunks of which some bytes have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunks {
    /// In the digits of a size; so many have come.
    Size {
        size: u64,
        digits: usize,
    },
    /// Behind the digits; so many bytes of the line have come.
    Extension {
        size: u64,
        len: usize,
    },
    /// Behind the CR of that line.
    SizeEnd {
        size: u64,
    },
    /// So many bytes before the end of a chunk.
    Data {
        left: u64,
    },
    /// Behind a chunk: its CR, then its LF.
    DataCr,
    DataLf,
    /// Behind the last chunk; so many bytes of trailers have come.
    Trailers {
        lines: Lines,
        len: usize,
        /// The name of the present field is complete.
        named: bool,
    },
}

/// A piece of the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// The next bytes, at least one.
    Bytes(&'a [u8]),
    /// The body is complete.
    End,
}

impl Chunks {
    /// Before the first byte.
    pub(super) const BEGIN: Self = Self::Size { size: 0, digits: 0 };

    /// Takes bytes from the front of `input` up to the next piece. `None`: all of it is taken.
    pub(super) fn receive<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, Wrong> {
        loop {
            if let Self::Data { left } = self {
                if input.is_empty() {
                    return Ok(None);
                }
                let len = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                let (bytes, rest) = input.split_at(len);
                *input = rest;
                *left -= len as u64;
                if *left == 0 {
                    *self = Self::DataCr;
                }
                return Ok(Some(Piece::Bytes(bytes)));
            }
            let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
            *input = rest;
            if self.push(byte)? {
                return Ok(Some(Piece::End));
            }
        }
    }

    /// A byte that is no data; tells whether the body is complete with it.
    fn push(&mut self, byte: u8) -> Result<bool, Wrong> {
        *self = match (*self, byte) {
            (Self::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                if digits == MAX_DIGITS {
                    return Err(Wrong::bad("the size of a chunk has too many digits"));
                }
                Self::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { digits: 0, .. }, _) => return Err(Wrong::bad("a chunk without a size")),
            (Self::Size { size, .. } | Self::Extension { size, .. }, b'\r') => {
                Self::SizeEnd { size }
            }
            (Self::Size { size, digits }, b';') => Self::Extension { size, len: digits + 1 },
            (Self::Size { .. }, _) => return Err(Wrong::bad("the size of a chunk is no number")),
            (Self::Extension { size, len }, b'\t' | b' '..=b'~' | 0x80..) if len < MAX_LINE => {
                Self::Extension { size, len: len + 1 }
            }
            (Self::Extension { .. }, _) => return Err(Wrong::bad("the extension of a chunk")),
            (Self::SizeEnd { size: 0 }, b'\n') => {
                Self::Trailers { lines: Lines::default(), len: 0, named: false }
            }
            (Self::SizeEnd { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::BEGIN,
            (Self::SizeEnd { .. } | Self::DataCr | Self::DataLf, _) => {
                return Err(Wrong::bad("no CR and LF where a chunk has to end"));
            }
            (Self::Trailers { mut lines, len, named }, _) => {
                if lines.push(byte)? == Ends::Empty {
                    return Ok(true);
                }
                let named = trailer(byte, lines.present(), named)?;
                if len == MAX_TRAILERS {
                    return Err(Wrong::new(Status::HEAD_TOO_LARGE, "more than 8 KiB of trailers"));
                }
                Self::Trailers { lines, len: len + 1, named }
            }
            // Data is no matter of single bytes.
            (Self::Data { left }, _) => Self::Data { left },
        };
        Ok(false)
    }
}
/// A byte of the trailers, of a line with so many bytes so far: whether the name of its field is complete behind it. A line that
/// is no field could be the next request for somebody else.
fn trailer(byte: u8, line: usize, named: bool) -> Result<bool, Wrong> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match byte {
        b'\n' => Ok(false),
        b'\r' if named || line == 0 => Ok(named),
        b':' if !named && line > 1 => Ok(true),
        _ if named || is_token(byte) => Ok(named),
        _ => Err(Wrong::bad("a trailer that is no field")),
    }
}
