//! The counts of rounds, and of the bouts after them.

use std::ops::AddAssign;

use crate::options::{Bout, Options};
use crate::{accounts, reading, reloads, report, rivals, tus};

/// The counts of everything.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) rounds: report::Counts,
    pub(crate) rivals: rivals::Counts,
    pub(crate) accounts: accounts::Counts,
    pub(crate) reading: reading::Counts,
    pub(crate) tus: tus::Counts,
    pub(crate) reloads: reloads::Counts,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.rivals += other.rivals;
        self.accounts += other.accounts;
        self.reading += other.reading;
        self.tus += other.tus;
        self.reloads += other.reloads;
    }
}

impl Totals {
    /// Prints those of what the options ask for.
    pub(crate) fn tell(&self, options: &Options) {
        if options.has_rounds() {
            println!("  {}", self.rounds);
        }
        if options.of(Bout::Rivals) > 0 {
            println!("  {}", self.rivals);
        }
        if options.of(Bout::Accounts) > 0 {
            println!("  {}", self.accounts);
        }
        if options.of(Bout::Reading) > 0 {
            println!("  {}", self.reading);
        }
        if options.of(Bout::Tus) > 0 {
            println!("  resumable uploads: {}", self.tus);
        }
        if options.of(Bout::Reloads) > 0 {
            println!("  reloads: {}", self.reloads);
        }
    }
}
