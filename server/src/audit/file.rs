//! The lines of the audit log on their way to its file: they wait in memory for a moment, and are written together.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::line::Line;
use super::log_file::{LogFile, LogFileError, end_of};

/// Bytes of lines that wait at most.
const MOST: usize = 256 * 1024;

/// The event of the last line of a server that has ended and lacks no line.
pub(super) const STOP: &str = "stop";

/// More bytes than that line has.
const LAST: u64 = 256;

/// Lines on their way to the file.
#[derive(Debug)]
pub(super) struct Writer {
    file: LogFile,
    /// The line that has to be the first one of this run, or of this file. It is never given up.
    first: Option<String>,
    waiting: String,
    /// Lines that could not be written, and are not counted in the file yet.
    lost: u64,
    /// The last try has failed.
    fails: bool,
}

impl Writer {
    pub(super) fn open(path: PathBuf, root: &Path) -> Result<Self, LogFileError> {
        let file = LogFile::open("audit log", path, root)?;
        let before = Before::of(file.path());
        let first = Line::new("start").text("before", before.as_str()).end();
        let (first, waiting) = (Some(first), String::new());
        let mut writer = Self { file, first, waiting, lost: 0, fails: false };
        writer.flush();
        Ok(writer)
    }

    /// The file that it writes to.
    pub(super) fn file(&self) -> &LogFile {
        &self.file
    }

    /// Goes on in the file that has the name now.
    pub(super) fn reopen(&mut self) {
        self.flush();
        match self.file.reopen() {
            Ok(is_other) => {
                if is_other {
                    // A run that is not over, so a server that finds no other line here knows that lines may be missing.
                    self.first = self.first.take().or(Some(Line::new("reopen").end()));
                }
                self.flush();
                let path = self.file.path().as_os_str().as_bytes();
                tracing::info!(path, "the audit log was opened again");
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
        let mut text = self.first.clone().unwrap_or_default();
        let first = text.len();
        if self.lost > 0 {
            text.push_str(&Line::new("lost").number("lines", self.lost).end());
        }
        let own = text.len();
        text.push_str(&self.waiting);
        self.waiting.clear();
        let (written, result) = self.file.append(&text);
        if written >= first {
            self.first = None;
        }
        if written >= own {
            self.lost = 0;
        }
        let rest = &text.as_bytes()[written.max(own)..];
        self.lost += rest.iter().filter(|byte| **byte == b'\n').count() as u64;
        match (result, self.fails) {
            (Ok(()), false) | (Err(_), true) => {}
            (Ok(()), true) => tracing::info!("the audit log is written again"),
            (Err(ref error), false) => {
                let path = self.file.path().as_os_str().as_bytes();
                tracing::error!(path, %error, "the audit log can't be written; its lines are counted");
            }
        }
        self.fails = self.lost > 0 || self.first.is_some();
    }
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
}

impl Before {
    fn of(path: &Path) -> Self {
        match end_of(path, LAST) {
            Ok(end) if end.is_empty() => Self::None,
            Ok(end) if end.ends_with(b"\n") && is_stop(&end) => Self::Stopped,
            // A file that can't be read may lack anything.
            Ok(_) | Err(_) => Self::Unknown,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether these bytes end with the last line of a server.
fn is_stop(end: &[u8]) -> bool {
    let last = end.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
    let line = last.and_then(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    line.is_some_and(|line| line["event"] == STOP)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
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
        writer.file.file = file;
        writer.add(Line::new("lost"));
        writer.flush();
        assert!(writer.fails && writer.lost == 1);
        writer.file.reopen().unwrap();
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
        writer.file.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        for _ in 0..3 {
            writer.add(Line::new("lost"));
            writer.flush();
        }
        assert_eq!((writer.lost, writer.fails), (3, true));
        writer.file.reopen().unwrap();
        writer.add(Line::new("two"));
        writer.flush();
        assert!(!writer.fails && writer.lost == 0);
        let lines = read(&path);
        let told: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(told, ["start", "one", "lost", "two"]);
        assert_eq!(lines[2]["lines"], 3);
    }
}
