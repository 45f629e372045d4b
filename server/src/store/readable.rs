//! A file that a client reads.

use std::num::NonZeroU64;

use haul_protocol::{Attributes, Digest, Name, Token, limits};
use rustix::fd::OwnedFd;
use rustix::fs::{Advice, FileType, Mode, OFlags, Stat, fadvise};
use rustix::io::Errno;
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::error::StoreError;
use super::look::{missing, mtime};
use super::open::BENEATH;
use super::root::Parents;
use super::{Store, sys};

/// Flags for reading a file: without waiting for the other end of a FIFO that has come in its place meanwhile.
pub(super) const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Bytes that are read at once.
const AT_ONCE: usize = 256 * 1024;

/// Longest tick of the clock from which file systems take the times of changes (100 Hz), in nanoseconds, and some more.
pub(super) const TICK: i128 = 20_000_000;

/// A regular file that is open for reading, as it was when it was opened.
#[derive(Debug)]
pub(crate) struct Readable {
    file: OwnedFd,
    name: Name,
    stat: Stat,
    /// All of its bytes, if they are more or fewer than the file states.
    made_up: Option<Vec<u8>>,
}

/// The outcome of sending bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// So many went.
    Bytes(usize),
    /// The file system has no way into a socket: they have to be read.
    NoWay,
}

/// Numbers of a file, of which one differs whenever the file is another one or has changed. The number of the device is not
/// among them: it may be another one after a restart of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    inode: u64,
    size: u64,
    modified: Moment,
    changed: Moment,
}

/// Seconds and nanoseconds.
type Moment = (i64, u64);

impl Store {
    /// Opens a regular file, through no symlink.
    pub(crate) fn open_for_client(
        &self,
        parents: &Parents,
        name: &Name,
    ) -> Result<Readable, StoreError> {
        let (above, last) = name.split();
        let parent = parents.existing(above)?;
        let failed = |op| move |errno| StoreError::new(op, name, errno);
        // Opening a device or a socket may do something, or fail for a reason that tells nothing.
        let look = || self.rights.stat_at(&parent, last);
        let found = self.rights.in_directory(&parent, look).map_err(failed("look at"))?;
        must_be_file(name, &found)?;
        self.check_spelling(parents, name).map_err(missing)?;
        let open = || rustix::fs::openat2(&parent, last, READ, Mode::empty(), BENEATH);
        let file = self.rights.in_directory(&parent, open).map_err(failed("read"))?;
        let stat = rustix::fs::fstat(&file).map_err(failed("look at"))?;
        must_be_file(name, &stat)?;
        let made_up = made_up(&file, &stat, name)?;
        Ok(Readable { file, name: name.clone(), stat, made_up })
    }
}

impl Readable {
    /// The file itself.
    pub(super) fn handle(&self) -> &OwnedFd {
        &self.file
    }

    /// Bytes of the file.
    pub(crate) fn size(&self) -> u64 {
        self.made_up.as_ref().map_or(self.stat.st_size.unsigned_abs(), |bytes| bytes.len() as u64)
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.made_up.as_ref().map_or(0, Vec::capacity)
    }

    /// Its mode and mtime.
    pub(crate) fn attributes(&self) -> Attributes {
        Attributes { mode: Some(self.stat.st_mode & 0o777), mtime: mtime(&self.stat) }
    }

    /// Differs whenever the file is another one or has changed.
    pub(crate) fn state(&self) -> Token {
        let identity = Identity::of(&self.stat);
        // Bytes that the file system makes up change, and nothing else of the file does.
        identity.token(self.made_up.as_deref().map(Digest::of))
    }

    /// The digest of the whole file, if this store has kept it.
    pub(crate) fn kept_digest(&self, store: &Store) -> Option<Digest> {
        store.kept_digest(&self.file, &self.stat)
    }

    /// Whether every later change shows. If the file was last changed within the present tick of the clock, another change
    /// within that tick would leave all times as they are. One change does not show: the rest of a single write(2) that began
    /// before an earlier tick.
    pub(crate) fn is_settled(&self) -> bool {
        if self.made_up.is_some() {
            // They have been read already.
            return true;
        }
        let nanoseconds = |(s, ns): Moment| i128::from(s) * 1_000_000_000 + i128::from(ns);
        let age = nanoseconds(now()) - nanoseconds(Identity::of(&self.stat).changed);
        // The time of a change is never one that is far ahead of the clock, unless the clock was wrong then.
        !(-TICK..=0).contains(&age)
    }

    /// Fills the first bytes of `buffer` from this offset on, a bounded number of them; returns how many, of which there is one
    /// at least. The file must have as many bytes.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, StoreError> {
        let len = buffer.len().min(AT_ONCE);
        if let Some(bytes) = &self.made_up {
            let left = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
            let left = left.unwrap_or_default();
            let len = len.min(left.len());
            buffer[..len].copy_from_slice(&left[..len]);
            return Ok(len);
        }
        loop {
            match rustix::io::pread(&self.file, &mut buffer[..len], offset) {
                Ok(0) if len > 0 => return Err(self.has_changed()),
                Ok(read) => return Ok(read),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(StoreError::new("read", &self.name, errno)),
            }
        }
    }

    /// Sends bytes from this offset on, of which there are `left`, or fewer of them, to a socket that takes them as they are;
    /// returns how many: none if the socket takes nothing now. The file must have as many bytes.
    pub(crate) fn send(
        &self,
        socket: &OwnedFd,
        offset: u64,
        left: u64,
    ) -> Result<Sent, StoreError> {
        let most = usize::try_from(left).map_or(AT_ONCE, |left| left.min(AT_ONCE));
        loop {
            match sys::send(socket, &self.file, offset, most) {
                Ok(0) => return Err(self.has_changed()),
                Ok(sent) => return Ok(Sent::Bytes(sent)),
                Err(Errno::AGAIN) => return Ok(Sent::Bytes(0)),
                Err(Errno::INTR) => {}
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => return Ok(Sent::NoWay),
                Err(errno) => return Err(StoreError::new("send", &self.name, errno)),
            }
        }
    }

    /// Lets the kernel read these bytes before anybody asks for them, so that the disk works while the network does.
    pub(crate) fn read_ahead(&self, offset: u64, len: u64) {
        let len = len.min(self.size().saturating_sub(offset));
        if self.made_up.is_none()
            && let Some(len) = NonZeroU64::new(len)
        {
            // A file system that can't do it reads them when they are asked for.
            let _ = fadvise(&self.file, offset, Some(len), Advice::WillNeed);
        }
    }

    /// Fails if the file is not as it was when it was opened.
    pub(crate) fn check_unchanged(&self) -> Result<(), StoreError> {
        let stat = rustix::fs::fstat(&self.file);
        let stat = stat.map_err(|errno| StoreError::new("look at", &self.name, errno))?;
        if Identity::of(&stat) == Identity::of(&self.stat) {
            Ok(())
        } else {
            Err(self.has_changed())
        }
    }

    /// The file is not in the state that the client has stated, or not as it was when it was opened.
    pub(crate) fn has_changed(&self) -> StoreError {
        StoreError::Changed { name: self.name.to_string() }
    }
}

impl Identity {
    fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino,
            size: stat.st_size.unsigned_abs(),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// `digest`: of bytes that the file system makes up.
    fn token(&self, digest: Option<Digest>) -> Token {
        let Self { inode, size, modified, changed } = self;
        let mut text =
            format!("{inode} {size} {} {} {} {}", modified.0, modified.1, changed.0, changed.1);
        if let Some(digest) = digest {
            text.push_str(&format!(" {digest}"));
        }
        let mut token = [0; 16];
        token.copy_from_slice(&Digest::of(text.as_bytes()).0[..16]);
        Token(token)
    }
}

/// Differs whenever a file is another one or has changed.
pub(super) fn state_of(stat: &Stat) -> Token {
    Identity::of(stat).token(None)
}

/// All bytes of a file that states another number of them: the file system makes them up as they are read, as in `/proc` (the
/// files state 0 bytes) and in `/sys` (they state a page). Such a file has no block. `None`: the file has as many bytes as it
/// states, as far as that is worth a look.
fn made_up(file: &OwnedFd, stat: &Stat, name: &Name) -> Result<Option<Vec<u8>>, StoreError> {
    let size = stat.st_size.unsigned_abs();
    if size > 0 && (stat.st_blocks > 0 || size > limits::MAX_FETCHED_SIZE) {
        return Ok(None);
    }
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match rustix::io::pread(file, &mut piece, bytes.len() as u64) {
            Ok(0) => return Ok((bytes.len() as u64 != size).then_some(bytes)),
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(StoreError::new("read", name, errno)),
        }
        if bytes.len() as u64 > limits::MAX_FETCHED_SIZE {
            return Err(StoreError::Unstated { name: name.to_string(), size });
        }
    }
}

/// The time that a change would be noted with.
fn now() -> Moment {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::RealtimeCoarse);
    (tv_sec, tv_nsec.try_into().unwrap_or_default())
}

fn must_be_file(name: &Name, stat: &Stat) -> Result<(), StoreError> {
    let found = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        _ => "neither file, directory nor symbolic link",
    };
    Err(StoreError::Conflict { name: name.to_string(), found })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn change_after_a_file_was_opened_shows_whatever_its_size_and_mtime() {
        let place = TempDir::new().unwrap();
        let store = Store::open(place.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
        let (name, path) = (Name::parse(b"file").unwrap(), place.path().join("file"));
        let change = |how: usize| {
            let file = fs::File::options().write(true).open(&path).unwrap();
            match how {
                0 => file.write_all_at(b"other", 0).unwrap(),
                1 => {
                    let mtime = file.metadata().unwrap().modified().unwrap();
                    file.write_all_at(b"third", 0).unwrap();
                    file.set_modified(mtime).unwrap();
                }
                _ => file.set_len(3).unwrap(),
            }
        };
        fs::write(&path, "bytes").unwrap();
        for how in 0..3 {
            // The tick in which the file was last changed ends soon.
            let file = loop {
                let file = store.open_for_client(&store.parents(), &name).unwrap();
                if file.is_settled() {
                    break file;
                }
            };
            file.check_unchanged().unwrap();
            assert_eq!(file.read(0, &mut [0; 10]).unwrap(), 5);
            change(how);
            let changed = file.check_unchanged().unwrap_err();
            assert!(matches!(changed, StoreError::Changed { .. }), "{how}: {changed}");
            if how == 2 {
                let ended = file.read(3, &mut [0; 2]).unwrap_err();
                assert!(matches!(ended, StoreError::Changed { .. }), "{ended}");
            }
        }
    }

    #[test]
    fn bytes_that_are_asked_for_next_are_read_before() {
        use std::io::IoSliceMut;
        use std::time::{Duration, Instant};

        use rustix::io::{ReadWriteFlags, preadv2};

        let place = TempDir::new().unwrap();
        let store = Store::open(place.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
        let (name, path) = (Name::parse(b"file").unwrap(), place.path().join("file"));
        fs::write(&path, vec![7; 4 << 20]).unwrap();
        fs::File::open(&path).unwrap().sync_all().unwrap();
        let file = store.open_for_client(&store.parents(), &name).unwrap();
        fadvise(file.handle(), 0, None, Advice::DontNeed).unwrap();
        let is_in_memory = |offset| {
            let mut byte = [0];
            let mut bytes = [IoSliceMut::new(&mut byte)];
            preadv2(file.handle(), &mut bytes, offset, ReadWriteFlags::NOWAIT).is_ok()
        };
        if is_in_memory(3 << 20) {
            // A file system that has its files in memory only.
            return;
        }
        file.read_ahead(3 << 20, 8 << 20);
        let since = Instant::now();
        while !is_in_memory((4 << 20) - 1) {
            assert!(since.elapsed() < Duration::from_secs(60), "nobody reads it");
            std::thread::yield_now();
        }
        // Beyond the end there is nothing to read.
        file.read_ahead(4 << 20, 1);
    }

    #[test]
    fn file_goes_into_a_socket_as_far_as_that_takes_it_and_tells_if_it_has_become_shorter() {
        use std::io::Read;
        use std::os::unix::net::UnixStream;

        let place = TempDir::new().unwrap();
        let store = Store::open(place.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
        let (name, path) = (Name::parse(b"file").unwrap(), place.path().join("file"));
        let bytes: Vec<u8> = (0..=250).cycle().take(2_000_000).collect();
        fs::write(&path, &bytes).unwrap();
        let file = store.open_for_client(&store.parents(), &name).unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = OwnedFd::from(ours);
        let (mut offset, mut found) = (7, Vec::new());
        let end = bytes.len() as u64 - 3;
        let mut was_full = false;
        while offset < end {
            match file.send(&ours, offset, end - offset).unwrap() {
                Sent::Bytes(0) => {
                    was_full = true;
                    let mut piece = [0; 10_000];
                    let len = theirs.read(&mut piece).unwrap();
                    found.extend_from_slice(&piece[..len]);
                }
                Sent::Bytes(sent) => {
                    assert!(sent <= AT_ONCE, "{sent}");
                    offset += sent as u64;
                }
                Sent::NoWay => panic!("a regular file has a way into a socket"),
            }
        }
        fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
        let ended = file.send(&ours, 1000, 5).unwrap_err();
        assert!(matches!(ended, StoreError::Changed { .. }), "{ended}");
        drop(ours);
        theirs.read_to_end(&mut found).unwrap();
        assert!(was_full && found == bytes[7..bytes.len() - 3]);
    }
}
