//! Names of entries in a directory: those that a server may choose, and those that haul chooses for a while.

use std::ffi::{OsStr, OsString};
use std::io;

use haul_protocol::Digest;

use crate::error::FileError;
use crate::error::target::TargetError;
use crate::source::{ARRIVING, is_arriving};

/// The subject of a temporary name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// A file that is written whole.
    Whole,
    /// A file that arrives in parts, and is gone on with.
    Parts,
    /// A symlink, or a file that only tries the file system.
    Moment,
}

impl For {
    fn letter(self) -> char {
        match self {
            Self::Whole => 'w',
            Self::Parts => 'p',
            Self::Moment => 'm',
        }
    }
}

/// Checks that a name is one of an entry in a directory, and none of haul's own.
pub(super) fn single(component: &OsStr) -> Result<&OsStr, FileError> {
    match component.as_encoded_bytes() {
        b"" | b"." | b".." => Err(TargetError::Component.into()),
        bytes if bytes.contains(&b'/') || bytes.contains(&0) => Err(TargetError::Component.into()),
        _ if is_arriving(component) => Err(TargetError::Reserved.into()),
        _ => Ok(component),
    }
}

/// The temporary name of an entry that each run gives it.
pub(super) fn usual(purpose: For, component: &OsStr) -> OsString {
    let hash = Digest::of(component.as_encoded_bytes()).to_hex();
    format!("{ARRIVING}{}{}", purpose.letter(), &hash[..32]).into()
}

/// A temporary name that no other run gives to any entry.
pub(super) fn random(purpose: For, component: &OsStr) -> io::Result<OsString> {
    let mut number = [0; 8];
    getrandom::fill(&mut number).map_err(io::Error::other)?;
    let mut name = usual(purpose, component);
    name.push(format!("-{:016x}", u64::from_le_bytes(number)));
    Ok(name)
}

/// Whether a temporary name is that of parts which a later run may go on with.
pub(super) fn is_usual_of_parts(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    bytes.len() == ARRIVING.len() + 33 && bytes[ARRIVING.len()] == b'p'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_component_that_is_not_hauls_own_is_a_name() {
        for name in ["", ".", "..", "a/b", "/", "a\0", "../a"] {
            assert!(single(OsStr::new(name)).is_err(), "{name}");
        }
        for name in [".haul-arrives-x", ".HAUL-Arrives-x"] {
            let error = single(OsStr::new(name)).unwrap_err();
            assert!(matches!(error, FileError::Target(TargetError::Reserved)), "{name}");
        }
        for name in ["a", "...", ".haul", "-rf", " ", "a\n"] {
            assert!(single(OsStr::new(name)).is_ok(), "{name}");
        }
    }

    #[test]
    fn temporary_names_tell_what_they_are_for() {
        let name = OsStr::new("f");
        assert_eq!(usual(For::Parts, name), usual(For::Parts, name));
        assert_ne!(usual(For::Parts, name), usual(For::Whole, name));
        assert!(is_usual_of_parts(&usual(For::Parts, name)));
        assert!(!is_usual_of_parts(&usual(For::Whole, name)));
        let random = random(For::Parts, name).unwrap();
        assert!(!is_usual_of_parts(&random) && is_arriving(&random));
    }
}
