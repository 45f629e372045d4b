//! What a program of a hook writes, for the log: whole lines, a few of them, none of which moves a terminal.

use std::io;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::io::Errno;

/// Bytes of a line that the log shows.
const LONGEST: usize = 400;

/// Lines in each [`SPAN`] of time.
const LINES: u32 = 50;

const SPAN: Duration = Duration::from_secs(10);

/// The lines of one hook.
#[derive(Debug)]
pub(super) struct Output {
    hook: &'static str,
    /// The lines of a program that is hauld itself, in place of the log.
    kept: Option<String>,
    line: Vec<u8>,
    begun: Instant,
    told: u32,
    untold: u64,
}

impl Output {
    pub(super) fn new(hook: &'static str) -> Self {
        let begun = Instant::now();
        Self { hook, kept: None, line: Vec::new(), begun, told: 0, untold: 0 }
    }

    /// Of a hook whose program is hauld itself, and writes nothing but the reason for which it has failed.
    pub(super) fn kept(hook: &'static str) -> Self {
        Self { kept: Some(String::new()), ..Self::new(hook) }
    }

    /// The reason that was kept, since it was last taken.
    pub(super) fn reason(&mut self) -> Option<String> {
        let kept = self.kept.as_mut().map(std::mem::take);
        kept.filter(|reason| !reason.is_empty())
    }

    /// Reads all that is there from a pipe that does not block, but not without end; the pipe is closed at its end.
    pub(super) fn read(&mut self, pipe: &mut Option<OwnedFd>) {
        /// A program may write faster than anybody reads.
        const PIECES: usize = 16;
        let mut piece = [0; 4096];
        for _ in 0..PIECES {
            let Some(open) = pipe.as_ref() else { return };
            match rustix::io::read(open, &mut piece) {
                Ok(0) => *pipe = None,
                Ok(len) => self.take(&piece[..len]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(errno) => {
                    let error = io::Error::from(errno);
                    tracing::debug!(hook = self.hook, %error, "its output can't be read");
                    *pipe = None;
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LONGEST.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    /// The program has ended, or is about to be killed: reads the last bytes of its pipes. A last line needs no end.
    pub(super) fn end<const N: usize>(&mut self, pipes: [&mut Option<OwnedFd>; N]) {
        for pipe in pipes {
            self.read(pipe);
        }
        if !self.line.is_empty() {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if let Some(kept) = &mut self.kept {
            if kept.len() < LONGEST {
                let begin = if kept.is_empty() { "" } else { " " };
                kept.push_str(begin);
                kept.push_str(text.strip_prefix("hauld: ").unwrap_or(text));
            }
            return;
        }
        if self.begun.elapsed() >= SPAN {
            if self.untold > 0 {
                tracing::warn!(hook = self.hook, lines = self.untold, "wrote more");
            }
            (self.begun, self.told, self.untold) = (Instant::now(), 0, 0);
        }
        if self.told >= LINES {
            self.untold += 1;
            return;
        }
        self.told += 1;
        // The log shows no control character.
        tracing::info!(hook = self.hook, "{text}");
    }
}
