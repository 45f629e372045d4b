//! One change of the entries that clients see, with all that it needs: its bytes are staged and verified.

use haul_protocol::{Attributes, LinkTarget, Mtime, Name};

use super::kind::ChangeKind;
use crate::store::error::StoreError;
use crate::store::properties::Edits;
use crate::store::replaces::Replaces;
use crate::store::staged_tree::Tree;
use crate::store::uploads::complete::Finished;
use crate::store::uploads::resume::Published;
use crate::store::versions::swap::{Rollback, Swap};
use crate::store::{Closed, Staged, rename};

/// Directories above a name for which a change counts as one more.
pub(crate) const DEEP: usize = 32;

/// A large file counts as so many changes: the committer flushes its bytes and its journal, alone.
const LARGE: usize = 16;

/// An exchange of two versions counts as so many changes: the committer flushes several times for it, alone. A queue that is full of them is
/// done in about a second on a slow disk.
const SWAP: usize = 4 * FLUSH;

/// A flush that the committer makes for one change alone counts as so many changes.
const FLUSH: usize = 32;

/// The change that a request asks for.
#[derive(Debug)]
pub(crate) enum Change {
    /// A file appears, whole.
    File {
        /// Its bytes, mode and mtime.
        staged: Staged,
        /// The name under which it appears.
        name: Name,
    },
    /// A large file appears, whole.
    Upload(Box<Finished>),
    /// A symbolic link appears.
    Link {
        /// Its name.
        name: Name,
        /// Where it points.
        target: LinkTarget,
        /// Its own mtime; `None` is now.
        mtime: Option<Mtime>,
        /// Whether an entry that stands there makes way.
        replaces: Replaces,
    },
    /// A directory is there, with this mode.
    Directory {
        /// Its name.
        name: Name,
        /// `None` obeys the umask if it is new, and changes nothing if it is not.
        mode: Option<u32>,
        /// A file or link that stands there makes way.
        replace: bool,
        /// Whether an entry that stands there may make way, or get another mode.
        replaces: Replaces,
    },
    /// Nothing of that name is there any more.
    Remove {
        /// The name of a file, a link, or an empty directory.
        name: Name,
    },
    /// An entry gets another name.
    Rename {
        /// Its name.
        name: Name,
        /// Its new name.
        to: Name,
        /// Whether an entry that stands there makes way.
        replace: bool,
        /// Whether it may.
        replaces: Replaces,
    },
    /// New directories appear with all that is in them; each entry is a request of its own.
    Tree(Box<Tree>),
    /// A directory or file that is there gets mode and mtime.
    Attributes {
        /// Its name.
        name: Name,
        /// It must be a file; otherwise a directory.
        is_file: bool,
        /// The mode and mtime that it gets.
        attributes: Attributes,
        /// Whether an entry that stands there may change.
        replaces: Replaces,
    },
    /// A directory or file that is there gets other properties, of those that only clients know, and an mtime.
    Properties {
        /// Its name.
        name: Name,
        /// It must be a file; otherwise a directory.
        is_file: bool,
        /// Those that are set or removed.
        edits: Edits,
        /// The second of its mtime.
        modified: Option<i64>,
        /// Whether an entry that stands there may change.
        replaces: Replaces,
    },
    /// The next version of a directory takes the place of the present one.
    Version(Box<Swap>),
    /// The version before the present one does.
    Rollback {
        /// The directory, and how that is told.
        wanted: Box<Rollback>,
        /// Nobody changes the directory; `None`: whoever carries this out sees to that, and waits.
        closed: Option<Closed>,
    },
    /// A large file that was committed before is still there, and becomes durable if it is not.
    Confirm(Box<Published>),
    /// The parts of a large file that are held are flushed, nothing becomes visible.
    Flush(Box<crate::store::uploads::partial::Flush>),
}

impl Change {
    /// The same change, which replaces and changes no entry that stands there.
    pub(crate) fn of_new_only(mut self) -> Self {
        match &mut self {
            Self::File { staged, .. } => staged.replaces = Replaces::Nothing,
            Self::Upload(finished) => finished.replaces = Replaces::Nothing,
            Self::Confirm(published) => published.replaces = Replaces::Nothing,
            Self::Version(swap) => swap.replaces = Replaces::Nothing,
            Self::Rollback { wanted, .. } => wanted.replaces = Replaces::Nothing,
            Self::Link { replaces, .. }
            | Self::Directory { replaces, .. }
            | Self::Rename { replaces, .. }
            | Self::Properties { replaces, .. }
            | Self::Attributes { replaces, .. } => *replaces = Replaces::Nothing,
            // It takes away, or changes nothing that is seen; a tree is not begun for such a change.
            Self::Remove { .. } | Self::Tree(_) | Self::Flush(_) => {}
        }
        self
    }

    /// The kind of each of its results, in their order, for those who count them.
    pub(crate) fn kinds(&self, kinds: &mut Vec<ChangeKind>) {
        kinds.push(match self {
            Self::Tree(tree) => return tree.kinds(kinds),
            Self::File { .. } | Self::Upload(_) => ChangeKind::File,
            Self::Link { .. } => ChangeKind::Symlink,
            Self::Directory { .. } => ChangeKind::Directory,
            Self::Remove { .. } => ChangeKind::Remove,
            Self::Rename { .. } => ChangeKind::Rename,
            Self::Attributes { .. } => ChangeKind::Attributes,
            Self::Properties { .. } => ChangeKind::Properties,
            Self::Version(_) => ChangeKind::Publish,
            Self::Rollback { .. } => ChangeKind::Rollback,
            Self::Confirm(_) | Self::Flush(_) => ChangeKind::Own,
        });
    }

    /// The number of its results.
    pub(crate) fn results(&self) -> usize {
        if let Self::Tree(tree) = self { tree.len() } else { 1 }
    }

    /// Its memory and its time on the disk, in units of a small file.
    pub(crate) fn weight(&self) -> usize {
        if let Self::Tree(tree) = self { tree.weight() } else { self.cost() }
    }

    /// Its cost in a group's time: a change that may have to make hundreds of directories, or flushes alone, counts as
    /// several.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Tree(_) => 1,
            Self::Version(_) | Self::Rollback { .. } => SWAP,
            Self::Upload(_) | Self::Flush(_) => LARGE,
            Self::Rename { name, to, .. } => {
                FLUSH * rename::flushes(name, to) + (name.depth() + to.depth()) / DEEP
            }
            change => 1 + change.name().map_or(0, |name| name.depth() / DEEP),
        }
    }

    /// Files and directories that are flushed by a flush of the whole file system as well as by
    /// [`sync`](Self::sync).
    pub(in crate::store) fn staged(&self) -> usize {
        match self {
            Self::File { .. } => 1,
            Self::Tree(tree) => tree.weight(),
            _ => 0,
        }
    }

    /// Whether they are flushed by nothing else.
    pub(in crate::store) fn needs_all(&self) -> bool {
        matches!(self, Self::Tree(tree) if !tree.is_small())
    }

    /// Whether a flush has failed since they were staged, and may have been of their bytes: the file system
    /// tells of an error once, each open file tells of its own.
    pub(in crate::store) fn must_be_asked(&self, failures: u64) -> bool {
        match self {
            Self::File { staged, .. } => staged.failures_before != failures,
            Self::Tree(tree) => tree.failures_before != failures,
            _ => false,
        }
    }

    /// Starts to write a small file to the disk, so that several are under way at once.
    pub(in crate::store) fn start_writeback(&self) {
        if let Self::File { staged, .. } = self {
            staged.start_writeback();
        }
    }

    /// Flushes all bytes that must be on the disk before the change may become visible, if it is to be durable.
    pub(in crate::store) fn sync(&mut self) -> Result<(), StoreError> {
        match self {
            Self::File { staged, name } => staged.sync(name),
            Self::Tree(tree) => {
                tree.sync().map_err(|errno| StoreError::Group { source: errno.into() })
            }
            Self::Upload(finished) => finished.sync(),
            Self::Flush(flush) => flush.run(),
            Self::Version(swap) => swap.sync(),
            Self::Link { .. }
            | Self::Directory { .. }
            | Self::Remove { .. }
            | Self::Rename { .. }
            | Self::Attributes { .. }
            | Self::Properties { .. }
            | Self::Rollback { .. }
            | Self::Confirm(_) => Ok(()),
        }
    }

    /// The name that it changes; `None` if it sees to that itself, or changes nothing that is seen.
    pub(crate) fn name(&self) -> Option<&Name> {
        match self {
            Self::File { name, .. }
            | Self::Link { name, .. }
            | Self::Directory { name, .. }
            | Self::Remove { name }
            | Self::Properties { name, .. }
            | Self::Attributes { name, .. } => Some(name),
            Self::Upload(finished) => Some(finished.name()),
            Self::Confirm(published) => Some(published.name()),
            Self::Tree(tree) => Some(tree.top()),
            Self::Version(_) | Self::Rollback { .. } | Self::Rename { .. } | Self::Flush(_) => None,
        }
    }

    /// The name above which missing directories are made for it.
    pub(crate) fn below_parents(&self) -> Option<&Name> {
        match self {
            Self::File { name, .. }
            | Self::Link { name, .. }
            | Self::Directory { name, .. }
            | Self::Rename { to: name, .. } => Some(name),
            Self::Upload(finished) => Some(finished.name()),
            Self::Remove { .. }
            | Self::Tree(_)
            | Self::Attributes { .. }
            | Self::Properties { .. }
            | Self::Version(_)
            | Self::Rollback { .. }
            | Self::Confirm(_)
            | Self::Flush(_) => None,
        }
    }

    /// Whether names may lead to other directories afterwards.
    pub(in crate::store) fn moves(&self) -> bool {
        matches!(self, Self::Rename { .. })
    }

    /// Whether no name is gone afterwards.
    pub(super) fn only_adds(&self) -> bool {
        match self {
            Self::File { .. }
            | Self::Link { .. }
            | Self::Directory { .. }
            | Self::Upload(_)
            | Self::Attributes { .. }
            | Self::Properties { .. }
            | Self::Confirm(_)
            | Self::Flush(_) => true,
            Self::Remove { .. }
            | Self::Rename { .. }
            | Self::Tree(_)
            | Self::Version(_)
            | Self::Rollback { .. } => false,
        }
    }
}
