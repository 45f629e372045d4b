//! A client that is held while it sends or gets, so that a test can act in the middle of a run.
//!
//! The client talks to the server through a [`Relay`] that stalls. Until the run has come as far as the test wants, the
//! relay passes on a step of bytes and stalls again. So an event holds the run, not a rate: a busy machine changes only
//! how long the test takes. The client must use one connection, and have [`LARGE`] bytes to send or get.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::client::ended;
use crate::eventually;
use crate::hauld::Hauld;
use crate::relay::{Event, Relay};

/// Bytes that no socket holds on their way: of those, at most 32 MiB are received and not read by a server that is slow, and
/// 4 MiB are sent and not received (tcp_rmem and tcp_wmem, tcp(7)). With fewer, the client could be done before the server begins.
pub const LARGE: u64 = 64 << 20;

/// Bytes that the relay passes on before it stalls again.
const STEP: u64 = 16 << 10;

/// Bytes after each of which the relay stalls for longer: what the test waits for may need no more bytes, but a disk that is slow.
const STAGE: u64 = LARGE / 8;

/// The longest of these stalls.
const PATIENCE: Duration = Duration::from_secs(10);

/// The bytes of a relay that count.
type Count = fn(&Relay) -> u64;

/// Lets an event happen at a number of these bytes.
type At = fn(&Relay, u64, Event);

/// A client that is held.
#[derive(Debug)]
pub struct Held {
    client: Child,
    relay: Relay,
}

impl Held {
    /// Starts the command, which gets the relay's address as that of the server, and holds it as soon as it is `ready`.
    pub fn start(
        server: &Hauld,
        command: impl FnOnce(&str) -> Command,
        ready: impl FnMut() -> bool,
    ) -> Self {
        Self::hold(server, command, ready, (Relay::passed, Relay::at))
    }

    /// The same for a client that gets files.
    pub fn start_get(
        server: &Hauld,
        command: impl FnOnce(&str) -> Command,
        ready: impl FnMut() -> bool,
    ) -> Self {
        Self::hold(server, command, ready, (Relay::brought, Relay::at_brought))
    }

    fn hold(
        server: &Hauld,
        command: impl FnOnce(&str) -> Command,
        mut ready: impl FnMut() -> bool,
        (count, at): (Count, At),
    ) -> Self {
        let mut stalled_at = STEP;
        let relay = Relay::start(server.address(), &[]).unwrap();
        at(&relay, stalled_at, Event::Stall);
        let mut command = command(relay.address());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = command.spawn().unwrap();
        loop {
            let mut has_ended = false;
            eventually("the client has sent or got a step more", || {
                has_ended = client.try_wait().unwrap().is_some();
                has_ended || count(&relay) >= stalled_at
            });
            if has_ended {
                let output = ended(client);
                let told = String::from_utf8_lossy(&output.stderr);
                panic!("the client ended before it was held, {}: {told}", output.status);
            }
            let begun = Instant::now();
            let is_stage = count(&relay) / STAGE > (stalled_at - STEP) / STAGE;
            loop {
                if ready() {
                    return Self { client, relay };
                }
                if !is_stage || begun.elapsed() > PATIENCE {
                    break;
                }
                std::thread::park_timeout(Duration::from_millis(2));
            }
            stalled_at = count(&relay) + STEP;
            at(&relay, stalled_at, Event::Stall);
            relay.now(Event::Resume);
        }
    }

    /// The client.
    pub fn client(&mut self) -> &mut Child {
        &mut self.client
    }

    /// Lets the client go on, to its end.
    #[must_use]
    pub fn go_on(self) -> Output {
        self.relay.now(Event::Resume);
        // The relay is there until the client has ended.
        ended(self.client)
    }

    /// Kills the client; the server loses its connection.
    pub fn kill(mut self) {
        self.client.kill().unwrap();
        self.client.wait().unwrap();
    }
}
