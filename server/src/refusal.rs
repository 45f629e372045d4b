//! Refusals on their way to the wire, and the one table that turns errors of the store into them.
//!
//! The store names entries from its own root, or from that of a draft. A client may see less of that ([`View`]), so the
//! message becomes the one on the wire only where the client's view is known.

use std::fmt;

use haul_protocol::Code;

use crate::accounts::View;
use crate::store::StoreError;

/// The reason why a request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    told: haul_protocol::Refusal,
    names: Names,
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
        Self { told, names: Names::AsSent }
    }

    /// The refusal on the wire: names are told below the client's root. `in_draft`: the connection is about a draft.
    pub(crate) fn told(self, view: &View, in_draft: bool) -> haul_protocol::Refusal {
        let Self { mut told, names } = self;
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

/// The protocol and the parts of the server below this one name no entries but as the client has sent them.
impl From<haul_protocol::Refusal> for Refusal {
    fn from(told: haul_protocol::Refusal) -> Self {
        Self { told, names: Names::AsSent }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Escape { .. } => Code::Escape,
            StoreError::Conflict { .. } | StoreError::OtherHeritage { .. } => Code::Conflict,
            StoreError::Exists { .. } => Code::Exists,
            StoreError::CrossDevice { .. } | StoreError::Apart { .. } => Code::CrossDevice,
            StoreError::DigestMismatch { .. } => Code::DigestMismatch,
            StoreError::NoSpace { .. }
            | StoreError::Quota { .. }
            | StoreError::NoRoom { .. }
            | StoreError::TooMany { .. } => Code::NoSpace,
            StoreError::TooLarge { .. } => Code::TooLarge,
            StoreError::NameRefused { .. } => Code::BadName,
            StoreError::NoSymlinks { .. } => Code::Symlink,
            StoreError::Scarce { .. } => Code::Busy,
            StoreError::Uncertain { .. } => Code::Uncertain,
            StoreError::Spoiled { .. } | StoreError::Replaced { .. } => Code::UnknownUpload,
            StoreError::Permission { .. } | StoreError::ReadOnly { .. } => Code::Permission,
            StoreError::NotFound { .. } | StoreError::NoVersion { .. } => Code::NotFound,
            StoreError::Publishing { .. } => Code::Busy,
            StoreError::RolledBack { .. } => Code::RolledBack,
            StoreError::NotLast { .. } => Code::TakenOver,
            StoreError::VersionGone { .. } => Code::TakenOver,
            StoreError::Gone { .. } => Code::RootGone,
            StoreError::Io { .. } | StoreError::Group { .. } => Code::Io,
        };
        let retry = code.retry() || matches!(error, StoreError::Group { .. });
        let told = haul_protocol::Refusal { retry, ..haul_protocol::Refusal::new(code, error) };
        Self { told, names: Names::Here }
    }
}

#[cfg(test)]
mod tests;
