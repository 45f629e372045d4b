//! The table of next versions: each directory, and the client that puts its version together.

pub(crate) mod leases;
