//! Things that a directory hands down to its new entries: its group, if it has setgid, and its default ACL (acl(5)).
//!
//! The kernel does that for an entry that is made in the directory; the store makes entries elsewhere and moves
//! them. So if a directory hands something down, the store makes a file in it, without a name
//! (`O_TMPFILE`, open(2)), and nobody sees the file before its commit. That needs no right to give a file to
//! a group. An entry that can't be made like that (a symlink, a directory that replaces a file, a file on a file
//! system without `O_TMPFILE`) gets group and ACL afterwards, before anybody sees it.

use std::rc::Rc;

use haul_protocol::{Attributes, Digest, Name};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Gid, Mode, OFlags};
use rustix::io::Errno;

use super::mode::kept;
use super::temp::staging::Place;
use super::{Store, sys};

/// Where a default ACL is, and where the ACL of an entry itself is.
pub(super) const DEFAULT_ACL: &std::ffi::CStr = c"system.posix_acl_default";
pub(super) const ACCESS_ACL: &std::ffi::CStr = c"system.posix_acl_access";

/// Tags of the entries of an ACL (linux/posix_acl.h).
pub(super) const OWNER: u16 = 0x01;
const GROUP: u16 = 0x04;
pub(super) const MASK: u16 = 0x10;
pub(super) const OTHERS: u16 = 0x20;

/// Bytes of the longest ACL that is handed down: ext4 and xfs have shorter ones.
const MAX_ACL: usize = 64 * 1024;

/// Bytes of an ACL with about sixty entries.
const USUAL_ACL: usize = 512;

/// Group and ACL that a directory hands down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HandsDown {
    /// Its group, if it has setgid.
    pub(super) group: Option<Gid>,
    /// The bits of a mode that its default ACL leaves to a new entry, if it has one.
    pub(super) acl: Option<Mode>,
    /// The first bytes of the digest of its default ACL, to tell it from others that leave the same bits.
    which: u64,
}

/// A directory that hands its group or a default ACL down.
pub(super) type Giver = (Rc<OwnedFd>, HandsDown);

impl HandsDown {
    const NOTHING: Self = Self { group: None, acl: None, which: 0 };

    /// `None`: it hands nothing down.
    pub(super) fn of(directory: impl AsFd) -> Result<Option<Self>, Errno> {
        let stat = rustix::fs::fstat(&directory)?;
        let has_setgid = Mode::from_raw_mode(stat.st_mode).contains(Mode::SGID);
        let group = has_setgid.then(|| Gid::from_raw(stat.st_gid));
        let (acl, which) = look_at_acl(&directory)?.unzip();
        let which = which.unwrap_or_default();
        Ok((acl.is_some() || group.is_some()).then_some(Self { group, acl, which }))
    }

    /// The mode that creation in the directory leaves of a mode.
    pub(super) fn leaves(self, mode: Mode) -> Mode {
        self.acl.map_or(mode, |most| mode & most)
    }
}

/// The bits of a mode that a directory's default ACL leaves to a new entry; `None` if it has no such ACL.
pub(super) fn left_by_acl(directory: impl AsFd) -> Result<Option<Mode>, Errno> {
    Ok(look_at_acl(directory)?.map(|(most, _)| most))
}

/// The same bits, and the first bytes of the ACL's digest.
fn look_at_acl(directory: impl AsFd) -> Result<Option<(Mode, u64)>, Errno> {
    let mut acl = [0; USUAL_ACL];
    let both = |acl: &[u8]| Some((left_by(acl)?, first_bytes(Digest::of(acl))));
    let found = match rustix::fs::fgetxattr(&directory, DEFAULT_ACL, &mut acl[..]) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
        Err(Errno::RANGE) => default_acl(&directory).and_then(|acl| both(&acl)),
        Err(errno) => return Err(errno),
        Ok(len) => acl.get(..len).and_then(both),
    };
    found.map(Some).ok_or(Errno::INVAL)
}

fn first_bytes(digest: Digest) -> u64 {
    digest.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The entries of an ACL that count at creation, as the kernel gives them (linux/posix_acl_xattr.h): after a version,
/// tag, permissions and id of each. The mask takes the place of the group's entry (acl(5)).
fn left_by(acl: &[u8]) -> Option<Mode> {
    let (version, entries) = acl.split_first_chunk()?;
    if u32::from_le_bytes(*version) != 2 {
        return None;
    }
    let bits = |wanted| {
        let is_wanted = |entry: &&[u8]| entry[..2] == u16::to_le_bytes(wanted);
        let entry = entries.chunks_exact(8).find(is_wanted)?;
        Some(u32::from(entry[2] & 0o7))
    };
    let (owner, group, others) = (bits(OWNER)?, bits(MASK).or_else(|| bits(GROUP))?, bits(OTHERS)?);
    Some(Mode::from_raw_mode(owner << 6 | group << 3 | others))
}

/// Whether a directory that is made elsewhere and moved to `parent` would lack something. If that can't be
/// told, it is made in `parent`.
pub(super) fn gives_to_children(parent: &OwnedFd) -> bool {
    !matches!(HandsDown::of(parent), Ok(None))
}

/// A default ACL.
pub(super) fn default_acl(directory: impl AsFd) -> Option<Vec<u8>> {
    read_acl(directory, DEFAULT_ACL)
}

pub(super) fn read_acl(file: impl AsFd, which: &std::ffi::CStr) -> Option<Vec<u8>> {
    let mut acl = vec![0; MAX_ACL];
    let len = rustix::fs::fgetxattr(file, which, &mut acl[..]).ok()?;
    acl.truncate(len);
    Some(acl)
}

/// Gives an entry of ours, that nobody sees yet, a group. If the server's user may not do that, the entry keeps
/// the group that it has, and the log says so.
pub(super) fn give_group(file: impl AsFd, group: Gid, name: &Name) -> Result<bool, Errno> {
    if rustix::fs::fstat(&file)?.st_gid == group.as_raw() {
        return Ok(false);
    }
    match sys::set_group(&file, group) {
        Ok(()) => Ok(true),
        Err(Errno::PERM) => {
            not_given(name, group);
            Ok(false)
        }
        Err(errno) => Err(errno),
    }
}

pub(super) fn not_given(name: &Name, group: Gid) {
    tracing::warn!(
        name = name.as_bytes(),
        group = group.as_raw(),
        "the server's user may not give this the group of its directory; make it a member of that group"
    );
}

/// Whether a file of ours has, or may have, another group or ACL than an entry that is made in its directory.
pub(super) fn may_differ(file: &OwnedFd, giver: Option<&Giver>) -> Result<bool, Errno> {
    let given = giver.map_or(HandsDown::NOTHING, |(_, given)| *given);
    let group = given.group.unwrap_or_else(rustix::process::getegid);
    if given.acl.is_some() || rustix::fs::fstat(file)?.st_gid != group.as_raw() {
        return Ok(true);
    }
    // Without room for it the kernel only tells its length.
    match rustix::fs::fgetxattr(file, ACCESS_ACL, &mut [0_u8; 0][..]) {
        Ok(_) => Ok(true),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
        Err(errno) => Err(errno),
    }
}

impl Store {
    /// The mode of a new file, before an ACL takes bits away.
    fn wanted_mode(&self, mode: Option<u32>, given: HandsDown) -> Mode {
        // A default ACL takes the place of the umask (umask(2)).
        let umask = if given.acl.is_some() { Mode::empty() } else { self.umask };
        kept(mode).unwrap_or(Mode::from_raw_mode(0o666) - umask)
    }

    /// Makes a staged file as if it had been made in a directory that hands its group or a default ACL down.
    pub(super) fn stage_for(
        &self,
        (parent, given): &Giver,
        name: &Name,
        attributes: &Attributes,
    ) -> Result<(OwnedFd, Option<Place>), Errno> {
        let mode = self.wanted_mode(attributes.mode, *given);
        if self.staging.unnamed {
            let make = || sys::create_unnamed(parent, mode);
            if let Ok(file) = self.rights.in_directory(parent, make) {
                return Ok((file, None));
            }
            let file = sys::create_unnamed(self.staging.directory(self.staging.place()), mode)?;
            self.give(&file, (parent, *given), name, attributes.mode)?;
            return Ok((file, None));
        }
        let place = self.staging.place();
        let (directory, staged) = self.staging.at(place);
        let flags = OFlags::WRONLY | OFlags::EXCL;
        let file = match self.made_in(parent, mode, directory, staged.as_bytes()) {
            Some(file) => file,
            None => {
                let file = sys::create(directory, staged.as_bytes(), flags, mode)?;
                self.give(&file, (parent, *given), name, attributes.mode)?;
                file
            }
        };
        Ok((file, Some(place)))
    }

    /// Makes a file in a directory, without a name there, and gives it a name in a directory of ours. `None` if the
    /// file system can't do that, or nobody may write to the directory.
    pub(super) fn made_in(
        &self,
        parent: &OwnedFd,
        mode: Mode,
        ours: impl AsFd,
        name: &[u8],
    ) -> Option<OwnedFd> {
        let make = || sys::create_unnamed(parent, mode);
        let file = self.rights.in_directory(parent, make).ok()?;
        sys::link(&file, &ours, name)
            .or_else(|_| sys::link_by_descriptor(&file, &ours, name))
            .is_ok()
            .then_some(file)
    }

    /// Gives a file of ours, that nobody sees yet, what a directory hands down. Returns whether the file has changed.
    pub(super) fn give(
        &self,
        file: &OwnedFd,
        (parent, given): (&OwnedFd, HandsDown),
        name: &Name,
        mode: Option<u32>,
    ) -> Result<bool, Errno> {
        let mut changed = match given.group {
            Some(group) => give_group(file, group, name)?,
            None => false,
        };
        if given.acl.is_some()
            && let Some(acl) = default_acl(parent)
        {
            sys::set_acl(file, ACCESS_ACL, &acl)?;
            // From here on the mode shows what the ACL allows at most.
            let most = Mode::from_raw_mode(rustix::fs::fstat(file)?.st_mode & 0o777);
            sys::set_mode(file, self.wanted_mode(mode, given) & most)?;
            changed = true;
        }
        Ok(changed)
    }

    /// Gives a file of ours, that nobody sees yet, group, ACL and mode as if it had been made in its directory just
    /// now, and takes from the file what another directory has handed down to it.
    pub(super) fn give_only(
        &self,
        file: &OwnedFd,
        giver: Option<&Giver>,
        name: &Name,
        mode: Option<u32>,
    ) -> Result<(), Errno> {
        // Until it has its group, nobody else has rights.
        sys::set_mode(file, Mode::RUSR | Mode::WUSR)?;
        take_acl(file, ACCESS_ACL)?;
        let group = giver.and_then(|(_, given)| given.group).map(Gid::as_raw);
        // If the server's user may not give the file the new group, the file must not keep the other one.
        if group != Some(rustix::fs::fstat(file)?.st_gid) {
            match inherits_nothing(file) {
                Err(Errno::PERM) => not_given(name, rustix::process::getegid()),
                taken => taken?,
            }
        }
        sys::set_mode(file, self.wanted_mode(mode, HandsDown::NOTHING))?;
        if let Some((parent, given)) = giver {
            self.give(file, (parent, *given), name, mode)?;
        }
        Ok(())
    }

    /// Gives a directory of ours, that nobody sees yet, what its parent would hand down.
    pub(super) fn give_directory(
        &self,
        directory: &OwnedFd,
        (parent, given): (&OwnedFd, HandsDown),
        name: &Name,
        stated: Option<u32>,
    ) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(rustix::fs::fstat(directory)?.st_mode & 0o777);
        if let Some(group) = given.group {
            give_group(directory, group, name)?;
            sys::set_mode(directory, mode | Mode::SGID)?;
        }
        if given.acl.is_some()
            && let Some(acl) = default_acl(parent)
        {
            sys::set_acl(directory, DEFAULT_ACL, &acl)?;
            sys::set_acl(directory, ACCESS_ACL, &acl)?;
            let now = Mode::from_raw_mode(rustix::fs::fstat(directory)?.st_mode & 0o7777);
            // A default ACL takes the place of the umask (umask(2)).
            let all = Mode::RWXU | Mode::RWXG | Mode::RWXO;
            let wanted = if stated.is_none() { all } else { mode };
            sys::set_mode(directory, (wanted & now) | (now - all))?;
        }
        Ok(())
    }
}

/// Takes from an entry of ours the group that a directory has handed down to it.
pub(super) fn inherits_nothing(entry: &OwnedFd) -> Result<(), Errno> {
    let group = rustix::process::getegid();
    if rustix::fs::fstat(entry)?.st_gid == group.as_raw() {
        return Ok(());
    }
    sys::set_group(entry, group)
}

/// The same for the ACLs of a directory.
pub(super) fn take_acls(directory: &OwnedFd) -> Result<(), Errno> {
    [DEFAULT_ACL, ACCESS_ACL].into_iter().try_for_each(|acl| take_acl(directory, acl))
}

fn take_acl(entry: &OwnedFd, which: &std::ffi::CStr) -> Result<(), Errno> {
    match rustix::fs::fremovexattr(entry, which) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno),
    }
}
