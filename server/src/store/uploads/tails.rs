//! Tails: bytes behind the last whole part of a file whose bytes come in order. Pure.
//!
//! Each request that ends within a part leaves one. The last says all that the others say, and of each part the last that was
//! flushed: if the machine crashes, the bytes of the last may be gone, and so may the record of a part that has become whole
//! since.

use std::collections::HashSet;

use haul_protocol::Cv;

/// Tails from which on those are forgotten that say nothing more.
const FORGET_FROM: usize = 64;

/// The last of them, which all stay while the journal is read: the record of a flush may come behind tails that it does not
/// cover.
const UNSETTLED: usize = 32;

/// Bytes behind the last whole part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Tail {
    /// The number of the part that they begin.
    pub(in crate::store) part: usize,
    pub(in crate::store) len: u64,
    pub(in crate::store) cv: Cv,
    /// Their record is of this boot of the machine, or they were flushed.
    pub(in crate::store) safe: bool,
    /// They were flushed, which is why they are there in any boot.
    pub(in crate::store) synced: bool,
}

/// The tails of a journal, and where the record of each begins.
#[derive(Debug, Default)]
pub(super) struct Tails(Vec<(u64, Tail)>);

impl Tails {
    /// One more; returns whether there are so many that some had better be forgotten.
    pub(super) fn push(&mut self, start: u64, tail: Tail) -> bool {
        self.0.push((start, tail));
        self.0.len() >= FORGET_FROM
    }

    /// Notes which of them were flushed.
    pub(super) fn settle(&mut self, is_synced: impl Fn(u64) -> bool) {
        for (start, tail) in &mut self.0 {
            tail.synced |= is_synced(*start);
            tail.safe |= tail.synced;
        }
    }

    /// Forgets those that say nothing more.
    pub(super) fn forget(&mut self) {
        self.keep(UNSETTLED);
    }

    /// Keeps so many of the last, and of each part the last one that was flushed.
    fn keep(&mut self, count: usize) {
        let first = self.0.len().saturating_sub(count);
        let mut seen = HashSet::new();
        let mut at = self.0.len();
        self.0.reverse();
        self.0.retain(|(_, tail)| {
            at -= 1;
            (tail.synced && seen.insert(tail.part)) || at >= first
        });
        self.0.reverse();
    }

    /// The last, and the last ones that were flushed, but for those in the first `whole` parts, which were flushed as well.
    pub(super) fn into_latest(mut self, whole: usize) -> Vec<Tail> {
        self.0.retain(|(_, tail)| tail.part >= whole);
        self.keep(1);
        self.0.into_iter().map(|(_, tail)| tail).collect()
    }

    /// Bytes of memory that they take.
    pub(super) fn held_bytes(&self) -> usize {
        self.0.capacity() * size_of::<(u64, Tail)>()
    }
}

#[cfg(test)]
mod tests {
    use super::super::journal::{Begin, Record, line, read};
    use super::*;

    fn begin() -> Record {
        Record::Begin(Begin {
            name: b"a".to_vec(),
            size: 5000,
            part_size: 1024,
            fingerprint: String::from("f"),
            identity: String::new(),
            account: None,
            ordered: Some(Box::default()),
        })
    }

    fn tail(len: u64) -> Record {
        Record::Tail { part: 0, len, cv: Cv([u8::try_from(len % 250).unwrap(); 32]) }
    }

    fn boot(id: &str) -> Record {
        Record::Boot { id: id.to_owned() }
    }

    fn tails(records: &[Record]) -> Vec<(u64, bool)> {
        let bytes: Vec<u8> = records.iter().flat_map(line).collect();
        let journal = read(&bytes, "now").unwrap();
        journal.tails.iter().map(|tail| (tail.len, tail.synced)).collect()
    }

    #[test]
    fn last_tail_and_the_last_that_was_flushed_stay() {
        let mut all = vec![begin(), boot("now"), tail(1), tail(2)];
        assert_eq!(tails(&all), [(2, false)]);
        let end = all.iter().map(|record| line(record).len() as u64).sum();
        all.push(tail(3));
        all.push(Record::Synced { from: 0, end });
        assert_eq!(tails(&all), [(2, true), (3, false)]);
        all.extend((4..200).map(tail));
        assert_eq!(tails(&all), [(2, true), (199, false)]);
        let end = all.iter().map(|record| line(record).len() as u64).sum();
        all.push(Record::Synced { from: 0, end });
        assert_eq!(tails(&all), [(199, true)]);
    }

    /// A request can end while the flush for another one is under way.
    #[test]
    fn flush_that_is_noted_behind_later_tails_counts() {
        for before in 1..150 {
            let mut all = vec![begin(), boot("now")];
            all.extend((1..=before).map(tail));
            let end = all.iter().map(|record| line(record).len() as u64).sum();
            all.extend((before + 1..before + 5).map(tail));
            all.push(Record::Synced { from: 0, end });
            assert_eq!(tails(&all), [(before, true), (before + 4, false)]);
        }
    }
}
