//! `application/x-www-form-urlencoded`, as the login's form sends it.

use zeroize::Zeroizing;

use crate::http::percent::{Piece, pieces};

/// The value of a field, decoded; `None`: there is none, or it is no text.
pub(crate) fn value(body: &[u8], name: &str) -> Option<Zeroizing<String>> {
    let text = std::str::from_utf8(body).ok()?;
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.into_iter().find(|(found, _)| *found == name)?.1;
    let mut decoded = Zeroizing::new(Vec::with_capacity(value.len()));
    for piece in pieces(value) {
        decoded.push(match piece {
            Piece::Plain(b'+') => b' ',
            Piece::Plain(byte) | Piece::Encoded(byte) => byte,
            Piece::Odd => return None,
        });
    }
    std::str::from_utf8(&decoded).ok().map(|text| Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_once() {
        let body = b"token=haul_a-_b&to=%2Fa%2520b+c%C3%BC&odd=%2&bad=%ff&empty=";
        let value = |name| value(body, name).map(|text| text.to_string());
        assert_eq!(value("token").as_deref(), Some("haul_a-_b"));
        assert_eq!(value("to").as_deref(), Some("/a%20b cü"));
        assert_eq!(value("empty").as_deref(), Some(""));
        for none in ["odd", "bad", "other", ""] {
            assert_eq!(value(none), None, "{none}");
        }
    }
}
