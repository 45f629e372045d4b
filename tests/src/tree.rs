//! Comparing trees: names, kinds, bytes, modes, mtimes and links.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use walkdir::WalkDir;

/// Counts of a comparison.
#[derive(Debug, Clone, Copy, Default)]
pub struct Compared {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

/// Compares all entries below two directories, and the directories themselves.
///
/// # Errors
/// Names the first twenty differences.
pub fn compare(expected: &Path, actual: &Path) -> anyhow::Result<Compared> {
    compare_trees(expected, actual, true)
}

/// As [`compare`], without modes and mtimes.
///
/// # Errors
/// Names the first twenty differences.
pub fn compare_bytes(expected: &Path, actual: &Path) -> anyhow::Result<Compared> {
    compare_trees(expected, actual, false)
}

/// Copies a tree, or an entry of another kind, with all attributes, to a name that is free.
///
/// # Panics
/// If `cp` can't.
#[track_caller]
pub fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(status.is_ok_and(|status| status.success()), "could not copy {}", from.display());
}

/// The names of all entries below a directory that are no directories, in order.
///
/// # Panics
/// If one can't be read, or is no UTF-8.
#[must_use]
pub fn names(root: &Path) -> Vec<String> {
    let name = |entry: walkdir::DirEntry| {
        let name = entry.path().strip_prefix(root).ok()?.to_str()?;
        Some(name.to_owned())
    };
    let mut names: Vec<_> = WalkDir::new(root)
        .into_iter()
        .map(|entry| entry.unwrap_or_else(|error| panic!("{error}")))
        .filter(|entry| !entry.file_type().is_dir())
        .map(|entry| name(entry).unwrap_or_else(|| panic!("a name is no UTF-8")))
        .collect();
    names.sort();
    names
}

fn compare_trees(expected: &Path, actual: &Path, attributes: bool) -> anyhow::Result<Compared> {
    let (mut compared, mut differences) = (Compared::default(), Vec::new());
    let mut rest = entries(actual)?;
    for (name, metadata) in entries(expected)? {
        let kind = metadata.file_type();
        if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
            continue;
        }
        match rest.remove(&name) {
            None => differences.push(format!("{}: missing", name.display())),
            Some(other) => {
                let (left, right) = (below(expected, &name), below(actual, &name));
                if let Some(what) = difference(&left, &metadata, &right, &other, attributes)? {
                    differences.push(format!("{}: {what}", name.display()));
                }
            }
        }
        compared.files += u64::from(kind.is_file());
        compared.directories += u64::from(kind.is_dir());
        compared.links += u64::from(kind.is_symlink());
        compared.bytes += if kind.is_file() { metadata.len() } else { 0 };
    }
    differences.extend(rest.into_keys().map(|name| format!("{}: not in source", name.display())));
    if differences.is_empty() {
        return Ok(compared);
    }
    let count = differences.len();
    differences.truncate(20);
    bail!("{count} differences:\n{}", differences.join("\n"));
}

/// A file compared on its own is its own tree, with an empty name: joining that would add a slash.
fn below(root: &Path, name: &Path) -> PathBuf {
    if name.as_os_str().is_empty() { root.to_owned() } else { root.join(name) }
}

fn entries(root: &Path) -> anyhow::Result<BTreeMap<PathBuf, Metadata>> {
    WalkDir::new(root)
        .into_iter()
        .map(|entry| {
            let entry = entry?;
            let name = entry.path().strip_prefix(root)?.to_owned();
            let metadata = entry.metadata()?;
            Ok((name, metadata))
        })
        .collect::<anyhow::Result<_>>()
        .with_context(|| format!("could not walk {}", root.display()))
}

fn difference(
    left: &Path,
    expected: &Metadata,
    right: &Path,
    actual: &Metadata,
    attributes: bool,
) -> anyhow::Result<Option<String>> {
    if expected.file_type() != actual.file_type() {
        return Ok(Some(String::from("kind differs")));
    }
    let mtime = |of: &Metadata| (of.mtime(), of.mtime_nsec());
    if attributes && mtime(expected) != mtime(actual) {
        return Ok(Some(String::from("mtime differs")));
    }
    if expected.is_symlink() {
        let same = left.read_link()? == right.read_link()?;
        return Ok((!same).then(|| String::from("link target differs")));
    }
    let (want, have) = (expected.mode() & 0o777, actual.mode() & 0o7777);
    if attributes && want != have {
        return Ok(Some(format!("mode is {have:o}, not {want:o}")));
    }
    if expected.is_dir() {
        return Ok(None);
    }
    if expected.len() != actual.len() {
        return Ok(Some(format!("size is {}, not {}", actual.len(), expected.len())));
    }
    Ok((!same_bytes(left, right)?).then(|| String::from("bytes differ")))
}

fn same_bytes(left: &Path, right: &Path) -> anyhow::Result<bool> {
    let open = |path: &Path| File::open(path).with_context(|| path.display().to_string());
    let (mut left, mut right) = (open(left)?, open(right)?);
    let (mut expected, mut actual) = (vec![0; 1 << 18], vec![0; 1 << 18]);
    loop {
        let len = left.read(&mut expected)?;
        if len == 0 {
            return Ok(right.read(&mut actual)? == 0);
        }
        right.read_exact(&mut actual[..len])?;
        if expected[..len] != actual[..len] {
            return Ok(false);
        }
    }
}

/// Bytes on the disk of all files below a directory; of those that go meanwhile none.
#[must_use]
pub fn disk_size(root: &Path) -> u64 {
    let found = WalkDir::new(root).into_iter().flatten().flat_map(|entry| entry.metadata());
    found.filter(Metadata::is_file).map(|found| found.blocks() * 512).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_files_are_compared_too() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let paths = ["a", "b"].map(|name| directory.path().join(name));
        std::fs::write(&paths[0], "same")?;
        assert_eq!(compare(&paths[0], &paths[0])?.files, 1);
        std::fs::write(&paths[1], "else")?;
        let time = std::fs::metadata(&paths[0])?.modified()?;
        File::options().write(true).open(&paths[1])?.set_modified(time)?;
        assert!(compare(&paths[0], &paths[1]).is_err_and(|e| e.to_string().contains("bytes")));
        Ok(())
    }
}
