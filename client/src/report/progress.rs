//! Counts the events of a run, and queues the calls of the observer.
//!
//! Counts are atomics, so that threads count without waiting for each other.

mod links;
mod sending;
mod telling;
mod told;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use haul_protocol::Name;

use super::counts::Counts;
use super::events::{Event, WAITING};
use super::nudge::Nudge;
use super::observer::Observer;
use super::status::Status;
use links::Links;
use sending::Sending;
use told::Told;

/// The progress of a run so far.
#[derive(Debug)]
pub struct Progress {
    wants_names: bool,
    wants_sizes: bool,
    /// The next calls of the observer.
    events: SyncSender<Event>,
    start: Instant,
    found_files: AtomicU64,
    found_bytes: AtomicU64,
    walk_ended: AtomicBool,
    removing: AtomicBool,
    files: AtomicU64,
    links: AtomicU64,
    directories: AtomicU64,
    bytes: AtomicU64,
    /// Bytes of bodies that were given to connections.
    sent: AtomicU64,
    /// Bytes of bodies that have come.
    received: AtomicU64,
    /// Bytes of these that no socket has taken: yet, or ever if the connection is lost.
    waiting: AtomicU64,
    lost: AtomicU64,
    resumed: AtomicU64,
    /// Bytes of files that need not be sent, because the server has the same.
    spared: AtomicU64,
    hashed: AtomicU64,
    held: AtomicU64,
    /// A large file was opened at the server.
    has_large: AtomicBool,
    sending: Mutex<Sending>,
    connections: Mutex<Links>,
    told: Mutex<Told>,
    failed: AtomicU64,
    skipped: AtomicU64,
    vanished: AtomicU64,
    special: AtomicU64,
    unchanged: AtomicU64,
    removed: AtomicU64,
    adjusted: AtomicU64,
    different: AtomicU64,
    published: AtomicBool,
    /// The server was asked for it, and has not answered.
    publishing: AtomicBool,
    limit_told: AtomicBool,
}

impl Progress {
    /// Starts counting, and the clock. The observer's thread [watches](super::watch::Watch) the receiver.
    #[must_use]
    pub fn new(observer: &dyn Observer) -> (Self, Receiver<Event>) {
        let (events, received) = sync_channel(WAITING);
        let (wants_names, wants_sizes) = (observer.wants_names(), observer.wants_sizes());
        let zero = || AtomicU64::new(0);
        let progress = Self {
            wants_names,
            wants_sizes,
            events,
            start: Instant::now(),
            found_files: zero(),
            found_bytes: zero(),
            walk_ended: AtomicBool::new(false),
            removing: AtomicBool::new(false),
            files: zero(),
            links: zero(),
            directories: zero(),
            bytes: zero(),
            sent: zero(),
            received: zero(),
            waiting: zero(),
            lost: zero(),
            resumed: zero(),
            spared: zero(),
            hashed: zero(),
            held: zero(),
            has_large: AtomicBool::new(false),
            sending: Mutex::default(),
            connections: Mutex::default(),
            told: Mutex::default(),
            failed: zero(),
            skipped: zero(),
            vanished: zero(),
            special: zero(),
            unchanged: zero(),
            removed: zero(),
            adjusted: zero(),
            different: zero(),
            published: AtomicBool::new(false),
            publishing: AtomicBool::new(false),
            limit_told: AtomicBool::new(false),
        };
        (progress, received)
    }

    /// Has the observer's thread look whether it is to do anything else.
    #[must_use]
    pub(crate) fn nudge(&self) -> Nudge {
        Nudge::new(self.events.clone())
    }

    /// Whether totals are shown, so that sizes are worth asking for.
    #[must_use]
    pub fn wants_sizes(&self) -> bool {
        self.wants_sizes
    }

    /// The walk found a file or link of `bytes`.
    pub fn found(&self, bytes: u64) {
        self.found_files.fetch_add(1, Ordering::Relaxed);
        self.found_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The client looks at the server for entries that the source lacks, or no longer.
    pub fn removing(&self, removing: bool) {
        self.removing.store(removing, Ordering::Relaxed);
    }

    /// Totals are known from now on.
    pub fn walk_ended(&self) {
        self.walk_ended.store(true, Ordering::Relaxed);
    }

    /// Bytes of a body were given to the connection.
    pub fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        self.clock().sent(bytes, Instant::now());
    }

    /// Bytes that a connection has and its socket has not taken yet, in place of those `before`.
    pub fn waiting(&self, before: u64, now: u64) {
        self.waiting.fetch_add(now.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Bytes of bodies that were sent are answered.
    pub fn answered(&self, bytes: u64) {
        if bytes > 0 {
            self.clock().answered(bytes, Instant::now());
        }
    }

    /// Bytes of files were asked for.
    pub fn asked(&self, bytes: u64) {
        self.clock().sent(bytes, Instant::now());
    }

    /// Bytes of files have come, and are those of their digest.
    pub fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    fn clock(&self) -> MutexGuard<'_, Sending> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of bodies that were given to a connection have no answer, and will be sent again.
    pub fn lost(&self, bytes: u64) {
        self.lost.fetch_add(bytes, Ordering::Relaxed);
        self.answered(bytes);
    }

    /// Bytes of those that were lost had not been sent.
    pub fn not_sent(&self, bytes: u64) {
        self.lost.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The server holds more bytes of a large file that is not whole yet.
    pub fn held(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that were told to [`held`](Self::held) are of a file that is whole, of no use, or will be told again.
    pub fn not_held(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A large file is open at the server, which holds so many bytes of it already.
    pub fn resumed(&self, bytes: u64) {
        self.has_large.store(true, Ordering::Relaxed);
        self.resumed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether a large file was opened at the server: its parts are there when the run is over.
    #[must_use]
    pub fn has_large(&self) -> bool {
        self.has_large.load(Ordering::Relaxed)
    }

    /// Bytes that were told to [`resumed`](Self::resumed) are of no use, or will be told again.
    pub fn not_resumed(&self, bytes: u64) {
        self.resumed.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes that need not be sent were hashed.
    pub fn hashed(&self, bytes: u64) {
        self.hashed.fetch_add(bytes, Ordering::Relaxed);
    }

    fn connections(&self) -> MutexGuard<'_, Links> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection is up.
    pub fn connected(&self) {
        self.connections().connected();
    }

    /// A connection that was up has ended.
    pub fn disconnected(&self) {
        self.connections().disconnected();
    }

    /// A file of `bytes` is committed.
    pub fn file_done(&self, name: &Name, bytes: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tell_name(|| Event::FileDone(name.clone(), bytes));
    }

    /// A link is committed.
    pub fn link_done(&self, name: &Name) {
        self.links.fetch_add(1, Ordering::Relaxed);
        self.tell_name(|| Event::SymlinkDone(name.clone()));
    }

    /// A directory has its final mode and mtime.
    pub fn directory_done(&self, name: &Name) {
        self.directories.fetch_add(1, Ordering::Relaxed);
        self.tell_name(|| Event::DirectoryDone(name.clone()));
    }

    /// A file of `bytes`, or a link, is there already as it is here.
    pub fn unchanged(&self, bytes: u64) {
        self.unchanged.fetch_add(1, Ordering::Relaxed);
        self.spared.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The bytes of a file are there already, and it has got its mode and mtime.
    pub fn adjusted(&self, name: &Name) {
        self.adjusted.fetch_add(1, Ordering::Relaxed);
        self.tell_name(|| Event::Adjusted(name.clone()));
    }

    /// The server is asked to let the next version take the present one's place, or (`false`) has refused that.
    pub(crate) fn publishing(&self, is_asked: bool) {
        self.publishing.store(is_asked, Ordering::Relaxed);
    }

    /// Whether it was asked, and has not answered.
    #[must_use]
    pub(crate) fn is_publishing(&self) -> bool {
        self.publishing.load(Ordering::Relaxed)
    }

    /// The next version has taken the present one's place.
    pub fn published(&self) {
        self.published.store(true, Ordering::Relaxed);
        self.publishing(false);
    }

    /// Whether it has.
    #[must_use]
    pub fn is_published(&self) -> bool {
        self.published.load(Ordering::Relaxed)
    }

    /// An entry that the source lacks is removed at the server.
    pub fn removed(&self, name: &Name) {
        self.removed.fetch_add(1, Ordering::Relaxed);
        self.tell_name(|| Event::Removed(name.clone()));
    }

    /// A mode lost its setuid, setgid or sticky bit.
    pub fn special_bits_dropped(&self) {
        self.special.fetch_add(1, Ordering::Relaxed);
    }

    /// The counts now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            files: get(&self.files),
            links: get(&self.links),
            directories: get(&self.directories),
            bytes_total: get(&self.bytes),
            bytes_sent: get(&self.sent).saturating_sub(get(&self.waiting)),
            bytes_received: get(&self.received),
            bytes_resumed: get(&self.resumed),
            failed: get(&self.failed),
            skipped: get(&self.skipped),
            vanished: get(&self.vanished),
            special_bits_dropped: get(&self.special),
            unchanged: get(&self.unchanged),
            removed: get(&self.removed),
            adjusted: get(&self.adjusted),
            different: get(&self.different),
            bytes_compared: get(&self.hashed),
            bytes_held: get(&self.held),
        }
    }

    /// Time in which bytes were on their way to the server.
    #[must_use]
    pub fn sending(&self) -> Duration {
        self.clock().time(Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The present progress of the run.
    #[must_use]
    pub(super) fn status(&self) -> Status {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let is_known = self.walk_ended.load(Ordering::Relaxed);
        Status {
            counts: self.counts(),
            files_total: is_known.then(|| get(&self.found_files)),
            bytes_found: (is_known && self.wants_sizes).then(|| get(&self.found_bytes)),
            bytes_lost: get(&self.lost),
            bytes_spared: get(&self.spared),
            is_looking_for_extra: self.removing.load(Ordering::Relaxed),
            reconnecting: self.connections().attempt(Instant::now()),
        }
    }
}
