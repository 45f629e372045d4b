//! Files whose digests are to be compared, in groups.

use haul_protocol::{Attributes, Digest, Mtime};

use super::item::File;

/// Files that are asked for together.
const FILES: usize = 256;

/// Bytes of these at which there are enough of them, so that all threads get some.
const BYTES: u64 = 32 * 1024 * 1024;

/// Bytes of their names.
const NAMES: usize = 512 * 1024;

/// Bytes by which a line is longer than the name in it, more or less.
const LINE: usize = 160;

/// A file that has the same size here and at the server.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) file: File,
    /// Mode and mtime at the server.
    pub(super) attributes: Attributes,
    /// The digest of the bytes here, once they are read; none if they can't be, or change meanwhile.
    pub(super) digest: Option<Digest>,
    /// The mtime of the file here while it was read.
    pub(super) mtime: Option<Mtime>,
}

/// Files that are compared together.
#[derive(Debug, Default)]
pub(super) struct Comparing {
    pub(super) files: Vec<Compared>,
    /// How often the server has refused to compare them.
    pub(super) tries: u32,
}

/// Cuts files into groups.
pub(super) fn groups(files: Vec<Compared>) -> Vec<Comparing> {
    let (mut groups, mut group) = (Vec::new(), Comparing::default());
    let (mut bytes, mut names) = (0, 0);
    for compared in files {
        let (size, name) = (compared.file.size, compared.file.name.as_bytes().len() + LINE);
        let is_full = group.files.len() == FILES || bytes + size > BYTES || names + name > NAMES;
        if is_full && !group.files.is_empty() {
            groups.push(std::mem::take(&mut group));
            (bytes, names) = (0, 0);
        }
        (bytes, names) = (bytes + size, names + name);
        group.files.push(compared);
    }
    if !group.files.is_empty() {
        groups.push(group);
    }
    groups
}
