//! The counts of a run.

use serde::Serialize;

/// The counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Files committed.
    pub files: u64,
    /// Links committed.
    pub links: u64,
    /// Directories committed.
    pub directories: u64,
    /// Bytes of the files committed.
    pub bytes_total: u64,
    /// Bytes of bodies sent, those sent again included.
    pub bytes_sent: u64,
    /// Bytes of bodies received, those that were received again included: of a run that reads back.
    pub bytes_received: u64,
    /// Bytes of large files that the server held already; of a run that reads back, that were here already.
    pub bytes_resumed: u64,
    /// Entries that failed, each named.
    pub failed: u64,
    /// Sockets, devices and FIFOs, entries that were gone before they were sent, and links if they are
    /// left out.
    pub skipped: u64,
    /// Skipped entries that were gone before they were sent.
    pub vanished: u64,
    /// Modes of which setuid, setgid or sticky was dropped.
    pub special_bits_dropped: u64,
    /// Files and links that were there already as they are here.
    pub unchanged: u64,
    /// Entries that the source lacked and the server had.
    pub removed: u64,
    /// Files whose bytes were there already, and that have got their mode and mtime.
    pub adjusted: u64,
    /// Names in which source and server differ, if that is all that was asked for.
    pub different: u64,
    /// Bytes that were read here and not sent: to be compared, or because the server holds them already.
    pub bytes_compared: u64,
    /// Bytes that the server holds of large files that are not whole yet: a later run does not send them again.
    pub bytes_held: u64,
}
