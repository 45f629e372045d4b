//! BLAKE3 digests of whole files, and of parts whose results merge into the same digest.
//!
//! A part is a complete subtree of BLAKE3's tree, because it is aligned to its own power-of-two
//! length; its *chaining value* is the one that the subtree passes up (BLAKE3 specification, section
//! 2.4, and `blake3::hazmat`). Merging all of them gives exactly the digest of the whole file.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::error::ParseHexError;
use crate::limits::{CHUNK_LEN, MAX_BODY_LEN, MAX_PARTS};

macro_rules! hex_type {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Reads lower-case hexadecimal of exactly the right length.
            ///
            /// # Errors
            /// If the text is no such value.
            pub fn parse(text: &str) -> Result<Self, ParseHexError> {
                let mut bytes = [0; $len];
                if text.len() != 2 * $len
                    || HEXLOWER.decode_mut(text.as_bytes(), &mut bytes) != Ok($len)
                {
                    return Err(ParseHexError(2 * $len));
                }
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; 2 * $len];
                HEXLOWER.encode_mut(&self.0, &mut text);
                f.write_str(core::str::from_utf8(&text).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut text = [0; 2 * $len];
                HEXLOWER.encode_mut(&self.0, &mut text);
                serializer.serialize_str(core::str::from_utf8(&text).unwrap_or_default())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Hex;
                impl de::Visitor<'_> for Hex {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{} lower-case hexadecimal digits", 2 * $len)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::parse(text).map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Hex)
            }
        }
    };
}

hex_type!(
    /// BLAKE3 of a whole file; 64 lower-case hexadecimal digits on the wire.
    Digest,
    32
);
hex_type!(
    /// The chaining value of one part; 64 lower-case hexadecimal digits on the wire.
    Cv,
    32
);
hex_type!(
    /// Names an open upload, unguessably; 32 lower-case hexadecimal digits on the wire.
    Token,
    16
);

impl Digest {
    /// The digest of bytes that are all in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The digest as text, as `b3sum` prints it.
    #[must_use]
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }
}

/// The digest of a file that arrives in pieces.
#[derive(Debug, Clone, Default)]
pub struct FileHasher(blake3::Hasher);

impl FileHasher {
    /// Starts at the first byte of a file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes taken.
    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// The cutting of a large file into parts.
///
/// Invariant: at least two parts and at most [`MAX_PARTS`], each a power of two of 1 KiB chunks and
/// at most [`MAX_BODY_LEN`] long. blake3 panics on other subtrees, so every hasher of a part is made
/// from one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    size: u64,
    part_size: u64,
}

/// A size, an offset or a length doesn't fit the parts of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// Not a power of two from [`CHUNK_LEN`] to [`MAX_BODY_LEN`].
    #[error("part size {0} is not a power of two from {CHUNK_LEN} to {MAX_BODY_LEN}")]
    PartSize(u64),
    /// The file fits one part: it is a `put`.
    #[error("a file of {0} bytes fits one part and is sent with `put`")]
    OnePart(u64),
    /// The file has more parts than [`MAX_PARTS`].
    #[error("a file of {0} bytes has more than {MAX_PARTS} parts")]
    TooManyParts(u64),
    /// The offset is not the start of a part of this file.
    #[error("offset {0} is not the start of a part")]
    Offset(u64),
    /// The length is not that of the part at this offset.
    #[error("part at {offset} has {expected} bytes, not {got}")]
    Length {
        /// Offset of the part.
        offset: u64,
        /// Length that the peer sent.
        got: u64,
        /// Length of the part by the geometry.
        expected: u64,
    },
}

impl Geometry {
    /// Checks that a file of `size` bytes can be cut into parts of `part_size` bytes.
    ///
    /// # Errors
    /// If the part size is not allowed, or the file has fewer than two or too many parts.
    pub fn new(size: u64, part_size: u64) -> Result<Self, GeometryError> {
        if !part_size.is_power_of_two() || !(CHUNK_LEN..=MAX_BODY_LEN).contains(&part_size) {
            return Err(GeometryError::PartSize(part_size));
        }
        if size <= part_size {
            return Err(GeometryError::OnePart(size));
        }
        if size > MAX_PARTS * part_size {
            return Err(GeometryError::TooManyParts(size));
        }
        Ok(Self { size, part_size })
    }

    /// Bytes of the whole file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of every part but the last, which may be shorter.
    #[must_use]
    pub fn part_size(&self) -> u64 {
        self.part_size
    }

    /// Number of parts, 2 to [`MAX_PARTS`].
    #[must_use]
    pub fn parts(&self) -> usize {
        usize::try_from(self.size.div_ceil(self.part_size)).unwrap_or(usize::MAX)
    }

    /// The bytes of part `index`, or `None` past the end.
    #[must_use]
    pub fn range(&self, index: usize) -> Option<Range<u64>> {
        let start = u64::try_from(index).ok()?.checked_mul(self.part_size)?;
        (start < self.size).then(|| start..self.size.min(start + self.part_size))
    }

    /// The number of the part at an offset and of a length that a peer has sent.
    ///
    /// # Errors
    /// If offset and length are not those of one part.
    pub fn locate(&self, offset: u64, len: u64) -> Result<usize, GeometryError> {
        let index = offset / self.part_size;
        let range = usize::try_from(index).ok().and_then(|index| self.range(index));
        let (Some(range), Ok(index)) = (range, usize::try_from(index)) else {
            return Err(GeometryError::Offset(offset));
        };
        if range.start != offset {
            return Err(GeometryError::Offset(offset));
        }
        let expected = range.end - range.start;
        if len != expected {
            return Err(GeometryError::Length { offset, got: len, expected });
        }
        Ok(index)
    }

    /// A hasher for part `index`, or `None` past the end.
    #[must_use]
    pub fn hasher(&self, index: usize) -> Option<PartHasher> {
        let range = self.range(index)?;
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(range.start);
        Some(PartHasher { hasher, missing: range.end - range.start })
    }
}

/// The chaining value of a part that arrives in pieces.
///
/// Invariant: never gives blake3 more bytes than the part has.
#[derive(Debug, Clone)]
pub struct PartHasher {
    hasher: blake3::Hasher,
    missing: u64,
}

impl PartHasher {
    /// Takes the next bytes; returns `false`, and takes none, if they go past the part's end.
    #[must_use]
    pub fn update(&mut self, bytes: &[u8]) -> bool {
        let Some(missing) = self.missing.checked_sub(bytes.len() as u64) else {
            return false;
        };
        self.missing = missing;
        self.hasher.update(bytes);
        true
    }

    /// The chaining value, or `None` while bytes are missing.
    #[must_use]
    pub fn finish(&self) -> Option<Cv> {
        (self.missing == 0).then(|| Cv(self.hasher.finalize_non_root()))
    }
}

/// Merges the chaining values of all parts of a file, in order, into the file's digest: pairwise,
/// an odd one at the end moves up a level unchanged.
///
/// Returns `None` for fewer than two, which no [`Geometry`] has.
#[must_use]
pub fn merge(cvs: &[Cv]) -> Option<Digest> {
    let mut level: Vec<[u8; 32]> = cvs.iter().map(|cv| cv.0).collect();
    while level.len() > 2 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => merge_subtrees_non_root(left, right, Mode::Hash),
                [odd, ..] => *odd,
                [] => [0; 32],
            })
            .collect();
    }
    let [left, right] = level[..] else {
        return None;
    };
    Some(Digest(*merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()))
}
