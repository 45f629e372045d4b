//! `Content-Digest` and `Repr-Digest` (RFC 9530): the digests that a client states of the bytes that it sends, and those that it
//! wants of a file.

use data_encoding::BASE64;

use super::head::{Field, Head};
use super::status::Wrong;
use super::structured;

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

/// The digests that a head states of the bytes behind it, which are a whole file. Nothing is encoded here, so both fields are
/// about the same bytes.
pub(crate) fn stated(head: &Head) -> Result<Vec<Stated>, Wrong> {
    read(head, &[Field::ContentDigest, Field::ReprDigest])
}

/// The digests that a head states of the bytes behind it, which are a part of a file or, if `is_whole`, all of it. No digest of
/// the whole file is passed over: the server can't check one of bytes that come with several requests.
pub(crate) fn stated_of_part(head: &Head, is_whole: bool) -> Result<Vec<Stated>, Wrong> {
    if is_whole {
        return stated(head);
    }
    match read(head, &[Field::ReprDigest])?.is_empty() {
        true => read(head, &[Field::ContentDigest]),
        false => Err(Wrong::bad(
            "a Repr-Digest is checked if the whole file comes with its request; state a Content-Digest \
             with each request instead",
        )),
    }
}

/// The algorithm that a client likes best of those in which it wants the digest of a file, and which are known here.
pub(crate) fn wanted(head: &Head) -> Option<Algorithm> {
    let wanted = structured::numbers(head.field(Field::WantReprDigest)?);
    let known = wanted.into_iter().filter(|(_, liked)| (1..=10).contains(liked));
    let known = known.filter_map(|(key, liked)| Some((liked, Algorithm::parse(&key)?)));
    // Of two that it likes as much, the shorter one.
    known
        .max_by_key(|(liked, algorithm)| (*liked, *algorithm == Algorithm::Sha256))
        .map(|(_, it)| it)
}

/// A digest as the value of a field.
pub(crate) fn value(algorithm: Algorithm, digest: &[u8]) -> String {
    let key = match algorithm {
        Algorithm::Sha256 => "sha-256",
        Algorithm::Sha512 => "sha-512",
    };
    format!("{key}=:{}:", BASE64.encode(digest))
}

fn read(head: &Head, fields: &[Field]) -> Result<Vec<Stated>, Wrong> {
    let mut all: Vec<Stated> = Vec::new();
    for field in fields.iter().copied() {
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

    #[test]
    fn digest_of_a_whole_file_is_never_passed_over_with_a_part_of_it() {
        let digest = BASE64.encode(&[1; 32]);
        let part = |fields: &str, is_whole| {
            let text = format!("PATCH /a HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
            stated_of_part(&Head::parse(text.as_bytes()).unwrap(), is_whole).map(|all| all.len())
        };
        let (content, whole) = (
            format!("Content-Digest: sha-256=:{digest}:\r\n"),
            format!("Repr-Digest: sha-256=:{digest}:\r\n"),
        );
        assert_eq!((part(&content, false), part(&content, true)), (Ok(1), Ok(1)));
        assert_eq!(part(&whole, true), Ok(1));
        assert!(part(&whole, false).is_err());
        assert_eq!(part("Repr-Digest: md5=:AAAA:\r\n", false), Ok(0));
    }

    #[test]
    fn client_gets_the_digest_that_it_likes_best_of_those_that_are_known() {
        use Algorithm::{Sha256, Sha512};
        for (text, algorithm) in [
            ("sha-256=1", Some(Sha256)),
            ("sha-512=3, sha-256=10", Some(Sha256)),
            ("sha-512=10, sha-256=3", Some(Sha512)),
            ("sha-512=5, sha-256=5", Some(Sha256)),
            ("sha-256=0", None),
            ("sha-256=11", None),
            ("md5=9", None),
            ("sha-256", None),
            ("", None),
        ] {
            let text = format!("GET /a HTTP/1.1\r\nHost: h\r\nWant-Repr-Digest: {text}\r\n\r\n");
            assert_eq!(wanted(&Head::parse(text.as_bytes()).unwrap()), algorithm, "{text}");
        }
        assert_eq!(value(Sha256, &[0; 3]), "sha-256=:AAAA:");
    }
}
