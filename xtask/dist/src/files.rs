//! Files of a package, sorted by name, and their tar.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Context;
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    mode: u32,
    /// The bytes of a file; none of a directory.
    bytes: Option<Vec<u8>>,
    owner: u64,
}

/// Entries below a root, with the directories above each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Files(BTreeMap<String, Entry>);

impl Files {
    /// Adds a file. `path` has no slash in front.
    pub(crate) fn add(&mut self, path: impl Into<String>, mode: u32, bytes: impl Into<Vec<u8>>) {
        let path = path.into();
        self.above(&path);
        self.0.insert(path, Entry { mode, bytes: Some(bytes.into()), owner: 0 });
    }

    /// Adds a directory that belongs to a user.
    pub(crate) fn directory(&mut self, path: &str, mode: u32, owner: u64) {
        self.above(path);
        self.0.insert(path.to_owned(), Entry { mode, bytes: None, owner });
    }

    fn above(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            let directory = Entry { mode: 0o755, bytes: None, owner: 0 };
            self.0.entry(path[..at].to_owned()).or_insert(directory);
        }
    }

    /// All files of others, below a directory.
    pub(crate) fn take(&mut self, others: &Self, below: &str) {
        for (path, entry) in &others.0 {
            let path = format!("{below}{path}");
            self.above(&path);
            self.0.insert(path, entry.clone());
        }
    }

    /// Each file, its mode and its bytes.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, u32, &[u8])> {
        self.0
            .iter()
            .filter_map(|(path, entry)| Some((path.as_str(), entry.mode, entry.bytes.as_deref()?)))
    }

    /// Room on a disk, in KiB, as Debian counts it: each directory takes one.
    pub(crate) fn kibibytes(&self) -> usize {
        self.0
            .values()
            .map(|entry| entry.bytes.as_ref().map_or(1, |it| it.len().div_ceil(1024)))
            .sum()
    }

    /// As tar. `prefix` stands before each name, and an entry of its own if it is a directory.
    pub(crate) fn tar(&self, prefix: &str, time: u64) -> anyhow::Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        if !prefix.is_empty() {
            let root = Entry { mode: 0o755, bytes: None, owner: 0 };
            append(&mut tar, prefix, &root, time)?;
        }
        for (path, entry) in &self.0 {
            append(&mut tar, &format!("{prefix}{path}"), entry, time)?;
        }
        tar.into_inner().context("tar")
    }
}

fn append(tar: &mut Builder<Vec<u8>>, path: &str, entry: &Entry, time: u64) -> anyhow::Result<()> {
    let bytes = entry.bytes.as_deref().unwrap_or_default();
    let mut header = Header::new_gnu();
    header.set_entry_type(match entry.bytes {
        Some(_) => EntryType::Regular,
        None => EntryType::Directory,
    });
    header.set_mode(entry.mode);
    header.set_uid(entry.owner);
    header.set_gid(entry.owner);
    header.set_mtime(time);
    header.set_size(bytes.len() as u64);
    let slash = if entry.bytes.is_none() && !path.ends_with('/') { "/" } else { "" };
    tar.append_data(&mut header, format!("{path}{slash}"), bytes).context(path.to_owned())
}

/// Compressed as gzip does, with no time and no name in it.
pub(crate) fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    // 255: an unknown system made it.
    let mut gz = GzBuilder::new().operating_system(255).write(Vec::new(), Compression::best());
    gz.write_all(bytes)?;
    Ok(gz.finish()?)
}

/// The opposite.
#[cfg(test)]
pub(crate) fn gunzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    use std::io::Read;

    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain)?;
    Ok(plain)
}
