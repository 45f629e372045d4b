//! The receipt: digests of committed files.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use haul_protocol::{Digest, Name};

use super::replacement::Replacement;
use crate::error::receipt::ReceiptError;
use crate::source::{regular, stdin};

/// Hexadecimal digits of a digest, and the two blanks after it.
const BEFORE_NAME: usize = 66;

/// A file of digests and names in the format of `b3sum`, which `b3sum --check` reads in the server's root.
#[derive(Debug)]
pub struct Receipt {
    path: PathBuf,
    place: Place,
    /// A source has the file at the path in it.
    is_needed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
enum Place {
    /// The lines come into a file without a name, which takes the place of another one in the end.
    Replacement(Replacement),
    /// The lines come where the path leads. Device and inode, if that is a regular file and the platform has such.
    Direct(Option<[i64; 2]>),
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
    /// Begins a receipt. A regular file at the path stays as it is until the receipt is finished. Lines to a descriptor come
    /// after what was written to that before.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn create(path: &Path) -> Result<Self, ReceiptError> {
        let (place, file, start) =
            Place::open(path).map_err(|source| ReceiptError::io(path, source))?;
        let state = State {
            file: BufWriter::new(file),
            start,
            lines: 0,
            hasher: RandomState::new(),
            stale: HashMap::new(),
            repeats: false,
        };
        let is_needed = AtomicBool::new(false);
        Ok(Self { path: path.to_owned(), place, is_needed, state: Mutex::new(state) })
    }

    /// Whether the entry of a source at a path is the receipt, which is not complete before everything else is sent. A
    /// file with something in it is no receipt yet, and does not become one any more.
    #[must_use]
    pub fn is(&self, path: &Path, entry: &Metadata) -> bool {
        match &self.place {
            Place::Direct(identity) => identity.is_some() && *identity == regular(entry),
            Place::Replacement(_) if entry.len() > 0 => {
                self.needs(path, entry);
                false
            }
            Place::Replacement(place) => place.replaces(path, entry),
        }
    }

    /// The run reads the file at a path. If the receipt would replace that file, it stays as it is.
    pub fn needs(&self, path: &Path, file: &Metadata) {
        if let Place::Replacement(place) = &self.place
            && place.replaces(path, file)
        {
            self.is_needed.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the receipt would replace a file that is there.
    #[must_use]
    pub fn replaces(&self) -> bool {
        matches!(&self.place, Place::Replacement(place) if place.has_file())
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

    /// Writes the rest to the disk, and puts the receipt where it belongs.
    ///
    /// # Errors
    /// If that fails: lines are missing then.
    pub fn finish(&self) -> Result<(), ReceiptError> {
        self.state().finish(self).map_err(|source| ReceiptError::io(&self.path, source))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, source: io::Error) -> ReceiptError {
        ReceiptError::io(&self.path, source)
    }
}

impl Place {
    /// The place that a path leads to, the file for the lines, and where the first line begins in it.
    fn open(path: &Path) -> io::Result<(Self, File, u64)> {
        let replacement = if stdin::is_descriptor(path) { None } else { Replacement::of(path)? };
        if let Some((replacement, file)) = replacement {
            return Ok((Self::Replacement(replacement), file, 0));
        }
        let (file, start) = stdin::create(path)?;
        let identity = file.metadata().ok().and_then(|found| regular(&found));
        Ok((Self::Direct(identity), file, start))
    }
}

impl State {
    fn finish(&mut self, receipt: &Receipt) -> io::Result<()> {
        self.file.flush()?;
        let is_wrong = self.repeats || !self.stale.is_empty();
        let place = match &receipt.place {
            Place::Replacement(place) => place,
            Place::Direct(_) => {
                // A pipe gives no line back, and has no disk to be flushed to.
                let is_file = self.file.get_ref().metadata()?.is_file();
                if is_wrong && !is_file {
                    return Err(io::Error::other(
                        "lines that are wrong by now can be taken back only in a regular file",
                    ));
                }
                if is_wrong {
                    self.write_again(File::open(&receipt.path)?)?;
                }
                return if is_file { self.file.get_ref().sync_all() } else { Ok(()) };
            }
        };
        if receipt.is_needed.load(Ordering::Relaxed) {
            return Err(io::Error::other(
                "it is in SRC as well, or a file of rules there, and stays as it is; name another file",
            ));
        }
        if is_wrong {
            self.write_again(self.file.get_ref().try_clone()?)?;
        }
        place.put(self.file.get_ref())?;
        self.file.get_mut().seek(SeekFrom::End(0)).map(drop)
    }

    /// Leaves one line for each name, the last one, and none for files that are not there any more.
    fn write_again(&mut self, mut written: File) -> io::Result<()> {
        let mut text = String::new();
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
