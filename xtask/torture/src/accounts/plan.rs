//! The passes of two accounts: decided from the seed before a pass begins.

use std::time::Duration;

use haul_tests::random::Random;

/// The command of a haul.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Put,
    /// `sync` with `--delete`.
    Sync,
    Publish,
}

/// One change of a source before a pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    /// Picks the file.
    pub(crate) file: u64,
    /// Its new length; `None` removes it.
    pub(crate) len: Option<usize>,
}

/// A pass: both accounts run haul, and put files by hand, while the server is killed.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    /// Of each account.
    pub(super) verbs: [Verb; 2],
    pub(super) changes: [Vec<Change>; 2],
    pub(super) connections: [u64; 2],
    /// Pauses before the server is killed once more.
    pub(super) kills: Vec<Duration>,
    /// The account that gets another token, and the pause before that.
    pub(super) rotation: Option<(usize, Duration)>,
}

impl Pass {
    pub(super) fn new(random: &mut Random) -> Self {
        let verbs = [Verb::Put, Verb::Sync, Verb::Publish];
        let verbs = [*random.pick(&verbs), *random.pick(&verbs)];
        let changes = verbs.map(|verb| changes(random, verb));
        let connections = [1 + random.below(4), 1 + random.below(4)];
        let kills = (0..random.below(4)).map(|_| Duration::from_millis(random.below(400)));
        let kills = kills.collect();
        let rotated = (random.index(2), Duration::from_millis(random.below(300)));
        let rotation = random.chance(40).then_some(rotated);
        Self { verbs, changes, connections, kills, rotation }
    }
}

/// Changes of a source before this command.
pub(crate) fn changes(random: &mut Random, verb: Verb) -> Vec<Change> {
    let change = |random: &mut Random| {
        // A put removes nothing.
        let len = match random.below(10) {
            0..2 if verb != Verb::Put => None,
            0 => Some(MIB + len(random, 4 * MIB)),
            _ => Some(len(random, 20 << 10)),
        };
        Change { file: random.number(), len }
    };
    (0..20).map(|_| change(random)).collect()
}

const MIB: usize = 1 << 20;

fn len(random: &mut Random, bound: usize) -> usize {
    random.index(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(seed: u64) -> Vec<Pass> {
        let mut random = Random::new(seed, 1);
        (0..100).map(|_| Pass::new(&mut random)).collect()
    }

    #[test]
    fn same_seed_decides_the_same_passes_and_others_do_not() {
        let text = |seed| format!("{:?}", passes(seed));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn every_verb_comes_and_a_put_removes_nothing() {
        let all = passes(3);
        let of = |pass: &Pass| pass.verbs.into_iter().zip(pass.changes.clone()).collect::<Vec<_>>();
        let each: Vec<_> = all.iter().flat_map(of).collect();
        for verb in [Verb::Put, Verb::Sync, Verb::Publish] {
            assert!(each.iter().any(|(of, _)| *of == verb), "{verb:?}");
        }
        let removes = |changes: &[Change]| changes.iter().any(|change| change.len.is_none());
        assert!(each.iter().any(|(verb, changes)| *verb == Verb::Sync && removes(changes)));
        assert!(!each.iter().any(|(verb, changes)| *verb == Verb::Put && removes(changes)));
        assert!(all.iter().any(|pass| pass.rotation.is_some() && !pass.kills.is_empty()));
    }
}
