//! The binaries under test, built when they are needed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, bail};

/// The paths of `haul` and `hauld`.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The client.
    pub haul: PathBuf,
    /// The server.
    pub hauld: PathBuf,
}

/// Builds both and says where they are.
///
/// # Errors
/// If cargo fails; cargo's messages are on standard error.
pub fn build(release: bool) -> anyhow::Result<Binaries> {
    build_for(release, None)
}

/// Builds both for another target than cargo's own, and says where they are.
///
/// # Errors
/// If cargo fails; cargo's messages are on standard error.
pub fn build_for(release: bool, target: Option<&str>) -> anyhow::Result<Binaries> {
    let packages = ["-p", "haul-server", "-p", "haul-client"];
    let built = cargo_build(&packages, release, target)?;
    Ok(Binaries { haul: executable(&built, "haul")?, hauld: executable(&built, "hauld")? })
}

/// Builds the program of another package of the workspace for release, and says where it is. It has the package's name.
///
/// # Errors
/// If cargo fails; cargo's messages are on standard error.
pub fn build_chore(package: &str) -> anyhow::Result<PathBuf> {
    executable(&cargo_build(&["-p", package], true, None)?, package)
}

/// Has cargo build the programs of some packages; returns cargo's messages.
fn cargo_build(packages: &[&str], release: bool, target: Option<&str>) -> anyhow::Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
    let mut command = Command::new(cargo);
    command.current_dir(root).args(["build", "--quiet", "--locked", "--message-format=json"]);
    command.args(packages).arg("--bins");
    if release {
        command.arg("--release");
    }
    if let Some(target) = target {
        command.args(["--target", target]);
    }
    let output = command.stderr(Stdio::inherit()).output().context("could not run cargo")?;
    if !output.status.success() {
        bail!("cargo could not build {}", packages.join(" "));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The path of a program that cargo's messages tell of.
fn executable(built: &str, name: &str) -> anyhow::Result<PathBuf> {
    built
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo built no {name}"))
}

/// Copies programs into a directory, from where they can be run at once.
///
/// Another process writes the copies. If this process did, a child that another thread starts meanwhile could
/// have a copy open for writing until it runs its own program, and the kernel runs no file that somebody has
/// open for writing ("Text file busy").
///
/// # Errors
/// If the programs can't be copied.
pub fn copy(programs: &[&Path], directory: &Path) -> anyhow::Result<()> {
    let status = Command::new("cp").arg("--").args(programs).arg(directory).status();
    let status = status.context("could not run cp")?;
    if !status.success() {
        bail!("could not copy {programs:?} to {}: cp: {status}", directory.display());
    }
    Ok(())
}

/// The binaries for tests, in the profile of the tests, built once a process.
///
/// # Panics
/// If the binaries can't be built.
pub fn get() -> &'static Binaries {
    static BINARIES: OnceLock<Binaries> = OnceLock::new();
    BINARIES.get_or_init(|| match build(cfg!(not(debug_assertions))) {
        Ok(binaries) => binaries,
        Err(error) => panic!("{error:#}"),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn copied_program_runs_at_once_while_other_threads_start_processes() -> anyhow::Result<()> {
        let (directory, over) = (tempfile::tempdir()?, AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        // With a user a process is forked, not spawned: the copies of open files live longer.
                        let user = rustix::process::geteuid().as_raw();
                        Command::new("true").uid(user).status().unwrap();
                    }
                });
            }
            let copied = (0..200).try_for_each(|_| {
                copy(&[Path::new("/bin/true")], directory.path())?;
                let program = directory.path().join("true");
                Command::new(&program).status().context("could not run the copy")?;
                Ok(std::fs::remove_file(program)?)
            });
            over.store(true, Ordering::Relaxed);
            copied
        })
    }
}
