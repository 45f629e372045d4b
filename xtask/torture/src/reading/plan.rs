//! The passes of reading back: decided from the seed before a pass begins.

use std::time::Duration;

use haul_tests::random::Random;

use crate::disturb::{self, Action};

/// The command of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Sync,
    /// `sync` with `--delete`.
    Mirror,
}

/// One change of a file of a tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    /// Picks the file.
    pub(super) pick: u64,
    pub(super) what: What,
    pub(super) mode: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Other bytes, as many as before: the harder case.
    SameSize,
    /// Other bytes, so many.
    Size(usize),
    Remove,
    /// A new file of so many bytes.
    Add(usize),
}

/// One disturbance of the readers, after a pause.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) pause: Duration,
    pub(super) act: Act,
}

#[derive(Debug, Clone)]
pub(super) enum Act {
    Bad(Action),
    /// The writer gives files at the server other bytes.
    Write(Vec<Change>),
    /// Another `haul get` writes to the same target.
    Rival {
        connections: u64,
    },
    /// The server's root is elsewhere for a while.
    MoveRoot {
        time: Duration,
    },
}

/// A pass: a reader runs again and again while all kinds of things happen to it, and once in peace.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    pub(super) verb: Verb,
    /// Changes of the tree at the server before the pass.
    pub(super) there: Vec<Change>,
    /// Changes of the tree here before the pass.
    pub(super) here: Vec<Change>,
    pub(super) steps: Vec<Step>,
    /// Time that each piece of 16 KiB takes when nothing is wrong.
    pub(super) pace: Duration,
    /// Readers that get wait for the disk.
    pub(super) is_durable: bool,
    /// In the end the server's root is moved away, and a run that may remove all must remove nothing.
    pub(super) loses_root: bool,
}

/// Modes of files.
const MODES: [u32; 6] = [0o644, 0o644, 0o600, 0o444, 0o755, 0o640];

/// Changes that the writer makes at one time, at the most.
const TOGETHER: u64 = 12;

impl Pass {
    /// Decides. `small` says that the disk here can be filled.
    pub(super) fn new(random: &mut Random, small: bool) -> Self {
        let verb = *random.pick(&[Verb::Get, Verb::Get, Verb::Sync, Verb::Mirror, Verb::Mirror]);
        let there = (0..30).map(|_| Change::new(random, true)).collect();
        let here = (0..30).map(|_| Change::new(random, true)).collect();
        let steps = (0..12 + random.below(16)).map(|_| Step::new(random, small)).collect();
        let pace = Duration::from_micros(*random.pick(&[20, 100, 300, 600]));
        let (is_durable, loses_root) = (random.chance(30), random.chance(50));
        Self { verb, there, here, steps, pace, is_durable, loses_root }
    }
}

impl Change {
    /// `names`: names may come and go as well.
    fn new(random: &mut Random, names: bool) -> Self {
        let what = match random.below(if names { 100 } else { 75 }) {
            0..45 => What::SameSize,
            45..75 => What::Size(len(random)),
            75..88 => What::Remove,
            _ => What::Add(len(random)),
        };
        Self { pick: random.number(), what, mode: *random.pick(&MODES) }
    }
}

impl Step {
    fn new(random: &mut Random, small: bool) -> Self {
        let most = 1 << (4 + random.below(6));
        let pause = Duration::from_millis(random.below(most));
        let act = match random.below(100) {
            0..30 => {
                let changes = 1 + random.below(TOGETHER);
                Act::Write((0..changes).map(|_| Change::new(random, false)).collect())
            }
            30..38 => Act::Rival { connections: 1 + random.below(4) },
            38..42 => Act::MoveRoot { time: Duration::from_millis(random.below(300)) },
            _ => Act::Bad(disturb::action(random, small)),
        };
        Self { pause, act }
    }
}

const KIB: u64 = 1 << 10;

/// Bytes of a file: mostly small, now and then of a size that comes in parts.
pub(super) fn len(random: &mut Random) -> usize {
    let len = match random.below(100) {
        0..3 => 3 * 1024 * KIB + random.below(12 * 1024 * KIB),
        3..6 => *random.pick(&[1024 * KIB - 1, 1024 * KIB, 1024 * KIB + 1, 2048 * KIB]),
        6..14 => 32 * KIB + random.below(900 * KIB),
        14..18 => *random.pick(&[32 * KIB, 32 * KIB + 1, 16]),
        _ => 16 + random.below(6 * KIB),
    };
    usize::try_from(len).unwrap_or(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(seed: u64) -> Vec<Pass> {
        let mut random = Random::new(seed, 1);
        (0..100).map(|_| Pass::new(&mut random, true)).collect()
    }

    #[test]
    fn same_seed_decides_the_same_passes_and_others_do_not() {
        let text = |seed| format!("{:?}", passes(seed));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn every_kind_of_act_comes_and_no_name_comes_or_goes_while_a_reader_runs() {
        let all = passes(3);
        for verb in [Verb::Get, Verb::Sync, Verb::Mirror] {
            assert!(all.iter().any(|pass| pass.verb == verb), "{verb:?}");
        }
        let acts: Vec<_> = all.iter().flat_map(|pass| &pass.steps).map(|step| &step.act).collect();
        assert!(acts.iter().any(|act| matches!(act, Act::Rival { .. })));
        assert!(acts.iter().any(|act| matches!(act, Act::MoveRoot { .. })));
        assert!(acts.iter().any(|act| matches!(act, Act::Bad(Action::Fill { .. }))));
        assert!(acts.iter().any(|act| matches!(act, Act::Bad(Action::KillServer { .. }))));
        let written = acts.iter().filter_map(|act| match act {
            Act::Write(changes) => Some(changes),
            _ => None,
        });
        let keeps = |change: &Change| matches!(change.what, What::SameSize | What::Size(_));
        assert!(written.flatten().all(keeps));
        assert!(all.iter().flat_map(|pass| &pass.there).any(|change| !keeps(change)));
    }
}
