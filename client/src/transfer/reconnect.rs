//! One of a run's connections, through all its losses: connects, works, and connects again.

use std::time::{Duration, Instant};

use super::patience::Patience;
use crate::connection::Connection;
use crate::error::ConnectionError;
use crate::net::backoff;
use crate::net::line::Facts;
use crate::net::poller::Poller;
use crate::report::note::Note;
use crate::work::Item;
use crate::work::context::Run;

/// Time for which the client asks a server again that is busy when the run begins. The server may not have noticed yet
/// that the run before this one, about the same directory, has ended.
const BUSY: Duration = Duration::from_secs(1);

/// A slot: one connection after the other, with the same number at the server.
struct Slot<'a> {
    run: &'a Run<'a>,
    /// Its number at the server.
    slot: usize,
    /// Its number in the work.
    number: usize,
    /// The attempts to connect again since the server last answered something.
    patience: Patience,
    /// Begins connections in more slots.
    add: &'a dyn Fn(usize),
    /// Whether any attempt got as far as an answer to `hello`.
    was_greeted: bool,
    /// Whether the last attempt got as far as an answer to `hello`.
    greeted: bool,
    /// Items that the lost connection has left, to be sent when the server has fenced it.
    unfenced: Vec<Item>,
}

/// Works until there is nothing left to do, or this connection is given up and others are left. `add` begins
/// connections in more slots.
///
/// # Errors
/// If the run can't go on.
pub fn run(run: &Run<'_>, slot: usize, add: &dyn Fn(usize)) -> Result<(), ConnectionError> {
    let mut poller = Poller::new().map_err(ConnectionError::Poller)?;
    let number = run.work.register(poller.waker());
    let patience = Patience::new(run.retry_for, run.retries);
    let slot = Slot {
        run,
        slot,
        number,
        patience,
        add,
        was_greeted: false,
        greeted: false,
        unfenced: Vec::new(),
    };
    slot.live(&mut poller)
}

impl Slot<'_> {
    fn live(mut self, poller: &mut Poller) -> Result<(), ConnectionError> {
        let run = self.run;
        let begun = Instant::now();
        let mut asked = 0;
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
                asked += 1;
                self.pause(poller, backoff::pause(asked))?;
                continue;
            }
            // Everything has been answered before it was lost.
            if run.work.is_finished() {
                return Ok(());
            }
            // A connection that was added is worth no second attempt.
            if self.slot >= run.connections && !self.was_greeted {
                return self.give_up(error);
            }
            if !error.is_lost() {
                return if self.greeted { Err(error) } else { self.give_up(error) };
            }
            let Some(attempt) = self.patience.next(Instant::now(), run.heard()) else {
                return self.give_up(error);
            };
            run.progress.reconnecting(attempt, &error);
            self.pause(poller, backoff::pause(attempt.number).min(attempt.left))?;
        }
    }

    /// One connection, to its end.
    fn connection(&mut self, poller: &mut Poller) -> Result<(), ConnectionError> {
        let run = self.run;
        self.greeted = false;
        // A token that the server does not take is one login that has failed, and not one for each connection.
        if self.slot > 0 && run.login.token().is_some() {
            run.wait_until_reached();
            if run.is_over() {
                return Err(ConnectionError::Stopped);
            }
        }
        let mut connection = Connection::greet(run, self.number, self.slot, poller)
            .map_err(|error| error.later(run.is_reached()))?;
        (self.greeted, self.was_greeted) = (true, true);
        run.progress.connected();
        let up = Instant::now();
        // The server has fenced the old connection: what is sent now comes after all that it had.
        run.work.put_back(self.number, std::mem::take(&mut self.unfenced));
        let result = connection.work(self.add);
        if let Some((algorithm, Facts { round_trip, retransmits })) = connection.line() {
            let connection = self.slot + 1;
            run.progress.detail(Note::Line { connection, algorithm, round_trip, retransmits });
        }
        run.progress.disconnected();
        // A server that is lost when it has had nothing to answer for a while is lost anew.
        let is_new = connection.is_idle() && up.elapsed() > backoff::LONGEST;
        if connection.has_progress() || is_new {
            self.patience.renew();
        }
        if let Err(error) = &result
            && error.is_lost()
        {
            run.lost();
            let left = connection.leave(error);
            self.unfenced = left.items;
            if left.culprit_gone {
                self.patience.renew();
            }
        }
        result
    }

    /// Waits before the next attempt, unless nobody needs it any more.
    fn pause(&self, poller: &mut Poller, pause: Duration) -> Result<(), ConnectionError> {
        let until = Instant::now() + pause;
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
            if self.slot < self.run.connections || self.was_greeted {
                self.run.progress.note(Note::ConnectionGivenUp(error.to_string()));
            }
            return Ok(());
        }
        if !error.is_lost() {
            return Err(error);
        }
        let source = Box::new(error);
        Err(ConnectionError::GaveUp { attempts: self.patience.attempts(), source })
    }
}
