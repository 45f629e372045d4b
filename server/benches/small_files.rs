//! What the store does for one small file: stage, write, set times, close, publish. On the file system
//! of the directory for temporary files (`TMPDIR`).
//!
//! The store is compiled here a second time: it is nobody's business outside the server.

#![expect(clippy::unwrap_used, reason = "in a benchmark, a panic is the message")]
#![expect(dead_code, unused_imports, reason = "not all of the store is measured")]

#[path = "../src/accounts/client.rs"]
mod client;
#[path = "../src/locks.rs"]
mod locks;
#[path = "../src/store/mod.rs"]
mod store;

mod accounts {
    pub(crate) use crate::client::ClientId;
}

use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use haul_protocol::{Attributes, Mtime, Name};
use rustix::fs::Mode;
use tempfile::TempDir;

use store::{Change, Committing, Store};

fn main() {
    divan::main();
}

/// Files of one iteration, each in one of ten directories.
const FILES: usize = 1000;

fn staged(store: &Arc<Store>) -> impl Iterator<Item = Change> {
    let mtime = Some(Mtime { s: 1_700_000_000, ns: 123_456_789 });
    let attributes = Attributes { mode: Some(0o644), mtime };
    let parents = store.parents();
    (0..FILES).map(move |index| {
        let name = Name::parse(format!("d{}/f{index}", index % 10).as_bytes()).unwrap();
        let staged = store.stage_whole(&parents, &name, &attributes, &[7; 3000]).unwrap();
        Change::File { staged, name }
    })
}

/// A new root for each iteration, so that every name is new.
fn root() -> (TempDir, Arc<Store>) {
    let root = TempDir::new().unwrap();
    let store = Store::open(root.path(), Mode::from_raw_mode(0o022), false, 0).unwrap();
    (root, Arc::new(store))
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn none(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(FILES)).with_inputs(root).bench_local_refs(|(_, store)| {
        let parents = store.parents();
        for change in staged(store) {
            store.apply(&parents, change).unwrap();
        }
    });
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn group(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(FILES)).with_inputs(root).bench_local_refs(|(_, store)| {
        let changes = staged(store).collect();
        let mut committing = Committing::new(store);
        let (_, group) = committing.flush(changes);
        committing.apply(group);
        let (results, _) = committing.flush(Vec::new());
        results.into_iter().for_each(|result| result.unwrap());
    });
}
