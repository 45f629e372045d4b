//! The audit log: one line of JSON for each login, each refusal, each change that clients have made, and each change of the
//! accounts. And the access log ([`access`]), which is told of the same changes.
//!
//! A change is told when it is over, and durable if that was promised; one that has happened and may not last is told as
//! uncertain. Its line is with the kernel before its answer leaves: a crash of the process loses no line of a change that was
//! acknowledged. A loss of power may.
//!
//! Each run of a server begins with a line and ends with one. If the last line is missing, lines may be missing as well, and
//! the first line of the next run says so.

pub(crate) mod access;
mod access_line;
mod event;
mod file;
mod line;
mod log_file;
mod who;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::accounts::{Account, AccountName};
use crate::locks::{Mutex, Rank};
use access::AccessLog;
pub(crate) use event::{Changed, Event, What};
use file::Writer;
use line::Line;
pub(crate) use log_file::LogFileError;
pub(crate) use who::Who;

/// Lines about refused logins that are written in a second, and about refused requests. The log tells how many more there were.
const LOGINS: u64 = 10;
const REQUESTS: u64 = 1000;

/// The logs that are told of clients, those that anybody wants.
#[derive(Debug, Clone, Default)]
pub(crate) struct Logs {
    pub(crate) audit: Option<Arc<Audit>>,
    pub(crate) access: Option<Arc<AccessLog>>,
}

impl Logs {
    /// Whether there is any.
    pub(crate) fn are_there(&self) -> bool {
        self.audit.is_some() || self.access.is_some()
    }

    /// Changes are over. Those that were refused have not happened, and are not told here; those that are uncertain have, and
    /// may not last.
    pub(crate) fn over<E>(
        &self,
        events: &[Event],
        result: &Result<(), E>,
        is_uncertain: impl Fn(&E) -> bool,
    ) {
        let is_certain = match result {
            Ok(()) => true,
            Err(error) if is_uncertain(error) => false,
            Err(_) => return,
        };
        for event in events {
            if let Some(audit) = &self.audit {
                audit.add(if is_certain { event.line() } else { event.uncertain() });
            }
            if let Some(access) = &self.access {
                event.access(is_certain).into_iter().for_each(|line| access.add(&line));
            }
        }
    }

    /// Has the audit log written as far as it is known.
    pub(crate) fn flush(&self) {
        if let Some(audit) = &self.audit {
            audit.flush();
        }
    }

    /// Opens the files anew: somebody has renamed them.
    pub(crate) fn reopen(&self) {
        if let Some(audit) = &self.audit {
            audit.reopen();
        }
        if let Some(access) = &self.access {
            access.reopen();
        }
    }
}

/// The audit log.
#[derive(Debug)]
pub(crate) struct Audit {
    state: Mutex<State>,
    /// Lines wait to be written, for a look without the lock.
    has_lines: AtomicBool,
    begun: Instant,
}

#[derive(Debug)]
struct State {
    writer: Writer,
    logins: Few,
    requests: Few,
}

/// Counts lines of one kind that are not written, since too many come in a second.
#[derive(Debug)]
struct Few {
    kind: &'static str,
    most: u64,
    second: u64,
    told: u64,
    untold: u64,
}

impl Audit {
    /// A log at the end of this file, which is made for its owner alone if it is missing.
    ///
    /// # Errors
    /// If the file can't be had, is no regular file, or is below the root.
    pub(crate) fn open(path: PathBuf, root: &Path) -> Result<Self, LogFileError> {
        let state = State {
            writer: Writer::open(path, root)?,
            logins: Few::new("login_refused", LOGINS),
            requests: Few::new("refused", REQUESTS),
        };
        Ok(Self {
            state: Mutex::new(Rank::Audit, state),
            has_lines: AtomicBool::new(false),
            begun: Instant::now(),
        })
    }

    /// Opens the file anew: somebody has renamed it. If that fails, the log goes on in the old file.
    pub(crate) fn reopen(&self) {
        self.state.lock().writer.reopen();
    }

    /// A client has logged in.
    pub(crate) fn login(&self, who: &Who) {
        self.add(Line::of("login", who));
    }

    /// A login is refused. `token`: the id of its token.
    pub(crate) fn login_refused(&self, address: &str, token: &str) {
        let who = Who { account: None, token: Some(token.to_owned()), address: address.into() };
        self.add_few(|state| &mut state.logins, || Line::of("login_refused", &who));
    }

    /// A request, or a connection, is refused.
    pub(crate) fn refused(&self, who: &Who, code: &str, message: &str) {
        let line = || Line::of("refused", who).text("code", code).text("message", message);
        self.add_few(|state| &mut state.requests, line);
    }

    /// Other accounts hold from now on.
    pub(crate) fn accounts(&self, before: &[Arc<Account>], after: &[Arc<Account>]) {
        let find = |of: &[Arc<Account>], name: &AccountName| {
            of.iter().find(|account| account.name == *name).cloned()
        };
        for account in after {
            let change = match find(before, &account.name) {
                None => "came",
                Some(before) if before != *account => "changed",
                Some(_) => continue,
            };
            self.add(Line::of_account(&account.name).text("change", change));
        }
        for account in before.iter().filter(|account| find(after, &account.name).is_none()) {
            self.add(Line::of_account(&account.name).text("change", "went"));
        }
    }

    /// Writes all lines that wait.
    pub(crate) fn flush(&self) {
        if self.has_lines.load(Ordering::Acquire) {
            self.write(&mut self.state.lock());
        }
    }

    /// Tells how many lines were left out, once their second is over, and tries again to write; to be called each second.
    pub(crate) fn look(&self) {
        let second = self.begun.elapsed().as_secs();
        let mut state = self.state.lock();
        let State { writer, logins, requests } = &mut *state;
        for few in [logins, requests] {
            few.second_over(second).into_iter().for_each(|line| writer.add(line));
        }
        self.write(&mut state);
    }

    /// The server has ended: nothing more is told, and nothing is missing.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        let State { writer, logins, requests } = &mut *state;
        for few in [logins, requests] {
            few.untold().into_iter().for_each(|line| writer.add(line));
        }
        writer.add(Line::new(file::STOP));
        self.write(&mut state);
    }

    /// Until the lines are written, another thread waits for the lock rather than to answer before them.
    fn write(&self, state: &mut State) {
        state.writer.flush();
        self.has_lines.store(false, Ordering::Release);
    }

    fn add(&self, line: Line) {
        let mut state = self.state.lock();
        state.writer.add(line);
        self.has_lines.store(true, Ordering::Release);
    }

    fn add_few(&self, few: fn(&mut State) -> &mut Few, line: impl FnOnce() -> Line) {
        let second = self.begun.elapsed().as_secs();
        let mut state = self.state.lock();
        let untold = few(&mut state).second_over(second);
        let told = few(&mut state).may_tell().then(line);
        untold.into_iter().chain(told).for_each(|line| state.writer.add(line));
        self.has_lines.store(true, Ordering::Release);
    }
}

impl Few {
    fn new(kind: &'static str, most: u64) -> Self {
        Self { kind, most, second: 0, told: 0, untold: 0 }
    }

    /// Whether one more line may be written in this second.
    fn may_tell(&mut self) -> bool {
        let may = self.told < self.most;
        self.told += u64::from(may);
        self.untold += u64::from(!may);
        may
    }

    /// A line about those that were not told, if their second is over.
    fn second_over(&mut self, second: u64) -> Option<Line> {
        if second == self.second {
            return None;
        }
        (self.second, self.told) = (second, 0);
        self.untold()
    }

    /// A line about those that were not told.
    fn untold(&mut self) -> Option<Line> {
        let untold = std::mem::take(&mut self.untold);
        let line = || Line::new("not_told").text("kind", self.kind).number("count", untold);
        (untold > 0).then(line)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;

    /// A thread that answers after `flush` has its lines in the file, also while another thread writes them.
    #[test]
    fn lines_are_in_the_file_when_flush_is_over_whichever_thread_has_written_them() {
        let place = tempfile::TempDir::new().unwrap();
        let path = place.path().join("audit");
        let audit = Audit::open(path.clone(), Path::new("/nowhere")).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (audit, path) = (&audit, &path);
                scope.spawn(move || {
                    let file = File::open(path).unwrap();
                    for index in 0..5000 {
                        let event = format!("{thread}-{index}");
                        let before = file.metadata().unwrap().len();
                        audit.add(Line::new(&event));
                        audit.flush();
                        let added = file.metadata().unwrap().len() - before;
                        let mut text = vec![0; usize::try_from(added).unwrap()];
                        file.read_exact_at(&mut text, before).unwrap();
                        let text = String::from_utf8(text).unwrap();
                        assert!(text.contains(&format!("\"{event}\"")), "{event}");
                    }
                });
            }
        });
    }
}
