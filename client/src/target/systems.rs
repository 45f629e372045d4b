//! The file systems of the target: entries go to one at least, and to others that are mounted below it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::fs::Stat;

use super::way::Way;

/// A file system.
#[derive(Debug)]
pub(super) struct System {
    device: i128,
    /// A directory in it.
    directory: OwnedFd,
    /// Found out when it is first asked for.
    way: OnceLock<Way>,
}

/// The file systems that entries of a run were taken to.
#[derive(Debug, Default)]
pub(super) struct Systems(Mutex<Vec<Arc<System>>>);

impl System {
    /// How a file without a name gets one there. `directory`: one in it.
    pub(super) fn way(&self, directory: &OwnedFd) -> Way {
        *self.way.get_or_init(|| Way::of(directory))
    }

    /// Before anybody has asked.
    #[cfg(test)]
    pub(super) fn set_way(&self, way: Way) {
        self.way.set(way).unwrap();
    }
}

impl Systems {
    /// The file system of a directory.
    pub(super) fn of(&self, directory: &OwnedFd, found: &Stat) -> io::Result<Arc<System>> {
        let device = found.st_dev.into();
        let mut systems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = systems.iter().find(|known| known.device == device) {
            return Ok(Arc::clone(known));
        }
        let system = System { device, directory: directory.try_clone()?, way: OnceLock::new() };
        let system = Arc::new(system);
        systems.push(Arc::clone(&system));
        Ok(system)
    }

    /// Waits until all of them have kept what was written to them (syncfs(2)).
    pub(super) fn flush(&self) -> io::Result<()> {
        let systems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        systems.iter().try_for_each(|system| flush(&system.directory))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn flush(directory: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::syncfs(directory)?)
}

/// All file systems; this tells of no failure.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn flush(directory: impl AsFd) -> io::Result<()> {
    rustix::fs::sync();
    Ok(rustix::fs::fsync(directory)?)
}
