//! Reading the spool, to tell the program of the changes in it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};

use haul_protocol::limits::{MAX_LINK_LEN, MAX_NAME_LEN};

use super::fate::Fate;
use super::record::{number, uncertain};
use super::spool::{Due, Spool};

/// Bytes that a run of the program gets at most: a receiver may take no more in one request.
const MOST: usize = 1 << 20;

/// Bytes of the longest record: two names of which each byte is escaped, and less than as much again.
const LONGEST: usize = 128 * 1024;

/// Bytes of records after which a run of the program gets no more.
const BYTES: usize = MOST - LONGEST;

const _: () = assert!(LONGEST > 2 * 6 * (MAX_NAME_LEN + MAX_LINK_LEN));

/// Reads the spool from the first record that is not delivered.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The file that is read, and its name.
    file: Option<(u64, BufReader<File>)>,
    line: String,
}

/// Records for one run of the program.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) lines: String,
    pub(super) events: u64,
    /// The number of the first record after it.
    pub(super) next: u64,
}

/// The next line of a file.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    /// It is read.
    Whole,
    /// It is not UTF-8. What follows it can be read.
    NoText,
    /// The file ends before the line does, or there is none.
    CutOff,
}

impl Reader {
    /// The records that are due, as many as one run gets.
    pub(super) fn batch(&mut self, spool: &Spool, due: &Due) -> io::Result<Batch> {
        let mut batch = Batch { next: due.first, ..Batch::default() };
        let end = due.first + due.fates.len() as u64;
        while batch.next < end && batch.lines.len() < BYTES {
            let Some(number) = self.next_record(spool)? else {
                // Records that are not there can't be told.
                batch.next = end;
                break;
            };
            if number >= end {
                self.file = None;
                break;
            }
            batch.next = batch.next.max(number + 1);
            let fate = number.checked_sub(due.first).and_then(|at| usize::try_from(at).ok());
            match fate.and_then(|at| due.fates.get(at)) {
                Some(Fate::Done) => {
                    batch.lines.push_str(&self.line);
                    batch.lines.push('\n');
                }
                Some(Fate::Uncertain) => {
                    batch.lines.push_str(&uncertain(&self.line));
                    batch.lines.push('\n');
                }
                _ => continue,
            }
            batch.events += 1;
        }
        Ok(batch)
    }

    /// Reads to the next record; `None`: there is no more.
    fn next_record(&mut self, spool: &Spool) -> io::Result<Option<u64>> {
        loop {
            let Some((name, file)) = &mut self.file else {
                if !self.open(spool, 0)? {
                    return Ok(None);
                }
                continue;
            };
            let (name, begun) = (*name, file.stream_position()?);
            match next_line(file, &mut self.line)? {
                Line::Whole => {
                    if let Some(number) = number(&self.line) {
                        return Ok(Some(number));
                    }
                }
                Line::NoText => tracing::warn!("a line in the spool of the hook is not text"),
                Line::CutOff => {
                    file.seek(SeekFrom::Start(begun))?;
                    if !self.open(spool, name + 1)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Opens the first file whose name is not below this one. `false`: there is none.
    fn open(&mut self, spool: &Spool, least: u64) -> io::Result<bool> {
        let names = spool.directory.segments()?;
        let Some(name) = names.into_iter().find(|name| *name >= least) else { return Ok(false) };
        let file = BufReader::with_capacity(128 * 1024, spool.directory.read(name)?);
        self.file = Some((name, file));
        Ok(true)
    }
}

/// Reads a line without its end.
fn next_line(file: &mut impl BufRead, line: &mut String) -> io::Result<Line> {
    line.clear();
    match file.read_line(line) {
        Ok(_) if line.ends_with('\n') => {
            line.pop();
            Ok(Line::Whole)
        }
        Ok(_) => Ok(Line::CutOff),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Line::NoText),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use rustix::fs::{CWD, Mode, OFlags};
    use tempfile::TempDir;

    use super::super::recovered::Recovered;
    use super::super::segment::Directory;
    use super::super::spool::{Bounds, Names};
    use super::*;

    fn record(number: u64) -> String {
        format!("{{\"id\":\"r-{number}\"}}\n")
    }

    /// A spool, and the path of the file of it that begins with this number.
    fn spool(place: &TempDir) -> (Spool, impl Fn(u64) -> PathBuf) {
        let path = place.path().to_owned();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = rustix::fs::openat(CWD, &path, flags, Mode::empty()).unwrap();
        let names = Names { boot: String::from("boot"), run: String::from("r") };
        let (directory, bounds) =
            (Directory::new(directory), Bounds { most: 1 << 20, is_durable: false });
        let spool = Spool::new(directory, Recovered::default(), bounds, names).unwrap();
        (spool, move |first| path.join(format!("{first:020}")))
    }

    fn due(first: u64, records: usize) -> Due {
        Due { first, fates: vec![Fate::Done; records], stops: None }
    }

    #[test]
    fn records_behind_a_line_that_is_no_text_are_told() {
        let place = TempDir::new().unwrap();
        let (spool, path) = spool(&place);
        let bad = b"{\"id\":\"r-1\xff\"}\n".to_vec();
        fs::write(path(0), [record(0).into(), bad, record(2).into()].concat()).unwrap();
        fs::write(path(3), record(3)).unwrap();
        let batch = Reader::default().batch(&spool, &due(0, 4)).unwrap();
        assert_eq!(batch.lines, [record(0), record(2), record(3)].concat());
        assert_eq!((batch.events, batch.next), (3, 4));
    }

    #[test]
    fn run_gets_no_more_than_was_promised() {
        let place = TempDir::new().unwrap();
        let (spool, path) = spool(&place);
        let filled = "x".repeat(2 * 6 * MAX_NAME_LEN);
        let record = |number: u64| format!("{{\"id\":\"r-{number}\",\"name\":\"{filled}\"}}\n");
        fs::write(path(0), (0..40).map(record).collect::<String>()).unwrap();
        let mut reader = Reader::default();
        let first = reader.batch(&spool, &due(0, 40)).unwrap();
        assert!(first.events > 1 && first.lines.len() <= 1 << 20, "{}", first.lines.len());
        let rest = usize::try_from(40 - first.next).unwrap();
        let second = reader.batch(&spool, &due(first.next, rest)).unwrap();
        assert_eq!(second.lines.lines().next(), Some(record(first.next).trim_end()));
    }

    #[test]
    fn record_behind_one_that_was_cut_off_is_told_from_the_next_file() {
        let place = TempDir::new().unwrap();
        let (spool, path) = spool(&place);
        fs::write(path(0), record(0) + record(1).trim_end()).unwrap();
        let mut reader = Reader::default();
        assert_eq!(reader.batch(&spool, &due(0, 1)).unwrap().lines, record(0));
        fs::write(path(2), record(2)).unwrap();
        assert_eq!(reader.batch(&spool, &due(1, 2)).unwrap().lines, record(2));
    }

    #[test]
    fn file_that_can_not_be_read_is_an_error_and_its_records_are_not_delivered() {
        let place = TempDir::new().unwrap();
        let (spool, path) = spool(&place);
        // To read a directory fails.
        fs::create_dir(path(0)).unwrap();
        fs::write(path(1), record(1)).unwrap();
        let failed = Reader::default().batch(&spool, &due(0, 2)).unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::IsADirectory);
    }
}
