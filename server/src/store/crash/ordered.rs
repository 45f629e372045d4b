//! Crashes while an upload is under way whose bytes come in order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use haul_protocol::{Name, OrderedHasher, Token};
use rustix::fs::Mode;
use tempfile::TempDir;

use super::model::{Disk, every_crash, in_memory, start, stop};
use super::{Op, record};
use crate::store::uploads::facts::OrderedFacts;
use crate::store::uploads::ordered::FoundOrdered;
use crate::store::uploads::partial::{Key, Partial};
use crate::store::{Change, Committing, Store};

const PART: u64 = 1024;
const SEED: u64 = 7;

fn name() -> Name {
    Name::parse(b"ordered").unwrap()
}

fn bytes() -> Vec<u8> {
    (0..3500_u32).map(|at| u8::try_from(at % 251).unwrap() + 1).collect()
}

fn store(root: &Path, boot: Option<&str>) -> Arc<Store> {
    let mut store = Store::open(root, Mode::from_raw_mode(0o022), true, 0).unwrap();
    if let Some(boot) = boot {
        store.boot = boot.to_owned();
    }
    Arc::new(store)
}

fn key() -> Key {
    let facts = OrderedFacts { lasting: true, ..OrderedFacts::default() };
    Key::ordered(&name(), (3500, PART), Token([3; 16]), None, facts)
}

/// An upload and its hasher.
struct Under {
    partial: Partial,
    hasher: OrderedHasher,
}

impl Under {
    fn begin(store: &Arc<Store>) -> Self {
        let partial = store.begin_ordered(&store.parents(), &key(), &name()).unwrap();
        Self { partial, hasher: OrderedHasher::new(PART).unwrap() }
    }

    /// The upload as it goes on; `None`: there is none.
    fn find(store: &Arc<Store>) -> Option<Self> {
        let id = Name::parse(key().id().as_bytes()).unwrap();
        let mut reading = store.ordered_journal(&id).unwrap()?;
        while reading.advance(&id, &mut [0; 100]).unwrap() > 0 {}
        match store.ordered(&store.parents(), &id, reading).unwrap()? {
            FoundOrdered::Published(_) => None,
            FoundOrdered::Partial(_, mut restoring) => loop {
                match restoring.advance(&mut [0; 300]).unwrap() {
                    Ok((next, _)) => restoring = next,
                    Err((partial, hasher)) => return Some(Self { partial, hasher }),
                }
            },
        }
    }

    /// The bytes up to here come, and the request ends.
    fn come(&mut self, end: usize) {
        let at = usize::try_from(self.hasher.len()).unwrap();
        let all = bytes();
        let mut rest = &all[at..end];
        self.partial.write_at(&name(), at as u64, rest).unwrap();
        while !rest.is_empty() {
            if let Some((part, cv)) = self.hasher.update(&mut rest) {
                let start = part as u64 * PART;
                self.partial.hold(&name(), part, cv, start..start + PART).unwrap();
            }
        }
        if let Some(cv) = self.hasher.tail() {
            let (part, len) = (self.hasher.parts(), self.hasher.len() % PART);
            self.partial.note_tail(&name(), part, len, cv).unwrap();
        }
    }
}

/// Recovers under a boot; returns how many bytes are offered, all of which must be there.
fn offered(disk: &Disk, boot: Option<&str>) -> u64 {
    let root: TempDir = in_memory();
    disk.materialize(root.path());
    let store = store(root.path(), boot);
    let Some(mut under) = Under::find(&store) else { return 0 };
    let len = under.hasher.len();
    let path = root.path().join(".haul/partials").join(key().id());
    let is_there = |len: u64| {
        let len = usize::try_from(len).unwrap();
        let there = std::fs::read(&path).unwrap();
        assert!(there.len() >= len && there[..len] == bytes()[..len], "{len} bytes are not there");
    };
    is_there(len);
    // It goes on, and is found again.
    let next = usize::try_from(len + 300).unwrap().min(3500);
    under.come(next);
    drop(under);
    let again = Under::find(&store).unwrap();
    // Bytes of an earlier boot may be there behind those.
    assert!(again.hasher.len() >= next as u64);
    is_there(again.hasher.len());
    len
}

#[test]
fn every_crash_of_an_upload_in_order_keeps_the_bytes_that_were_to_last() {
    let root = in_memory();
    let store = store(root.path(), None);
    let disk = start(root.path());
    let mut under = Under::begin(&store);
    under.come(700);
    under.partial.lasting(&name()).run().unwrap();
    record(|| Op::Told("700"));
    under.come(900);
    under.come(2500);
    under.partial.lasting(&name()).run().unwrap();
    record(|| Op::Told("2500"));
    under.come(2600);
    let ops = stop();
    let (mut most, mut states) = (0, 0);
    every_crash(&disk, &ops, SEED, |disk, told| {
        let promised = match told.last() {
            Some(&"2500") => 2500,
            Some(_) => 700,
            None => 0,
        };
        let offered = offered(disk, Some("another boot"));
        assert!(offered >= promised, "{offered} bytes after {told:?}");
        most = most.max(offered);
        states += 1;
    });
    assert!(most == 2600 && states > 20, "{most} bytes, {states} states");
    // Without one of the flushes the promise would be broken, and found to be.
    let without: Vec<Op> = ops.into_iter().filter(|op| !matches!(op, Op::Sync { .. })).collect();
    let broken = catch_unwind(AssertUnwindSafe(|| {
        every_crash(&disk, &without, SEED, |disk, told| {
            let offered = offered(disk, Some("another boot"));
            assert!(offered >= if told.contains(&"2500") { 2500 } else { 0 });
        })
    }));
    assert!(broken.is_err(), "a record without a flush must break the promise");
}

/// A crash of the process loses nothing that was written.
#[test]
fn every_crash_of_the_process_keeps_all_bytes_of_requests_that_have_ended() {
    let root = in_memory();
    let store = store(root.path(), None);
    for (begin, end) in [(0, 10), (10, 1024), (1024, 1025), (1025, 2048), (2048, 3500)] {
        let mut under = match begin {
            0 => Under::begin(&store),
            _ => Under::find(&store).unwrap(),
        };
        assert_eq!(under.hasher.len(), begin);
        under.come(end);
    }
    let under = Under::find(&store).unwrap();
    let digest = haul_protocol::Digest::of(&bytes());
    assert_eq!(under.hasher.finish(), Some(digest));
    let upload = crate::store::OrderedUpload {
        name: name(),
        account: None,
        size: Some(3500),
        facts: OrderedFacts::default(),
    };
    let change: Change = under.partial.finish_ordered(&upload, 3500, None, digest).unwrap();
    for result in Committing::new(&store).commit(vec![change]) {
        result.unwrap();
    }
    assert_eq!(std::fs::read(root.path().join("ordered")).unwrap(), bytes());
}

/// A journal that is written anew after a restart of the machine tells the same.
#[test]
fn tail_outlasts_a_journal_that_is_written_anew() {
    let root = in_memory();
    let first = store(root.path(), None);
    let mut under = Under::begin(&first);
    under.come(1500);
    drop((under, first));
    let second = store(root.path(), Some("second boot"));
    let disk = start(root.path());
    let mut under = Under::find(&second).unwrap();
    assert_eq!(under.hasher.len(), 1500);
    under.partial.lasting(&name()).run().unwrap();
    record(|| Op::Told("1500"));
    under.come(1700);
    under.partial.lasting(&name()).run().unwrap();
    record(|| Op::Told("1700"));
    drop((under, second));
    let ops = stop();
    assert!(ops.iter().any(|op| matches!(op, Op::Rename { .. })), "no journal is written anew");
    every_crash(&disk, &ops, SEED, |disk, told| {
        let offered = offered(disk, Some("third boot"));
        let promised = match told.last() {
            Some(&"1700") => 1700,
            Some(_) => 1500,
            None => 1024,
        };
        assert!(offered >= promised, "{offered} bytes after {told:?}");
    });
}
