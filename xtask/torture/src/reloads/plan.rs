//! The passes of a server whose owner changes everything: decided from the seed before a pass begins.

use std::time::Duration;

use haul_tests::random::Random;

use crate::accounts::{Change, Verb, changes};
use crate::tus;

/// Settings of the server's file.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// `max-file` in bytes: that which clients are told tells which settings count.
    pub(super) max_file: u64,
    lines: Vec<String>,
}

/// A fault of a file of settings.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Key,
    Value,
    /// It ends within a line.
    Half,
    Missing,
}

/// One thing that the owner does, or that happens to the server.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Other settings, and SIGHUP.
    Reload(Settings),
    /// Settings that are wrong, and SIGHUP.
    WrongReload(Settings, Fault),
    /// Another account comes.
    AddGuest,
    /// The last of these goes.
    RemoveGuest,
    /// An account gets another token.
    Rotate(usize),
    /// An account gets other limits.
    Limits(usize),
    /// The file of accounts is wrong for a while.
    WrongAccounts,
    /// Another certificate for the same key.
    Certificate,
    /// SIGTERM, and another start.
    Stop,
    Kill {
        down: Duration,
    },
    /// Connections end.
    Cut {
        all: bool,
        pick: usize,
    },
}

/// A pass.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    /// Of each account's runs of haul.
    pub(super) verbs: [Verb; 2],
    pub(super) changes: [Vec<Change>; 2],
    pub(super) connections: [u64; 2],
    pub(super) uploads: Vec<tus::Plan>,
    /// Acts, and the pause before each.
    pub(super) steps: Vec<(Duration, Act)>,
    /// Time that each piece of 16 KiB takes.
    pub(super) pace: Duration,
    /// After the pass the server gets another key.
    pub(super) switches_key: bool,
}

impl Settings {
    pub(super) fn new(random: &mut Random) -> Self {
        let max_file = (64 << 20) + random.below(1 << 30);
        let mut lines = vec![format!("max-file = {max_file}")];
        let mut may_have = |name: &str, values: &[&str]| {
            if random.chance(60) {
                lines.push(format!("{name} = \"{}\"", random.pick(values)));
            }
        };
        may_have("grace", &["0s", "200ms", "1s"]);
        may_have("keep-free", &["0", "1MiB"]);
        may_have("keep-partials", &["1h", "7d"]);
        may_have("header-timeout", &["5s", "20s"]);
        may_have("body-timeout", &["5s", "30s"]);
        may_have("idle-timeout", &["10s", "10m"]);
        may_have("symlinks", &["inside", "none"]);
        // Counts at the next start only.
        may_have("metrics", &["127.0.0.1:0"]);
        Self { max_file, lines }
    }

    /// The file.
    pub(super) fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line, "\n"]).collect()
    }

    /// The file with a fault; none if it is missing.
    pub(super) fn wrong(&self, fault: Fault) -> Option<String> {
        let text = self.text();
        match fault {
            Fault::Key => Some(text + "max-fil = 1\n"),
            Fault::Value => Some(text + "window-requests = \"many\"\n"),
            Fault::Half => Some(text + "durability = \"gro"),
            Fault::Missing => None,
        }
    }
}

impl Pass {
    /// Decides.
    pub(super) fn new(random: &mut Random) -> Self {
        let verb = |random: &mut Random| *random.pick(&[Verb::Put, Verb::Sync]);
        let verbs = [verb(random), verb(random)];
        let changes = verbs.map(|verb| changes(random, verb));
        let connections = [1 + random.below(4), 1 + random.below(4)];
        let uploads = (0..1 + random.below(3)).map(|_| tus::Plan::new(random)).collect();
        let mut rotated = [false; 2];
        let mut steps = Vec::new();
        for _ in 0..5 + random.below(10) {
            let act = act(random);
            // An older token than the last one is not kept.
            if let Act::Rotate(who) = act
                && std::mem::replace(&mut rotated[who], true)
            {
                continue;
            }
            steps.push((Duration::from_millis(random.below(250)), act));
        }
        let pace = Duration::from_micros(*random.pick(&[50, 200, 500]));
        let switches_key = random.chance(30);
        Self { verbs, changes, connections, uploads, steps, pace, switches_key }
    }
}

fn act(random: &mut Random) -> Act {
    match random.below(100) {
        0..16 => Act::Reload(Settings::new(random)),
        16..28 => {
            let faults = [Fault::Key, Fault::Value, Fault::Half, Fault::Missing];
            Act::WrongReload(Settings::new(random), *random.pick(&faults))
        }
        28..34 => Act::AddGuest,
        34..39 => Act::RemoveGuest,
        39..45 => Act::Rotate(random.index(2)),
        45..51 => Act::Limits(random.index(2)),
        51..56 => Act::WrongAccounts,
        56..64 => Act::Certificate,
        64..77 => Act::Stop,
        77..91 => Act::Kill { down: Duration::from_millis(random.below(200)) },
        _ => Act::Cut { all: random.chance(50), pick: random.index(64) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_decides_the_same_passes_and_others_do_not() {
        let text = |seed| {
            let mut random = Random::new(seed, 1);
            format!("{:?}", (0..20).map(|_| Pass::new(&mut random)).collect::<Vec<_>>())
        };
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn no_account_gets_two_tokens_in_one_pass() {
        let mut random = Random::new(1, 1);
        for _ in 0..200 {
            let pass = Pass::new(&mut random);
            for who in 0..2 {
                let is_own = |act: &Act| matches!(act, Act::Rotate(of) if *of == who);
                assert!(pass.steps.iter().filter(|(_, act)| is_own(act)).count() <= 1);
            }
        }
    }
}
