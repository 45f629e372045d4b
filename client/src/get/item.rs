//! The subjects of a run's tasks.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use haul_protocol::limits::part_size_for;
use haul_protocol::{Digest, Name, limits};

use super::node::Node;
use super::only::Only;
use crate::source::from_bytes;

/// One page of the entries of a directory.
#[derive(Debug)]
pub(super) struct Page {
    /// The directory here.
    pub(super) node: Arc<Node>,
    /// Its name at the server; `None` for the root.
    pub(super) name: Option<Name>,
    /// The last name that was told.
    pub(super) after: Option<Name>,
    /// Number of entries on earlier pages that the server left out of its list.
    pub(super) left_out: u64,
    /// How often it was tried.
    pub(super) tries: u32,
    /// How often a connection was lost when it had to be answered next.
    pub(super) losses: u32,
    /// The entries that are wanted, if not all.
    pub(super) only: Option<Only>,
}

impl Page {
    /// The first page of all entries of a directory.
    pub(super) fn first(node: Arc<Node>, name: Option<Name>) -> Self {
        Self { node, name, after: None, left_out: 0, tries: 0, losses: 0, only: None }
    }
}

/// Small files that are asked for together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) files: Vec<File>,
    /// Bytes that they have together, as far as is known.
    pub(super) bytes: u64,
}

/// A file of the server that comes to this machine.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// The directory here that it goes into.
    pub(super) node: Arc<Node>,
    /// Its name at the server.
    pub(super) name: Name,
    /// Its name here, if that is another one.
    pub(super) renamed: Option<OsString>,
    /// Its size as it was listed.
    pub(super) size: u64,
    /// How often the server has refused it, or its bytes were wrong.
    pub(super) tries: u32,
    /// How often a connection was lost when it had to be answered next.
    pub(super) losses: u32,
    /// Each of its parts needs a chaining value: all parts have come and did not make the file of which the server had told the
    /// digest, or a server that can't go on inside an answer would end the run, since its connection is not made again.
    pub(super) by_parts: bool,
}

impl File {
    /// Whether the digest of the whole file will do for its first part, instead of a chaining value. If not, the server reads
    /// the part before it answers, so that it can tell an error of its disk.
    pub(super) fn asks_whole(&self) -> bool {
        !self.by_parts && self.losses == 0
    }

    /// Its name in its directory here.
    pub(super) fn component(&self) -> OsString {
        self.renamed.clone().unwrap_or_else(|| last_component(&self.name))
    }

    /// Its path here, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.node.path(&self.component())
    }
}

/// The note on a file that is staged: all that is left to be told when it has its name.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) file: File,
    /// Bytes that the file has here.
    pub(super) bytes: u64,
    /// The digest of its bytes, if there is a receipt.
    pub(super) digest: Option<Digest>,
}

/// The last component of a name, as a name of this machine.
pub(super) fn last_component(name: &Name) -> OsString {
    from_bytes(name.split().1).into_owned()
}

/// The size of the parts in which a file of so many bytes is asked for. If a file is listed as longer than one that comes in parts
/// may be, the answer about its first part tells how long it is.
pub(super) fn part_size(size: u64) -> u64 {
    part_size_for(size).unwrap_or(limits::MAX_BODY_LEN)
}
