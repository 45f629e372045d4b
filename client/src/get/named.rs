//! Instead of whole directories: the entries that a list names, `--files-from`.
//!
//! A directory is asked for from just before the first name that is wanted in it, and not on after the last one.

use std::ffi::OsString;
use std::sync::Arc;

use haul_protocol::{Attributes, Entry, EntryKind, Name};

use super::connection::Connection;
use super::item::{Page, last_component};
use super::node::{LACKS, Node};
use super::only::{Below, Only, checked};
use super::run::Run;
use super::source::Top;
use super::task::Task;
use crate::connection::before::before;
use crate::connection::delete::entries;
use crate::error::{ConnectionError, FileError, ProtocolError};
use crate::source::file_list::Names;

/// Reads a list to its end. Names that can't be used are told, and the others come.
pub(super) fn read(names: &mut Names, source: Option<&Name>, run: &Run<'_>) -> Only {
    let mut all: Vec<Below> = Vec::new();
    loop {
        match names.next(&|| run.is_stopped()) {
            Ok(Some(name)) => match checked(&name, source) {
                Ok(below) => all.push(below),
                Err(why) => run.progress.failed(&name, FileError::Other(why.into())),
            },
            Ok(None) => break,
            Err(error) => {
                let error = FileError::List(Arc::new(error));
                run.progress.failed(std::path::Path::new("--files-from"), error);
                break;
            }
        }
    }
    Only::new(all)
}

/// The name after which the first wanted entry of a directory is listed; `None`: from the first entry.
fn before_first(directory: Option<&Name>, only: &Only) -> Option<Name> {
    let first = only.first()?;
    let name = match directory {
        Some(directory) => directory.join(first),
        None => Name::parse(first),
    };
    before(&name.ok()?)
}

impl Connection<'_> {
    /// Begins with the directory that the names of a list are below.
    pub(super) fn begin_only(&mut self, top: &Top, name: &Name, entry: Entry, only: &Only) {
        if entry.kind != EntryKind::Directory {
            let why = "no directory at the server, and --files-from names entries in one";
            self.run.progress.failed(&top.path(), FileError::Other(why.into()));
            return;
        }
        if only.is_empty() {
            return;
        }
        if !top.contents {
            let Some(node) = self.target(top, None) else { return };
            let task = self.directory_only(&node, last_component(name), entry, only.clone());
            self.run.queue.push(task.into_iter().collect());
            node.settle(&self.run.ends);
            return;
        }
        let Entry { mode, mtime, .. } = entry;
        let source = only.is_named().then(|| (name.clone(), Attributes { mode, mtime }));
        if let Some(node) = self.target(top, source) {
            node.tell_made(LACKS, &self.run.ends);
            self.contents_only(node, Some(name.clone()), only.clone());
        }
    }

    /// Gets the entries of a directory that is entered already.
    pub(super) fn contents_only(&mut self, node: Arc<Node>, name: Option<Name>, only: Only) {
        let only = only.entries();
        if only.is_empty() {
            node.settle(&self.run.ends);
            return;
        }
        self.run.lists(1);
        let after = before_first(name.as_ref(), &only);
        let page = Page { node, name, after, left_out: 0, tries: 0, losses: 0, only: Some(only) };
        self.run.queue.push(vec![Task::List(page)]);
    }

    /// A directory of which a list names entries, or itself; returns the task to list it.
    fn directory_only(
        &mut self,
        above: &Arc<Node>,
        component: OsString,
        entry: Entry,
        only: Only,
    ) -> Option<Task> {
        let Entry { name, mode, mtime, .. } = entry;
        // One that is made only because it is above a name keeps mode and mtime.
        let attributes = only.is_named().then_some(Attributes { mode, mtime });
        let node = above.below(component, Some(name.clone()), attributes);
        let only = only.entries();
        if only.is_empty() {
            if let Err(error) = node.enter(&self.run.ends) {
                self.run.progress.failed(node.own_path(), error);
            }
            node.settle(&self.run.ends);
            return None;
        }
        self.run.lists(1);
        let after = before_first(Some(&name), &only);
        Some(Task::List(Page {
            node,
            name: Some(name),
            after,
            left_out: 0,
            tries: 0,
            losses: 0,
            only: Some(only),
        }))
    }

    /// A page of a directory has come, of which only some entries are wanted.
    pub(super) fn listed_only(
        &mut self,
        page: Page,
        mut only: Only,
        body: &[u8],
        more: bool,
    ) -> Result<(), ConnectionError> {
        let found = entries(page.name.as_ref(), page.after.as_ref(), body)?;
        let end = found.last().map(|entry| entry.name.clone()).filter(|_| more);
        if more && end.is_none() {
            return Err(ProtocolError::List.into());
        }
        let Page { node, name, .. } = page;
        let wanted = self.wanted(&mut only, found, end.as_ref());
        let mut tasks = Vec::new();
        let is_needed = !wanted.is_empty() || node.is_like_source();
        let entered = if is_needed { node.enter(&self.run.ends) } else { Ok(()) };
        match entered {
            Ok(()) => {
                tasks.extend(self.rest(&node, name, only, end));
                self.bring_only(&node, wanted, &mut tasks);
            }
            Err(error) => self.run.progress.failed(node.own_path(), error),
        }
        self.run.queue.push(tasks);
        self.run.is_listed();
        node.settle(&self.run.ends);
        self.run.queue.settle(1);
        Ok(())
    }

    /// The entries of a page that are wanted; takes them out of the list. `end`: the name up to which the directory is listed,
    /// if not to its end. Names that are missing are told.
    fn wanted(&self, only: &mut Only, found: Vec<Entry>, end: Option<&Name>) -> Vec<(Entry, Only)> {
        let mut wanted = Vec::new();
        let mut found = found.into_iter().peekable();
        while only.first().is_some_and(|first| end.is_none_or(|end| first <= end.split().1)) {
            let Some((component, below)) = only.next_entry() else { break };
            while found.next_if(|entry| entry.name.split().1 < &component[..]).is_some() {}
            match found.next_if(|entry| entry.name.split().1 == component) {
                Some(entry) => wanted.push((entry, below)),
                None => self.fail_all(&below, &FileError::NotThere),
            }
        }
        wanted
    }

    /// The task for the rest of a directory, if more of its entries are wanted.
    fn rest(
        &self,
        node: &Arc<Node>,
        name: Option<Name>,
        only: Only,
        end: Option<Name>,
    ) -> Option<Task> {
        let end = end?;
        only.first()?;
        let next = before_first(name.as_ref(), &only);
        let after = next.filter(|next| next.split().1 > end.split().1).or(Some(end));
        node.begin(1);
        self.run.lists(1);
        let node = Arc::clone(node);
        Some(Task::List(Page {
            node,
            name,
            after,
            left_out: 0,
            tries: 0,
            losses: 0,
            only: Some(only),
        }))
    }

    /// Makes the entries here, or tasks for them.
    fn bring_only(&mut self, node: &Arc<Node>, wanted: Vec<(Entry, Only)>, tasks: &mut Vec<Task>) {
        let all: Vec<Entry> = wanted.iter().map(|(entry, _)| entry.clone()).collect();
        let folded = self.folded(node, &all, true);
        let mut files = Vec::new();
        for (entry, only) in wanted {
            let component = last_component(&entry.name);
            if folded.contains(&entry.name) {
                self.run.progress.failed(&node.path(&component), &super::entry::FOLDED);
                continue;
            }
            let is_dir = entry.kind == EntryKind::Directory;
            if self.run.wishes.filter.leaves_out(self.run.below(&entry.name), is_dir) {
                continue;
            }
            if is_dir {
                tasks.extend(self.directory_only(node, component, entry, only));
                continue;
            }
            let is_named = only.is_named();
            let why = "an entry above it is no directory at the server";
            self.fail_all(&only.entries(), &FileError::Other(why.into()));
            match &entry.kind {
                _ if !is_named => {}
                // Only in a tree it may be skipped; a name in a list is meant.
                EntryKind::Other => {
                    let why = "a device, socket or FIFO, which haul does not get";
                    let path = node.path(&component);
                    self.run.progress.failed(&path, FileError::Other(why.into()));
                }
                _ => tasks.extend(self.entry(node, component, None, entry, &mut files)),
            }
        }
        tasks.extend(self.tasks(files));
    }

    /// Tells that names of the list do not come.
    fn fail_all(&self, names: &Only, error: &FileError) {
        names.paths().for_each(|path| self.run.progress.failed(&path, error));
    }
}
