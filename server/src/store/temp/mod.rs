//! Files that no client can name yet, or any more.

pub(super) mod staged;
pub(super) mod staging;
pub(super) mod sweep;
pub(super) mod trash;

use rustix::fd::OwnedFd;
use rustix::io::Errno;

/// All names in a directory of ours.
pub(in crate::store) fn entries(directory: &OwnedFd) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.extend(entry.file_name().to_str().ok().map(str::to_owned));
        }
    }
    Ok(names)
}
