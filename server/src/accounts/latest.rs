//! The latest second that the clock has shown: an account that has ended stays so if the clock is set back.
//!
//! A server that is started again knows it from a file, `users.ended`. The file is written only when an account or a token has
//! ended, so it takes nothing while none does. It is opened before the sandbox is on, which lets nobody write beside it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The file, in the server's configuration directory.
const NAME: &str = "users.ended";

/// Bytes of the file: digits and a line end, always as many, so that one write replaces another.
const LEN: usize = 20;

/// The latest second since 1970.
#[derive(Debug)]
pub(super) struct Latest {
    seen: AtomicI64,
    /// The second in the file.
    noted: AtomicI64,
    /// `None`: there is none, or it can't be written.
    file: Option<File>,
}

impl Latest {
    /// Also that of a server of before, if its file is there. `makes`: there are accounts, so a file is made if there is none.
    pub(super) fn open(directory: Option<&Path>, makes: bool) -> Self {
        let path = directory.map(|directory| directory.join(NAME));
        let file = path.as_deref().and_then(|path| open(path, makes));
        let noted = file.as_ref().and_then(read).unwrap_or(0);
        let now = now();
        if let Some(path) = path.filter(|_| noted > now) {
            tracing::warn!(
                path = path.as_os_str().as_bytes(),
                seconds = noted - now,
                "the clock is behind the moment at which accounts had ended: those stay so; if the clock was wrong at that moment, \
                 remove the file"
            );
        }
        Self { seen: AtomicI64::new(noted.max(now)), noted: AtomicI64::new(noted), file }
    }

    /// The present second, or the latest one.
    pub(super) fn second(&self) -> i64 {
        let now = now();
        self.seen.fetch_max(now, Ordering::AcqRel).max(now)
    }

    /// The last account or token that has ended did so at this second: it is written down, once.
    pub(super) fn note(&self, end: i64) {
        if end <= self.noted.load(Ordering::Acquire) {
            return;
        }
        let second = self.second();
        self.noted.store(second, Ordering::Release);
        let Some(file) = &self.file else { return };
        let line = format!("{second:0width$}\n", width = LEN - 1);
        if let Err(error) = file.write_all_at(line.as_bytes(), 0) {
            tracing::warn!(%error, "could not write down in {NAME} that an account has ended");
        }
    }

    /// The clock has shown this second.
    #[cfg(test)]
    pub(super) fn see(&self, second: i64) {
        self.seen.fetch_max(second, Ordering::AcqRel);
    }
}

fn open(path: &Path, makes: bool) -> Option<File> {
    // Nobody waits for a FIFO that stands there.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(makes).truncate(false).mode(0o600);
    match options.custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(
                path = path.as_os_str().as_bytes(),
                %error,
                "an account that ends is taken again if the clock is set back and hauld started again"
            );
            None
        }
    }
}

/// The second in the file; `None` if there is none.
fn read(mut file: &File) -> Option<i64> {
    let mut text = String::new();
    file.by_ref().take(2 * LEN as u64).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok().filter(|second| *second > 0)
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn end_is_known_to_the_next_server_and_written_once() {
        let place = tempfile::tempdir().unwrap();
        let (directory, path) = (Some(place.path()), place.path().join(NAME));
        assert!(Latest::open(directory, false).file.is_none() && !path.exists());
        let latest = Latest::open(directory, true);
        assert_eq!(fs::read(&path).unwrap(), b"", "no account has ended");
        let (began, later) = (latest.second(), now() + 100_000);
        latest.see(later);
        latest.note(began);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!((text.len(), text.trim_end().parse()), (LEN, Ok(later)));
        fs::write(&path, "").unwrap();
        latest.note(later - 1);
        assert_eq!(fs::read(&path).unwrap(), b"", "it was written down before");
        fs::write(&path, text).unwrap();
        assert!(Latest::open(directory, false).second() >= later);
    }

    #[test]
    fn file_that_is_none_counts_for_nothing() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(NAME);
        for text in ["", "tomorrow\n", "-5\n", "99999999999999999999999999\n"] {
            fs::write(&path, text).unwrap();
            assert!(Latest::open(Some(place.path()), true).second() <= now() + 1, "{text}");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        Latest::open(Some(place.path()), true).note(i64::MAX);
        Latest::open(None, true).note(i64::MAX);
    }
}
