//! Base32 of RFC 4648 in lower case and without padding: letters and digits that nobody takes for one another.

use alloc::string::String;

use data_encoding::BASE32_NOPAD;

/// The bytes as `a` to `z` and `2` to `7`, five bits a letter.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = BASE32_NOPAD.encode(bytes);
    text.make_ascii_lowercase();
    text
}

/// Whether the letter is one of the alphabet, in lower case.
pub(crate) fn is_letter(letter: u8) -> bool {
    matches!(letter, b'a'..=b'z' | b'2'..=b'7')
}

/// Writes the bytes of lower-case letters into `out`, whose length must be theirs. Returns `false` if one is none of the
/// alphabet, or if bits behind the last byte are not zero.
pub(crate) fn decode(letters: &mut [u8], out: &mut [u8]) -> bool {
    if !letters.iter().all(|letter| is_letter(*letter)) {
        return false;
    }
    letters.make_ascii_uppercase();
    BASE32_NOPAD.decode_len(letters.len()) == Ok(out.len())
        && BASE32_NOPAD.decode_mut(letters, out) == Ok(out.len())
}
