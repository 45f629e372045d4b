//! The progress of a run.

use super::counts::Counts;

/// The progress of a run at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The counts so far.
    pub counts: Counts,
    /// Files and symbolic links in all, once the walk has found them all.
    pub files_total: Option<u64>,
    /// Their bytes in all, once the walk has found them all; 0 unless the observer wants sizes.
    pub bytes_total: Option<u64>,
    /// Bytes that were sent and lost with a connection, and are sent again.
    pub bytes_lost: u64,
    /// Bytes of files that are not sent, because the server has the same.
    pub bytes_spared: u64,
    /// The run looks for entries at the server that the source lacks.
    pub is_removing: bool,
    /// No connection is up, and this attempt to connect again is under way.
    pub reconnecting: Option<Attempt>,
}

/// An attempt to connect again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// The highest number of attempts in a row.
    pub of: u32,
}
