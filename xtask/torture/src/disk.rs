//! A small disk that can be filled without touching the rest of the machine: a tmpfs in a mount
//! namespace of this process's own, which is gone when the process is.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use rustix::fs::statvfs;

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

/// Its size when nobody makes it small: more than any round needs.
const ROOMY: u64 = 8 << 30;

impl Disk {
    /// Mounts one on a directory that is made for it.
    pub(crate) fn mount(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir(path)?;
        let size = format!("size={ROOMY},mode=700");
        mount(&["-t", "tmpfs", "-o", &size, "haul-torture"], path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the disk so small that only so many bytes are left. It can't be made smaller than its
    /// contents, and others are writing to it at the same time: the more often the attempts fail,
    /// the more bytes are left to the others.
    pub(crate) fn fill(&self, left: u64) -> anyhow::Result<()> {
        let fill = |more: u64| {
            let found = statvfs(&self.path)?;
            self.resize((found.f_blocks - found.f_bfree) * found.f_frsize + left + more)
        };
        let attempts = std::iter::once(0).chain((16..28).map(|bits| 1 << bits));
        attempts.into_iter().map(fill).find(Result::is_ok).unwrap_or_else(|| fill(1 << 28))
    }

    /// Makes room again.
    pub(crate) fn free(&self) -> anyhow::Result<()> {
        self.resize(ROOMY)
    }

    fn resize(&self, bytes: u64) -> anyhow::Result<()> {
        // Without the options that it has already: some name users that a namespace may not know.
        mount(&["--options-mode", "ignore", "-o", &format!("remount,size={bytes}")], &self.path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // If the mount stays now, it is gone when this process is.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).output();
    }
}

fn mount(args: &[&str], path: &Path) -> anyhow::Result<()> {
    let output = Command::new("mount").args(args).arg(path).output().context("no `mount`")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
