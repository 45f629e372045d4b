//! A journal that is written anew, as short as it can be: whose partial it is, one record of each part, and the present boot.
//!
//! After each restart of the machine the parts that are read and compared get one more record each, so without this a
//! journal would grow with every restart.

use super::journal::{HeldPart, Journal, Record, latest, line};
use super::tails::Tail;

/// Its lines, a few at a time. Pure.
#[derive(Debug)]
pub(super) struct Compacting {
    /// As it will be read again; its numbers grow with the lines.
    journal: Journal,
    boot: String,
    next: Next,
}

/// The line that comes next. A number is that of a part's record.
#[derive(Debug, Clone, Copy)]
enum Next {
    Begin,
    /// The size, if it was told later.
    Length,
    /// The tails that were flushed.
    FlushedTail(usize),
    /// Parts that were flushed, and the record that says so of all of them.
    Flushed(usize),
    /// Parts that have to be read and compared.
    Unsure(usize),
    /// The last tail, if it is of another boot.
    UnsureTail,
    Committing,
    Boot,
    /// Parts of this boot.
    Present(usize),
    /// The last tail, if it is of this boot.
    LastTail,
    Nothing,
}

impl Compacting {
    /// Of what a journal says.
    pub(super) fn new(mut journal: Journal, boot: &str) -> Self {
        let records = std::mem::take(&mut journal.held).into_iter().map(|held| ((), held));
        let mut held: Vec<_> =
            latest(records.collect()).into_iter().map(|((), held)| held).collect();
        held.sort_by_key(|held| (!held.synced, held.safe));
        journal.held = held;
        journal.len = 0;
        Self { journal, boot: boot.to_owned(), next: Next::Begin }
    }

    /// Appends the next line to `out`. `false`: there is none.
    pub(super) fn line(&mut self, out: &mut Vec<u8>) -> bool {
        loop {
            let Journal { begin, held, tails, told_size, committing, boot_start, len, .. } =
                &mut self.journal;
            let record = |tail: &Tail| Record::Tail { part: tail.part, len: tail.len, cv: tail.cv };
            let tail = |is_one: fn(&Tail) -> bool| {
                tails.iter().rev().find(|tail| is_one(tail)).map(record)
            };
            let part = |at: usize, is_one: fn(&HeldPart) -> bool| {
                let held = held.get(at).filter(|held| is_one(held))?;
                Some(Record::Held { part: held.part, cv: held.cv })
            };
            let (record, next) = match self.next {
                Next::Begin => (Some(Record::Begin(begin.clone())), Next::Length),
                Next::Length => {
                    (told_size.map(|size| Record::Length { size }), Next::FlushedTail(0))
                }
                Next::FlushedTail(at) => match tails.iter().filter(|tail| tail.synced).nth(at) {
                    None => (None, Next::Flushed(0)),
                    found => (found.map(record), Next::FlushedTail(at + 1)),
                },
                Next::Flushed(at) => match part(at, |held| held.synced) {
                    None if at > 0 || tails.iter().any(|tail| tail.synced) => {
                        (Some(Record::Synced { from: 0, end: *len }), Next::Unsure(at))
                    }
                    None => (None, Next::Unsure(at)),
                    record => (record, Next::Flushed(at + 1)),
                },
                Next::Unsure(at) => match part(at, |held| !held.safe) {
                    None => (None, Next::UnsureTail),
                    record => (record, Next::Unsure(at + 1)),
                },
                Next::UnsureTail => (tail(|tail| !tail.safe), Next::Committing),
                Next::Committing => (committing.map(Record::Committing), Next::Boot),
                Next::Boot => {
                    *boot_start = *len;
                    let first = held.partition_point(|held| held.synced || !held.safe);
                    (Some(Record::Boot { id: self.boot.clone() }), Next::Present(first))
                }
                Next::Present(at) => match part(at, |_| true) {
                    None => (None, Next::LastTail),
                    record => (record, Next::Present(at + 1)),
                },
                Next::LastTail => (tail(|tail| tail.safe && !tail.synced), Next::Nothing),
                Next::Nothing => return false,
            };
            self.next = next;
            if let Some(record) = record {
                let line = line(&record);
                *len += line.len() as u64;
                out.extend_from_slice(&line);
                return true;
            }
        }
    }

    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.journal.held_bytes()
    }

    /// The journal that it makes, once all lines have been had.
    pub(super) fn finish(self) -> Journal {
        Journal { same_boot: true, ..self.journal }
    }
}

#[cfg(test)]
mod tests {
    use haul_protocol::Cv;

    use super::super::journal::{Begin, Committing, read};
    use super::*;

    fn boot(id: &str) -> Record {
        Record::Boot { id: id.to_owned() }
    }

    fn held(part: usize) -> Record {
        Record::Held { part, cv: Cv([7; 32]) }
    }

    fn bytes(records: &[Record]) -> Vec<u8> {
        records.iter().flat_map(line).collect()
    }

    fn anew(bytes: &[u8], boot: &str) -> (Vec<u8>, Journal) {
        let mut compacting = Compacting::new(read(bytes, boot).unwrap(), boot);
        let mut out = Vec::new();
        while compacting.line(&mut out) {}
        (out, compacting.finish())
    }

    /// Parts that count, by themselves or because they were flushed, and those that are to be read.
    fn parts(journal: &Journal) -> Vec<(usize, bool, bool)> {
        let mut parts: Vec<_> =
            journal.held.iter().map(|held| (held.part, held.safe, held.synced)).collect();
        parts.sort_unstable();
        parts.dedup();
        parts
    }

    fn begin(parts: u64) -> Record {
        Record::Begin(Begin {
            name: b"a".to_vec(),
            size: parts * 1024,
            part_size: 1024,
            fingerprint: String::from("f"),
            identity: String::from("i"),
            account: None,
            ordered: None,
        })
    }

    #[test]
    fn journal_that_is_written_anew_promises_the_same() {
        let mut all = vec![begin(9), boot("one"), held(0), held(3)];
        all.push(Record::Synced { from: 0, end: bytes(&all).len() as u64 });
        let committing =
            Committing { digest: haul_protocol::Digest([1; 32]), file: None, mtime: (1, 2) };
        all.extend([
            held(4),
            boot("two"),
            held(5),
            Record::Committing(committing),
            held(6),
            held(3),
        ]);
        for now in ["one", "two", "three"] {
            let old = bytes(&all);
            let before = read(&old, now).unwrap();
            let (new, said) = anew(&old, now);
            let after = read(&new, now).unwrap();
            assert_eq!(said, after);
            assert!(
                after.same_boot && after.len == new.len() as u64 && new.len() < old.len() + 100
            );
            assert_eq!((&after.begin, after.committing), (&before.begin, Some(committing)));
            let counts = |journal: &Journal| -> Vec<_> {
                parts(journal).into_iter().filter(|part| part.1).collect()
            };
            assert_eq!(counts(&after), counts(&before), "{now}");
            let all_parts = |journal: &Journal| -> std::collections::BTreeSet<_> {
                journal.held.iter().map(|held| held.part).collect()
            };
            assert_eq!(all_parts(&after), all_parts(&before));
            // Another boot finds what was flushed, and nothing else that counts by itself.
            let later = read(&new, "later").unwrap();
            assert_eq!(counts(&later), [(0, true, true), (3, true, true)]);
            assert_eq!(all_parts(&later), all_parts(&before));
        }
    }

    #[test]
    fn journal_does_not_grow_with_restarts_of_the_machine() {
        const PARTS: usize = 50;
        let mut all = bytes(&[begin(PARTS as u64), boot("0")]);
        all.extend((0..PARTS).flat_map(|part| line(&held(part))));
        let mut longest = 0;
        for number in 1..20 {
            let (mut new, said) = anew(&all, &number.to_string());
            assert_eq!(said.held.len(), PARTS);
            // All of them are read and compared.
            new.extend((0..PARTS).flat_map(|part| line(&held(part))));
            longest = longest.max(new.len());
            all = new;
        }
        assert!(longest as u64 <= super::super::journal::longest(PARTS));
        assert!(longest < 3 * PARTS * line(&held(10)).len());
    }
}
