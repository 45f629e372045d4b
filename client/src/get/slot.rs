//! One of a run's connections, through all its losses: connects, works, and connects again.

use std::time::{Duration, Instant};

use super::connection::Connection;
use super::run::Run;
use crate::error::ConnectionError;
use crate::net::backoff;
use crate::net::poller::Poller;
use crate::report::note::Note;
use crate::transfer::patience::Patience;

/// Time for which the client asks a server again that is busy when the run begins.
const BUSY: Duration = Duration::from_secs(1);

/// Works until there is nothing left to do, or this connection is given up and others are left.
///
/// # Errors
/// If the run can't go on.
pub(super) fn run(run: &Run<'_>, slot: usize) -> Result<(), ConnectionError> {
    let mut poller = Poller::new().map_err(ConnectionError::Poller)?;
    let number = run.queue.register(poller.waker());
    let mut patience = Patience::new(run.wishes.retry_for, run.wishes.retries);
    let begun = Instant::now();
    let mut asked = 0;
    loop {
        let mut past = Past::default();
        let error = match connection(run, number, slot, &mut poller, &mut past) {
            Ok(()) => return Ok(()),
            Err(ConnectionError::Stopped) if !run.is_stopped() => return Ok(()),
            Err(error) => error,
        };
        // The connection has lost the task that the answer was about, and the client can't rely on such a server.
        let is_senseless = past.has_worked && !error.is_lost() && !error.is_busy();
        if run.is_stopped() || is_senseless {
            return Err(error);
        }
        // A user who has mistyped the address wants to know at once.
        if !run.is_reached() {
            if !error.is_busy() || begun.elapsed() >= BUSY {
                return Err(error);
            }
            asked += 1;
            pause(run, &mut poller, backoff::pause(asked))?;
            continue;
        }
        if run.queue.is_finished() {
            return Ok(());
        }
        if past.has_progress {
            patience.renew();
        }
        let attempt = match error.is_lost() || error.is_busy() {
            true => patience.next(Instant::now(), run.heard()),
            false => None,
        };
        let Some(attempt) = attempt else {
            return give_up(run, &patience, error);
        };
        run.progress.reconnecting(attempt, &error);
        pause(run, &mut poller, backoff::pause(attempt.number).min(attempt.left))?;
    }
}

/// The course of a connection that has ended.
#[derive(Debug, Default)]
struct Past {
    /// The server has greeted it.
    has_worked: bool,
    /// The server has answered more than `hello`.
    has_progress: bool,
}

/// One connection, to its end.
fn connection(
    run: &Run<'_>,
    number: usize,
    slot: usize,
    poller: &mut Poller,
    past: &mut Past,
) -> Result<(), ConnectionError> {
    // A token that the server does not take is one login that has failed, and not one for each connection.
    if slot > 0 {
        run.wait_until_reached();
        if run.is_over() {
            return Err(ConnectionError::Stopped);
        }
    }
    let mut connection = Connection::greet(run, number, slot, poller)
        .map_err(|error| error.later(run.is_reached()))?;
    run.reach();
    run.progress.connected();
    let result = connection.work();
    run.progress.disconnected();
    let has_progress = connection.has_progress();
    // Without the entry that has broken connection after connection the next one may hold.
    let culprit_gone = connection.leave(result.as_ref().err());
    *past = Past { has_worked: true, has_progress: has_progress || culprit_gone };
    result
}

/// Waits before the next attempt, unless nobody needs it any more.
fn pause(run: &Run<'_>, poller: &mut Poller, pause: Duration) -> Result<(), ConnectionError> {
    let until = Instant::now() + pause;
    while !run.is_over() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        poller.wait(left.min(super::connection::LOOK)).map_err(ConnectionError::Poller)?;
    }
    Ok(())
}

/// The others go on without this one; without others, the run ends.
fn give_up(
    run: &Run<'_>,
    patience: &Patience,
    error: ConnectionError,
) -> Result<(), ConnectionError> {
    if !run.is_last() {
        run.progress.note(Note::ConnectionGivenUp(error.to_string()));
        return Ok(());
    }
    if !error.is_lost() {
        return Err(error);
    }
    Err(ConnectionError::GaveUp { attempts: patience.attempts(), source: Box::new(error) })
}
