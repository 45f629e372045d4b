//! Contents of large files. A test is built without optimisation, so it makes a pattern byte by byte, and the rest in blocks.

/// So many bytes of a pattern that is repeated.
#[must_use]
pub fn repeated(pattern: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = pattern.repeat(len.div_ceil(pattern.len()));
    bytes.truncate(len);
    bytes
}

/// So many bytes, from 0 to 250 again and again: parts of a file differ, since none has a multiple of 251 bytes.
#[must_use]
pub fn counted(len: usize) -> Vec<u8> {
    let pattern: Vec<u8> = (0..=250).collect();
    repeated(&pattern, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_pattern_to_the_last() {
        let expected: Vec<u8> = (0..=250).cycle().take(1000).collect();
        assert_eq!(counted(1000), expected);
        assert_eq!(repeated(b"abc", 7), b"abcabca");
        assert_eq!(repeated(b"abc", 0), b"");
    }
}
