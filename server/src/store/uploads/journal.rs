//! What is written beside a partial: which parts of it are held. Pure: records to bytes and back.
//!
//! A journal is lines of a checksum, a space and a JSON object. A line whose checksum is wrong was
//! torn by a crash: it says nothing, and neither does anything that was never written after it.
//!
//! | record | promises |
//! |---|---|
//! | `begin` | whose partial this is |
//! | `boot` | the records that follow are of this boot of the machine |
//! | `held` | the part is verified and written, and survives a crash of the process |
//! | `synced` | the parts of the records from `from` to before `end` survive a loss of power |
//! | `committing` | all parts are held; the rename comes next. If the partial is gone, it has happened |

use haul_protocol::{Cv, Digest};
use serde::{Deserialize, Serialize};

/// Longest journal that is read: that of a file with the most parts, three times over.
pub(in crate::store) const MAX_LEN: u64 = 64 << 20;

/// Digits of a line's checksum: it guards against torn writes, not against people.
const CHECKSUM: usize = 16;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(in crate::store) enum Record {
    /// The first.
    Begin(Begin),
    /// A server has opened the partial.
    Boot {
        /// The kernel's `/proc/sys/kernel/random/boot_id`.
        id: String,
    },
    /// A part is held.
    Held {
        /// Its number.
        part: usize,
        /// Its chaining value.
        cv: Cv,
    },
    /// The partial was flushed.
    Synced {
        /// Where the records of the boot that flushed begin: what an earlier boot has said of parts
        /// was of bytes that this one may never have seen.
        from: u64,
        /// Length of the journal when the flush began.
        end: u64,
    },
    /// The partial is about to be renamed.
    Committing(Committing),
}

/// The key of an upload, and so of its partial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Begin {
    /// Name of the target, as bytes.
    pub(in crate::store) name: Vec<u8>,
    pub(in crate::store) size: u64,
    pub(in crate::store) part_size: u64,
    pub(in crate::store) fingerprint: String,
    pub(in crate::store) identity: String,
}

/// The file that becomes the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Committing {
    pub(in crate::store) digest: Digest,
    pub(in crate::store) inode: u64,
    pub(in crate::store) mtime: (i64, i64),
}

/// What a journal says.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Journal {
    pub(in crate::store) begin: Begin,
    pub(in crate::store) held: Vec<HeldPart>,
    pub(in crate::store) committing: Option<Committing>,
    /// Whether the last `boot` is the present one.
    pub(in crate::store) same_boot: bool,
    /// Where the records of the last `boot` begin.
    pub(in crate::store) boot_start: u64,
    /// Length up to the end of the last sound line; what follows is cut off.
    pub(in crate::store) len: u64,
}

/// A part that a journal promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct HeldPart {
    pub(in crate::store) part: usize,
    pub(in crate::store) cv: Cv,
    /// It counts as it is; otherwise it has to be read and compared.
    pub(in crate::store) safe: bool,
}

/// A record as a line.
pub(in crate::store) fn line(record: &Record) -> Vec<u8> {
    // Numbers and texts only: serializing them can't fail.
    let json = serde_json::to_vec(record).unwrap_or_default();
    let mut line = checksum(&json).into_bytes();
    line.push(b' ');
    line.extend_from_slice(&json);
    line.push(b'\n');
    line
}

/// Reads a journal. `None` if it does not even begin.
pub(in crate::store) fn read(bytes: &[u8], boot: &str) -> Option<Journal> {
    let mut begin = None;
    let (mut held, mut committing, mut same_boot, mut len) = (Vec::new(), None, false, 0);
    let (mut at, mut boot_start, mut synced) = (0_u64, 0, Vec::new());
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let start = at;
        at += line.len() as u64;
        let Some(record) = parse(line) else { continue };
        len = at;
        match record {
            Record::Begin(found) => begin = Some(found),
            Record::Boot { id } => {
                same_boot = id == boot;
                boot_start = start;
            }
            Record::Held { part, cv } => held.push((start, same_boot, part, cv)),
            Record::Synced { from, end } => synced.push(from..end),
            Record::Committing(found) => committing = Some(found),
        }
    }
    let held = held
        .into_iter()
        .map(|(start, same_boot, part, cv)| HeldPart {
            part,
            cv,
            safe: same_boot || synced.iter().any(|range| range.contains(&start)),
        })
        .collect();
    Some(Journal { begin: begin?, held, committing, same_boot, boot_start, len })
}

fn parse(line: &[u8]) -> Option<Record> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, json) = (line.get(..CHECKSUM)?, line.get(CHECKSUM + 1..)?);
    if checksum(json).as_bytes() != sum {
        return None;
    }
    serde_json::from_slice(json).ok()
}

fn checksum(json: &[u8]) -> String {
    let mut hex = Digest::of(json).to_hex();
    hex.truncate(CHECKSUM);
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        let begin = Begin {
            name: b"a/\xff".to_vec(),
            size: 5000,
            part_size: 1024,
            fingerprint: String::from("f"),
            identity: String::from("i"),
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

    /// What another boot has said of a part is not made true by a flush of this one.
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
                assert!(journal.held.iter().all(|held| {
                    whole.held.iter().any(|h| (h.part, h.cv) == (held.part, held.cv))
                }));
            }
        }
        assert_eq!(read(&vec![0; 1000], "two"), None);
    }
}
