//! Percent-encoding (RFC 3986, section 2.1), as addresses, queries and forms have it.

/// A byte of a text, decoded once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// It stands there as itself.
    Plain(u8),
    /// It was encoded.
    Encoded(u8),
    /// A `%` that encodes nothing.
    Odd,
}

/// The bytes of a text.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = Piece> {
    let mut bytes = text.bytes();
    std::iter::from_fn(move || {
        let byte = bytes.next()?;
        if byte != b'%' {
            return Some(Piece::Plain(byte));
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit().zip(digit()).and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        Some(value.map_or(Piece::Odd, Piece::Encoded))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_decoded_once() {
        let read = |text| pieces(text).collect::<Vec<_>>();
        assert_eq!(
            read("a%2F%25b"),
            [Piece::Plain(b'a'), Piece::Encoded(b'/'), Piece::Encoded(b'%'), Piece::Plain(b'b')]
        );
        for odd in ["%", "%2", "%zz", "%2x"] {
            assert!(read(odd).contains(&Piece::Odd), "{odd}");
        }
        assert!(read("").is_empty());
    }
}
