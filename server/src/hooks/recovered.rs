//! The rests of an earlier run in the spool, and the fate of changes that it does not tell.
//!
//! A record without a mark is of a change that was under way when the server was killed. It is decided by a look at the entry,
//! before anybody may change that: either the change's effect is there, or the change has not happened. Of a rename, a publish
//! and a rollback names do not tell; the hook is told that they are uncertain.
//!
//! The last marks say that changes were seen. After a loss of power their entries may be gone, since the marks and the names
//! were about to be flushed. If such an entry is not there, its record is uncertain.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};

use haul_protocol::EntryKind;

use super::fate::{Fate, Mark, Marks};
use super::record::{Effect, Record, number};
use super::segment::Directory;
use crate::store::Store;

/// Bytes of the longest line that is read: several times the longest name, escaped.
const LONGEST: usize = 256 * 1024;

/// The spool as it is at the start of a server.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// Its files: the least number of a record in each, and its bytes.
    pub(super) segments: VecDeque<(u64, u64)>,
    /// The fates of all records from `first` on, none of which is open.
    pub(super) fates: VecDeque<Fate>,
    pub(super) first: u64,
    /// The fates that were decided now.
    pub(super) marks: Marks,
}

/// The fates as far as the lines tell them.
#[derive(Debug, Default)]
struct Told {
    first: u64,
    fates: VecDeque<Fate>,
    /// The marks of the last write.
    last: Vec<Mark>,
    /// The last line was a record.
    is_after_record: bool,
    /// The boot in which the last file was written.
    boot: String,
}

impl Told {
    /// Takes one line.
    fn line(&mut self, line: &str) {
        if let Some(boot) = line.strip_prefix('@') {
            boot.clone_into(&mut self.boot);
        } else if let Some(mark) = Mark::parse(line) {
            if std::mem::take(&mut self.is_after_record) {
                self.last.clear();
            }
            self.last.push(mark);
            self.set(mark.from..=mark.to.min(self.next()), mark.fate);
        } else if let Some(number) = number(line) {
            self.is_after_record = true;
            // A record that is missing can't be told.
            while number >= self.first && self.next() <= number {
                let fate = if self.next() == number { Fate::Open } else { Fate::Never };
                self.fates.push_back(fate);
            }
        }
    }

    fn next(&self) -> u64 {
        self.first + self.fates.len() as u64
    }

    fn set(&mut self, numbers: impl Iterator<Item = u64>, fate: Fate) {
        for number in numbers {
            let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
            if let Some(found) = at.and_then(|at| self.fates.get_mut(at)) {
                *found = fate;
            }
        }
    }

    fn fate(&self, number: u64) -> Option<Fate> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.fates.get(at).copied()
    }
}

/// Reads the spool. `boot`: names this boot of the machine.
pub(super) fn recover(directory: &Directory, store: &Store, boot: &str) -> io::Result<Recovered> {
    let first = directory.first_undelivered();
    let mut segments = VecDeque::new();
    let mut told: Option<Told> = None;
    let names = directory.segments()?;
    for &name in &names {
        let file = directory.read(name)?;
        segments.push_back((name, file.metadata()?.len()));
        let told = told.get_or_insert_with(|| Told { first: first.max(name), ..Told::default() });
        lines(file, |line| told.line(line))?;
    }
    let Some(mut told) = told else {
        return Ok(Recovered { first, ..Recovered::default() });
    };
    let mut marks = Marks::default();
    let is_other_boot = told.boot != boot;
    let doubted: Vec<Mark> =
        if is_other_boot { std::mem::take(&mut told.last) } else { Vec::new() };
    let is_doubted = |number| doubted.iter().any(|mark| (mark.from..=mark.to).contains(&number));
    for &name in &names {
        lines(directory.read(name)?, |line| {
            let Some(number) = number(line) else { return };
            let fate = match told.fate(number) {
                Some(Fate::Open) => decided(line, store, Fate::Never),
                Some(Fate::Done) if is_doubted(number) => decided(line, store, Fate::Uncertain),
                _ => return,
            };
            told.set(std::iter::once(number), fate);
            marks.add(number, fate);
        })?;
    }
    Ok(Recovered { segments, fates: told.fates, first: told.first, marks })
}

/// The fate of a change, by a look at its entry; `otherwise` if the change's effect is not there.
fn decided(line: &str, store: &Store, otherwise: Fate) -> Fate {
    let Some(record) = Record::parse(line) else { return Fate::Never };
    let parents = store.parents();
    let kind = |name| store.kind(&parents, name).unwrap_or(None);
    let is_there = match record.effect() {
        Effect::File { name, size, digest } => {
            store.holds(&parents, &name, (size, digest), record.second())
        }
        Effect::Symlink { name, target } => kind(&name) == Some(EntryKind::Link { target }),
        Effect::Directory { name } => kind(&name) == Some(EntryKind::Directory),
        Effect::Nothing { name } => kind(&name).is_none(),
        Effect::Unknown => return Fate::Uncertain,
    };
    if is_there { Fate::Done } else { otherwise }
}

/// Calls `take` with each whole line of a file. The end of one that was cut off by a crash is of a change that never began.
pub(super) fn lines(file: impl Read, mut take: impl FnMut(&str)) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(128 * 1024, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        Read::take(&mut reader, LONGEST as u64).read_until(b'\n', &mut line)?;
        let Some(whole) = line.strip_suffix(b"\n") else {
            if line.len() < LONGEST {
                return Ok(());
            }
            continue;
        };
        match std::str::from_utf8(whole) {
            Ok(line) => take(line),
            Err(_) => tracing::warn!("a line in the spool of the hook is not text"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use haul_protocol::{Attributes, Digest, Name};
    use rustix::fs::{CWD, Mode, OFlags};
    use tempfile::TempDir;

    use super::*;
    use crate::store::Change;

    fn record(number: u64, name: &str, bytes: &[u8]) -> String {
        let (size, digest) = (bytes.len(), Digest::of(bytes).to_hex());
        format!(
            "{{\"id\":\"r-{number}\",\"time\":\"2020-01-01T00:00:00Z\",\"event\":\"file\",\"name\":\"{name}\",\
             \"size\":{size},\"digest\":\"{digest}\",\"account\":null,\"address\":\"a\",\"dialect\":\"haul\"}}\n"
        )
    }

    /// A store with these files, and the spool with this text in it.
    fn place(files: &[(&str, &[u8])], text: &str) -> (TempDir, Arc<Store>, Directory) {
        let place = TempDir::new().unwrap();
        let store = Store::open(place.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
        let store = Arc::new(store);
        for (name, bytes) in files {
            let name = Name::parse(name.as_bytes()).unwrap();
            let parents = store.parents();
            let staged = store.stage_whole(&parents, &name, &Attributes::default(), bytes).unwrap();
            store.apply(&parents, Change::File { staged, name }).unwrap();
        }
        let spool = place.path().join("spool");
        fs::create_dir(&spool).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = rustix::fs::openat(CWD, &spool, flags, Mode::empty()).unwrap();
        fs::write(spool.join("00000000000000000005"), text).unwrap();
        (place, store, Directory::new(directory))
    }

    fn fates(files: &[(&str, &[u8])], text: &str, boot: &str) -> Vec<Fate> {
        let (_place, store, directory) = place(files, text);
        let recovered = recover(&directory, &store, boot).unwrap();
        assert_eq!(recovered.first, 5);
        recovered.fates.into()
    }

    #[test]
    fn record_without_a_mark_is_of_a_change_that_happened_if_its_entry_is_there() {
        let files: [(&str, &[u8]); 2] = [("there", b"abc"), ("other", b"xyz")];
        let text = [
            "@boot\n".to_owned(),
            record(5, "there", b"abc"),
            record(6, "missing", b"abc"),
            record(7, "other", b"abc"),
            record(8, "other", b"xy"),
        ];
        let found = fates(&files, &text.concat(), "boot");
        assert_eq!(found, [Fate::Done, Fate::Never, Fate::Never, Fate::Never]);
    }

    #[test]
    fn mark_counts_though_the_entry_is_gone_by_now() {
        let text = ["@boot\n".to_owned(), record(5, "a", b""), record(6, "b", b"")].concat();
        let text = text + "=5-5 done\n=6-6 never\n" + &record(7, "c", b"") + "{\"id\":\"r-8\",\"ti";
        let wanted = [Fate::Done, Fate::Never, Fate::Never];
        assert_eq!(fates(&[], &text, "boot"), wanted);
        // The marks were not flushed by what came after them.
        let wanted = [Fate::Uncertain, Fate::Never, Fate::Never];
        assert_eq!(fates(&[], &text, "next boot"), wanted);
        // They were: the next write came after the flush.
        let text = text.rsplit_once('\n').unwrap().0.to_owned() + "\n=7-7 never\n";
        assert_eq!(fates(&[], &text, "next boot"), [Fate::Done, Fate::Never, Fate::Never]);
    }

    #[test]
    fn rename_that_was_under_way_is_uncertain_and_lines_that_are_none_are_left_out() {
        let rename = record(5, "a", b"").replace("\"file\"", "\"rename\"");
        let text = rename + "nonsense\n{}\n=9\n" + &record(8, "a", b"");
        let wanted = [Fate::Uncertain, Fate::Never, Fate::Never, Fate::Never];
        assert_eq!(fates(&[], &text, ""), wanted);
    }

    #[test]
    fn only_records_that_are_not_delivered_count() {
        let text =
            record(5, "a", b"") + &record(6, "a", b"") + "=5-6 done\n" + &record(7, "a", b"");
        let (place, store, directory) = place(&[], &text);
        fs::write(place.path().join("spool/delivered"), "00000000000000000006\n").unwrap();
        let recovered = recover(&directory, &store, "").unwrap();
        assert_eq!((recovered.first, recovered.fates), (6, [Fate::Done, Fate::Never].into()));
        assert_eq!(recovered.segments.len(), 1);
    }
}
