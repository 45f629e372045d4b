//! Making symlinks.

use haul_protocol::{LinkTarget, Mtime, Name};
use rustix::fd::OwnedFd;
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::attributes::times;
use super::commit::dirty::Touched;
use super::errno::MAKE_LINK;
use super::error::StoreError;
use super::inherit::{HandsDown, not_given};
use super::quota::Amount;
use super::replaces::Replaces;
use super::root::Parents;
use super::{Store, sys};

impl Store {
    /// Makes a symlink visible, replacing a file or symlink.
    pub(super) fn make_link(
        &self,
        parents: &Parents,
        name: &Name,
        (target, mtime): (&LinkTarget, Option<Mtime>),
        replaces: Replaces,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        let bytes = target.as_bytes().len() as u64;
        let _room = self.admit(name, bytes)?;
        self.counted(parents, name, Some(Amount::file(bytes)), None, || {
            self.stage_link(parents, name, (target, mtime), replaces, touched)
        })
    }

    fn stage_link(
        &self,
        parents: &Parents,
        name: &Name,
        (target, mtime): (&LinkTarget, Option<Mtime>),
        replaces: Replaces,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        let failed = |op| move |errno| StoreError::new(op, name, errno);
        let (staging, staged) = self.staging.at(self.staging.place());
        let staged = staged.as_bytes();
        sys::make_link(staging, staged, target.as_bytes()).map_err(failed(MAKE_LINK))?;
        let published = set_mtime(staging, staged, mtime)
            .map_err(failed("set mtime of"))
            .and_then(|()| self.give_link(parents, (staging, staged), name))
            .and_then(|given| match given {
                Given::Yes => {
                    self.rename(parents, staging, staged, name, replaces, touched).map(|()| true)
                }
                Given::MustBeMadeThere => {
                    if self.make_link_there(parents, name, target, mtime, touched)? {
                        return Ok(false);
                    }
                    self.rename(parents, staging, staged, name, replaces, touched).map(|()| true)
                }
            });
        if !matches!(published, Ok(true))
            && let Err(errno) = sys::unlink(staging, staged)
        {
            let file = String::from_utf8_lossy(staged);
            tracing::warn!(%file, %errno, "could not remove a half-made link");
        }
        match published {
            Err(StoreError::Exists { .. }) if self.is_link(parents, name, target, mtime)? => {
                touched.everything();
                Ok(())
            }
            published => published.map(drop),
        }
    }

    /// Gives a staged symlink the group that its directory hands down.
    fn give_link(
        &self,
        parents: &Parents,
        (staging, staged): (&OwnedFd, &[u8]),
        name: &Name,
    ) -> Result<Given, StoreError> {
        let Some((_, HandsDown { group: Some(group), .. })) = parents.giver(name) else {
            return Ok(Given::Yes);
        };
        let failed = |errno| StoreError::new("set group of", name, errno);
        let stat =
            rustix::fs::statat(staging, staged, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if stat.st_gid == group.as_raw() {
            return Ok(Given::Yes);
        }
        match sys::set_group_of_link(staging, staged, group) {
            Ok(()) => Ok(Given::Yes),
            Err(Errno::PERM) => Ok(Given::MustBeMadeThere),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// Makes a symlink in its directory, so that the kernel gives it the group. `false` if an entry stands there, or
    /// the directory is not there: the server's user may not give the group, so the symlink keeps its own.
    fn make_link_there(
        &self,
        parents: &Parents,
        name: &Name,
        target: &LinkTarget,
        mtime: Option<Mtime>,
        touched: &mut Touched,
    ) -> Result<bool, StoreError> {
        let (above, last) = name.split();
        let parent = parents.of(name)?;
        let make = || sys::make_link(&parent, last, target.as_bytes());
        match self.rights.in_directory(&parent, make) {
            Ok(()) => {}
            Err(_) => {
                if let Some((_, HandsDown { group: Some(group), .. })) = parents.giver(name) {
                    not_given(name, group);
                }
                return Ok(false);
            }
        }
        touched.directory(above, &parent);
        // Should this fail, the symlink is there, whole; its mtime is now.
        set_mtime(&parent, last, mtime).map_err(|errno| StoreError::Unfinished {
            name: name.to_string(),
            what: "mtime",
            source: errno.into(),
        })?;
        Ok(true)
    }
}

/// Whether a staged symlink has the group that it needs.
enum Given {
    Yes,
    /// Only the kernel may give it.
    MustBeMadeThere,
}

fn set_mtime(directory: &OwnedFd, name: &[u8], mtime: Option<Mtime>) -> Result<(), Errno> {
    mtime.map_or(Ok(()), |mtime| {
        rustix::fs::utimensat(directory, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
    })
}
