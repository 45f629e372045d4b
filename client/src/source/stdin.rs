//! Standard input and other descriptors, whatever the platform.

use std::path::Path;

use super::spool::{Opened, keep};
use crate::error::FileError;

/// Standard input, to be read to its end at once.
///
/// # Errors
/// If it is closed or a device.
#[cfg(unix)]
pub(crate) fn file() -> std::io::Result<std::fs::File> {
    super::descriptor::stdin()
}

/// Standard input, to be read to its end at once.
///
/// # Errors
/// If it is closed.
#[cfg(windows)]
pub(crate) fn file() -> std::io::Result<std::fs::File> {
    use std::os::windows::io::AsHandle;
    Ok(std::io::stdin().as_handle().try_clone_to_owned()?.into())
}

/// Standard input, read to its end.
///
/// # Errors
/// If it can't be.
#[cfg(unix)]
pub(crate) fn read(stopped: &dyn Fn() -> bool) -> Result<Option<Opened>, FileError> {
    let input = super::descriptor::stdin().map_err(FileError::local("open"))?;
    keep(&input, u64::MAX, &|| super::fifo::wait(&input, stopped))
}

/// Standard input, read to its end; there is no waiting here.
///
/// # Errors
/// If it can't be.
#[cfg(not(unix))]
pub(crate) fn read(stopped: &dyn Fn() -> bool) -> Result<Option<Opened>, FileError> {
    keep(std::io::stdin().lock(), u64::MAX, &|| !stopped())
}

/// Notes which descriptors are open; to be called before haul opens one.
#[cfg(unix)]
pub fn note_descriptors() {
    super::descriptor::note();
}

/// There are no paths of descriptors here.
#[cfg(not(unix))]
pub fn note_descriptors() {}

/// Whether a path that the user names may be opened.
///
/// # Errors
/// If it leads to a descriptor that the user has not opened.
#[cfg(unix)]
pub(crate) fn check_descriptor(path: &Path) -> std::io::Result<()> {
    super::descriptor::check(path)
}

/// There are no paths of descriptors here.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub(crate) fn check_descriptor(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Whether a path is a symlink to a descriptor.
#[cfg(unix)]
#[must_use]
pub(crate) fn is_descriptor(path: &Path) -> bool {
    super::descriptor::is_descriptor(path)
}

/// Whether a path is a symlink to a descriptor.
#[cfg(not(unix))]
#[must_use]
pub(crate) fn is_descriptor(_: &Path) -> bool {
    false
}

/// Opens a file that the user names for output: a file is emptied, and output to a descriptor comes after what others have
/// written. Also returns where the output begins.
///
/// # Errors
/// If it can't be written to.
#[cfg(unix)]
pub(crate) fn create(path: &Path) -> std::io::Result<(std::fs::File, u64)> {
    let mut file = super::descriptor::create(path)?;
    let start = super::descriptor::end_of_output(&mut file)?;
    Ok((file, start))
}

/// Opens a file that the user names for output, and empties it. Also returns where the output begins.
///
/// # Errors
/// If it can't be written to.
#[cfg(not(unix))]
pub(crate) fn create(path: &Path) -> std::io::Result<(std::fs::File, u64)> {
    Ok((std::fs::File::create(path)?, 0))
}

/// Whether a name stands for standard input.
#[cfg(unix)]
#[must_use]
pub(crate) fn is_stdin(path: &Path) -> bool {
    super::descriptor::is_stdin(path)
}

/// Whether a name stands for standard input.
#[cfg(not(unix))]
#[must_use]
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}
