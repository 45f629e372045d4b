//! Failures that are alike: the first of each cause are told one by one, of the others the number at the end.

use std::collections::BTreeMap;

/// Failures of one cause that are told one by one.
const TOLD: u64 = 20;

/// Causes that are told apart, to bound the memory.
const CAUSES: usize = 100;

/// The cause of failures beyond these.
const OTHERS: &str = "of other causes";

/// The failures of a run so far, by their causes.
#[derive(Debug, Default)]
pub(super) struct Alike(BTreeMap<String, u64>);

impl Alike {
    /// One more failure of a cause; returns whether it is told by itself.
    pub(super) fn is_told(&mut self, cause: &str) -> bool {
        let known = self.0.len() < CAUSES || self.0.contains_key(cause);
        let count = self.0.entry(if known { cause } else { OTHERS }.to_owned()).or_default();
        *count += 1;
        *count <= TOLD
    }

    /// The causes of failures that were not told, and their numbers.
    pub(super) fn rest(&self) -> impl Iterator<Item = (&str, u64)> {
        let more = self.0.iter().filter(|(_, count)| **count > TOLD);
        more.map(|(cause, count)| (cause.as_str(), count - TOLD))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_of_each_cause_are_told_and_then_their_number() {
        let mut alike = Alike::default();
        let told = |alike: &mut Alike, cause| (0..25).filter(|_| alike.is_told(cause)).count();
        assert_eq!((told(&mut alike, "closed"), told(&mut alike, "gone")), (20, 20));
        assert_eq!(alike.rest().collect::<Vec<_>>(), [("closed", 5), ("gone", 5)]);
    }

    #[test]
    fn causes_without_end_take_no_memory_without_end() {
        let mut alike = Alike::default();
        assert!((0..10_000).any(|cause| !alike.is_told(&cause.to_string())));
        assert_eq!(alike.0.len(), CAUSES + 1);
    }
}
