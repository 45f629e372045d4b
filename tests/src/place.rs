//! Places for the trees of tests.
//!
//! A file system on a disk may be slow at making files after many others were removed: ext4 without a journal looks
//! for an inode that nobody has removed within the last minutes, one after the other. Suites that make and remove
//! thousands of files have most of their time from there. If a test is not about a disk's durability, its trees are
//! in memory.

use std::io;
use std::path::Path;

use rustix::fs::statvfs;
use tempfile::TempDir;

/// The directory of Linux's file system in memory that everybody may write to.
const MEMORY: &str = "/dev/shm";

/// Bytes that must be free there. In a container that nobody has configured there are only 64 MiB of it.
const FREE: u64 = 2 << 30;

/// A new directory in memory if there is enough of that, otherwise where temporary files are. If
/// `HAUL_TESTS_ON_DISK` is set, the directory is where temporary files are in any case.
///
/// # Errors
/// If the directory can't be made.
pub fn in_memory() -> io::Result<TempDir> {
    let memory = Path::new(MEMORY);
    let on_disk = std::env::var_os("HAUL_TESTS_ON_DISK").is_some();
    if !on_disk && statvfs(memory).is_ok_and(|stat| stat.f_bavail * stat.f_frsize >= FREE) {
        return TempDir::new_in(memory);
    }
    TempDir::new()
}

/// A new directory for a server with these words: on a disk if it promises that files outlive a power cut, otherwise
/// in memory.
///
/// # Errors
/// If the directory can't be made.
pub fn for_server(words: &[&str]) -> io::Result<TempDir> {
    let in_vain = words.windows(2).any(|pair| pair == ["--durability", "none"]);
    if in_vain { in_memory() } else { TempDir::new() }
}
