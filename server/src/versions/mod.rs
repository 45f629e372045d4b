//! The table of next versions: each directory, and the client that puts its version together.

mod given_up;
pub(crate) mod leases;
