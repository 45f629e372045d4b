//! Large files in parts.

use std::os::unix::fs::FileExt;

use haul_protocol::{Cv, Digest, Geometry, Token};
use rustix::fs::{FlockOperation, flock};

use super::*;

const PART: usize = 1024;

fn bytes() -> Vec<u8> {
    (0..PART * 2 + 100).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect()
}

fn geometry() -> Geometry {
    Geometry::new(bytes().len() as u64, PART as u64).unwrap()
}

fn subject(state: u8) -> Subject {
    Subject { state: Token([state; 16]), digest: None }
}

fn open(directory: &Arc<Directory>, state: u8) -> (Partial, Vec<usize>) {
    Partial::open(directory, name("f"), subject(state), geometry(), true).unwrap()
}

fn part(index: usize) -> (Vec<u8>, Cv) {
    let range = geometry().range(index).unwrap();
    let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
    let bytes = bytes()[start..end].to_vec();
    let mut hasher = geometry().hasher(index).unwrap();
    assert!(hasher.update(&bytes));
    (bytes, hasher.finish().unwrap())
}

fn write(partial: &Partial, index: usize) -> bool {
    let (bytes, cv) = part(index);
    let (start, end) = bytes.split_at(bytes.len() / 3);
    partial.write(index, 0, start).unwrap();
    partial.write(index, start.len() as u64, end).unwrap();
    partial.hold(index, cv).unwrap()
}

/// A run that is killed after it has written these parts; returns its temporary file.
fn killed(place: &TempDir, directory: &Arc<Directory>, parts: &[usize]) -> std::path::PathBuf {
    free(place);
    let (partial, _) = open(directory, 1);
    for &index in parts {
        write(&partial, index);
    }
    drop(partial);
    free(place)
}

/// Waits until nobody has the lock of the temporary file, if there is one; returns its path. A child that another test starts
/// has it until that child runs its own program.
fn free(place: &TempDir) -> std::path::PathBuf {
    let path = place.path().join(usual(For::Parts, name("f")));
    while let Ok(file) = fs::File::open(&path) {
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            break;
        }
        std::thread::yield_now();
    }
    path
}

/// Writes over some bytes of a file.
fn damage(path: &Path, at: u64, bytes: &[u8]) {
    fs::File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

/// The place of a part's record.
fn record(index: usize) -> u64 {
    geometry().size() + 88 + index as u64 * 48
}

#[test]
fn file_of_parts_in_any_order_is_whole() {
    let (place, directory) = place();
    let path = place.path().join("f");
    fs::write(&path, "old").unwrap();
    let (partial, held) = open(&directory, 1);
    assert_eq!(held, [0; 0]);
    assert_eq!([2, 0, 0, 1].map(|index| write(&partial, index)), [false, false, false, true]);
    assert!(!write(&partial, 1));
    assert_eq!(partial.digest(), Some(Digest::of(&bytes())));
    assert_eq!(fs::read(&path).unwrap(), b"old");
    let attributes =
        Attributes { mode: Some(0o640), mtime: Some(Mtime { s: 1_700_000_000, ns: 1 }) };
    partial.commit(&attributes, Over::File, true).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes());
    assert_eq!((mode(&path), path.metadata().unwrap().mtime()), (0o640, 1_700_000_000));
    assert_eq!(names(place.path()), ["f"]);
}

#[test]
fn bytes_that_are_no_part_are_not_written() {
    let (_place, directory) = place();
    let (partial, _) = open(&directory, 1);
    let (bytes, cv) = part(0);
    for (index, at) in [(0, 1), (0, u64::MAX), (2, 0), (3, 0), (usize::MAX, 0)] {
        assert!(partial.write(index, at, &bytes).is_err(), "{index} from {at} on");
    }
    for index in [3, usize::MAX] {
        assert!(partial.hold(index, cv).is_err(), "{index}");
    }
    assert_eq!((partial.is_whole(), partial.digest()), (false, None));
    assert!(partial.commit(&Attributes::default(), Over::File, false).is_err());
}

#[test]
fn part_that_is_held_is_not_written_over_and_other_bytes_count_for_nothing() {
    let (place, directory) = place();
    let (partial, _) = open(&directory, 1);
    let (bytes, _) = part(0);
    let wrong = vec![!bytes[0]; bytes.len()];
    // Bytes that nobody has verified, as of a connection that is lost.
    partial.write(1, 0, &wrong[..10]).unwrap();
    assert!(!write(&partial, 0));
    partial.write(0, 0, &wrong).unwrap();
    drop(partial);
    free(&place);
    let (partial, held) = open(&directory, 1);
    assert_eq!(held, [0]);
    for index in [1, 2] {
        write(&partial, index);
    }
    partial.commit(&Attributes::default(), Over::File, false).unwrap();
    assert_eq!(fs::read(place.path().join("f")).unwrap(), self::bytes());
}

#[test]
fn threads_write_at_once_and_one_of_them_is_the_last() {
    let (place, directory) = place();
    let (partial, _) = open(&directory, 1);
    let last = std::thread::scope(|scope| {
        let partial = &partial;
        let threads = [0, 1, 2].map(|index| scope.spawn(move || write(partial, index)));
        threads.map(|thread| usize::from(thread.join().unwrap())).iter().sum::<usize>()
    });
    assert_eq!(last, 1);
    partial.commit(&Attributes::default(), Over::Nothing, false).unwrap();
    assert_eq!(fs::read(place.path().join("f")).unwrap(), bytes());
}

#[test]
fn killed_run_is_gone_on_with() {
    let (place, directory) = place();
    killed(&place, &directory, &[0, 2]);
    assert_eq!(names(place.path()).len(), 1);
    let (partial, held) = open(&directory, 1);
    assert_eq!(held, [0, 2]);
    assert!(write(&partial, 1));
    assert_eq!(partial.digest(), Some(Digest::of(&bytes())));
    partial.commit(&Attributes::default(), Over::File, false).unwrap();
    assert_eq!(fs::read(place.path().join("f")).unwrap(), bytes());
    assert_eq!(names(place.path()), ["f"]);
}

#[test]
fn file_that_was_whole_when_the_run_was_killed_is_whole() {
    let (place, directory) = place();
    killed(&place, &directory, &[0, 1, 2]);
    let (partial, held) = open(&directory, 1);
    assert_eq!((partial.is_whole(), held), (true, vec![0, 1, 2]));
}

#[test]
fn torn_record_is_a_part_that_is_not_there() {
    let (place, directory) = place();
    let path = killed(&place, &directory, &[0, 1]);
    damage(&path, record(1) + 20, &[0; 28]);
    assert_eq!(open(&directory, 1).1, [0]);
    // Cut off in the middle of the records, and of the header.
    for (len, held) in [(record(0) + 48, &[0][..]), (record(0) + 47, &[]), (record(0) - 1, &[])] {
        let path = killed(&place, &directory, &[0]);
        fs::File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
        assert_eq!(open(&directory, 1).1, held, "{len}");
    }
}

#[test]
fn parts_of_other_bytes_are_begun_anew() {
    let (place, directory) = place();
    killed(&place, &directory, &[0, 1]);
    let (partial, held) = open(&directory, 2);
    assert_eq!(held, [0; 0]);
    drop(partial);
    free(&place);
    assert_eq!(open(&directory, 1).1, [0; 0]);
    killed(&place, &directory, &[0]);
    let other = Geometry::new(geometry().size() + 1, PART as u64).unwrap();
    let opened = Partial::open(&directory, name("f"), subject(1), other, true).unwrap();
    assert_eq!(opened.1, [0; 0]);
    assert_eq!(names(place.path()).len(), 1);
}

/// Parts that were not compared one by one are of use only together with the digest that the server had told.
#[test]
fn parts_go_on_with_the_digest_that_all_of_them_must_have() {
    let [one, two] = [1, 2].map(|byte| Some(Digest([byte; 32])));
    for (left, now, is_compared, promised) in [
        (one, one, false, Some(one)),
        (one, two, true, None),
        // The server keeps no digests any more.
        (one, None, true, Some(one)),
        (None, one, true, Some(None)),
        (None, one, false, None),
    ] {
        let (place, directory) = place();
        let open = |digest, is_compared| {
            let subject = Subject { digest, ..subject(1) };
            Partial::open(&directory, name("f"), subject, geometry(), is_compared).unwrap()
        };
        let (partial, _) = open(left, true);
        write(&partial, 1);
        drop(partial);
        free(&place);
        let told = Partial::left(&directory, name("f"), geometry()).unwrap();
        assert_eq!(told, (Subject { digest: left, ..subject(1) }, 0));
        let (partial, held) = open(now, is_compared);
        let expected = if promised.is_some() { vec![1] } else { Vec::new() };
        assert_eq!(held, expected, "{left:?} {now:?}");
        assert_eq!(partial.promised(), promised.unwrap_or(now), "{left:?} {now:?}");
    }
}

/// Trap `journal_after_power_cut`.
#[test]
fn parts_of_before_a_restart_count_only_if_their_bytes_are_there() {
    let (place, directory) = place();
    let path = killed(&place, &directory, &[0, 1, 2]);
    let records = super::super::records::Records::of(subject(1), geometry());
    for index in 0..3 {
        let boot = super::super::boot::Boot([9; 8]);
        let old = super::super::records::Record { boot, cv: part(index).1 };
        damage(&path, record(index), &records.write(index, &old));
    }
    damage(&path, PART as u64 + 5, &[0; 64]);
    let (partial, held) = open(&directory, 1);
    assert_eq!(held, [0, 2]);
    assert!(write(&partial, 1));
    assert_eq!(partial.digest(), Some(Digest::of(&bytes())));
    drop(partial);
    free(&place);
    assert_eq!(open(&directory, 1).1, [0, 1, 2]);
}

#[test]
fn two_runs_at_once_share_no_parts() {
    let (place, directory) = place();
    let (one, _) = open(&directory, 1);
    write(&one, 0);
    let (other, held) = open(&directory, 1);
    assert_eq!(held, [0; 0]);
    assert_eq!(names(place.path()).len(), 2);
    write(&other, 1);
    // Nobody would find it again.
    drop(other);
    drop(one);
    free(&place);
    assert_eq!(names(place.path()).len(), 1);
    assert_eq!(open(&directory, 1).1, [0]);
}

#[test]
fn parts_that_others_could_have_written_are_begun_anew() {
    let (place, directory) = place();
    let path = killed(&place, &directory, &[0]);
    set_mode(&path, 0o666);
    assert_eq!(open(&directory, 1).1, [0; 0]);
    assert_eq!(mode(path), 0o600);
}

#[test]
fn parts_are_kept_if_the_place_is_taken_and_go_if_they_are_discarded() {
    let (place, directory) = place();
    fs::create_dir(place.path().join("f")).unwrap();
    killed(&place, &directory, &[0, 1, 2]);
    let (partial, _) = open(&directory, 1);
    let error = partial.commit(&Attributes::default(), Over::File, true).unwrap_err();
    assert!(error.is_in_the_way(), "{error}");
    free(&place);
    let (partial, held) = open(&directory, 1);
    assert_eq!(held, [0, 1, 2]);
    partial.discard();
    assert_eq!(names(place.path()), ["f"]);
}

/// Trap `symlink_swapped_in`, under the name of the parts.
#[test]
fn symlink_swapped_in_or_another_name_under_that_of_the_parts_leads_nowhere() {
    let (place, directory) = place();
    let outside = TempDir::new().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "safe").unwrap();
    let parts = place.path().join(usual(For::Parts, name("f")));
    let swap: [&dyn Fn(); 2] =
        [&|| symlink(&victim, &parts).unwrap(), &|| fs::hard_link(&victim, &parts).unwrap()];
    for swap in swap {
        swap();
        let (partial, held) = open(&directory, 1);
        assert!(held.is_empty());
        for index in 0..3 {
            write(&partial, index);
        }
        partial.commit(&with_mode(0o604), Over::File, false).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"safe");
        assert_eq!(fs::read(place.path().join("f")).unwrap(), bytes());
        let _ = fs::remove_file(&parts);
    }
}
