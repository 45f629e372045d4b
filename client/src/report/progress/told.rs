//! Failures that were told, so that each is told and counted once.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

/// Failures that are remembered, to bound the memory.
const REMEMBERED: usize = 10_000;

/// The first failures of a run.
#[derive(Debug, Default)]
pub(super) struct Told(HashSet<u64>);

impl Told {
    /// Whether a failure is a new one: of another path, or for another reason, than all that are remembered.
    pub(super) fn is_new(&mut self, path: &Path, reason: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        (path, reason).hash(&mut hasher);
        let hash = hasher.finish();
        if self.0.len() < REMEMBERED { self.0.insert(hash) } else { !self.0.contains(&hash) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_failure_is_new_once() {
        let mut told = Told::default();
        assert!(told.is_new(Path::new("a"), "closed") && told.is_new(Path::new("b"), "closed"));
        assert!(told.is_new(Path::new("a"), "gone") && !told.is_new(Path::new("a"), "closed"));
    }
}
