//! The file of the audit log: lines wait in memory for a moment, and are written together.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::line::Line;

/// Bytes of lines that wait at most.
const MOST: usize = 256 * 1024;

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
        let is_torn = ends_within_a_line(&path).unwrap_or(false);
        Ok(Self { path, file, waiting: String::new(), lost: 0, is_torn, fails: false })
    }

    /// Goes on in the file that has the name now.
    pub(super) fn reopen(&mut self) {
        self.flush();
        match open(&self.path) {
            Ok(file) => {
                // A sandbox lets the server append to the file, and not read it; another file is a new one.
                self.is_torn &= is_same(&self.file, &file);
                self.file = file;
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
        if self.waiting.is_empty() && self.lost == 0 {
            return;
        }
        let mut text = String::new();
        if self.is_torn {
            text.push('\n');
        }
        if self.lost > 0 {
            text.push_str(&Line::new("lost").number("lines", self.lost).end());
        }
        let own = text.len();
        text.push_str(&self.waiting);
        self.waiting.clear();
        let (written, result) = write(&mut self.file, text.as_bytes());
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
        self.fails = self.lost > 0;
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

/// Whether the last line of a file has no end, as after a full disk.
fn ends_within_a_line(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let mut last = [b'\n'];
    if let Some(at) = file.metadata()?.len().checked_sub(1) {
        file.read_exact_at(&mut last, at)?;
    }
    Ok(last != *b"\n")
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
        let last: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
        assert_eq!((lines.len(), &last["event"]), (3, &serde_json::json!("one")));
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
        assert_eq!(events(&old).collect::<Vec<_>>(), ["one"]);
        assert_eq!(events(&path).collect::<Vec<_>>(), ["two", "three"]);
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
        assert_eq!(told, ["one", "lost", "two"]);
        assert_eq!(lines[1]["lines"], 3);
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
