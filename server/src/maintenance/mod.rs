//! Work that no client asks for: removing old partials, drafts and trash; and the commands of the server's owner.

mod account_limits;
mod account_table;
mod account_words;
mod changed_account;
pub(crate) mod environment;
pub(crate) mod key;
pub(crate) mod new_account;
pub(crate) mod partials;
mod settled;
mod shown_token;
pub(crate) mod status;
pub(crate) mod sweeper;
pub(crate) mod users;
pub(crate) mod watcher;
