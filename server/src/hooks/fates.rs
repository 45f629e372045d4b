//! The fates of all changes whose records are in the spool and not delivered, and the marks that tell them there.

use std::collections::VecDeque;

use super::fate::{Fate, Mark, Marks};

/// Fates, by the numbers of the records.
#[derive(Debug)]
pub(super) struct Fates {
    /// Those of the records from `first` to the last.
    all: VecDeque<Fate>,
    /// The number of the first record that is not delivered.
    first: u64,
    /// Marks that may still come for them.
    owed: u64,
    /// Marks that are not in the spool yet.
    marks: Marks,
}

impl Fates {
    /// Those of an earlier run, none of which is open.
    pub(super) fn new(first: u64, all: VecDeque<Fate>, marks: Marks) -> Self {
        Self { all, first, owed: 0, marks }
    }

    /// The number of the first record that is not delivered.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the next record.
    pub(super) fn next(&self) -> u64 {
        self.first + self.all.len() as u64
    }

    /// Whether all records are delivered, and no mark waits.
    pub(super) fn is_over(&self) -> bool {
        self.all.is_empty() && self.marks.is_empty()
    }

    /// Changes that are not delivered.
    pub(super) fn waiting(&self) -> u64 {
        self.all.iter().filter(|fate| **fate != Fate::Never).count() as u64
    }

    /// So many records have come.
    pub(super) fn begin(&mut self, records: usize) {
        self.owed += records as u64 * marks_of(Fate::Open);
        self.all.extend(std::iter::repeat_n(Fate::Open, records));
    }

    /// Notes a fate, and the mark that has to be written for it.
    pub(super) fn set(&mut self, number: u64, fate: Fate) {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        // Otherwise it is delivered.
        let Some(found) = at.and_then(|at| self.all.get_mut(at)) else { return };
        let was = std::mem::replace(found, fate);
        self.owed = (self.owed + marks_of(fate)).saturating_sub(marks_of(was));
        // A mark says already that it was seen.
        if was != fate && (was, fate) != (Fate::Seen, Fate::Done) {
            self.marks.add(number, fate);
        }
    }

    /// The marks that wait, as lines.
    pub(super) fn marks(&self) -> String {
        self.marks.lines()
    }

    /// The marks are in the spool.
    pub(super) fn marks_are_written(&mut self) {
        self.marks.clear();
    }

    /// Bytes that marks may take which are not in the spool yet.
    pub(super) fn to_come(&self) -> u64 {
        (self.owed + self.marks.len()) * Mark::LONGEST
    }

    /// Whether a record may be delivered.
    pub(super) fn is_due(&self) -> bool {
        self.all.front().is_some_and(|fate| fate.is_settled())
    }

    /// The fates of the first records that may be delivered, at most so many.
    pub(super) fn due(&self, most: usize) -> Vec<Fate> {
        self.all.iter().take_while(|fate| fate.is_settled()).take(most).copied().collect()
    }

    /// All records before this one are delivered.
    pub(super) fn delivered(&mut self, next: u64) {
        while self.first < next && self.all.pop_front().is_some() {
            self.first += 1;
        }
    }
}

/// Bytes that the marks of a change may take of which nothing is known yet.
pub(super) const MARKS: u64 = 2 * Mark::LONGEST;

/// Marks that may still come for a change with this fate.
fn marks_of(fate: Fate) -> u64 {
    match fate {
        Fate::Open => MARKS / Mark::LONGEST,
        Fate::Seen => 1,
        Fate::Done | Fate::Uncertain | Fate::Never => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_never_take_more_than_was_reserved_for_them() {
        let mut fates = Fates::new(7, VecDeque::new(), Marks::default());
        fates.begin(4);
        let mut written = 0;
        let reserved = 4 * MARKS;
        assert_eq!((fates.to_come(), fates.next()), (reserved, 11));
        for (number, fate) in [
            (7, Fate::Seen),
            (9, Fate::Seen),
            (8, Fate::Never),
            (7, Fate::Done),
            (9, Fate::Uncertain),
            (10, Fate::Done),
        ] {
            fates.set(number, fate);
            assert!(written + fates.to_come() <= reserved, "{number}");
            written += fates.marks().len() as u64;
            fates.marks_are_written();
        }
        assert_eq!(fates.to_come(), 0);
        let wanted = [Fate::Done, Fate::Never, Fate::Uncertain, Fate::Done];
        assert_eq!(fates.due(10), wanted);
        fates.delivered(9);
        // Nobody has to know any more.
        fates.set(8, Fate::Uncertain);
        assert_eq!((fates.first(), fates.to_come(), fates.is_over()), (9, 0, false));
        fates.delivered(11);
        assert!(fates.is_over());
    }
}
