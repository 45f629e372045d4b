//! The rate of an account: its connections read no faster, and each byte is paid for, also those that come with the login.
//!
//! The first bytes of a connection, and of each request of HTTP, come before it is known whose they are. The account pays for
//! them as soon as it is known. If it has to go into debt for that, they wait until it is out of debt, and the debt is that of
//! all its connections: so a new connection brings no more than one that is there.

use super::step::Step;
use super::{Connection, LITTLE};
use crate::net::poller::Interest;
use crate::services::Services;

impl Connection {
    /// The bytes that may be read now; `None` if the account has sent as much as it may for the moment.
    pub(super) fn may_read(&mut self, services: &Services) -> Option<usize> {
        if self.is_before_login() {
            // Few, as they may have to wait.
            return Some(if self.needs_account(services) { LITTLE } else { usize::MAX });
        }
        let (meter, now) = (self.meter.as_mut()?, services.now());
        let asked = meter.may_read(now);
        self.heard(asked, now).map(|most| most.unwrap_or(usize::MAX))
    }

    /// Whether the account is out of the debt that the bytes have made which came before its login.
    pub(super) fn has_paid(&mut self, now: u64) -> bool {
        let asked = self.meter.as_mut().map_or(Ok(()), |meter| meter.is_out_of_debt(now));
        self.in_debt = self.heard(asked, now).is_none();
        !self.in_debt
    }

    /// Bytes were read: the account pays for them, at once or when it is known.
    pub(super) fn pay_for_read(&mut self, bytes: usize) {
        self.unpaid = 0;
        match &self.meter {
            Some(meter) if !self.is_before_login() => drop(meter.has_read(bytes)),
            _ => self.unpaid = bytes,
        }
    }

    /// The account is known.
    pub(super) fn pay_for_login(&mut self) {
        let bytes = std::mem::take(&mut self.unpaid);
        if let Some(meter) = &self.meter
            && bytes > 0
        {
            self.in_debt = meter.has_read(bytes);
        }
    }

    /// Nothing is read. The timer wakes the connection.
    pub(super) fn wait_for_rate(&mut self, answers: Interest) -> Step {
        (self.held_up, self.waits_for_rate) = (true, true);
        Step::Wait(answers)
    }

    /// Whether the bytes that come next are nobody's yet: over one connection of a proxy come requests of several accounts.
    fn is_before_login(&self) -> bool {
        self.meter.is_none() || self.half.is_before_head()
    }

    /// The answer of the meter: the moment at which to ask again is remembered.
    fn heard<T>(&mut self, asked: Result<T, u64>, now: u64) -> Option<T> {
        match asked {
            Ok(answer) => {
                if self.throttled.take().is_some() {
                    self.freed = now;
                }
                Some(answer)
            }
            Err(at) => {
                self.throttled = Some(at);
                None
            }
        }
    }
}
