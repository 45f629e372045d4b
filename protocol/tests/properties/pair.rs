//! Both halves of a connection, joined by a simulated link under simulated time, with a model of a store behind the
//! server: with any latency, pieces of any length, changes done in any order and connections lost at any moment, each
//! request has one outcome, acks are true, and nothing grows without bound.

use haul_protocol::{Owed, Time};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::pair_client::Client;
use crate::pair_link::{Link, Loss};
use crate::pair_server::Server;
use crate::random::Random;

/// Time that a server waits for its peer, by the peer's debt: header, body, request.
const PATIENCE: [u64; 3] = [10_000, 30_000, 300_000];

/// Simulated time after which all requests must be settled: a day.
const STUCK: Time = Time::from_millis(86_400_000);

/// One run of the simulation.
#[derive(Debug, Clone)]
struct Scenario {
    seed: u64,
    items: usize,
    /// The longest time that a piece is on its way, and that a change takes, in milliseconds.
    latency: u64,
    store: u64,
    /// Bytes that are on their way at most.
    capacity: usize,
    window: (u64, u64),
    losses: Vec<(u64, Loss)>,
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let loss = prop_oneof![Just(Loss::Reset), Just(Loss::Stall)];
    (
        any::<u64>(),
        0..120_usize,
        0..700_u64,
        prop_oneof![0..50_u64, 0..40_000_u64, 0..300_000_u64],
        prop_oneof![200..2000_usize, Just(1 << 20)],
        (1..200_u64, 2000..10_000_u64),
        vec((0..60_000_u64, loss), 0..5),
    )
        .prop_map(|(seed, items, latency, store, capacity, window, losses)| Scenario {
            seed,
            items,
            latency,
            store,
            capacity,
            window,
            losses,
        })
}

struct World {
    now: Time,
    random: Random,
    scenario: Scenario,
    client: Client,
    server: Server,
    link: Link,
}

impl World {
    fn new(scenario: Scenario) -> Self {
        let now = Time::from_millis(0);
        let mut random = Random::new(scenario.seed);
        Self {
            now,
            client: Client::new(scenario.items, now),
            server: Server::new(scenario.items, scenario.window, scenario.store, &mut random, now),
            link: Link::new(scenario.latency, scenario.capacity),
            random,
            scenario,
        }
    }

    /// Runs until the client has an outcome for each item and `until` has come.
    fn run(&mut self, until: Time) {
        while !self.client.is_settled() || self.now < until {
            assert!(self.now < STUCK, "nothing happens any more: {:?}", self.client);
            while self.turn() {}
            self.now = self.next_moment(until);
            self.lose();
            self.expire();
        }
    }

    /// Moves all bytes that can move now; returns whether any moved.
    fn turn(&mut self) -> bool {
        let Self { now, random, client, server, link, .. } = self;
        let mut moved = server.work(*now, random);
        moved |= client.send(*now, random);
        moved |= client.write(*now, random, &mut link.to_server);
        moved |= server.write(*now, random, &mut link.to_client);
        if let Some(bytes) = link.to_server.arrived(*now) {
            server.arrived(bytes);
            moved = true;
        }
        moved |= server.read(*now, random);
        if let Some(bytes) = link.to_client.arrived(*now) {
            let is_over = client.read(&bytes, *now, random, server);
            if is_over {
                self.reconnect();
            }
            moved = true;
        }
        self.check_bounds();
        moved
    }

    fn check_bounds(&self) {
        let (window_requests, window_bytes) = self.scenario.window;
        self.client.check_bounds(window_requests, window_bytes);
        self.server.check_bounds(window_requests);
    }

    /// The next moment at which an event may happen, at least a millisecond from now.
    fn next_moment(&self, until: Time) -> Time {
        let mut next = [
            self.link.to_server.next(),
            self.link.to_client.next(),
            self.server.next(),
            self.client.half.deadline(),
            self.server_deadline(),
        ]
        .into_iter()
        .min()
        .unwrap_or(Time::NEVER);
        if let Some((at, _)) = self.scenario.losses.first() {
            next = next.min(Time::from_millis(*at));
        }
        if self.client.is_settled() {
            next = next.min(until);
        }
        next.max(Time::from_millis(self.now.as_millis() + 1))
    }

    fn lose(&mut self) {
        while let Some((at, loss)) = self.scenario.losses.first().cloned() {
            if Time::from_millis(at) > self.now {
                break;
            }
            self.scenario.losses.remove(0);
            match loss {
                Loss::Stall => self.link.stall(),
                Loss::Reset => self.reconnect(),
            }
        }
    }

    /// When the server has waited long enough for its peer, or must say that it is still there.
    fn server_deadline(&self) -> Time {
        let half = &self.server.half;
        let owes = self.server.owes();
        let [header, body, request] = PATIENCE;
        let later = |since: Time, millis| Time::from_millis(since.as_millis() + millis);
        let peer = match half.owed(false, owes) {
            Owed::Header(since) | Owed::Close(since) => later(since, header),
            Owed::Body(since) | Owed::Reading(since) => later(since, body),
            Owed::Request(since) | Owed::First(since) => later(since, request),
            _ => Time::NEVER,
        };
        if owes && half.is_said() { peer.min(half.repeats_at()) } else { peer }
    }

    fn expire(&mut self) {
        if self.server_deadline() <= self.now {
            let half = &mut self.server.half;
            if self.server.tasks.is_empty() || half.repeats_at() > self.now {
                assert!(self.link.is_stalled, "a peer that is there was given up: {half:?}");
                self.reconnect();
            } else {
                half.repeat(self.now);
            }
        }
        if let Err(error) = self.client.half.expire(self.now) {
            assert!(self.link.is_stalled, "{error}, though the server is there");
            self.reconnect();
        }
    }

    /// The connection is lost for both sides; the client takes back its unanswered requests, and connects again.
    fn reconnect(&mut self) {
        self.link = Link::new(self.scenario.latency, self.scenario.capacity);
        self.server.reconnect(&mut self.random, self.now);
        self.client.reconnect(self.now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_request_has_one_outcome_whatever_the_link_does(mut scenario in scenario()) {
        scenario.losses.sort_by_key(|(at, _)| *at);
        let mut world = World::new(scenario);
        world.run(Time::from_millis(0));
        // Idle for ten minutes, in which losses may still come: pings keep the connection.
        let idle = Time::from_millis(world.now.as_millis() + 600_000);
        world.run(idle);
        prop_assert!(world.client.half.unanswered() <= 1, "only a ping may be on its way");
        prop_assert!(!world.server.owes() || world.link.is_stalled);
        world.client.check_end();
    }
}
