//! Random numbers from a seed (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>), so that a simulation is the same
//! each time.

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `most`.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        self.next() % (most + 1)
    }

    /// A length from 1 to `most`.
    pub(crate) fn length(&mut self, most: usize) -> usize {
        let most = u64::try_from(most).expect("small");
        usize::try_from(self.up_to(most.saturating_sub(1))).expect("small") + 1
    }
}
