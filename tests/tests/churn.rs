//! Trees that are edited at random and synced after every edit, in both directions: rsync finds nothing that differs, or
//! does the same work beside haul.

use std::collections::BTreeSet;

use haul_tests::prelude::*;
use haul_tests::random::Random;

const ROUNDS: u64 = 50;

/// Rounds in which the tree comes back.
const ROUNDS_BACK: u64 = 12;

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

/// A server's tree that comes back, and the same tree as rsync copies it.
struct Back {
    server: Hauld,
    place: TempDir,
}

impl Back {
    fn start() -> Self {
        let (server, place) = (server_with(&["--durability", "none"]), TempDir::new().unwrap());
        for directory in [server.root().join("s"), place.path().join("h/s"), place.path().join("r")]
        {
            fs::create_dir_all(directory).unwrap();
        }
        Self { server, place }
    }

    fn source(&self) -> PathBuf {
        self.server.root().join("s")
    }

    /// The tree here as haul makes it.
    fn here(&self) -> PathBuf {
        self.place.path().join("h/s")
    }

    /// The tree as rsync makes it.
    fn copy(&self) -> PathBuf {
        self.place.path().join("r")
    }

    /// A run of haul with its events.
    fn sync(&self, rules: &[&str], words: &[&str]) -> Vec<Value> {
        let mut sync = haul();
        sync.args(["sync", "--delete", "--json", "-v"]).args(words).args(rules);
        sync.arg(format!("haul://{}/s", self.server.address())).arg(self.place.path().join("h"));
        let output = sync.assert().success().get_output().stdout.clone();
        let text = String::from_utf8(output).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A directory here makes way for no file of the server, as it does for rsync: somebody has to remove it.
    fn make_way(&self) {
        for name in tree::names(&self.source()) {
            let here = self.here().join(name);
            if here.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                fs::remove_dir_all(here).unwrap();
            }
        }
    }
}

fn rsync(words: &[&str], from: &Path, to: &Path) {
    let mut rsync = Command::new("rsync");
    rsync.args(["-a", "--delete", "--modify-window=-1"]).args(words);
    let output = rsync.arg(from.join("")).arg(to.join("")).output().expect("this test needs rsync");
    assert!(output.status.success(), "{output:?}");
}

/// The names that events of this kind are about.
fn about(events: &[Value], is_wanted: impl Fn(&Value) -> bool) -> BTreeSet<String> {
    let wanted = events.iter().filter(|event| is_wanted(event));
    wanted.map(|event| event["name"].as_str().unwrap().to_owned()).collect()
}

/// The server's tree changes, and if nothing is left out also the one here: haul and rsync make the same of both, and a
/// dry run of haul has told exactly that.
fn churn_back(seed: u64, rules: &[&str], words: &[&str]) {
    let back = Back::start();
    let (mut random, mut removed) = (Random::new(seed, 0), 0);
    for round in 0..ROUNDS_BACK {
        for _ in 0..1 + random.below(30) {
            edit(&mut random, &back.source());
        }
        if rules.is_empty() {
            for _ in 0..random.below(10) {
                edit(&mut random, &back.here());
            }
        }
        back.make_way();
        rsync(&[], &back.here(), &back.copy());
        let when = format!("seed {seed}, round {round}");
        let told = back.sync(rules, &["--dry-run"]);
        let before = tree::compare(&back.copy(), &back.here());
        assert!(before.is_ok(), "{when}: the dry run has changed something: {before:?}");
        let done = back.sync(rules, &[]);
        rsync(words, &back.source(), &back.copy());
        let same = tree::compare(&back.copy(), &back.here());
        assert!(same.is_ok(), "{when}: {same:?}");

        let would = |remove| {
            about(&told, |event| event["event"] == "would" && (event["do"] == "remove") == remove)
        };
        let has = |kind: &str| about(&done, |event| event["event"] == kind);
        assert_eq!(would(true), has("removed"), "{when}");
        assert_eq!(would(false), has("committed"), "{when}");
        let counts = |events: &[Value]| {
            let summary = events.last().unwrap();
            ["files", "links", "directories", "adjusted", "unchanged", "removed", "bytes_total"]
                .map(|count| summary[count].clone())
        };
        assert_eq!(counts(&told), counts(&done), "{when}");
        removed += would(true).len();
    }
    assert!(removed > 0, "nothing had to be removed");
}

/// Trap `dry_run_lies`.
#[test]
fn tree_that_comes_back_after_random_edits_is_that_of_rsync() {
    churn_back(3, &[], &[]);
}

#[test]
fn tree_that_comes_back_after_random_edits_with_rules_is_that_of_rsync() {
    let rules = ["--exclude", "*.o", "--include", "*.keep.o"];
    churn_back(4, &rules, &["--include=*.keep.o", "--exclude=*.o"]);
}
