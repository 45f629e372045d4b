//! Logins that have failed, by address: after some in a minute, the server no longer answers them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use crate::locks::{Mutex, Rank};

/// Failed logins of one address in one minute that are answered.
const ANSWERED: u32 = 10;

/// A minute, in milliseconds.
const MINUTE: u64 = 60_000;

/// Addresses that are remembered. If more fail within a minute, the one that began first is forgotten.
const REMEMBERED: usize = 4096;

/// The origin of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// A Unix socket, or an address that is not known.
    Local,
    /// An address; of version 6 the first 64 bits, since one host has all of them.
    V4([u8; 4]),
    /// See above.
    V6([u8; 8]),
}

impl From<Option<SocketAddr>> for Origin {
    fn from(address: Option<SocketAddr>) -> Self {
        match address.map(|address| address.ip().to_canonical()) {
            None => Self::Local,
            Some(IpAddr::V4(address)) => Self::V4(address.octets()),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// The failed logins of the last minute.
#[derive(Debug)]
pub(super) struct Failures(Mutex<HashMap<Origin, Minute>>);

/// The minute that began with a failure, and the number of failures in it.
#[derive(Debug)]
struct Minute {
    began: u64,
    failures: u32,
}

impl Default for Failures {
    fn default() -> Self {
        Self(Mutex::new(Rank::Failures, HashMap::new()))
    }
}

impl Failures {
    /// Notes a failure at this moment, in milliseconds; tells whether it is answered.
    pub(super) fn note(&self, origin: Origin, now: u64) -> bool {
        let mut all = self.0.lock();
        if all.len() >= REMEMBERED && !all.contains_key(&origin) {
            all.retain(|_, minute| now < minute.began + MINUTE);
            let first = all.iter().min_by_key(|(_, minute)| minute.began).map(|(first, _)| *first);
            if let Some(first) = first.filter(|_| all.len() >= REMEMBERED) {
                all.remove(&first);
            }
        }
        let minute = all.entry(origin).or_insert(Minute { began: now, failures: 0 });
        if now >= minute.began + MINUTE {
            *minute = Minute { began: now, failures: 0 };
        }
        minute.failures = minute.failures.saturating_add(1);
        minute.failures <= ANSWERED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Some(text.parse::<SocketAddr>().unwrap()).into()
    }

    #[test]
    fn eleventh_failure_of_an_address_in_a_minute_is_not_answered() {
        let failures = Failures::default();
        let (one, other) = (origin("192.0.2.1:1"), origin("192.0.2.2:1"));
        assert!((0..10).all(|at| failures.note(one, at)));
        assert!(!failures.note(one, 10) && !failures.note(one, 59_999) && failures.note(other, 10));
        assert!(failures.note(one, 60_000));
    }

    #[test]
    fn host_is_one_origin_whatever_its_port_and_the_end_of_its_address() {
        assert_eq!(origin("192.0.2.1:1"), origin("[::ffff:192.0.2.1]:2"));
        assert_eq!(origin("[2001:db8::1]:1"), origin("[2001:db8::ffff:0:0:1]:2"));
        assert_ne!(origin("[2001:db8::1]:1"), origin("[2001:db8:0:1::1]:1"));
        assert_eq!(Origin::from(None), Origin::Local);
    }

    #[test]
    fn addresses_that_are_remembered_are_bounded() {
        let failures = Failures::default();
        for at in 0..REMEMBERED + 100 {
            let [_, _, a, b] = u32::try_from(at).unwrap().to_be_bytes();
            failures.note(Origin::V4([10, 0, a, b]), at as u64);
        }
        assert_eq!(failures.0.lock().len(), REMEMBERED);
    }
}
