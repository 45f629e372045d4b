//! The context that all threads of a run share.

use std::hash::RandomState;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use haul_protocol::{Attributes, Digest, Name};

use super::decide::Mode;
use super::ends::Ends;
use super::item::File;
use super::leads::Leads;
use super::listed::Listed;
use super::namesakes::Namesakes;
use super::node::Node;
use super::queue::Queue;
use super::receipt::Lines;
use super::task::Task;
use super::wishes::Wishes;
use crate::credentials::Login;
use crate::error::FileError;
use crate::net::rate_limit::Limit;
use crate::net::ssh::Direct;
use crate::report::progress::Progress;
use crate::target::{Directory, Parts};
use crate::trust::Trust;
use crate::work::interrupt::Interrupt;
use crate::work::reached::Reached;

/// The reason why a receipt may not be true.
pub(super) const NOT_DURABLE: &str = "the files in it may not be durable";

/// The context that all threads of a run share.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) login: &'a Login,
    pub(super) trust: &'a Trust,
    pub(super) queue: &'a Queue,
    pub(super) progress: &'a Progress,
    pub(super) wishes: &'a Wishes,
    pub(super) interrupt: &'a Interrupt,
    /// Bounds the bytes that are read.
    pub(super) limit: Option<Limit>,
    /// Random for this run.
    pub(super) client: String,
    /// Sources and directories that are not listed to their end.
    pub(super) unlisted: AtomicUsize,
    /// The names that entries have come to, if several sources may have the same.
    pub(super) namesakes: Option<Namesakes>,
    /// The directory here that entries go to.
    pub(super) place: Arc<Place>,
    /// The fate of its connections.
    pub(super) reached: Reached,
    /// Connections that it begins with.
    pub(super) connections: usize,
    /// The direct way, if the run is over ssh and may go past it.
    pub(super) direct: Option<Direct>,
    /// Symlinks that lead out of the target.
    pub(super) leads: Leads,
    /// Directories that the server has listed to their end, if entries here are to be removed that it lacks.
    pub(super) listed: Mutex<Vec<Listed>>,
    /// Hashes names by a key of this run that no server knows.
    pub(super) hasher: RandomState,
    pub(super) ends: Ends<'a>,
    /// Where digests are written.
    pub(super) receipt: Option<&'a Lines>,
}

/// The directory that entries go to, which is opened when the first entry has come.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// All directories of the run are below this one.
    opened: Mutex<Option<Arc<Directory>>>,
    /// A source has begun to go there.
    begun: AtomicBool,
}

impl Place {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, opened: Mutex::new(None), begun: AtomicBool::new(false) }
    }

    /// The target, if it was opened.
    pub(super) fn opened(&self) -> Option<Arc<Directory>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The target as a node, with one entry under way in it. In a dry run it is not made. `source`: the number of the source that
    /// goes there, and mode and mtime that it may give.
    ///
    /// # Errors
    /// If it can't be opened or made, or is no directory.
    pub(super) fn node(
        &self,
        wishes: &Wishes,
        source: (usize, Option<(Name, Attributes)>),
    ) -> Result<Arc<Node>, FileError> {
        let (is_dry, is_like_source) = (wishes.dry_run, wishes.mode == Mode::Sync);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = self.begun.swap(true, Ordering::Relaxed) || self.path.is_dir();
        // An existing target keeps its mode and mtime, unless it is to become like the source.
        let source = (source.0, source.1.filter(|_| !is_there || is_like_source));
        if let Some(directory) = &*opened {
            return Ok(Node::target(self.path.clone(), Some(Arc::clone(directory)), source));
        }
        let is_missing = || {
            let found = std::fs::metadata(&self.path);
            found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        if is_dry && is_missing() {
            Directory::can_be_made(&self.path)?;
            return Ok(Node::target(self.path.clone(), None, source));
        }
        let directory =
            if is_dry { Directory::open(&self.path)? } else { Directory::make(&self.path)? };
        if !is_dry {
            // A killed run may have left files there, which nobody would miss.
            let _ = directory.sweep(Parts::Stay);
        }
        if is_like_source && !is_dry {
            directory.open_up();
        }
        let directory = Arc::new(directory);
        *opened = Some(Arc::clone(&directory));
        Ok(Node::target(self.path.clone(), Some(directory), source))
    }
}

impl Run<'_> {
    /// The part of a name that rules are about: below the source.
    pub(super) fn below<'n>(&self, name: &'n Name) -> &'n [u8] {
        let bytes = name.as_bytes();
        let bases = self.wishes.bases.iter().filter(|base| bytes.starts_with(base));
        let base = bases.map(Vec::len).max().unwrap_or(0);
        bytes.get(base..).unwrap_or_default()
    }

    /// Whether a rule leaves an entry here out of any source that it may be from: of a directory, and of one in that, both can
    /// be sources.
    pub(super) fn is_left_out_of_any(&self, name: &Name, is_dir: bool) -> bool {
        let (bytes, filter) = (name.as_bytes(), &self.wishes.filter);
        let mut below = self.wishes.bases.iter().filter_map(|base| bytes.strip_prefix(&base[..]));
        filter.leaves_out(self.below(name), is_dir)
            || below.any(|rest| !rest.is_empty() && filter.leaves_out(rest, is_dir))
    }

    /// The server has listed a directory to its end.
    pub(super) fn listed_whole(&self, node: &Node, name: Option<&Name>) {
        let (components, name, names) = (node.components(), name.cloned(), node.take_names());
        let identity = node.directory().map(|directory| directory.identity());
        let listed = Listed { components, identity, name, names };
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).push(listed);
    }

    /// So many more directories are to be listed.
    pub(super) fn lists(&self, more: usize) {
        self.unlisted.fetch_add(more, Ordering::Relaxed);
    }

    /// A source or directory is listed to its end, or never will be. After the last one the next source is looked at, if it has
    /// waited for this; otherwise totals are known.
    pub(super) fn is_listed(&self) {
        if self.unlisted.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        match self.namesakes.as_ref().and_then(Namesakes::next) {
            Some(top) => {
                self.lists(1);
                self.queue.push(vec![Task::Top(top)]);
            }
            None => self.progress.walk_ended(),
        }
    }

    /// Whether the user or an error has ended the run.
    pub(super) fn is_stopped(&self) -> bool {
        self.queue.is_stopped() || self.interrupt.is_set()
    }

    /// Whether there is nothing left to do, or nothing shall be done any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_stopped() || self.queue.is_finished()
    }

    /// A file is here under its name, with these bytes.
    pub(super) fn write_down(&self, file: &File, digest: Option<Digest>) {
        if let (Some(lines), Some(digest)) = (self.receipt, digest) {
            lines.add(file, digest, self.progress);
        }
    }

    /// Looks whether the target still stands under its path, and tells if not.
    pub(super) fn look_at_target(&self) {
        if let Some(directory) = self.place.opened()
            && let Err(error) = directory.stands()
        {
            self.ends.lose(Vec::new(), error);
        }
    }

    /// All entries have come: names and directories become durable as well, if the user wants that. Returns the reason why a
    /// receipt would not be true, if there is one.
    pub(super) fn make_durable(&self) -> Result<(), &'static str> {
        let opened = self.place.opened();
        if let (true, Some(directory)) = (self.wishes.durable && !self.wishes.dry_run, opened)
            && let Err(error) = directory.sync_file_system()
        {
            self.progress.failed(&self.place.path, error);
            return Err(NOT_DURABLE);
        }
        self.look_at_target();
        match self.ends.has_lost_any() {
            true => Err("files in it are not where it says, as is told above"),
            false => Ok(()),
        }
    }
}
