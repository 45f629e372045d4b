//! A copy of a file under another name: staged as any file, and made visible when it is whole.

use std::sync::Arc;

use haul_protocol::{Attributes, Digest, Name};
use rustix::io::Errno;

use super::error::StoreError;
use super::properties::{copy_kept, kept};
use super::readable::Readable;
use super::root::Parents;
use super::{Change, Reserved, Share, Staged, Store};

/// Bytes that are copied at once.
const AT_ONCE: usize = 1024 * 1024;

/// A file that is being copied.
#[derive(Debug)]
pub(crate) struct Copy {
    from: Readable,
    to: Staged,
    name: Name,
    attributes: Attributes,
    offset: u64,
    digest: Option<Digest>,
    room: Reserved,
    share: Option<Share>,
}

impl Store {
    /// Begins to copy a file, with its mode, mtime, and the properties that only clients know. Where the file system can, the
    /// copy shares the blocks of the original.
    pub(crate) fn begin_copy(
        self: &Arc<Self>,
        parents: &Parents,
        from: &Name,
        to: &Name,
    ) -> Result<Copy, StoreError> {
        let from = self.open_for_client(parents, from)?;
        let (size, attributes) = (from.size(), from.attributes());
        let share = self.share(parents, to, size)?;
        let kept = kept(from.handle());
        let mut room = self.admit(to, kept.len() as u64)?;
        let staged = self.stage(parents, to, &attributes)?;
        let is_shared = size > 0 && self.shares_blocks() && staged.share_blocks(from.handle());
        if !is_shared {
            room = self.admit(to, size.saturating_add(kept.len() as u64))?;
        }
        if let Err(errno) = staged.with_handle(|handle| copy_kept(&kept, handle)) {
            tracing::debug!(name = to.as_bytes(), %errno, "a copy has not all properties");
        }
        let digest = from.kept_digest(self);
        let offset = if is_shared { size } else { 0 };
        let name = to.clone();
        Ok(Copy { from, to: staged, name, attributes, offset, digest, room, share })
    }
}

impl Copy {
    /// Copies the next bytes, perhaps through `buffer`; returns how many. None: all are there.
    pub(crate) fn advance(&mut self, buffer: &mut [u8]) -> Result<usize, StoreError> {
        let left = usize::try_from(self.from.size() - self.offset).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(0);
        }
        let (mut at, mut to) = (self.offset, self.offset);
        let copied = self.to.with_handle(|handle| {
            let from = self.from.handle();
            rustix::fs::copy_file_range(
                from,
                Some(&mut at),
                handle,
                Some(&mut to),
                left.min(AT_ONCE),
            )
        });
        let copied = match copied {
            Ok(0) => return Err(self.from.has_changed()),
            Ok(copied) => copied,
            Err(Errno::INTR) => return Ok(1),
            // The file system can't do it by itself.
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM) => {
                let len = buffer.len().min(left);
                let read = self.from.read(self.offset, &mut buffer[..len])?;
                self.to.write_at(&self.name, self.offset, &buffer[..read])?;
                read
            }
            Err(errno) => return Err(StoreError::new("copy", &self.name, errno)),
        };
        self.offset += copied as u64;
        self.room.used(copied as u64);
        Ok(copied)
    }

    /// The change that makes it visible, its size and its digest, if that is known.
    pub(crate) fn complete(mut self) -> Result<(Change, u64, Option<Digest>), StoreError> {
        self.from.check_unchanged()?;
        self.to.complete(&self.name, &self.attributes)?;
        self.to.keep_digest(self.digest);
        self.to.keep_room(&self.name, self.room, self.share);
        let (size, digest) = (self.from.size(), self.digest);
        Ok((Change::File { staged: self.to, name: self.name }, size, digest))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::Mode;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn copy_has_the_bytes_of_its_original_and_none_of_one_that_changes() {
        let place = TempDir::new().unwrap();
        let store = Store::open(place.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
        let store = Arc::new(store);
        let parents = store.parents();
        let (from, to) = (Name::parse(b"from").unwrap(), Name::parse(b"d/to").unwrap());
        let path = place.path().join("from");
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
        for (len, grows) in [(0, false), (10, false), (bytes.len(), false), (bytes.len(), true)] {
            fs::write(&path, &bytes[..len]).unwrap();
            let _ = fs::remove_file(place.path().join("d/to"));
            let mut copy = store.begin_copy(&parents, &from, &to).unwrap();
            let mut turns = 0;
            while copy.advance(&mut [0; 100_000]).unwrap() > 0 {
                turns += 1;
            }
            assert!(turns < 40 && !place.path().join("d/to").exists());
            if grows {
                fs::write(&path, "other").unwrap();
                assert!(matches!(copy.complete(), Err(StoreError::Changed { .. })));
                continue;
            }
            let (change, size, _) = copy.complete().unwrap();
            store.apply(&parents, change).unwrap();
            assert_eq!(size, len as u64);
            assert!(fs::read(place.path().join("d/to")).unwrap() == bytes[..len]);
            let mtime =
                |name: &str| fs::metadata(place.path().join(name)).unwrap().modified().unwrap();
            assert_eq!(mtime("from"), mtime("d/to"));
        }
    }
}
