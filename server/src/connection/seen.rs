//! A connection as the owner of the root sees it in `hauld status`, whichever worker runs it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::locks::{Mutex, Rank};
use crate::metrics::Speaks;
use crate::metrics::counter::Counter;

/// Letters of a client's own words that are kept.
const MOST: usize = 64;

/// One connection.
#[derive(Debug)]
pub(crate) struct Seen {
    /// When it came, in milliseconds of the server's clock.
    pub(crate) since: u64,
    /// When bytes last came or went.
    active: AtomicU64,
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
    words: Mutex<Words>,
}

/// The facts that change seldom.
#[derive(Debug, Default, Clone)]
pub(crate) struct Words {
    /// The address of the peer, or of the client for whom it last asked.
    pub(crate) peer: String,
    pub(crate) account: Option<String>,
    pub(crate) speaks: Option<Speaks>,
    pub(crate) over_tls: bool,
    /// The client's program, in its own words.
    pub(crate) agent: String,
    /// The command of the last request.
    pub(crate) last: &'static str,
}

impl Seen {
    pub(super) fn new(peer: &str, now: u64) -> Self {
        Self {
            since: now,
            active: AtomicU64::new(now),
            received: Counter::default(),
            sent: Counter::default(),
            words: Mutex::new(Rank::Seen, Words { peer: peer.to_owned(), ..Words::default() }),
        }
    }

    /// The facts as they are now.
    pub(crate) fn words(&self) -> Words {
        self.words.lock().clone()
    }

    /// When bytes last came or went, in milliseconds of the server's clock.
    pub(crate) fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }

    pub(super) fn moved(&self, now: u64) {
        self.active.store(now, Ordering::Relaxed);
    }

    pub(super) fn speaks(&self, speaks: Speaks, over_tls: bool) {
        let mut words = self.words.lock();
        (words.speaks, words.over_tls) = (Some(speaks), over_tls);
    }

    pub(super) fn is_from(&self, peer: &str) {
        self.words.lock().peer = peer.to_owned();
    }

    pub(super) fn is_of(&self, account: Option<String>) {
        self.words.lock().account = account;
    }

    pub(super) fn runs(&self, agent: &str) {
        self.words.lock().agent = agent.chars().take(MOST).collect();
    }

    pub(super) fn asks(&self, command: &'static str) {
        self.words.lock().last = command;
    }
}
