//! One of a run's connections, through all its losses: connects, works, and connects again.

use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::error::ConnectionError;
use crate::net::backoff;
use crate::net::connect::connect;
use crate::net::poller::Poller;
use crate::report::note::Note;
use crate::work::Item;
use crate::work::context::Run;

/// Time for which the client asks a server again that is busy when the run begins. The server may not have noticed yet
/// that the run before this one, about the same directory, has ended.
const BUSY: Duration = Duration::from_secs(1);

/// A slot: one connection after the other, with the same number at the server.
#[derive(Debug)]
struct Slot<'a> {
    run: &'a Run<'a>,
    /// Its number at the server.
    slot: usize,
    /// Its number in the work.
    number: usize,
    /// Number of attempts to connect again since the server last answered a request.
    attempts: u32,
    /// Whether the last attempt got as far as an answer to `hello`.
    greeted: bool,
    /// Items that the lost connection has left, to be sent when the server has fenced it.
    unfenced: Vec<Item>,
}

/// Works until there is nothing left to do, or this connection is given up and others are left.
///
/// # Errors
/// If the run can't go on.
pub fn run(run: &Run<'_>, slot: usize) -> Result<(), ConnectionError> {
    let mut poller = Poller::new().map_err(ConnectionError::Poller)?;
    let number = run.work.register(poller.waker());
    let slot = Slot { run, slot, number, attempts: 0, greeted: false, unfenced: Vec::new() };
    slot.live(&mut poller)
}

impl Slot<'_> {
    fn live(mut self, poller: &mut Poller) -> Result<(), ConnectionError> {
        let run = self.run;
        let begun = Instant::now();
        loop {
            let error = match self.connection(poller) {
                Ok(()) => return Ok(()),
                // The others have done everything meanwhile.
                Err(ConnectionError::Stopped) if !run.work.is_stopped() => return Ok(()),
                Err(error) => error,
            };
            if run.work.is_stopped() {
                return Err(error);
            }
            // A user who has mistyped the address wants to know at once.
            if !run.is_reached() {
                if !error.is_busy() || begun.elapsed() >= BUSY {
                    return Err(error);
                }
                // Each time a line in the server's log.
                self.attempts += 1;
                self.pause(poller)?;
                continue;
            }
            // Everything has been answered before it was lost.
            if run.work.is_finished() {
                return Ok(());
            }
            if !error.is_lost() {
                return if self.greeted { Err(error) } else { self.give_up(error) };
            }
            if self.attempts >= run.retries {
                return self.give_up(error);
            }
            self.attempts += 1;
            run.progress.reconnecting(self.attempts, run.retries, &error);
            self.pause(poller)?;
        }
    }

    /// One connection, to its end.
    fn connection(&mut self, poller: &mut Poller) -> Result<(), ConnectionError> {
        let run = self.run;
        self.greeted = false;
        let socket = connect(run.server, poller, &|| run.is_over())?;
        let mut connection = Connection::greet(run, self.number, self.slot, socket, poller)?;
        self.greeted = true;
        run.progress.connected();
        // The server has fenced the old connection: what is sent now comes after all that it had.
        run.work.put_back(self.number, std::mem::take(&mut self.unfenced));
        let result = connection.work();
        run.progress.disconnected();
        if connection.has_progress() {
            self.attempts = 0;
        }
        if let Err(error) = &result
            && error.is_lost()
        {
            run.lost();
            let left = connection.leave(error);
            self.unfenced = left.items;
            if left.culprit_gone {
                self.attempts = 0;
            }
        }
        result
    }

    /// Waits before the next attempt, unless nobody needs it any more.
    fn pause(&self, poller: &mut Poller) -> Result<(), ConnectionError> {
        let until = Instant::now() + backoff::pause(self.attempts);
        while !self.run.is_over() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            poller.wait(left).map_err(ConnectionError::Poller)?;
        }
        Ok(())
    }

    /// The others go on without this one; without others, the run ends.
    fn give_up(self, error: ConnectionError) -> Result<(), ConnectionError> {
        self.run.work.put_back(self.number, self.unfenced);
        if !self.run.is_last() {
            self.run.progress.note(Note::ConnectionGivenUp(error.to_string()));
            return Ok(());
        }
        if !error.is_lost() {
            return Err(error);
        }
        let source = Box::new(error);
        Err(ConnectionError::GaveUp { attempts: self.attempts, source })
    }
}
