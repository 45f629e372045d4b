//! Counts of what a bout has done and looked at.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

/// How often each thing was.
#[derive(Debug, Clone)]
pub(crate) struct Tally<K>(BTreeMap<K, u64>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Tally<K> {
    /// Once more.
    pub(crate) fn one(&mut self, what: K) {
        self.add(what, 1);
    }

    /// So often more.
    pub(crate) fn add(&mut self, what: K, count: u64) {
        *self.0.entry(what).or_default() += count;
    }

    /// How often it was.
    pub(crate) fn of(&self, what: &K) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }
}

impl<K: Ord> AddAssign for Tally<K> {
    fn add_assign(&mut self, other: Self) {
        for (what, count) in other.0 {
            self.add(what, count);
        }
    }
}

impl<K: fmt::Display> fmt::Display for Tally<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (what, count)) in self.0.iter().enumerate() {
            let between = if index == 0 { "" } else { ", " };
            write!(f, "{between}{count} {what}")?;
        }
        Ok(())
    }
}
