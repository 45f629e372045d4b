//! The passes of resumable uploads: decided from the seed before a pass begins.

use std::time::Duration;

use haul_tests::random::Random;

use crate::disturb::{self, Action, Step};

/// The dialect that an upload's client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// tus 1.0.
    Tus,
    /// tus 1.0; the length is told with the last bytes.
    Deferred,
    /// The draft of the IETF.
    Draft,
}

/// An upload.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) dialect: Dialect,
    pub(crate) size: u64,
    /// Bytes that come with the request that begins the upload.
    pub(crate) first: u64,
    /// Clients that send it at once.
    pub(crate) senders: u64,
    /// At this offset its client removes it.
    pub(crate) removed_at: Option<u64>,
    /// The file takes the place of an older one, if there is one: that which this leads to.
    pub(crate) replaces: Option<u64>,
    pub(crate) mtime: Option<u64>,
    /// Seed of the decisions of its clients.
    pub(crate) seed: u64,
}

/// A pass: uploads, and the disturbances while they are under way.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    pub(crate) uploads: Vec<Plan>,
    pub(crate) steps: Vec<Step>,
    /// Time that each piece of 16 KiB takes when nothing is wrong.
    pub(crate) pace: Duration,
}

/// Bytes between two marks that the server sets in the journal of an upload; most large files are around a multiple.
const PART: u64 = 8 << 20;

impl Pass {
    /// Decides. `small` says that the disk can be filled.
    pub(crate) fn new(random: &mut Random, small: bool) -> Self {
        let uploads = (0..4 + random.below(5)).map(|_| Plan::new(random)).collect();
        let pace = Duration::from_micros(*random.pick(&[50, 200, 500, 1000]));
        let steps = (0..6 + random.below(14)).map(|_| step(random, small)).collect();
        Self { uploads, steps, pace }
    }
}

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Self {
        let dialects = [Dialect::Tus, Dialect::Tus, Dialect::Deferred, Dialect::Draft];
        let dialect = *random.pick(&dialects);
        let size = size(random);
        let first = match random.below(10) {
            0..6 => 0,
            6..9 => random.below(size + 1),
            _ => size,
        };
        let senders = if random.chance(35) { 2 } else { 1 };
        let removed_at = random.chance(15).then(|| random.below(size + 1)).filter(|at| *at < size);
        let replaces = random.chance(30).then(|| random.number());
        let mtime = random.chance(50).then(|| 1_600_000_000 + random.below(100_000_000));
        let first = first.min(removed_at.unwrap_or(size));
        Self { dialect, size, first, senders, removed_at, replaces, mtime, seed: random.number() }
    }
}

fn size(random: &mut Random) -> u64 {
    match random.below(100) {
        0..4 => 0,
        4..30 => 1 + random.below(64 << 10),
        30..55 => random.below(1 << 20),
        55..75 => PART * (1 + random.below(2)) - 2 + random.below(5),
        _ => random.below(3 * PART),
    }
}

/// A disturbance of the server, the network or the disk: clients are disturbed by their own decisions.
fn step(random: &mut Random, small: bool) -> Step {
    loop {
        let step = disturb::step(random, small);
        if !matches!(step.action, Action::KillClient { .. } | Action::Interrupt) {
            return step;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(seed: u64) -> Vec<Pass> {
        let mut random = Random::new(seed, 1);
        (0..50).map(|_| Pass::new(&mut random, true)).collect()
    }

    #[test]
    fn same_seed_decides_the_same_passes_and_others_do_not() {
        let text = |seed| format!("{:?}", passes(seed));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn every_kind_of_upload_comes_and_each_that_is_removed_is_removed_before_its_end() {
        let all: Vec<Plan> = passes(3).into_iter().flat_map(|pass| pass.uploads).collect();
        for dialect in [Dialect::Tus, Dialect::Deferred, Dialect::Draft] {
            let mut own = all.iter().filter(|plan| plan.dialect == dialect);
            assert!(own.clone().any(|plan| plan.first > 0 && plan.first < plan.size));
            assert!(own.clone().any(|plan| plan.senders > 1 && plan.size > PART));
            assert!(own.any(|plan| plan.removed_at.is_some()));
        }
        assert!(all.iter().any(|plan| plan.size == 0));
        assert!(all.iter().all(|plan| plan.removed_at.is_none_or(|at| at < plan.size)));
        assert!(all.iter().all(|plan| plan.first <= plan.removed_at.unwrap_or(plan.size)));
    }
}
