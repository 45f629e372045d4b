//! Journals that were written, against what is read of them.

use super::*;

fn records() -> Vec<Record> {
    let begin = Begin {
        name: b"a/\xff".to_vec(),
        size: 5000,
        part_size: 1024,
        fingerprint: String::from("f"),
        identity: String::from("i"),
        account: None,
        ordered: None,
    };
    let held = |part| Record::Held { part, cv: Cv([7; 32]) };
    vec![
        Record::Begin(begin),
        Record::Boot { id: String::from("one") },
        held(0),
        held(3),
        Record::Boot { id: String::from("two") },
        held(1),
    ]
}

fn bytes(records: &[Record]) -> Vec<u8> {
    records.iter().flat_map(line).collect()
}

fn safe(journal: &Journal) -> Vec<(usize, bool)> {
    journal.held.iter().map(|held| (held.part, held.safe)).collect()
}

#[test]
fn parts_of_another_boot_are_safe_only_if_synced() {
    let mut all = records();
    let journal = read(&bytes(&all), "two").unwrap();
    assert_eq!(safe(&journal), [(0, false), (3, false), (1, true)]);
    let end = bytes(&all[..3]).len() as u64;
    all.push(Record::Synced { from: 0, end });
    let journal = read(&bytes(&all), "three").unwrap();
    assert_eq!(safe(&journal), [(0, true), (3, false), (1, false)]);
    assert!(!journal.same_boot);
}

/// A flush of this boot makes no record of another boot true.
#[test]
fn flush_covers_the_parts_of_its_own_boot_only() {
    let mut all = records();
    let journal = read(&bytes(&all), "two").unwrap();
    all.push(Record::Synced { from: journal.boot_start, end: journal.len });
    let journal = read(&bytes(&all), "two").unwrap();
    assert_eq!(safe(&journal), [(0, false), (3, false), (1, true)]);
    let journal = read(&bytes(&all), "three").unwrap();
    assert_eq!(safe(&journal), [(0, false), (3, false), (1, true)]);
}

#[test]
fn journal_in_pieces_says_the_same() {
    let mut all = records();
    all.push(Record::Synced { from: 0, end: 500 });
    let mut bytes = bytes(&all);
    bytes.extend_from_slice(b"torn");
    let whole = read(&bytes, "two").unwrap();
    for len in [1, 2, 7, 64] {
        let mut reader = Reader::new("two");
        bytes.chunks(len).for_each(|piece| reader.feed(piece));
        assert_eq!(reader.finish().as_ref(), Some(&whole), "{len}");
    }
    // A line that never ends is no record, and takes no more memory than the longest.
    let mut reader = Reader::new("two");
    (0..100).for_each(|_| reader.feed(&[b'x'; LONGEST_LINE]));
    assert!(reader.held_bytes() <= 4 * LONGEST_LINE);
    reader.feed(b"\n");
    reader.feed(&bytes);
    let parts = |journal: &Journal| journal.held.iter().map(|h| h.part).collect::<Vec<_>>();
    assert_eq!(parts(&reader.finish().unwrap()), parts(&whole));
}

#[test]
fn torn_tail_is_cut_off() {
    let all = bytes(&records());
    let whole = read(&all, "two").unwrap();
    assert_eq!(whole.len, all.len() as u64);
    let last = line(&records()[5]).len();
    for cut in 1..=last {
        let journal = read(&all[..all.len() - cut], "two").unwrap();
        assert_eq!(journal.len, (all.len() - last) as u64, "{cut}");
        assert_eq!(journal.held, whole.held[..2]);
    }
}

#[test]
fn flipped_bits_and_zeros_promise_nothing() {
    let all = bytes(&records());
    let whole = read(&all, "two").unwrap();
    for at in 0..all.len() {
        let mut flipped = all.clone();
        flipped[at] ^= 1;
        if let Some(journal) = read(&flipped, "two") {
            assert!(
                journal.held.len() < whole.held.len()
                    || journal.held == whole.held
                    || !journal.same_boot,
                "{at}"
            );
            assert!(
                journal.held.iter().all(|held| {
                    whole.held.iter().any(|h| (h.part, h.cv) == (held.part, held.cv))
                })
            );
        }
    }
    assert_eq!(read(&vec![0; 1000], "two"), None);
}
