//! Files that no client can name yet, or any more.

pub(super) mod staged;
pub(super) mod staging;
pub(super) mod sweep;
pub(super) mod trash;
