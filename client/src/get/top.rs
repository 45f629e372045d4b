//! The entry that a source is.

use std::path::PathBuf;
use std::sync::Arc;

use haul_protocol::{Attributes, Entry, EntryKind, Name};

use super::connection::Connection;
use super::item::{Page, last_component};
use super::namesakes::Claim;
use super::node::{LACKS, Node};
use super::source::Top;
use super::task::Task;
use crate::connection::before::before;
use crate::connection::delete::entries;
use crate::error::{ConnectionError, FileError};

impl Top {
    /// Where it is at the server, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.name
            .as_ref()
            .map_or_else(|| PathBuf::from("/"), |name| PathBuf::from(name.to_string()))
    }
}

impl Connection<'_> {
    /// A source that is the root of the server: its contents go into the target.
    pub(super) fn root(&mut self, top: &Top) {
        let _ = self.run.claim_target(top.number);
        match (self.target(top, None), &top.only) {
            (Some(node), Some(only)) => self.contents_only(node, None, only.clone()),
            (Some(node), None) => {
                self.run.lists(1);
                self.run.queue.push(vec![Task::List(Page::first(node, None))]);
            }
            (None, _) => {}
        }
        self.run.is_listed();
        self.run.queue.settle(1);
    }

    /// The list of the directory that a source is in has come.
    pub(super) fn top(&mut self, top: &Top, body: &[u8]) -> Result<(), ConnectionError> {
        let Some(name) = &top.name else { return Ok(()) };
        let (directory, after) = (Name::parse(name.split().0).ok(), before(name));
        let found = entries(directory.as_ref(), after.as_ref(), body)?;
        let found = found.into_iter().find(|entry| entry.name == *name);
        match found.ok_or(FileError::NotThere).and_then(|entry| fits(top, entry)) {
            Ok(entry) => self.begin(top, name, entry),
            Err(error) => self.run.progress.failed(&top.path(), error),
        }
        self.run.is_listed();
        self.run.queue.settle(1);
        Ok(())
    }

    /// Begins with the entry that a source is.
    fn begin(&mut self, top: &Top, name: &Name, entry: Entry) {
        if let Some(only) = &top.only {
            return self.begin_only(top, name, entry, only);
        }
        let Entry { mode, mtime, .. } = entry;
        if top.contents {
            let is_first = self.run.claim_target(top.number) == Claim::First;
            let source = is_first.then(|| (name.clone(), Attributes { mode, mtime }));
            if let Some(node) = self.target(top, source) {
                node.tell_made(LACKS, &self.run.ends);
                let page = Page::first(node, Some(name.clone()));
                self.run.lists(1);
                self.run.queue.push(vec![Task::List(page)]);
            }
            return;
        }
        let Some(node) = self.target(top, None) else { return };
        let component = top.renamed.clone().unwrap_or_else(|| last_component(name));
        let mut files = Vec::new();
        let task = self.entry(&node, component, top.renamed.clone(), entry, &mut files);
        let mut tasks = self.tasks(files);
        tasks.extend(task);
        self.run.queue.push(tasks);
        node.settle(&self.run.ends);
    }

    /// The target, open; a failure is told.
    pub(super) fn target(
        &self,
        top: &Top,
        source: Option<(Name, Attributes)>,
    ) -> Option<Arc<Node>> {
        let node = self.run.place.node(self.run.wishes, (top.number, source));
        node.map_err(|error| self.run.progress.failed(&self.run.ends.target, error)).ok()
    }
}

/// Whether an entry can be what the user has written.
fn fits(top: &Top, entry: Entry) -> Result<Entry, FileError> {
    match entry.kind {
        EntryKind::Directory if top.renamed.is_some() => {
            Err("--as takes a single file, and this is a directory")
        }
        EntryKind::Directory => Ok(entry),
        EntryKind::Other => Err("a device, socket or FIFO, which haul does not get"),
        _ if top.contents => Err("no directory at the server, as the `/` at its end says"),
        _ => Ok(entry),
    }
    .map_err(|why| FileError::Other(why.into()))
}
