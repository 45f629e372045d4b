//! Counts of a round and of the whole run.

use std::fmt;
use std::ops::AddAssign;

use humansize::{BINARY, format_size};

/// Counts. Bytes are as far as summaries tell: a client that is killed prints none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Bytes of the trees that were sent.
    pub(crate) tree: u64,
    pub(crate) clients: u64,
    pub(crate) server_kills: u64,
    pub(crate) server_stops: u64,
    pub(crate) client_kills: u64,
    pub(crate) interrupts: u64,
    pub(crate) cuts: u64,
    pub(crate) truncations: u64,
    pub(crate) stalls: u64,
    pub(crate) delays: u64,
    pub(crate) full_disks: u64,
    /// Starts of the server that a full disk did not allow.
    pub(crate) starts_refused: u64,
    /// Files that failed because the disk was full.
    pub(crate) no_space: u64,
    /// Files that were given up after too many lost connections.
    pub(crate) given_up: u64,
    /// Files that were left to another run.
    pub(crate) taken_over: u64,
    /// Runs that resumed files, and the bytes that they resumed.
    pub(crate) resumes: u64,
    pub(crate) bytes_resumed: u64,
    /// Large files that a server went on with, in the same run of the client or in a later one.
    pub(crate) gone_on: u64,
    pub(crate) bytes_sent: u64,
    /// Entries that clients that synced have removed, or found to be there already, in their last
    /// runs.
    pub(crate) removed: u64,
    pub(crate) unchanged: u64,
    /// Rounds that ended with a version that was published.
    pub(crate) published: u64,
    /// Bytes that the relay got from clients, and so all bytes that were sent.
    pub(crate) relayed: u64,
    /// Acknowledged files that were checked, and their bytes that were read for that.
    pub(crate) acks_checked: u64,
    pub(crate) acks_read: u64,
    pub(crate) watched: Watched,
}

/// Counts of the watcher.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Watched {
    /// Files read and compared.
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    /// Files of each version, where there are two.
    pub(crate) old: u64,
    pub(crate) new: u64,
    /// Names that were not there yet.
    pub(crate) absent: u64,
    /// Names that were listed, each of which must be one of the tree.
    pub(crate) listed: u64,
    /// Files read again through the descriptor of the first time, replaced or not.
    pub(crate) again: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.tree += other.tree;
        self.clients += other.clients;
        self.server_kills += other.server_kills;
        self.server_stops += other.server_stops;
        self.client_kills += other.client_kills;
        self.interrupts += other.interrupts;
        self.cuts += other.cuts;
        self.truncations += other.truncations;
        self.stalls += other.stalls;
        self.delays += other.delays;
        self.full_disks += other.full_disks;
        self.starts_refused += other.starts_refused;
        self.no_space += other.no_space;
        self.given_up += other.given_up;
        self.taken_over += other.taken_over;
        self.resumes += other.resumes;
        self.bytes_resumed += other.bytes_resumed;
        self.gone_on += other.gone_on;
        self.bytes_sent += other.bytes_sent;
        self.removed += other.removed;
        self.published += other.published;
        self.unchanged += other.unchanged;
        self.relayed += other.relayed;
        self.acks_checked += other.acks_checked;
        self.acks_read += other.acks_read;
        self.watched += other.watched;
    }
}

impl AddAssign for Watched {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.old += other.old;
        self.new += other.new;
        self.absent += other.absent;
        self.listed += other.listed;
        self.again += other.again;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |bytes| format_size(bytes, BINARY);
        write!(
            f,
            "server: {} kills, {} stops; client: {} runs, {} kills, {} interrupts; network: {} cuts, \
             {} truncations, {} stalls, {} delays; full disks: {}",
            self.server_kills,
            self.server_stops,
            self.clients,
            self.client_kills,
            self.interrupts,
            self.cuts,
            self.truncations,
            self.stalls,
            self.delays,
            self.full_disks,
        )?;
        if self.starts_refused > 0 {
            write!(f, " ({} starts of the server refused)", self.starts_refused)?;
        }
        write!(
            f,
            "\n  {} uploads gone on with; {} runs resumed {}; {} of files, {} sent, {} of that twice ({} relayed); failed for a \
             while: {} files for want of space, {} for lost connections, {} left to another run",
            self.gone_on,
            self.resumes,
            size(self.bytes_resumed),
            size(self.tree),
            size(self.bytes_sent),
            size(self.bytes_sent.saturating_sub(self.tree)),
            size(self.relayed),
            self.no_space,
            self.given_up,
            self.taken_over,
        )?;
        if self.removed + self.unchanged > 0 {
            write!(
                f,
                "\n  {} names removed that the source lacked, {} files and links unchanged, {} versions \
                 published",
                self.removed, self.unchanged, self.published,
            )?;
        }
        let watched = self.watched;
        write!(
            f,
            "\n  acknowledged files checked: {} ({} read); watcher: {} files ({}), {} old and {} new \
             versions, {} not there yet, {} names listed, {} read again",
            self.acks_checked,
            size(self.acks_read),
            watched.files,
            size(watched.bytes),
            watched.old,
            watched.new,
            watched.absent,
            watched.listed,
            watched.again,
        )
    }
}
