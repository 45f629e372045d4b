//! Bytes of a secret in a buffer that grows.

use alloc::vec::Vec;

use zeroize::Zeroize;

/// Appends bytes. If the buffer has no room for them, its memory is overwritten before it is given back: a buffer that grows by
/// itself would leave a copy of the secret behind.
///
/// ```
/// let mut held = b"haul_".to_vec();
/// haul_protocol::append_wiped(&mut held, b"a4dqobyh");
/// assert_eq!(held, b"haul_a4dqobyh");
/// ```
pub fn append_wiped(held: &mut Vec<u8>, bytes: &[u8]) {
    if held.capacity() - held.len() < bytes.len() {
        let needed = held.len() + bytes.len();
        let mut larger = Vec::with_capacity(needed.max(2 * held.capacity()));
        larger.extend_from_slice(held);
        held.zeroize();
        *held = larger;
    }
    held.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_grows_to_twice_its_room_and_keeps_its_bytes() {
        let (mut held, mut growths) = (Vec::new(), 0);
        for byte in 0..=255 {
            let before = held.capacity();
            append_wiped(&mut held, &[byte]);
            growths += usize::from(held.capacity() != before);
        }
        assert!(held.iter().copied().eq(0..=255) && growths <= 9, "{growths}");
        append_wiped(&mut held, &[7; 10_000]);
        assert_eq!((held.len(), held[10_255]), (10_256, 7));
    }
}
