//! Names below a server's root, and targets of symbolic links.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use crate::error::NameError;
use crate::limits::{MAX_COMPONENT_LEN, MAX_LINK_LEN, MAX_NAME_LEN};
use crate::shown::ShownBytes;

/// The first component under which a server keeps its own files.
const RESERVED: &[u8] = b".haul";

/// The name of a file, directory or link below a server's root.
///
/// Invariant: relative, `/`-separated, 1 to 4,096 bytes, components of 1 to 255 bytes, none of them
/// `.` or `..`, no NUL, first component not `.haul` in any case. Bytes need not be UTF-8.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Parses a name once; code that holds a `Name` checks nothing again.
    ///
    /// # Errors
    /// Says which rule the bytes break.
    ///
    /// ```
    /// use haul_protocol::{Name, NameError};
    /// assert_eq!(Name::parse(b"a/b.txt").unwrap().split(), (&b"a"[..], &b"b.txt"[..]));
    /// assert_eq!(Name::parse(b"../b.txt"), Err(NameError::Dots));
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Self, NameError> {
        check(bytes)?;
        Ok(Self(bytes.into()))
    }

    /// The bytes as sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The number of directories above it, at most some two thousand.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.as_bytes().iter().filter(|byte| **byte == b'/').count()
    }

    /// The directory part (empty at the top level; itself a valid name otherwise) and the last
    /// component.
    #[must_use]
    pub fn split(&self) -> (&[u8], &[u8]) {
        match self.0.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (&self.0[..slash], &self.0[slash + 1..]),
            None => (&[], &self.0),
        }
    }

    /// The name of an entry inside this directory.
    ///
    /// # Errors
    /// As [`Name::parse`] of the two joined by a slash.
    pub fn join(&self, rest: &[u8]) -> Result<Self, NameError> {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + rest.len());
        bytes.extend_from_slice(&self.0);
        bytes.push(b'/');
        bytes.extend_from_slice(rest);
        check(&bytes)?;
        Ok(Self(bytes.into()))
    }
}

/// The rules of a name.
fn check(bytes: &[u8]) -> Result<(), NameError> {
    if bytes.is_empty() {
        return Err(NameError::Empty);
    }
    if bytes.len() > MAX_NAME_LEN {
        return Err(NameError::TooLong(bytes.len()));
    }
    if bytes.contains(&0) {
        return Err(NameError::Nul);
    }
    if bytes.starts_with(b"/") {
        return Err(NameError::Absolute);
    }
    if bytes.ends_with(b"/") {
        return Err(NameError::TrailingSlash);
    }
    for (index, component) in bytes.split(|&byte| byte == b'/').enumerate() {
        match component {
            b"" => return Err(NameError::EmptyComponent),
            b"." | b".." => return Err(NameError::Dots),
            _ if component.len() > MAX_COMPONENT_LEN => {
                return Err(NameError::ComponentTooLong(component.len()));
            }
            _ if index == 0 && component.eq_ignore_ascii_case(RESERVED) => {
                return Err(NameError::Reserved);
            }
            _ => {}
        }
    }
    Ok(())
}

impl fmt::Display for Name {
    /// Quotes control characters and bytes that are not UTF-8, so that a name never garbles a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.0, f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// The path that a symbolic link points to, stored as it is and never followed.
///
/// Invariant: 1 to 4,095 bytes, no NUL.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LinkTarget(Box<[u8]>);

impl LinkTarget {
    /// Checks the bytes of a link.
    ///
    /// # Errors
    /// [`NameError::LinkTarget`] if they are none, too many or contain NUL.
    pub fn parse(bytes: &[u8]) -> Result<Self, NameError> {
        if bytes.is_empty() || bytes.len() > MAX_LINK_LEN || bytes.contains(&0) {
            return Err(NameError::LinkTarget);
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes as sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for LinkTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkTarget(")?;
        show(&self.0, f)?;
        f.write_str(")")
    }
}

fn show(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    fmt::Display::fmt(&ShownBytes(bytes), f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn every_rule_is_refused_by_its_own_error() {
        let long = vec![b'a'; 256];
        let longest: alloc::vec::Vec<u8> = b"ab/".iter().copied().cycle().take(4097).collect();
        let cases: [(&[u8], NameError); 15] = [
            (b"", NameError::Empty),
            (b"/a", NameError::Absolute),
            (b"/", NameError::Absolute),
            (b"a/", NameError::TrailingSlash),
            (b"a//b", NameError::EmptyComponent),
            (b".", NameError::Dots),
            (b"..", NameError::Dots),
            (b"a/../b", NameError::Dots),
            (b"./a", NameError::Dots),
            (b"a\0b", NameError::Nul),
            (b".haul", NameError::Reserved),
            (b".haul/lock", NameError::Reserved),
            (b".HAUL/lock", NameError::Reserved),
            (&long, NameError::ComponentTooLong(256)),
            (&longest, NameError::TooLong(4097)),
        ];
        for (bytes, error) in cases {
            assert_eq!(Name::parse(bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn unusual_names_are_names() {
        for bytes in [
            &b"..."[..],
            b"..a",
            b"a/.haul",
            b".hauls",
            b"a\\b",
            b"\xff\xfe",
            b"-rf",
            b"a\nb",
            b" ",
        ] {
            assert_eq!(Name::parse(bytes).unwrap().as_bytes(), bytes);
        }
        assert!(Name::parse(&vec![b'a'; 255]).is_ok());
    }

    #[test]
    fn display_quotes_what_would_garble_a_terminal() {
        let name = Name::parse(b"a\x1b[2J\n\xff").unwrap();
        assert_eq!(alloc::format!("{name}"), "a\\u{1b}[2J\\n\u{fffd}");
    }
}
