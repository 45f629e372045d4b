//! A directory of the source that is held open while its entries are looked for, and what tells it from others.
//!
//! Names are looked up in the open directory itself: whatever comes under its path meanwhile, nobody takes the entries
//! of another directory for its entries.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use haul_protocol::Attributes;

use super::{HOPS, attributes, stamp};
use crate::source::links::Links;

/// Tells a directory from any other, and when its entries have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Device, inode, mount, and the time of birth in ns where a file system has one: an inode may be used again. And the
    /// symlinks that lead to it.
    pub(crate) identity: [u64; 5],
    /// Change time: an entry that comes or goes changes it, and nobody can set it.
    pub(crate) changed: [i64; 2],
}

impl Place {
    /// The directory at a path now; a symlink is followed only if told.
    pub(crate) fn at(path: &Path, follow: bool) -> io::Result<Self> {
        let way = if follow { way(path)? } else { 0 };
        platform::place(path, follow).map(|place| place.by(way))
    }

    /// Looks at a directory that was opened at a path.
    pub(crate) fn of(directory: &File, path: &Path, follow: bool) -> io::Result<Self> {
        let way = if follow { way(path)? } else { 0 };
        platform::of(directory).map(|place| place.by(way))
    }

    /// An open directory, whatever leads to it.
    #[cfg(target_os = "linux")]
    pub(crate) fn of_open(directory: BorrowedFd<'_>) -> io::Result<Self> {
        platform::of(directory)
    }

    /// An open directory, whatever leads to it.
    #[cfg(all(unix, not(target_os = "linux")))]
    pub(crate) fn of_open(directory: BorrowedFd<'_>) -> io::Result<Self> {
        platform::of(&File::from(directory.try_clone_to_owned()?))
    }

    fn by(self, way: u64) -> Self {
        let [device, inode, mount, birth, _] = self.identity;
        Self { identity: [device, inode, mount, birth, way], ..self }
    }
}

/// A number for the symlinks on the way to a path, those that they lead to included; 0 if there is none. A symlink that is
/// replaced changes it: one that leads to the same directory again may have led elsewhere meanwhile.
pub(crate) fn way(path: &Path) -> io::Result<u64> {
    let (mut hasher, mut on_the_way, mut any) = (DefaultHasher::new(), PathBuf::new(), false);
    for component in path.components() {
        on_the_way.push(component);
        let mut link = on_the_way.clone();
        for _ in 0..HOPS {
            let found = link.symlink_metadata()?;
            if !found.is_symlink() {
                break;
            }
            any = true;
            stamp(&found).hash(&mut hasher);
            let target = link.read_link()?;
            // A target that is absolute takes the place of the whole path.
            link.pop();
            link.push(target);
        }
    }
    Ok(if any { hasher.finish() | 1 } else { 0 })
}

/// A directory that is open.
#[derive(Debug)]
pub(crate) struct Held {
    held: platform::Held,
    way: u64,
}

impl Held {
    /// The directory at a path; a symlink in its place is followed only if told.
    pub(crate) fn open(path: &Path, follow: bool) -> io::Result<Self> {
        let way = if follow { way(path)? } else { 0 };
        platform::Held::open(path, follow).map(|held| Self { held, way })
    }

    /// The place of the open directory.
    pub(crate) fn place(&self) -> io::Result<Place> {
        self.held.place().map(|place| place.by(self.way))
    }

    /// The entry under a name in it, as [`look`].
    pub(crate) fn look(&self, name: &OsStr, links: Links) -> io::Result<Option<Here>> {
        find(links, |follow| self.held.look(name, follow))
    }

    /// Whether an entry that was found under a name has just this spelling: some file systems take `File` and `file` for one
    /// name, or two forms of a letter with an accent. The directory is read only if it may be on one of these.
    pub(crate) fn has_spelling(&self, name: &OsStr) -> io::Result<bool> {
        let Some(text) = name.to_str().filter(|text| text.is_ascii()) else {
            return self.held.lists(name);
        };
        let swap = |c: char| match c.is_ascii_uppercase() {
            true => c.to_ascii_lowercase(),
            false => c.to_ascii_uppercase(),
        };
        let other: String = text.chars().map(swap).collect();
        if other == text || self.look(OsStr::new(&other), Links::Copy)?.is_none() {
            return Ok(true);
        }
        self.held.lists(name)
    }
}

/// As [`look`], for an entry with just the spelling of the path.
pub(crate) fn look_spelled(path: &Path, links: Links) -> io::Result<Option<Here>> {
    let found = look(path, links)?;
    let (Some(_), Some(parent), Some(name)) = (&found, path.parent(), path.file_name()) else {
        return Ok(found);
    };
    let is_spelled = Held::open(parent, true)?.has_spelling(name)?;
    Ok(found.filter(|_| is_spelled))
}

/// The entry at a path, as it would be sent; `None` only if there is nothing. A symlink that leads nowhere is an entry,
/// and a path that can't be looked at is an error.
pub(crate) fn look(path: &Path, links: Links) -> io::Result<Option<Here>> {
    find(links, |follow| {
        let found = if follow { path.metadata() } else { path.symlink_metadata() };
        found.map(|found| Here::from(&found))
    })
}

fn find(links: Links, look: impl Fn(bool) -> io::Result<Here>) -> io::Result<Option<Here>> {
    let found = match look(links == Links::Follow) {
        Err(error) if is_absent(&error) && links == Links::Follow => look(false),
        found => found,
    };
    match found {
        Err(error) if is_absent(&error) => Ok(None),
        found => found.map(Some),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// An entry as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Here {
    pub(crate) is_dir: bool,
    pub(crate) is_file: bool,
    pub(crate) is_symlink: bool,
    pub(crate) size: u64,
    pub(crate) attributes: Attributes,
}

impl From<&Metadata> for Here {
    fn from(metadata: &Metadata) -> Self {
        Self {
            is_dir: metadata.is_dir(),
            is_file: metadata.is_file(),
            is_symlink: metadata.is_symlink(),
            size: metadata.len(),
            attributes: attributes(metadata),
        }
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::ffi::OsStr;
    use std::io;
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use haul_protocol::{Attributes, Mtime};
    use rustix::fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, Statx, StatxFlags, makedev, statx,
    };

    use super::{Here, Place};
    use crate::source::carried;

    /// A number for the mount that no later one gets (`STATX_MNT_ID_UNIQUE`, statx(2), since Linux 6.8).
    const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

    #[derive(Debug)]
    pub(super) struct Held(OwnedFd);

    impl Held {
        pub(super) fn open(path: &Path, follow: bool) -> io::Result<Self> {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let flags = if follow { flags } else { flags | OFlags::NOFOLLOW };
            Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
        }

        pub(super) fn place(&self) -> io::Result<Place> {
            of(&self.0)
        }

        /// Whether one of its entries has just this name.
        pub(super) fn lists(&self, name: &OsStr) -> io::Result<bool> {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let open = rustix::fs::openat(&self.0, c".", flags, Mode::empty())?;
            for entry in Dir::new(open)? {
                if entry?.file_name().to_bytes() == name.as_bytes() {
                    return Ok(true);
                }
            }
            Ok(false)
        }

        pub(super) fn look(&self, name: &OsStr, follow: bool) -> io::Result<Here> {
            let found = look(&self.0, name, flags(follow))?;
            let mode = u32::from(found.stx_mode);
            let kind = FileType::from_raw_mode(mode);
            let mtime = Mtime { s: found.stx_mtime.tv_sec, ns: found.stx_mtime.tv_nsec };
            Ok(Here {
                is_dir: kind == FileType::Directory,
                is_file: kind == FileType::RegularFile,
                is_symlink: kind == FileType::Symlink,
                size: found.stx_size,
                attributes: Attributes { mode: Some(mode & 0o777), mtime: carried(mtime) },
            })
        }
    }

    pub(super) fn place(path: &Path, follow: bool) -> io::Result<Place> {
        Ok(place_of(&look(CWD, path.as_os_str(), flags(follow))?))
    }

    pub(super) fn of(directory: impl AsFd) -> io::Result<Place> {
        Ok(place_of(&look(directory, OsStr::new(""), AtFlags::EMPTY_PATH)?))
    }

    fn flags(follow: bool) -> AtFlags {
        if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW }
    }

    fn look(directory: impl AsFd, name: &OsStr, flags: AtFlags) -> io::Result<Statx> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME | MNT_ID_UNIQUE;
        let wanted = wanted | StatxFlags::MNT_ID;
        Ok(statx(directory, name, flags, wanted)?)
    }

    fn place_of(found: &Statx) -> Place {
        let device = makedev(found.stx_dev_major, found.stx_dev_minor);
        // Before Linux 5.8 nobody tells the mount; it is the same number for all then.
        let has = |flag| StatxFlags::from_bits_retain(found.stx_mask).contains(flag);
        let mount =
            if has(StatxFlags::MNT_ID) || has(MNT_ID_UNIQUE) { found.stx_mnt_id } else { 0 };
        let birth = found.stx_btime;
        let birth = birth.tv_sec.wrapping_mul(1_000_000_000).wrapping_add(birth.tv_nsec.into());
        let birth = if has(StatxFlags::BTIME) { birth.cast_unsigned() } else { 0 };
        let changed = [found.stx_ctime.tv_sec, i64::from(found.stx_ctime.tv_nsec)];
        Place { identity: [device, found.stx_ino, mount, birth, 0], changed }
    }
}

/// The same by paths, where directories can't be held open.
#[cfg(not(target_os = "linux"))]
mod platform {
    use std::ffi::OsStr;
    use std::fs::{File, Metadata};
    use std::io;
    use std::path::{Path, PathBuf};

    use super::{Here, Place};
    use crate::source::platform::inode;

    #[derive(Debug)]
    pub(super) struct Held(PathBuf, bool);

    impl Held {
        pub(super) fn open(path: &Path, follow: bool) -> io::Result<Self> {
            let found = if follow { path.metadata() } else { path.symlink_metadata() }?;
            if !found.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            Ok(Self(path.to_owned(), follow))
        }

        pub(super) fn place(&self) -> io::Result<Place> {
            place(&self.0, self.1)
        }

        /// Whether one of its entries has just this name.
        pub(super) fn lists(&self, name: &OsStr) -> io::Result<bool> {
            for entry in std::fs::read_dir(&self.0)? {
                if entry?.file_name() == name {
                    return Ok(true);
                }
            }
            Ok(false)
        }

        pub(super) fn look(&self, name: &OsStr, follow: bool) -> io::Result<Here> {
            let path = self.0.join(name);
            let found = if follow { path.metadata() } else { path.symlink_metadata() }?;
            Ok(Here::from(&found))
        }
    }

    pub(super) fn place(path: &Path, follow: bool) -> io::Result<Place> {
        let found = if follow { path.metadata() } else { path.symlink_metadata() }?;
        Ok(place_of(&found))
    }

    pub(super) fn of(directory: &File) -> io::Result<Place> {
        Ok(place_of(&directory.metadata()?))
    }

    fn place_of(found: &Metadata) -> Place {
        let [device, inode, s, ns] = inode(found);
        let identity = [device.cast_unsigned(), inode.cast_unsigned(), 0, 0, 0];
        Place { identity, changed: [s, ns] }
    }
}
