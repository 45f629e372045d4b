//! A link that delays and cuts the bytes sent over it, and that can fall silent.

use std::collections::VecDeque;

use haul_protocol::Time;

use crate::random::Random;

/// The way in which a connection is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Both sides learn of it at once.
    Reset,
    /// No bytes arrive any more, and nobody is told.
    Stall,
}

pub(crate) struct Link {
    pub(crate) to_server: Pipe,
    pub(crate) to_client: Pipe,
    pub(crate) is_stalled: bool,
}

pub(crate) struct Pipe {
    /// Pieces and when each arrives, in order.
    flight: VecDeque<(Time, Vec<u8>)>,
    latency: u64,
    capacity: usize,
    is_stalled: bool,
}

impl Link {
    pub(crate) fn new(latency: u64, capacity: usize) -> Self {
        let pipe = || Pipe { flight: VecDeque::new(), latency, capacity, is_stalled: false };
        Self { to_server: pipe(), to_client: pipe(), is_stalled: false }
    }

    pub(crate) fn stall(&mut self) {
        self.is_stalled = true;
        for pipe in [&mut self.to_server, &mut self.to_client] {
            pipe.is_stalled = true;
        }
    }
}

impl Pipe {
    /// Takes some of `bytes`: a random piece of those that fit. Returns its length.
    pub(crate) fn send(&mut self, bytes: &[u8], now: Time, random: &mut Random) -> usize {
        let room = self.capacity - self.flight.iter().map(|(_, piece)| piece.len()).sum::<usize>();
        let most = bytes.len().min(room);
        if most == 0 {
            return 0;
        }
        let len = random.length(most);
        let at = Time::from_millis(now.as_millis() + random.up_to(self.latency));
        let at = self.flight.back().map_or(at, |(last, _)| at.max(*last));
        self.flight.push_back((at, bytes[..len].to_vec()));
        len
    }

    /// The oldest piece, if it has arrived by now.
    pub(crate) fn arrived(&mut self, now: Time) -> Option<Vec<u8>> {
        if self.is_stalled {
            return None;
        }
        self.flight.pop_front_if(|(at, _)| *at <= now).map(|(_, piece)| piece)
    }

    /// When the next piece arrives.
    pub(crate) fn next(&self) -> Time {
        match self.flight.front() {
            Some((at, _)) if !self.is_stalled => *at,
            _ => Time::NEVER,
        }
    }
}
