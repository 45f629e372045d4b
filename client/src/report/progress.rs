//! Counts the events of a run, and queues the calls of the observer.
//!
//! Counts are atomics, so that threads count without waiting for each other.

mod links;

use std::fmt::Display;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use haul_protocol::Name;

use super::counts::Counts;
use super::events::{Event, WAITING};
use super::note::Note;
use super::observer::Observer;
use super::status::{Attempt, Status};
use crate::error::Failure;
use links::Links;

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
    sent: AtomicU64,
    lost: AtomicU64,
    resumed: AtomicU64,
    hashed: AtomicU64,
    connections: Mutex<Links>,
    failed: AtomicU64,
    skipped: AtomicU64,
    vanished: AtomicU64,
    special: AtomicU64,
    unchanged: AtomicU64,
    removed: AtomicU64,
    adjusted: AtomicU64,
    different: AtomicU64,
    published: AtomicBool,
    limit_told: AtomicBool,
}

impl Progress {
    /// Starts counting, and the clock. The observer's thread [watches](super::watch::watch) the receiver.
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
            lost: zero(),
            resumed: zero(),
            hashed: zero(),
            connections: Mutex::default(),
            failed: zero(),
            skipped: zero(),
            vanished: zero(),
            special: zero(),
            unchanged: zero(),
            removed: zero(),
            adjusted: zero(),
            different: zero(),
            published: AtomicBool::new(false),
            limit_told: AtomicBool::new(false),
        };
        (progress, received)
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
    }

    /// Bytes of bodies that were sent have no answer, and will be sent again.
    pub fn lost(&self, bytes: u64) {
        self.lost.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The server holds bytes of a large file already.
    pub fn resumed(&self, bytes: u64) {
        self.resumed.fetch_add(bytes, Ordering::Relaxed);
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

    /// A lost connection is tried again; told while no other one is up.
    pub fn reconnecting(&self, attempt: Attempt, error: &dyn Display) {
        if !self.connections().reconnecting(attempt, Instant::now()) {
            return;
        }
        self.tell(Event::Reconnecting(attempt, error.to_string()));
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

    /// A file or link is there already as it is here.
    pub fn unchanged(&self) {
        self.unchanged.fetch_add(1, Ordering::Relaxed);
    }

    /// The bytes of a file are there already, and it has got its mode and mtime.
    pub fn adjusted(&self, name: &Name) {
        self.adjusted.fetch_add(1, Ordering::Relaxed);
        self.tell_name(|| Event::Adjusted(name.clone()));
    }

    /// The next version has taken the present one's place.
    pub fn published(&self) {
        self.published.store(true, Ordering::Relaxed);
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
            bytes_sent: get(&self.sent),
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
        }
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
            bytes_total: is_known.then(|| get(&self.found_bytes)),
            bytes_lost: get(&self.lost),
            is_removing: self.removing.load(Ordering::Relaxed),
            reconnecting: self.connections().attempt(Instant::now()),
        }
    }

    /// Source and server differ in a name.
    pub fn differs(&self, finding: &'static str, name: &Name, why: Option<&'static str>) {
        self.different.fetch_add(1, Ordering::Relaxed);
        self.tell(Event::Differs { finding, name: name.clone(), why });
    }

    /// An entry that the source lacks stays, because enough has been removed; told once.
    pub fn kept(&self, path: &Path) {
        if !self.limit_told.swap(true, Ordering::Relaxed) {
            self.failed(
                path,
                &"not removed, and more that the source lacks: --max-delete is reached",
            );
        }
    }

    /// In a dry run: a change that would be made of a name, and the reason.
    pub fn would(&self, action: &'static str, name: &Name, why: &'static str, bytes: Option<u64>) {
        self.tell(Event::Would { action, name: name.clone(), why, bytes });
    }

    /// An entry failed for good.
    pub fn failed(&self, path: &Path, error: impl Failure) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.tell(Event::Failed(path.to_owned(), error.into_error()));
    }

    /// An entry is gone since it was found.
    pub fn vanished(&self, path: &Path) {
        self.vanished.fetch_add(1, Ordering::Relaxed);
        self.skipped(path, "gone since it was found");
    }

    /// An entry is left out because the user said so.
    pub fn left_out(&self, path: &Path, why: &'static str) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
        self.tell_name(|| Event::LeftOut(path.to_owned(), why));
    }

    /// An entry is of a kind that is not carried.
    pub fn skipped(&self, path: &Path, why: &'static str) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
        self.tell(Event::Skipped(path.to_owned(), why));
    }

    /// A line of a file of rules leaves nothing out.
    pub fn flawed(&self, path: &Path, line: usize, flaw: &dyn Display) {
        self.note(Note::FitsNothing { path: path.to_owned(), line, flaw: flaw.to_string() });
    }

    /// A user may want to know this.
    pub fn note(&self, note: Note) {
        self.tell(Event::Note(note));
    }

    /// The same of a note for a user who wants names.
    pub fn detail(&self, note: Note) {
        if self.wants_names {
            self.tell(Event::Note(note));
        }
    }

    /// The run is over: nothing more is told.
    pub fn end(&self) {
        self.tell(Event::End);
    }

    fn tell_name(&self, event: impl FnOnce() -> Event) {
        if self.wants_names {
            self.tell(event());
        }
    }

    /// Queues an event, and waits while the queue is full.
    fn tell(&self, event: Event) {
        // Nobody is told any more if the observer has panicked.
        let _ = self.events.send(event);
    }
}
