//! Group, setgid and ACLs of a draft's own directory, which the kernel hands down to everything in the draft.
//!
//! If the server's people change them at the present version while a draft is put together, a publish would undo that
//! in all of the directory. So the server refuses the publish, and the next run begins a new draft. If a draft is left,
//! no file notes its heritage: the draft's own directory shows that, and nobody but the server changes that directory.

use haul_protocol::Name;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{Gid, Mode};
use rustix::io::Errno;

use crate::store::inherit::{
    ACCESS_ACL, DEFAULT_ACL, MASK, OTHERS, OWNER, default_acl, give_group, read_acl,
};
use crate::store::rights::may_give;
use crate::store::root::{Parents, Root};
use crate::store::sys;

/// Group, setgid and ACLs for the directory of a draft.
#[derive(Debug, Default)]
pub(super) struct Heritage {
    /// `None`: that of the server's user.
    group: Option<Gid>,
    setgid: bool,
    default_acl: Option<Vec<u8>>,
    /// Of the directory itself.
    own_acl: Option<Vec<u8>>,
}

impl Heritage {
    /// As a directory would have them that stood under this name now: those of the present version, or else those that
    /// a parent hands down.
    pub(super) fn now(
        parents: &Parents,
        name: &Name,
        present: Option<&Root>,
    ) -> Result<Self, Errno> {
        if let Some(present) = present {
            let stat = rustix::fs::fstat(present)?;
            return Ok(Self {
                group: Some(Gid::from_raw(stat.st_gid)),
                setgid: Mode::from_raw_mode(stat.st_mode).contains(Mode::SGID),
                default_acl: default_acl(present),
                own_acl: read_acl(present, ACCESS_ACL),
            });
        }
        let Some((parent, given)) = parents.giver(name) else { return Ok(Self::default()) };
        let acl = default_acl(&parent);
        let (group, setgid) = (given.group, given.group.is_some());
        Ok(Self { group, setgid, default_acl: acl.clone(), own_acl: acl })
    }

    /// Gives them to the new directory of a draft, as far as the server's user may.
    pub(super) fn give(&self, draft: &OwnedFd, name: &Name) {
        let tell = |what: &str, errno: Errno| {
            tracing::warn!(name = name.as_bytes(), %errno, "could not hand the {what} down to a new version");
        };
        if let Some(group) = self.group
            && let Err(errno) = give_group(draft, group, name)
        {
            tell("group", errno);
        }
        for (which, acl) in [(DEFAULT_ACL, &self.default_acl), (ACCESS_ACL, &self.own_acl)] {
            if let Some(acl) = acl
                && let Err(errno) = sys::set_acl(draft, which, acl)
            {
                tell("ACL", errno);
            }
        }
        // Nobody but the server enters before the draft is published.
        let special = if self.setgid { Mode::SGID } else { Mode::empty() };
        if let Err(errno) = sys::set_mode(draft, Mode::RWXU | special) {
            tell("setgid", errno);
        }
    }

    /// Whether a draft with these would have the others as well. The mode of the directory does not count.
    pub(super) fn is(&self, other: &Self) -> bool {
        let group = |of: &Self| of.group.unwrap_or_else(rustix::process::getegid);
        let rest = |of: &Self| (group(of), of.setgid, of.own_acl.as_deref().and_then(lasting));
        rest(self) == rest(other) && self.default_acl == other.default_acl
    }

    /// Whether the directory of a draft that is left has just these, as far as the server's user may give them.
    pub(super) fn is_of(&self, draft: BorrowedFd<'_>) -> Result<bool, Errno> {
        let stat = rustix::fs::fstat(draft)?;
        let has = Gid::from_raw(stat.st_gid);
        let is_own = has == rustix::process::getegid();
        let group = self.group.filter(|group| !is_own || may_give(*group)).map(|_| has);
        let found = Self {
            // A group that could not be given is not missing.
            group: group.or(self.group),
            setgid: Mode::from_raw_mode(stat.st_mode).contains(Mode::SGID),
            default_acl: default_acl(draft),
            own_acl: read_acl(draft, ACCESS_ACL),
        };
        Ok(self.is(&found))
    }
}

/// The entries of an ACL that no chmod(2) changes, so also not the one that closes a draft. `None` if the kernel
/// keeps the ACL as a mode alone.
fn lasting(acl: &[u8]) -> Option<Vec<u8>> {
    let tag = |entry: &[u8]| u16::from_le_bytes([entry[0], entry[1]]);
    let entries = || acl.get(4..).unwrap_or_default().chunks_exact(8);
    entries().any(|entry| tag(entry) == MASK).then(|| {
        let changes = |entry: &&[u8]| matches!(tag(entry), OWNER | MASK | OTHERS);
        entries().filter(|entry| !changes(entry)).flatten().copied().collect()
    })
}
