//! The spool: changes that the hook has to be told of, on the disk.
//!
//! Before a change takes effect, its record is in the spool. Its fate comes later, as a mark, in the same write as the next
//! records. So there is one write for each group of changes, and every change of an entry finds the marks of earlier changes of
//! that entry in the spool. After a crash a record without a mark is decided by a look at the entry
//! ([`recovered`](super::recovered)).
//!
//! With durability `group`, the committer makes the spool durable together with the group that the marks are about, before any
//! client is told.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::fate::Fate;
use super::fates::{Fates, MARKS};
use super::is_told;
use super::record::{Record, bound, line};
use super::recovered::Recovered;
use super::room::{Reserved, Room};
use super::segment::{Directory, Segment, note};
use crate::audit::Event;
use crate::locks::{Condvar, Mutex, MutexGuard, Rank};

/// Bytes of a file of the spool after which the next one begins, and the part of the whole spool that is its most.
const SEGMENT: u64 = 4 << 20;
const PARTS: u64 = 4;

/// The spool.
#[derive(Debug)]
pub(crate) struct Spool {
    state: Mutex<State>,
    /// There is more to deliver, or the server stops.
    changed: Condvar,
    pub(super) directory: Directory,
    /// Bytes in its files, for a look without the lock.
    bytes: AtomicU64,
    room: Arc<Room>,
    bounds: Bounds,
    /// Bytes were written that are not flushed.
    is_dirty: AtomicBool,
    boot: String,
    /// Names the run of the server in the identities of records.
    run: String,
}

#[derive(Debug)]
struct State {
    segment: Option<Segment>,
    /// The files, in order, with the bytes of each. The last one is `segment`, if there is one.
    segments: VecDeque<(u64, u64)>,
    fates: Fates,
    note: File,
    /// Until then what is left may be delivered, and then the server ends.
    stops: Option<Instant>,
}

/// The promises of a spool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Its files never have more bytes.
    pub(super) most: u64,
    /// Its records have to survive a loss of power.
    pub(super) is_durable: bool,
}

/// The names that are written into a spool.
#[derive(Debug)]
pub(super) struct Names {
    /// Of this boot of the machine.
    pub(super) boot: String,
    /// Of this run of the server, in the identities of records.
    pub(super) run: String,
}

impl Bounds {
    /// Bytes of a file after which the next one begins.
    fn segment(self) -> u64 {
        SEGMENT.min(self.most / PARTS).max(1)
    }
}

/// The first line of each file.
fn head(boot: &str) -> String {
    format!("@{boot}\n")
}

/// The records that may be delivered now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) first: u64,
    /// The fate of each, from the first one on.
    pub(super) fates: Vec<Fate>,
    /// Set if the server stops: the moment until which it waits.
    pub(super) stops: Option<Instant>,
}

/// What those who watch the server are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Waiting {
    /// Changes that are not delivered.
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) most: u64,
}

impl Spool {
    /// Over a directory, with the rests of an earlier run.
    pub(super) fn new(
        directory: Directory,
        recovered: Recovered,
        bounds: Bounds,
        names: Names,
    ) -> io::Result<Self> {
        let Names { boot, run } = names;
        let Recovered { segments, fates, first, marks } = recovered;
        let note = directory.note()?;
        let bytes = segments.iter().map(|(_, bytes)| bytes).sum();
        let fates = Fates::new(first, fates, marks);
        // Each file has a head of its own.
        let heads = (bounds.most / bounds.segment() + 2) * head(&boot).len() as u64;
        let limit = bounds.most.saturating_sub(heads);
        let room = Arc::new(Room::new(bytes + fates.to_come(), limit));
        let state = State { segment: None, segments, fates, note, stops: None };
        Ok(Self {
            state: Mutex::new(Rank::Hooks, state),
            changed: Condvar::new(),
            directory,
            bytes: AtomicU64::new(bytes),
            room,
            bounds,
            is_dirty: AtomicBool::new(false),
            boot,
            run,
        })
    }

    /// Whether changes are refused that would have to be told.
    pub(crate) fn is_full(&self) -> bool {
        self.room.is_full()
    }

    /// Reserves room for what these changes may put into its files, until they are begun; `None`: there is none.
    pub(crate) fn reserve(&self, events: &[Event]) -> Option<Reserved> {
        let told = events.iter().filter(|event| is_told(event));
        let wanted = told.map(|event| bound(event) + MARKS).sum();
        self.room.reserve(wanted).or_else(|| {
            // The last file stays when all in it is delivered.
            self.remove_delivered(&mut self.state.lock()).ok()?;
            self.room.reserve(wanted)
        })
    }

    /// The figures of this moment.
    pub(crate) fn waiting(&self) -> Waiting {
        let events = self.state.lock().fates.waiting();
        Waiting { events, bytes: self.bytes.load(Ordering::Relaxed), most: self.bounds.most }
    }

    /// Writes the records of changes that are about to take effect, and all marks that wait. Returns the number of the first
    /// record; the others follow.
    ///
    /// # Errors
    /// If they can't be written: then none of the changes may take effect.
    pub(super) fn begin<'a>(&self, events: impl Iterator<Item = &'a Event>) -> io::Result<u64> {
        let rests: Vec<String> = events.map(|event| Record::of(event).rest()).collect();
        let mut state = self.state.lock();
        let first = state.fates.next();
        let numbered = (first..).zip(&rests);
        let records: String =
            numbered.map(|(number, rest)| line(&self.run, number, rest)).collect();
        self.write(&mut state, &records)?;
        self.room.came(rests.len() as u64 * MARKS);
        state.fates.begin(rests.len());
        Ok(first)
    }

    /// Writes the marks that wait, if any do.
    pub(crate) fn write_marks(&self) -> io::Result<()> {
        self.write(&mut self.state.lock(), "")
    }

    fn write(&self, state: &mut MutexGuard<'_, State>, records: &str) -> io::Result<()> {
        let text = state.fates.marks() + records;
        if text.is_empty() {
            return Ok(());
        }
        let next = state.fates.next();
        let is_over = |segment: &Segment| segment.is_torn || segment.len >= self.bounds.segment();
        if state.segment.as_ref().is_none_or(is_over) {
            self.begin_segment(state, next)?;
        }
        let Some(segment) = &mut state.segment else { return Err(io::ErrorKind::NotFound.into()) };
        self.is_dirty.store(true, Ordering::Release);
        segment.append(text.as_bytes())?;
        self.has_more(text.len() as u64);
        if let Some((_, bytes)) = state.segments.back_mut() {
            *bytes += text.len() as u64;
        }
        self.counting(&mut state.fates, Fates::marks_are_written);
        Ok(())
    }

    /// Goes on in a new file. What the old one has is durable then, since nobody flushes it later.
    fn begin_segment(&self, state: &mut MutexGuard<'_, State>, next: u64) -> io::Result<()> {
        if let Some(old) = &state.segment
            && self.bounds.is_durable
        {
            old.file.sync_data()?;
        }
        // An empty one that could not be gone on with has its name.
        let mut segment = match self.directory.begin(next) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let last = state.segments.back().map_or(next, |(first, _)| (*first).max(next));
                self.directory.begin(last + 1)?
            }
            begun => begun?,
        };
        if let Err(error) = segment.append(head(&self.boot).as_bytes()) {
            let _ = self.directory.remove(segment.first);
            return Err(error);
        }
        if self.bounds.is_durable {
            self.directory.sync()?;
        }
        self.has_more(segment.len);
        state.segments.push_back((segment.first, segment.len));
        state.segment = Some(segment);
        Ok(())
    }

    /// Makes durable all that is written, unless a flush of the whole file system has done that since.
    pub(crate) fn sync(&self, is_flushed: bool) -> io::Result<()> {
        if !self.is_dirty.swap(false, Ordering::AcqRel) || is_flushed {
            return Ok(());
        }
        let file = self.state.lock().segment.as_ref().map(|segment| segment.file.try_clone());
        match file.transpose()? {
            Some(file) => file.sync_data(),
            None => Ok(()),
        }
    }

    /// Notes the fates of changes; those that are settled are delivered.
    pub(crate) fn fate(&self, fates: impl Iterator<Item = (u64, Fate)>) {
        let mut state = self.state.lock();
        let mut is_settled = false;
        self.counting(&mut state.fates, |all| {
            for (number, fate) in fates {
                all.set(number, fate);
                is_settled |= fate.is_settled();
            }
        });
        drop(state);
        if is_settled {
            self.changed.notify_one();
        }
    }

    /// Waits for records that may be delivered, at most so many of them. `None`: the server stops, and there are none.
    pub(super) fn due(&self, most: usize) -> Option<Due> {
        /// Time between two looks that are made anyway.
        const ANYWAY: Duration = Duration::from_secs(3600);
        let mut state = self.state.lock();
        loop {
            let (first, fates) = (state.fates.first(), state.fates.due(most));
            let stops = state.stops;
            if !fates.is_empty() {
                return Some(Due { first, fates, stops });
            }
            if stops.is_some() {
                return None;
            }
            state = self.changed.wait_timeout_while(state, ANYWAY, |state| {
                !state.fates.is_due() && state.stops.is_none()
            });
        }
    }

    /// Waits until the server stops, at most so long. Returns the moment until which it waits then.
    pub(super) fn rest(&self, time: Duration) -> Option<Instant> {
        let state = self.state.lock();
        self.changed.wait_timeout_while(state, time, |state| state.stops.is_none()).stops
    }

    /// The moment until which the server waits, if it stops.
    pub(super) fn stops(&self) -> Option<Instant> {
        self.state.lock().stops
    }

    /// The server stops: what is left is delivered until then.
    pub(crate) fn stop(&self, until: Instant) {
        self.state.lock().stops = Some(until);
        self.changed.notify_all();
    }

    /// All records before this one are delivered. Removes the files that are needed no more.
    pub(super) fn delivered(&self, next: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.fates.delivered(next);
        let undelivered = state.fates.first();
        let noted = note(&state.note, undelivered);
        // A file that is not the last one ends where the next one begins.
        let mut over = Vec::new();
        while let (Some(&(first, bytes)), Some(&(end, _))) =
            (state.segments.front(), state.segments.get(1))
            && end <= undelivered
        {
            over.push((first, bytes));
            state.segments.pop_front();
        }
        let is_of_earlier_run = state.segment.is_none();
        drop(state);
        for (first, bytes) in over {
            self.remove(first, bytes)?;
        }
        if is_of_earlier_run || self.is_full() {
            self.remove_delivered(&mut self.state.lock())?;
        }
        noted
    }

    /// Removes the last file, if all in it is delivered and no mark waits for it.
    fn remove_delivered(&self, state: &mut MutexGuard<'_, State>) -> io::Result<()> {
        if let (true, 1, Some(&(first, bytes))) =
            (state.fates.is_over(), state.segments.len(), state.segments.front())
            // The next file gets another name.
            && first < state.fates.first()
        {
            self.remove(first, bytes)?;
            state.segment = None;
            state.segments.clear();
        }
        Ok(())
    }

    fn remove(&self, first: u64, bytes: u64) -> io::Result<()> {
        self.directory.remove(first)?;
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.room.went(bytes);
        Ok(())
    }

    /// Changes the fates, and the bytes that are counted for their marks.
    fn counting(&self, fates: &mut Fates, change: impl FnOnce(&mut Fates)) {
        let before = fates.to_come();
        change(fates);
        self.room.came(fates.to_come().saturating_sub(before));
        self.room.went(before.saturating_sub(fates.to_come()));
    }

    /// So many bytes are in its files besides.
    fn has_more(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.room.came(bytes);
    }
}
