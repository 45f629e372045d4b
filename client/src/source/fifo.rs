//! Sources that are named and are no ordinary files: FIFOs, descriptors (`/dev/stdin`, `/dev/fd/63`), terminals.
//!
//! Such a source can be read only once, so its bytes are kept in a [file without a name](super::spool). A source that
//! can't be read to an end is refused by name.

use std::cell::Cell;
use std::fs::{File, FileType, Metadata};
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::descriptor::{self, own_descriptor, through_proc};
use crate::error::FileError;
use crate::source::links::Links;

/// Time between two looks whether the user has stopped the run.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// The source that a name of the command line stands for.
#[derive(Debug)]
pub(crate) enum Named {
    /// A file, directory or symlink, or nothing: the walk finds out.
    Ordinary,
    /// A descriptor of a file.
    Opened(File),
    /// A stream that is read to its end.
    Stream(File),
}

/// The path of the directory that a descriptor leads to; `None` for all other names.
pub(crate) fn directory(path: &Path) -> Option<PathBuf> {
    through_proc(path)?;
    descriptor::check(path).ok()?;
    path.metadata().ok().filter(Metadata::is_dir)?;
    path.canonicalize().ok()
}

/// Finds out what a name of the command line stands for, and opens it unless it is ordinary.
///
/// # Errors
/// If it can't be sent.
pub(crate) fn named(path: &Path, links: Links) -> Result<Named, FileError> {
    descriptor::check(path).map_err(FileError::local("open"))?;
    let Ok(itself) = path.symlink_metadata() else { return Ok(Named::Ordinary) };
    let descriptor = if itself.is_symlink() { through_proc(path) } else { None };
    if itself.is_symlink() && descriptor.is_none() && links != Links::Follow {
        return Ok(Named::Ordinary);
    }
    let found = if itself.is_symlink() { path.metadata() } else { Ok(itself) };
    let found = match found {
        Err(error) if descriptor.is_some() => return Err(FileError::local("open")(error)),
        Err(_) => return Ok(Named::Ordinary),
        Ok(found) => found,
    };
    let own = descriptor.as_deref().and_then(own_descriptor);
    let kind = found.file_type();
    let open = || super::open(path, Links::Follow).map_err(FileError::local("open"));
    match descriptor {
        None if found.is_file() || found.is_dir() => Ok(Named::Ordinary),
        Some(_) if found.is_file() => open().map(Named::Opened),
        Some(_) if found.is_dir() => {
            // It has no path any more, or the walk would go by that.
            Err(FileError::local("open")(io::ErrorKind::NotFound.into()))
        }
        _ if kind.is_fifo() => open().map(Named::Stream),
        _ if kind.is_socket() => match own.map(descriptor::duplicate) {
            Some(file) => file.map(Named::Stream).map_err(FileError::local("open")),
            None => Err(refused(kind)),
        },
        _ if may_be_terminal(&found) => {
            let file = open()?;
            if file.is_terminal() { Ok(Named::Stream(file)) } else { Err(refused(kind)) }
        }
        _ => Err(refused(kind)),
    }
}

/// Waits until there is something to read, or the end; `false` if that is not wanted any more.
pub(crate) fn wait(input: &impl AsFd, stopped: &dyn Fn() -> bool) -> bool {
    loop {
        if stopped() {
            return false;
        }
        match poll(&mut [PollFd::new(input, PollFlags::IN)], Some(&PAUSE)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            // A descriptor that can't be waited for is read at once.
            Ok(_) | Err(_) => return true,
        }
    }
}

/// Time that the first process may take to open a FIFO for writing.
const FIRST_WRITER: Duration = Duration::from_secs(10);

/// A stream that may be a FIFO which nobody has opened for writing yet: that is not its end, nor waited for without one.
#[derive(Debug)]
pub(crate) struct Stream {
    file: File,
    /// A process has it open for writing, or had.
    has_writer: Cell<bool>,
    opened: Instant,
}

impl Stream {
    /// One that is open.
    pub(crate) fn new(file: File) -> Self {
        let is_fifo = file.metadata().is_ok_and(|found| found.file_type().is_fifo());
        Self { file, has_writer: Cell::new(!is_fifo), opened: Instant::now() }
    }

    /// Waits until there is something to read, or the end, or for a moment while there is no writer; `false` if that is not
    /// wanted any more.
    pub(crate) fn wait(&self, stopped: &dyn Fn() -> bool) -> bool {
        if self.has_writer.get() {
            return wait(&self.file, stopped);
        }
        let mut polled = [PollFd::new(&self.file, PollFlags::IN)];
        // A writer that has come and gone leaves a hang-up.
        let _ = poll(&mut polled, Some(&PAUSE));
        self.has_writer.set(!polled[0].revents().is_empty());
        !stopped()
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&self.file).read(buffer);
        match &read {
            Ok(0) if !self.has_writer.get() => {
                if self.opened.elapsed() < FIRST_WRITER {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!(
                        "no process has opened it for writing for {} s",
                        FIRST_WRITER.as_secs()
                    ),
                ))
            }
            _ => {
                self.has_writer.set(true);
                read
            }
        }
    }
}

fn refused(kind: FileType) -> FileError {
    FileError::NoFile(if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else {
        "not a file"
    })
}

/// Only terminals end. Other devices are not even opened, since that alone has effects with some.
#[cfg(target_os = "linux")]
fn may_be_terminal(found: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    // Consoles and serial lines, the controlling terminal, pseudo-terminals.
    let device = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
    // Opening `/dev/ptmx` makes a new one.
    let is_terminal = matches!(device, (4 | 5 | 136..=143, _)) && device != (5, 2);
    found.file_type().is_char_device() && is_terminal
}

#[cfg(not(target_os = "linux"))]
fn may_be_terminal(found: &Metadata) -> bool {
    found.file_type().is_char_device()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn device_is_refused_unopened_and_file_left_to_the_walk() {
        for (path, is_ordinary) in [
            ("/dev/null", false),
            ("/dev/zero", false),
            ("/dev/ptmx", false),
            ("/proc/version", true),
        ] {
            let named = named(Path::new(path), Links::Copy);
            assert_eq!(matches!(named, Ok(Named::Ordinary)), is_ordinary, "{path}");
            assert_eq!(matches!(named, Err(FileError::NoFile("a device"))), !is_ordinary, "{path}");
        }
    }
}
