//! Counting what happens, and showing it while it does.
//!
//! Counts are atomics; one ticker turns them into a bar or lines. Knows nothing of the rest.

mod counts;
mod links;
mod rate;
mod show;
mod tell;

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub use counts::Counts;
use links::Links;
use rate::Rate;

/// How often a bar moves.
const TICK: Duration = Duration::from_millis(100);

/// How often a line is written where no bar is.
const LINE: Duration = Duration::from_secs(5);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// A bar, for a person who watches.
    Bar,
    /// A line every few seconds.
    Lines,
    /// JSON, a line every few seconds.
    Json,
    /// Failures only.
    Quiet,
}

impl View {
    /// The display that fits the options and the terminal.
    #[must_use]
    pub fn choose(json: bool, quiet: bool) -> Self {
        if json {
            Self::Json
        } else if quiet {
            Self::Quiet
        } else if io::stderr().is_terminal() {
            Self::Bar
        } else {
            Self::Lines
        }
    }
}

/// The progress of a run so far.
#[derive(Debug)]
pub struct Progress {
    view: View,
    verbose: bool,
    bar: ProgressBar,
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
    over: Mutex<bool>,
    ended: Condvar,
}

impl Progress {
    /// Starts counting, and the clock.
    #[must_use]
    pub fn new(view: View, verbose: bool) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if view == View::Bar {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {wide_bar:.cyan/blue} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
        let zero = || AtomicU64::new(0);
        Self {
            view,
            verbose,
            bar,
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
            over: Mutex::new(false),
            ended: Condvar::new(),
        }
    }

    /// Whether totals are shown, so that sizes are worth asking for.
    #[must_use]
    pub fn wants_sizes(&self) -> bool {
        self.view == View::Bar
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
    pub fn reconnecting(&self, attempt: u32, of: u32, error: &dyn Display) {
        if !self.connections().reconnecting(attempt, of) {
            return;
        }
        match self.view {
            View::Json => self.event(&serde_json::json!({
                "event": "reconnecting", "attempt": attempt, "of": of, "error": error.to_string(),
            })),
            View::Lines => {
                self.message(&format_args!("haul: {error}; reconnecting ({attempt} of {of})"));
            }
            // The bar says it as long as it is so.
            View::Bar | View::Quiet => {}
        }
    }

    /// A file of `bytes` is committed.
    pub fn file_done(&self, name: &dyn Display, bytes: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.name(name);
    }

    /// A link is committed.
    pub fn link_done(&self, name: &dyn Display) {
        self.links.fetch_add(1, Ordering::Relaxed);
        self.name(name);
    }

    /// A directory has its final mode and mtime.
    pub fn directory_done(&self, name: &dyn Display) {
        self.directories.fetch_add(1, Ordering::Relaxed);
        self.name(name);
    }

    /// A file or link is there already as it is here.
    pub fn unchanged(&self) {
        self.unchanged.fetch_add(1, Ordering::Relaxed);
    }

    /// The bytes of a file are there already, and it has got its mode and mtime.
    pub fn adjusted(&self, name: &dyn Display) {
        self.adjusted.fetch_add(1, Ordering::Relaxed);
        self.name(name);
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

    /// Something that the source lacks is removed at the server.
    pub fn removed(&self, name: &dyn Display) {
        self.removed.fetch_add(1, Ordering::Relaxed);
        if self.verbose {
            match self.view {
                View::Json => self.event(&serde_json::json!({
                    "event": "removed", "name": name.to_string(),
                })),
                _ => self.message(&format_args!("removed {name}")),
            }
        }
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

    /// Shows progress until [`end`](Self::end).
    pub fn run(&self) {
        let pause = match self.view {
            View::Bar => TICK,
            View::Lines | View::Json => LINE,
            View::Quiet => return,
        };
        let mut rate = Rate::new();
        let mut over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let waited = self.ended.wait_timeout_while(over, pause, |over| !*over);
            over = waited.unwrap_or_else(PoisonError::into_inner).0;
            if *over {
                return;
            }
            self.show(&mut rate);
        }
    }

    /// Ends showing.
    pub fn end(&self) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ended.notify_all();
        self.bar.finish_and_clear();
    }
}
