//! The access log: one line for each file that a client has stored, and for each answer with bytes of a file. Its lines come of
//! the same events as those of the audit log.
//!
//! A thread of its own writes them, many together: nobody who adds a line waits for the disk of the log. Lines for which there is
//! no room any more, in memory or on the disk, are lost and counted.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use haul_protocol::{Digest, Name};

use super::Audit;
use super::access_line::Access;
use super::log_file::{LogFile, LogFileError};
use super::who::Who;
use crate::locks::{Condvar, Mutex, Rank};
use crate::log::LogFormat;

/// Bytes of lines that wait at most.
const MOST: usize = 1024 * 1024;

/// Bytes of lines that are written at once.
const SOON: usize = 64 * 1024;

/// Time for which fewer lines wait for others.
const PAUSE: Duration = Duration::from_millis(100);

/// The access log, for those who add lines.
#[derive(Debug)]
pub(crate) struct AccessLog {
    format: LogFormat,
    state: Mutex<State>,
    /// Rings when there is something to do.
    bell: Condvar,
    lost: AtomicU64,
}

/// Work for the thread that writes.
#[derive(Debug, Default)]
struct State {
    waiting: String,
    /// Lines that found no room in `waiting`.
    dropped: u64,
    /// The file is to be opened anew.
    reopens: bool,
    is_over: bool,
}

impl AccessLog {
    /// A log at the end of this file, and the work of the thread that writes it.
    ///
    /// # Errors
    /// If the file can't be had, is no regular file, is below the root, or is the audit log.
    pub(crate) fn open(
        path: PathBuf,
        format: LogFormat,
        root: &std::path::Path,
        audit: Option<&Audit>,
    ) -> Result<(Arc<Self>, AccessWriter), LogFileError> {
        let file = LogFile::open("access log", path, root)?;
        if audit.is_some_and(|audit| audit.state.lock().writer.file().is_same(&file)) {
            return Err(LogFileError::Same(file.path().to_owned()));
        }
        let state = Mutex::new(Rank::Access, State::default());
        let log = Self { format, state, bell: Condvar::new(), lost: AtomicU64::new(0) };
        let log = Arc::new(log);
        let writer = AccessWriter { log: Arc::clone(&log), file, untold: 0, fails: false };
        Ok((log, writer))
    }

    /// Has the file opened anew: somebody has renamed it.
    pub(crate) fn reopen(&self) {
        self.state.lock().reopens = true;
        self.bell.notify_one();
    }

    /// Ends the thread that writes, once it has written all lines.
    pub(crate) fn end(&self) {
        self.state.lock().is_over = true;
        self.bell.notify_one();
    }

    /// Lines that were lost since the server started.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, access: &Access<'_>) {
        let line = access.line(self.format);
        let mut state = self.state.lock();
        let before = state.waiting.len();
        if before + line.len() > MOST {
            state.dropped += 1;
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.waiting.push_str(&line);
        // Neither each line wakes the thread, nor does it wake by itself.
        let rings = before == 0 || before < SOON && state.waiting.len() >= SOON;
        drop(state);
        if rings {
            self.bell.notify_one();
        }
    }

    /// Waits for work, and then shortly for more.
    fn next(&self) -> State {
        let mut state = self.state.lock();
        while state.waiting.is_empty() && !state.reopens && !state.is_over {
            state = self.bell.wait(state);
        }
        let is_little =
            |state: &mut State| state.waiting.len() < SOON && !state.reopens && !state.is_over;
        let mut state = self.bell.wait_timeout_while(state, PAUSE, is_little);
        std::mem::take(&mut *state)
    }
}

/// The work of the thread that writes the access log.
#[derive(Debug)]
pub(crate) struct AccessWriter {
    log: Arc<AccessLog>,
    file: LogFile,
    /// Lines that were lost since the log was told.
    untold: u64,
    /// The last try has failed.
    fails: bool,
}

impl AccessWriter {
    /// Writes until the log is over.
    pub(crate) fn run(mut self) {
        loop {
            let State { waiting, dropped, reopens, is_over } = self.log.next();
            self.untold += dropped;
            if !waiting.is_empty() {
                self.write(&waiting);
            }
            if reopens {
                self.reopen();
            }
            if is_over {
                return;
            }
        }
    }

    fn write(&mut self, lines: &str) {
        let (written, failed) = match self.renewed() {
            Ok(()) => {
                let (written, result) = self.file.append(lines);
                (written, result.err().map(|error| error.to_string()))
            }
            Err(error) => (0, Some(error.to_string())),
        };
        let lost = lines.as_bytes()[written..].iter().filter(|byte| **byte == b'\n').count() as u64;
        self.log.lost.fetch_add(lost, Ordering::Relaxed);
        self.untold += lost;
        let path = self.file.path().as_os_str().as_bytes();
        match failed {
            Some(error) if !self.fails => {
                tracing::error!(path, error, "the access log can't be written; its lines are lost");
                self.fails = true;
            }
            Some(_) => {}
            None if self.fails || self.untold > 0 => {
                let lines = std::mem::take(&mut self.untold);
                tracing::warn!(path, lines, "the access log is written again; lines are lost");
                self.fails = false;
            }
            None => {}
        }
    }

    /// Begins a new file if somebody has removed the file: nobody would ever read its lines.
    fn renewed(&mut self) -> Result<(), LogFileError> {
        if self.file.is_removed() {
            self.file.reopen()?;
            let path = self.file.path().as_os_str().as_bytes();
            tracing::warn!(path, "the access log was removed, and goes on in a new file");
        }
        Ok(())
    }

    fn reopen(&mut self) {
        match self.file.reopen() {
            Ok(_) => {
                let path = self.file.path().as_os_str().as_bytes();
                tracing::info!(path, "the access log was opened again");
            }
            Err(error) => tracing::error!(%error, "the access log goes on in the old file"),
        }
    }
}

/// Bytes of a file on their way to a client. When this is dropped, the access log is told how many have gone.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) log: Arc<AccessLog>,
    pub(crate) who: Arc<Who>,
    pub(crate) dialect: &'static str,
    pub(crate) name: Name,
    pub(crate) digest: Option<Digest>,
    pub(crate) begun: Instant,
    /// The bytes that are to go, and those that have gone.
    pub(crate) wanted: u64,
    pub(crate) gone: u64,
}

impl Reading {
    /// So many more have gone.
    pub(crate) fn moved(&mut self, bytes: u64) {
        self.gone += bytes;
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let Self { log, who, dialect, name, digest, begun, wanted, gone } = self;
        log.add(&Access {
            who,
            dialect,
            operation: "get",
            result: if gone < wanted { "cut" } else { "done" },
            bytes: *gone,
            time: begun.elapsed(),
            digest: *digest,
            name,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::path::Path;

    use super::*;

    fn reading(log: &Arc<AccessLog>, name: &str) -> Reading {
        let who = Who { account: None, token: None, address: String::from("1.2.3.4:5") };
        let name = Name::parse(name.as_bytes()).unwrap();
        let (log, who, begun) = (Arc::clone(log), Arc::new(who), Instant::now());
        Reading { log, who, dialect: "haul", name, digest: None, begun, wanted: 1, gone: 1 }
    }

    /// Waits for nothing: what the thread would do in one round.
    fn round(writer: &mut AccessWriter) {
        let lines = std::mem::take(&mut writer.log.state.lock().waiting);
        writer.write(&lines);
    }

    #[test]
    fn lines_for_which_there_is_no_room_are_counted_and_nobody_waits() {
        let place = tempfile::TempDir::new().unwrap();
        let path = place.path().join("access");
        let open = |path: &Path| {
            AccessLog::open(path.to_owned(), LogFormat::Text, Path::new("/nowhere"), None).unwrap()
        };
        let (log, mut writer) = open(&path);
        // The thread does not run: it might wait for its disk.
        let name = "n".repeat(200);
        let fit = (0..10_000).take_while(|_| {
            drop(reading(&log, &name));
            log.lost() == 0
        });
        let fit = fit.count();
        assert!((2_000..10_000).contains(&fit) && log.state.lock().waiting.len() <= MOST, "{fit}");
        round(&mut writer);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), fit);
        // A full disk.
        writer.file.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        for _ in 0..3 {
            drop(reading(&log, "x"));
            round(&mut writer);
        }
        assert_eq!((log.lost(), writer.fails), (4, true));
        writer.file.reopen().unwrap();
        drop(reading(&log, "again"));
        round(&mut writer);
        assert!(!writer.fails && writer.untold == 0);
        assert!(fs::read_to_string(&path).unwrap().ends_with(" again\n"));
    }

    #[test]
    fn file_that_was_removed_is_made_anew_and_a_torn_line_stands_alone() {
        let place = tempfile::TempDir::new().unwrap();
        let path = place.path().join("access");
        fs::write(&path, "torn").unwrap();
        let nowhere = Path::new("/nowhere");
        let (log, mut writer) =
            AccessLog::open(path.clone(), LogFormat::Text, nowhere, None).unwrap();
        drop(reading(&log, "one"));
        round(&mut writer);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("torn\n20") && text.ends_with(" one\n"), "{text}");
        fs::remove_file(&path).unwrap();
        drop(reading(&log, "two"));
        round(&mut writer);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("20") && text.ends_with(" two\n"), "{text}");
        assert_eq!(log.lost(), 0);
    }
}
