//! Whether a file that was about to be committed when the server was killed is there.

use haul_protocol::{Digest, Name};
use rustix::fs::FileType;

use super::Store;
use super::reading::Believe;
use super::root::Parents;

/// A clock of the file system may be behind that of the system by so many seconds.
const TICK: i64 = 2;

/// The longest file that is read for its digest, unless that is kept with it.
const READ: u64 = 64 << 20;

impl Store {
    /// Whether a file of this size and digest stands under a name, and got it in this second (since 1970) or later. The digest
    /// of a very large file that keeps none is not looked at, because the server starts only then.
    pub(crate) fn holds(
        &self,
        parents: &Parents,
        name: &Name,
        (size, digest): (u64, Option<Digest>),
        since: i64,
    ) -> bool {
        let (above, last) = name.split();
        let Ok(parent) = parents.find(above) else { return false };
        let look = || self.rights.stat(|| self.rights.stat_at(&parent, last));
        let Ok(stat) = self.rights.in_directory(&parent, look) else { return false };
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_file || stat.st_size.unsigned_abs() != size || stat.st_ctime + TICK < since {
            return false;
        }
        let Some(digest) = digest else { return true };
        let Ok(Some(mut reading)) = self.read(parents, name, size, Believe::Kept) else {
            // It may not be read, so size and time have to do.
            return true;
        };
        if reading.digest().is_none() && size > READ {
            return true;
        }
        let mut buffer = vec![0; 256 * 1024];
        while !reading.advance(&mut buffer).1 {}
        reading.digest().is_none_or(|found| found == digest)
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::Attributes;
    use rustix::fs::Mode;

    use super::*;
    use crate::store::Change;

    #[test]
    fn file_is_held_if_kind_size_digest_and_time_are_right() {
        let place = tempfile::TempDir::new().unwrap();
        let store = Store::open(place.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
        let store = std::sync::Arc::new(store);
        let (parents, name) = (store.parents(), Name::parse(b"d/a").unwrap());
        let holds = |size, digest, since| store.holds(&parents, &name, (size, digest), since);
        assert!(!holds(3, None, 0));
        let staged = store.stage_whole(&parents, &name, &Attributes::default(), b"abc").unwrap();
        store.apply(&parents, Change::File { staged, name: name.clone() }).unwrap();
        let (right, wrong) = (Some(Digest::of(b"abc")), Some(Digest::of(b"abd")));
        assert!(holds(3, right, 0) && holds(3, None, 0));
        assert!(!holds(3, wrong, 0) && !holds(4, None, 0));
        assert!(!holds(3, right, i64::from(u32::MAX)));
        let directory = Name::parse(b"d").unwrap();
        let size = place.path().join("d").metadata().unwrap().len();
        assert!(!store.holds(&parents, &directory, (size, None), 0));
    }
}
