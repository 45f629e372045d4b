//! Small files cost few allocations: in a run of many, each one would be paid a hundred thousand times. A program of its own,
//! because its allocator counts all that the process does.
//!
//! The client runs here and the server is a process of its own, once with few files and once with many, so that what a run costs
//! however small it is does not count. The server has no such test: how many files it stores together depends on the time that
//! it has.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use dhat::{Alloc, HeapStats, Profiler};
use haul_client::Transfer;
use haul_protocol::{Attributes, Mtime, Name, decode_bundle, encode_bundled};
use haul_tests::hauld::server;
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: Alloc = Alloc;

/// One test counts at a time.
static COUNTS: Mutex<()> = Mutex::new(());

/// Files of the smaller and of the larger run, in directories of [`IN_ONE`] each.
const FILES: [usize; 2] = [100, 1100];
const IN_ONE: usize = 100;

/// A source `s` with so many files of 2 KiB.
fn source(files: usize) -> TempDir {
    let place = TempDir::new().unwrap();
    for index in 0..files {
        let directory = place.path().join(format!("s/d{:02}", index / IN_ONE));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("file{index}")), [7; 2048]).unwrap();
    }
    place
}

/// Allocations for each file more, of a run that takes the source `s` in a directory.
fn each(run: impl Fn(&Path)) -> f64 {
    let _only = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    // All that a process does once is done then.
    run(source(1).path());
    let [few, many] = FILES.map(|files| {
        let place = source(files);
        let _profiler = Profiler::builder().testing().build();
        run(place.path());
        HeapStats::get().total_blocks as f64
    });
    (many - few) / (FILES[1] - FILES[0]) as f64
}

/// Its name at the server, its path, and two on the way to the path, in walkdir. The rest are those of directories and bundles.
#[test]
fn client_allocates_six_times_for_a_small_file_at_most() {
    let each = each(|place| {
        let server = server();
        let transfer = Transfer::builder(server.address().parse().unwrap());
        let report = transfer.put([place.join("s")]).build().unwrap().run(&mut ()).unwrap();
        assert_eq!(report.counts.failed, 0);
    });
    assert!((1.0..6.0).contains(&each), "{each}");
}

/// Files of a bundle that is longer than one may be, so that a few allocations for all of it don't count.
const BUNDLED: u64 = 1000;

#[test]
fn line_is_encoded_without_an_allocation_and_decoded_with_that_of_its_name() {
    let _only = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let attributes =
        Attributes { mode: Some(0o644), mtime: Some(Mtime { s: 1_700_000_000, ns: 123_456_789 }) };
    let name = |index| format!("tiny/d{:04}/f{index}", index / 100);
    let names = (0..BUNDLED).map(|index| Name::parse(name(index).as_bytes()).unwrap());
    let names: Vec<_> = names.collect();
    let above = Name::parse(b"tiny").unwrap();
    let mut body = Vec::with_capacity(1 << 20);
    let _profiler = Profiler::builder().testing().build();
    let allocations = || HeapStats::get().total_blocks;

    for name in &names {
        encode_bundled(name, 5, &attributes, &mut body).unwrap();
        body.extend_from_slice(b"hello");
    }
    let encoded = allocations();
    assert!(encoded <= 20, "{encoded} allocations to encode {BUNDLED} lines");

    let files = decode_bundle(&body, BUNDLED).unwrap();
    let decoded = allocations() - encoded;
    assert!(decoded <= BUNDLED + 20, "{decoded} allocations to decode {BUNDLED} lines");
    assert!(files.iter().map(|file| &file.name).eq(&names));

    let before = allocations();
    let joined: Vec<_> = names.iter().map(|name| above.join(name.as_bytes()).unwrap()).collect();
    let made = allocations() - before;
    assert!(made <= BUNDLED + 20, "{made} allocations to join {} names", joined.len());
}
