//! Counts of reading back.

use std::fmt;
use std::ops::AddAssign;

use humansize::{BINARY, format_size};

use super::eye::Looked;

/// Counts of all passes. Bytes are as far as summaries tell: a client that is killed prints none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(super) passes: u64,
    pub(super) runs: u64,
    pub(super) client_kills: u64,
    pub(super) interrupts: u64,
    pub(super) server_kills: u64,
    pub(super) server_stops: u64,
    pub(super) cuts: u64,
    pub(super) stalls: u64,
    pub(super) delays: u64,
    pub(super) full_disks: u64,
    /// Times that the server's root was elsewhere.
    pub(super) moved_roots: u64,
    pub(super) rivals: u64,
    /// Runs of the writer, and the files that it gave other bytes.
    pub(super) writes: u64,
    pub(super) written: u64,
    pub(super) bytes_received: u64,
    pub(super) bytes_resumed: u64,
    /// Files that failed because the disk was full, because they changed at the server, and for other disturbances.
    pub(super) no_space: u64,
    pub(super) changed: u64,
    pub(super) disturbed: u64,
    pub(super) removed: u64,
    pub(super) looked: Looked,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passes += other.passes;
        self.runs += other.runs;
        self.client_kills += other.client_kills;
        self.interrupts += other.interrupts;
        self.server_kills += other.server_kills;
        self.server_stops += other.server_stops;
        self.cuts += other.cuts;
        self.stalls += other.stalls;
        self.delays += other.delays;
        self.full_disks += other.full_disks;
        self.moved_roots += other.moved_roots;
        self.rivals += other.rivals;
        self.writes += other.writes;
        self.written += other.written;
        self.bytes_received += other.bytes_received;
        self.bytes_resumed += other.bytes_resumed;
        self.no_space += other.no_space;
        self.changed += other.changed;
        self.disturbed += other.disturbed;
        self.removed += other.removed;
        self.looked += other.looked;
    }
}

impl AddAssign for Looked {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.absent += other.absent;
        self.brought += other.brought;
        self.before += other.before;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |bytes| format_size(bytes, BINARY);
        let Self { passes, runs, client_kills, interrupts, server_kills, server_stops, .. } = self;
        let Self { cuts, stalls, delays, full_disks, moved_roots, rivals, writes, .. } = self;
        let Self { written, no_space, changed, disturbed, removed, looked, .. } = self;
        write!(
            f,
            "reading back: {passes} passes, {runs} runs of haul, {client_kills} kills, {interrupts} interrupts; server: \
             {server_kills} kills, {server_stops} stops, {moved_roots} roots moved away; network: {cuts} cuts, {stalls} stalls, \
             {delays} delays; full disks here: {full_disks}; {rivals} rivals; {writes} times others wrote, {written} files"
        )?;
        write!(
            f,
            "\n  {} received, {} resumed; failed for a while: {no_space} files for want of space, {changed} that changed, \
             {disturbed} for other disturbances; {removed} entries removed here",
            size(self.bytes_received),
            size(self.bytes_resumed),
        )?;
        write!(
            f,
            "\n  looked at: {} files ({}), {} that had come and {} of before, {} not there yet",
            looked.files,
            size(looked.bytes),
            looked.brought,
            looked.before,
            looked.absent,
        )
    }
}
