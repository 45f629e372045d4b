//! Walking: finds the entries of a plan's sources, in a memory that does not grow with them.
//!
//! First every entry, parents before children. When all of that is settled, every directory again,
//! children before parents, with its final mode and mtime: putting a file into a directory changes
//! its mtime, and a read-only directory takes none.

mod above;
mod again;
mod directories;
mod end;
mod entries;
mod listed;
mod private;
mod reading;
mod refused;
mod rules;
mod sent;

use std::ffi::OsStr;
use std::fs::FileType;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use haul_protocol::Name;
use walkdir::{DirEntry, WalkDir};

use crate::error::FileError;
use crate::plan::policy::{Mode, Policy};
use crate::plan::{Plan, Root};
use crate::report::note::Note;
use crate::report::progress::Progress;
use crate::source::anchor::Anchor;
use crate::source::links::Links;
use crate::source::seen::Seen;
use crate::source::sources::Sources;
use crate::source::start::Start;
use crate::source::{below, bytes, identity, is_aside, split};
use crate::work::context::Run;
use crate::work::course::Course;
use crate::work::on_commit::Committed;
use crate::work::{Stopped, Work};
use sent::Sent;

/// Directories that are remembered for their attributes: some hundred KiB.
const REMEMBERED: usize = 4096;

/// Rights that the owner needs in a directory that is being filled.
const WRITABLE: u32 = 0o700;

/// Walks everything, to the end of the run. `began`: the sources as they were when the run began.
///
/// # Errors
/// If the run was stopped.
pub fn walk(plan: &Plan, began: &[Arc<Anchor>], run: &Run<'_>) -> Result<(), Stopped> {
    let Run { work, policy, .. } = run;
    let walk = Walk::of(plan, run);
    if policy.dry_run && !policy.verifies() {
        walk.above(plan)?;
    }
    if matches!(policy.mode, Mode::Put) {
        walk.destinations(plan)?;
    }
    if let (Some(names), Some(root)) = (&plan.named, plan.roots.first()) {
        let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
        let anchors = walk.anchors(began, Anchor::first_walk);
        walk.sources.walked(&anchors);
        if let Some(anchor) = anchors.first() {
            walk.named(root, anchor, &mut names)?;
        }
        walk.are_there(plan, &anchors);
    } else if let Some(name) = policy.publishes() {
        let once = || walk.send(plan, walk.anchors(began, Anchor::first_walk));
        let again = |_: &Walked| walk.end(plan, once()?);
        let first = walk.end(plan, once()?)?;
        let walked = walk.until_at_rest(plan, first, again)?;
        walk.publish(name, &walked.anchors)?;
    } else {
        let again =
            |before: &Walked| walk.send(plan, walk.anchors(&before.anchors, Anchor::next_walk));
        let mut walked = walk.send(plan, walk.anchors(began, Anchor::first_walk))?;
        if policy.removes() {
            walked = walk.until_at_rest(plan, walked, again)?;
        }
        walk.end(plan, walked)?;
    }
    walk.tell_refusal();
    work.close();
    Ok(())
}

/// Puts in the one file that is all that a run sends, and waits for nothing. If a directory has come in its place, that is
/// told as a failure.
///
/// # Errors
/// If the run was stopped.
pub(super) fn alone(
    plan: &Plan,
    began: &[Arc<Anchor>],
    run: &Run<'_>,
) -> Result<Vec<Arc<Anchor>>, Stopped> {
    let walk = Walk { is_alone: true, ..Walk::of(plan, run) };
    let anchors = walk.anchors(began, Anchor::first_walk);
    walk.read(plan, &anchors)?;
    run.work.close();
    Ok(anchors)
}

/// The same as the end of a [`walk`], after a file [alone] and when its connection is over.
pub(super) fn alone_ended(plan: &Plan, anchors: &[Arc<Anchor>], run: &Run<'_>) {
    let walk = Walk { is_alone: true, ..Walk::of(plan, run) };
    // Stopped: whoever stopped it has told why.
    if !run.work.is_stopped() {
        walk.are_there(plan, anchors);
        walk.tell_unsettled();
        walk.tell_changed_rules();
        walk.tell_refusal();
    }
}

/// The directories that a walk has found, parents first; `None` if they were too many.
type Found = Option<Vec<PathBuf>>;

struct Walk<'a> {
    work: &'a Work,
    progress: &'a Progress,
    policy: &'a Policy,
    course: &'a Course,
    committed: &'a Committed,
    sources: &'a Sources,
    sizes: bool,
    /// Names at the server to which entries have been sent, if several sources may have the same.
    names: Option<Sent<'a>>,
    /// The directories that the walk has found.
    directories: &'a Seen,
    /// One file is all that is sent: no directory is entered.
    is_alone: bool,
}

/// The result of one walk, for each root.
struct Walked {
    anchors: Vec<Arc<Anchor>>,
    found: Vec<Found>,
    /// Entries that had vanished before it began.
    vanished: u64,
}

impl<'a> Walk<'a> {
    fn of(plan: &Plan, run: &'a Run<'_>) -> Self {
        let Run { work, progress, policy, course, committed, sources, namesakes, .. } = run;
        // All other sources have names of their own. Where everything is walked more than once, there is no such source.
        let may_share = plan.roots.len() > 1 && plan.roots.iter().any(|root| root.contents);
        Self {
            work,
            progress,
            policy,
            course,
            committed,
            sources,
            sizes: progress.wants_sizes(),
            names: may_share.then(|| Sent::new(namesakes)),
            directories: sources.directories(),
            is_alone: false,
        }
    }
}

impl Walk<'_> {
    /// The sources for a walk that begins now.
    fn anchors(
        &self,
        before: &[Arc<Anchor>],
        walk: impl Fn(&Anchor, Option<Start>) -> Anchor,
    ) -> Vec<Arc<Anchor>> {
        let start = self.policy.delete().map(|_| Start::now());
        before.iter().map(|anchor| Arc::new(walk(anchor, start))).collect()
    }

    /// Walks everything once, and sends it.
    fn send(&self, plan: &Plan, anchors: Vec<Arc<Anchor>>) -> Result<Walked, Stopped> {
        let vanished = self.progress.counts().vanished;
        let found = self.read(plan, &anchors)?;
        self.work.drain()?;
        Ok(Walked { anchors, found, vanished })
    }

    /// Walks everything once, and puts it in.
    fn read(&self, plan: &Plan, anchors: &[Arc<Anchor>]) -> Result<Vec<Found>, Stopped> {
        self.course.begin_walk();
        self.sources.walked(anchors);
        let (mut room, mut found) = (REMEMBERED, Vec::new());
        for (root, anchor) in plan.roots.iter().zip(anchors) {
            found.push(self.entries(root, anchor, &mut room)?);
        }
        self.progress.walk_ended();
        self.policy.filter.is_walked();
        Ok(found)
    }

    /// Removes entries at the server that the source lacks, and ends with the attributes of directories.
    fn end(&self, plan: &Plan, walked: Walked) -> Result<Walked, Stopped> {
        let Self { work, progress, policy, course, .. } = *self;
        let Walked { anchors, mut found, vanished } = walked;
        // Whatever has vanished with a source was skipped, which would look like success.
        let is_there = self.are_there(plan, &anchors);
        if !is_there && policy.delete().is_some() && !policy.is_whole() && !policy.verifies() {
            progress.note(Note::NothingRemoved("of what failed above"));
        }
        if let Some(delete) = policy.delete()
            && is_there
            && !self.is_empty_version(&anchors, &delete)
            && (!policy.is_publish() || course.is_resumed())
        {
            found = self.remove(plan, &found, &anchors, &delete)?.unwrap_or(found);
        }
        self.tell_unsettled();
        let roots = plan.roots.iter().zip(&anchors).zip(&found);
        for ((root, anchor), found) in roots.filter(|_| !policy.verifies()) {
            self.directories(root, anchor, found)?;
        }
        work.drain()?;
        self.tell_changed_rules();
        Ok(Walked { anchors, found, vanished })
    }

    /// Tells entries that something of another kind is still in the way of.
    fn tell_unsettled(&self) {
        let (unsettled, more) = self.course.unsettled();
        unsettled.into_iter().for_each(|(path, error)| self.progress.failed(&path, error));
        if more > 0 {
            let told = format!("{more} more entries have something of another kind in their way");
            self.progress.failed(Path::new("--delete"), told);
        }
    }

    /// Tells rules that have changed while entries were chosen by them.
    fn tell_changed_rules(&self) {
        let policy = self.policy;
        if !policy.is_publish()
            && let Some(path) = policy.filter.changed()
        {
            let removed = if policy.removes() { ", so nothing more is removed" } else { "" };
            let told = format!("came, went or changed while haul ran{removed}; run it again");
            self.progress.failed(&path, told);
        }
    }

    fn walker(&self, root: &Root) -> WalkDir {
        let depth = usize::from(root.contents);
        // `link/` means what the link points to, `link` the link itself.
        WalkDir::new(&root.source)
            .min_depth(depth)
            .max_depth(if self.is_alone { 0 } else { usize::MAX })
            .follow_root_links(root.contents)
            .follow_links(self.policy.links == Links::Follow)
    }

    /// Whether entries of a directory are left out because another file system is mounted on it.
    fn is_beyond(&self, anchor: &Anchor, path: &Path) -> bool {
        self.policy.one_file_system
            && path.metadata().is_ok_and(|found| anchor.is_beyond(identity(&found)))
    }
}

/// The target's name of a path. Failures are told and leave `None`.
fn name(root: &Root, path: &Path, progress: &Progress) -> Option<Name> {
    let found = || -> Result<Name, FileError> {
        let below = bytes(below(path, &root.source).as_os_str())?;
        Ok(match &root.target {
            Some(target) if below.is_empty() => target.clone(),
            Some(target) => target.join(&below)?,
            None => Name::parse(&below)?,
        })
    };
    found().map_err(|error| progress.failed(path, &error)).ok()
}

/// Whether a killed run has left an entry under a name of its own. haul gives such names to no directories.
fn is_put_aside(entry: &DirEntry) -> bool {
    !entry.file_type().is_dir() && is_aside(last_name(entry))
}

/// [`DirEntry::file_name`] looks at each component of the path.
fn last_name(entry: &DirEntry) -> &OsStr {
    split(entry.path()).map_or_else(|| entry.file_name(), |(_, name)| name)
}

/// Whether it is of a kind that is not carried.
fn is_special(file_type: FileType) -> bool {
    !(file_type.is_file() || file_type.is_dir() || file_type.is_symlink())
}

#[cfg(unix)]
fn special(file_type: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if file_type.is_fifo() {
        "a FIFO"
    } else if file_type.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn special(_: std::fs::FileType) -> &'static str {
    "not a file, directory or link"
}
