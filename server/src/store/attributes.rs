//! Modes and times, of staged entries and of entries that are there.

pub(super) mod mtimes;

use haul_protocol::{Attributes, Mtime, Name};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::Store;
use super::commit::dirty::Touched;
use super::error::StoreError;
use super::kept_digest;
use super::mode::kept;
use super::open::BENEATH;
use super::root::Parents;
use super::sys;

/// Sets the mtime, leaves the atime.
pub(super) fn times(mtime: Mtime) -> Timestamps {
    let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    Timestamps {
        last_access: omit,
        last_modification: Timespec { tv_sec: mtime.s, tv_nsec: mtime.ns.into() },
    }
}

impl Store {
    /// Sets mode and mtime of a directory, or of a file that has no other name.
    pub(super) fn set_attributes(
        &self,
        parents: &Parents,
        name: &Name,
        is_file: bool,
        attributes: &Attributes,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        let (parent, last) = name.split();
        let parent = parents.existing(parent)?;
        let mode = kept(attributes.mode).map(|mode| parents.counts(name, mode).as_raw_mode());
        let attributes = &Attributes { mode, ..*attributes };
        let failed = |errno| StoreError::new("set mode and mtime of", name, errno);
        // With `openat2`, because a mount point would be another file system's.
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |how| {
            let open = || rustix::fs::openat2(&parent, last, flags | how, Mode::empty(), BENEATH);
            self.rights.in_directory(&parent, open)
        };
        let target = open(OFlags::PATH).map_err(failed)?;
        if !is_file && attributes.mode.is_some() {
            parents.forget_opened_up();
        }
        let before = rustix::fs::fstat(&target).map_err(failed)?;
        can_be_set(name, is_file, &before)?;
        // Without waiting for the other end of a FIFO that has come there meanwhile.
        match open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) {
            Ok(opened) => {
                // Perhaps it is another by now.
                can_be_set(name, is_file, &rustix::fs::fstat(&opened).map_err(failed)?)?;
                let result = self.by_handle(&opened, is_file, attributes);
                touched.attributes(name.as_bytes(), &opened.into());
                result
            }
            Err(Errno::ACCESS) => {
                // A directory that may not be opened for reading can't be synced alone.
                touched.everything();
                self.by_magic_link(&target, is_file, attributes)
            }
            Err(errno) => Err(errno),
        }
        .map_err(failed)?;
        if attributes.mode.is_some() {
            tell_lost_setgid(&target, &before, name);
        }
        Ok(())
    }
}

/// Sets the mode of a directory of ours that is about to be seen, unless it has that mode.
pub(super) fn set_mode_of_directory(
    directory: &OwnedFd,
    mode: Mode,
    name: &Name,
) -> Result<(), Errno> {
    let before = rustix::fs::fstat(directory)?;
    if Mode::from_raw_mode(before.st_mode & 0o7777) == mode {
        return Ok(());
    }
    sys::set_mode(directory, mode)?;
    tell_lost_setgid(directory, &before, name);
    Ok(())
}

/// Tells in the log if a directory has lost its setgid by a mode that was set: entries that come into it later don't get
/// its group.
fn tell_lost_setgid(directory: &OwnedFd, before: &Stat, name: &Name) {
    let has_setgid = |stat: &Stat| Mode::from_raw_mode(stat.st_mode).contains(Mode::SGID);
    let is_directory = FileType::from_raw_mode(before.st_mode) == FileType::Directory;
    if is_directory
        && has_setgid(before)
        && rustix::fs::fstat(directory).is_ok_and(|after| !has_setgid(&after))
    {
        tracing::warn!(
            name = name.as_bytes(),
            group = before.st_gid,
            "the directory has lost its setgid, as hauld's user is not in its group; make the user a member of that group"
        );
    }
}

/// The permission bits of a file that stands under a name.
pub(super) fn mode_of_file(parents: &Parents, name: &Name) -> Result<Option<Mode>, Errno> {
    let (above, last) = name.split();
    // If the parent can't be had, the commit of the file will be told why.
    let Ok(parent) = parents.find(above) else { return Ok(None) };
    let look = || parents.rights().stat_at(&parent, last);
    match parents.rights().in_directory(&parent, look) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
            Ok(Some(Mode::from_raw_mode(stat.st_mode & 0o777)))
        }
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Whether the entry is of the stated kind, and its attributes belong to this name alone.
pub(super) fn can_be_set(name: &Name, is_file: bool, stat: &Stat) -> Result<(), StoreError> {
    let found = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory if !is_file => return Ok(()),
        FileType::Directory => "a directory",
        FileType::RegularFile if !is_file => "a file, not a directory",
        FileType::RegularFile if stat.st_nlink == 1 => return Ok(()),
        FileType::RegularFile => "a file with several names",
        FileType::Symlink => "a symbolic link",
        _ => "neither a directory nor a file",
    };
    Err(StoreError::Conflict { name: name.to_string(), found })
}

impl Store {
    fn by_handle(
        &self,
        target: &OwnedFd,
        is_file: bool,
        attributes: &Attributes,
    ) -> Result<(), Errno> {
        if is_file && attributes.mtime.is_some() {
            kept_digest::forget(target)?;
        }
        self.set_mode_of(target, is_file, attributes, |mode| sys::set_mode(target, mode))?;
        match attributes.mtime {
            Some(mtime) => sys::set_times(target, &times(mtime)),
            None => Ok(()),
        }
    }

    /// For an entry that is the server's own and that it may not read (mode 0300, say): chmod(2) takes no `O_PATH`
    /// handle, but follows its link in /proc, which leads to nothing else.
    fn by_magic_link(
        &self,
        target: &OwnedFd,
        is_file: bool,
        attributes: &Attributes,
    ) -> Result<(), Errno> {
        use rustix::fd::AsRawFd;
        if is_file && attributes.mtime.is_some() {
            kept_digest::forget(target)?;
        }
        self.set_mode_of(target, is_file, attributes, |mode| {
            sys::set_mode_by_path_handle(target, mode)
        })?;
        let link = format!("/proc/self/fd/{}", target.as_raw_fd());
        match attributes.mtime {
            Some(mtime) => rustix::fs::utimensat(CWD, &link, &times(mtime), AtFlags::empty()),
            None => Ok(()),
        }
    }

    /// Gives a file of ours, that nobody sees yet, the permission bits of the file that it is about to replace: no client
    /// has stated others. Returns whether the file has changed.
    pub(super) fn keep_mode(
        &self,
        file: &OwnedFd,
        parents: &Parents,
        name: &Name,
    ) -> Result<bool, Errno> {
        let Some(mode) = mode_of_file(parents, name)? else { return Ok(false) };
        if Mode::from_raw_mode(rustix::fs::fstat(file)?.st_mode & 0o777) == mode {
            return Ok(false);
        }
        sys::set_mode(file, mode)?;
        Ok(true)
    }

    /// Sets the mode if one was sent, and it is not there: if the server's user is not in the group of a directory,
    /// setting its mode takes its setgid away (chmod(2)), which [the log tells](tell_lost_setgid).
    ///
    /// Setuid, setgid and sticky of a directory that is there stay: no client sets them, and what the server's
    /// people set stays. A file loses them, as if it had been sent.
    fn set_mode_of(
        &self,
        target: &OwnedFd,
        is_file: bool,
        attributes: &Attributes,
        set: impl Fn(Mode) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let Some(mode) = kept(attributes.mode) else { return Ok(()) };
        let special = if is_file { Mode::empty() } else { Mode::SUID | Mode::SGID | Mode::SVTX };
        self.rights.set_mode(target, |has| mode | (has & special), set)
    }
}
