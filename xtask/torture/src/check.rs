//! Every acknowledged file is there, with the bytes of this round, after all later disturbances.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, ensure};

use super::client::Acks;
use super::tree::{Tree, Version};
use super::watch::digest;

/// Bytes that are read at one time. Names that were acknowledged last come first: least is known
/// of them. Of all other names size, mode and mtime are compared.
const BUDGET: u64 = 48 << 20;

/// Files and bytes that were checked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Checked {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Checks that every entry that was acknowledged so far is there, and is the same as in the source.
pub(crate) fn acknowledged(source: &Tree, root: &Path, acks: &Acks) -> anyhow::Result<Checked> {
    let mut checked = Checked::default();
    for name in acks.newest_first() {
        let (expected, path) = (source.path(&name), root.join(&name));
        let want = fs::symlink_metadata(&expected).with_context(|| name.clone())?;
        let have = fs::symlink_metadata(&path).with_context(|| name.clone())?;
        ensure!(want.file_type() == have.file_type(), "{name} is of another kind");
        if want.is_symlink() {
            ensure!(expected.read_link()? == path.read_link()?, "{name} leads elsewhere");
        }
        // The mode and mtime of a directory are final only until the next run comes to it.
        if want.is_dir() {
            continue;
        }
        let same = |have: i64, want: i64, what| {
            ensure!(have == want, "{what} of {name} is {have}, not {want}");
            Ok(())
        };
        same(have.mtime(), want.mtime(), "mtime")?;
        same(have.mtime_nsec(), want.mtime_nsec(), "mtime")?;
        if let Some(&Version { len, digest: expected }) = source.files.get(&name) {
            same(have.len().cast_signed(), len.cast_signed(), "size")?;
            same(i64::from(have.mode() & 0o7777), i64::from(want.mode() & 0o777), "mode")?;
            checked.files += 1;
            if checked.bytes + len <= BUDGET {
                checked.bytes += len;
                let found = digest(&mut File::open(&path).with_context(|| name.clone())?)?;
                ensure!(found == expected, "the bytes of {name} are not those of this round");
            }
        }
    }
    Ok(checked)
}
