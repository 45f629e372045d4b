//! Which client has which next version of a directory.

pub(crate) mod leases;
