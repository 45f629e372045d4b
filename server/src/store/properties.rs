//! Properties of an entry for clients that ask for more than a list tells; and properties that only clients know, which are
//! kept with the entry.
//!
//! The latter are in an extended attribute: a byte 1, the version; of each property 2 bytes length and the key, 2 bytes length
//! and the value, lengths with their highest byte first. They go with a file that is moved or copied, and are gone with the
//! bytes that are replaced.

use std::ffi::CStr;

use haul_protocol::{Attributes, Digest, Mtime, Name, Token};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use super::attributes::can_be_set;
use super::commit::dirty::Touched;
use super::error::StoreError;
use super::look::{missing, mtime};
use super::open::BENEATH;
use super::readable::{READ, state_of};
use super::replaces::Replaces;
use super::root::Parents;
use super::{Store, sys};

const ATTRIBUTE: &CStr = c"user.haul.properties";

const VERSION: u8 = 1;

/// Bytes of all properties of an entry that only clients know: with other attributes they fit into a block of ext4.
const MOST: usize = 3 * 1024;

/// Keys and values of properties that only clients know.
pub(crate) type Kept = Vec<(Box<[u8]>, Box<[u8]>)>;

/// The same, to be set or (`None`) removed.
pub(crate) type Edits = Vec<(Box<[u8]>, Option<Box<[u8]>>)>;

/// The properties of an entry.
#[derive(Debug)]
pub(crate) struct Properties {
    pub(crate) is_directory: bool,
    pub(crate) size: u64,
    pub(crate) mtime: Option<Mtime>,
    /// The second in which it was made, if the file system knows that.
    pub(crate) created: Option<i64>,
    /// Of a file: differs whenever it is another one or has changed.
    pub(crate) state: Token,
    /// The digest of a file, if the store has kept it.
    pub(crate) digest: Option<Digest>,
    pub(crate) kept: Kept,
}

impl Store {
    /// The properties of a file or directory (`None`: the root). Nothing else has some.
    pub(crate) fn properties(
        &self,
        parents: &Parents,
        name: Option<&Name>,
    ) -> Result<Option<Properties>, StoreError> {
        let Some(name) = name else {
            let root = parents.existing(b"")?;
            return Ok(self.properties_of(&root).ok());
        };
        let (above, last) = name.split();
        let failed = |errno| StoreError::new("look at", name, errno);
        let parent = match parents.find(above) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG) => {
                return Ok(None);
            }
            parent => parent.map_err(failed)?,
        };
        let look = || self.rights.stat(|| self.rights.stat_at(&parent, last));
        let stat = match self.rights.in_directory(&parent, look) {
            Err(Errno::NOENT | Errno::XDEV) => return Ok(None),
            stat => stat.map_err(failed)?,
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !matches!(kind, FileType::RegularFile | FileType::Directory) {
            return Ok(None);
        }
        match self.check_spelling(parents, name).map_err(missing) {
            Err(StoreError::NotFound { .. }) => return Ok(None),
            checked => checked?,
        }
        let open = || rustix::fs::openat2(&parent, last, READ, Mode::empty(), BENEATH);
        let opened =
            self.rights.in_directory(&parent, open).and_then(|file| self.properties_of(&file));
        // One that can't be read is there all the same.
        Ok(Some(opened.unwrap_or_else(|_| Properties {
            is_directory: kind == FileType::Directory,
            size: stat.st_size.unsigned_abs(),
            mtime: mtime(&stat),
            created: None,
            state: state_of(&stat),
            digest: None,
            kept: Vec::new(),
        })))
    }

    fn properties_of(&self, file: &OwnedFd) -> Result<Properties, Errno> {
        let stat = rustix::fs::fstat(file)?;
        let more = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME);
        let known = |has: u32| StatxFlags::from_bits_retain(has).contains(StatxFlags::BTIME);
        let created =
            more.ok().filter(|more| known(more.stx_mask)).map(|more| more.stx_btime.tv_sec);
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        Ok(Properties {
            is_directory,
            size: stat.st_size.unsigned_abs(),
            mtime: mtime(&stat),
            created,
            state: state_of(&stat),
            digest: if is_directory { None } else { self.kept_digest(file, &stat) },
            kept: decode(&read(file)?).unwrap_or_default(),
        })
    }

    /// Bytes that are free for clients on the file system of the root, and those that are not.
    pub(crate) fn free_and_used(&self) -> Option<(u64, u64)> {
        let stat = rustix::fs::fstatvfs(&*self.root).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Some((bytes(stat.f_bavail), bytes(stat.f_blocks.saturating_sub(stat.f_bfree))))
    }

    /// Changes the properties that only clients know, one change after the other, and the mtime, of a file or directory.
    pub(super) fn set_properties(
        &self,
        parents: &Parents,
        (name, is_file): (&Name, bool),
        (edits, modified): (&Edits, Option<i64>),
        replaces: Replaces,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        if replaces == Replaces::Nothing {
            return Err(StoreError::Exists { name: name.to_string() });
        }
        let failed = |errno| StoreError::new("set properties of", name, errno);
        let (above, last) = name.split();
        let parent = parents.existing(above)?;
        let flags =
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::openat2(&parent, last, flags, Mode::empty(), BENEATH);
        let file = self.rights.in_directory(&parent, open).map_err(failed)?;
        can_be_set(name, is_file, &rustix::fs::fstat(&file).map_err(failed)?)?;
        if !edits.is_empty() {
            let _turn = self.properties.lock();
            let before = read(&file).map_err(failed)?;
            let value = edited(&before, edits).map_err(failed)?;
            // The file system may give the attribute blocks of its own.
            let len = value.len() as u64;
            let grows = value.len() > before.len();
            let _room = if grows { Some(self.admit(name, len)?) } else { None };
            set(&file, &value).map_err(failed)?;
            touched.attributes(name.as_bytes(), &file.into());
        }
        if let Some(s) = modified {
            let attributes = Attributes { mode: None, mtime: Some(Mtime { s, ns: 0 }) };
            self.set_attributes(parents, name, is_file, &attributes, touched)?;
        }
        Ok(())
    }
}

/// All properties of a file that only clients know, after these edits.
fn edited(before: &[u8], edits: &Edits) -> Result<Vec<u8>, Errno> {
    let mut kept = decode(before).unwrap_or_default();
    for (key, value) in edits {
        kept.retain(|(other, _)| other != key);
        kept.extend(value.as_ref().map(|value| (key.clone(), value.clone())));
    }
    let value = encode(&kept);
    if value.len() > MOST { Err(Errno::NOSPC) } else { Ok(value) }
}

/// The properties of a file that only clients know, as they are kept; empty if it has none, or they can't be read.
pub(super) fn kept(file: &OwnedFd) -> Vec<u8> {
    read(file).unwrap_or_default()
}

/// Gives a copy the properties that its original keeps, as far as it can have them.
pub(super) fn copy_kept(kept: &[u8], to: &OwnedFd) -> Result<(), Errno> {
    if kept.is_empty() { Ok(()) } else { sys::set_properties(to, ATTRIBUTE, kept) }
}

/// The attribute; empty if there is none.
fn read(file: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; MOST];
    match rustix::fs::fgetxattr(file, ATTRIBUTE, &mut value) {
        Ok(len) => {
            value.truncate(len);
            Ok(value)
        }
        // The second: the file system has no such attributes. The third: no client of this server has made it so long.
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(Vec::new()),
        Err(errno) => Err(errno),
    }
}

fn set(file: &OwnedFd, value: &[u8]) -> Result<(), Errno> {
    if value.len() > 1 {
        return sys::set_properties(file, ATTRIBUTE, value);
    }
    match rustix::fs::fremovexattr(file, ATTRIBUTE) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        removed => removed,
    }
}

fn encode(kept: &Kept) -> Vec<u8> {
    let mut value = vec![VERSION];
    for bytes in kept.iter().flat_map(|(key, value)| [key, value]) {
        // Longer ones are over the bound of all.
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        value.extend_from_slice(&len.to_be_bytes());
        value.extend_from_slice(bytes);
    }
    value
}

fn decode(value: &[u8]) -> Option<Kept> {
    let mut rest = value.strip_prefix(&[VERSION])?;
    let mut kept = Vec::new();
    while !rest.is_empty() {
        let mut piece = || {
            let (len, behind) = rest.split_first_chunk()?;
            let (piece, behind) = behind.split_at_checked(u16::from_be_bytes(*len).into())?;
            rest = behind;
            Some(Box::from(piece))
        };
        kept.push((piece()?, piece()?));
    }
    Some(kept)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::store::Change;

    fn name(text: &str) -> Name {
        Name::parse(text.as_bytes()).unwrap()
    }

    fn edit(key: &str, value: Option<&str>) -> (Box<[u8]>, Option<Box<[u8]>>) {
        (key.as_bytes().into(), value.map(|value| value.as_bytes().into()))
    }

    #[test]
    fn properties_are_set_and_removed_and_bounded() {
        let place = TempDir::new().unwrap();
        let store = Store::open(place.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
        fs::write(place.path().join("file"), "bytes").unwrap();
        fs::create_dir(place.path().join("d")).unwrap();
        let change = |text: &str, is_file, edits: Edits, modified| {
            let name = name(text);
            let replaces = Replaces::Anything;
            store.apply(
                &store.parents(),
                Change::Properties { name, is_file, edits, modified, replaces },
            )
        };
        let found =
            |text: &str| store.properties(&store.parents(), Some(&name(text))).unwrap().unwrap();
        for (text, is_file) in [("file", true), ("d", false)] {
            let both = vec![edit("a", Some("1")), edit("b", Some("2")), edit("a", Some("3"))];
            change(text, is_file, both, Some(1_000_000_000)).unwrap();
            let after = found(text);
            assert_eq!(after.mtime, Some(Mtime { s: 1_000_000_000, ns: 0 }));
            assert_eq!(
                after.kept,
                [(b"b"[..].into(), b"2"[..].into()), (b"a"[..].into(), b"3"[..].into())]
            );
            change(text, is_file, vec![edit("b", None), edit("none", None)], None).unwrap();
            assert_eq!(found(text).kept.len(), 1);
            let long = "x".repeat(MOST);
            assert!(
                change(text, is_file, vec![edit("a", None), edit("l", Some(&long))], None).is_err()
            );
            assert_eq!(found(text).kept.len(), 1, "nothing of a change that failed");
            change(text, is_file, vec![edit("a", None)], None).unwrap();
            assert!(found(text).kept.is_empty());
            let path = place.path().join(text);
            let mut nothing: [u8; 0] = [];
            let left = rustix::fs::getxattr(&path, ATTRIBUTE, &mut nothing);
            assert_eq!(left, Err(Errno::NODATA));
            assert!(change(text, !is_file, vec![edit("a", Some("1"))], None).is_err());
        }
        assert!(store.properties(&store.parents(), Some(&name("none"))).unwrap().is_none());
        std::os::unix::fs::symlink("file", place.path().join("link")).unwrap();
        assert!(store.properties(&store.parents(), Some(&name("link"))).unwrap().is_none());
        assert!(store.properties(&store.parents(), None).unwrap().unwrap().is_directory);
    }

    #[test]
    fn properties_that_grow_need_room_and_those_that_go_need_none() {
        let place = TempDir::new().unwrap();
        let store = Store::open(place.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
        fs::write(place.path().join("file"), "bytes").unwrap();
        let set = |value: Option<&str>| {
            let (name, replaces) = (name("file"), Replaces::Anything);
            let edits = vec![edit("a", value)];
            let change =
                Change::Properties { name, is_file: true, edits, modified: None, replaces };
            store.apply(&store.parents(), change)
        };
        set(Some("some")).unwrap();
        store.keep_free(u64::MAX / 2);
        let refused = set(Some("longer"));
        assert!(matches!(refused, Err(StoreError::NoRoom { .. })), "{refused:?}");
        set(Some("same")).unwrap();
        set(None).unwrap();
    }

    proptest! {
        #[test]
        fn attribute_that_somebody_else_has_written_is_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(kept) = decode(&bytes) {
                prop_assert_eq!(encode(&kept), bytes);
            }
        }
    }
}
