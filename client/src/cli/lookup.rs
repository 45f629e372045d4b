//! Looking at single entries of a server.

use haul_protocol::{Code, Entry, EntryKind, Name, Op, Refusal, Reply, Verdict, encode_entry};

use crate::connection::delete::entries;
use crate::connection::rpc::{Asking, Said};
use crate::error::{ConnectionError, ProtocolError};

/// The kind of entry that stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    /// None, or it can't be reached.
    Nothing,
    /// A directory.
    Directory,
    /// An entry of another kind, or one that the server may not look at.
    Other,
}

/// Asks what stands under a name.
///
/// # Errors
/// If the connection breaks.
pub(super) fn kind(
    asking: &mut Asking<'_>,
    name: &Name,
) -> Result<Result<There, Refusal>, ConnectionError> {
    // No entry is the same as one of this kind, and its letter tells which kind is there.
    let entry = Entry { name: name.clone(), kind: EntryKind::Other, mode: None, mtime: None };
    let mut line = Vec::new();
    encode_entry(&entry, &mut line)?;
    asking.ask_with(&Op::Check, &line)?;
    match asking.answer()?.1 {
        Said::Answered(Reply::Done, letters) => {
            let &[letter] = &letters[..] else {
                return Err(ProtocolError::Letters { letters: letters.len(), entries: 1 }.into());
            };
            Ok(Ok(match Verdict::from_letter(letter) {
                Some(Verdict::Missing) => There::Nothing,
                Some(Verdict::Directory) => There::Directory,
                _ => There::Other,
            }))
        }
        Said::Refused(refusal) => Ok(Err(refusal)),
        _ => Err(ProtocolError::Kind.into()),
    }
}

/// Asks for an entry, as the list of its directory has it; `None`: the server has none.
///
/// # Errors
/// If the connection breaks.
pub(super) fn entry(
    asking: &mut Asking<'_>,
    name: &Name,
) -> Result<Result<Option<Entry>, Refusal>, ConnectionError> {
    let (directory, after) = (Name::parse(name.split().0).ok(), before(name));
    asking.ask(&Op::List { name: directory.clone(), after: after.clone() })?;
    let found = match asking.answer()?.1 {
        Said::Answered(Reply::Listed { .. }, body) => {
            entries(directory.as_ref(), after.as_ref(), &body)?
        }
        Said::Refused(refusal) if refusal.code == Code::NotFound => return Ok(Ok(None)),
        Said::Refused(refusal) => return Ok(Err(refusal)),
        _ => return Err(ProtocolError::Kind.into()),
    };
    Ok(Ok(found.into_iter().find(|entry| entry.name == *name)))
}

/// Asks the server for the reason why a name leads to nothing.
///
/// # Errors
/// If the connection breaks.
pub(super) fn why_nothing(
    asking: &mut Asking<'_>,
    name: &Name,
) -> Result<Option<Refusal>, ConnectionError> {
    asking.ask(&Op::List { name: Some(name.clone()), after: None })?;
    match asking.answer()?.1 {
        Said::Refused(refusal) => Ok(Some(refusal)),
        _ => Ok(None),
    }
}

/// A name just before all that begin with `name`, to ask for those after it; `None`: from the first.
pub(super) fn before(name: &Name) -> Option<Name> {
    let (directory, last) = name.split();
    let (end, rest) = last.split_last()?;
    let mut bytes = if directory.is_empty() { Vec::new() } else { [directory, b"/"].concat() };
    bytes.extend_from_slice(rest);
    // A slash can't be in there, and NUL neither.
    match end.checked_sub(1)? {
        0 => return Name::parse(&bytes).ok(),
        b'/' => bytes.push(b'.'),
        less => bytes.push(less),
    }
    let room = 255_usize.saturating_sub(last.len());
    bytes.extend(std::iter::repeat_n(0xff, room));
    Name::parse(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_between_a_name_and_what_is_just_before_it() {
        for (name, expected) in [("b", b'a'), ("d/b", b'a'), ("0", b'.'), ("ab", b'a')] {
            let name = Name::parse(name.as_bytes()).unwrap();
            let before = before(&name).unwrap();
            assert!(before < name, "{before}");
            assert_eq!(before.split().0, name.split().0);
            assert_eq!(before.split().1[name.split().1.len() - 1], expected);
        }
        assert_eq!(before(&Name::parse(b"a/\x01").unwrap()), None);
    }
}
