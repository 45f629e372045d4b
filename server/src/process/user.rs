//! `--user`: a server that root starts, so that it may bind any port, goes on as another user.

use std::ffi::CString;
use std::io;
use std::os::unix::fs::{DirBuilderExt, fchown};
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, initgroups, setresgid, setresuid};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs,
};

use crate::error::StartError;

/// A user of this machine, and the group that files of the process get.
#[derive(Debug)]
pub struct SystemUser {
    name: CString,
    uid: Uid,
    gid: Gid,
}

impl SystemUser {
    /// Looks `NAME` or `NAME:GROUP` up. Without a group it is the user's own. `None`: this process is that user's already, and
    /// has that group if one is named.
    ///
    /// # Errors
    /// If there is no such user or group, if it is root, or if this process is neither root's nor that user's.
    pub fn find(text: &str) -> Result<Option<Self>, StartError> {
        let wrong = |text: String| StartError::Process(format!("--user: {text}"));
        let (name, group) = match text.split_once(':') {
            Some((name, group)) => (name, Some(group)),
            None => (text, None),
        };
        let failed = |error| wrong(format!("could not look `{text}` up: {error}"));
        let Some(user) = User::from_name(name).map_err(failed)? else {
            return Err(wrong(format!("this machine has no user `{name}`")));
        };
        if user.uid.is_root() {
            return Err(wrong(format!("`{name}` is root; leave it out if that is meant")));
        }
        let gid = match group {
            None => user.gid,
            Some(group) => match Group::from_name(group).map_err(failed)? {
                Some(group) => group.gid,
                None => return Err(wrong(format!("this machine has no group `{group}`"))),
            },
        };
        if !Uid::effective().is_root() {
            let is_group = group.is_none() || gid == Gid::effective();
            return match is_group && user.uid == Uid::effective() && user.uid == Uid::current() {
                true => Ok(None),
                false => Err(wrong(String::from(
                    "only root can go on as another user; leave it out, or start hauld as root",
                ))),
            };
        }
        let name = CString::new(name).map_err(|error| wrong(error.to_string()))?;
        Ok(Some(Self { name, uid: user.uid, gid }))
    }

    /// Makes a directory for this user if nothing is there. Missing directories above it belong to root.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn make_directory(&self, path: &Path, mode: u32) -> Result<(), StartError> {
        let failed = |error: io::Error| {
            StartError::Process(format!("could not make `{}`: {error}", path.display()))
        };
        let mut builder = std::fs::DirBuilder::new();
        builder.mode(0o755);
        if let Some(above) = path.parent() {
            builder.recursive(true).create(above).map_err(failed)?;
        }
        match builder.recursive(false).mode(mode).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(CWD, path, flags, Mode::empty());
        let made = made.map_err(|errno| failed(errno.into()))?;
        fchown(made, Some(self.uid.as_raw()), Some(self.gid.as_raw())).map_err(failed)
    }

    /// Gives the file of a Unix socket that this process has made to this user, who alone may connect then.
    ///
    /// # Errors
    /// If it is another file by now, or can't be given.
    pub fn own_socket(&self, path: &Path) -> Result<(), StartError> {
        let give = || {
            // A user who may write to the directory may have put a link there.
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
            let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
            if kind != FileType::Socket {
                return Err(rustix::io::Errno::NOTSOCK);
            }
            let owner = rustix::fs::Uid::from_raw(self.uid.as_raw());
            let group = rustix::fs::Gid::from_raw(self.gid.as_raw());
            rustix::fs::chownat(&file, c"", Some(owner), Some(group), AtFlags::EMPTY_PATH)
        };
        give().map_err(|errno| {
            StartError::Process(format!("could not give `{}` away: {errno}", path.display()))
        })
    }

    /// Goes on as this user, for good: with the user's groups, and without any capability. To be called before the first
    /// thread starts.
    ///
    /// # Errors
    /// If the kernel refuses a step, or a way back is left.
    pub fn switch(&self) -> Result<(), StartError> {
        let steps = || {
            initgroups(&self.name, self.gid)?;
            setresgid(self.gid, self.gid, self.gid)?;
            setresuid(self.uid, self.uid, self.uid)?;
            // The kernel has taken them already, unless somebody has told it to keep them (capabilities(7), securebits).
            let none = CapabilitySet::empty();
            set_capabilities(
                None,
                CapabilitySets { effective: none, permitted: none, inheritable: none },
            )?;
            // Nor does a program with setuid give any back.
            set_no_new_privs(true)?;
            let left = capabilities(None)?;
            let is_free = setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok();
            match left.permitted.is_empty() && !is_free {
                true => Ok(()),
                false => Err(io::Error::other("a way back to root is left")),
            }
        };
        steps().map_err(|error| {
            let name = self.name.to_string_lossy();
            StartError::Process(format!("could not go on as the user `{name}`: {error}"))
        })
    }
}
