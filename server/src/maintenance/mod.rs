//! Work that no client asks for: removing old partials, drafts and trash.

pub(crate) mod partials;
pub(crate) mod sweeper;
pub(crate) mod users;
