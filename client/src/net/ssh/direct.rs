//! The direct way of a run over ssh: connections of their own, with TLS, to a port that the remote hauld opens for this run.
//!
//! The run begins over ssh at once. If the other way works, the connection over ssh takes no more work, and is the life line:
//! when it ends, hauld ends the others.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use haul_protocol::AccessToken;

use crate::error::ssh::Offer;

/// Time for one connection that goes the direct way to be made.
pub(crate) const LIMIT: Duration = Duration::from_secs(3);

/// The direct way of one run.
#[derive(Debug)]
pub struct Direct {
    /// Connections that the run may have this way.
    most: usize,
    offer: OnceLock<Offer>,
    /// Connections that were begun.
    begun: AtomicUsize,
    /// Connections that work.
    up: AtomicUsize,
    is_told: AtomicBool,
}

impl Direct {
    /// For so many connections.
    #[must_use]
    pub(crate) fn new(most: usize) -> Self {
        let (begun, up) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { most, offer: OnceLock::new(), begun, up, is_told: AtomicBool::new(false) }
    }

    /// The address to which a connection goes that shows this token, if it is the first one.
    pub(crate) fn first_to(&self, token: Option<&AccessToken>) -> Option<SocketAddr> {
        let offer = self.offer().filter(|_| token.is_some())?;
        (!self.is_told.swap(true, Ordering::AcqRel)).then_some(offer.address)
    }

    /// hauld offers a way.
    pub(crate) fn offered(&self, offer: Offer) {
        // There is one connection over ssh, and one offer.
        let _ = self.offer.set(offer);
    }

    /// The way that hauld has offered: every connection after the one over ssh goes it.
    pub(crate) fn offer(&self) -> Option<&Offer> {
        self.offer.get()
    }

    /// The slot of a run has a connection that works: the slots that are begun now. The one over ssh is followed by one that
    /// tries the way, and that one by all others.
    #[must_use]
    pub(crate) fn followers(&self, slot: usize) -> Range<usize> {
        let most = match slot {
            0 => self.most.min(1),
            _ => {
                self.up.fetch_add(1, Ordering::AcqRel);
                self.most
            }
        };
        if self.offer().is_none() {
            return 0..0;
        }
        let begun = self.begun.fetch_max(most, Ordering::AcqRel);
        begun + 1..most + 1
    }

    /// The connection of a slot is over; returns whether it was the last one of this way.
    pub(crate) fn left(&self, slot: usize) -> bool {
        slot > 0 && self.up.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether a slot leaves new work to others: the one over ssh, as long as others go the direct way.
    pub(crate) fn rests(&self, slot: usize) -> bool {
        slot == 0 && self.up.load(Ordering::Acquire) > 0
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::Pin;

    use super::*;

    fn offered(most: usize) -> Direct {
        let direct = Direct::new(most);
        let (address, pin) = ("127.0.0.1:1".parse().unwrap(), Pin([1; 32]));
        direct.offered(Offer { address, pin, token: AccessToken::new([1; 5], [2; 32]) });
        direct
    }

    #[test]
    fn one_connection_tries_the_way_and_the_others_follow_it_once() {
        let direct = offered(4);
        assert_eq!(direct.followers(0), 1..2);
        assert_eq!(direct.followers(1), 2..5);
        for slot in 2..5 {
            assert!(direct.followers(slot).is_empty());
        }
        assert!(Direct::new(4).followers(0).is_empty(), "nothing is offered");
    }

    #[test]
    fn connection_over_ssh_rests_while_others_work() {
        let direct = offered(2);
        let _ = direct.followers(0);
        assert!(!direct.rests(0));
        let _ = (direct.followers(1), direct.followers(2));
        assert!(direct.rests(0) && !direct.rests(1) && !direct.rests(2));
        assert!(!direct.left(1) && direct.rests(0));
        assert!(direct.left(2) && !direct.rests(0));
        assert!(!direct.left(0));
    }
}
