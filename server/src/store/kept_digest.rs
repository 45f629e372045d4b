//! The digest of a file, kept in an extended attribute of it, so that nobody has to read the file for its digest.
//!
//! The store keeps a digest only of a file that is flushed before anybody sees it, and believes it only while size, mtime and
//! inode are those that it was kept with (docs/store.md, "Kept digests").
//!
//! The value, numbers with their highest byte first: 1 byte 1, the version; 7 bytes size; 8 bytes seconds and 4 bytes
//! nanoseconds of the mtime; 8 bytes inode; 32 bytes digest. That is as much as fits into an inode of ext4.

use std::ffi::CStr;

use haul_protocol::{Digest, limits};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{Mode, Stat};
use rustix::io::Errno;
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::readable::TICK;
use super::{Store, sys};

/// Its name.
const ATTRIBUTE: &CStr = c"user.haul.blake3";

const VERSION: u8 = 1;

const LEN: usize = 60;

/// A kept digest, and the facts of the file that it was kept with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept {
    size: u64,
    /// Seconds and nanoseconds.
    mtime: (i64, u32),
    inode: u64,
    digest: Digest,
}

impl Kept {
    /// `None`: the numbers of the file have no room.
    fn of(stat: &Stat, digest: Digest) -> Option<Self> {
        let size = stat.st_size.unsigned_abs();
        let mtime = (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).ok()?);
        (size >> 56 == 0).then_some(Self { size, mtime, inode: stat.st_ino, digest })
    }

    fn encode(&self) -> [u8; LEN] {
        let mut value = [0; LEN];
        value[..8].copy_from_slice(&self.size.to_be_bytes());
        value[0] = VERSION;
        value[8..16].copy_from_slice(&self.mtime.0.to_be_bytes());
        value[16..20].copy_from_slice(&self.mtime.1.to_be_bytes());
        value[20..28].copy_from_slice(&self.inode.to_be_bytes());
        value[28..].copy_from_slice(&self.digest.0);
        value
    }

    /// `None`: it is of another version. Everybody who may write to the file can have put it there.
    fn decode(value: &[u8; LEN]) -> Option<Self> {
        let (numbers, digest) = value.split_at(28);
        let number = |from: usize| {
            let bytes = numbers.get(from..from + 8)?.try_into().ok()?;
            Some(u64::from_be_bytes(bytes))
        };
        if value[0] != VERSION {
            return None;
        }
        let ns = u32::from_be_bytes(numbers.get(16..20)?.try_into().ok()?);
        Some(Self {
            size: number(0)? & (u64::MAX >> 8),
            mtime: (number(8)?.cast_signed(), ns),
            inode: number(20)?,
            digest: Digest(digest.try_into().ok()?),
        })
    }
}

impl Store {
    /// The same, neither keeping digests nor believing kept ones.
    pub(crate) fn without_kept_digests(self) -> Self {
        Self { keeps_digests: false, ..self }
    }

    /// The digest of a file that was kept with it, if `stat`, taken of the same handle, is as it was then.
    pub(super) fn kept_digest(&self, file: impl AsFd, stat: &Stat) -> Option<Digest> {
        if self.keeps_digests && is_worth_it(stat) { read(file, stat) } else { None }
    }

    /// Keeps the digest of a file of ours, which has its final size and mtime and no final name yet. If it can't be kept, the
    /// file has none.
    ///
    /// Only for a store that flushes the file before it gets its name: otherwise a crash might leave the digest and lose
    /// the bytes. Only if the mtime is over, so that every later write gives the file another one.
    pub(super) fn keep_digest(&self, file: &OwnedFd, digest: Digest) {
        let kept = match rustix::fs::fstat(file) {
            Ok(stat) if !is_worth_it(&stat) => return,
            Ok(stat) if self.keeps_digests && self.durable && is_over(&stat) => {
                Kept::of(&stat, digest)
            }
            _ => None,
        };
        let set = |kept: Kept| sys::set_kept_digest(file, ATTRIBUTE, &kept.encode());
        match kept.map(set) {
            Some(Ok(())) => return,
            Some(Err(errno)) => tracing::debug!(%errno, "could not keep the digest of a file"),
            None => {}
        }
        // That of an earlier attempt, which may have had other bytes.
        if let Err(errno) = remove(file) {
            tracing::debug!(%errno, "could not forget the digest of a file");
        }
    }
}

/// Whether a file is so large that reading its attribute is less work than reading the file.
fn is_worth_it(stat: &Stat) -> bool {
    stat.st_size.unsigned_abs() > limits::MAX_FETCHED_SIZE
}

/// Takes the kept digest of a file away, also if the file's mode forbids its owner to write to it. The handle may be one that
/// neither reads nor writes.
///
/// Always before the mtime of a file is set that is there: a program may have changed the file, and with the old mtime its
/// digest might be believed again.
pub(super) fn forget(file: &OwnedFd) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(file)?;
    if !is_worth_it(&stat) {
        return Ok(());
    }
    match remove(file) {
        Err(Errno::ACCESS | Errno::PERM) if has_one(file) => {
            let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
            set_mode(file, mode | Mode::RUSR | Mode::WUSR)?;
            let removed = remove(file);
            set_mode(file, mode)?;
            removed
        }
        Err(Errno::ACCESS | Errno::PERM) => Ok(()),
        removed => removed,
    }
}

fn remove(file: &OwnedFd) -> Result<(), Errno> {
    let removed = match rustix::fs::fremovexattr(file, ATTRIBUTE) {
        Err(Errno::BADF) => rustix::fs::removexattr(link(file), ATTRIBUTE),
        removed => removed,
    };
    match removed {
        // The second: the file system has no such attributes.
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        removed => removed,
    }
}

/// Whether a file has one, or may have one that can't be read.
fn has_one(file: &OwnedFd) -> bool {
    let mut nothing: [u8; 0] = [];
    let found = match rustix::fs::fgetxattr(file, ATTRIBUTE, &mut nothing) {
        Err(Errno::BADF) => rustix::fs::getxattr(link(file), ATTRIBUTE, &mut nothing),
        found => found,
    };
    !matches!(found, Err(Errno::NODATA | Errno::OPNOTSUPP))
}

fn set_mode(file: &OwnedFd, mode: Mode) -> Result<(), Errno> {
    match sys::set_mode(file, mode) {
        Err(Errno::BADF) => sys::set_mode_by_path_handle(file, mode),
        set => set,
    }
}

/// The link in /proc of an `O_PATH` handle, which leads to nothing else: system calls for attributes and modes take no such
/// handle (`EBADF`). Other handles need no /proc.
fn link(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn read(file: impl AsFd, stat: &Stat) -> Option<Digest> {
    let mut value = [0; LEN];
    // A longer value is an error.
    let len = rustix::fs::fgetxattr(file, ATTRIBUTE, &mut value).ok()?;
    let kept = Kept::decode(&value).filter(|_| len == LEN)?;
    (Kept::of(stat, kept.digest) == Some(kept)).then_some(kept.digest)
}

/// Whether the mtime of a file is over: a write from now on gives the file a later one, also where a file system keeps only
/// even seconds.
fn is_over(stat: &Stat) -> bool {
    const COARSEST: i128 = 2_000_000_000;
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::RealtimeCoarse);
    let nanoseconds = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
    let mtime = nanoseconds(stat.st_mtime, stat.st_mtime_nsec.cast_signed());
    nanoseconds(tv_sec, tv_nsec) - mtime > COARSEST + TICK
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use haul_protocol::{Attributes, Mtime, Name};
    use rustix::fs::XattrFlags;
    use tempfile::TempDir;

    use super::*;
    use crate::store::Change;

    const SIZE: u64 = limits::MAX_FETCHED_SIZE + 1;
    const MTIME: Mtime = Mtime { s: 1_000_000_000, ns: 5 };

    fn open(place: &TempDir, durable: bool) -> Arc<Store> {
        let umask = Mode::from_raw_mode(0o022);
        Arc::new(Store::open(place.path(), umask, durable, 0).unwrap())
    }

    /// Puts a file of so many bytes, and returns it.
    fn put(store: &Arc<Store>, size: u64, attributes: &Attributes) -> OwnedFd {
        let name = Name::parse(b"file").unwrap();
        let bytes = vec![7; usize::try_from(size).unwrap()];
        let staged = store.stage_whole(&store.parents(), &name, attributes, &bytes).unwrap();
        staged.keep_digest(Some(digest()));
        store.apply(&store.parents(), Change::File { staged, name }).unwrap();
        fs::File::open(store.path().join("file")).unwrap().into()
    }

    /// That no bytes have: nobody has read them.
    fn digest() -> Digest {
        Digest([3; 32])
    }

    fn kept(store: &Store, file: &OwnedFd) -> Option<Digest> {
        store.kept_digest(file, &rustix::fs::fstat(file).unwrap())
    }

    fn attributes(mtime: Option<Mtime>) -> Attributes {
        Attributes { mode: Some(0o644), mtime }
    }

    #[test]
    fn value_is_as_documented() {
        let mtime = (-2, 5);
        let kept = Kept { size: 0x0102_0304, mtime, inode: 9, digest: Digest([3; 32]) };
        let value = kept.encode();
        assert_eq!(value[..8], [1, 0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(value[8..16], (-2_i64).to_be_bytes());
        assert_eq!(value[16..28], [0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(value[28..], [3; 32]);
        assert_eq!(Kept::decode(&value), Some(kept));
        for version in [0, 2, 255] {
            assert_eq!(Kept::decode(&[&[version], &value[1..]].concat().try_into().unwrap()), None);
        }
    }

    #[test]
    fn digest_is_kept_with_large_files_of_a_past_mtime_by_a_store_that_flushes() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let at = |moment: Duration| Mtime { s: moment.as_secs() as i64, ns: moment.subsec_nanos() };
        let later = at(now + Duration::from_secs(1000));
        for (durable, size, mtime, expected) in [
            (true, SIZE, Some(MTIME), true),
            (false, SIZE, Some(MTIME), false),
            (true, SIZE - 1, Some(MTIME), false),
            (true, SIZE, Some(later), false),
            (true, SIZE, None, false),
        ] {
            let place = TempDir::new().unwrap();
            let store = open(&place, durable);
            let file = put(&store, size, &attributes(mtime));
            let found = kept(&store, &file);
            assert_eq!(found.is_some(), expected, "{durable} {size} {mtime:?}");
            assert_eq!(has_one(&file), expected, "{durable} {size} {mtime:?}");
        }
    }

    #[test]
    fn digest_of_another_file_or_state_is_not_believed() {
        let place = TempDir::new().unwrap();
        let store = open(&place, true);
        let path = place.path().join("file");
        let mtime = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5);
        let write = || fs::File::options().write(true).open(&path).unwrap();
        let set = |file: &OwnedFd, value: &[u8]| {
            rustix::fs::fsetxattr(file, ATTRIBUTE, value, XattrFlags::empty()).unwrap();
        };
        for how in 0..8 {
            let mut file = put(&store, SIZE, &attributes(Some(MTIME)));
            assert_eq!(kept(&store, &file), Some(digest()));
            let value = Kept::of(&rustix::fs::fstat(&file).unwrap(), digest()).unwrap().encode();
            match how {
                0 => write().write_all_at(b"other", 0).unwrap(),
                1 => {
                    write().set_len(SIZE + 1).unwrap();
                    write().set_modified(mtime).unwrap();
                }
                2 => write().set_modified(mtime + Duration::from_nanos(1)).unwrap(),
                3 => {
                    let copy = place.path().join("copy");
                    fs::copy(&path, &copy).unwrap();
                    let copied = fs::File::options().write(true).open(&copy).unwrap();
                    copied.set_modified(mtime).unwrap();
                    file = copied.into();
                    set(&file, &value);
                }
                4 => set(&file, &[&value[..], b"x"].concat()),
                5 => set(&file, &value[..LEN - 1]),
                6 => set(&file, b""),
                _ => set(&file, &[&[2], &value[1..]].concat()),
            }
            assert_eq!(kept(&store, &file), None, "{how}");
        }
    }

    #[test]
    fn mtime_that_is_set_takes_the_digest_away_also_if_the_mode_forbids_to_write() {
        for mode in [0o644, 0o444, 0o000] {
            let place = TempDir::new().unwrap();
            let store = open(&place, true);
            let file = put(&store, SIZE, &attributes(Some(MTIME)));
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).unwrap();
            let name = Name::parse(b"file").unwrap();
            let change = Change::Attributes {
                name,
                is_file: true,
                attributes: Attributes { mode: None, mtime: Some(MTIME) },
                replaces: crate::store::Replaces::Anything,
            };
            store.apply(&store.parents(), change).unwrap();
            let stat = rustix::fs::fstat(&file).unwrap();
            assert_eq!((stat.st_mtime, stat.st_mode & 0o777), (MTIME.s, mode));
            rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644)).unwrap();
            assert!(!has_one(&file), "{mode:o}");
        }
    }

    #[test]
    fn store_without_kept_digests_keeps_none_and_believes_none() {
        let place = TempDir::new().unwrap();
        let store = open(&place, true);
        let file = put(&store, SIZE, &attributes(Some(MTIME)));
        drop(store);
        let umask = Mode::from_raw_mode(0o022);
        let store = Store::open(place.path(), umask, true, 0).unwrap().without_kept_digests();
        let store = Arc::new(store);
        assert_eq!(kept(&store, &file), None);
        let file = put(&store, SIZE, &attributes(Some(MTIME)));
        assert!(!has_one(&file));
    }
}
