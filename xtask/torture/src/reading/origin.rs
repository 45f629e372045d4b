//! The tree that the writer sends to the server: files in versions, and symlinks.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use haul_tests::random::Random;

use super::plan::{Change, What, len};
use super::versions::{Side, Version, Versions};

/// Its name, at the server and on this machine.
pub(super) const TREE: &str = "tree";

/// Files of the first version.
const FILES: u64 = 160;

/// Sizes of those that come in parts.
const LARGE: [usize; 4] = [24 << 20, 9 << 20, (3 << 20) + 1, (1 << 20) + 1];

/// Symlinks, which have a new target in each pass.
const LINKS: u64 = 6;

/// The writer's tree. Names begin with [`TREE`].
#[derive(Debug)]
pub(super) struct Origin {
    /// Directory of the tree.
    directory: PathBuf,
    /// The files, and the number of the version of each.
    pub(super) files: BTreeMap<u64, u64>,
    pub(super) links: BTreeMap<String, String>,
    /// The file that comes next.
    next: u64,
}

/// The name of a file, by its number.
pub(super) fn name(file: u64) -> String {
    match file % 5 {
        0 => format!("{TREE}/f{file}"),
        1 | 2 => format!("{TREE}/d{}/f{file}", file % 4),
        _ => format!("{TREE}/d{}/in/e{}/f{file}", file % 4, file % 3),
    }
}

impl Origin {
    /// Makes the first version of all files.
    pub(super) fn new(
        directory: &Path,
        random: &mut Random,
        versions: &mut Versions,
    ) -> anyhow::Result<Self> {
        let (files, links) = (BTreeMap::new(), BTreeMap::new());
        let mut origin = Self { directory: directory.to_owned(), files, links, next: 0 };
        fs::create_dir_all(directory.join(TREE))?;
        for file in 0..FILES {
            let large = usize::try_from(file).ok().and_then(|at| LARGE.get(at).copied());
            let len = large.unwrap_or_else(|| len(random));
            let change = Change { pick: 0, what: What::Add(len), mode: 0o644 };
            origin.change(&[change], versions)?;
        }
        Ok(origin)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Changes files; returns how many have other bytes then.
    pub(super) fn change(
        &mut self,
        changes: &[Change],
        versions: &mut Versions,
    ) -> anyhow::Result<u64> {
        let mut changed = 0;
        for change in changes {
            let picked = self.files.keys().nth(index(change.pick, self.files.len())).copied();
            let (file, len) = match (change.what, picked) {
                (What::Add(len), _) => {
                    self.next += 1;
                    (self.next, len)
                }
                (What::Remove, Some(file)) => {
                    fs::remove_file(self.directory.join(name(file)))?;
                    self.files.remove(&file);
                    continue;
                }
                (What::Size(len), Some(file)) => (file, len),
                (What::SameSize, Some(file)) => {
                    let number = self.files.get(&file).copied().unwrap_or_default();
                    (file, versions.len(Version { file, number }).unwrap_or_default())
                }
                (_, None) => continue,
            };
            let path = self.directory.join(name(file));
            let number = versions.write(&path, file, (len, change.mode), Side::There)?;
            self.files.insert(file, number);
            changed += 1;
        }
        Ok(changed)
    }

    /// Gives the symlinks new targets.
    pub(super) fn turn_links(&mut self, pass: u64) -> anyhow::Result<()> {
        for link in 0..LINKS {
            let name = format!("{TREE}/d{}/l{link}", link % 4);
            let (path, target) = (self.directory.join(&name), format!("f{link} of {pass}"));
            fs::create_dir_all(path.parent().unwrap_or(&path))?;
            // There is none at the start.
            let _ = fs::remove_file(&path);
            symlink(&target, &path)?;
            self.links.insert(name, target);
        }
        Ok(())
    }
}

/// An index into so many.
pub(super) fn index(pick: u64, len: usize) -> usize {
    usize::try_from(pick.checked_rem(len as u64).unwrap_or(0)).unwrap_or(0)
}
