//! The sandbox of the process: Landlock (landlock(7)), which a process puts on itself and can't take off.
//!
//! A domain of Landlock holds for the thread that enters it and for all threads that this one starts later. So the sandbox
//! is put on before the first thread starts, and after everything outside the root is open: the kernel asks Landlock when a
//! path is opened, not when an open file is used.

use std::error::Error;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, Scope, make_bitflags,
};
use rustix::fd::BorrowedFd;

use crate::error::StartError;
use crate::log;
use crate::net::listen::Listen;

/// The newest rights that hauld knows to need none of, but below its root. A kernel that knows fewer takes those.
const KNOWN: ABI = ABI::V10;

/// Rights below the root: all but to run programs, to make devices, pipes and sockets, and to connect to these.
fn at_root() -> BitFlags<AccessFs> {
    let unneeded = make_bitflags!(AccessFs::{
        Execute | MakeChar | MakeBlock | MakeFifo | MakeSock | IoctlDev | ResolveUnix
    });
    AccessFs::from_all(KNOWN) & !unneeded
}

/// Everything that a confined server may reach by a path. What it has open already it may go on using.
#[derive(Debug)]
pub struct Reach<'a> {
    root: BorrowedFd<'a>,
    within: Vec<BorrowedFd<'a>>,
    others: Vec<(PathBuf, BitFlags<AccessFs>)>,
}

impl<'a> Reach<'a> {
    /// Nothing but what is below this directory.
    #[must_use]
    pub fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, within: Vec::new(), others: Vec::new() }
    }

    /// The server makes most files in these directories below the root. They get no right that the root has not.
    ///
    /// At each file that is opened or made, the kernel looks for a rule in each directory above it, up to the first that
    /// allows what is wanted (security/landlock/fs.c, `is_access_to_paths_allowed`), and holds each for a moment, against all
    /// other threads that do the same. A rule of their own ends that walk sooner.
    #[must_use]
    pub fn working_in(mut self, directories: impl Iterator<Item = BorrowedFd<'a>>) -> Self {
        self.within.extend(directories);
        self
    }

    /// The server may read all files in this directory.
    #[must_use]
    pub fn reading(self, directory: &Path) -> Self {
        self.and(directory, make_bitflags!(AccessFs::{ReadFile | ReadDir}))
    }

    /// The server may read this file, and the one that takes its place later. Therefore it may read all files beside it. If it
    /// is a symlink, the same holds where that leads now.
    #[must_use]
    pub fn reading_file(self, file: &Path) -> Self {
        let target = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        self.reading(parent(file)).reading(parent(&target))
    }

    /// The server may append to this file, and make it anew when somebody has moved it. Therefore it may write to all files
    /// beside it.
    #[must_use]
    pub fn appending(self, file: &Path) -> Self {
        self.and(parent(file), make_bitflags!(AccessFs::{WriteFile | MakeReg}))
    }

    /// The server may remove the file of a Unix socket when it stops. Therefore it may remove all files beside it.
    #[must_use]
    pub fn listening(self, address: &Listen) -> Self {
        match address {
            Listen::Unix(path) => self.and(parent(path), AccessFs::RemoveFile.into()),
            Listen::Tcp(_) => self,
        }
    }

    fn and(mut self, path: &Path, access: BitFlags<AccessFs>) -> Self {
        self.others.push((path.to_owned(), access));
        self
    }

    /// Confines the process to this for good, and tells the log. If the kernel can't, the log is told that.
    ///
    /// # Errors
    /// If other threads run already, which would not be confined, or a path can't be opened.
    pub fn confine(self) -> Result<(), StartError> {
        let failed = |error: String| {
            StartError::Process(format!(
                "no sandbox: {error}; --no-sandbox starts hauld without one"
            ))
        };
        // Without /proc nobody can tell.
        let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
        if threads != 1 {
            return Err(failed(format!("{threads} threads run already")));
        }
        let others = log::paths(self.others.iter().map(|(path, _)| &**path));
        match self.restrict().map_err(|error| failed(error.to_string()))? {
            Some(abi) => tracing::info!(
                landlock = abi,
                confines = confines(abi),
                also = &*others,
                "confined to the root"
            ),
            None => tracing::warn!(
                "not confined: this kernel has no Landlock, or that of before Linux 5.19, or a filter of system calls forbids it"
            ),
        }
        Ok(())
    }

    /// Confines the calling thread and those that it will start. Returns the kernel's version of Landlock (at most the
    /// newest that is known here), or `None` if the kernel has none that lets files be renamed.
    pub(super) fn restrict(self) -> Result<Option<i32>, Box<dyn Error>> {
        // The first version refuses every rename to another directory, and with that every upload.
        let renames = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::Refer)
            .and_then(Ruleset::create);
        if renames.is_err() {
            return Ok(None);
        }
        let mut rules = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))?
            // No port is listened on later, and nothing is connected to.
            .handle_access(AccessNet::from_all(KNOWN))?
            .scope(Scope::from_all(KNOWN))?
            .create()?
            .add_rule(PathBeneath::new(self.root, at_root()))?;
        for directory in &self.within {
            rules = rules.add_rule(PathBeneath::new(directory, at_root()))?;
        }
        for (path, access) in &self.others {
            rules = rules.add_rule(PathBeneath::new(PathFd::new(path)?, *access))?;
        }
        match rules.restrict_self()?.landlock {
            LandlockStatus::Available { effective_abi, .. } => Ok(Some(effective_abi as i32)),
            _ => Ok(None),
        }
    }
}

/// Confines a process that answers multicast DNS: it reaches no file and no TCP port. Without Landlock it goes on as it is, and
/// the server's log tells that of both.
///
/// # Errors
/// If the kernel has Landlock and does not confine the process.
pub(crate) fn confine_responder() -> Result<(), StartError> {
    let confined = || -> Result<(), Box<dyn Error>> {
        let tcp = make_bitflags!(AccessNet::{BindTcp | ConnectTcp});
        let rules = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))?
            .handle_access(tcp)?
            .scope(Scope::from_all(KNOWN))?;
        rules.create()?.restrict_self()?;
        Ok(())
    };
    confined().map_err(|error| StartError::Process(format!("no sandbox: {error}")))
}

/// The directory of a file.
fn parent(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// The kinds of things that a version of Landlock confines.
fn confines(abi: i32) -> &'static str {
    match abi {
        ..4 => "files",
        4..6 => "files, TCP",
        6..10 => "files, TCP, signals, abstract sockets",
        10.. => "files, TCP, UDP, signals, abstract sockets",
    }
}
