//! The acts of two rivals, and their times: decided from the seed before the rivals begin.

use std::time::Duration;

use haul_tests::random::Random;

/// Bytes of a part, as the server chooses for files of this size; a file of more is sent in parts.
pub(super) const PART: usize = 1 << 20;

/// One race for one file: the first rival sends and commits it, the second one comes in between.
#[derive(Debug, Clone)]
pub(super) struct Try {
    /// Bytes of a file that nobody has sent yet; `None`: the file of the try before once more.
    pub(super) fresh: Option<usize>,
    /// Between the moment at which all parts are held and the `commit`.
    pub(super) commit_after: Duration,
    /// Times that the first rival begins again when the file is taken from it.
    pub(super) repeats: u64,
    /// The acts of the second rival, from that same moment on.
    pub(super) acts: Vec<Act>,
    /// The rivals are two connections of one run of a client, not two runs.
    pub(super) same_client: bool,
}

/// One act of the second rival.
#[derive(Debug, Clone, Copy)]
pub(super) struct Act {
    /// The pause before the act.
    pub(super) pause: Duration,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// So many `open`s of the file in one write.
    Open(u64),
    /// Commits the upload that it has opened.
    Commit,
    /// Sends the first part of the upload that it has opened.
    Part,
    /// Discards the upload that it has opened.
    Abort,
    /// Ends its connection and makes another one.
    Leave,
}

/// Two runs of `haul put` for one file.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    /// As in [`Try`].
    pub(super) fresh: Option<usize>,
    /// Between their starts.
    pub(super) apart: Duration,
    pub(super) connections: [u64; 2],
}

impl Try {
    pub(super) fn new(random: &mut Random, is_first: bool) -> Self {
        let fresh = match random.below(100) {
            // Files of many parts take longer to commit: more can come in between.
            _ if is_first => Some(PART + 1),
            0..25 => Some(PART + 1 + len(random, PART as u64 / 16)),
            25..40 => Some(2 * PART + len(random, 4 * PART as u64)),
            40..42 => Some(16 * PART + len(random, 16 * PART as u64)),
            _ => None,
        };
        let commit_after = micros(random);
        let repeats = random.below(3);
        let acts = (0..1 + random.below(6)).map(|_| Act::new(random)).collect();
        Self { fresh, commit_after, repeats, acts, same_client: random.chance(20) }
    }
}

impl Act {
    fn new(random: &mut Random) -> Self {
        let what = match random.below(100) {
            0..60 => What::Open(1 + random.below(8)),
            60..78 => What::Commit,
            78..88 => What::Part,
            88..94 => What::Abort,
            _ => What::Leave,
        };
        Self { pause: micros(random), what }
    }
}

impl Pair {
    pub(super) fn new(random: &mut Random, is_first: bool) -> Self {
        let fresh = is_first || random.chance(70);
        let len = 8 * PART + len(random, 40 * PART as u64);
        let apart = Duration::from_millis(random.below(40));
        let connections = [1 + random.below(4), 1 + random.below(4)];
        Self { fresh: fresh.then_some(len), apart, connections }
    }
}

/// The deadlock that this looks for needed two requests within 300 µs.
fn micros(random: &mut Random) -> Duration {
    Duration::from_micros(random.below(501))
}

fn len(random: &mut Random, bound: u64) -> usize {
    usize::try_from(random.below(bound)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(seed: u64) -> String {
        let mut random = Random::new(seed, 1);
        let tries: Vec<Try> = (0..500).map(|at| Try::new(&mut random, at == 0)).collect();
        let pairs: Vec<Pair> = (0..20).map(|at| Pair::new(&mut random, at == 0)).collect();
        format!("{tries:?} {pairs:?}")
    }

    #[test]
    fn same_seed_decides_the_same_tries_and_others_do_not() {
        assert_eq!(tries(7), tries(7));
        assert_ne!(tries(7), tries(8));
    }

    #[test]
    fn every_kind_of_act_comes_and_every_file_has_parts() {
        let mut random = Random::new(3, 1);
        let tries: Vec<Try> = (0..500).map(|at| Try::new(&mut random, at == 0)).collect();
        assert!(tries[0].fresh.is_some());
        assert!(tries.iter().filter_map(|one| one.fresh).all(|len| len > PART));
        let acts: Vec<What> = tries.iter().flat_map(|one| &one.acts).map(|act| act.what).collect();
        for what in [What::Open(8), What::Commit, What::Part, What::Abort, What::Leave] {
            assert!(acts.contains(&what), "{what:?}");
        }
        let longest = tries.iter().flat_map(|one| &one.acts).map(|act| act.pause).max();
        assert!(longest.is_some_and(|pause| pause <= Duration::from_micros(500)));
    }
}
