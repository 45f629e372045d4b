//! Failures that are alike: the first of each cause are told one by one, of the others the number at the end.

use std::collections::BTreeMap;

use crate::error::FileError;

/// Failures of one cause that are told one by one.
const TOLD: u64 = 20;

/// The same of a full disk: it is full for all of them.
const TOLD_OF_FULL_DISK: u64 = 1;

/// Causes that are told apart, to bound the memory.
const CAUSES: usize = 100;

/// The cause of failures beyond these.
const OTHERS: &str = "of other causes";

/// The failures of a run so far, by their causes.
#[derive(Debug, Default)]
pub(super) struct Alike {
    causes: BTreeMap<String, Count>,
    /// The user wants names, so a full disk is a cause like others.
    wants_names: bool,
}

/// Failures of one cause, and how many of them are told one by one.
#[derive(Debug, Default)]
struct Count {
    all: u64,
    told: u64,
}

impl Alike {
    /// None so far.
    pub(super) fn new(wants_names: bool) -> Self {
        Self { causes: BTreeMap::new(), wants_names }
    }

    /// One more failure; returns whether it is told by itself.
    pub(super) fn is_told(&mut self, error: &FileError) -> bool {
        let is_full_disk = error.is_full_disk() && !self.wants_names;
        self.is_told_of(&error.cause(), if is_full_disk { TOLD_OF_FULL_DISK } else { TOLD })
    }

    fn is_told_of(&mut self, cause: &str, most: u64) -> bool {
        let known = self.causes.len() < CAUSES || self.causes.contains_key(cause);
        let cause = if known { cause } else { OTHERS };
        let count = self.causes.entry(cause.to_owned()).or_default();
        count.all += 1;
        let is_told = count.all <= most;
        count.told += u64::from(is_told);
        is_told
    }

    /// The causes of failures that were not told, and their numbers.
    pub(super) fn rest(&self) -> impl Iterator<Item = (&str, u64)> {
        let more = self.causes.iter().filter(|(_, count)| count.all > count.told);
        more.map(|(cause, count)| (cause.as_str(), count.all - count.told))
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::{Code, Refusal};

    use super::*;
    use crate::error::target::TargetError;

    #[test]
    fn twenty_of_each_cause_are_told_and_then_their_number() {
        let mut alike = Alike::default();
        let told =
            |alike: &mut Alike, cause| (0..25).filter(|_| alike.is_told_of(cause, TOLD)).count();
        assert_eq!((told(&mut alike, "closed"), told(&mut alike, "gone")), (20, 20));
        assert_eq!(alike.rest().collect::<Vec<_>>(), [("closed", 5), ("gone", 5)]);
    }

    #[test]
    fn full_disk_is_told_once_and_of_each_file_if_the_user_wants_names() {
        let error = |name: &str| {
            let message = format!("no room on its disk for {name}");
            FileError::Refused(Refusal { code: Code::NoSpace, message, retry: false })
        };
        for (wants_names, told) in [(false, 1), (true, 3)] {
            let mut alike = Alike::new(wants_names);
            let is_told = ["a", "b", "c"].map(|name| alike.is_told(&error(name)));
            assert_eq!(is_told.into_iter().filter(|told| *told).count(), told);
            let rest =
                if told == 1 { vec![("no room at the server (no_space)", 2)] } else { vec![] };
            assert_eq!(alike.rest().collect::<Vec<_>>(), rest);
        }
    }

    #[test]
    fn full_disk_of_this_machine_is_told_once() {
        let mut alike = Alike::default();
        let told = (0..3).filter(|_| {
            let source = std::io::Error::from(std::io::ErrorKind::StorageFull).into();
            alike.is_told(&TargetError::System { op: "write the file", source }.into())
        });
        assert_eq!(told.count(), 1);
        assert_eq!(alike.rest().map(|(_, count)| count).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn causes_without_end_take_no_memory_without_end() {
        let mut alike = Alike::default();
        assert!((0..10_000).any(|cause| !alike.is_told_of(&cause.to_string(), TOLD)));
        assert_eq!(alike.causes.len(), CAUSES + 1);
    }
}
