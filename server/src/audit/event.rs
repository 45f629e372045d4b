//! The events that the audit log tells of: who, and what.

use std::sync::Arc;
use std::time::Instant;

use haul_protocol::{Digest, LinkTarget, Name};

use super::access_line::Access;
use super::line::Line;
use super::who::Who;

/// A change that a client has asked for.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) who: Arc<Who>,
    pub(crate) what: What,
    /// The change is seen when the directory that it is in is published.
    pub(crate) in_draft: bool,
    /// When its client has asked for it.
    pub(crate) begun: Instant,
    /// The dialect of the client.
    pub(crate) dialect: &'static str,
}

/// A change. Names are those in the store.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// A file was stored.
    File { name: Name, size: u64, digest: Option<Digest> },
    /// The same, out of a file of the store.
    Copy { name: Name, size: u64, digest: Option<Digest> },
    /// A symlink was made.
    Symlink { name: Name, target: LinkTarget },
    /// A directory is there.
    Directory { name: Name },
    /// An entry was removed.
    Removal { name: Name },
    /// An entry has another name.
    Rename { name: Name, to: Name },
    /// The versions of a directory have changed places.
    Versions { name: Name, changed: Changed },
}

/// The way in which versions have changed places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changed {
    Publish,
    Rollback,
}

impl What {
    /// The same for names that are below a directory of the store.
    pub(crate) fn below(self, directory: &Name) -> Self {
        let whole = |name: Name| directory.join(name.as_bytes()).unwrap_or(name);
        match self {
            Self::File { name, size, digest } => Self::File { name: whole(name), size, digest },
            Self::Copy { name, size, digest } => Self::Copy { name: whole(name), size, digest },
            Self::Symlink { name, target } => Self::Symlink { name: whole(name), target },
            Self::Directory { name } => Self::Directory { name: whole(name) },
            Self::Removal { name } => Self::Removal { name: whole(name) },
            Self::Rename { name, to } => Self::Rename { name: whole(name), to: whole(to) },
            Self::Versions { name, changed } => Self::Versions { name: whole(name), changed },
        }
    }
}

impl Event {
    /// The line of a change that has happened, and may not last.
    pub(super) fn uncertain(&self) -> Line {
        self.line().flag("uncertain")
    }

    /// The line of the access log, about a file.
    pub(super) fn access(&self, is_certain: bool) -> Option<Access<'_>> {
        let (operation, name, bytes, digest) = match &self.what {
            What::File { name, size, digest } => ("put", name, *size, *digest),
            What::Copy { name, size, digest } => ("copy", name, *size, *digest),
            What::Symlink { .. }
            | What::Directory { .. }
            | What::Removal { .. }
            | What::Rename { .. }
            | What::Versions { .. } => return None,
        };
        let result = match (is_certain, self.in_draft) {
            (false, _) => "uncertain",
            (true, true) => "draft",
            (true, false) => "done",
        };
        let (who, dialect, time) = (&*self.who, self.dialect, self.begun.elapsed());
        Some(Access { who, dialect, operation, result, bytes, time, digest, name })
    }

    pub(super) fn line(&self) -> Line {
        let line = |event| Line::of(event, &self.who);
        let line = match &self.what {
            What::File { name, size, digest } | What::Copy { name, size, digest } => {
                named(line("file"), name).number("size", *size).digest(*digest)
            }
            What::Symlink { name, target } => {
                named(line("symlink"), name).bytes("target", target.as_bytes())
            }
            What::Directory { name } => named(line("directory"), name),
            What::Removal { name } => named(line("remove"), name),
            What::Rename { name, to } => named(line("rename"), name).bytes("to", to.as_bytes()),
            What::Versions { name, changed: Changed::Publish } => named(line("publish"), name),
            What::Versions { name, changed: Changed::Rollback } => named(line("rollback"), name),
        };
        if self.in_draft { line.text("in", "draft") } else { line }
    }
}

fn named(line: Line, name: &Name) -> Line {
    line.bytes("name", name.as_bytes())
}
