//! What is given and not found by a walk: standard input, named streams, the output of a command.

use std::path::Path;
use std::sync::{Arc, Weak};

use super::policy::Links;
use super::{Plan, Root};
use crate::error::FileError;
use crate::source::command;
use crate::source::command::Line;
use crate::source::spool::{Opened, keep};
use crate::work::interrupt::Interrupt;

/// Where the bytes of a source come from.
#[derive(Debug, Clone, Default)]
pub enum Given {
    /// From what is found at its path.
    #[default]
    Path,
    /// From standard input, which is not read yet.
    Stdin,
    /// From a command, which is not started yet.
    Command(Line),
    /// From a file that is open.
    Opened(Arc<Opened>),
    /// From nowhere: it can't be sent.
    Failed(Arc<FileError>),
}

/// Reads whatever can be read only once, one after the other, before anything is sent: a server would wait meanwhile.
/// `false`: the user has had enough.
pub fn take(plan: &mut Plan, links: Links, interrupt: &Interrupt) -> bool {
    interrupt.begin(Weak::new());
    for root in &mut plan.roots {
        root.given = match take_one(root, links, interrupt) {
            Ok(given) => given,
            Err(error) => Given::Failed(Arc::new(error)),
        };
        if interrupt.is_set() {
            interrupt.end();
            return false;
        }
    }
    true
}

fn take_one(root: &mut Root, links: Links, interrupt: &Interrupt) -> Result<Given, FileError> {
    let stopped = || interrupt.is_set();
    let opened = match &root.given {
        Given::Stdin => stdin(&stopped)?,
        Given::Command(command) => command::output(command, &stopped)?,
        Given::Path => return named(root, links, &stopped),
        Given::Opened(_) | Given::Failed(_) => return Ok(root.given.clone()),
    };
    Ok(opened.map_or(Given::Path, |opened| Given::Opened(Arc::new(opened))))
}

/// Standard input, to be read to its end at once.
///
/// # Errors
/// If it is closed or a device.
#[cfg(unix)]
pub fn stdin_file() -> std::io::Result<std::fs::File> {
    crate::source::fifo::stdin()
}

/// Standard input, to be read to its end at once.
///
/// # Errors
/// If it is closed.
#[cfg(windows)]
pub fn stdin_file() -> std::io::Result<std::fs::File> {
    use std::os::windows::io::AsHandle;
    Ok(std::io::stdin().as_handle().try_clone_to_owned()?.into())
}

#[cfg(unix)]
fn stdin(stopped: &dyn Fn() -> bool) -> Result<Option<Opened>, FileError> {
    let input = crate::source::fifo::stdin().map_err(FileError::local("open"))?;
    keep(&input, u64::MAX, &|| crate::source::fifo::wait(&input, stopped))
}

/// There is no waiting here.
#[cfg(not(unix))]
fn stdin(stopped: &dyn Fn() -> bool) -> Result<Option<Opened>, FileError> {
    keep(std::io::stdin().lock(), u64::MAX, &|| !stopped())
}

#[cfg(unix)]
fn named(root: &mut Root, links: Links, stopped: &dyn Fn() -> bool) -> Result<Given, FileError> {
    use crate::source::Source;
    use crate::source::fifo::{Named, Stream, named};
    use crate::source::spool::settled;
    let opened = match named(&root.source, links)? {
        Named::Ordinary => return Ok(Given::Path),
        Named::Directory(path) => {
            root.source = path;
            return Ok(Given::Path);
        }
        Named::Opened(file) => {
            let source = settled(Source::of(file)?, u64::MAX, stopped)?;
            Some(Opened::from_source(source))
        }
        Named::Stream(file) => {
            let stream = Stream::new(file);
            keep(&stream, u64::MAX, &|| stream.wait(stopped))?
        }
    };
    Ok(opened.map_or(Given::Path, |opened| Given::Opened(Arc::new(opened))))
}

/// There are no such names here.
#[cfg(not(unix))]
fn named(_: &mut Root, _: Links, _: &dyn Fn() -> bool) -> Result<Given, FileError> {
    Ok(Given::Path)
}

/// Notes which descriptors are open; to be called before haul opens one.
#[cfg(unix)]
pub fn note_descriptors() {
    crate::source::descriptor::note();
}

/// There are no paths of descriptors here.
#[cfg(not(unix))]
pub fn note_descriptors() {}

/// Whether a path that the user names may be opened.
///
/// # Errors
/// If it leads to a descriptor that the user has not opened.
#[cfg(unix)]
pub fn check_descriptor(path: &Path) -> std::io::Result<()> {
    crate::source::descriptor::check(path)
}

/// There are no paths of descriptors here.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn check_descriptor(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Whether a path is a symlink to a descriptor.
#[cfg(unix)]
#[must_use]
pub fn is_descriptor(path: &Path) -> bool {
    crate::source::descriptor::is_descriptor(path)
}

/// Whether a path is a symlink to a descriptor.
#[cfg(not(unix))]
#[must_use]
pub fn is_descriptor(_: &Path) -> bool {
    false
}

/// Whether a name stands for standard input.
#[cfg(unix)]
#[must_use]
pub fn is_stdin(path: &Path) -> bool {
    crate::source::descriptor::is_stdin(path)
}

/// Whether a name stands for standard input.
#[cfg(not(unix))]
#[must_use]
pub fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}
