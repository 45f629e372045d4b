//! Refusals on their way to the wire, and the one table that turns errors of the store into them.
//!
//! The store names entries from its own root, or from that of a draft. A client may see less of that ([`View`]), so the
//! message becomes the one on the wire only where the client's view is known.

use std::fmt;

use haul_protocol::Code;

use crate::accounts::{AccountOf, View};
use crate::store::StoreError;

/// The reason why a request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    told: haul_protocol::Refusal,
    names: Names,
    /// The account whose quota is full.
    about: Option<String>,
    /// The message tells how full the disk is.
    of_disk: bool,
}

/// The directory that the names in a message are below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// The message has no name, or only those that the client has sent.
    AsSent,
    /// The one that the connection is about: the store's root, or a draft.
    Here,
    /// The store's root, also if the connection is about a draft.
    OfRoot,
}

impl Refusal {
    /// A refusal with the usual answer to whether trying again helps, whose message has no name of the store's.
    pub(crate) fn new(code: Code, message: impl fmt::Display) -> Self {
        haul_protocol::Refusal::new(code, message).into()
    }

    /// Whether the request may have been carried out all the same.
    pub(crate) fn is_uncertain(&self) -> bool {
        self.told.code == Code::Uncertain
    }

    /// Its code.
    pub(crate) fn code(&self) -> &Code {
        &self.told.code
    }

    /// Its message, with the names in the store.
    pub(crate) fn message(&self) -> &str {
        &self.told.message
    }

    /// The same about the names that all clients see, on a connection that is about a draft.
    pub(crate) fn of_root(self) -> Self {
        let names = if self.names == Names::Here { Names::OfRoot } else { self.names };
        Self { names, ..self }
    }

    /// The same, told in these words.
    pub(crate) fn in_words(&self, message: &str) -> Self {
        let told = haul_protocol::Refusal { message: message.to_owned(), ..self.told.clone() };
        Self { told, names: Names::AsSent, about: self.about.clone(), of_disk: false }
    }

    /// The same for a client of a drop account, which learns nothing of what others have sent: not how full a quota is, nor the
    /// disk.
    pub(crate) fn without_numbers(self) -> Self {
        if self.of_disk {
            return self.in_words("no room on its disk");
        }
        if self.about.is_none() {
            return self;
        }
        self.in_words(&format!("the quota of the account {}", is_full(&self.told)))
    }

    /// The refusal on the wire: names are told below the client's root, and the use of a quota to its own account alone. `in_draft`: the connection is about a draft.
    pub(crate) fn told(
        self,
        view: &View,
        account: AccountOf<'_>,
        in_draft: bool,
    ) -> haul_protocol::Refusal {
        let Self { mut told, names, about, .. } = self;
        if about.is_some_and(|about| account.is_none_or(|account| account.as_str() != about)) {
            let is_full = is_full(&told);
            told.message =
                format!("a quota of another account, whose directory this is, {is_full}");
            return told;
        }
        match names {
            Names::AsSent => {}
            Names::Here if in_draft => {}
            Names::Here | Names::OfRoot => told.message = view.message(told.message),
        }
        told
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.told.fmt(f)
    }
}

/// The state of a quota, without numbers.
fn is_full(told: &haul_protocol::Refusal) -> &'static str {
    match told.code {
        Code::Quota => "is full",
        _ => "has no room in this moment",
    }
}

/// The protocol and the parts of the server below this one name no entries but as the client has sent them.
impl From<haul_protocol::Refusal> for Refusal {
    fn from(told: haul_protocol::Refusal) -> Self {
        Self { told, names: Names::AsSent, about: None, of_disk: false }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Escape { .. } => Code::Escape,
            StoreError::Conflict { .. }
            | StoreError::OtherSpelling { .. }
            | StoreError::OtherHeritage { .. } => Code::Conflict,
            StoreError::Exists { .. } => Code::Exists,
            StoreError::CrossDevice { .. } | StoreError::Apart { .. } => Code::CrossDevice,
            StoreError::DigestMismatch { .. } => Code::DigestMismatch,
            StoreError::NoSpace { .. }
            | StoreError::Quota { .. }
            | StoreError::NoRoom { .. }
            | StoreError::TooMany { .. } => Code::NoSpace,
            StoreError::AccountFull { .. } => Code::Quota,
            StoreError::TooLarge { .. } => Code::TooLarge,
            StoreError::NameRefused { .. } => Code::BadName,
            StoreError::NoSymlinks { .. } => Code::Symlink,
            StoreError::Scarce { .. }
            | StoreError::AccountReplaces { .. }
            | StoreError::AccountUncounted { .. } => Code::Busy,
            StoreError::Uncertain { .. } | StoreError::Unfinished { .. } => Code::Uncertain,
            StoreError::Spoiled { .. } | StoreError::Replaced { .. } => Code::UnknownUpload,
            StoreError::Permission { .. } | StoreError::ReadOnly { .. } => Code::Permission,
            StoreError::NotFound { .. } | StoreError::NoVersion { .. } => Code::NotFound,
            StoreError::Publishing { .. } => Code::Busy,
            StoreError::Changed { .. } => Code::Changed,
            StoreError::RolledBack { .. } => Code::RolledBack,
            StoreError::NotLast { .. } => Code::TakenOver,
            StoreError::VersionGone { .. } => Code::TakenOver,
            StoreError::Gone { .. } => Code::RootGone,
            StoreError::Io { .. }
            | StoreError::Group { .. }
            | StoreError::Unable { .. }
            | StoreError::Unstated { .. } => Code::Io,
        };
        let about = match &error {
            StoreError::AccountFull { account, .. }
            | StoreError::AccountReplaces { account }
            | StoreError::AccountUncounted { account } => Some(account.clone()),
            _ => None,
        };
        let of_disk = matches!(error, StoreError::NoRoom { .. });
        let retry = code.retry() || matches!(error, StoreError::Group { .. });
        let told = haul_protocol::Refusal { retry, ..haul_protocol::Refusal::new(code, error) };
        // The name of an account is no name of an entry.
        let names = if about.is_some() { Names::AsSent } else { Names::Here };
        Self { told, names, about, of_disk }
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::{Code, Name};
    use rustix::io::Errno;

    use super::*;
    use crate::accounts::AccountName;

    #[test]
    fn full_quota_is_told_with_the_name_of_the_account_whatever_its_root_is() {
        let full = || {
            let account = String::from("alice");
            Refusal::from(StoreError::AccountFull {
                account,
                what: "files",
                used: 7,
                more: 2,
                quota: 8,
            })
        };
        let (alice, bob) = (AccountName::parse("alice"), AccountName::parse("bob"));
        for root in ["alice", "alice/in", "teams/alice"] {
            let view = View::below(Some(Name::parse(root.as_bytes()).unwrap()));
            for in_draft in [false, true] {
                let told = full().told(&view, alice.as_ref(), in_draft);
                assert_eq!(told.code, Code::Quota);
                let begin = "the quota of account `alice` is full: 7 ";
                assert!(told.message.starts_with(begin), "{}", told.message);
                let told = full().without_numbers().told(&view, alice.as_ref(), in_draft).message;
                assert_eq!(told, "the quota of the account is full");
                let told = full().of_root().told(&view, bob.as_ref(), in_draft).message;
                assert!(!told.contains("alice") && !told.contains('7'), "{told}");
            }
        }
    }

    #[test]
    fn drop_account_is_not_told_how_full_the_disk_is() {
        let refusal =
            || Refusal::from(StoreError::NoRoom { cost: 9 << 30, room: 7 << 20, keep_free: 5 });
        let told = |refusal: Refusal| refusal.told(&View::default(), None, false);
        let (usual, hidden) = (told(refusal()), told(refusal().without_numbers()));
        assert!(usual.message.contains('7') && hidden.message == "no room on its disk");
        assert_eq!((hidden.code, hidden.retry), (usual.code, usual.retry));
    }

    /// One row for each error number that a file system may answer with: `io` only for what is none of the
    /// client's business.
    #[test]
    fn every_errno_has_the_code_that_tells_what_to_do() {
        let rows = [
            (Errno::NOSPC, "write", Code::NoSpace, "no space left"),
            (Errno::DQUOT, "write", Code::NoSpace, "quota"),
            (Errno::MLINK, "make directory", Code::NoSpace, "no more entries"),
            (Errno::FBIG, "write", Code::TooLarge, "larger than the server may write"),
            (Errno::NAMETOOLONG, "make link", Code::BadName, "target of a symlink"),
            (Errno::NAMETOOLONG, "publish", Code::BadName, "no name that is so long"),
            (Errno::NAMETOOLONG, "make directory", Code::BadName, "no name that is so long"),
            (Errno::ILSEQ, "publish", Code::BadName, "no name of such bytes"),
            (Errno::INVAL, "publish", Code::BadName, "no name of such characters"),
            (Errno::INVAL, "flush", Code::Io, "flush"),
            (Errno::PERM, "make link", Code::Symlink, "has no symlinks"),
            (Errno::PERM, "publish", Code::Permission, "permission denied"),
            (Errno::ACCESS, "publish", Code::Permission, "permission denied"),
            (Errno::ROFS, "publish", Code::Permission, "read-only"),
            (Errno::MFILE, "open", Code::Busy, "too much is open"),
            (Errno::NFILE, "open", Code::Busy, "too much is open"),
            (Errno::NOMEM, "open", Code::Busy, "too much is open"),
            (Errno::AGAIN, "open", Code::Busy, "too much is open"),
            (Errno::XDEV, "open", Code::CrossDevice, "another file system"),
            (Errno::XDEV, "publish", Code::CrossDevice, "REFER of Landlock"),
            (Errno::XDEV, "rename", Code::CrossDevice, "REFER of Landlock"),
            (Errno::BUSY, "publish", Code::CrossDevice, "another file system"),
            (Errno::NOENT, "open", Code::NotFound, "does not exist"),
            (Errno::ISDIR, "publish", Code::Conflict, "a directory"),
            (Errno::NOTEMPTY, "publish", Code::Conflict, "a directory"),
            (Errno::NOTDIR, "open", Code::Conflict, "not a directory"),
            (Errno::LOOP, "open", Code::Conflict, "a symbolic link"),
            (Errno::IO, "flush", Code::Io, "flush"),
            (Errno::OVERFLOW, "look at", Code::Io, "look at"),
            (Errno::STALE, "open", Code::Io, "open"),
        ];
        for (errno, op, code, part) in rows {
            let error = StoreError::at(op, String::from("the/name"), errno);
            let refusal = Refusal::from(error).told(&View::default(), None, false);
            assert_eq!(refusal.code, code, "{op}: {errno}");
            assert!(refusal.message.contains(part), "{errno}: {}", refusal.message);
            assert!(refusal.message.contains("the/name"), "{errno}: {}", refusal.message);
            assert_eq!(refusal.retry, code == Code::Busy, "{errno}");
        }
    }
}
