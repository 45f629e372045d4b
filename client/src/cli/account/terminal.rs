//! A line that the user types on the terminal and nobody sees.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use haul_protocol::Shown;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

/// Time between two looks whether a signal has come.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Asks for a line of so many bytes at most; `None` if `over` says that a signal has come. The terminal is in any case as it was before.
///
/// # Errors
/// If there is no terminal.
pub(super) fn read(
    prompt: &str,
    longest: usize,
    over: &dyn Fn() -> bool,
) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    // Without blocking: a signal has to be heard, or the terminal would stay silent.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut terminal = File::from(open("/dev/tty", flags, Mode::empty())?);
    let silent = Silent::new(terminal.try_clone()?)?;
    terminal.write_all(Shown(prompt).to_string().as_bytes())?;
    let mut line = Zeroizing::new(vec![0; longest]);
    let len = loop {
        if over() {
            break None;
        }
        poll(&mut [PollFd::new(&terminal.as_fd(), PollFlags::IN)], Some(&PAUSE))
            .or_else(|error| if error == rustix::io::Errno::INTR { Ok(0) } else { Err(error) })?;
        match terminal.read(&mut line) {
            Ok(len) => break Some(len),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    };
    drop(silent);
    // The end of the line was not shown either.
    terminal.write_all(b"\n")?;
    Ok(len.map(|len| {
        line.truncate(len);
        line
    }))
}

/// A terminal that shows nothing of what is typed, until it is dropped.
struct Silent {
    terminal: File,
    before: Termios,
}

impl Silent {
    fn new(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHO | LocalModes::ECHOE | LocalModes::ECHOK);
        modes.local_modes.remove(LocalModes::ECHONL);
        modes.local_modes.insert(LocalModes::ICANON | LocalModes::ISIG);
        // A shell would take back a terminal that shows nothing.
        for stops in [SpecialCodeIndex::VSUSP, SpecialCodeIndex::VQUIT] {
            modes.special_codes[stops] = DISABLED;
        }
        let silent = Self { terminal, before };
        // Input that was typed, and shown, before the question is no answer to it.
        tcsetattr(&silent.terminal, OptionalActions::Flush, &modes)?;
        Ok(silent)
    }
}

/// The code of a key that does nothing (`_POSIX_VDISABLE`).
#[cfg(any(target_os = "linux", target_os = "android"))]
const DISABLED: u8 = 0;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const DISABLED: u8 = 0xff;

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
