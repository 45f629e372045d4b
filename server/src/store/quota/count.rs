//! Counting the entries below a directory with a quota, and the previous versions of directories in it: one thread, in the
//! background.
//!
//! Changes go on meanwhile. The count leaves out files and symlinks whose change time is after its beginning, and adds
//! those that the server has made since ([`Usage::is_counted`]). Directories count whenever they are met. If something was
//! replaced, removed or published meanwhile, the sum may be too large, never too small, and the entries are counted again soon.
//! If a directory was moved or a version brought back, the count is void; after two such counts, directories stay where they
//! are until the third one is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use haul_protocol::Name;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, Stat};
use rustix::io::Errno;

use super::Usage;
use super::since::{Moment, tick};
use super::walk::{Met, Place, Walk};
use crate::locks::{Condvar, Mutex, Rank};
use crate::store::Store;
use crate::store::open::DIRECTORY;
use crate::store::versions::home::PREVIOUS;

/// Time after which everything is counted again: other programs change files as well.
const EVERY: Duration = Duration::from_secs(3600);

/// Time after which a count that was disturbed is made again, the first time; then twice as long.
const SOON: Duration = Duration::from_secs(1);

/// Counts one after the other that may be void.
const VOID: u32 = 2;

/// Wakes the thread that counts.
#[derive(Debug)]
pub(super) struct Wanted {
    state: Mutex<Asked>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Asked {
    rung: bool,
    /// Homes with drafts of an earlier server.
    homes: Vec<String>,
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

    /// In this home there is a draft of which nobody knows what is in it.
    pub(super) fn draft(&self, home: &str) {
        let mut state = self.state.lock();
        if !state.homes.iter().any(|of| of == home) {
            state.homes.push(home.to_owned());
        }
        drop(state);
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
    /// Counts that were void, one after the other.
    void: u32,
    /// Until then it isn't counted again for somebody who was refused: after a long count there is a long pause.
    rests: Instant,
}

/// The end of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// It is exact.
    Exactly,
    /// The sum may be too large.
    AtMost,
    /// Something was moved meanwhile.
    Void,
    /// Nothing could be counted, or the server stops.
    Not,
}

impl Store {
    /// Counts whatever is to be counted, until [`stop_counting`](Self::stop_counting).
    pub(crate) fn count(&self) {
        let mut all: Vec<Due> = Vec::new();
        let (mut drafts, mut pause) = (None, SOON);
        loop {
            let now = Instant::now();
            if drafts.is_none() && self.quotas.wanted.has_homes() {
                drafts = Some(now + pause);
            }
            let ends = all.iter().filter_map(|due| due.usage.patience());
            let next = all.iter().map(|due| due.at).chain(ends).chain(drafts).min();
            let wait = next.map_or(EVERY, |at| at.saturating_duration_since(now));
            if self.quotas.wanted.wait(wait.min(EVERY)) {
                return;
            }
            self.look_for_usages(&mut all);
            all.iter().for_each(|due| due.usage.look_at_the_clock());
            // Before any usage is lowered: a file may have no name left but that in a draft.
            let now = Instant::now();
            let is_due = drafts.is_some_and(|at| at <= now) || all.iter().any(|due| due.at <= now);
            if is_due && self.quotas.wanted.has_homes() {
                let is_over = self.count_drafts();
                (drafts, pause) = (None, if is_over { SOON } else { (2 * pause).min(EVERY) });
                pause = pause.max(now.elapsed());
            }
            for index in 0..all.len() {
                if all[index].at > now {
                    continue;
                }
                let goes_on = || {
                    all.iter().for_each(|due| due.usage.look_at_the_clock());
                    !self.quotas.wanted.is_stopped()
                };
                let Due { usage, void, .. } = &all[index];
                let begun = Instant::now();
                let counted = self.count_one(usage, *void >= VOID, &goes_on);
                let due = &mut all[index];
                let is_over = counted == Counted::Exactly && !due.usage.is_wanted();
                due.rests = Instant::now() + begun.elapsed();
                due.void = if counted == Counted::Void { due.void + 1 } else { 0 };
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
                Some(due) if usage.was_urgent() => due.at = due.at.min(due.rests.max(now)),
                Some(due) if usage.is_wanted() => due.at = due.at.min(now + due.pause),
                Some(_) => {}
                None => {
                    is_new = true;
                    let usage = Arc::clone(usage);
                    all.push(Due { usage, at: now, pause: SOON, void: 0, rests: now });
                }
            }
        }
        if is_new {
            self.promise_what_is_there();
            self.look_for_drafts();
        }
    }

    /// Everything that is in drafts counts for new usages too.
    fn look_for_drafts(&self) {
        match self.homes() {
            Ok(homes) => {
                homes.iter().for_each(|home| self.quotas.wanted.draft(&home.id));
            }
            Err(errno) => tracing::warn!(%errno, "could not look for versions"),
        }
    }

    /// Counts drafts of an earlier server; tells whether all are known exactly. Files that the present version has count there.
    pub(in crate::store) fn count_drafts(&self) -> bool {
        let mut homes = self.quotas.wanted.take_homes();
        homes.sort_unstable();
        homes.dedup();
        homes
            .retain(|home| self.drafts_in(home).iter().any(|draft| !self.count_draft(home, draft)));
        self.quotas.wanted.put_back(homes)
    }

    /// Counts one; tells whether it is known exactly.
    fn count_draft(&self, home: &str, (entry, tag): &(String, String)) -> bool {
        let Some(name) = self.name_of_home(home) else { return true };
        let draft = self.quotas.left_draft((home, tag), &name);
        let changes = draft.changes();
        let Some(directory) = self.in_home(home, entry) else { return true };
        let place = Place { directory, beside: self.present_beside(&name) };
        let mut walk = self.a_walk(|_: &Stat| true, || !self.quotas.wanted.is_stopped());
        match walk.below(place, false) {
            Ok(()) => {
                tell(&name.to_string(), walk.met);
                let usages = self.quotas.covering(&draft.inside());
                draft.is_counted(&usages, walk.met.amount, changes)
            }
            Err(Errno::CANCELED) => true,
            Err(errno) => {
                tracing::warn!(name = name.as_bytes(), %errno, "could not count the files of a version");
                errno != Errno::STALE
            }
        }
    }

    /// Counts one. `is_still`: directories stay where they are meanwhile.
    pub(super) fn count_one(
        &self,
        usage: &Usage,
        is_still: bool,
        goes_on: &dyn Fn() -> bool,
    ) -> Counted {
        // Between two changes: of an entry that is on the disk already the server has told.
        let turn = self.quotas.turn();
        usage.begin(is_still);
        drop(turn);
        let Some(begun) = usage.begun() else { return Counted::Not };
        let Some(first) = tick_after(begun, goes_on) else {
            usage.is_not_counted();
            return Counted::Not;
        };
        usage.has_first_tick(first);
        let root = usage.root.as_ref().map_or(&[][..], |root| root.as_bytes());
        let is_old = |stat: &Stat| (stat.st_ctime, stat.st_ctime_nsec) <= begun;
        match self.walk_all(root, is_old, goes_on) {
            Ok(met) => {
                tell(&String::from_utf8_lossy(root), met);
                usage.is_counted(met.amount)
            }
            // Another program has moved a directory.
            Err(Errno::STALE) => {
                usage.is_not_counted();
                Counted::Void
            }
            // The server stops.
            Err(Errno::CANCELED) => {
                usage.is_not_counted();
                Counted::Not
            }
            Err(errno) => {
                usage.is_not_counted();
                let root = String::from_utf8_lossy(root);
                tracing::warn!(root = root.as_bytes(), %errno, "could not count the files of an account: it may send nothing until they are counted");
                Counted::Not
            }
        }
    }

    /// All directories below one, and those of the other entries that count; then previous versions of directories there.
    fn walk_all(
        &self,
        root: &[u8],
        is_old: impl Fn(&Stat) -> bool,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Met, Errno> {
        let place = Place { directory: self.open_to_read(root)?, beside: None };
        let mut walk = self.a_walk(is_old, goes_on);
        walk.below(place, root.is_empty())?;
        for home in self.homes()? {
            let is_inside = home.name.as_bytes().starts_with(root)
                && (root.is_empty()
                    || matches!(home.name.as_bytes().get(root.len()), None | Some(b'/')));
            if is_inside && let Some(directory) = self.in_home(&home.id, PREVIOUS) {
                self.quotas.has_versions();
                walk.below(Place { directory, beside: self.present_beside(&home.name) }, false)?;
            }
        }
        Ok(walk.met)
    }

    /// Bytes and entries of a draft, but for the files that the present version has too.
    pub(in crate::store) fn amount_in(&self, draft: OwnedFd, name: Option<&Name>) -> (u64, u64) {
        let beside = name.and_then(|name| self.present_beside(name));
        let mut walk = self.a_walk(|_: &Stat| true, || true);
        if let Err(errno) = walk.below(Place { directory: draft, beside }, false) {
            tracing::warn!(%errno, "could not count the files of a draft");
        }
        let Met { amount, .. } = walk.met;
        (amount.bytes.unsigned_abs(), amount.files.unsigned_abs())
    }

    fn a_walk<C: Fn(&Stat) -> bool, G: Fn() -> bool>(
        &self,
        counts: C,
        goes_on: G,
    ) -> Walk<'_, C, G> {
        let (rights, shares_blocks) = (&*self.rights, self.shares_blocks());
        Walk { rights, counts, goes_on, shares_blocks, seen: 0, met: Met::default() }
    }

    fn present_beside(&self, name: &Name) -> Option<OwnedFd> {
        self.open_to_read(name.as_bytes()).ok()
    }

    fn open_to_read(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let handle = self.parents().find(path)?;
        rustix::fs::openat(&handle, c".", DIRECTORY, Mode::empty())
    }
}

/// Tells of entries that could not be counted.
fn tell(root: &str, met: Met) {
    if let Some(errno) = met.why {
        let missed = met.missed;
        tracing::warn!(root, missed, %errno, "could not count some files of an account: its use is larger than it says");
    }
}

impl Wanted {
    /// Whether there are drafts to count.
    pub(super) fn has_homes(&self) -> bool {
        !self.state.lock().homes.is_empty()
    }

    fn take_homes(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().homes)
    }

    /// These are to be looked at again; tells whether there are none.
    fn put_back(&self, homes: Vec<String>) -> bool {
        let is_over = homes.is_empty();
        self.state.lock().homes.extend(homes);
        is_over
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
