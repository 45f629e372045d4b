//! The terminal from which haul was started, wherever standard input and output lead.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read, Write};

use haul_protocol::Shown;
use terminal_size::terminal_size_of;
use zeroize::Zeroizing;

use super::console::fold;
#[cfg(unix)]
use super::silence::Silent;

/// The most bytes of a line that a user types.
const LONGEST: usize = 4096;

/// The columns of a terminal that does not tell.
const USUAL: usize = 80;

/// The terminal, for a question and its answer.
#[derive(Debug)]
pub(super) struct Terminal {
    input: File,
    output: File,
}

impl Terminal {
    /// Opens it.
    ///
    /// # Errors
    /// If there is none, or haul runs in the background: then nobody can type an answer.
    pub(super) fn open() -> io::Result<Self> {
        #[cfg(unix)]
        let (input, output) = {
            let both = File::options().read(true).write(true).open("/dev/tty")?;
            if rustix::termios::tcgetpgrp(&both)? != rustix::process::getpgrp() {
                return Err(io::Error::other("haul runs in the background"));
            }
            // Keys that were typed before the question are no answer.
            rustix::termios::tcflush(&both, rustix::termios::QueueSelector::IFlush)?;
            (both.try_clone()?, both)
        };
        #[cfg(not(unix))]
        let (input, output) = {
            let open = |name| File::options().read(true).write(true).open(name);
            (open("CONIN$")?, open("CONOUT$")?)
        };
        Ok(Self { input, output })
    }

    /// Writes a message, folded at words.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub(super) fn line(&mut self, text: &dyn Display) -> io::Result<()> {
        let text = Shown(text).to_string();
        self.lines(&fold::message(&text, self.columns()))
    }

    /// Writes a text, and behind it a word that can be copied whole.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub(super) fn fact(&mut self, text: &str, word: &dyn Display) -> io::Result<()> {
        self.lines(&fold::whole(text, &Shown(word).to_string(), self.columns()))
    }

    fn lines(&mut self, lines: &[String]) -> io::Result<()> {
        lines.iter().try_for_each(|line| writeln!(self.output, "{line}"))?;
        self.output.flush()
    }

    fn columns(&self) -> usize {
        terminal_size_of(&self.output).map_or(USUAL, |(width, _)| usize::from(width.0)).max(1)
    }

    /// Writes a text that the answer follows.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub(super) fn prompt(&mut self, text: &str) -> io::Result<()> {
        let lines = fold::fold(text.trim_end().split(' '), self.columns().saturating_sub(1));
        write!(self.output, "{} ", lines.join("\n"))?;
        self.output.flush()
    }

    /// Reads a line; `None` at the end of input, or if `is_over` says that nobody wants to know any more.
    ///
    /// # Errors
    /// If the terminal is gone, or the line is longer than any answer.
    pub(super) fn read(&mut self, is_over: &dyn Fn() -> bool) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let is_answered = self.read_into(&mut line, is_over)?;
        Ok(is_answered.then(|| String::from_utf8_lossy(&line).into_owned()))
    }

    /// The same of a line that nobody sees, behind a prompt. However it ends, the terminal is as it was before.
    ///
    /// # Errors
    /// If the terminal is gone or shows what is typed in any case, or the line is longer than any answer.
    #[cfg(unix)]
    pub(super) fn read_secret(
        &mut self,
        prompt: &str,
        is_over: &dyn Fn() -> bool,
    ) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let silent = Silent::new(self.input.try_clone()?)?;
        self.prompt(prompt)?;
        // With all its room from the start: a buffer that grows leaves copies behind.
        let mut line = Zeroizing::new(Vec::with_capacity(2 * LONGEST));
        let is_answered = self.read_into(&mut line, is_over)?;
        if is_answered {
            silent.answered();
            // The end of the line was not shown either.
            self.output.write_all(b"\n")?;
        }
        Ok(is_answered.then_some(line))
    }

    /// Reads a line into a buffer; returns whether there was one.
    fn read_into(&mut self, line: &mut Vec<u8>, is_over: &dyn Fn() -> bool) -> io::Result<bool> {
        let mut bytes = Zeroizing::new([0; 256]);
        loop {
            if is_over() {
                // The next message begins on a line of its own.
                self.output.write_all(b"\n")?;
                return Ok(false);
            }
            if !self.has_input()? {
                continue;
            }
            let len = match self.input.read(&mut *bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            line.extend_from_slice(&bytes[..len]);
            if len == 0 && line.is_empty() {
                self.output.write_all(b"\n")?;
                return Ok(false);
            }
            if len == 0 || line.ends_with(b"\n") {
                return Ok(true);
            }
            if line.len() > LONGEST {
                return Err(io::Error::other("the line is too long"));
            }
        }
    }

    /// Waits a moment for input.
    #[cfg(unix)]
    fn has_input(&self) -> io::Result<bool> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let moment = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        let mut polled = [PollFd::new(&self.input, PollFlags::IN)];
        match poll(&mut polled, Some(&moment)) {
            Err(rustix::io::Errno::INTR) => Ok(false),
            ready => Ok(ready? > 0),
        }
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "other platforms can wait")]
    fn has_input(&self) -> io::Result<bool> {
        Ok(true)
    }
}
