//! Entries that another file system is mounted on. The server serves none of them, and never looks at one: a file system that does not
//! answer, as that of a dead NFS server, would hold the worker.
//!
//! stat(2) goes to the mounted file system. So if anything is mounted below the root, the store opens an entry with
//! `RESOLVE_NO_XDEV` (openat2(2)), which fails before that, and looks at the handle. If nothing is, as nearly always, stat(2)
//! is enough.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::open::BENEATH;

/// The mounts that the process sees (proc_pid_mountinfo(5)).
const TABLE: &str = "/proc/self/mountinfo";

/// Whether anything is mounted below a root.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    /// The table of mounts, and the root. If the table can't be had, something may be mounted.
    table: Option<(File, PathBuf)>,
    any: AtomicBool,
}

impl Mounts {
    pub(super) fn below(root: &Path) -> Self {
        let table = File::open(TABLE).ok().map(|table| (table, root.to_owned()));
        let mounts = Self { table, any: AtomicBool::new(true) };
        mounts.read();
        mounts
    }

    /// Looks whether something was mounted or unmounted, which is one poll(2).
    pub(super) fn refresh(&self) {
        let Some((table, _)) = &self.table else { return };
        let mut table = [PollFd::new(table, PollFlags::PRI)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let changed = poll(&mut table, Some(&now));
        if changed != Ok(0) {
            self.read();
        }
    }

    fn read(&self) {
        let Some((table, root)) = &self.table else { return };
        let any = content(table).map_or(true, |table| is_any_below(&table, root));
        self.any.store(any, Ordering::Release);
    }

    /// Looks at an entry, and follows no symlink; `XDEV` if another file system is mounted on it.
    pub(super) fn stat(
        &self,
        directory: impl AsFd,
        last: impl rustix::path::Arg + Copy,
    ) -> Result<Stat, Errno> {
        if !self.any.load(Ordering::Acquire) {
            return rustix::fs::statat(directory, last, AtFlags::SYMLINK_NOFOLLOW);
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // A symlink itself is no symlink on the way (`O_PATH` with `O_NOFOLLOW`).
        rustix::fs::fstat(rustix::fs::openat2(directory, last, flags, Mode::empty(), BENEATH)?)
    }
}

fn content(table: &File) -> std::io::Result<Vec<u8>> {
    let (mut content, mut piece) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        match table.read_at(&mut piece, content.len() as u64)? {
            0 => return Ok(content),
            len => content.extend_from_slice(&piece[..len]),
        }
    }
}

fn is_any_below(table: &[u8], root: &Path) -> bool {
    let mut root = root.as_os_str().as_bytes().to_vec();
    if root != b"/" {
        root.push(b'/');
    }
    table.split(|byte| *byte == b'\n').any(|line| {
        let point = line.split(|byte| *byte == b' ').nth(4).map(unescaped).unwrap_or_default();
        point.starts_with(&root) && point != b"/"
    })
}

/// A path of the table, which has some bytes as three octal digits behind a backslash.
fn unescaped(mut text: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(text.len());
    while let Some((first, rest)) = text.split_first() {
        let digits = rest.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match byte.filter(|_| *first == b'\\') {
            Some(byte) => {
                path.push(byte);
                text = &rest[3..];
            }
            None => {
                path.push(*first);
                text = rest;
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_mounted_below_the_root_counts() {
        let table =
            b"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:5 / /srv/my\\040root rw - tmpfs x rw\n\
                      3 1 0:6 / /srv/my\\040root/m rw - nfs x rw\n";
        let is_any = |root: &str| is_any_below(table, Path::new(root));
        assert!(is_any("/srv/my root") && is_any("/srv") && is_any("/"));
        assert!(!is_any("/srv/my root/m") && !is_any("/srv/my") && !is_any("/srv/my root/m/x"));
        assert!(!is_any_below(b"1 0 8:1 / / rw - ext4 /dev/a rw\n", Path::new("/")));
    }

    #[test]
    fn entry_is_seen_alike_in_both_ways() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("file"), "x").unwrap();
        std::fs::create_dir(place.path().join("d")).unwrap();
        std::os::unix::fs::symlink("nowhere", place.path().join("link")).unwrap();
        let directory = File::open(place.path()).unwrap();
        let [free, mounted] =
            [false, true].map(|any| Mounts { table: None, any: AtomicBool::new(any) });
        for name in ["file", "d", "link"] {
            let seen = |mounts: &Mounts| {
                let stat = mounts.stat(&directory, name).unwrap();
                (stat.st_ino, stat.st_mode, stat.st_size)
            };
            assert_eq!(seen(&free), seen(&mounted), "{name}");
        }
        for mounts in [free, mounted] {
            assert_eq!(mounts.stat(&directory, "none").unwrap_err(), Errno::NOENT);
        }
    }
}
