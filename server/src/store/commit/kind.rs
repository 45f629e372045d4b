//! The kind of a change, for those who count changes.

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    File,
    Symlink,
    Directory,
    Remove,
    Rename,
    Attributes,
    Properties,
    Publish,
    Rollback,
    /// Work of the server's own, or a repeated request that changes nothing: nobody counts it.
    Own,
}

impl ChangeKind {
    /// All kinds that are counted.
    pub(crate) const ALL: [Self; 9] = [
        Self::File,
        Self::Symlink,
        Self::Directory,
        Self::Remove,
        Self::Rename,
        Self::Attributes,
        Self::Properties,
        Self::Publish,
        Self::Rollback,
    ];

    /// Its word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Symlink => "symlink",
            Self::Directory => "directory",
            Self::Remove => "remove",
            Self::Rename => "rename",
            Self::Attributes => "attributes",
            Self::Properties => "properties",
            Self::Publish => "publish",
            Self::Rollback => "rollback",
            Self::Own => "own",
        }
    }
}
