//! Entries that a server lists: each becomes an entry here, or a task.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::hash::BuildHasher;
use std::path::Path;
use std::sync::Arc;

use haul_protocol::{Attributes, Entry, EntryKind, LinkTarget, Name, limits};

use super::comparing::{Compared, groups};
use super::connection::Connection;
use super::decide::{Action, Mode, decide};
use super::item::{Batch, File, Page, last_component};
use super::listed::fold;
use super::namesakes::{Claim, same_name};
use super::node::Node;
use super::task::Task;
use crate::connection::delete::entries;
use crate::error::{ConnectionError, FileError, ProtocolError};
use crate::source::links::Links;
use crate::target::Directory;

/// Two names of the server are one here.
pub(super) const FOLDED: &str = "another entry of the server has this name in other case, and here both are one; rename one of them there";

/// Bytes of a line in the answer about small files, more or less.
const LINE: u64 = 80;

/// Whether an entry is a file that comes in parts.
fn is_large(entry: &Entry) -> bool {
    matches!(entry.kind, EntryKind::File { size, .. } if size > limits::MAX_FETCHED_SIZE)
}

impl Connection<'_> {
    /// A page of a directory has come.
    pub(super) fn listed(
        &mut self,
        mut page: Page,
        body: &[u8],
        more: bool,
        left_out: u64,
    ) -> Result<(), ConnectionError> {
        if let Some(only) = page.only.take() {
            return self.listed_only(page, only, body, more);
        }
        let found = entries(page.name.as_ref(), page.after.as_ref(), body)?;
        let next = found.last().map(|entry| entry.name.clone());
        let left_out = page.left_out.saturating_add(left_out);
        let Page { node, name, after, .. } = page;
        let page_is_part = more || after.is_some();
        // Only now, since an entry of another kind may make way: the server has the directory, and lists it.
        if let Err(error) = node.enter(&self.run.ends) {
            self.run.progress.failed(node.own_path(), error);
            self.run.is_listed();
            node.settle(&self.run.ends);
            self.run.queue.settle(1);
            return Ok(());
        }
        if self.run.wishes.delete.is_some() {
            let mut names = node.names();
            found.iter().for_each(|entry| names.add(entry.name.split().1, &self.run.hasher));
            drop(names);
            // The server can't name all its entries, and the client may not remove those of the same names here.
            if !more && left_out == 0 {
                self.run.listed_whole(&node, name.as_ref());
            }
        }
        if !more {
            node.listed();
            if left_out > 0 {
                self.run.progress.failed(node.own_path(), FileError::Unlisted(left_out));
            }
        }
        let large =
            found.iter().filter(|entry| is_large(entry)).map(|entry| last_component(&entry.name));
        node.has_large(large, !more, &self.run.ends);
        let mut tasks = Vec::new();
        if more {
            let after = Some(next.ok_or(ProtocolError::List)?);
            node.begin(1);
            self.run.lists(1);
            let node = Arc::clone(&node);
            let page = Page { node, name, after, left_out, tries: 0, losses: 0, only: None };
            tasks.push(Task::List(page));
        }
        let mut files = Vec::new();
        let folded = self.folded(&node, &found, page_is_part);
        for entry in found {
            if folded.contains(&entry.name) {
                let path = node.path(&last_component(&entry.name));
                self.run.progress.failed(&path, &FOLDED);
                continue;
            }
            let is_dir = entry.kind == EntryKind::Directory;
            if self.run.wishes.filter.leaves_out(self.run.below(&entry.name), is_dir) {
                continue;
            }
            let component = last_component(&entry.name);
            tasks.extend(self.entry(&node, component, None, entry, &mut files));
        }
        tasks.extend(self.tasks(files));
        self.run.queue.push(tasks);
        self.run.is_listed();
        node.settle(&self.run.ends);
        self.run.queue.settle(1);
        Ok(())
    }

    /// The entries whose names differ from that of an earlier one of the list in case only, where this machine takes both for
    /// one name: the second would come over the first.
    pub(super) fn folded(&self, node: &Node, found: &[Entry], page_is_part: bool) -> HashSet<Name> {
        let (mut seen, mut folded) = (HashSet::with_capacity(found.len()), HashSet::new());
        let folds = || node.directory().is_some_and(|directory| directory.folds_case());
        if page_is_part && !self.run.wishes.dry_run {
            // Another page may have the other one of two names.
            let Some(mut known) = node.folded(folds) else { return folded };
            for entry in found {
                let name = fold(entry.name.split().1);
                if !known.insert(self.run.hasher.hash_one(name.as_bytes())) {
                    folded.insert(entry.name.clone());
                }
            }
            return folded;
        }
        for entry in found {
            let name = fold(entry.name.split().1);
            if !seen.insert(name) {
                folded.insert(entry.name.clone());
            }
        }
        if !folded.is_empty() && (self.run.wishes.dry_run || !folds()) {
            folded.clear();
        }
        folded
    }

    /// Makes an entry of the server here, under this name; returns a task if the server has to be asked for more. Files are
    /// gathered, so that the small ones go together.
    pub(super) fn entry(
        &mut self,
        node: &Arc<Node>,
        component: OsString,
        renamed: Option<OsString>,
        entry: Entry,
        files: &mut Vec<File>,
    ) -> Option<Task> {
        let path = node.path(&component);
        let progress = self.run.progress;
        match &entry.kind {
            EntryKind::Directory => {
                let claim = self.run.claim(node, &component, &entry);
                let Entry { name, mode, mtime, .. } = entry;
                if claim == Claim::Refused {
                    progress.failed(&path, same_name(&name));
                    return None;
                }
                self.run.lists(1);
                // The first source that has it tells about it.
                let own =
                    (claim == Claim::First).then(|| (name.clone(), Attributes { mode, mtime }));
                let (own, attributes) = own.unzip();
                let node = node.below(component, own, attributes);
                return Some(Task::List(Page::first(node, Some(name))));
            }
            EntryKind::File { size, .. } => {
                progress.found(*size);
                if self.is_first(node, &component, &path, &entry)
                    && self.decide(node, &component, &path, &entry)
                {
                    node.begin(1);
                    let (node, name, size) = (Arc::clone(node), entry.name, *size);
                    files.push(File {
                        node,
                        name,
                        renamed,
                        size,
                        tries: 0,
                        losses: 0,
                        by_parts: false,
                    });
                }
            }
            EntryKind::Link { .. } if self.run.wishes.links == Links::Skip => {
                progress.found(0);
                progress.left_out(&path, "a symlink; --links skip");
            }
            EntryKind::Link { target } => {
                progress.found(0);
                if self.is_first(node, &component, &path, &entry)
                    && self.decide(node, &component, &path, &entry)
                {
                    self.run.leads.look(&path, node.depth(), target, progress);
                    self.link(node, &component, &path, &entry, target);
                }
            }
            _ => progress.skipped(&path, "a device, socket or FIFO at the server"),
        }
        None
    }

    /// Whether no other source before has an entry for this name; one that has is told.
    fn is_first(&self, node: &Node, component: &OsStr, path: &Path, entry: &Entry) -> bool {
        let is_first = self.run.claim(node, component, entry) == Claim::First;
        if !is_first {
            self.run.progress.failed(path, same_name(&entry.name));
        }
        is_first
    }

    /// Decides about a file or symlink, and does everything but bringing it; returns whether it is to come.
    fn decide(&mut self, node: &Arc<Node>, component: &OsStr, path: &Path, entry: &Entry) -> bool {
        let (wishes, progress) = (self.run.wishes, self.run.progress);
        // A get replaces whatever is there, and finds out then what can't be replaced.
        if wishes.mode == Mode::Get && !wishes.dry_run && !wishes.ignore_existing {
            return true;
        }
        let looked = node.directory().map_or(Ok(None), |directory| directory.look(component));
        let there = match looked {
            Ok(there) => there,
            Err(error) => {
                progress.failed(path, error);
                return false;
            }
        };
        let size = match entry.kind {
            EntryKind::File { size, .. } => Some(size),
            _ => None,
        };
        let action = decide(entry, there.as_ref(), wishes.policy());
        if let (Action::Compare, Some(size)) = (action, size) {
            node.begin(1);
            let Entry { name, mode, mtime, .. } = entry.clone();
            let node = Arc::clone(node);
            let renamed = Some(component.to_owned());
            let file = File { node, name, renamed, size, tries: 0, losses: 0, by_parts: false };
            let attributes = Attributes { mode, mtime };
            self.unread.push(Compared { file, attributes, digest: None, mtime: None });
            return false;
        }
        self.carry_out(action, node, component, path, &entry.name, size)
    }

    /// Does everything about a file or symlink but bringing it; returns whether it is to come.
    pub(super) fn carry_out(
        &self,
        action: Action,
        node: &Node,
        component: &OsStr,
        path: &Path,
        name: &Name,
        size: Option<u64>,
    ) -> bool {
        let (wishes, progress) = (self.run.wishes, self.run.progress);
        match action {
            Action::Bring(_) if !wishes.dry_run => {
                node.change();
                return true;
            }
            Action::Bring(why) => {
                let op = if size.is_some() { "make the file" } else { "make the symlink" };
                let may = node.takes_entries(op, wishes).and_then(|()| node.makes_way(component));
                if let Err(error) = may {
                    progress.failed(path, error);
                    return false;
                }
                node.change();
                progress.would("get", name, why, size);
                match size {
                    Some(size) => progress.file_done(name, size),
                    None => progress.link_done(name),
                }
            }
            Action::Adjust(_, why) if wishes.dry_run => {
                progress.would("adjust", name, why, None);
                progress.adjusted(name);
            }
            Action::Adjust(attributes, _) => {
                let set = |directory: &Arc<Directory>| {
                    directory.set_attributes_of(component, &attributes)
                };
                match node.directory().map_or(Ok(()), set) {
                    Ok(()) => progress.adjusted(name),
                    Err(error) => progress.failed(path, error),
                }
            }
            // Only its digest can tell.
            Action::Compare => return true,
            Action::Keep => progress.unchanged(size.unwrap_or(0)),
            Action::Blocked(kind) => progress.failed(path, kind.in_the_way()),
        }
        false
    }

    /// Makes a symlink here.
    fn link(
        &self,
        node: &Node,
        component: &OsStr,
        path: &Path,
        entry: &Entry,
        target: &LinkTarget,
    ) {
        let Some(directory) = node.directory() else { return };
        match directory.symlink(component, target, entry.mtime, self.run.wishes.over()) {
            Ok(()) => self.run.progress.link_done(&entry.name),
            Err(error) => self.run.progress.failed(path, node.explain(error)),
        }
    }

    /// The tasks for files: small ones together, as many as one answer has; and those for files that are to be compared.
    pub(super) fn tasks(&mut self, files: Vec<File>) -> Vec<Task> {
        let unread = groups(std::mem::take(&mut self.unread));
        let mut tasks: Vec<_> = unread.into_iter().map(Task::Unread).collect();
        let mut batch = Batch::default();
        let mut names = 0;
        for file in files {
            if file.size > limits::MAX_FETCHED_SIZE {
                tasks.push(Task::First(file));
                continue;
            }
            let (bytes, name) = (file.size + LINE, file.name.as_bytes().len() as u64 + 1);
            let is_full = batch.files.len() as u64 == limits::MAX_BUNDLED
                || batch.bytes + bytes > limits::MAX_BUNDLE_LEN
                || names + name > limits::MAX_BUNDLE_LEN;
            if is_full {
                tasks.push(Task::Small(std::mem::take(&mut batch)));
                names = 0;
            }
            (batch.bytes, names) = (batch.bytes + bytes, names + name);
            batch.files.push(file);
        }
        if !batch.files.is_empty() {
            tasks.push(Task::Small(batch));
        }
        // The last of them is taken first.
        tasks.reverse();
        tasks
    }
}
