//! Files whose bytes tell which file and which version they are, from the first byte to the last: a file that is made of
//! two versions, or lacks a piece, is none of them.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};

/// Bytes of the least file: its mark.
pub(super) const LEAST: usize = 16;

/// A version of a file. Numbers of versions never come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Version {
    pub(super) file: u64,
    pub(super) number: u64,
}

/// The side that has made a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Here,
    There,
}

/// All versions that there were.
#[derive(Debug, Default)]
pub(super) struct Versions {
    known: HashMap<Version, (usize, Side)>,
    last: u64,
}

impl Versions {
    /// Writes the next version of a file.
    pub(super) fn write(
        &mut self,
        path: &Path,
        file: u64,
        (len, mode): (usize, u32),
        side: Side,
    ) -> anyhow::Result<u64> {
        self.last += 1;
        let version = Version { file, number: self.last };
        self.known.insert(version, (len, side));
        fs::create_dir_all(path.parent().context("a parent")?)?;
        // Its mode may forbid writing.
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let mut written = File::create(path)?;
        written.write_all(&bytes(version, len))?;
        let nanos = u32::try_from(self.last % 1_000_000)?;
        let mtime = Duration::new(1_500_000_000 + self.last, nanos);
        written.set_modified(SystemTime::UNIX_EPOCH + mtime)?;
        written.set_permissions(Permissions::from_mode(mode))?;
        Ok(self.last)
    }

    /// The length of a version.
    pub(super) fn len(&self, version: Version) -> Option<usize> {
        self.known.get(&version).map(|(len, _)| *len)
    }

    /// The version that these bytes are, all of them and no others; and the side that made it.
    pub(super) fn recognize(&self, found: &[u8]) -> anyhow::Result<(Version, Side)> {
        let word = |at: usize| Some(u64::from_le_bytes(found.get(at..at + 8)?.try_into().ok()?));
        let (file, number) = word(0).zip(word(8)).context("it has no mark")?;
        let version = Version { file, number };
        let (len, side) = self.known.get(&version).with_context(|| format!("no {version:?}"))?;
        ensure!(found.len() == *len, "{} bytes of {version:?}, not {len}", found.len());
        let expected = bytes(version, *len);
        let differs = found.iter().zip(&expected).position(|(left, right)| left != right);
        ensure!(differs.is_none(), "it is {version:?} only as far as byte {differs:?}");
        Ok((version, *side))
    }
}

/// Its bytes: the mark, and words that are found nowhere else.
fn bytes(version: Version, len: usize) -> Vec<u8> {
    let Version { file, number } = version;
    let salt = (file << 32 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let words = (0..len as u64 / 8 + 1).map(|at| match at {
        0 => file,
        1 => number,
        at => (salt ^ at).wrapping_mul(0xbf58_476d_1ce4_e5b9),
    });
    let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    bytes.truncate(len.max(LEAST));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mix_of_two_versions_and_a_piece_of_one_are_none() -> anyhow::Result<()> {
        let (place, mut versions) = (tempfile::tempdir()?, Versions::default());
        let path = place.path().join("f");
        let mut made = Vec::new();
        for _ in 0..2 {
            let number = versions.write(&path, 7, (5000, 0o600), Side::There)?;
            let found = fs::read(&path)?;
            let (version, side) = versions.recognize(&found)?;
            assert_eq!((version, side), (Version { file: 7, number }, Side::There));
            made.push(found);
        }
        let mixed = [&made[0][..2500], &made[1][2500..]].concat();
        assert!(versions.recognize(&mixed).is_err());
        assert!(versions.recognize(&made[0][..4999]).is_err());
        assert!(versions.recognize(&[0; 5000]).is_err());
        // A piece at a place that is not its own.
        let moved = [&made[0][..1000], &made[0][2000..3000], &made[0][2000..]].concat();
        assert!(versions.recognize(&moved).is_err());
        Ok(())
    }
}
