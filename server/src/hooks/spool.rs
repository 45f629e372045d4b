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
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::fate::{Fate, Marks};
use super::record::{Record, line};
use super::recovered::Recovered;
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
    /// The fates of the records from `first` to the last.
    fates: VecDeque<Fate>,
    /// The number of the first record that is not delivered.
    first: u64,
    marks: Marks,
    note: File,
    /// Until then what is left may be delivered, and then the server ends.
    stops: Option<Instant>,
}

/// The promises of a spool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// At so many bytes it is full.
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

impl State {
    fn next(&self) -> u64 {
        self.first + self.fates.len() as u64
    }

    fn set(&mut self, number: u64, fate: Fate) {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(found) = at.and_then(|at| self.fates.get_mut(at)) {
            *found = fate;
        }
    }
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
        let state = State { segment: None, segments, fates, first, marks, note, stops: None };
        Ok(Self {
            state: Mutex::new(Rank::Hooks, state),
            changed: Condvar::new(),
            directory,
            bytes: AtomicU64::new(bytes),
            bounds,
            is_dirty: AtomicBool::new(false),
            boot,
            run,
        })
    }

    /// Whether no change may come that would have to be told.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.bounds.most
    }

    /// The figures of this moment.
    pub(crate) fn waiting(&self) -> Waiting {
        let state = self.state.lock();
        let events = state.fates.iter().filter(|fate| **fate != Fate::Never).count() as u64;
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
        let first = state.next();
        let numbered = (first..).zip(&rests);
        let records: String =
            numbered.map(|(number, rest)| line(&self.run, number, rest)).collect();
        self.write(&mut state, &records)?;
        state.fates.extend(rests.iter().map(|_| Fate::Open));
        Ok(first)
    }

    /// Writes the marks that wait, if any do.
    pub(crate) fn write_marks(&self) -> io::Result<()> {
        self.write(&mut self.state.lock(), "")
    }

    fn write(&self, state: &mut MutexGuard<'_, State>, records: &str) -> io::Result<()> {
        if records.is_empty() && state.marks.is_empty() {
            return Ok(());
        }
        let text = state.marks.lines() + records;
        let next = state.next();
        let is_over = |segment: &Segment| {
            segment.is_torn || segment.len >= SEGMENT.min(self.bounds.most / PARTS)
        };
        if state.segment.as_ref().is_none_or(is_over) {
            self.begin_segment(state, next)?;
        }
        let Some(segment) = &mut state.segment else { return Err(io::ErrorKind::NotFound.into()) };
        self.is_dirty.store(true, Ordering::Release);
        segment.append(text.as_bytes())?;
        self.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
        if let Some((_, bytes)) = state.segments.back_mut() {
            *bytes += text.len() as u64;
        }
        state.marks.clear();
        Ok(())
    }

    /// Goes on in a new file. What the old one has is durable then, since nobody flushes it later.
    fn begin_segment(&self, state: &mut MutexGuard<'_, State>, next: u64) -> io::Result<()> {
        let head = format!("@{}\n", self.boot);
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
        if let Err(error) = segment.append(head.as_bytes()) {
            let _ = self.directory.remove(segment.first);
            return Err(error);
        }
        if self.bounds.is_durable {
            self.directory.sync()?;
        }
        self.bytes.fetch_add(segment.len, Ordering::Relaxed);
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
        for (number, fate) in fates {
            let was = number.checked_sub(state.first).and_then(|at| usize::try_from(at).ok());
            let was = was.and_then(|at| state.fates.get(at).copied());
            // A mark says already that it was seen.
            if was != Some(fate) && !(was == Some(Fate::Seen) && fate == Fate::Done) {
                state.marks.add(number, fate);
            }
            state.set(number, fate);
            is_settled |= fate.is_settled();
        }
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
            let settled = state.fates.iter().take_while(|fate| fate.is_settled());
            let fates: Vec<Fate> = settled.take(most).copied().collect();
            let stops = state.stops;
            if !fates.is_empty() {
                return Some(Due { first: state.first, fates, stops });
            }
            if stops.is_some() {
                return None;
            }
            state = self.changed.wait_timeout_while(state, ANYWAY, |state| {
                let is_due = state.fates.front().is_some_and(|fate| fate.is_settled());
                !is_due && state.stops.is_none()
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
        while state.first < next && state.fates.pop_front().is_some() {
            state.first += 1;
        }
        let noted = note(&state.note, state.first);
        // A file that is not the last one ends where the next one begins.
        let mut over = Vec::new();
        while let (Some(&(first, bytes)), Some(&(end, _))) =
            (state.segments.front(), state.segments.get(1))
            && end <= state.first
        {
            over.push((first, bytes));
            state.segments.pop_front();
        }
        let is_last_over = state.fates.is_empty() && state.marks.is_empty();
        if let (true, None, Some((first, bytes))) =
            (is_last_over, &state.segment, state.segments.front().copied())
        {
            // Of an earlier run.
            over.push((first, bytes));
            state.segments.clear();
        }
        drop(state);
        for (first, bytes) in over {
            self.directory.remove(first)?;
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        noted
    }
}
