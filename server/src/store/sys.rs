//! The system calls by which the store changes entries that clients see. Some calls are elsewhere: those of the private
//! directory and of trash, and some that set times.
//!
//! Tests make most of these calls fail (`fail`, compiled in for this crate's tests only), and record most of them in their
//! order (`crash`). For modes, groups and ACLs they do neither; times can fail, and are not recorded.

use std::ffi::CStr;

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{
    Advice, AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, StatxFlags, Timestamps,
    XattrFlags,
};
use rustix::io::Errno;

#[cfg(test)]
use super::crash::{Op, record};

/// A place where tests inject an error by its name; nothing at all in a build without them.
macro_rules! may_fail {
    ($name:literal) => {
        fail::fail_point!(concat!("disk::", $name), |error| Err(match error.as_deref() {
            Some("ENOSPC") => Errno::NOSPC,
            Some("ENAMETOOLONG") => Errno::NAMETOOLONG,
            Some("EFBIG") => Errno::FBIG,
            Some("EPERM") => Errno::PERM,
            Some("EROFS") => Errno::ROFS,
            Some("EMFILE") => Errno::MFILE,
            Some("EINVAL") => Errno::INVAL,
            _ => Errno::IO,
        }
        .into()));
    };
}

/// Sends bytes of a file, from this offset on, into a socket.
pub(super) fn send(
    socket: impl AsFd,
    file: impl AsFd,
    mut offset: u64,
    len: usize,
) -> Result<usize, Errno> {
    may_fail!("send");
    rustix::fs::sendfile(socket, file, Some(&mut offset), len)
}

/// Makes a new file.
pub(super) fn create(
    directory: impl AsFd,
    name: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    may_fail!("open");
    let flags = flags | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&directory, name, flags, mode)?;
    #[cfg(test)]
    record(|| Op::create(&directory, name, &file));
    Ok(file)
}

/// Makes a new file without a name, which is gone with its last handle unless it is given one by
/// [`link`] (open(2), `O_TMPFILE`). The directory says on which file system.
pub(super) fn create_unnamed(directory: impl AsFd, mode: Mode) -> Result<OwnedFd, Errno> {
    may_fail!("open");
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&directory, c".", flags, mode)?;
    #[cfg(test)]
    record(|| Op::create_unnamed(&file));
    Ok(file)
}

/// Gives a file its first name, which must be free.
///
/// Before Linux 6.10 a process without `CAP_DAC_READ_SEARCH` is told that there is no such file.
pub(super) fn link(file: impl AsFd, to: impl AsFd, target: &[u8]) -> Result<(), Errno> {
    may_fail!("link");
    rustix::fs::linkat(&file, c"", &to, target, AtFlags::EMPTY_PATH)?;
    #[cfg(test)]
    record(|| Op::link(&file, &to, target));
    Ok(())
}

/// As [`link`], by the file's entry in /proc, which needs no privilege on any kernel (open(2)).
pub(super) fn link_by_descriptor(
    file: impl AsFd,
    to: impl AsFd,
    target: &[u8],
) -> Result<(), Errno> {
    may_fail!("link");
    let descriptor = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    rustix::fs::linkat(CWD, descriptor, &to, target, AtFlags::SYMLINK_FOLLOW)?;
    #[cfg(test)]
    record(|| Op::link(&file, &to, target));
    Ok(())
}

/// Gives a file a second name in another directory, the same one, which must be free.
pub(super) fn second_name(from: impl AsFd, name: &[u8], to: impl AsFd) -> Result<(), Errno> {
    may_fail!("link");
    rustix::fs::linkat(&from, name, &to, name, AtFlags::empty())?;
    #[cfg(test)]
    record(|| Op::second_name(&from, name, &to));
    Ok(())
}

/// Makes an empty file share the blocks of another one (ioctl_ficlone(2); not every file system can).
pub(super) fn share_blocks(to: impl AsFd, from: impl AsFd) -> Result<(), Errno> {
    rustix::fs::ioctl_ficlone(to, from)
}

/// Writes all of `bytes` at `offset`.
pub(super) fn write_at(file: impl AsFd, mut offset: u64, mut bytes: &[u8]) -> Result<(), Errno> {
    may_fail!("write");
    #[cfg(test)]
    record(|| Op::write(&file, offset, bytes));
    while !bytes.is_empty() {
        match rustix::io::pwrite(&file, bytes, offset) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Appends a record to a journal whose length is `end`; after an error the journal is as long as
/// before.
pub(super) fn append(journal: impl AsFd, end: u64, record: &[u8]) -> Result<(), Errno> {
    may_fail!("append");
    let written = write_at(&journal, end, record);
    if written.is_err() {
        // If this fails too, the torn record has no right checksum and is skipped.
        let _ = truncate(&journal, end);
    }
    written
}

/// Cuts a file.
pub(super) fn truncate(file: impl AsFd, len: u64) -> Result<(), Errno> {
    rustix::fs::ftruncate(&file, len)?;
    #[cfg(test)]
    record(|| Op::truncate(&file, len));
    Ok(())
}

/// Sets a staged file's mode.
pub(super) fn set_mode(file: impl AsFd, mode: Mode) -> Result<(), Errno> {
    rustix::fs::fchmod(file, mode)
}

/// Sets the mode of an entry of ours by its name, and never that of what a symlink of this name leads to:
/// chmod(2) takes no `O_PATH` handle, but follows its link in /proc, which leads to nothing else.
pub(super) fn set_mode_at(
    parent: impl AsFd,
    name: impl rustix::path::Arg,
    kind: FileType,
    mode: Mode,
) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&target)?.st_mode) != kind {
        return Err(if kind == FileType::Directory { Errno::NOTDIR } else { Errno::LOOP });
    }
    set_mode_by_path_handle(&target, mode)
}

/// Sets the mode of what an `O_PATH` handle is on.
pub(super) fn set_mode_by_path_handle(target: &OwnedFd, mode: Mode) -> Result<(), Errno> {
    rustix::fs::chmod(format!("/proc/self/fd/{}", target.as_raw_fd()), mode)
}

/// Gives a file or directory of ours to a group.
pub(super) fn set_group(file: impl AsFd, group: Gid) -> Result<(), Errno> {
    rustix::fs::fchown(file, None, Some(group))
}

/// Gives a symlink of ours to a group.
pub(super) fn set_group_of_link(parent: impl AsFd, name: &[u8], group: Gid) -> Result<(), Errno> {
    rustix::fs::chownat(parent, name, None, Some(group), AtFlags::SYMLINK_NOFOLLOW)
}

/// Sets an ACL of a file or directory (acl(5)).
pub(super) fn set_acl(file: impl AsFd, which: &CStr, acl: &[u8]) -> Result<(), Errno> {
    rustix::fs::fsetxattr(file, which, acl, XattrFlags::empty())
}

/// Sets an attribute of a file of ours that keeps the digest of its bytes.
pub(super) fn set_kept_digest(file: impl AsFd, which: &CStr, value: &[u8]) -> Result<(), Errno> {
    may_fail!("keep_digest");
    rustix::fs::fsetxattr(&file, which, value, XattrFlags::empty())?;
    #[cfg(test)]
    record(|| Op::keep_digest(&file));
    Ok(())
}

/// Sets an attribute of a file or directory that keeps properties which only clients know.
pub(super) fn set_properties(file: impl AsFd, which: &CStr, value: &[u8]) -> Result<(), Errno> {
    rustix::fs::fsetxattr(&file, which, value, XattrFlags::empty())
}

/// Sets a file's or directory's times.
pub(super) fn set_times(file: impl AsFd, times: &Timestamps) -> Result<(), Errno> {
    may_fail!("times");
    rustix::fs::futimens(file, times)
}

/// Starts to write a file's bytes to the disk and does not wait, so that a later [`sync`] has less to
/// do. That is what this advice does first (Linux, mm/fadvise.c); the pages stay while they are
/// written. A hint: errors come to light in `sync`.
pub(super) fn start_writeback(file: impl AsFd, offset: u64, len: u64) {
    let _ = rustix::fs::fadvise(file, offset, std::num::NonZeroU64::new(len), Advice::DontNeed);
}

/// Waits until a file's bytes and metadata would survive a loss of power (fsync(2), not fdatasync:
/// the mtime counts).
pub(super) fn sync(file: impl AsFd) -> Result<(), Errno> {
    may_fail!("fsync");
    rustix::fs::fsync(&file)?;
    #[cfg(test)]
    record(|| Op::sync(&file));
    Ok(())
}

/// As [`sync`], of the entries of a directory.
pub(super) fn sync_directory(directory: impl AsFd) -> Result<(), Errno> {
    may_fail!("fsync_directory");
    rustix::fs::fsync(&directory)?;
    #[cfg(test)]
    record(|| Op::sync(&directory));
    Ok(())
}

/// As [`sync`], of everything on the file system: what cannot be opened for it alone.
pub(super) fn sync_file_system(any: impl AsFd) -> Result<(), Errno> {
    may_fail!("syncfs");
    rustix::fs::syncfs(&any)?;
    #[cfg(test)]
    record(|| Op::SyncAll);
    Ok(())
}

/// Closes a file and tells what a drop would not: a network file system may report a failed write
/// only here.
pub(super) fn close(file: OwnedFd) -> std::io::Result<()> {
    may_fail!("close");
    Ok(nix::unistd::close(file)?)
}

/// rename(2) replaces a file, a link itself, or one name of several of an inode; atomically.
pub(super) fn rename(
    from: impl AsFd,
    name: &[u8],
    to: impl AsFd,
    target: &[u8],
) -> Result<(), Errno> {
    may_fail!("rename");
    rustix::fs::renameat(&from, name, &to, target)?;
    #[cfg(test)]
    record(|| Op::rename(&from, name, &to, target));
    Ok(())
}

/// As [`rename`], if nothing has that name (renameat2(2); not every file system can).
pub(super) fn rename_new(
    from: impl AsFd,
    name: &[u8],
    to: impl AsFd,
    target: &[u8],
) -> Result<(), Errno> {
    may_fail!("rename");
    rustix::fs::renameat_with(&from, name, &to, target, RenameFlags::NOREPLACE)?;
    #[cfg(test)]
    record(|| Op::rename(&from, name, &to, target));
    Ok(())
}

/// Changes two names with each other (renameat2(2); not every file system can).
pub(super) fn exchange(
    one: impl AsFd,
    name: &[u8],
    other: impl AsFd,
    target: &[u8],
) -> Result<(), Errno> {
    may_fail!("exchange");
    rustix::fs::renameat_with(&one, name, &other, target, RenameFlags::EXCHANGE)?;
    #[cfg(test)]
    record(|| Op::exchange(&one, name, &other, target));
    Ok(())
}

/// Whether the file system keeps the time at which an inode was made, by the fields that `statx` has filled in.
pub(super) fn keeps_birth(known: StatxFlags) -> bool {
    #[cfg(test)]
    if super::crash::keeps_no_birth() {
        return false;
    }
    known.contains(StatxFlags::BTIME)
}

/// Makes a directory.
pub(super) fn make_directory(parent: impl AsFd, name: &[u8], mode: Mode) -> Result<(), Errno> {
    may_fail!("mkdir");
    rustix::fs::mkdirat(&parent, name, mode)?;
    #[cfg(test)]
    record(|| Op::make_directory(&parent, name));
    Ok(())
}

/// Makes a symbolic link.
pub(super) fn make_link(parent: impl AsFd, name: &[u8], target: &[u8]) -> Result<(), Errno> {
    may_fail!("symlink");
    rustix::fs::symlinkat(target, &parent, name)?;
    #[cfg(test)]
    record(|| Op::make_link(&parent, name, target));
    Ok(())
}

/// Removes a file or link.
pub(super) fn unlink(parent: impl AsFd, name: &[u8]) -> Result<(), Errno> {
    may_fail!("unlink");
    rustix::fs::unlinkat(&parent, name, AtFlags::empty())?;
    #[cfg(test)]
    record(|| Op::unlink(&parent, name));
    Ok(())
}

/// Removes a directory with nothing in it.
pub(super) fn remove_directory(parent: impl AsFd, name: &[u8]) -> Result<(), Errno> {
    may_fail!("rmdir");
    rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)?;
    #[cfg(test)]
    record(|| Op::unlink(&parent, name));
    Ok(())
}
