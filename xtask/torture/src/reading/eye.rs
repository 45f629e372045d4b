//! Looks at the target of the readers: each name shows one version, whole, that it may show, and no good file goes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::origin::{Origin, TREE, name};
use super::versions::{Side, Versions};

/// The beginning of the names of haul's temporary files.
const ARRIVING: &str = ".haul-arrives-";

/// Files that were looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Looked {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Names that were not there yet.
    pub(super) absent: u64,
    /// Files that a reader has brought, and files of before.
    pub(super) brought: u64,
    pub(super) before: u64,
}

/// One pass's view of the target.
#[derive(Debug)]
pub(super) struct Eye {
    /// Directory of the tree here.
    pub(super) back: PathBuf,
    /// The files and versions here before the pass, and those at the server.
    pub(super) here: BTreeMap<u64, u64>,
    there: BTreeMap<u64, u64>,
    /// Files that must be there from now on.
    must: BTreeSet<u64>,
    /// The targets that a symlink may have.
    links: BTreeMap<String, BTreeSet<String>>,
    /// The files as they were when they were read: inode, time of the last change, version.
    seen: HashMap<u64, ((u64, i64, i64), u64)>,
    pub(super) looked: Looked,
}

impl Eye {
    pub(super) fn new(back: &Path) -> Self {
        Self {
            back: back.to_owned(),
            here: BTreeMap::new(),
            there: BTreeMap::new(),
            must: BTreeSet::new(),
            links: BTreeMap::new(),
            seen: HashMap::new(),
            looked: Looked::default(),
        }
    }

    /// A pass begins. `removes`: entries go that the server lacks.
    pub(super) fn begin(&mut self, origin: &Origin, removes: bool) -> anyhow::Result<()> {
        self.there.clone_from(&origin.files);
        let stays = |file: &&u64| !removes || self.there.contains_key(file);
        self.must = self.here.keys().filter(stays).copied().collect();
        self.links.clear();
        for (name, target) in &origin.links {
            let mut targets = BTreeSet::from([target.clone()]);
            if let Ok(before) = fs::read_link(self.back.join(name)) {
                targets.insert(before.to_string_lossy().into_owned());
            }
            self.links.insert(name.clone(), targets);
        }
        Ok(())
    }

    /// Looks at all names.
    pub(super) fn look(&mut self, versions: &Versions) -> anyhow::Result<()> {
        let files: BTreeSet<u64> = self.here.keys().chain(self.there.keys()).copied().collect();
        for file in files {
            self.file(file, versions).with_context(|| name(file))?;
        }
        let others = self.others()?;
        ensure!(others.is_empty(), "nobody has sent {others:?}");
        Ok(())
    }

    /// The number of the version that a file shows, if the file is there.
    pub(super) fn shown(&self, file: u64) -> Option<u64> {
        self.seen.get(&file).map(|(_, number)| *number)
    }

    fn file(&mut self, file: u64, versions: &Versions) -> anyhow::Result<()> {
        let path = self.back.join(name(file));
        let seen = |found: &fs::Metadata| {
            self.seen.get(&file).is_some_and(|(before, _)| *before == stamp(found))
        };
        if fs::symlink_metadata(&path).is_ok_and(|found| seen(&found)) {
            return Ok(());
        }
        let mut opened = match fs::File::open(&path) {
            Ok(opened) => opened,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound) => {
                ensure!(!self.must.contains(&file), "it is gone");
                self.seen.remove(&file);
                self.looked.absent += 1;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let stamp = stamp(&opened.metadata()?);
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut opened, &mut bytes)?;
        let (version, side) = versions.recognize(&bytes)?;
        ensure!(version.file == file, "it shows {version:?}");
        let is_of_before = self.here.get(&file) == Some(&version.number);
        let oldest = self.there.get(&file).filter(|_| side == Side::There);
        let has_come = oldest.is_some_and(|oldest| version.number >= *oldest);
        ensure!(
            is_of_before || has_come,
            "it shows version {}, which was neither here before ({:?}) nor at the server ({oldest:?} and newer)",
            version.number,
            self.here.get(&file),
        );
        if self.there.contains_key(&file) {
            // From now on it may change, and not go.
            self.must.insert(file);
        }
        self.seen.insert(file, (stamp, version.number));
        self.looked.files += 1;
        self.looked.bytes += bytes.len() as u64;
        self.looked.brought += u64::from(!is_of_before);
        self.looked.before += u64::from(is_of_before);
        Ok(())
    }

    /// Entries that are neither files of one of the trees nor right symlinks nor haul's temporary files.
    fn others(&self) -> anyhow::Result<Vec<PathBuf>> {
        let known: BTreeSet<PathBuf> = self
            .here
            .keys()
            .chain(self.there.keys())
            .map(|file| self.back.join(name(*file)))
            .collect();
        let mut others = Vec::new();
        for (path, kind) in entries(&self.back)? {
            let below = path.strip_prefix(&self.back)?.to_string_lossy().into_owned();
            let is_right = if kind.is_symlink() {
                // It may be replaced in this moment.
                let target = fs::read_link(&path).ok().map(|to| to.to_string_lossy().into_owned());
                let targets = self.links.get(&below);
                is_arriving(&path)
                    || targets
                        .zip(target)
                        .is_some_and(|(targets, target)| targets.contains(&target))
            } else {
                kind.is_dir() || is_arriving(&path) || known.contains(&path)
            };
            if !is_right {
                others.push(path);
            }
        }
        Ok(others)
    }

    /// haul's temporary files.
    pub(super) fn arriving(&self) -> anyhow::Result<Vec<PathBuf>> {
        let all = entries(&self.back)?.into_iter().map(|(path, _)| path);
        Ok(all.filter(|path| is_arriving(path)).collect())
    }

    /// The paths of all entries in the tree here.
    pub(super) fn names(&self) -> anyhow::Result<BTreeSet<PathBuf>> {
        Ok(entries(&self.back.join(TREE))?.into_iter().map(|(path, _)| path).collect())
    }
}

/// Inode, and time of the last change.
fn stamp(found: &fs::Metadata) -> (u64, i64, i64) {
    (found.ino(), found.ctime(), found.ctime_nsec())
}

fn is_arriving(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(ARRIVING))
}

/// All entries below a directory, as far as they are there: entries come and go meanwhile.
fn entries(directory: &Path) -> anyhow::Result<Vec<(PathBuf, fs::FileType)>> {
    let (mut found, mut open) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = open.pop() {
        let listed = match fs::read_dir(&directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            listed => listed?,
        };
        for entry in listed {
            let entry = entry?;
            let kind = match entry.file_type() {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                kind => kind?,
            };
            if kind.is_dir() {
                open.push(entry.path());
            }
            found.push((entry.path(), kind));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use haul_tests::random::Random;
    use tempfile::TempDir;

    use super::*;

    /// An origin, an eye for a target with one file of before, and that file's number.
    fn begun(removes: bool) -> anyhow::Result<(TempDir, Versions, Origin, Eye, u64)> {
        let place = tempfile::tempdir()?;
        let mut versions = Versions::default();
        let origin = place.path().join("origin");
        let origin = Origin::new(&origin, &mut Random::new(1, 1), &mut versions)?;
        let (back, file) = (place.path().join("back"), 9);
        let number = versions.write(&back.join(name(file)), file, (100, 0o600), Side::Here)?;
        let mut eye = Eye::new(&back);
        eye.here.insert(file, number);
        eye.begin(&origin, removes)?;
        eye.look(&versions)?;
        Ok((place, versions, origin, eye, file))
    }

    #[test]
    fn file_of_before_and_one_of_the_server_are_right_and_then_must_stay() -> anyhow::Result<()> {
        let (_place, versions, origin, mut eye, file) = begun(true)?;
        let (there, here) = (origin.directory().join(name(file)), eye.back.join(name(file)));
        fs::copy(there, &here)?;
        fs::write(here.with_file_name(".haul-arrives-w"), "half")?;
        eye.look(&versions)?;
        assert_eq!(eye.shown(file), origin.files.get(&file).copied());
        fs::remove_file(here)?;
        assert!(eye.look(&versions).is_err_and(|error| format!("{error:#}").contains("gone")));
        Ok(())
    }

    #[test]
    fn piece_old_version_and_strange_name_are_wrong() -> anyhow::Result<()> {
        let (_place, mut versions, mut origin, mut eye, file) = begun(false)?;
        let there = origin.directory().join(name(file));
        let (here, older) = (eye.back.join(name(file)), fs::read(&there)?);
        fs::write(&here, &older[..older.len() - 1])?;
        assert!(eye.look(&versions).is_err());
        let number = versions.write(&there, file, (100, 0o600), Side::There)?;
        origin.files.insert(file, number);
        eye.begin(&origin, false)?;
        fs::write(&here, older)?;
        let wrong = eye.look(&versions);
        assert!(wrong.is_err_and(|error| format!("{error:#}").contains("neither here before")));
        fs::copy(there, &here)?;
        eye.look(&versions)?;
        fs::write(here.with_file_name("strange"), "")?;
        assert!(eye.look(&versions).is_err());
        Ok(())
    }
}
