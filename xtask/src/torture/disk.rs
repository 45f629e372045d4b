//! A small disk that can be filled without touching the rest of the machine: a tmpfs in a mount
//! namespace of this process's own, which is gone when the process is.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// Ways into a namespace of one's own: for root, and for everybody where the system allows it.
const WAYS: [&[&str]; 2] = [
    &["--mount", "--propagation", "private"],
    &["--user", "--map-root-user", "--mount", "--propagation", "private"],
];

/// Starts this program again in a namespace of its own with one argument more. Returns only if that
/// is not possible, and says why.
pub(crate) fn enter(more: &str) -> anyhow::Error {
    let works = |way: &&&[&str]| {
        Command::new("unshare").args(**way).arg("true").output().is_ok_and(|o| o.status.success())
    };
    let Some(way) = WAYS.iter().find(works) else {
        return anyhow::anyhow!("`unshare --mount` is not possible here");
    };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error.into(),
    };
    let arguments = std::env::args_os().skip(1);
    Command::new("unshare").args(*way).arg(program).args(arguments).arg(more).exec().into()
}

/// The small disk, perhaps full.
#[derive(Debug)]
pub(crate) struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts one of this size on a directory that is made for it.
    pub(crate) fn mount(path: &Path, bytes: u64) -> anyhow::Result<Self> {
        fs::create_dir(path)?;
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=700"), "haul-torture"])
            .arg(path)
            .output()
            .context("could not run mount")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(Self { path: path.to_owned() })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Fills it, up to so many bytes.
    pub(crate) fn fill(&self, left: u64) -> anyhow::Result<()> {
        let found = statvfs(&self.path)?;
        let len = (found.f_bavail * found.f_frsize).saturating_sub(left);
        let ballast = File::create(self.ballast())?;
        // What is taken meanwhile by others may be missing; then it is full as well.
        match fallocate(&ballast, FallocateFlags::empty(), 0, len.max(1)) {
            Ok(()) | Err(rustix::io::Errno::NOSPC) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes room again.
    pub(crate) fn free(&self) {
        // It may not be full.
        let _ = fs::remove_file(self.ballast());
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // If it stays, it is gone when this process is.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).output();
    }
}
