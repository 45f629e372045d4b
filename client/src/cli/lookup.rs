//! Looking at single entries of a server.

use haul_protocol::{Code, Entry, EntryKind, Name, Op, Refusal, Reply, Verdict, encode_entry};

use crate::connection::before::before;
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
    asking.ask_with(&Op::Check { reread: false }, &line)?;
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
