//! One line of the audit log.

use haul_protocol::Digest;

use super::who::Who;
use crate::accounts::AccountName;
pub(super) use crate::json_line::Line;

impl Line {
    /// A line about an event that happens now.
    pub(super) fn new(event: &str) -> Self {
        Self::now().text("event", event)
    }

    /// The same, about a client.
    pub(super) fn of(event: &str, who: &Who) -> Self {
        let line = Self::new(event);
        let line = line.maybe("account", who.account.as_ref().map(AccountName::as_str));
        line.maybe("token", who.token.as_deref()).text("address", &who.address)
    }

    /// About an account, whoever has changed it.
    pub(super) fn of_account(name: &AccountName) -> Self {
        Self::new("account").text("account", name.as_str())
    }

    /// A field with a digest, or null.
    pub(super) fn digest(self, digest: Option<Digest>) -> Self {
        let digest = digest.map(|digest| digest.to_hex());
        self.maybe("digest", digest.as_deref())
    }
}
