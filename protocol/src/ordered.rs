//! The digest of a file whose bytes come in order, in as many pieces and over as much time as it takes: nobody knows the
//! size of the file before its last byte.

use alloc::vec::Vec;

use blake3::hazmat::HasherExt;

use crate::digest::{Cv, Digest, GeometryError, merge};
use crate::limits::{CHUNK_LEN, MAX_BODY_LEN};

/// Hashes a file from its first byte to its last, in parts of one size.
///
/// The chaining values of whole parts, and that of the bytes behind them, are all that has to be kept to go on later: with
/// them, [`behind`](Self::behind) goes on where an earlier hasher has stopped.
///
/// ```
/// use haul_protocol::{Digest, OrderedHasher};
/// let mut hasher = OrderedHasher::new(1024).unwrap();
/// let bytes = [7; 3000];
/// let mut rest = &bytes[..];
/// let mut whole = 0;
/// while !rest.is_empty() {
///     whole += usize::from(hasher.update(&mut rest).is_some());
/// }
/// assert_eq!((whole, hasher.len()), (2, 3000));
/// assert_eq!(hasher.finish(), Some(Digest::of(&bytes)));
/// ```
///
/// Invariant: blake3 gets no more bytes of a part than the part has, and each part is a subtree that blake3 can have.
#[derive(Debug, Clone)]
pub struct OrderedHasher {
    part_size: u64,
    /// The whole parts.
    cvs: Vec<Cv>,
    /// The present part; behind the last byte of a part, that part until the next byte comes: if it is the only one of the
    /// file, its digest is not its chaining value.
    hasher: blake3::Hasher,
    /// Bytes that the hasher has taken.
    taken: u64,
}

impl OrderedHasher {
    /// Before the first byte of a file, in parts of this size.
    ///
    /// # Errors
    /// If there can be no parts of this size.
    pub fn new(part_size: u64) -> Result<Self, GeometryError> {
        if !part_size.is_power_of_two() || !(CHUNK_LEN..=MAX_BODY_LEN).contains(&part_size) {
            return Err(GeometryError::PartSize(part_size));
        }
        Ok(Self { part_size, cvs: Vec::new(), hasher: blake3::Hasher::new(), taken: 0 })
    }

    /// Behind the whole parts of these chaining values. `None`: there is one only, whose bytes have to be taken again,
    /// because the digest of a file of one part needs them.
    ///
    /// # Errors
    /// If there can be no parts of this size.
    pub fn behind(part_size: u64, cvs: Vec<Cv>) -> Result<Option<Self>, GeometryError> {
        let mut new = Self::new(part_size)?;
        if cvs.len() == 1 {
            return Ok(None);
        }
        new.cvs = cvs;
        new.begin_part();
        Ok(Some(new))
    }

    /// Bytes of a whole part.
    #[must_use]
    pub fn part_size(&self) -> u64 {
        self.part_size
    }

    /// Bytes of the file so far.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "it is about a file, which may be empty when it is whole"
    )]
    pub fn len(&self) -> u64 {
        self.before() + if self.taken == self.part_size { 0 } else { self.taken }
    }

    /// The number of whole parts.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.cvs.len()
    }

    /// Takes bytes from the front of `bytes`, up to the end of the present part. If the part is whole then, returns its
    /// number and its chaining value.
    pub fn update(&mut self, bytes: &mut &[u8]) -> Option<(usize, Cv)> {
        if bytes.is_empty() {
            return None;
        }
        if self.taken == self.part_size {
            self.begin_part();
        }
        let room = self.part_size - self.taken;
        let len = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
        let (part, rest) = bytes.split_at(len);
        *bytes = rest;
        self.hasher.update(part);
        self.taken += len as u64;
        if self.taken < self.part_size {
            return None;
        }
        let cv = Cv(self.hasher.finalize_non_root());
        self.cvs.push(cv);
        Some((self.cvs.len() - 1, cv))
    }

    /// The chaining value of the bytes behind the last whole part; `None` if there are none.
    #[must_use]
    pub fn tail(&self) -> Option<Cv> {
        let is_within = self.taken > 0 && self.taken < self.part_size;
        is_within.then(|| Cv(self.hasher.finalize_non_root()))
    }

    /// The digest of the file, if all of its bytes have come.
    #[must_use]
    pub fn finish(&self) -> Option<Digest> {
        match (&self.cvs[..], self.tail()) {
            ([], _) | ([_], None) => Some(Digest(*self.hasher.finalize().as_bytes())),
            (cvs, None) => merge(cvs),
            (cvs, Some(tail)) => {
                let all: Vec<Cv> = cvs.iter().copied().chain([tail]).collect();
                merge(&all)
            }
        }
    }

    /// Bytes of memory of the chaining values.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.cvs.capacity() * size_of::<Cv>()
    }

    /// Bytes of the whole parts.
    fn before(&self) -> u64 {
        self.cvs.len() as u64 * self.part_size
    }

    fn begin_part(&mut self) {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(self.before());
        (self.hasher, self.taken) = (hasher, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: u64 = 1024;

    fn hashed(bytes: &[u8], pieces: usize) -> OrderedHasher {
        let mut hasher = OrderedHasher::new(PART).unwrap();
        for mut piece in bytes.chunks(pieces) {
            while !piece.is_empty() {
                hasher.update(&mut piece);
            }
        }
        hasher
    }

    #[test]
    fn digest_is_that_of_the_file_whatever_its_size_and_its_pieces_are() {
        let bytes: Vec<u8> = (0..9000_u32).map(|at| (at % 251) as u8).collect();
        for size in [0, 1, 1023, 1024, 1025, 2048, 2049, 3072, 5000, 8192, 9000] {
            for pieces in [1, 700, 1024, 4096] {
                let hasher = hashed(&bytes[..size], pieces);
                assert_eq!(hasher.len(), size as u64);
                assert_eq!(hasher.finish(), Some(Digest::of(&bytes[..size])), "{size}");
            }
        }
    }

    #[test]
    fn hasher_that_goes_on_behind_whole_parts_is_the_same() {
        let bytes: Vec<u8> = (0..9000_u32).map(|at| (at % 251) as u8).collect();
        for parts in [0, 1, 2, 3, 7, 8] {
            let cvs = hashed(&bytes[..parts * 1024], 500).cvs;
            let Some(mut hasher) = OrderedHasher::behind(PART, cvs).unwrap() else {
                assert_eq!(parts, 1, "the only part of a file has to be hashed again");
                continue;
            };
            assert_eq!((hasher.len(), hasher.tail()), (parts as u64 * 1024, None));
            let mut rest = &bytes[parts * 1024..];
            while !rest.is_empty() {
                hasher.update(&mut rest);
            }
            assert_eq!(hasher.finish(), Some(Digest::of(&bytes)));
            assert_eq!(hasher.tail(), hashed(&bytes, 9000).tail());
        }
    }

    #[test]
    fn there_are_no_parts_of_a_size_that_blake3_can_not_have() {
        for size in [0, 1, 512, 1000, 1536, 16 << 20] {
            assert!(
                OrderedHasher::new(size).is_err()
                    && OrderedHasher::behind(size, Vec::new()).is_err()
            );
        }
    }
}
