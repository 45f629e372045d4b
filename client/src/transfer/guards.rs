//! Guards and figures that the threads of every run share, of those that send and of those that read back.

use std::io;
use std::thread;

use haul_protocol::Token;

use crate::report::progress::Progress;
use crate::work::more::MOST;

/// The number of connections if nobody says otherwise: each costs the server little and the client one thread that
/// hashes, so one a core; at least two, so that one connection moves bytes while another waits.
pub(crate) fn connections() -> usize {
    thread::available_parallelism().map_or(2, usize::from).clamp(2, MOST)
}

/// The name of a client, random for each run.
///
/// # Errors
/// If the system has no random bytes.
pub(crate) fn client() -> io::Result<String> {
    let mut client = [0; 16];
    getrandom::fill(&mut client).map_err(io::Error::other)?;
    Ok(Token(client).to_string())
}

/// Stops a run if its thread panics: a bug in one thread must not leave the others waiting for it.
pub(crate) struct StopOnPanic<F: Fn()>(pub(crate) F);

impl<F: Fn()> Drop for StopOnPanic<F> {
    fn drop(&mut self) {
        if thread::panicking() {
            (self.0)();
        }
    }
}

/// The observer's thread waits for nothing more, however the others end.
pub(crate) struct EndOnDrop<'a>(pub(crate) &'a Progress);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
