//! Making changes visible, and durable together.

mod apply;
pub(super) mod change;
pub(super) mod dirty;
pub(super) mod file;
pub(super) mod group;
pub(crate) mod kind;
mod pace;
