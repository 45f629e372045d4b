//! Directories that are published as a whole.

pub(super) mod adopt;
pub(super) mod closed;
pub(super) mod guard;
mod heritage;
pub(super) mod home;
mod left;
pub(super) mod names;
pub(super) mod notes;
mod settle;
mod stale;
pub(super) mod swap;
pub(super) mod version;
