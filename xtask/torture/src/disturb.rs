//! The disturbances of a round, and their times: decided from the seed before the round begins.

use std::time::Duration;

use haul_tests::random::Random;

/// A disturbance.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    /// The server is killed, and started again after a while.
    KillServer { down: Duration },
    /// The server is asked to end, and started again.
    StopServer,
    /// The client is killed, and started again after a while.
    KillClient { pause: Duration },
    /// The client gets a SIGINT, and is started again when it has ended.
    Interrupt,
    /// Connections end.
    Cut { all: bool },
    /// Connections end in the middle of a piece.
    Truncate { all: bool },
    /// Connections carry nothing for a while, and then go on or end.
    Stall { all: bool, time: Duration, cut: bool },
    /// Connections are slow for a while.
    Delay { each: Duration, time: Duration },
    /// The disk has so many bytes left for a while.
    Fill { left: u64, time: Duration },
}

/// An action, and when it comes: when so many bytes more have passed, or after so long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) bytes: u64,
    pub(crate) within: Duration,
    pub(crate) action: Action,
}

/// The server's grace time.
pub(crate) const GRACE: Duration = Duration::from_millis(500);

/// The command of the clients of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Put,
    /// `sync` with `--delete`.
    Sync,
    /// The next version of the whole tree.
    Publish,
}

/// The plan of a round: its steps, its delays, and the options of its server.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) server: Vec<String>,
    pub(crate) verb: Verb,
    /// Time that each piece of 16 KiB takes when nothing is wrong: large files take their time then,
    /// so that they can be disturbed.
    pub(crate) pace: Duration,
    /// Chooses the connection of each step that is about one.
    pub(crate) random: Random,
}

impl Plan {
    /// Decides. `small` says that the disk can be filled.
    pub(crate) fn new(mut random: Random, small: bool, durability: &str) -> Self {
        let mut server = vec![String::from("--durability"), durability.to_owned()];
        if random.chance(50) {
            server.extend(["--body-timeout", "1s", "--header-timeout", "1s"].map(String::from));
        }
        if random.chance(50) {
            server.extend(["--keep-free", "0"].map(String::from));
        }
        server.extend([String::from("--grace"), format!("{}ms", GRACE.as_millis())]);
        let pace = Duration::from_micros(*random.pick(&[50, 200, 500, 1000]));
        let verb = *random.pick(&[Verb::Put, Verb::Sync, Verb::Publish]);
        let steps = (0..20 + random.below(40)).map(|_| step(&mut random, small)).collect();
        Self { steps, server, verb, pace, random }
    }
}

/// Any action. `small` says that the disk can be filled.
pub(crate) fn action(random: &mut Random, small: bool) -> Action {
    let mut millis = |least: u64, more: u64| Duration::from_millis(least + random.below(more));
    let (short, long, tiny) = (millis(0, 300), millis(50, 2500), millis(1, 15));
    let all = random.chance(50);
    match random.below(if small { 100 } else { 85 }) {
        0..18 => Action::KillServer { down: short },
        18..22 => Action::StopServer,
        22..36 => Action::KillClient { pause: short / 2 },
        36..42 => Action::Interrupt,
        42..52 => Action::Cut { all },
        52..64 => Action::Truncate { all },
        64..78 => Action::Stall { all, time: long, cut: random.chance(40) },
        78..85 => Action::Delay { each: tiny, time: long / 3 },
        _ => {
            let most = 1 << (10 + random.below(16));
            Action::Fill { left: random.below(most), time: long }
        }
    }
}

/// Any action, and when it comes.
pub(crate) fn step(random: &mut Random, small: bool) -> Step {
    let action = action(random, small);
    // Short steps are as frequent as long ones: some things come together, and others when a large
    // file is half there.
    let bytes = 1 << (12 + random.below(15));
    let millis = 1 << (5 + random.below(6));
    let (bytes, within) = (random.below(bytes), Duration::from_millis(10 + random.below(millis)));
    Step { bytes, within, action }
}

/// The options of the next client of a disturbed round.
pub(crate) fn client_options(random: &mut Random) -> Vec<String> {
    let connections = 1 + random.below(6);
    let timeout = random.pick(&["300ms", "700ms", "1500ms", "10s"]);
    let retries = random.pick(&["2", "10", "10", "30"]);
    ["--connections", &connections.to_string(), "--timeout", timeout, "--retries", retries]
        .map(String::from)
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_and_round_decide_the_same_and_others_do_not() {
        let plan =
            |seed, round| format!("{:?}", Plan::new(Random::new(seed, round), true, "group"));
        assert_eq!(plan(1, 1), plan(1, 1));
        assert_ne!(plan(1, 1), plan(1, 2));
        assert_ne!(plan(1, 1), plan(2, 1));
    }
}
