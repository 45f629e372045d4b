//! The records behind the data of a large file that is not whole yet: which parts are there, with their chaining values.
//!
//! First a header, then a place for each part, all of fixed length: threads write theirs without waiting for each other. Each
//! has a check over itself and the header, so that a torn or foreign one counts as none.

use haul_protocol::{Cv, Digest, Geometry, Token};

use super::boot::{Boot, first};

/// The first bytes of a header, with the number of this format.
const MAGIC: [u8; 8] = *b"haulprt1";

/// Bytes of a header.
const HEADER_LEN: usize = 48;

/// Bytes of a record.
const RECORD_LEN: usize = 48;

/// The format of the records of one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Records {
    geometry: Geometry,
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
    /// Of a file's state and parts.
    pub(super) fn of(state: Token, geometry: Geometry) -> Self {
        let mut header = [0; HEADER_LEN];
        header[..8].copy_from_slice(&MAGIC);
        header[8..16].copy_from_slice(&geometry.size().to_le_bytes());
        header[16..24].copy_from_slice(&geometry.part_size().to_le_bytes());
        header[24..40].copy_from_slice(&state.0);
        let check = first(&Digest::of(&header[..40]));
        header[40..].copy_from_slice(&check);
        Self { geometry, header }
    }

    /// Of the file that a header is about, if it is one of files with these parts.
    pub(super) fn of_header(bytes: &[u8], geometry: Geometry) -> Option<(Self, Token)> {
        let state = Token(bytes.get(24..40)?.try_into().ok()?);
        let records = Self::of(state, geometry);
        bytes.starts_with(&records.header).then_some((records, state))
    }

    /// The header's bytes, which follow the data.
    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }

    /// Bytes behind the data.
    pub(super) fn len(&self) -> usize {
        HEADER_LEN + self.geometry.parts() * RECORD_LEN
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
        let records = records(7, 5000);
        let (found, state) = Records::of_header(records.header(), records.geometry).unwrap();
        assert_eq!((found.header, state), (records.header, Token([7; 16])));
        let other = Geometry::new(5001, 1024).unwrap();
        assert!(Records::of_header(records.header(), other).is_none());
        assert!(Records::of_header(&records.header()[..47], records.geometry).is_none());
        assert!(Records::of_header(&[0; 48], records.geometry).is_none());
    }

    fn records(state: u8, size: u64) -> Records {
        Records::of(Token([state; 16]), Geometry::new(size, 1024).unwrap())
    }

    fn bytes(records: &Records, held: &[usize]) -> Vec<u8> {
        let mut bytes = records.header().to_vec();
        bytes.resize(records.len(), 0);
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
