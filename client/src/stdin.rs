//! Standard input as a source: kept in a temporary file first, because its size and digest have to be known
//! before the server makes it visible, and because what a lost connection has lost is sent again.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use tempfile::TempDir;

use crate::interrupt::Interrupt;

/// What the temporary file is called, since messages name it.
const NAME: &str = "standard input";

/// Standard input that has been read to its end.
#[derive(Debug)]
pub struct Kept {
    /// The file.
    pub path: PathBuf,
    /// Removed when this is dropped.
    _directory: TempDir,
}

/// Reads standard input to its end. `None`: the user has had enough before.
///
/// # Errors
/// If it can't be read, or there is no room where temporary files are.
pub fn keep(interrupt: &Interrupt) -> anyhow::Result<Option<Kept>> {
    let place = std::env::temp_dir();
    let failed = |error: io::Error| {
        anyhow::anyhow!(
            "could not keep standard input in {} (TMPDIR names another place): {error}",
            place.display()
        )
    };
    let directory = TempDir::new_in(&place).map_err(failed)?;
    let path = directory.path().join(NAME);
    let mut file = File::create(&path).map_err(failed)?;
    let mut input = io::stdin().lock();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        if !wait(&|| interrupt.is_set()) {
            return Ok(None);
        }
        match input.read(&mut buffer) {
            Ok(0) => return Ok(Some(Kept { path, _directory: directory })),
            Ok(len) => file.write_all(&buffer[..len]).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => anyhow::bail!("could not read standard input: {error}"),
        }
    }
}

/// Waits until there is something to read; `false` if that is not wanted any more.
#[cfg(unix)]
pub(crate) fn wait(stopped: &dyn Fn() -> bool) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    // How often it is seen whether the user has had enough.
    const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let input = io::stdin();
    loop {
        if stopped() {
            return false;
        }
        match poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&PAUSE)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            // What can't be waited for is read at once.
            Ok(_) | Err(_) => return true,
        }
    }
}

/// There is no waiting here.
#[cfg(not(unix))]
pub(crate) fn wait(stopped: &dyn Fn() -> bool) -> bool {
    !stopped()
}
