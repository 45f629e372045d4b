//! The facts of an entry that the walk needs.

use std::fs::Metadata;

use super::{attributes, identity};

/// Facts of an entry, at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// Bytes.
    pub(crate) size: u64,
    /// The mode that is sent, if the platform has one.
    pub(crate) mode: Option<u32>,
    /// Device and inode.
    pub(crate) identity: [i64; 2],
}

impl From<&Metadata> for Facts {
    fn from(found: &Metadata) -> Self {
        Self { size: found.len(), mode: attributes(found).mode, identity: identity(found) }
    }
}
