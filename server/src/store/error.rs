//! Errors about files, in the store's own words.

use std::fmt;
use std::path::PathBuf;

use haul_protocol::Name;
use humansize::{BINARY, format_size};
use rustix::io::Errno;
use thiserror::Error;

use super::versions::notes::Facts;

/// An operation on a file below the root failed. Other than with [`Uncertain`](Self::Uncertain),
/// what stood there before has not changed.
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
        "the quota of account `{account}` is full: {} of {} used, {} needed",
        counted(what, *.used), counted(what, *.quota), counted(what, *.more)
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
    /// The next version of a directory is being put together.
    #[error("`{name}` is being published, and nothing in it can be changed until that is over")]
    Publishing {
        /// The directory.
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

/// The operation that makes a symlink.
pub(super) const MAKE_LINK: &str = "make link";

/// The operations that rename or link an entry from one directory to another.
const MOVES: [&str; 6] = ["publish", "rename", "replace", "remove", MAKE_LINK, "make directory"];

/// Why a file can't be longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SizeLimit {
    /// The process may write files of so many bytes (`RLIMIT_FSIZE`, setrlimit(2)).
    Process(u64),
    /// The file system has longer ones for nobody.
    FileSystem,
}

impl SizeLimit {
    /// The tighter of the two that is known.
    pub(crate) fn now() -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
        limit.map_or(Self::FileSystem, Self::Process)
    }
}

impl fmt::Display for SizeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(limit) => write!(
                f,
                "it is limited to files of {limit} bytes (ulimit -f, or LimitFSIZE= of systemd)"
            ),
            Self::FileSystem => f.write_str("its file system has no files of that size"),
        }
    }
}

/// The directory that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// The root.
    Root,
    /// `.haul` in it.
    Private,
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "the server's root",
            Self::Private => "the server's own directory `.haul` in its root",
        })
    }
}

fn counted(what: &str, number: u64) -> String {
    if what == "bytes" { in_units(number) } else { format!("{number} {what}") }
}

fn in_units(bytes: u64) -> String {
    format_size(bytes, BINARY)
}

impl StoreError {
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
        )
    }

    /// The meaning of an error number that comes from `op` on `name`.
    pub(crate) fn new(op: &'static str, name: &Name, errno: Errno) -> Self {
        Self::at(op, name.to_string(), errno)
    }

    /// As [`new`](Self::new), for what has no [`Name`] of its own.
    pub(crate) fn at(op: &'static str, name: String, errno: Errno) -> Self {
        match errno {
            Errno::NOSPC => Self::NoSpace { name },
            Errno::FBIG => Self::TooLarge { name, limit: SizeLimit::now() },
            Errno::DQUOT => Self::Quota { name },
            Errno::MLINK => Self::TooMany { op, name },
            Errno::NAMETOOLONG if op == MAKE_LINK => {
                Self::NameRefused { op, name, what: "target of a symlink that is so long" }
            }
            Errno::NAMETOOLONG => Self::NameRefused { op, name, what: "name that is so long" },
            Errno::ILSEQ => Self::NameRefused { op, name, what: "name of such bytes" },
            // The store has made sure that nothing but the name is wrong with making an entry (vfat).
            Errno::INVAL if matches!(op, "publish" | "make directory" | MAKE_LINK) => {
                Self::NameRefused { op, name, what: "name of such characters" }
            }
            // symlink(2): that is what a file system without symlinks says.
            Errno::PERM | Errno::OPNOTSUPP if op == MAKE_LINK => Self::NoSymlinks { name },
            Errno::ACCESS | Errno::PERM => Self::Permission { op, name },
            Errno::ROFS => Self::ReadOnly { op, name },
            Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS | Errno::AGAIN => {
                Self::Scarce { op, name, source: errno.into() }
            }
            Errno::LOOP => Self::Conflict { name, found: "a symbolic link" },
            // Names are resolved on one file system (`openat2`), so both directories of a rename are on one mount.
            Errno::XDEV if MOVES.contains(&op) => Self::Apart { op, name },
            Errno::XDEV | Errno::BUSY => Self::CrossDevice { name },
            Errno::NOENT => Self::NotFound { name },
            Errno::ISDIR | Errno::NOTEMPTY => Self::Conflict { name, found: "a directory" },
            Errno::NOTDIR => Self::Conflict { name, found: "not a directory" },
            errno => Self::Io { op, name, source: errno.into() },
        }
    }
}

/// The root can't be served.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    /// Another server has it.
    #[error("`{path}` is already served by process {pid}; one server a root")]
    InUse {
        /// The root.
        path: PathBuf,
        /// The other server's process id, as it wrote it.
        pid: String,
    },
    /// `.haul` is on another file system, so nothing could be renamed out of it.
    #[error("`{path}` is on another file system than the root above it, or is a symlink")]
    StagingElsewhere {
        /// `.haul` or something in it.
        path: PathBuf,
    },
    /// An entry of another kind stands where a directory of the server's own is to be.
    #[error(
        "`{path}` is not a directory; hauld keeps its own files there, so move that away and start again"
    )]
    NotADirectory {
        /// `.haul` or something in it.
        path: PathBuf,
    },
    /// The owner of a directory of the server's own decides which entries become visible.
    #[error(
        "`{path}` belongs to user {owner}, who could change what is published; run hauld as that user, chown -R \
         it to user {user}, or remove it with the interrupted uploads in it"
    )]
    NotOurs {
        /// `.haul` or something in it.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The server's user.
        user: u32,
    },
    /// Everybody could.
    #[error(
        "others may write to `{path}` (mode {mode:o}), and hauld could not change its mode: set it to 700, or \
         mount the file system so that others may not write"
    )]
    OpenToOthers {
        /// `.haul` or something in it.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The kernel or a sandbox does not allow `openat2`, without which names can't be kept below
    /// the root.
    #[error("openat2 does not work here (Linux 5.6 or later needed; a sandbox may block it): {0}")]
    NoOpenat2(std::io::Error),
    /// A sandbox around the server does not let it rename, and so every upload would fail.
    #[error(
        "nothing can be moved from one directory in `{path}` to another: a sandbox around hauld lacks the right to (REFER \
         of Landlock)"
    )]
    NoRefer {
        /// `.haul`.
        path: PathBuf,
    },
    /// Anything else.
    #[error("could not {op} `{path}`: {source}")]
    Io {
        /// The operation.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's error.
        source: std::io::Error,
    },
}
