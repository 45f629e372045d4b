//! Errors about files, in the store's own words.

use haul_protocol::limits;
use humansize::{BINARY, format_size};
use thiserror::Error;

use super::bounds::{Gone, SizeLimit};
use super::versions::notes::Facts;

/// An operation on a file below the root failed. Unless it [is uncertain](Self::is_uncertain), what stood there before has
/// not changed.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// A parent is a symbolic link.
    #[error("`{link}` is a symbolic link, and names are not followed through links")]
    Escape {
        /// The component, as a name from the root.
        link: String,
    },
    /// A directory stands where something else comes, or the reverse.
    #[error("`{name}` is {found}")]
    Conflict {
        /// The entry that is in the way.
        name: String,
        /// The kind of that entry.
        found: &'static str,
    },
    /// An entry stands there, and the change may replace none.
    #[error("`{name}` is there already, and this account may not replace it")]
    Exists {
        /// The entry.
        name: String,
    },
    /// The file system takes the name for that of an entry that is spelled otherwise.
    #[error(
        "`{name}` is there already {}, and the server's file system does not tell the two spellings apart",
        spelled(stored.as_deref())
    )]
    OtherSpelling {
        /// The name, or that of a directory above it.
        name: String,
        /// The last component as it is stored.
        stored: Option<String>,
    },
    /// A mount point lies between the root and the file.
    #[error("`{name}` is on another file system than the root")]
    CrossDevice {
        /// The file.
        name: String,
    },
    /// The kernel moves nothing from one directory of the root to another, though both are on one file system.
    #[error(
        "the server could not {op} `{name}`, because the kernel refuses to move it from one directory to another as if \
         they were on two file systems: a sandbox around the server lacks the right to (REFER of Landlock), or a btrfs \
         subvolume or a project quota ends between them"
    )]
    Apart {
        /// The operation.
        op: &'static str,
        /// The file.
        name: String,
    },
    /// The bytes are not those of the digest.
    #[error("the bytes of `{name}` do not match their digest")]
    DigestMismatch {
        /// The file.
        name: String,
    },
    /// The file system is full.
    #[error("no space left on the server for `{name}`")]
    NoSpace {
        /// The file.
        name: String,
    },
    /// The file is longer than a file may be.
    #[error("`{name}` is larger than the server may write: {limit}")]
    TooLarge {
        /// The file.
        name: String,
        /// The limit.
        limit: SizeLimit,
    },
    /// A file whose file system makes its bytes up has more of them than the server reads at once.
    #[error(
        "`{name}` states {size} bytes and has more than {}: the server reads no such file that is longer",
        limits::MAX_FETCHED_SIZE
    )]
    Unstated {
        /// The file.
        name: String,
        /// The bytes that it states.
        size: u64,
    },
    /// The directory has as many entries, or the file as many names, as the file system allows.
    #[error(
        "the server could not {op} `{name}`: its file system allows no more entries or names there"
    )]
    TooMany {
        /// The operation.
        op: &'static str,
        /// The file.
        name: String,
    },
    /// The file system takes no such name, or no such target of a symlink.
    #[error("the server could not {op} `{name}`: its file system takes no {what}")]
    NameRefused {
        /// The operation.
        op: &'static str,
        /// The file.
        name: String,
        /// The thing that it does not take.
        what: &'static str,
    },
    /// The file system lacks something without which that can't be done safely.
    #[error("the server could not {op} `{name}`: its file system {lacks}")]
    Unable {
        /// The operation.
        op: &'static str,
        /// The file.
        name: String,
        /// As a clause about the file system.
        lacks: &'static str,
    },
    /// The file system has no symlinks.
    #[error("the server could not make the symlink `{name}`: its file system has no symlinks")]
    NoSymlinks {
        /// The symlink.
        name: String,
    },
    /// The file system is read-only.
    #[error("the server could not {op} `{name}`: its file system is read-only")]
    ReadOnly {
        /// The operation.
        op: &'static str,
        /// The file.
        name: String,
    },
    /// The server has no file descriptor or no memory left, for a moment.
    #[error("the server could not {op} `{name}` just now, too much is open at once: {source}")]
    Scarce {
        /// The operation.
        op: &'static str,
        /// The file.
        name: String,
        /// The kernel's error.
        source: std::io::Error,
    },
    /// The file system's quota is used up.
    #[error("the server's disk quota is used up, no room for `{name}`")]
    Quota {
        /// The file.
        name: String,
    },
    /// The quota of an account is full.
    #[error(
        "the quota of account `{account}` is full: {} of {} used{}, {} more needed, {} left",
        counted(what, *.used), counted(what, *.quota), explained(what), counted(what, *.more),
        counted(what, quota.saturating_sub(*.used))
    )]
    AccountFull {
        /// The account.
        account: String,
        /// Bytes, or files.
        what: &'static str,
        /// The use, the bytes and files that are promised included.
        used: u64,
        /// More than there is left.
        more: u64,
        /// The quota.
        quota: u64,
    },
    /// The entries of an account with a quota are being counted.
    #[error(
        "the files of account `{account}` are being counted, or could not be (the server's log tells), so it can't be told yet \
         whether there is room: the same request can succeed in a moment"
    )]
    AccountUncounted {
        /// The account.
        account: String,
    },
    /// There is no room for two uploads at once that are larger than the files that they replace leave it.
    #[error(
        "the quota of account `{account}` has no room for a file beside the one that it replaces, and another upload has its \
         turn: the same request can succeed in a moment"
    )]
    AccountReplaces {
        /// The account.
        account: String,
    },
    /// The server's user may not do this.
    #[error("the server may not {op} `{name}`: permission denied")]
    Permission {
        /// The operation.
        op: &'static str,
        /// The file.
        name: String,
    },
    /// Nothing is there.
    #[error("`{name}` does not exist")]
    NotFound {
        /// The file.
        name: String,
    },
    /// The file can't fit.
    #[error(
        "no room on its disk: {} needed, {} left, {} kept free",
        in_units(*.cost), in_units(*.room), in_units(*.keep_free)
    )]
    NoRoom {
        /// Bytes that it takes on the disk.
        cost: u64,
        /// The room that it may have: not kept free, and not needed by other uploads.
        room: u64,
        /// The floor that is not to be touched.
        keep_free: u64,
    },
    /// A flush of the upload failed, or it was interrupted: it has to be opened again.
    #[error("the upload of `{name}` has to start again, its disk or its connection failed")]
    Spoiled {
        /// The file.
        name: String,
    },
    /// A file that was committed before has been replaced since.
    #[error("`{name}` was replaced in the meantime; open the file again")]
    Replaced {
        /// The file.
        name: String,
    },
    /// The file system could not be flushed, and does not say for which file.
    #[error(
        "the server could not flush its disk, so nothing of what came together with this is kept: {source}"
    )]
    Group {
        /// The kernel's error.
        source: std::io::Error,
    },
    /// The change is visible, but not known to be durable.
    #[error(
        "it is there, but the server could not flush `{directory}`, so it may not survive a loss of \
         power: {source}"
    )]
    Uncertain {
        /// The directory, empty for the root.
        directory: String,
        /// The kernel's error.
        source: std::io::Error,
    },
    /// The change is visible, and lacks its last step.
    #[error("`{name}` is there, but the server could not set its {what}: {source}")]
    Unfinished {
        /// The entry.
        name: String,
        /// The attribute that it lacks.
        what: &'static str,
        /// The kernel's error.
        source: std::io::Error,
    },
    /// The next version of a directory is being put together.
    #[error("`{name}` is being published, and nothing in it can be changed until that is over")]
    Publishing {
        /// The directory.
        name: String,
    },
    /// A file that is read is not in the state any more that it was in.
    #[error("`{name}` has changed in the meantime")]
    Changed {
        /// The file.
        name: String,
    },
    /// There is no version before the present one.
    #[error("there is no earlier version of `{name}` to go back to")]
    NoVersion {
        /// The directory.
        name: String,
    },
    /// The last exchange was a rollback, and another one is not asked for as such.
    #[error(
        "the last change of the versions of `{name}` was a rollback: {facts}; --again undoes that one, if it is meant"
    )]
    RolledBack {
        /// The directory.
        name: String,
        /// The present version.
        facts: Facts,
    },
    /// A rollback that is asked for once more was not the last exchange.
    #[error(
        "nothing is changed now, because this rollback is not the last change of the versions of `{name}`: it was not \
         carried out, or another change came after it{}", after(*.facts)
    )]
    NotLast {
        /// The directory.
        name: String,
        /// The present version, if anything is known of it.
        facts: Option<Facts>,
    },
    /// Another run has taken the next version of a directory over.
    #[error(
        "another run has begun or published a version of `{name}` meanwhile; run the command again"
    )]
    VersionGone {
        /// The directory.
        name: String,
    },
    /// A draft has inherited something else than its directory has by now.
    #[error(
        "group, setgid or ACL of `{name}` are not those with which this version was begun, and publishing it would undo \
         the change, so nothing is published; run the command again"
    )]
    OtherHeritage {
        /// The directory.
        name: String,
    },
    /// Root or `.haul` is another directory than when the server started, or none.
    #[error(
        "{gone} was removed, replaced, moved or unmounted while hauld ran, so it stores and lists nothing; \
         put it back, or start hauld again"
    )]
    Gone {
        /// Which.
        gone: Gone,
    },
    /// Anything else.
    #[error("the server could not {op} `{name}`: {source}")]
    Io {
        /// The operation.
        op: &'static str,
        /// The file.
        name: String,
        /// The kernel's error.
        source: std::io::Error,
    },
}

fn spelled(stored: Option<&str>) -> String {
    stored.map_or_else(|| "under another spelling".to_owned(), |stored| format!("as `{stored}`"))
}

/// The clause that says which version is present.
fn after(facts: Option<Facts>) -> String {
    facts.map_or_else(String::new, |facts| format!("; {facts}"))
}

fn counted(what: &str, number: u64) -> String {
    if what == "bytes" { in_units(number) } else { format!("{number} {what}") }
}

/// The entries that count as files.
fn explained(what: &str) -> &'static str {
    if what == "bytes" { "" } else { " (directories and links count, too)" }
}

fn in_units(bytes: u64) -> String {
    format_size(bytes, BINARY)
}

impl StoreError {
    /// Whether the change may have happened all the same.
    pub(crate) fn is_uncertain(&self) -> bool {
        matches!(self, Self::Uncertain { .. } | Self::Unfinished { .. })
    }

    /// Whether it is about one name only, and others may go well.
    pub(crate) fn is_of_one_name(&self) -> bool {
        matches!(
            self,
            Self::Escape { .. }
                | Self::Conflict { .. }
                | Self::OtherSpelling { .. }
                | Self::Exists { .. }
                | Self::CrossDevice { .. }
                | Self::Apart { .. }
                | Self::Permission { .. }
                | Self::NotFound { .. }
                | Self::NameRefused { .. }
                | Self::NoSymlinks { .. }
                | Self::Unable { .. }
                | Self::TooMany { .. }
                | Self::TooLarge { .. }
                | Self::Changed { .. }
        )
    }
}
