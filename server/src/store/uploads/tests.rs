//! Partials across openings: what an `open` finds of an earlier one.

use std::path::PathBuf;
use std::sync::Arc;

use haul_protocol::{Attributes, Cv, Digest, Geometry, Name};
use rustix::fs::Mode;
use serde_json::json;
use tempfile::TempDir;

use super::journal::{Committing, Record, line, read};
use super::partial::{Key, Partial, journal_name};
use super::resume::Resumed;
use crate::store::error::StoreError;
use crate::store::identity::Identity;
use crate::store::{Change, Committing as Committer, Store};

const SIZE: u64 = 2000;
const PART: u64 = 1024;

/// A store, and a file of two parts.
struct Setup {
    root: Arc<TempDir>,
    store: Arc<Store>,
    key: Key,
    name: Name,
}

impl Setup {
    fn new() -> Self {
        Self::with(false)
    }

    fn with(durable: bool) -> Self {
        let root = TempDir::new().unwrap();
        let store = Store::open(root.path(), Mode::from_raw_mode(0o022), durable, 0).unwrap();
        let name = Name::parse(b"file").unwrap();
        let key = Key::new(&name, geometry(), "fingerprint", (None, "identity"));
        Self { root: Arc::new(root), store: Arc::new(store), key, name }
    }

    /// Another file in the same store.
    fn another(&self, number: usize) -> Self {
        let name = Name::parse(format!("file/{number}").as_bytes()).unwrap();
        let key = Key::new(&name, geometry(), "fingerprint", (None, "identity"));
        Self { root: Arc::clone(&self.root), store: Arc::clone(&self.store), key, name }
    }

    fn journal(&self) -> PathBuf {
        self.root.path().join(".haul/partials").join(journal_name(self.key.id()))
    }

    fn open(&self) -> Resumed {
        let Self { store, key, name, .. } = self;
        let mut read = store.journal(key, name).unwrap();
        while let Some(reading) = &mut read
            && reading.advance(name, &mut [0; 100]).unwrap() > 0
        {}
        store.partial(&store.parents(), key, name, (geometry(), false), read).unwrap()
    }

    fn is_published(&self) -> bool {
        matches!(self.open(), Resumed::Published(..))
    }

    /// A partial that is whole.
    fn whole(&self) -> Partial {
        let Resumed::Partial(partial, _) = self.open() else { panic!("it is published") };
        partial.write_at(&self.name, 0, &[1; 2000]).unwrap();
        for (part, range) in [0..PART, PART..SIZE].into_iter().enumerate() {
            partial.hold(&self.name, part, Cv([7; 32]), range).unwrap();
        }
        partial
    }

    /// Publishes the file; returns the last record of its journal.
    fn publish(&self) -> Committing {
        let partial = self.whole();
        self.tick(&partial);
        let finished = partial.finish(self.name.clone(), &Attributes::default(), Digest([1; 32]));
        let finished = finished.unwrap();
        let committing = finished.committing();
        let change = Change::Upload(Box::new(finished));
        self.store.apply(&self.store.parents(), change).unwrap();
        committing
    }

    /// Lets the clock of the file system tick once.
    fn tick(&self, partial: &Partial) {
        let now = |file: &std::fs::File| rustix::fs::fstat(file).unwrap().st_ctime_nsec;
        let made = rustix::fs::fstat(&partial.0.data).unwrap().st_ctime_nsec;
        let probe = std::fs::File::create(self.root.path().join("probe")).unwrap();
        while now(&probe) == made {
            rustix::fs::fchmod(&probe, Mode::RUSR).unwrap();
        }
    }

    /// Puts another last record in place of this one.
    fn say(&self, committing: Committing, other: &[u8]) {
        let mut bytes = std::fs::read(self.journal()).unwrap();
        let old = line(&Record::Committing(committing));
        assert!(bytes.ends_with(&old));
        bytes.truncate(bytes.len() - old.len());
        bytes.extend_from_slice(other);
        std::fs::write(self.journal(), bytes).unwrap();
    }
}

fn geometry() -> Geometry {
    Geometry::new(SIZE, PART).unwrap()
}

/// As a record, with the checksum of its line.
fn checked(json: &serde_json::Value) -> Vec<u8> {
    let json = serde_json::to_vec(json).unwrap();
    let sum = &Digest::of(&json).to_hex()[..16];
    [sum.as_bytes(), b" ", &json, b"\n"].concat()
}

/// A later version of the file may have its inode number, size and mtime.
#[test]
fn file_with_the_inode_number_of_a_published_one_is_not_taken_for_it() {
    let setup = Setup::new();
    let committing = setup.publish();
    assert!(setup.is_published());
    let mut file = serde_json::to_value(committing.file.unwrap()).unwrap();
    file["born"][1] = json!(file["born"][1].as_u64().unwrap() ^ 1);
    let file: Option<Identity> = serde_json::from_value(file).unwrap();
    let other = line(&Record::Committing(Committing { file, ..committing }));
    setup.say(committing, &other);
    assert!(!setup.is_published());
}

#[test]
fn published_file_is_not_known_again_without_its_time_of_birth() {
    let setup = Setup::new();
    let committing = setup.publish();
    setup.say(committing, &line(&Record::Committing(Committing { file: None, ..committing })));
    assert!(!setup.is_published());
    // As an earlier server has said it.
    let setup = Setup::new();
    let committing = setup.publish();
    let Committing { digest, file, mtime } = committing;
    let inode = &serde_json::to_value(file.unwrap()).unwrap()["inode"];
    let record = json!({"is": "committing", "digest": digest, "inode": inode, "mtime": mtime});
    setup.say(committing, &checked(&record));
    assert!(!setup.is_published());
}

/// Each partial may be tried again and again, and there may be many.
#[test]
fn journals_do_not_grow_by_commits_that_are_refused() {
    for durable in [false, true] {
        let setup = Setup::with(durable);
        let commit = |setup: &Setup| {
            let Resumed::Partial(partial, _) = setup.open() else { panic!("it is published") };
            let attributes = Attributes::default();
            let finished = partial.finish(setup.name.clone(), &attributes, Digest([1; 32]));
            let change = Change::Upload(Box::new(finished.unwrap()));
            match durable {
                true => Committer::new(&setup.store).commit(vec![change]).remove(0),
                false => setup.store.apply(&setup.store.parents(), change),
            }
        };
        let many: Vec<_> = (0..40).map(|number| setup.another(number)).collect();
        let len = || -> u64 {
            many.iter().map(|file| std::fs::metadata(file.journal()).unwrap().len()).sum()
        };
        let refused = |file: &Setup| matches!(commit(file), Err(StoreError::Publishing { .. }));
        many.iter().for_each(|file| drop(file.whole()));
        assert!(setup.store.guard.close(&setup.name));
        assert!(many.iter().all(refused));
        let before = len();
        for _ in 0..5 {
            assert!(many.iter().all(refused));
            assert_eq!(len(), before, "durable: {durable}");
        }
        setup.store.guard.open(&setup.name);
        let setup = &many[7];
        commit(setup).unwrap();
        let journal = read(&std::fs::read(setup.journal()).unwrap(), &setup.store.boot).unwrap();
        assert!(journal.committing.is_some());
    }
}

/// Parts that are read and compared after each restart are noted again each time.
#[test]
fn restarts_of_the_machine_cost_no_part_of_an_upload() {
    const PARTS: usize = 700;
    for durable in [false, true] {
        let root = TempDir::new().unwrap();
        let name = Name::parse(b"file").unwrap();
        let geometry = Geometry::new(PARTS as u64 * PART, PART).unwrap();
        let key = Key::new(&name, geometry, "fingerprint", (None, "identity"));
        for boot in 0..8 {
            let mut store =
                Store::open(root.path(), Mode::from_raw_mode(0o022), durable, 0).unwrap();
            store.boot = format!("boot {boot}");
            let store = Arc::new(store);
            let mut read = store.journal(&key, &name).unwrap();
            while let Some(reading) = &mut read
                && reading.advance(&name, &mut [0; 5000]).unwrap() > 0
            {}
            let opened = store.partial(&store.parents(), &key, &name, (geometry, false), read);
            let Resumed::Partial(partial, mut verifying) = opened.unwrap() else {
                panic!("it is published")
            };
            while !verifying.is_over() {
                verifying.advance(&partial, &name, geometry, &mut [0; 5000]).unwrap();
            }
            let journal = root.path().join(".haul/partials").join(journal_name(key.id()));
            let len = std::fs::metadata(journal).unwrap().len();
            assert!(len < super::journal::longest(PARTS), "{len} bytes in boot {boot}");
            assert_eq!(verifying.held().len(), if boot == 0 { 0 } else { PARTS }, "boot {boot}");
            for part in (0..PARTS).filter(|_| boot == 0) {
                let range = geometry.range(part).unwrap();
                let bytes = vec![u8::try_from(part % 251).unwrap(); usize::try_from(PART).unwrap()];
                let mut hasher = geometry.hasher(part).unwrap();
                assert!(hasher.update(&bytes));
                partial.write_at(&name, range.start, &bytes).unwrap();
                partial.hold(&name, part, hasher.finish().unwrap(), range).unwrap();
            }
            if boot == 3 {
                partial.flush(&name).run().unwrap();
            }
        }
        let staged = std::fs::read_dir(root.path().join(".haul/staged/0")).unwrap();
        assert_eq!(staged.count(), 0);
    }
}

#[test]
fn upload_for_which_there_is_no_room_leaves_no_file_behind() {
    let Setup { root, store, key, name } = Setup::new();
    drop(store);
    let store = Store::open(root.path(), Mode::from_raw_mode(0o022), false, u64::MAX).unwrap();
    let store = Arc::new(store);
    let opened = store.partial(&store.parents(), &key, &name, (geometry(), false), None);
    assert!(matches!(opened, Err(StoreError::NoRoom { .. })));
    let partials = std::fs::read_dir(root.path().join(".haul/partials")).unwrap();
    assert_eq!(partials.count(), 0);
}

/// A server without accounts finds the partials of an earlier server again, and no account does.
#[test]
fn key_without_an_account_is_that_of_earlier_servers_and_each_account_has_its_own() {
    let name = Name::parse(b"a").unwrap();
    let key = |account| Key::new(&name, geometry(), "f", (account, "i")).id().to_owned();
    let (size, part_size) = (geometry().size(), geometry().part_size());
    let earlier = format!(
        r#"{{"name":[97],"size":{size},"part_size":{part_size},"fingerprint":"f","identity":"i"}}"#
    );
    let earlier = Digest::of(earlier.as_bytes()).to_hex();
    assert_eq!(key(None), earlier[..32]);
    assert_ne!(key(None), key(Some("alice")));
    assert_ne!(key(Some("bob")), key(Some("alice")));
}
