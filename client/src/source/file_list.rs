//! Sources that are named in a list, `--files-from`: in a memory that does not grow with it.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use tempfile::SpooledTempFile;

use super::settled::settled;
use super::spool::is_passing;
use super::{BYTE_ORDER_MARK, bytes, from_bytes, stdin};

/// The longest name in a list: what no file system takes is not kept.
const LONGEST: usize = 65_536;

/// Bytes of a list that are read at once.
const BUFFER: usize = 64 * 1024;

/// Bytes of directories that are remembered in memory; more go to a temporary file.
const IN_MEMORY: usize = 1024 * 1024;

/// Names that are known to have been read: a MiB or two.
const KNOWN: usize = 64 * 1024;

/// The end of each name in a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Separator {
    /// A line feed.
    #[default]
    Line,
    /// A NUL byte, as `find -print0` writes it.
    Nul,
}

/// A list of names below a directory.
pub struct Names {
    list: BufReader<Box<dyn Read + Send>>,
    /// The same, to wait for what comes; a pipe may be silent for long.
    waits: Option<File>,
    /// The same if it is a regular file, and what that was.
    whole: Option<(File, Written)>,
    end: u8,
    /// No name has been read yet.
    is_first: bool,
}

/// Size and mtime of a list.
type Written = (u64, Option<SystemTime>);

fn written(list: &File) -> io::Result<Written> {
    list.metadata().map(|list| (list.len(), list.modified().ok()))
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").field("end", &self.end).finish_non_exhaustive()
    }
}

impl Names {
    /// From a file, or from standard input if it is `-`. A regular file is waited for until nobody writes it any more.
    ///
    /// # Errors
    /// If the file can't be opened, or is written again and again.
    pub fn open(file: &Path, separator: Separator) -> io::Result<Self> {
        let (list, waits) = platform::open(file)?;
        if waits.as_ref().is_some_and(|list| list.metadata().is_ok_and(|list| list.is_dir())) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let end = match separator {
            Separator::Line => b'\n',
            Separator::Nul => 0,
        };
        let is_named = file.as_os_str() != "-" && !stdin::is_descriptor(file);
        let (mut list, mut whole) = (list, None);
        if is_named && file.metadata().is_ok_and(|file| file.is_file()) {
            let open = || File::open(file).map(Some);
            let found = settled(open, |list| Ok(((), ends_with(list, end)?)))?;
            let found = found.ok_or(io::ErrorKind::NotFound)?.file;
            whole = Some((found.try_clone()?, written(&found)?));
            list = Box::new(found);
        }
        Ok(Self { list: BufReader::with_capacity(BUFFER, list), waits, whole, end, is_first: true })
    }

    /// The list is at its end. If it was written meanwhile, names in it may have been missed.
    fn check_whole(&self) -> io::Result<()> {
        match &self.whole {
            Some((list, before)) if written(list)? != *before => {
                Err(io::Error::other("the list was written while haul read it; run haul again"))
            }
            _ => Ok(()),
        }
    }

    /// Takes from a line the bytes that are not part of its name, as rsync and git do with lists: a byte order mark before
    /// the first one, and a carriage return at the end. Names that NUL bytes end are as they are.
    fn trim(&mut self, name: &mut Vec<u8>) {
        let is_first = std::mem::take(&mut self.is_first);
        if self.end != b'\n' {
            return;
        }
        if name.last() == Some(&b'\r') {
            name.pop();
        }
        if is_first && name.starts_with(BYTE_ORDER_MARK) {
            name.drain(..BYTE_ORDER_MARK.len());
        }
    }

    /// The next name that is not empty; `None` when there are no more, or none are wanted.
    ///
    /// # Errors
    /// If the list can't be read, or a name is too long to be one.
    pub fn next(&mut self, stopped: &dyn Fn() -> bool) -> io::Result<Option<PathBuf>> {
        let mut name = Vec::new();
        loop {
            let waits = self.waits.as_ref().filter(|_| self.list.buffer().is_empty());
            if waits.is_some_and(|list| !platform::wait(list, stopped)) {
                return Ok(None);
            }
            match self.list.fill_buf() {
                Err(error) if is_passing(&error) => continue,
                filled => drop(filled?),
            }
            let bytes = self.list.buffer();
            let end = bytes.iter().position(|&byte| byte == self.end);
            name.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
            let over = bytes.is_empty();
            let used = end.map_or(bytes.len(), |end| end + 1);
            self.list.consume(used);
            if name.len() > LONGEST {
                let text =
                    format!("a name in the list has over {LONGEST} bytes; is it a list of names?");
                return Err(io::Error::other(text));
            }
            if self.end == b'\n' && name.contains(&0) {
                return Err(io::Error::other(
                    "there are NUL bytes in it; if they end its names, add -0",
                ));
            }
            if end.is_some() || over {
                self.trim(&mut name);
            }
            match (end.is_some() || over, name.is_empty()) {
                (true, false) => return Ok(Some(PathBuf::from(from_bytes(&name).into_owned()))),
                (true, true) if over => return self.check_whole().map(|()| None),
                _ => {}
            }
        }
    }
}

/// Whether a file ends with a byte.
fn ends_with(file: &mut File, end: u8) -> io::Result<bool> {
    let mut last = [0];
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    // It may be shorter by now, which its times tell.
    Ok(file.read(&mut last)? == 1 && last[0] == end)
}

#[cfg(unix)]
mod platform {
    use std::fs::File;
    use std::io::{self, Read};
    use std::path::Path;

    use crate::source;
    use crate::source::links::Links;
    use crate::source::{descriptor, fifo};

    /// A list, and the same to wait for. The other end of a FIFO is not waited for here.
    pub(super) fn open(file: &Path) -> io::Result<(Box<dyn Read + Send>, Option<File>)> {
        let list = if file.as_os_str() == "-" {
            descriptor::stdin()?
        } else {
            descriptor::check(file)?;
            source::open(file, Links::Follow)?
        };
        let waits = list.try_clone()?;
        Ok((Box::new(list), Some(waits)))
    }

    pub(super) fn wait(list: &File, stopped: &dyn Fn() -> bool) -> bool {
        fifo::wait(list, stopped)
    }
}

/// There is no waiting here.
#[cfg(not(unix))]
mod platform {
    use std::fs::File;
    use std::io::{self, Read};
    use std::path::Path;

    pub(super) fn open(file: &Path) -> io::Result<(Box<dyn Read + Send>, Option<File>)> {
        let is_stdin = file.as_os_str() == "-";
        let list: Box<dyn Read + Send> =
            if is_stdin { Box::new(io::stdin()) } else { Box::new(File::open(file)?) };
        Ok((list, None))
    }

    pub(super) fn wait(_: &File, stopped: &dyn Fn() -> bool) -> bool {
        !stopped()
    }
}

/// Names in a list that were read before: up to the last [`KNOWN`] or twice as many, so that the memory does not grow with the
/// list.
#[derive(Debug, Default)]
pub struct ReadBefore {
    hasher: RandomState,
    last: HashSet<u64>,
    before: HashSet<u64>,
}

impl ReadBefore {
    /// Whether a name is new among those that are known; it is one of them from now on.
    pub fn is_new(&mut self, name: &Path) -> bool {
        let hash = self.hasher.hash_one(name);
        if self.before.contains(&hash) || !self.last.insert(hash) {
            return false;
        }
        if self.last.len() >= KNOWN {
            self.before = std::mem::take(&mut self.last);
        }
        true
    }
}

/// The path of a name in a list below its directory, without `.`; `None` if it leads elsewhere.
#[must_use]
pub fn below(name: &Path) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(component) => path.push(component),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

/// Paths that are taken back in the reverse order; what is much goes to a temporary file.
#[derive(Debug)]
pub struct Later {
    file: SpooledTempFile,
    end: u64,
}

impl Default for Later {
    fn default() -> Self {
        Self { file: SpooledTempFile::new(IN_MEMORY), end: 0 }
    }
}

impl Later {
    /// Adds a path.
    ///
    /// # Errors
    /// If there is no room for it in the directory of temporary files.
    pub fn push(&mut self, path: &Path) -> io::Result<()> {
        let path = bytes(path.as_os_str()).map_err(io::Error::other)?;
        let len = u32::try_from(path.len()).map_err(io::Error::other)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        // The length comes last, since it is read first.
        self.file.write_all(&path)?;
        self.file.write_all(&len.to_le_bytes())?;
        self.end += u64::from(len) + 4;
        Ok(())
    }

    /// Takes the path that was added last.
    ///
    /// # Errors
    /// If it can't be read again.
    pub fn pop(&mut self) -> io::Result<Option<PathBuf>> {
        let Some(at) = self.end.checked_sub(4) else { return Ok(None) };
        let mut len = [0; 4];
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(&mut len)?;
        let len = u32::from_le_bytes(len);
        self.end = at.saturating_sub(len.into());
        let mut path = vec![0; usize::try_from(len).unwrap_or(0)];
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.read_exact(&mut path)?;
        Ok(Some(PathBuf::from(from_bytes(&path).into_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &'static [u8], end: u8) -> Vec<PathBuf> {
        let mut names = Names {
            list: BufReader::with_capacity(3, Box::new(list)),
            waits: None,
            whole: None,
            is_first: true,
            end,
        };
        std::iter::from_fn(|| names.next(&|| false).unwrap()).collect()
    }

    #[test]
    fn name_that_is_read_again_soon_is_known() {
        let mut known = ReadBefore::default();
        let name = |number: usize| PathBuf::from(number.to_string());
        assert!((0..2 * KNOWN).all(|number| known.is_new(&name(number))));
        assert!((KNOWN..2 * KNOWN).all(|number| !known.is_new(&name(number))));
        assert!(known.last.len() + known.before.len() <= 2 * KNOWN);
        assert!(known.is_new(&name(0)));
    }

    #[test]
    fn names_end_with_a_line_or_with_nul() {
        let expected: Vec<PathBuf> = ["a", "b c", "d/e"].map(PathBuf::from).into();
        assert_eq!(names(b"a\n\nb c\nd/e", b'\n'), expected);
        assert_eq!(names(b"a\0b c\0\0d/e\0", 0), expected);
        assert_eq!(names(b"a\nb\0", 0), [PathBuf::from("a\nb")]);
        let endless: Box<dyn Read + Send> = Box::new(io::repeat(b'x'));
        let mut names = Names {
            list: BufReader::new(endless),
            waits: None,
            whole: None,
            is_first: true,
            end: b'\n',
        };
        assert!(names.next(&|| false).is_err());
    }

    #[test]
    fn names_stay_below() {
        assert_eq!(below(Path::new("./a/./b/")), Some(PathBuf::from("a/b")));
        assert_eq!(below(Path::new(".")), Some(PathBuf::new()));
        for name in ["/a", "../a", "a/../b", ".."] {
            assert_eq!(below(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn paths_come_back_in_reverse_order() {
        let mut later = Later::default();
        let path = |index: usize| PathBuf::from(format!("{index}/{}", "x".repeat(index % 300)));
        // More than stays in memory.
        (0..20_000).for_each(|index| later.push(&path(index)).unwrap());
        for index in (0..20_000).rev() {
            assert_eq!(later.pop().unwrap(), Some(path(index)));
        }
        assert_eq!(later.pop().unwrap(), None);
    }
}
