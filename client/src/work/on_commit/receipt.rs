//! The receipt: digests of committed files.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use haul_protocol::{Digest, Name};

use crate::error::receipt::ReceiptError;
use crate::source::{identity, stdin};

/// Hexadecimal digits of a digest, and the two blanks after it.
const BEFORE_NAME: usize = 66;

/// A file of digests and names in the format of `b3sum`, which `b3sum --check` reads in the server's root.
#[derive(Debug)]
pub struct Receipt {
    path: PathBuf,
    /// Device and inode, if it is a regular file and the platform has such.
    identity: Option<[i64; 2]>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: BufWriter<File>,
    /// Where its first line begins: a descriptor may lead to a file with something in it already.
    start: u64,
    lines: u64,
    hasher: RandomState,
    /// Hashes of names whose lines up to this number are wrong by now.
    stale: HashMap<u64, u64>,
    /// A name may have several lines: the last one is right.
    repeats: bool,
}

impl Receipt {
    /// Makes the file, or empties it. Lines to a descriptor come after what was written to that before.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn create(path: &Path) -> Result<Self, ReceiptError> {
        let path = path.to_owned();
        match stdin::create(&path) {
            Ok((file, start)) => {
                let identity = file.metadata().ok().and_then(|found| regular(&found));
                let state = State {
                    file: BufWriter::new(file),
                    start,
                    lines: 0,
                    hasher: RandomState::new(),
                    stale: HashMap::new(),
                    repeats: false,
                };
                Ok(Self { path, identity, state: Mutex::new(state) })
            }
            Err(source) => Err(ReceiptError::io(&path, source)),
        }
    }

    /// Whether an entry of a source is the receipt, which is not complete before everything else is sent.
    #[must_use]
    pub fn is(&self, entry: &Metadata) -> bool {
        self.identity.is_some() && self.identity == regular(entry)
    }

    /// Appends a line.
    ///
    /// # Errors
    /// If the name can't be in it, or it can't be written.
    pub fn add(&self, name: &Name, digest: Digest) -> Result<(), ReceiptError> {
        let line = line(name.as_bytes(), digest).ok_or(ReceiptError::Name)?;
        let mut state = self.state();
        state.lines += 1;
        state.file.write_all(line.as_bytes()).map_err(|source| self.failed(source))
    }

    /// The lines that a name has are wrong: there is no such file any more.
    pub fn forget(&self, name: &Name) {
        let Some(line) = line(name.as_bytes(), Digest::of(b"")) else { return };
        let state = &mut *self.state();
        if state.lines > 0 {
            state.stale.insert(state.hasher.hash_one(key(&line)), state.lines);
        }
    }

    /// From now on names may come that have lines already.
    pub fn repeats(&self) {
        self.state().repeats = true;
    }

    /// Writes the rest to the disk.
    ///
    /// # Errors
    /// If that fails: lines are missing then.
    pub fn finish(&self) -> Result<(), ReceiptError> {
        let state = &mut *self.state();
        let finish = |state: &mut State| {
            state.file.flush()?;
            // A pipe gives no line back, and has no disk to be flushed to.
            let is_file = state.file.get_ref().metadata()?.is_file();
            let is_wrong = state.repeats || !state.stale.is_empty();
            if is_wrong && !is_file {
                return Err(io::Error::other(
                    "lines that are wrong by now can be taken back only in a regular file",
                ));
            }
            if is_wrong {
                state.write_again(&self.path)?;
            }
            if is_file { state.file.get_ref().sync_all() } else { Ok(()) }
        };
        finish(state).map_err(|source| self.failed(source))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, source: io::Error) -> ReceiptError {
        ReceiptError::io(&self.path, source)
    }
}

/// Device and inode of a regular file, if the platform has such.
pub(crate) fn regular(found: &Metadata) -> Option<[i64; 2]> {
    Some(identity(found)).filter(|identity| found.is_file() && *identity != [0, 0])
}

/// Whether nothing is lost if a file is emptied for a receipt: the file is empty, or begins with a line of a receipt.
pub(crate) fn is_like_a_receipt(path: &Path) -> bool {
    let mut start = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(1 + BEFORE_NAME as u64).read_to_end(&mut start));
    let line = start.strip_prefix(b"\\").unwrap_or(&start);
    let (digits, blanks) = line.split_at(line.len().min(BEFORE_NAME - 2));
    let is_line = digits.iter().all(u8::is_ascii_hexdigit) && blanks.starts_with(b"  ");
    read.is_ok() && (start.is_empty() || is_line)
}

impl State {
    /// Leaves one line for each name, the last one, and none for files that are not there any more.
    fn write_again(&mut self, path: &Path) -> io::Result<()> {
        let mut text = String::new();
        let mut written = File::open(path)?;
        written.seek(SeekFrom::Start(self.start))?;
        written.read_to_string(&mut text)?;
        let mut last = HashMap::new();
        for (number, line) in (1_u64..).zip(text.split_inclusive('\n')) {
            last.insert(self.hasher.hash_one(key(line)), number);
        }
        let mut kept = String::with_capacity(text.len());
        for (number, line) in (1_u64..).zip(text.split_inclusive('\n')) {
            let key = self.hasher.hash_one(key(line));
            let is_stale = self.stale.get(&key).is_some_and(|&stale| number <= stale);
            if last.get(&key) == Some(&number) && !is_stale {
                kept.push_str(line);
            }
        }
        (self.repeats, self.lines) = (false, 0);
        self.stale.clear();
        // All of it is written.
        let file = self.file.get_mut();
        file.set_len(self.start)?;
        file.seek(SeekFrom::Start(self.start))?;
        self.file.write_all(kept.as_bytes())?;
        self.file.flush()
    }
}

/// The part of a line that names the file.
fn key(line: &str) -> &str {
    let line = line.strip_prefix('\\').unwrap_or(line);
    line.get(BEFORE_NAME..).unwrap_or(line)
}

/// As `b3sum` 1.8 writes it: a backslash in front if there are escapes in the name. `None` for names that
/// its `--check` refuses.
fn line(name: &[u8], digest: Digest) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    if name.contains('\u{fffd}') {
        return None;
    }
    if !name.contains(['\\', '\n', '\r']) {
        return Some(format!("{digest}  {name}\n"));
    }
    let name = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
    Some(format!("\\{digest}  {name}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_b3sum() {
        let digest = Digest::of(b"");
        let text = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(line(b"a/b c", digest), Some(format!("{text}  a/b c\n")));
        assert_eq!(line(b"a\\b\nc\r", digest), Some(format!("\\{text}  a\\\\b\\nc\\r\n")));
        assert_eq!(line(b"\xff", digest), None);
        assert_eq!(line("\u{fffd}".as_bytes(), digest), None);
    }

    #[test]
    fn last_line_of_a_name_counts_and_none_if_the_file_is_gone() {
        let place = tempfile::TempDir::new().unwrap();
        let path = place.path().join("receipt");
        let receipt = Receipt::create(&path).unwrap();
        let name = |name: &str| Name::parse(name.as_bytes()).unwrap();
        let [one, two] = [Digest::of(b"1"), Digest::of(b"2")];
        for (file, digest) in [("a", one), ("b\\", one), ("gone", one), ("back", one)] {
            receipt.add(&name(file), digest).unwrap();
        }
        receipt.repeats();
        receipt.forget(&name("gone"));
        receipt.forget(&name("back"));
        receipt.forget(&name("never there"));
        for (file, digest) in [("b\\", two), ("back", two)] {
            receipt.add(&name(file), digest).unwrap();
        }
        for _ in 0..2 {
            receipt.finish().unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text, format!("{one}  a\n\\{two}  b\\\\\n{two}  back\n"));
        }
    }

    /// As of a shell that appends to a file, or has written to it before.
    #[cfg(target_os = "linux")]
    #[test]
    fn lines_that_were_in_a_file_before_its_descriptor_was_named_are_never_taken_back() {
        use std::os::fd::AsRawFd;

        let place = tempfile::TempDir::new().unwrap();
        let path = place.path().join("log");
        let name = |name: &str| Name::parse(name.as_bytes()).unwrap();
        let [one, two] = [Digest::of(b"1"), Digest::of(b"2")];
        for appends in [true, false] {
            std::fs::write(&path, "").unwrap();
            let log = File::options().write(true).append(appends).open(&path).unwrap();
            (&log).write_all(format!("before\n{one}  a\n").as_bytes()).unwrap();
            let receipt = Receipt::create(Path::new(&format!("/dev/fd/{}", log.as_raw_fd())));
            let receipt = receipt.unwrap();
            receipt.add(&name("a"), one).unwrap();
            receipt.repeats();
            receipt.add(&name("a"), two).unwrap();
            receipt.finish().unwrap();
            (&log).write_all(b"after\n").unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text, format!("before\n{one}  a\n{two}  a\nafter\n"), "{appends}");
        }
    }
}
