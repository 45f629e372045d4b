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
        let silent = Self { terminal, before };
        tcsetattr(&silent.terminal, OptionalActions::Flush, &modes)?;
        Ok(silent)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
