//! A source that is edited at random, synced after every edit, and compared by rsync.

use haul_tests::prelude::*;
use haul_tests::random::Random;

const ROUNDS: u64 = 50;

/// A name that others have had, up to four levels deep.
fn path(random: &mut Random, root: &Path) -> PathBuf {
    let mut path = root.to_owned();
    for _ in 0..random.below(4) {
        path.push(random.pick(&["a", "b", "c d", "e"]));
    }
    path.join(random.pick(&["f", "g", "h.o", "a", "b.keep.o"]))
}

/// Whatever it is.
fn clear(path: &Path) {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// Makes what is above `path`, also where files are in the way.
fn make_parents(root: &Path, path: &Path) {
    for above in path.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
        if above.starts_with(root) && !above.symlink_metadata().is_ok_and(|found| found.is_dir()) {
            clear(above);
            fs::create_dir(above).unwrap();
        }
    }
}

fn edit(random: &mut Random, root: &Path) {
    let path = path(random, root);
    make_parents(root, &path);
    match random.below(8) {
        0 | 1 => clear(&path),
        2 => {
            clear(&path);
            let target = ["f", "../a", "/nowhere"][usize::try_from(random.below(3)).unwrap()];
            symlink(target, &path).unwrap();
        }
        3 => {
            clear(&path);
            fs::create_dir(&path).unwrap();
        }
        4 => {
            if path.symlink_metadata().is_ok_and(|found| found.is_file() || found.is_dir()) {
                let mode = [0o700, 0o755, 0o711, 0o777][usize::try_from(random.below(4)).unwrap()];
                set_mode(&path, mode);
            }
        }
        5 => {
            if path.symlink_metadata().is_ok_and(|found| found.is_file() || found.is_dir()) {
                let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(random.below(1 << 61));
                fs::File::open(&path).unwrap().set_modified(time).unwrap();
            }
        }
        _ => {
            clear(&path);
            // Now and then of a size that goes in parts.
            let len = if random.below(20) == 0 { 2_500_000 } else { random.below(5000) };
            let byte = u8::try_from(random.below(256)).unwrap();
            fs::write(&path, vec![byte; usize::try_from(len).unwrap()]).unwrap();
        }
    }
}

/// Rounds of edits; what rsync finds after each must be nothing.
fn churn(seed: u64, rules: &[&str], rsync: &[&str]) {
    let server = server_with(&["--durability", "none"]);
    let place = TempDir::new().unwrap();
    let source = place.path().join("s");
    fs::create_dir(&source).unwrap();
    let mut random = Random::new(seed, 0);
    for round in 0..ROUNDS {
        for _ in 0..1 + random.below(30) {
            edit(&mut random, &source);
        }
        let mut sync = haul();
        sync.args(["sync", "--delete"]).args(rules).arg(&source).arg(server.address());
        sync.assert().success();
        let output = Command::new("rsync")
            .args(["-rlptn", "--checksum", "--delete", "--itemize-changes", "--modify-window=-1"])
            .args(rsync)
            .arg(source.join(""))
            .arg(server.root().join("s/"))
            .output()
            .expect("this test needs rsync");
        assert!(output.status.success(), "{output:?}");
        let found = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(found.is_empty(), "seed {seed}, round {round}:\n{found}");
    }
}

#[test]
fn nothing_differs_after_random_edits() {
    churn(1, &[], &[]);
}

#[test]
fn nothing_differs_after_random_edits_with_rules() {
    let rules = ["--exclude", "*.o", "--include", "*.keep.o"];
    churn(2, &rules, &["--include=*.keep.o", "--exclude=*.o"]);
}
