//! The client that an event is about.

use crate::accounts::AccountName;

/// A client, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    /// `None`: the server has no accounts.
    pub(crate) account: Option<AccountName>,
    /// The id of its token, which is no secret.
    pub(crate) token: Option<String>,
    pub(crate) address: String,
}
