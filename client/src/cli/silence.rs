//! A terminal that shows nothing of what is typed.

use std::fs::File;
use std::io;

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// The code of a key that does nothing (`_POSIX_VDISABLE`).
#[cfg(any(target_os = "linux", target_os = "android"))]
const DISABLED: u8 = 0;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const DISABLED: u8 = 0xff;

/// While this is held, the terminal shows nothing of what is typed.
pub(super) struct Silent {
    terminal: File,
    before: Termios,
    is_answered: bool,
}

impl Silent {
    /// Silences a terminal. Input that was typed, and shown, before is dropped.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn new(terminal: File) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut modes = before.clone();
        let shown = LocalModes::ECHO | LocalModes::ECHOE | LocalModes::ECHOK | LocalModes::ECHONL;
        modes.local_modes.remove(shown);
        modes.local_modes.insert(LocalModes::ICANON | LocalModes::ISIG);
        // Ctrl-Z and Ctrl-\ do nothing: haul could not bring the terminal back.
        for stops in [SpecialCodeIndex::VSUSP, SpecialCodeIndex::VQUIT] {
            modes.special_codes[stops] = DISABLED;
        }
        let silent = Self { terminal, before, is_answered: false };
        tcsetattr(&silent.terminal, OptionalActions::Flush, &modes)?;
        Ok(silent)
    }

    /// The line was read. Without that, all that was typed is dropped in the end: the shell would show it.
    pub(super) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let when = match self.is_answered {
            true => OptionalActions::Now,
            false => OptionalActions::Flush,
        };
        let _ = tcsetattr(&self.terminal, when, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::os::unix::ffi::OsStrExt;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    use super::*;

    fn has_input(terminal: &File, seconds: i64) -> bool {
        let wait = Timespec { tv_sec: seconds, tv_nsec: 0 };
        poll(&mut [PollFd::new(terminal, PollFlags::IN)], Some(&wait)).unwrap() > 0
    }

    #[test]
    fn input_that_is_no_answer_is_left_for_nobody() {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let path = ptsname(&person, Vec::new()).unwrap();
        let path = OsStr::from_bytes(path.as_bytes());
        let terminal = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut person = File::from(person);
        for is_answered in [false, true] {
            let silent = Silent::new(terminal.try_clone().unwrap()).unwrap();
            person.write_all(b"haul_hunter2\n").unwrap();
            assert!(has_input(&terminal, 10));
            if is_answered {
                silent.answered();
            } else {
                drop(silent);
            }
            assert_eq!(has_input(&terminal, 0), is_answered);
        }
    }
}
