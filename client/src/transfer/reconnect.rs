//! One of a run's connections, through all its losses: connects, works, and connects again. The runs of both directions
//! live so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::Waker;

use super::patience::Patience;
use crate::error::ConnectionError;
use crate::net::backoff;
use crate::net::poller::Poller;
use crate::report::note::Note;
use crate::report::progress::Progress;
use crate::work::demand::Demand;
use crate::work::reached::Reached;
use crate::work::settings::Settings;

/// Time for which the client asks a server again that is busy when the run begins. The server may not have noticed yet
/// that the run before this one, about the same directory, has ended.
const BUSY: Duration = Duration::from_secs(1);

/// A run of either direction, as its slots see it.
pub(crate) trait Connecting: Sync {
    /// One of its connections, from when its `hello` is answered.
    type Connection<'c>: Connected<Unfenced = Self::Unfenced>
    where
        Self: 'c;
    /// Work that a lost connection leaves for the time when the server has fenced it.
    type Unfenced: Default;

    /// The parts that every run has.
    fn shared(&self) -> Shared<'_>;

    /// Makes a slot known to the work, which wakes it when there is any; returns the slot's number there.
    fn register(&self, waker: Arc<Waker>) -> usize;

    /// The demand for connections besides the first.
    fn demand(&self) -> &Demand;

    /// Whether there will never be anything to do again.
    fn is_finished(&self) -> bool;

    /// Whether the user or an error has ended the run.
    fn is_stopped(&self) -> bool;

    /// Ends the run early; the first error is kept.
    fn stop(&self, error: ConnectionError);

    /// Connects, introduces the client, and waits for the answer.
    ///
    /// # Errors
    /// If there is no server that takes the connection, or the run is over.
    fn greet<'c>(
        &'c self,
        place: Place,
        poller: &'c mut Poller,
    ) -> Result<Self::Connection<'c>, ConnectionError>;

    /// Gives work that a lost connection of the slot has left to any connection.
    fn put_back(&self, number: usize, unfenced: Self::Unfenced);
}

/// A connection whose `hello` is answered.
pub(crate) trait Connected {
    /// As [`Connecting::Unfenced`].
    type Unfenced;

    /// Works until there is nothing left to do. `add` begins connections in more slots of the run.
    ///
    /// # Errors
    /// If the connection breaks, or the run is stopped.
    fn work(&mut self, add: &dyn Fn(usize)) -> Result<(), ConnectionError>;

    /// Whether the server has answered anything but `hello`.
    fn has_progress(&self) -> bool;

    /// Whether the server owes no answer.
    fn is_idle(&self) -> bool;

    /// The connection is over, for the reason that [`work`](Self::work) has given. Other connections get all work that it
    /// has left, but for the unfenced.
    fn leave(self, error: Option<&ConnectionError>) -> Left<Self::Unfenced>;
}

/// The remains of a connection.
#[derive(Debug, Default)]
pub(crate) struct Left<U> {
    /// Work that may be done again only when the connection has been replaced by one of the same slot.
    pub(crate) unfenced: U,
    /// Whether the request that is blamed for the loss was given up.
    pub(crate) culprit_gone: bool,
}

/// The parts of a run that its slots need, whatever the direction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) reached: &'a Reached,
    pub(crate) progress: &'a Progress,
    /// Connections that the run began with.
    pub(crate) connections: usize,
    /// The others begin when there is something for them. The user has said no number.
    pub(crate) on_demand: bool,
    /// The others wait until one is greeted.
    pub(crate) one_first: bool,
    /// A lost connection is made again.
    pub(crate) reconnects: bool,
}

/// The numbers of a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// In the work.
    pub(crate) number: usize,
    /// At the server.
    pub(crate) slot: usize,
}

/// A slot: one connection after the other, with the same number at the server.
struct Slot<'a, R: Connecting> {
    run: &'a R,
    shared: Shared<'a>,
    place: Place,
    /// The attempts to connect again since the server last answered something.
    patience: Patience,
    /// Begins connections in more slots.
    add: &'a dyn Fn(usize),
    /// Whether any attempt got as far as an answer to `hello`.
    was_greeted: bool,
    /// Whether the last attempt got as far as an answer to `hello`.
    greeted: bool,
    /// Left by the lost connection.
    unfenced: R::Unfenced,
    /// The request that broke the last connection is given up.
    culprit_gone: bool,
}

/// Works until there is nothing left to do, or this connection is given up and others are left. `add` begins
/// connections in more slots.
///
/// # Errors
/// If the run can't go on.
pub(crate) fn run<R: Connecting>(
    run: &R,
    slot: usize,
    add: &dyn Fn(usize),
) -> Result<(), ConnectionError> {
    let mut poller = Poller::new().map_err(ConnectionError::Poller)?;
    let shared = run.shared();
    let slot = Slot {
        run,
        shared,
        place: Place { number: run.register(poller.waker()), slot },
        patience: Patience::new(shared.settings.retry_for, shared.settings.retries),
        add,
        was_greeted: false,
        greeted: false,
        unfenced: R::Unfenced::default(),
        culprit_gone: false,
    };
    slot.live(&mut poller)
}

impl<R: Connecting> Slot<'_, R> {
    fn live(mut self, poller: &mut Poller) -> Result<(), ConnectionError> {
        let (run, Shared { reached, progress, .. }) = (self.run, self.shared);
        let begun = Instant::now();
        let mut asked = 0;
        loop {
            let error = match self.connection(poller) {
                Ok(()) => return Ok(()),
                // The others have done everything meanwhile.
                Err(ConnectionError::Stopped) if !run.is_stopped() => return Ok(()),
                Err(error) => error,
            };
            if run.is_stopped() {
                return Err(error);
            }
            // A user who has mistyped the address wants to know at once.
            if !reached.is_reached() {
                if !self.shared.reconnects || !error.is_busy() || begun.elapsed() >= BUSY {
                    return Err(error);
                }
                // Each time a line in the server's log.
                asked += 1;
                self.pause(poller, backoff::pause(asked))?;
                continue;
            }
            if run.is_finished() {
                // Everything is answered, or given up because of a server that has answered nothing.
                let is_mute = self.culprit_gone && reached.heard().is_none();
                return if is_mute { Err(Self::gave_up(0, error)) } else { Ok(()) };
            }
            // A connection that was added is worth no second attempt.
            if self.was_added() && !self.was_greeted {
                return self.give_up(error);
            }
            // The client can't rely on a server that it has worked with and that makes no sense now.
            if !error.is_lost() {
                return if self.greeted { Err(error) } else { self.give_up(error) };
            }
            let attempt = match self.shared.reconnects {
                true => self.patience.next(Instant::now(), reached.heard()),
                false => None,
            };
            let Some(attempt) = attempt else { return self.give_up(error) };
            progress.reconnecting(attempt, &error);
            self.pause(poller, backoff::pause(attempt.number).min(attempt.left))?;
        }
    }

    /// Whether the run has begun this slot later.
    fn was_added(&self) -> bool {
        self.place.slot >= self.shared.connections
    }

    /// Whether there is nothing left to do, or nothing shall be done any more.
    fn is_over(&self) -> bool {
        self.run.is_stopped() || self.run.is_finished()
    }

    /// One connection, to its end.
    fn connection(&mut self, poller: &mut Poller) -> Result<(), ConnectionError> {
        let (run, Shared { reached, progress, one_first, .. }) = (self.run, self.shared);
        (self.greeted, self.culprit_gone) = (false, false);
        if self.place.slot > 0 && one_first {
            reached.wait(|| self.is_over());
            if self.is_over() {
                return Err(ConnectionError::Stopped);
            }
        }
        let mut connection =
            run.greet(self.place, poller).map_err(|error| error.later(reached.is_reached()))?;
        (self.greeted, self.was_greeted) = (true, true);
        progress.connected();
        let up = Instant::now();
        // The server has fenced the old connection: what is sent now comes after all that it had.
        run.put_back(self.place.number, std::mem::take(&mut self.unfenced));
        let result = connection.work(self.add);
        progress.disconnected();
        // A server that is lost when it has had nothing to answer for a while is lost anew.
        let is_new = connection.is_idle() && up.elapsed() > backoff::LONGEST;
        if connection.has_progress() || is_new {
            self.patience.renew();
        }
        let error = result.as_ref().err();
        if error.is_some_and(ConnectionError::is_lost) {
            reached.lose();
            // It may not come again.
            run.demand().want();
        }
        let left = connection.leave(error);
        (self.unfenced, self.culprit_gone) = (left.unfenced, left.culprit_gone);
        // Without the request that has broken connection after connection the next one may hold.
        if left.culprit_gone {
            self.patience.renew();
        }
        result
    }

    /// Waits before the next attempt, unless nobody needs it any more.
    fn pause(&self, poller: &mut Poller, pause: Duration) -> Result<(), ConnectionError> {
        let until = Instant::now() + pause;
        while !self.is_over() {
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
        let attempts = self.patience.attempts();
        let is_worth_a_word = !self.was_added() || self.was_greeted;
        self.run.put_back(self.place.number, self.unfenced);
        self.run.demand().want();
        // The others went past ssh, and end with it.
        if !self.shared.reconnects && self.place.slot > 0 {
            self.shared.progress.note(Note::NotDirect(error.to_string()));
            return Ok(());
        }
        if self.shared.reconnects && !self.shared.reached.is_last() {
            if is_worth_a_word {
                self.shared.progress.note(Note::ConnectionGivenUp(error.to_string()));
            }
            return Ok(());
        }
        Err(if error.is_lost() { Self::gave_up(attempts, error) } else { error })
    }

    /// The error of a server that is lost for good.
    fn gave_up(attempts: u32, error: ConnectionError) -> ConnectionError {
        ConnectionError::GaveUp { attempts, source: Box::new(error) }
    }
}
