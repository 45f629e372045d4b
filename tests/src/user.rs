//! Running binaries as a user without privileges, also when the suite runs as root.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::binaries;

/// The user that nobody is, on every Linux.
const NOBODY: u32 = 65_534;

/// A user without privileges, with a directory and binaries of its own.
#[derive(Debug)]
pub struct User {
    directory: TempDir,
}

impl User {
    /// Makes the directory; binaries are copied into it, since a checkout may be private.
    ///
    /// # Errors
    /// If the directory can't be made.
    pub fn new() -> anyhow::Result<Self> {
        let directory = TempDir::new()?;
        let binaries = binaries::get();
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755))?;
        binaries::copy(&[&binaries.haul, &binaries.hauld], directory.path())?;
        let user = Self { directory };
        user.own(user.directory.path())?;
        Ok(user)
    }

    /// The user's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Gives a file or directory to the user.
    ///
    /// # Errors
    /// If the file or directory can't be given.
    pub fn own(&self, path: &Path) -> anyhow::Result<()> {
        if geteuid().is_root() {
            std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY))?;
        }
        Ok(())
    }

    /// Gives a whole tree to the user; returns its path.
    ///
    /// # Errors
    /// If an entry can't be given.
    pub fn own_all(&self, path: PathBuf) -> anyhow::Result<PathBuf> {
        for entry in walkdir::WalkDir::new(&path) {
            self.own(entry?.path())?;
        }
        Ok(path)
    }

    /// `haul` or `hauld`, run by the user.
    #[must_use]
    pub fn command(&self, binary: &str) -> Command {
        let mut command = Command::new(self.directory.path().join(binary));
        command.current_dir(self.directory.path());
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}
