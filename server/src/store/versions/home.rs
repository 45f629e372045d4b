//! The home of a directory's versions: names in it, and its own.

use haul_protocol::{Digest, Name, Token};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType};

pub(super) const NEXT: &str = "next-";
pub(super) const READY: &str = "ready-";
pub(super) const BACK: &str = "back-";
pub(super) const DONE: &str = "done-";
pub(super) const NOTE: &str = "version-";
/// In the place of the token of a left draft: a version has been published since, so nobody goes on with the draft who asks for
/// it by its token.
const STALE: &str = "stale";
pub(in crate::store) const PREVIOUS: &str = "previous";

/// The account of a client in the name of a draft, behind the token: a draft of one account is not that of another. Nothing if
/// the server has no accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Owner(String);

impl Owner {
    /// Letters of the digest of an account's name.
    const LETTERS: usize = 16;

    /// The owner with this name.
    pub(crate) fn of(account: Option<&str>) -> Self {
        let digest = account.map(|name| Digest::of(name.as_bytes()).to_string());
        let letters = |digest: String| digest.chars().take(Self::LETTERS).collect::<String>();
        Self(digest.map_or_else(String::new, |digest| format!("~{}", letters(digest))))
    }

    /// The token with this behind it.
    pub(super) fn tagged(&self, token: Token) -> String {
        format!("{token}{}", self.0)
    }

    /// The name of a left draft, of any owner, once its token holds no more. `None`: it holds none already, or the name is that of
    /// no draft.
    pub(super) fn stale(draft: &str) -> Option<String> {
        let (boot, tag) = draft.strip_prefix(NEXT)?.split_once('-')?;
        let owner = tag.find('~').map_or("", |at| &tag[at..]);
        let stale = format!("{NEXT}{boot}-{STALE}{owner}");
        (stale != draft).then_some(stale)
    }

    /// Whether a token from a name has this behind it.
    pub(super) fn has(&self, tagged: &str) -> bool {
        tagged.find('~').map_or("", |at| &tagged[at..]) == self.0
    }
}

/// The name of the home of a directory's versions.
pub(in crate::store) fn home_of(name: &Name) -> String {
    Digest::of(name.as_bytes()).to_string().chars().take(32).collect()
}

/// Whether a name in a home is that of a directory.
pub(super) fn is_directory(home: &OwnedFd, entry: &str) -> bool {
    rustix::fs::statat(home, entry, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}
