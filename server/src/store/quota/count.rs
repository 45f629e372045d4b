//! Counting the entries below a directory with a quota: one thread, in the background, with one open directory and a few
//! names in memory however large the tree is.
//!
//! Changes go on meanwhile. The count leaves out files and symlinks whose change time is after its beginning, and adds
//! those that the server has made since ([`Usage::is_counted`]). Directories count whenever they are met. If something was
//! replaced, removed or moved meanwhile, the sum may be too large, never too small, and the entries are counted again soon.

use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, RawDir, SeekFrom, Stat};
use rustix::io::Errno;

use super::usage::{Moment, tick};
use super::{Amount, Draft, Usage};
use crate::locks::{Condvar, Mutex, Rank};
use crate::store::Store;
use crate::store::open::DIRECTORY;
use crate::store::private::PRIVATE;

/// Time after which everything is counted again: other programs change files as well.
const EVERY: Duration = Duration::from_secs(3600);

/// Time after which a count that was disturbed is made again, the first time; then twice as long.
const SOON: Duration = Duration::from_secs(1);

/// Time for which a client that logs in waits for the first count.
const PATIENCE: Duration = Duration::from_secs(5);

/// Entries between two looks whether that is over.
const SOME: usize = 256;

/// Bytes of entries that are read at once.
const READ: usize = 32 * 1024;

/// Wakes the thread that counts.
#[derive(Debug)]
pub(super) struct Wanted {
    state: Mutex<Asked>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Asked {
    rung: bool,
    /// Drafts of an earlier server, and their paths.
    drafts: Vec<(Arc<Draft>, String)>,
    stopped: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        let state = Mutex::new(Rank::Counter, Asked::default());
        Self { state, changed: Condvar::new() }
    }
}

impl Wanted {
    /// There is something to count.
    pub(super) fn ring(&self) {
        self.state.lock().rung = true;
        self.changed.notify_all();
    }

    /// There is a draft of which nobody knows what is in it.
    pub(super) fn draft(&self, draft: Arc<Draft>, path: String) {
        self.state.lock().drafts.push((draft, path));
        self.ring();
    }

    fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Waits for so long at most; returns whether the server stops.
    fn wait(&self, timeout: Duration) -> bool {
        let state = self.state.lock();
        let mut state =
            self.changed.wait_timeout_while(state, timeout, |asked| !asked.rung && !asked.stopped);
        state.rung = false;
        state.stopped
    }
}

/// When a usage is to be counted next.
#[derive(Debug)]
struct Due {
    usage: Arc<Usage>,
    at: Instant,
    /// The pause after the next count that is disturbed.
    pause: Duration,
}

impl Store {
    /// Counts whatever is to be counted, until [`stop_counting`](Self::stop_counting).
    pub(crate) fn count(&self) {
        let mut all: Vec<Due> = Vec::new();
        loop {
            let now = Instant::now();
            let next = all.iter().map(|due| due.at).min();
            let wait = next.map_or(EVERY, |at| at.saturating_duration_since(now));
            if self.quotas.wanted.wait(wait.min(EVERY)) {
                return;
            }
            self.look_for_usages(&mut all);
            self.count_drafts();
            let begun = Instant::now();
            for index in 0..all.len() {
                if all[index].at > Instant::now() {
                    continue;
                }
                let tick = || {
                    if begun.elapsed() > PATIENCE {
                        all.iter().for_each(|due| due.usage.is_late());
                    }
                    !self.quotas.wanted.is_stopped()
                };
                let is_known = self.count_one(&all[index].usage, &tick);
                let due = &mut all[index];
                let is_over = is_known && !due.usage.is_wanted();
                due.at = Instant::now() + if is_over { EVERY } else { due.pause };
                due.pause = if is_over { SOON } else { (2 * due.pause).min(EVERY) };
            }
        }
    }

    /// Ends [`count`](Self::count).
    pub(crate) fn stop_counting(&self) {
        self.quotas.wanted.stop();
    }

    /// New usages are due now, and so are those of which something has become unknown.
    fn look_for_usages(&self, all: &mut Vec<Due>) {
        let now = Instant::now();
        let table = self.quotas.table();
        let present: Vec<_> = table.values().flatten().collect();
        all.retain(|due| present.iter().any(|usage| Arc::ptr_eq(usage, &due.usage)));
        let mut is_new = false;
        for usage in present {
            match all.iter_mut().find(|due| Arc::ptr_eq(usage, &due.usage)) {
                Some(due) if usage.is_wanted() => due.at = due.at.min(now + due.pause),
                Some(_) => {}
                None => {
                    is_new = true;
                    all.push(Due { usage: Arc::clone(usage), at: now, pause: SOON });
                }
            }
        }
        if is_new {
            self.promise_what_is_there();
        }
    }

    /// Counts the files and directories in drafts of an earlier server. Files with several names were taken over.
    pub(in crate::store) fn count_drafts(&self) {
        let drafts = std::mem::take(&mut self.quotas.wanted.state.lock().drafts);
        for (draft, path) in drafts {
            let is_sent = |stat: &Stat| stat.st_nlink == 1;
            match self.walk(path.as_bytes(), &is_sent, &|| !self.quotas.wanted.is_stopped()) {
                Ok(amount) => {
                    let inside = [draft.name.as_bytes(), b"/x"].concat();
                    draft.had(&self.quotas.covering(&inside), amount);
                }
                Err(errno) => {
                    tracing::warn!(name = %draft.name, %errno, "could not count the files of a version");
                }
            }
        }
    }

    /// Counts one; tells whether nothing was missed.
    fn count_one(&self, usage: &Usage, tick: &dyn Fn() -> bool) -> bool {
        usage.begin();
        let Some(begun) = usage.begun() else { return false };
        let Some(first) = tick_after(begun, tick) else { return false };
        usage.has_first_tick(first);
        let root = usage.root.as_ref().map_or(&[][..], |root| root.as_bytes());
        let is_old = |stat: &Stat| (stat.st_ctime, stat.st_ctime_nsec) <= begun;
        match self.walk(root, &is_old, tick) {
            Ok(met) => usage.is_counted(met),
            Err(errno) => {
                usage.is_not_counted();
                // Not if the server stops.
                if errno != Errno::CANCELED {
                    let root = String::from_utf8_lossy(root);
                    tracing::warn!(%root, %errno, "could not count the files of an account");
                    usage.is_late();
                }
                false
            }
        }
    }

    /// All directories below one, and those of the other entries that count.
    fn walk(
        &self,
        root: &[u8],
        counts: &dyn Fn(&Stat) -> bool,
        tick: &dyn Fn() -> bool,
    ) -> Result<Amount, Errno> {
        let open = |path: &[u8]| {
            let handle = self.parents().find(path)?;
            rustix::fs::openat(&handle, c".", DIRECTORY, Mode::empty())
        };
        let mut path = root.to_vec();
        // Where each directory above goes on, and the length of its path.
        let mut above: Vec<(u64, usize)> = Vec::new();
        let mut directory = open(&path)?;
        let (mut sum, mut seen) = (Amount::default(), 0);
        let mut room = [MaybeUninit::uninit(); READ];
        loop {
            let met = self.read_on(&directory, &mut room, path.is_empty(), |stat| {
                if counts(stat) || FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    sum = sum + Amount::found(stat);
                }
                seen += 1;
                if seen % SOME == 0 && !tick() { Err(Errno::CANCELED) } else { Ok(()) }
            })?;
            match met {
                Some((name, next)) => match self.rights.open_in(&directory, &name) {
                    Ok(inner) => {
                        above.push((next, path.len()));
                        if !path.is_empty() {
                            path.push(b'/');
                        }
                        path.extend_from_slice(&name);
                        directory = inner;
                    }
                    // It has gone, is another file system, or the server may not read it.
                    Err(_) => drop(rustix::fs::seek(&directory, SeekFrom::Start(next))?),
                },
                None => loop {
                    let Some((next, len)) = above.pop() else { return Ok(sum) };
                    path.truncate(len);
                    match open(&path) {
                        Ok(opened) => {
                            directory = opened;
                            rustix::fs::seek(&directory, SeekFrom::Start(next))?;
                            break;
                        }
                        // It has gone meanwhile, and the change that took it has told.
                        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                        Err(errno) => return Err(errno),
                    }
                },
            }
        }
    }

    /// Reads entries on from where the handle stands, up to the next directory: returns its name, and where the entry after
    /// it stands.
    fn read_on(
        &self,
        directory: &OwnedFd,
        room: &mut [MaybeUninit<u8>],
        is_root: bool,
        mut each: impl FnMut(&Stat) -> Result<(), Errno>,
    ) -> Result<Option<(Vec<u8>, u64)>, Errno> {
        let mut entries = RawDir::new(directory, room);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            let is_private = is_root && name.to_bytes() == PRIVATE.as_bytes();
            if matches!(name.to_bytes(), b"." | b"..") || is_private {
                continue;
            }
            let look = || self.rights.stat_at(directory, name);
            match self.rights.in_directory(directory, look) {
                Ok(stat) => {
                    each(&stat)?;
                    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                        return Ok(Some((name.to_bytes().to_vec(), entry.next_entry_cookie())));
                    }
                }
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(None)
    }
}

/// Waits for the first tick of the clock after a moment, and returns it. `None`: the server stops, or somebody has set the
/// clock back.
fn tick_after(begun: Moment, goes_on: &dyn Fn() -> bool) -> Option<Moment> {
    loop {
        let now = tick();
        if now > begun {
            return Some(now);
        }
        if now.0 + 1 < begun.0 || !goes_on() {
            return None;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}
