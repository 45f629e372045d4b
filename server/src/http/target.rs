//! The target of a request: decoded once, and then a name by the rules of the protocol or nothing.

use haul_protocol::{Name, NameError};

use super::percent::{Piece, pieces};
use super::status::{Status, Wrong};

/// The address of the network drive.
const DRIVE: &str = ".haul/dav";

/// The entry that a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The name; `None`: the root.
    pub(crate) name: Option<Name>,
    /// It is that of the network drive, where requests do just what WebDAV says.
    pub(crate) is_drive: bool,
    /// It ends with a slash, so a directory is meant. The root always is.
    pub(crate) is_directory: bool,
    /// The part behind the question mark.
    pub(crate) query: String,
    /// The authority, if the target is a whole address.
    pub(crate) authority: Option<String>,
}

impl Target {
    /// Reads a target, or the value of `Destination`: a path, or a whole address.
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        let Parts { authority, raw, query, path } = Parts::of(text)?;
        let (path, is_drive) = match below_drive(&path) {
            Some(path) => (path, true),
            None => (&path[..], false),
        };
        let is_root = raw.is_empty() || is_drive && path.is_empty();
        let (path, is_directory) = match path.strip_suffix(b"/") {
            Some(path) => (path, true),
            None => (path, is_root),
        };
        let name = match is_root {
            true => None,
            false => Some(Name::parse(path).map_err(|error| match error {
                NameError::Reserved => reserved(),
                NameError::Dots => Wrong::bad("the address has . or .. in it"),
                NameError::EmptyComponent | NameError::Absolute | NameError::TrailingSlash => {
                    Wrong::bad("the address has // in it")
                }
                _ => Wrong::bad("the address is no name that this server can have"),
            })?),
        };
        Ok(Self { name, is_drive, is_directory, query: query.to_owned(), authority })
    }

    /// An address of something that is changed has no query: who meant a name with a question mark would change another entry.
    pub(crate) fn has_no_query(&self) -> Result<(), Wrong> {
        match self.query.is_empty() {
            true => Ok(()),
            false => Err(Wrong::bad("the address has a query; a ? of a name is written as %3F")),
        }
    }

    /// Whether the query has this word.
    pub(crate) fn asks_for(&self, word: &str) -> bool {
        self.query.split('&').any(|part| part == word || part.split('=').next() == Some(word))
    }
}

/// The part behind the address of the network drive.
pub(super) fn below_drive(path: &[u8]) -> Option<&[u8]> {
    match path.strip_prefix(DRIVE.as_bytes())? {
        [] => Some(b""),
        [b'/', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// The address of an entry; `None`: of the root.
pub(crate) fn address(is_drive: bool, name: Option<&Name>, is_directory: bool) -> String {
    let mut there = String::from("/");
    if is_drive {
        there.push_str(DRIVE);
        there.push('/');
    }
    if let Some(name) = name {
        encode(name.as_bytes(), &mut there);
        if is_directory {
            there.push('/');
        }
    }
    there
}

/// The parts of an address, whoever it belongs to.
pub(super) struct Parts<'a> {
    pub(super) authority: Option<String>,
    /// The path as it came, without the slash at its begin.
    raw: &'a str,
    pub(super) query: &'a str,
    /// The path, decoded.
    pub(super) path: Vec<u8>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(text: &'a str) -> Result<Self, Wrong> {
        let (authority, path) = match text.strip_prefix('/') {
            Some(path) => (None, path),
            None => absolute(text)?,
        };
        if path.contains('#') {
            return Err(Wrong::bad("the address has a fragment"));
        }
        let (raw, query) = path.split_once('?').unwrap_or((path, ""));
        Ok(Self { authority, raw, query, path: decode(raw)? })
    }
}

/// No entry has such a name, and the server has nothing of its own there.
pub(crate) fn reserved() -> Wrong {
    Wrong::new(Status::NOT_FOUND, "names below .haul are the server's own")
}

/// The authority and the path of a whole address.
fn absolute(text: &str) -> Result<(Option<String>, &str), Wrong> {
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let (begin, rest) = text.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let rest = rest.ok_or(Wrong::bad("the address does not begin with a slash"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    Ok((Some(authority.to_owned()), path))
}

/// Decodes each `%XX` once.
fn decode(path: &str) -> Result<Vec<u8>, Wrong> {
    let decoded = pieces(path).map(|piece| match piece {
        Piece::Encoded(0 | b'/') => Err(Wrong::bad("the address has an encoded slash or NUL")),
        Piece::Plain(byte) | Piece::Encoded(byte) => Ok(byte),
        Piece::Odd => Err(odd()),
    });
    decoded.collect()
}

/// The error about a `%` that encodes nothing.
pub(super) fn odd() -> Wrong {
    Wrong::bad("the address has a % that encodes nothing")
}

/// Encodes a name, or a part of one, so that it reads back: slashes stay.
pub(crate) fn encode(name: &[u8], out: &mut String) {
    for byte in name {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(*byte));
            }
            _ => {
                out.push('%');
                let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value & 15)]);
                out.extend([digit(byte >> 4), digit(*byte)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Option<Name> {
        Some(Name::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn entries_have_an_address_of_the_network_drive_too() {
        for (text, expected, is_directory) in [
            ("/.haul/dav", None, true),
            ("/.haul/dav/", None, true),
            ("/.haul/dav/a%20b", name("a b"), false),
            ("http://h/%2ehaul/dav/a/b/?json", name("a/b"), true),
        ] {
            let target = Target::parse(text).unwrap();
            let found = (target.is_drive, &target.name, target.is_directory);
            assert_eq!(found, (true, &expected, is_directory), "{text}");
            assert_eq!(
                Target::parse(&address(true, expected.as_ref(), is_directory)).unwrap().name,
                expected
            );
        }
        for (text, status) in [
            ("/.haul/davx/a", Status::NOT_FOUND),
            ("/.haul/dav/.haul/x", Status::NOT_FOUND),
            ("/.haul/dav/.haul/dav/x", Status::NOT_FOUND),
            ("/.haul/dav//a", Status::BAD),
            ("/.haul/dav/../a", Status::BAD),
        ] {
            assert_eq!(Target::parse(text).unwrap_err().status, status, "{text}");
        }
        assert_eq!(address(false, name("a/ü").as_ref(), true), "/a/%C3%BC/");
        assert_eq!(address(false, None, true), "/");
    }

    #[test]
    fn targets_are_decoded_once_and_are_names_of_the_protocol() {
        for (text, expected, is_directory, query) in [
            ("/", None, true, ""),
            ("/?json", None, true, "json"),
            ("/a", name("a"), false, ""),
            ("/a/", name("a"), true, ""),
            ("/a/b.txt?x=1", name("a/b.txt"), false, "x=1"),
            ("/a%20b", name("a b"), false, ""),
            ("/a%2520b", name("a%20b"), false, ""),
            ("/%C3%BC%2e", name("ü."), false, ""),
            ("/.haulrc", name(".haulrc"), false, ""),
            ("/a/.haul", name("a/.haul"), false, ""),
            ("http://h/a", name("a"), false, ""),
            ("HTTPS://h:1/a/?json", name("a"), true, "json"),
            ("http://h", None, true, ""),
        ] {
            let target = Target::parse(text).unwrap();
            let read = (target.name, target.is_directory, &*target.query);
            assert_eq!(read, (expected, is_directory, query), "{text}");
        }
        assert_eq!(Target::parse("http://h:1/a").unwrap().authority.as_deref(), Some("h:1"));
        let asks = |text| Target::parse(text).unwrap().asks_for("json");
        assert!(asks("/?json") && asks("/?a&json=1") && !asks("/?jsonp") && !asks("/json"));
    }

    #[test]
    fn targets_that_could_name_anything_else_are_refused() {
        for text in [
            "",
            "*",
            "a",
            "h:80",
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/..",
            "/../a",
            "/a/../b",
            "/a/..",
            "/./a",
            "/%2e%2e/a",
            "/%2E./a",
            "/a%2fb",
            "/a%2Fb",
            "/%00",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a#b",
            "ftp://h/a",
            &format!("/{}", "a".repeat(256)),
            &format!("/{}", "a/".repeat(3000)),
        ] {
            assert_eq!(Target::parse(text).unwrap_err().status, Status::BAD, "{text}");
        }
        for text in ["/.haul", "/.haul/", "/.haul/staged/x", "/.HAUL/tus", "/%2ehaul/x"] {
            assert_eq!(Target::parse(text).unwrap_err().status, Status::NOT_FOUND, "{text}");
        }
    }

    proptest! {
        /// No target makes the parser panic, or is a name that the protocol does not have.
        #[test]
        fn any_target_is_a_name_or_refused(text in "[ -~]{0,40}") {
            if let Ok(Target { name: Some(name), .. }) = Target::parse(&text) {
                prop_assert_eq!(Name::parse(name.as_bytes()), Ok(name));
            }
        }

        #[test]
        fn encoded_name_reads_back(bytes in prop::collection::vec(any::<u8>(), 1..40)) {
            if let Ok(name) = Name::parse(&bytes) {
                let mut text = String::from("/");
                encode(name.as_bytes(), &mut text);
                prop_assert_eq!(Target::parse(&text).unwrap().name, Some(name));
            }
        }
    }
}
