//! Work that no client asks for: removing old partials, drafts and trash.

mod account_words;
pub(crate) mod new_account;
pub(crate) mod partials;
mod settled;
mod shown_token;
pub(crate) mod sweeper;
pub(crate) mod users;
pub(crate) mod watcher;
