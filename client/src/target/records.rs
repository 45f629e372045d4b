//! The records behind the data of a large file that is not whole yet: which parts are there, with their chaining values.
//!
//! First a header, then a place for each part, all of fixed length: threads write theirs without waiting for each other. Each
//! has a check over itself and the header, so that a torn or foreign one counts as none.

use haul_protocol::{Cv, Digest, Geometry, Token};

use super::boot::{Boot, first};
use super::subject::Subject;

/// The first bytes of a header, with the number of this format.
const MAGIC: [u8; 8] = *b"haulprt2";

/// Bytes of a header.
const HEADER_LEN: usize = 88;

/// Bytes of a record.
const RECORD_LEN: usize = 48;

/// The format of the records of one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Records {
    geometry: Geometry,
    subject: Subject,
    header: [u8; HEADER_LEN],
}

/// A part that is there by its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// The start of the machine in which it was written.
    pub(super) boot: Boot,
    /// The chaining value of the part.
    pub(super) cv: Cv,
}

impl Records {
    /// Of a file and its parts.
    pub(super) fn of(subject: Subject, geometry: Geometry) -> Self {
        let mut header = [0; HEADER_LEN];
        header[..8].copy_from_slice(&MAGIC);
        header[8..16].copy_from_slice(&geometry.size().to_le_bytes());
        header[16..24].copy_from_slice(&geometry.part_size().to_le_bytes());
        header[24..40].copy_from_slice(&subject.state.0);
        if let Some(digest) = subject.digest {
            header[40] = 1;
            header[48..80].copy_from_slice(&digest.0);
        }
        let check = first(&Digest::of(&header[..80]));
        header[80..].copy_from_slice(&check);
        Self { geometry, subject, header }
    }

    /// Of the file that a header is about, if it is one of files with these parts.
    pub(super) fn of_header(bytes: &[u8], geometry: Geometry) -> Option<Self> {
        let state = Token(bytes.get(24..40)?.try_into().ok()?);
        let digest = Digest(bytes.get(48..80)?.try_into().ok()?);
        let digest = (bytes[40] == 1).then_some(digest);
        let records = Self::of(Subject { state, digest }, geometry);
        bytes.starts_with(&records.header).then_some(records)
    }

    /// The file that they are about.
    pub(super) fn subject(&self) -> Subject {
        self.subject
    }

    /// The header's bytes, which follow the data.
    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }

    /// Bytes behind the data of a file with these parts.
    pub(super) fn len_of(geometry: Geometry) -> usize {
        HEADER_LEN + geometry.parts() * RECORD_LEN
    }

    /// The place of a part's record in the file.
    pub(super) fn offset(&self, index: usize) -> u64 {
        self.geometry.size() + (HEADER_LEN + index * RECORD_LEN) as u64
    }

    /// The bytes of a part's record.
    pub(super) fn write(&self, index: usize, record: &Record) -> [u8; RECORD_LEN] {
        let mut bytes = [0; RECORD_LEN];
        bytes[..8].copy_from_slice(&record.boot.0);
        bytes[8..40].copy_from_slice(&record.cv.0);
        let check = self.check(index, &bytes[..40]);
        bytes[40..].copy_from_slice(&check);
        bytes
    }

    /// The records in the bytes behind the data; `None` if their header is of another file, or none.
    pub(super) fn read(&self, bytes: &[u8]) -> Option<Vec<Option<Record>>> {
        let records = bytes.strip_prefix(self.header())?;
        let one = |index: usize| {
            let bytes = records.get(index * RECORD_LEN..(index + 1) * RECORD_LEN)?;
            let (record, check) = bytes.split_at(40);
            if self.check(index, record) != check {
                return None;
            }
            let (boot, cv) = record.split_at(8);
            Some(Record { boot: Boot(boot.try_into().ok()?), cv: Cv(cv.try_into().ok()?) })
        };
        Some((0..self.geometry.parts()).map(one).collect())
    }

    fn check(&self, index: usize, record: &[u8]) -> [u8; 8] {
        let index = (index as u64).to_le_bytes();
        first(&Digest::of(&[&self.header[..], &index, record].concat()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_tells_the_state_of_files_of_the_same_parts_only() {
        for digest in [None, Some(Digest([9; 32]))] {
            let subject = Subject { state: Token([7; 16]), digest };
            let records = Records::of(subject, Geometry::new(5000, 1024).unwrap());
            let found = Records::of_header(records.header(), records.geometry).unwrap();
            assert_eq!((found.header, found.subject()), (records.header, subject));
            let other = Geometry::new(5001, 1024).unwrap();
            assert!(Records::of_header(records.header(), other).is_none());
            let cut = &records.header()[..HEADER_LEN - 1];
            assert!(Records::of_header(cut, records.geometry).is_none());
            for at in 0..HEADER_LEN {
                let mut bytes = records.header;
                bytes[at] ^= 1;
                assert!(Records::of_header(&bytes, records.geometry).is_none(), "{at}");
            }
        }
    }

    fn records(state: u8, size: u64) -> Records {
        let subject = Subject { state: Token([state; 16]), digest: None };
        Records::of(subject, Geometry::new(size, 1024).unwrap())
    }

    fn bytes(records: &Records, held: &[usize]) -> Vec<u8> {
        let mut bytes = records.header().to_vec();
        bytes.resize(Records::len_of(records.geometry), 0);
        for &index in held {
            let record = records.write(index, &record());
            let offset = HEADER_LEN + index * RECORD_LEN;
            bytes[offset..offset + RECORD_LEN].copy_from_slice(&record);
        }
        bytes
    }

    fn record() -> Record {
        Record { boot: Boot([3; 8]), cv: Cv([7; 32]) }
    }

    #[test]
    fn records_are_read_as_written() {
        let records = records(1, 3000);
        let bytes = bytes(&records, &[0, 2]);
        assert_eq!(records.read(&bytes).unwrap(), [Some(record()), None, Some(record())]);
        // The end was cut off.
        let cut = records.read(&bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(cut, [Some(record()), None, None]);
        assert_eq!(records.read(records.header()).unwrap(), [None; 3]);
    }

    #[test]
    fn damaged_records_count_as_none() {
        let records = records(1, 3000);
        let sound = bytes(&records, &[0]);
        for at in HEADER_LEN..HEADER_LEN + RECORD_LEN {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            assert_eq!(records.read(&bytes).unwrap(), [None; 3], "{at}");
        }
        // In another part's place.
        let mut bytes = sound.clone();
        bytes.copy_within(HEADER_LEN..HEADER_LEN + RECORD_LEN, HEADER_LEN + RECORD_LEN);
        assert_eq!(records.read(&bytes).unwrap(), [Some(record()), None, None]);
    }

    #[test]
    fn header_of_another_file_is_none() {
        let bytes = bytes(&records(1, 3000), &[0]);
        for other in [records(2, 3000), records(1, 2999)] {
            assert!(other.read(&bytes).is_none());
        }
        assert!(records(1, 3000).read(&bytes[1..]).is_none());
        assert!(records(1, 3000).read(&[]).is_none());
    }
}
