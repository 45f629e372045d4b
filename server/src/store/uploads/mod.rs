//! Large files under way, and the journals that survive a crash.

mod compacting;
pub(super) mod complete;
pub(super) mod facts;
pub(super) mod journal;
pub(super) mod ordered;
pub(super) mod partial;
pub(super) mod reading;
pub(super) mod resume;
pub(super) mod tails;
pub(super) mod verifying;

#[cfg(test)]
mod tests;
