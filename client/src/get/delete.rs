//! Removing entries here that the server lacks: in the end, and only if everything else has gone well.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::PoisonError;

use haul_protocol::Name;

use super::ends::Finished;
use super::listed::{Beside, Listed};
use super::run::Run;
use crate::error::target::TargetError;
use crate::error::{Failure, FileError};
use crate::plan::policy::Delete;
use crate::report::note::Note;
use crate::source::bytes;
use crate::target::{Directory, Identity, Kind, Over, Parts};

/// Removes what the server lacks, within the bounds that the user has given. Directories that have waited for this, or for
/// entries of other sources, get their mode and mtime afterwards.
pub(super) fn delete(run: &Run<'_>) {
    let listed = std::mem::take(&mut *run.listed.lock().unwrap_or_else(PoisonError::into_inner));
    let mut finished = run.ends.take();
    // Below another target nobody knows what there is.
    run.look_at_target();
    if run.ends.has_lost(&[]) {
        return;
    }
    let target = run.place.opened();
    let mut changed = run.ends.take_changed();
    if let (Some(bounds), Some(target)) = (run.wishes.delete, &target) {
        changed.extend(remove(run, bounds, target, &listed));
    }
    // One may take away the right to look for those in it.
    finished.sort_by_key(|finished| Reverse(finished.components.len()));
    for mut finished in finished {
        finished.is_changed |= changed.contains(&finished.components);
        finish(run, target.as_deref(), &finished);
    }
}

/// Removes what the server lacks; returns the directories in which entries were removed, by the names down to them.
fn remove(
    run: &Run<'_>,
    bounds: Delete,
    target: &Directory,
    listed: &[Listed],
) -> HashSet<Vec<OsString>> {
    let mut removing = Removing { run, bounds, removed: 0, changed: HashSet::new() };
    if !run.is_stopped() && run.queue.is_finished() && may_remove(run, bounds, target, listed) {
        run.progress.removing(true);
        listed.iter().for_each(|listed| removing.directory(target, listed));
        run.progress.removing(false);
    }
    removing.changed
}

/// Gives a directory its mode and mtime, if it is the one that files came into.
fn finish(run: &Run<'_>, target: Option<&Directory>, finished: &Finished) {
    let (Some(target), Some(identity)) = (target, &finished.identity) else {
        return finished.finish(None, &run.ends);
    };
    if run.ends.has_lost(&finished.components) {
        return;
    }
    match open(target, &finished.components, identity, run.wishes.dry_run) {
        Ok(opened) => finished.finish(Some(opened.as_ref().unwrap_or(target)), &run.ends),
        Err(error) => run.ends.lose(finished.components.clone(), error),
    }
}

/// Whether anything may be removed; the reason why not is told.
fn may_remove(run: &Run<'_>, bounds: Delete, target: &Directory, listed: &[Listed]) -> bool {
    let progress = run.progress;
    if progress.counts().failed > 0 && !bounds.force {
        progress.note(Note::NothingRemoved("of what failed above"));
        return false;
    }
    let is_source = |name: &Option<Name>| {
        let base = name.as_ref().map(|name| [name.as_bytes(), b"/"].concat());
        base.is_none_or(|base| run.wishes.bases.contains(&base))
    };
    let is_empty = |listed: &&Listed| {
        listed.names.is_empty() && is_source(&listed.name) && has_any(run, target, listed)
    };
    if let Some(empty) = listed.iter().find(is_empty).filter(|_| !bounds.all) {
        let why = "the server has nothing in it, so --delete would remove everything here; nothing is removed, and \
                   --delete-all does that";
        progress.failed(&run.ends.below(&empty.components), &why);
        return false;
    }
    true
}

/// Whether a directory here has an entry that the rules do not leave out. If nobody can tell, it may have.
fn has_any(run: &Run<'_>, target: &Directory, listed: &Listed) -> bool {
    let Some(identity) = &listed.identity else { return false };
    let any = || -> Result<bool, FileError> {
        let opened = open(target, &listed.components, identity, run.wishes.dry_run)?;
        for entry in opened.as_ref().unwrap_or(target).entries()? {
            let (component, kind) = entry?;
            let name = join(listed.name.as_ref(), &component);
            if name.is_none_or(|name| !run.is_left_out_of_any(&name, kind == Kind::Directory)) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    any().unwrap_or(true)
}

struct Removing<'r, 'a> {
    run: &'r Run<'a>,
    bounds: Delete,
    removed: u64,
    /// Directories in which entries were removed, by the names down to them.
    changed: HashSet<Vec<OsString>>,
}

impl Removing<'_, '_> {
    /// Looks through one directory.
    fn directory(&mut self, target: &Directory, listed: &Listed) {
        if self.run.is_stopped() {
            return;
        }
        let Some(identity) = &listed.identity else { return };
        let is_dry = self.run.wishes.dry_run;
        let opened = match open(target, &listed.components, identity, is_dry) {
            Ok(opened) => opened,
            Err(error) => return self.run.ends.lose(listed.components.clone(), error),
        };
        let path = self.run.ends.below(&listed.components);
        let found = (|| {
            let directory = opened.as_ref().unwrap_or(target);
            // Parts of files that have not come are gone on with.
            if !is_dry && self.run.progress.counts().failed == 0 {
                let _ = directory.sweep(Parts::Go);
            }
            let entries: Vec<_> = directory.entries()?.collect::<Result<_, FileError>>()?;
            let here = entries.iter().map(|(component, _)| component.as_os_str());
            let beside = Beside::new(&listed.names, &self.run.hasher, directory, here);
            for (component, kind) in entries {
                if beside.has(&component) {
                    continue;
                }
                let name = join(listed.name.as_ref(), &component);
                if self.entry(directory, &component, kind, name.as_ref(), &path) {
                    self.changed.insert(listed.components.clone());
                }
            }
            Ok(())
        })();
        if let Err(error) = found {
            let error: FileError = error;
            self.run.progress.failed(&path, error);
        }
    }

    /// Removes an entry with all that is in it; returns whether it is gone.
    fn entry(
        &mut self,
        directory: &Directory,
        component: &OsStr,
        kind: Kind,
        name: Option<&Name>,
        above: &Path,
    ) -> bool {
        let (progress, path) = (self.run.progress, above.join(component));
        let Some(name) = name else {
            // No name of the server's is like it, so no rule speaks of it.
            fail(self.run, &path, "its name can't be that of an entry at a server, so it stays");
            return false;
        };
        if self.run.is_stopped() {
            return false;
        }
        if self.run.is_left_out_of_any(name, kind == Kind::Directory) {
            return false;
        }
        if kind == Kind::Directory && !self.contents(directory, component, name, &path) {
            return false;
        }
        if self.bounds.max.is_some_and(|most| self.removed >= most) {
            progress.kept_here(name);
            return false;
        }
        if self.run.wishes.dry_run
            && let Err(error) = directory
                .takes_entries("remove it", true)
                .and_then(|()| directory.makes_way(component))
        {
            progress.failed(&path, error);
            return false;
        }
        self.removed += 1;
        if self.run.wishes.dry_run {
            progress.would("remove", name, "the server lacks it", None);
            progress.removed(name);
            return true;
        }
        match directory.remove(component) {
            Ok(()) => {
                progress.removed(name);
                true
            }
            Err(error) => {
                progress.failed(&path, error);
                false
            }
        }
    }

    /// Removes the entries of a directory that goes; returns whether all are gone.
    fn contents(
        &mut self,
        directory: &Directory,
        component: &OsStr,
        name: &Name,
        path: &Path,
    ) -> bool {
        let entries = enter(directory, component, self.run.wishes.dry_run).and_then(|inside| {
            if inside.is_mounted() {
                return Err((&"something is mounted on it, so it stays").into_error());
            }
            let entries: Vec<_> = inside.entries()?.collect::<Result<_, FileError>>()?;
            Ok((inside, entries))
        });
        match entries {
            Ok((inside, entries)) => {
                let mut all = true;
                for (component, kind) in entries {
                    let name = join(Some(name), &component);
                    all &= self.entry(&inside, &component, kind, name.as_ref(), path);
                }
                all
            }
            Err(error) => {
                self.run.progress.failed(path, error);
                false
            }
        }
    }
}

fn fail(run: &Run<'_>, path: &Path, why: &'static str) {
    run.progress.failed(path, (&why).into_error());
}

/// The name of an entry in a directory of the server.
fn join(directory: Option<&Name>, component: &OsStr) -> Option<Name> {
    let component = bytes(component).ok()?;
    match directory {
        Some(directory) => directory.join(&component).ok(),
        None => Name::parse(&component).ok(),
    }
}

/// Opens the directory below the target of these names, if it is the one that is meant; `None` is the target itself.
fn open(
    target: &Directory,
    components: &[OsString],
    identity: &Identity,
    is_dry: bool,
) -> Result<Option<Directory>, FileError> {
    let Some((last, above)) = components.split_last() else { return Ok(None) };
    let mut opened: Option<Directory> = None;
    for component in above {
        let directory = opened.as_ref().unwrap_or(target);
        opened = Some(match directory.look(component)?.map(|found| found.kind) {
            Some(Kind::Directory) => directory.visit(component)?,
            Some(_) => return Err(TargetError::OtherDirectory.into()),
            None => return Err(TargetError::GoneDirectory.into()),
        });
    }
    opened.as_ref().unwrap_or(target).enter_known(last, identity, is_dry).map(Some)
}

/// Opens a directory in another one, so that entries can be removed in it unless this is a dry run.
fn enter(above: &Directory, component: &OsStr, is_dry: bool) -> Result<Directory, FileError> {
    if is_dry { above.visit(component) } else { Ok(above.enter(component, Over::Nothing)?.0) }
}
