//! Entries that stand in a directory of the target: listing, removing, and changing their attributes.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::atomic::Ordering;

use haul_protocol::Attributes;
use rustix::fs::{AtFlags, Mode, OFlags, fstat, openat, unlinkat};
use rustix::io::Errno;

use super::attributes::{set_mode, set_mtime};
use super::directory::Directory;
use super::kind::Kind;
use super::leftovers::{self, Parts};
use super::names::{For, random, single, usual};
use super::standing::{is_same, kind, stat};
use crate::error::FileError;

impl Directory {
    /// The names and kinds of its entries, without haul's temporary files.
    ///
    /// # Errors
    /// If it can't be read, now or later.
    pub fn entries(
        &self,
    ) -> Result<impl Iterator<Item = Result<(OsString, Kind), FileError>> + '_, FileError> {
        let failed = FileError::target::<io::Error>("read the directory");
        let entries = leftovers::entries(self.handle()).map_err(&failed)?;
        Ok(entries.map(move |entry| entry.map_err(&failed)))
    }

    /// Removes haul's temporary files that no run uses; returns how many. For when all entries of the directory are there.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn sweep(&self, parts: Parts) -> Result<usize, FileError> {
        let swept = leftovers::sweep(self.handle(), parts);
        let swept = swept.map_err(FileError::target("read the directory"))?;
        self.keeps_parts.store(swept.kept > 0, Ordering::Relaxed);
        Ok(swept.removed)
    }

    /// Removes haul's temporary files that no run uses, but for the parts of large files of these names.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn sweep_but(&self, components: &HashSet<OsString>) -> Result<(), FileError> {
        let names: HashSet<_> = components.iter().map(|name| usual(For::Parts, name)).collect();
        let swept = leftovers::sweep_but(self.handle(), |name| names.contains(name));
        let swept = swept.map_err(FileError::target("read the directory"))?;
        self.keeps_parts.store(swept.kept > 0, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the last sweep has left parts of large files in it.
    #[must_use]
    pub fn keeps_parts(&self) -> bool {
        self.keeps_parts.load(Ordering::Relaxed)
    }

    /// Removes a file, symlink, or directory without entries; haul's temporary files in it go with it. An entry that is
    /// not there is removed.
    ///
    /// # Errors
    /// The system's error of a directory that is not empty if it is a directory with entries. Otherwise if it can't be removed.
    pub fn remove(&self, component: &OsStr) -> Result<(), FileError> {
        self.try_remove(single(component)?).map_err(FileError::target("remove it"))
    }

    fn try_remove(&self, name: &OsStr) -> io::Result<()> {
        match stat(self.handle(), name)?.as_ref().map(kind) {
            None => return Ok(()),
            Some(Kind::Directory) => {}
            Some(_) => return gone(unlinkat(self.handle(), name, AtFlags::empty())),
        }
        let remove = || gone(unlinkat(self.handle(), name, AtFlags::REMOVEDIR));
        match remove() {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let Ok(inside) = openat(self.handle(), name, flags, Mode::empty()) else {
                    return Err(error);
                };
                if leftovers::entries(&inside)?.next().is_some() {
                    return Err(error);
                }
                leftovers::sweep(&inside, Parts::Go)?;
                remove()
            }
            removed => removed,
        }
    }

    /// Sets mode and mtime of a file that has the right bytes.
    ///
    /// # Errors
    /// [`FileError::is_in_the_way`] if it is no file. Otherwise if they can't be set.
    pub fn set_attributes_of(
        &self,
        component: &OsStr,
        attributes: &Attributes,
    ) -> Result<(), FileError> {
        let name = single(component)?;
        let failed = FileError::target::<io::Error>("open it");
        match stat(self.handle(), name).map_err(&failed)?.as_ref().map(kind) {
            Some(Kind::File) => {}
            Some(other) => return Err(other.in_the_way()),
            None => return Err(failed(Errno::NOENT.into())),
        }
        let (file, granted) = self.open_file(name).map_err(&failed)?;
        let found = kind(&fstat(&file).map_err(|errno| failed(errno.into()))?);
        if found != Kind::File {
            return Err(found.in_the_way());
        }
        let times = attributes.mtime.map_or(Ok(()), |mtime| set_mtime(&file, mtime));
        if let Some(mode) = attributes.mode.or(granted) {
            set_mode(&file, mode, false).map_err(FileError::target("set its mode"))?;
        }
        times.map_err(FileError::target("set its mtime"))
    }

    /// Opens a file to read it.
    ///
    /// # Errors
    /// If there is none, or it can't be read.
    pub fn open_to_read(&self, component: &OsStr) -> Result<std::fs::File, FileError> {
        let name = single(component)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = openat(self.handle(), name, flags | OFlags::CLOEXEC, Mode::empty());
        opened.map(Into::into).map_err(FileError::target("open it"))
    }

    /// A file in any way of opening, and the mode that it had if haul had to give a right to open it.
    fn open_file(&self, name: &OsStr) -> io::Result<(OwnedFd, Option<u32>)> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = |flags| openat(self.handle(), name, flags, Mode::empty());
        let opened = match open(flags | OFlags::RDONLY) {
            Err(Errno::ACCESS) => open(flags | OFlags::WRONLY),
            opened => opened,
        };
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if matches!(opened, Err(Errno::ACCESS)) {
            let place = open(OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC)?;
            let found = fstat(&place)?;
            if kind(&found) == Kind::File {
                super::attributes::grant(&place, 0o400).map_err(|_| Errno::ACCESS)?;
                let mode = super::standing::wide(found.st_mode) & 0o777;
                return Ok((open(flags | OFlags::RDONLY)?, Some(mode)));
            }
        }
        Ok((opened?, None))
    }

    /// Whether names that differ in case only are one name here, as the names of its entries tell: nothing is changed.
    #[must_use]
    pub fn takes_for_one(&self, names: &HashSet<&OsStr>) -> bool {
        let turned = names.iter().find_map(|name| {
            let turn = |byte: u8| byte ^ (u8::from(byte.is_ascii_alphabetic()) << 5);
            let bytes: Vec<u8> = name.as_bytes().iter().copied().map(turn).collect();
            let turned = OsString::from_vec(bytes);
            (turned != **name && !names.contains(turned.as_os_str())).then_some((*name, turned))
        });
        turned.is_some_and(|(name, turned)| {
            let find = |name| stat(self.handle(), name).ok().flatten();
            find(name).zip(find(&turned)).is_some_and(|(one, other)| is_same(&one, &other))
        })
    }

    /// Whether a name in other case is the same entry here. haul tries it with a file of its own, so this is for when names
    /// that differ in case only come up. `false` if it can't be tried.
    #[must_use]
    pub fn folds_case(&self) -> bool {
        let folds = || -> io::Result<bool> {
            let name = random(For::Moment, OsStr::new(""))?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let mode = Mode::RUSR | Mode::WUSR;
            openat(self.handle(), &name, flags | OFlags::CLOEXEC, mode)?;
            let found = stat(self.handle(), &name.to_ascii_uppercase());
            unlinkat(self.handle(), &name, AtFlags::empty())?;
            Ok(found?.is_some())
        };
        folds().unwrap_or(false)
    }
}

/// An entry that another process has removed is gone as well.
fn gone(removed: Result<(), Errno>) -> io::Result<()> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        // Some systems say so.
        Err(Errno::EXIST) => Err(io::ErrorKind::DirectoryNotEmpty.into()),
        removed => Ok(removed?),
    }
}
