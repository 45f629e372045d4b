//! A set of small numbers as bits: parts held, or entries that differ.

use alloc::vec::Vec;

/// Bit `i` is bit `i mod 8`, counted from the least significant, of byte `i / 8`.
///
/// Bits past the last byte are 0, so a body without bytes is the empty set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bitmap(Vec<u8>);

impl Bitmap {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the bytes of a body.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Adds `index`; the bitmap grows to hold it, so check an index that a peer sent first.
    pub fn set(&mut self, index: usize) {
        if self.0.len() <= index / 8 {
            self.0.resize(index / 8 + 1, 0);
        }
        self.0[index / 8] |= 1 << (index % 8);
    }

    /// Whether `index` is in the set.
    #[must_use]
    pub fn get(&self, index: usize) -> bool {
        self.0.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    /// The bytes of a body.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_count_from_the_least_significant() {
        let mut bitmap = Bitmap::new();
        bitmap.set(0);
        bitmap.set(9);
        assert_eq!(bitmap.as_bytes(), [1, 2]);
        assert!(bitmap.get(0) && bitmap.get(9));
        assert!(!bitmap.get(1) && !bitmap.get(1000));
    }
}
