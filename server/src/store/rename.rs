//! Giving an entry another name, at once.

use std::rc::Rc;

use haul_protocol::Name;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::commit::dirty::Touched;
use super::error::StoreError;
use super::root::Parents;
use super::versions::guard::is_at_or_below;
use super::{Store, sys};

/// Directories that are flushed one by one; for more, the whole file system is.
const MOST_FLUSHED: usize = 2;

/// Flushes that a durable rename makes alone: of the directories that lead to the new name only, and of both parents.
pub(super) fn flushes(from: &Name, to: &Name) -> usize {
    let way = way(from, to).len();
    2 + if way > MOST_FLUSHED { 1 } else { way }
}

impl Store {
    /// Renames a file, link or directory; a directory goes with all that is in it. Missing parents of the new name are
    /// made. An entry that stands there makes way only with `replace`, and then as in rename(2): a directory for a
    /// directory and if it is empty, anything else for anything but a directory.
    pub(super) fn rename_entry(
        &self,
        parents: &Parents,
        (from, to): (&Name, &Name),
        replace: bool,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        if from != to && is_at_or_below(to, from) {
            let found = "to be moved into itself";
            return Err(StoreError::Conflict { name: from.to_string(), found });
        }
        let mut fresh = false;
        let (source, target, is_directory) = loop {
            let source = parents.existing(from.split().0)?;
            let look = |parent: &OwnedFd, name: &Name| {
                let stat = || self.rights.stat_at(parent, name.split().1);
                self.rights.in_directory(parent, || self.rights.stat(stat))
            };
            let found = match look(&source, from) {
                // A handle that is kept may be that of a directory that is gone.
                Err(Errno::NOENT) if !fresh => {
                    fresh = true;
                    parents.clear();
                    continue;
                }
                found => found.map_err(|errno| StoreError::new("look at", from, errno))?,
            };
            let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
            let target = parents.of(to)?;
            // Nothing in a draft is durable before its publish.
            if self.durable && !touched.is_ignored() {
                self.flush_way(parents, from, to)?;
            }
            let _room = may_grow(from, (to, &target)).then(|| self.admit(to, 0)).transpose()?;
            let is_same =
                |other: Stat| inode(&other) == inode(&found) && found.st_nlink > 1 && !is_directory;
            let is_other_name = || are_two((&source, from), (&target, to));
            let moved = if replace && from != to && look(&target, to).is_ok_and(is_same) {
                // rename(2) leaves both of two names of one file.
                let unlink = || match is_other_name()? {
                    true => sys::unlink(&source, from.split().1),
                    false => sys::rename(&source, from.split().1, &target, to.split().1),
                };
                self.rights.in_directory(&source, unlink)
            } else {
                self.move_entry((&source, from), (&target, to), is_directory, replace)
            };
            match moved {
                Ok(()) => break (source, target, is_directory),
                Err(Errno::NOENT) if !fresh => {
                    fresh = true;
                    parents.clear();
                }
                Err(Errno::INVAL) if !replace && !self.abilities.exchanges => {
                    return Err(self.abilities.no_flags("rename", from));
                }
                Err(errno) => return Err(refused(from, to, errno)),
            }
        };
        self.renamed((from, &source), (to, &target), is_directory, parents, touched)
    }

    /// Flushes the directories that lead to the new name and not to the old one: a crash that keeps the rename, and loses a
    /// directory above the new name, would lose the entry.
    fn flush_way(&self, parents: &Parents, from: &Name, to: &Name) -> Result<(), StoreError> {
        let failed = |errno| StoreError::new("flush the directories above", to, errno);
        let way = way(from, to);
        if way.len() > MOST_FLUSHED {
            return sys::sync_file_system(&self.root).map_err(failed);
        }
        way.into_iter().try_for_each(|directory| {
            sys::sync_directory(&*parents.existing(directory)?).map_err(failed)
        })
    }

    fn move_entry(
        &self,
        (source, from): (&OwnedFd, &Name),
        (target, to): (&OwnedFd, &Name),
        is_directory: bool,
        replace: bool,
    ) -> Result<(), Errno> {
        let (from, to) = (from.split().1, to.split().1);
        let rename = || {
            self.rights.in_directory(source, || {
                self.rights.in_directory(target, || match replace {
                    true => sys::rename(source, from, target, to),
                    false => sys::rename_new(source, from, target, to),
                })
            })
        };
        match rename() {
            // A directory that goes to another parent has to be writable for its owner.
            Err(errno @ (Errno::ACCESS | Errno::PERM)) if is_directory => {
                self.opened_up(source, from, errno, rename)
            }
            renamed => renamed,
        }
    }

    /// Notes which directories have other entries now, and flushes them at once: if the old name is given to something else
    /// by a later change, a crash must not keep that change alone.
    fn renamed(
        &self,
        (from, source): (&Name, &Rc<OwnedFd>),
        (to, target): (&Name, &Rc<OwnedFd>),
        is_directory: bool,
        parents: &Parents,
        touched: &mut Touched,
    ) -> Result<(), StoreError> {
        touched.directory(from.split().0, source);
        touched.directory(to.split().0, target);
        if is_directory {
            // Handles lead to it by its old name, and changes of the same group below it are flushed by theirs.
            self.guard.swapped();
            parents.clear();
            touched.everything();
        }
        if !self.durable || touched.is_ignored() {
            return Ok(());
        }
        [(to, target), (from, source)].into_iter().try_for_each(|(name, directory)| {
            sys::sync_directory(&**directory).map_err(|errno| StoreError::Uncertain {
                directory: String::from_utf8_lossy(name.split().0).into_owned(),
                source: errno.into(),
            })
        })
    }
}

/// The directories with an entry that leads to the new name and not to the old one, from the top.
fn way<'a>(from: &Name, to: &'a Name) -> Vec<&'a [u8]> {
    let (from, above) = (from.split().0, to.split().0);
    let ends = above.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let mut prefixes: Vec<_> = ends.map(|end| &above[..end]).collect();
    prefixes.insert(0, b"");
    let leads = |directory: &[u8]| {
        let rest = from.strip_prefix(directory);
        directory.is_empty() || rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    };
    // The lowest of those that lead to both has the first entry that leads to one only.
    let common = prefixes.iter().rposition(|directory| leads(directory)).unwrap_or(0);
    if leads(above) { Vec::new() } else { prefixes.split_off(common) }
}

/// Whether the directory of the new name may grow by a block. If it has more than one, an ext4 directory may grow by a name
/// that is as long as the old one: the names are in blocks by their hashes, and a full block is split.
fn may_grow(from: &Name, (to, directory): (&Name, &OwnedFd)) -> bool {
    let ((old, before), (new, after)) = (from.split(), to.split());
    let has_one_block = || {
        rustix::fs::fstat(directory)
            .is_ok_and(|stat| i128::from(stat.st_size) <= stat.st_blksize.into())
    };
    from != to && (old != new || after.len() > before.len() || !has_one_block())
}

/// Whether two names of one inode are two entries. In a directory that ignores case they may be one, and a directory may
/// be reached by two names.
fn are_two(
    (source, from): (&OwnedFd, &Name),
    (target, to): (&OwnedFd, &Name),
) -> Result<bool, Errno> {
    let (from, to) = (from.split().1, to.split().1);
    if inode(&rustix::fs::fstat(source)?) != inode(&rustix::fs::fstat(target)?) {
        return Ok(true);
    }
    let mut found = 0;
    for entry in rustix::fs::Dir::read_from(source)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        found += usize::from(name == from || name == to);
    }
    Ok(found == 2)
}

fn inode(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn refused(from: &Name, to: &Name, errno: Errno) -> StoreError {
    let found = match errno {
        Errno::EXIST => "there already",
        Errno::NOTEMPTY => "a directory that is not empty",
        Errno::ISDIR => "a directory, and is replaced by a directory only",
        Errno::NOTDIR => "not a directory, and is replaced by no directory",
        errno => return StoreError::new("rename", from, errno),
    };
    StoreError::Conflict { name: to.to_string(), found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_goes_to_no_other_directory_if_that_has_no_room_for_it() {
        let root = tempfile::tempdir().unwrap();
        for name in ["here/file", "there/other"] {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        let mode = rustix::fs::Mode::from_raw_mode(0o022);
        let store = Store::open(root.path(), mode, false, u64::MAX).unwrap();
        let rename = |from: &str, to: &str| {
            let name = |text: &str| Name::parse(text.as_bytes()).unwrap();
            let names = (&name(from), &name(to));
            store.rename_entry(&store.parents(), names, false, &mut Touched::new())
        };
        for to in ["there/file", "here/a longer name", "new/file"] {
            let refused = rename("here/file", to);
            assert!(matches!(refused, Err(StoreError::NoRoom { .. })), "{to}: {refused:?}");
        }
        rename("here/file", "here/same").unwrap();
        assert!(root.path().join("here/same").is_file() && !root.path().join("new").exists());
    }

    #[test]
    fn name_of_equal_length_needs_room_in_a_directory_of_several_blocks() {
        let root = tempfile::tempdir().unwrap();
        let name = |at: usize| Name::parse(format!("{at:0200}").as_bytes()).unwrap();
        let handle = || OwnedFd::from(std::fs::File::open(root.path()).unwrap());
        let is_asked = |at: usize| may_grow(&name(at), (&name(at + 1), &handle()));
        std::fs::write(root.path().join(name(0).to_string()), b"").unwrap();
        assert!(!is_asked(0));
        for at in 0..2000 {
            std::fs::write(root.path().join(name(at).to_string()), b"").unwrap();
        }
        let size = std::fs::metadata(root.path()).unwrap();
        let has_blocks = std::os::unix::fs::MetadataExt::blksize(&size) < size.len();
        assert_eq!(is_asked(0), has_blocks, "{} bytes", size.len());
    }

    #[test]
    fn names_of_one_inode_are_two_entries_only_if_the_directory_has_both() {
        let root = tempfile::tempdir().unwrap();
        let handle =
            |path: &str| OwnedFd::from(std::fs::File::open(root.path().join(path)).unwrap());
        let name = |text: &str| Name::parse(text.as_bytes()).unwrap();
        std::fs::create_dir(root.path().join("d")).unwrap();
        std::fs::write(root.path().join("file"), b"1").unwrap();
        for link in ["link", "d/file"] {
            std::fs::hard_link(root.path().join("file"), root.path().join(link)).unwrap();
        }
        let (top, below) = (handle("."), handle("d"));
        let are_two = |from: (&OwnedFd, &str), to: (&OwnedFd, &str)| {
            super::are_two((from.0, &name(from.1)), (to.0, &name(to.1))).unwrap()
        };
        assert!(are_two((&top, "file"), (&top, "link")));
        assert!(are_two((&top, "file"), (&below, "d/file")));
        // As a directory that ignores case would show them.
        assert!(!are_two((&top, "file"), (&top, "FILE")));
        // As a directory with two names would.
        assert!(!are_two((&top, "one/file"), (&handle("."), "two/file")));
    }

    #[test]
    fn way_is_what_leads_to_the_new_name_only() {
        for (from, to, expected) in [
            ("f", "g", &[][..]),
            ("a/b/f", "a/b/g", &[]),
            ("a/b/f", "a/g", &[]),
            ("a/b/f", "g", &[]),
            ("f", "a/g", &[""]),
            ("f", "a/b/g", &["", "a"]),
            ("a/b/f", "a/c/d/g", &["a", "a/c"]),
            ("ab/f", "a/g", &[""]),
            ("a", "ab/c/g", &["", "ab"]),
        ] {
            let name = |text: &str| Name::parse(text.as_bytes()).unwrap();
            let (from, to) = (name(from), name(to));
            let found: Vec<_> = way(&from, &to).into_iter().map(String::from_utf8_lossy).collect();
            assert_eq!(found, expected, "{from} {to}");
        }
    }
}
