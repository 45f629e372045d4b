//! The journal of a partial: records of the parts that are held. Pure: records to bytes and back.
//!
//! A journal is lines of a checksum, a space and a JSON object. A line whose checksum is wrong was
//! torn by a crash: it says nothing, and neither does anything that was never written after it.
//!
//! | record | promises |
//! |---|---|
//! | `begin` | whose partial this is |
//! | `boot` | the records that follow are of this boot of the machine |
//! | `held` | the part is verified and written, and survives a crash of the process |
//! | `tail` | so many bytes of the part behind the whole ones are written, and survive a crash of the process |
//! | `length` | the file, whose size was not known when the upload began, has so many bytes |
//! | `synced` | the parts and tails of the records from `from` to before `end` survive a loss of power |
//! | `committing` | all parts are held; the rename comes next. If the partial is gone, it has happened |

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use haul_protocol::{Cv, Digest};
use serde::{Deserialize, Serialize};

use super::facts::OrderedFacts;
use super::tails::{Tail, Tails};
use crate::store::identity::Identity;

/// Bytes of a record of a part, and of those that have nothing to do with parts.
const A_PART: u64 = 256;
const OTHERS: u64 = 64 * 1024;

/// Length from which on the journal of a file of so many parts is [written anew](super::compacting), in bytes: each part is
/// in it twice.
pub(in crate::store) fn longest(parts: usize) -> u64 {
    (parts as u64).saturating_mul(A_PART) + OTHERS
}

/// Longest line in bytes: a name of 4096 bytes as numbers, and texts of the client.
const LONGEST_LINE: usize = 128 * 1024;

/// Records of parts for each part, from which on those are forgotten that say nothing more.
const FORGET_FROM: usize = 4;

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
    /// Bytes behind the whole parts of a file whose bytes come in order.
    Tail {
        /// The number of the part that they begin.
        part: usize,
        /// The number of bytes.
        len: u64,
        /// Their chaining value.
        cv: Cv,
    },
    /// The size of the file is known now.
    Length {
        /// The size.
        size: u64,
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
    /// The account of the client; a server without accounts writes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store) account: Option<String>,
    /// Of a file whose bytes come in order; none of the haul dialect's has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::store) ordered: Option<Box<OrderedFacts>>,
}

impl Begin {
    /// The name of the draft's home, if the file is for a draft: the identity ends with it.
    pub(in crate::store) fn home(&self) -> Option<&str> {
        let last = self.identity.rsplit_once(' ').map(|(_, last)| last);
        last.filter(|id| id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()))
    }

    /// The number of parts of the file.
    fn parts(&self) -> usize {
        usize::try_from(self.size.div_ceil(self.part_size.max(1))).unwrap_or(usize::MAX)
    }
}

/// The file that becomes the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Committing {
    pub(in crate::store) digest: Digest,
    /// `None` if nothing can tell the file from a later one, or if an earlier server has written the record: the file is
    /// not recognized then.
    #[serde(default)]
    pub(in crate::store) file: Option<Identity>,
    pub(in crate::store) mtime: (i64, i64),
}

/// The contents of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Journal {
    pub(in crate::store) begin: Begin,
    pub(in crate::store) held: Vec<HeldPart>,
    pub(in crate::store) tails: Vec<Tail>,
    /// The size of the file, if it was told behind the first record.
    pub(in crate::store) told_size: Option<u64>,
    pub(in crate::store) committing: Option<Committing>,
    /// Whether the last `boot` is the present one.
    pub(in crate::store) same_boot: bool,
    /// Where the records of the last `boot` begin.
    pub(in crate::store) boot_start: u64,
    /// Length up to the end of the last sound line; what follows is cut off.
    pub(in crate::store) len: u64,
}

impl Journal {
    /// Bytes of memory that it takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.capacity() * size_of::<HeldPart>() + self.tails.capacity() * size_of::<Tail>()
    }

    /// Bytes of the whole file; `None`: nobody has told.
    pub(in crate::store) fn size(&self) -> Option<u64> {
        let is_deferred = self.begin.ordered.as_ref().is_some_and(|facts| facts.deferred);
        self.told_size.or((!is_deferred).then_some(self.begin.size))
    }
}

/// A part that a journal promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct HeldPart {
    pub(in crate::store) part: usize,
    pub(in crate::store) cv: Cv,
    /// It counts as it is; otherwise it has to be read and compared.
    pub(in crate::store) safe: bool,
    /// It was flushed, which is why it counts in any boot.
    pub(in crate::store) synced: bool,
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

/// Reads a whole journal. `None` if it does not even begin.
pub(in crate::store) fn read(bytes: &[u8], boot: &str) -> Option<Journal> {
    let mut reader = Reader::new(boot);
    reader.feed(bytes);
    reader.finish()
}

/// Reads a journal as its bytes come.
#[derive(Debug)]
pub(in crate::store) struct Reader {
    boot: String,
    begin: Option<Begin>,
    /// Where each of these records begins.
    held: Vec<(u64, HeldPart)>,
    /// The number of the last of these parts, and one.
    come: usize,
    tails: Tails,
    told_size: Option<u64>,
    synced: Vec<Range<u64>>,
    committing: Option<Committing>,
    same_boot: bool,
    boot_start: u64,
    /// Up to the end of the last sound line, and of the last whole one.
    len: u64,
    at: u64,
    /// The beginning of a line.
    rest: Vec<u8>,
}

impl Reader {
    /// Nothing has come. `boot`: the present one.
    pub(in crate::store) fn new(boot: &str) -> Self {
        Self {
            boot: boot.to_owned(),
            begin: None,
            held: Vec::new(),
            come: 0,
            tails: Tails::default(),
            told_size: None,
            synced: Vec::new(),
            committing: None,
            same_boot: false,
            boot_start: 0,
            len: 0,
            at: 0,
            rest: Vec::new(),
        }
    }

    /// The next bytes.
    pub(in crate::store) fn feed(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let is_whole = line.ends_with(b"\n");
            if self.rest.is_empty() && is_whole {
                self.line(line);
                continue;
            }
            // No record is as long as that: it is not sound, whatever comes.
            if self.rest.len() < LONGEST_LINE {
                self.rest.extend_from_slice(line);
            } else {
                self.at += line.len() as u64;
            }
            if is_whole {
                let line = std::mem::take(&mut self.rest);
                self.line(&line);
            }
        }
    }

    /// The number of parts that are known: of a file whose bytes come in order, those that have come.
    pub(super) fn parts(&self) -> usize {
        let Some(begin) = &self.begin else { return 0 };
        match begin.ordered {
            Some(_) => self.come.saturating_add(1),
            None => begin.parts(),
        }
    }

    /// Bytes of memory that it takes.
    pub(in crate::store) fn held_bytes(&self) -> usize {
        self.held.capacity() * size_of::<(u64, HeldPart)>()
            + self.synced.capacity() * size_of::<Range<u64>>()
            + self.tails.held_bytes()
            + self.rest.capacity()
    }

    fn line(&mut self, line: &[u8]) {
        let start = self.at;
        self.at += line.len() as u64;
        let Some(record) = parse(line) else { return };
        self.len = self.at;
        match record {
            Record::Begin(found) => self.begin = Some(found),
            Record::Boot { id } => {
                self.same_boot = id == self.boot;
                self.boot_start = start;
            }
            Record::Held { part, cv } => {
                let held = HeldPart { part, cv, safe: self.same_boot, synced: false };
                self.held.push((start, held));
                self.come = self.come.max(part.saturating_add(1));
                let parts = self.parts();
                if self.held.len() / FORGET_FROM > parts {
                    self.settle();
                    self.held = latest(std::mem::take(&mut self.held));
                }
            }
            Record::Tail { part, len, cv } => {
                if self
                    .tails
                    .push(start, Tail { part, len, cv, safe: self.same_boot, synced: false })
                {
                    self.settle();
                    self.tails.forget();
                }
            }
            Record::Length { size } => self.told_size = Some(size),
            // Most say the same and more than the last one.
            Record::Synced { from, end } => match self.synced.last_mut() {
                Some(last) if last.start == from && last.end <= end => last.end = end,
                _ => self.synced.push(from..end),
            },
            Record::Committing(found) => self.committing = Some(found),
        }
    }

    /// Notes at the records of parts which of them were flushed.
    fn settle(&mut self) {
        // In order, each reaching as far as any before it.
        let mut synced = self.synced.clone();
        synced.sort_by_key(|range| range.start);
        let mut reach = 0;
        for range in &mut synced {
            reach = range.end.max(reach);
            range.end = reach;
        }
        let is_synced = |start: u64| {
            let before = synced.partition_point(|range| range.start <= start);
            before > 0 && start < synced[before - 1].end
        };
        for (start, held) in &mut self.held {
            held.synced |= is_synced(*start);
            held.safe |= held.synced;
        }
        self.tails.settle(is_synced);
    }

    /// The journal; `None` if it does not even begin.
    pub(in crate::store) fn finish(mut self) -> Option<Journal> {
        self.settle();
        let Self { begin, held, tails, told_size, committing, same_boot, boot_start, len, .. } =
            self;
        let mut flushed: Vec<usize> =
            held.iter().filter(|(_, held)| held.synced).map(|(_, held)| held.part).collect();
        flushed.sort_unstable();
        flushed.dedup();
        let whole = flushed.iter().enumerate().take_while(|(at, part)| at == *part).count();
        Some(Journal {
            begin: begin?,
            held: held.into_iter().map(|(_, held)| held).collect(),
            tails: tails.into_latest(whole),
            told_size,
            committing,
            same_boot,
            boot_start,
            len,
        })
    }
}

/// Of the records of each part the last one, and the last one that was flushed.
pub(super) fn latest<T>(mut records: Vec<(T, HeldPart)>) -> Vec<(T, HeldPart)> {
    // Whether one of the part was seen, and whether a flushed one was.
    let mut seen: HashMap<usize, bool> = HashMap::new();
    records.reverse();
    records.retain(|(_, held)| match seen.entry(held.part) {
        Entry::Vacant(free) => {
            free.insert(held.synced);
            true
        }
        Entry::Occupied(mut flushed) => held.synced && !flushed.insert(true),
    });
    records.reverse();
    records
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
mod tests;
