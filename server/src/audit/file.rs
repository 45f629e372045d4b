//! The file of the audit log: lines wait in memory for a moment, and are written together.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::line::Line;

/// Bytes of lines that wait at most.
const MOST: usize = 256 * 1024;

/// The event of the last line of a server that has ended and lacks no line.
pub(super) const STOP: &str = "stop";

/// More bytes than that line has.
const LAST: u64 = 256;

/// The audit log can't be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    #[error("could not open the audit log `{}`: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the audit log `{}` is no file", _0.display())]
    NoFile(PathBuf),
    #[error("the audit log `{}` would be below the root, where clients could replace it", _0.display())]
    InRoot(PathBuf),
}

/// Lines on their way to the file.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    file: File,
    /// The line that has to be the first one of this run, or of this file. It is never given up.
    first: Option<String>,
    waiting: String,
    /// Lines that could not be written, and are not counted in the file yet.
    lost: u64,
    /// The file ends with a part of a line.
    is_torn: bool,
    /// The last try has failed.
    fails: bool,
}

impl Writer {
    pub(super) fn open(path: PathBuf, root: &Path) -> Result<Self, AuditError> {
        if let Ok(root) = root.canonicalize() {
            let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
            let real = absolute.ancestors().find_map(|path| path.canonicalize().ok());
            if real.is_some_and(|real| real.starts_with(&root)) {
                return Err(AuditError::InRoot(path));
            }
        }
        let file = open(&path)?;
        let before = Before::of(&path);
        let first = Line::new("start").text("before", before.as_str()).end();
        let is_torn = before == Before::Torn;
        let (first, waiting) = (Some(first), String::new());
        let mut writer = Self { path, file, first, waiting, lost: 0, is_torn, fails: false };
        writer.flush();
        Ok(writer)
    }

    /// Goes on in the file that has the name now.
    pub(super) fn reopen(&mut self) {
        self.flush();
        match open(&self.path) {
            Ok(file) => {
                // A sandbox lets the server append to the file, and not read it; another file is a new one.
                if !is_same(&self.file, &file) {
                    self.is_torn = false;
                    // A run that is not over, so a server that finds no other line here knows that lines may be missing.
                    self.first = self.first.take().or(Some(Line::new("reopen").end()));
                }
                self.file = file;
                self.flush();
                tracing::info!(path = %self.path.display(), "the audit log was opened again");
            }
            Err(error) => tracing::error!(%error, "the audit log goes on in the old file"),
        }
    }

    pub(super) fn add(&mut self, line: Line) {
        self.waiting.push_str(&line.end());
        if self.waiting.len() >= MOST {
            self.flush();
        }
    }

    /// Writes all lines that wait. Lines that can't be written are counted.
    pub(super) fn flush(&mut self) {
        if self.waiting.is_empty() && self.lost == 0 && self.first.is_none() {
            return;
        }
        let mut text = String::new();
        if self.is_torn {
            text.push('\n');
        }
        text.push_str(self.first.as_deref().unwrap_or_default());
        let first = text.len();
        if self.lost > 0 {
            text.push_str(&Line::new("lost").number("lines", self.lost).end());
        }
        let own = text.len();
        text.push_str(&self.waiting);
        self.waiting.clear();
        let (written, result) = write(&mut self.file, text.as_bytes());
        if written >= first {
            self.first = None;
        }
        if written >= own {
            self.lost = 0;
        }
        if written > 0 {
            self.is_torn = text.as_bytes()[written - 1] != b'\n';
        }
        let rest = &text.as_bytes()[written.max(own)..];
        self.lost += rest.iter().filter(|byte| **byte == b'\n').count() as u64;
        match (result, self.fails) {
            (Ok(()), false) | (Err(_), true) => {}
            (Ok(()), true) => tracing::info!("the audit log is written again"),
            (Err(ref error), false) => {
                tracing::error!(path = %self.path.display(), %error, "the audit log can't be written; its lines are counted");
            }
        }
        self.fails = self.lost > 0 || self.first.is_some();
    }
}

/// The bytes that were written, and the error that the others met.
fn write(file: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(len) => written += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// The end of the log before this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// There is none: the file is new, or its lines have been moved away.
    None,
    /// The server before has written its last line.
    Stopped,
    /// It has not: it was killed, or could not write. Lines may be missing.
    Unknown,
    /// The same, and the last line has no end, as after a full disk.
    Torn,
}

impl Before {
    fn of(path: &Path) -> Self {
        match end_of(path) {
            Ok(end) if end.is_empty() => Self::None,
            Ok(end) if !end.ends_with(b"\n") => Self::Torn,
            Ok(end) if is_stop(&end) => Self::Stopped,
            // A file that can't be read may lack anything.
            Ok(_) | Err(_) => Self::Unknown,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Stopped => "stopped",
            Self::Unknown | Self::Torn => "unknown",
        }
    }
}

/// The last bytes of a file.
fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    let file = crate::regular::open(path)?;
    let len = file.metadata()?.len();
    let last = len.min(LAST);
    let mut end = vec![0; usize::try_from(last).unwrap_or_default()];
    file.read_exact_at(&mut end, len - last)?;
    Ok(end)
}

/// Whether these bytes end with the last line of a server.
fn is_stop(end: &[u8]) -> bool {
    let last = end.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
    let line = last.and_then(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    line.is_some_and(|line| line["event"] == STOP)
}

fn is_same(one: &File, other: &File) -> bool {
    let identity = |file: &File| file.metadata().map(|found| (found.dev(), found.ino())).ok();
    identity(one) == identity(other)
}

fn open(path: &Path) -> Result<File, AuditError> {
    let failed = |source| AuditError::Io { path: path.to_owned(), source };
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(nonblocking);
    let file = options.open(path).map_err(failed)?;
    match file.metadata().map_err(failed)?.is_file() {
        true => Ok(file),
        false => Err(AuditError::NoFile(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;

    fn read(path: &Path) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn line_that_an_earlier_server_could_not_end_stands_alone() {
        let place = tempfile::TempDir::new().unwrap();
        let path = place.path().join("audit");
        fs::write(&path, "{\"time\":1}\n{\"time\":\"20").unwrap();
        let mut writer = Writer::open(path.clone(), Path::new("/nowhere")).unwrap();
        writer.reopen();
        writer.add(Line::new("one"));
        writer.flush();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "{\"time\":\"20");
        let told = lines[2..].iter().map(|line| serde_json::from_str(line).unwrap());
        let told: Vec<serde_json::Value> = told.collect();
        assert_eq!((&told[0]["event"], &told[0]["before"]), (&json!("start"), &json!("unknown")));
        assert_eq!((told.len(), &told[1]["event"]), (2, &json!("one")));
    }

    #[test]
    fn server_that_has_not_written_its_last_line_is_told_by_the_next_one() {
        let place = tempfile::TempDir::new().unwrap();
        let path = place.path().join("audit");
        let start = || Writer::open(path.clone(), Path::new("/nowhere")).unwrap();
        drop(start());
        let mut writer = start();
        writer.add(Line::new(STOP));
        writer.flush();
        let mut writer = start();
        writer.add(Line::new("one").text("name", "\"event\":\"stop\""));
        writer.flush();
        drop(start());
        let lines = read(&path);
        let starts = lines.iter().filter(|line| line["event"] == "start");
        let before: Vec<_> = starts.map(|line| line["before"].as_str().unwrap()).collect();
        assert_eq!(before, ["none", "unknown", "stopped", "unknown"]);
    }

    /// On a disk that is still full, the first line waits until it can be written.
    #[test]
    fn first_line_of_a_run_is_never_given_up() {
        let place = tempfile::TempDir::new().unwrap();
        let path = place.path().join("audit");
        fs::write(&path, "{}\n").unwrap();
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut writer = Writer::open(path.clone(), Path::new("/nowhere")).unwrap();
        fs::write(&path, "{}\n").unwrap();
        writer.first = Some(Line::new("start").end());
        writer.file = file;
        writer.add(Line::new("lost"));
        writer.flush();
        assert!(writer.fails && writer.lost == 1);
        writer.file = open(&path).unwrap();
        writer.flush();
        assert!(!writer.fails);
        let told = read(&path);
        let told: Vec<_> = told.iter().map(|line| line["event"].as_str()).collect();
        assert_eq!(told, [None, Some("start"), Some("lost")]);
    }

    #[test]
    fn lines_are_appended_for_the_owner_alone_and_go_on_in_a_new_file() {
        let place = tempfile::TempDir::new().unwrap();
        let (path, old) = (place.path().join("audit"), place.path().join("audit.1"));
        let mut writer = Writer::open(path.clone(), Path::new("/nowhere")).unwrap();
        writer.add(Line::new("one"));
        fs::rename(&path, &old).unwrap();
        writer.reopen();
        writer.add(Line::new("two"));
        writer.flush();
        drop(writer);
        let mut again = Writer::open(path.clone(), Path::new("/nowhere")).unwrap();
        again.add(Line::new("three"));
        again.flush();
        let events = |path| read(path).into_iter().map(|line| line["event"].clone());
        assert_eq!(events(&old).collect::<Vec<_>>(), ["start", "one"]);
        assert_eq!(events(&path).collect::<Vec<_>>(), ["reopen", "two", "start", "three"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn lines_that_can_not_be_written_are_counted_and_told() {
        let place = tempfile::TempDir::new().unwrap();
        let path = place.path().join("audit");
        let mut writer = Writer::open(path.clone(), Path::new("/nowhere")).unwrap();
        writer.add(Line::new("one"));
        writer.flush();
        writer.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        for _ in 0..3 {
            writer.add(Line::new("lost"));
            writer.flush();
        }
        assert_eq!((writer.lost, writer.fails), (3, true));
        writer.file = open(&path).unwrap();
        writer.add(Line::new("two"));
        writer.flush();
        assert!(!writer.fails && writer.lost == 0);
        let lines = read(&path);
        let told: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(told, ["start", "one", "lost", "two"]);
        assert_eq!(lines[2]["lines"], 3);
    }

    #[test]
    fn log_is_a_file_and_not_below_the_root() {
        let place = tempfile::TempDir::new().unwrap();
        let inside = place.path().join("a/b");
        let refused = Writer::open(inside, place.path());
        assert!(matches!(refused, Err(AuditError::InRoot(_))), "{refused:?}");
        let device = Writer::open("/dev/null".into(), place.path());
        assert!(matches!(device, Err(AuditError::NoFile(_))), "{device:?}");
        let missing = Writer::open("/nowhere/at/all".into(), place.path());
        assert!(matches!(missing, Err(AuditError::Io { .. })), "{missing:?}");
    }
}
