//! `Content-Digest` and `Repr-Digest` (RFC 9530): the digests that a client states of the bytes that it sends.

use data_encoding::BASE64;

use super::head::{Field, Head};
use super::status::Wrong;

/// An algorithm that can be checked. All others are passed over, as the standard has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Sha256,
    Sha512,
}

/// A stated digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stated {
    pub(crate) algorithm: Algorithm,
    pub(crate) value: Vec<u8>,
}

impl Algorithm {
    fn parse(key: &str) -> Option<Self> {
        match key {
            "sha-256" => Some(Self::Sha256),
            "sha-512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Bytes of a digest.
    fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// The digests that a head states of the bytes behind it. Nothing is encoded here, so both fields are about the same bytes.
pub(crate) fn stated(head: &Head) -> Result<Vec<Stated>, Wrong> {
    let mut all: Vec<Stated> = Vec::new();
    for field in [Field::ContentDigest, Field::ReprDigest] {
        let members = head.field(field).into_iter().flat_map(|members| members.split(','));
        for member in members {
            let member = member.trim_matches([' ', '\t']);
            let (key, value) = member.split_once('=').unwrap_or((member, ""));
            // A digest that is not understood would be one that is not checked.
            if !is_key(key) {
                return Err(Wrong::bad("a stated digest that is none"));
            }
            let Some(algorithm) = Algorithm::parse(key) else { continue };
            let value = value.split(';').next().unwrap_or_default();
            let value = value.strip_prefix(':').and_then(|value| value.strip_suffix(':'));
            let value = value.and_then(|value| BASE64.decode(value.as_bytes()).ok());
            let value = value.filter(|value| value.len() == algorithm.len());
            let value = value.ok_or(Wrong::bad("a stated digest that is none"))?;
            match all.iter().find(|known| known.algorithm == algorithm) {
                Some(known) if known.value == value => {}
                Some(_) => return Err(Wrong::bad("two stated digests that differ")),
                None => all.push(Stated { algorithm, value }),
            }
        }
    }
    Ok(all)
}

/// Whether this may be the name of an algorithm: a key of a dictionary (RFC 8941, section 3.1.2).
fn is_key(text: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_lowercase() || byte == b'*';
    let may_be = |byte: u8| is_first(byte) || byte.is_ascii_digit() || b"_-.".contains(&byte);
    text.bytes().next().is_some_and(is_first) && text.bytes().all(may_be)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &str) -> Result<Vec<Algorithm>, Wrong> {
        let text = format!("PUT /a HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let stated = stated(&Head::parse(text.as_bytes()).unwrap())?;
        Ok(stated.into_iter().map(|stated| stated.algorithm).collect())
    }

    #[test]
    fn known_digests_are_read_and_others_passed_over() {
        use Algorithm::{Sha256, Sha512};
        let (one, other) = (BASE64.encode(&[1; 32]), BASE64.encode(&[2; 32]));
        let long = BASE64.encode(&[3; 64]);
        assert_eq!(of(""), Ok(vec![]));
        assert_eq!(of(&format!("Content-Digest: sha-256=:{one}:\r\n")), Ok(vec![Sha256]));
        let both = format!("Repr-Digest: md5=:AAAA:, sha-512=:{long}:;x=1,sha-256=:{one}:\r\n");
        assert_eq!(of(&both), Ok(vec![Sha512, Sha256]));
        let twice = format!("Content-Digest: sha-256=:{one}:\r\nRepr-Digest: sha-256=:{one}:\r\n");
        assert_eq!(of(&twice), Ok(vec![Sha256]));
        let differ =
            format!("Content-Digest: sha-256=:{one}:\r\nRepr-Digest: sha-256=:{other}:\r\n");
        for wrong in [
            &*differ,
            "Content-Digest: sha-256=:AAAA:\r\n",
            "Content-Digest: sha-256\r\n",
            "Content-Digest: SHA-256=:AAAA:\r\n",
            "Content-Digest: sha-256 = :AAAA:\r\n",
            "Content-Digest: \r\n",
            "Content-Digest: md5=:AAAA:,\r\n",
            &format!("Content-Digest: sha-256={one}\r\n"),
            &format!("Content-Digest: sha-512=:{one}:\r\n"),
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
