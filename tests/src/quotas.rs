//! Quotas of accounts, and what anyone can count on the disk.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::accounts::Accounts;
use crate::eventually;
use crate::hauld::{Hauld, hauld_command};
use crate::peer::{Peer, put};

/// Bytes and entries below a directory, as anyone can count them.
#[must_use]
pub fn counted(directory: &Path) -> (u64, u64) {
    at_rest(|| counted_beside(directory, None))
}

/// Counts again if an entry has gone meanwhile: a server throws away what nobody needs whenever it comes to it.
fn at_rest(count: impl Fn() -> io::Result<(u64, u64)>) -> (u64, u64) {
    let mut found = (0, 0);
    eventually("nothing goes while it is counted", || match count() {
        Ok(counted) => {
            found = counted;
            true
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => panic!("{error}"),
    });
    found
}

/// The same, but for files that another directory has under the same name.
fn counted_beside(directory: &Path, other: Option<&Path>) -> io::Result<(u64, u64)> {
    let (mut bytes, mut files) = (0, 0);
    let shares_blocks = other.is_some() && shares_blocks(directory)?;
    for entry in walkdir::WalkDir::new(directory).min_depth(1) {
        let entry = entry?;
        if entry.path().components().any(|part| part.as_os_str() == ".haul") && other.is_none() {
            continue;
        }
        let found = entry.path().symlink_metadata()?;
        let name = entry.path().strip_prefix(directory).unwrap();
        let beside = other.and_then(|other| other.join(name).symlink_metadata().ok());
        if found.is_dir() {
            files += 1;
        } else if !beside.is_some_and(|beside| is_same(&found, &beside, shares_blocks)) {
            (bytes, files) = (bytes + found.len(), files + 1);
        }
    }
    Ok((bytes, files))
}

/// Whether two versions share a file: as two names, or its blocks.
fn is_same(one: &Metadata, other: &Metadata, shares_blocks: bool) -> bool {
    let stamp = |of: &Metadata| (of.len(), of.mtime(), of.mtime_nsec());
    one.ino() == other.ino() || (shares_blocks && stamp(one) == stamp(other))
}

/// Whether files of this directory's file system can share their blocks.
fn shares_blocks(directory: &Path) -> io::Result<bool> {
    let (one, other) = (tempfile::tempfile_in(directory)?, tempfile::tempfile_in(directory)?);
    Ok(rustix::fs::ioctl_ficlone(one, other).is_ok())
}

/// Everything on the disk that counts for an account whose root this is: its entries, other versions of directories, and
/// drafts.
#[must_use]
pub fn on_disk(root: &Path, account: &str) -> (u64, u64) {
    at_rest(|| kept(root, account))
}

fn kept(root: &Path, account: &str) -> io::Result<(u64, u64)> {
    let (mut bytes, mut files) = counted_beside(&root.join(account), None)?;
    for home in fs::read_dir(root.join(".haul/trees"))? {
        let home = home?;
        let name = fs::read_to_string(root.join(".haul/names").join(home.file_name()))?;
        if !name.starts_with(&format!("{account}/")) {
            continue;
        }
        for version in fs::read_dir(home.path())? {
            let version = version?;
            let (of_it, in_it) = match version.file_type()?.is_dir() {
                true => counted_beside(&version.path(), Some(&root.join(&name)))?,
                false => (0, 0),
            };
            (bytes, files) = (bytes + of_it, files + in_it);
        }
    }
    Ok((bytes, files))
}

/// The use that the server tells.
pub fn told(accounts: &Accounts, name: &str) -> (u64, u64) {
    let (peer, answer) = accounts.greeted(&accounts.hello(name, "asks"));
    let account = &answer["account"];
    drop(peer.end());
    (account["used_bytes"].as_u64().unwrap(), account["used_files"].as_u64().unwrap())
}

/// A server with an account `alice` whose quota is so large.
#[must_use]
pub fn with_quota(words: &[&str], bytes: u64, files: u64) -> Accounts {
    let user =
        format!("alice --root a --rights mirror --quota-bytes {bytes} --quota-files {files}");
    Accounts::start_with(words, &[&user])
}

/// Starts the server again with the same accounts, root and words, after a signal.
pub fn again(accounts: &mut Accounts, words: &[&str], signal: Signal) {
    let (root, log) = (accounts.server.root().to_owned(), accounts.server.log.clone());
    // It may have ended already.
    let _ = accounts.server.signal(signal);
    accounts.server.wait().unwrap();
    let config = accounts.config.path().to_str().unwrap();
    let words = [words, &["--config-dir", config]].concat();
    let next = Hauld::start_at(&root, &log, hauld_command(), &words).unwrap();
    accounts.server.becomes(next);
}

/// Puts a file of so many bytes.
pub fn put_file(peer: &mut Peer, id: u64, name: &str, len: usize) -> Value {
    let bytes = vec![b'x'; len];
    peer.ask(&put(id, name, &bytes), &bytes).unwrap()
}

/// Waits until the use of `alice` is that of the disk.
#[track_caller]
pub fn same(accounts: &Accounts) {
    let is_same = || told(accounts, "alice") == on_disk(accounts.server.root(), "a");
    eventually("the use is that of the disk", is_same);
}
