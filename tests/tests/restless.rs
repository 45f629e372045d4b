//! A source that changes while haul walks it: what was there all the time is not missed.

use std::sync::mpsc::{RecvTimeoutError, channel};

use haul_protocol::Digest;
use haul_tests::prelude::*;

/// More files than a client with one connection finds ahead of what it sends.
const DIRECTORIES: usize = 30;
const FILES: usize = 700;

/// Bytes that a client sends for less than half of them.
const SOME: u64 = 1_000_000;

fn source(setting: &Setting) {
    for directory in 0..DIRECTORIES {
        for index in 0..FILES {
            setting.write(&format!("{directory}/{index}"), "x");
        }
        setting.write(&format!("{directory}/one"), &directory.to_string());
        setting.write(&format!("{directory}/all/one"), &directory.to_string());
    }
}

/// The first and the last directory, in the order in which the walk comes to them: that of the file system.
fn ends(setting: &Setting) -> [PathBuf; 2] {
    let found = fs::read_dir(setting.source()).unwrap().map(|entry| entry.unwrap().path());
    let found: Vec<_> = found.collect();
    [found[0].clone(), found[DIRECTORIES - 1].clone()]
}

/// Starts haul with the source, and does something when `bytes` have passed to the server.
fn meanwhile(setting: &Setting, words: &[&str], bytes: u64, act: impl FnOnce()) -> Output {
    setting.rests();
    let relay = Relay::start(setting.server.address(), &[(bytes, Event::Stall)]).unwrap();
    let running = start(setting, words, &relay);
    eventually("so many bytes have passed", || relay.passed() >= bytes);
    act();
    relay.now(Event::Resume);
    ended(running)
}

fn start(setting: &Setting, words: &[&str], relay: &Relay) -> Child {
    let site = if words[0] == "publish" { "/www/site" } else { "" };
    let mut command = haul_command();
    command.args(words).arg("--connections=1").arg(setting.source());
    command.arg(format!("{}{site}", relay.address())).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).spawn().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// It was published after the source was looked through once more, and nothing had vanished: that alone would be a
/// reason to look again.
fn is_published_as_it_is(setting: &Setting, output: &Output) {
    let told = told(output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    tree::compare_bytes(&setting.source(), &setting.site()).unwrap();
    assert!(told.contains("looks through the source once more"), "{told}");
    assert!(!told.contains("gone"), "{told}");
}

/// Publishes the source, and does something with its first and its last directory when the walk is between them.
fn publish_while(setting: &Setting, act: impl FnOnce(&Path, &Path)) {
    let [first, last] = ends(setting);
    let output = meanwhile(setting, &["publish"], SOME, || act(&first, &last));
    is_published_as_it_is(setting, &output);
}

#[test]
fn file_that_is_moved_to_where_the_walk_has_been_is_in_the_version() {
    let setting = Setting::start();
    source(&setting);
    publish_while(&setting, |first, last| {
        fs::rename(last.join("one"), first.join("moved")).unwrap();
    });
}

#[test]
fn directory_that_is_moved_to_where_the_walk_has_been_is_in_the_version() {
    let setting = Setting::start();
    source(&setting);
    publish_while(&setting, |first, last| {
        fs::rename(last.join("all"), first.join("moved")).unwrap();
    });
}

/// Otherwise the one would be sent twice, and the other not at all.
#[test]
fn files_that_are_exchanged_while_the_source_is_walked_are_both_in_the_version() {
    let setting = Setting::start();
    source(&setting);
    let away = setting.place.path().join("away");
    publish_while(&setting, |first, last| {
        for (from, to) in [
            (first.join("one"), away.clone()),
            (last.join("one"), first.join("one")),
            (away, last.join("one")),
        ] {
            fs::rename(from, to).unwrap();
        }
    });
}

/// More directories than the client remembers: it finds them by walking again.
#[test]
fn one_of_very_many_directories_that_changes_is_walked_again() {
    let setting = Setting::start();
    source(&setting);
    for index in 0..4500 {
        fs::create_dir_all(setting.source().join(format!("0/many/{index}"))).unwrap();
    }
    publish_while(&setting, |first, last| {
        fs::rename(last.join("one"), first.join("moved")).unwrap();
    });
}

/// It would be removed only from a version that an earlier run has left.
#[test]
fn what_goes_after_it_was_sent_is_not_in_the_version_and_not_in_the_receipt() {
    let setting = Setting::start();
    source(&setting);
    let [first, last_one] = ends(&setting);
    let receipt = setting.place.path().join("receipt");
    let words = ["publish", "--json", "--receipt", receipt.to_str().unwrap()];
    // All of it but the last has been sent by then.
    setting.write("large", &"x".repeat(5_000_000));
    let output = meanwhile(&setting, &words, 6_000_000, || {
        fs::remove_file(first.join("one")).unwrap();
        fs::write(last_one.join("one"), "another").unwrap();
    });
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    tree::compare_bytes(&setting.source(), &setting.site()).unwrap();
    let text = fs::read_to_string(&receipt).unwrap();
    for line in text.lines() {
        let (digest, name) = line.split_once("  ").unwrap();
        let bytes = fs::read(setting.server.root().join(name)).unwrap();
        assert_eq!(Digest::of(&bytes).to_string(), digest, "{name}");
    }
    assert_eq!(text.lines().count(), DIRECTORIES * (FILES + 2), "one for each file");
    assert_eq!(last(&output.stdout)["failed"], 0);
}

/// What was sent may be removed again, and a directory may come in the place of a file.
#[test]
fn receipt_of_a_sync_lists_what_is_there_in_the_end() {
    let setting = Setting::start();
    source(&setting);
    let [first, last] = ends(&setting);
    setting.write("large", &"x".repeat(5_000_000));
    let receipt = setting.place.path().join("receipt");
    let words = ["sync", "--delete", "--receipt", receipt.to_str().unwrap()];
    let output = meanwhile(&setting, &words, 6_000_000, || {
        fs::remove_file(first.join("one")).unwrap();
        fs::remove_file(last.join("one")).unwrap();
        fs::create_dir(last.join("one")).unwrap();
    });
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    setting.same();
    let text = fs::read_to_string(&receipt).unwrap();
    let are_there = text.lines().filter(|line| {
        let (digest, name) = line.split_once("  ").unwrap();
        let bytes = fs::read(setting.server.root().join(name)).unwrap();
        Digest::of(&bytes).to_string() == digest
    });
    assert_eq!(are_there.count(), DIRECTORIES * (FILES + 2) + 1 - 2);
}

/// Publishes until `bytes` have passed, and is killed then.
fn interrupted(setting: &Setting, bytes: u64) {
    let relay = Relay::start(setting.server.address(), &[(bytes, Event::Stall)]).unwrap();
    let mut running = start(setting, &["publish"], &relay);
    eventually("so many bytes have passed", || relay.passed() >= bytes);
    running.kill().unwrap();
    running.wait().unwrap();
}

#[test]
fn directory_that_is_moved_while_a_version_is_gone_on_with_is_in_it() {
    let setting = Setting::start();
    source(&setting);
    interrupted(&setting, SOME);
    let [first, last] = ends(&setting);
    let output = meanwhile(&setting, &["publish"], 300_000, || {
        fs::rename(first.join("all"), last.join("moved")).unwrap();
    });
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    tree::compare_bytes(&setting.source(), &setting.site()).unwrap();
}

/// After the removal what is removed is sent once more, and nobody looks for what else the source lacks by now.
#[test]
fn what_goes_while_leftovers_are_removed_is_not_in_the_version() {
    let setting = Setting::start();
    setting.write("d/victim", "x");
    for index in 0..3000 {
        setting.write(&format!("d/leftover-{index}"), "x");
    }
    // Nothing is published because of that, and everything else is there for the next run.
    fs::create_dir_all(setting.source().join("broken/.haulignore")).unwrap();
    setting.publish(&[]).assert().failure();
    fs::remove_dir_all(setting.source().join("broken")).unwrap();
    for index in 0..3000 {
        fs::remove_file(setting.source().join(format!("d/leftover-{index}"))).unwrap();
    }
    let directory = setting.source().join("d");
    let output = meanwhile(&setting, &["publish"], 50_000, || {
        fs::remove_file(directory.join("victim")).unwrap();
        let changed = fs::metadata(&directory).unwrap().modified().unwrap();
        eventually("that is long ago", || changed.elapsed().is_ok_and(|since| since.as_secs() > 1));
    });
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    tree::compare_bytes(&setting.source(), &setting.site()).unwrap();
}

/// The server has it under a name that it had before; while it is walked it comes to where the walk has been.
#[test]
fn file_that_is_moved_to_where_the_walk_has_been_is_not_lost_by_a_removal() {
    let setting = Setting::start();
    source(&setting);
    let [first, last] = ends(&setting);
    fs::rename(last.join("one"), setting.source().join("before")).unwrap();
    setting.command("sync", &["--exclude=*/[1-9]*"]).assert().success();
    fs::rename(setting.source().join("before"), last.join("one")).unwrap();
    let output = meanwhile(&setting, &["sync", "--delete"], SOME, || {
        fs::rename(last.join("one"), first.join("moved")).unwrap();
    });
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    setting.same();
}

/// Nobody walks once more when the removal has begun.
#[test]
fn file_that_is_moved_while_others_are_removed_keeps_its_old_name() {
    for force in [false, true] {
        let setting = Setting::start();
        let long = "x".repeat(200);
        setting.write("d/7", "x");
        setting.write("e/f", "x");
        setting.sync(&[]);
        for index in 0..5000 {
            setting.write_there(&format!("d/{index}-gone{long}"), "x");
        }
        let (from, to) = (setting.source().join("d/7"), setting.source().join("e/7"));
        let words: &[&str] = if force { &["--force-delete"] } else { &[] };
        let words = [&["sync", "--delete"], words].concat();
        // The server lists a directory in the order of names, some of them at a time: "7" is in one of the last answers.
        let output = meanwhile(&setting, &words, 50_000, || fs::rename(&from, &to).unwrap());
        let told = told(&output);
        if force {
            assert_eq!(output.status.code(), Some(0), "{told}");
            assert!(!setting.there("d/7") && !setting.there(&format!("d/7-gone{long}")), "{told}");
        } else {
            assert_eq!(output.status.code(), Some(1), "{told}");
            assert!(told.contains("d/7: gone since it was found"), "{told}");
            assert!(setting.there("d/7") && setting.there(&format!("d/7-gone{long}")), "{told}");
        }
        setting.sync(&["--delete"]);
        setting.same();
    }
}

#[test]
fn source_that_never_stands_still_is_not_published_nor_loses_anything_and_that_is_told() {
    let setting = Setting::start();
    setting.write_there("gone", "x");
    setting.write("d/f", "x");
    let relay = Relay::start(setting.server.address(), &[]).unwrap();
    thread::scope(|scope| {
        // Dropped at the end, or by a panic.
        let mut ends = Vec::new();
        for number in 0..2 {
            setting.write(&format!("d/{number}"), "x");
            let path = |name: &str| setting.source().join(format!("d/{number}{name}"));
            let (path, other) = (path(""), path("-other"));
            let (end, over) = channel::<()>();
            ends.push(end);
            scope.spawn(move || {
                // Far more often than haul looks, and others keep the processor.
                while over.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout)
                {
                    fs::rename(&path, &other).unwrap();
                    fs::rename(&other, &path).unwrap();
                }
            });
        }
        for (words, says) in [
            (&["publish"][..], "nothing is published"),
            (&["sync", "--delete"], "nothing is removed"),
        ] {
            // On a busy machine the threads may stand still for as long as a walk takes.
            eventually("the source does not stand still", || {
                setting.write_there("gone", "x");
                let output = ended(start(&setting, words, &relay));
                let told = told(&output);
                told.contains("changed each of the 5 times") && {
                    assert_eq!(output.status.code(), Some(1), "{told}");
                    assert!(told.contains(says) && setting.there("gone"), "{told}");
                    true
                }
            });
        }
    });
    setting.write("d/last", "x");
    setting.published(&[]);
    assert!(setting.site().join("d/last").exists());
}

/// More directories than haul remembers the rules of, so that it reads the rules again.
#[test]
fn rules_that_change_after_the_walk_remove_nothing() {
    for change in [None, Some(""), Some("*.other\n")] {
        let setting = Setting::start();
        for directory in 0..1100 {
            setting.write(&format!("d/{directory}/f"), "x");
        }
        setting.sync(&[]);
        let rules = setting.source().join("d/.haulignore");
        fs::write(&rules, "*.keep\n").unwrap();
        for directory in 0..1100 {
            setting.write_there(&format!("d/{directory}/x.keep"), "x");
        }
        setting.write("large", &"x".repeat(3_000_000));
        let words = ["sync", "--delete", "--force-delete"];
        let output = meanwhile(&setting, &words, 2_000_000, || match change {
            None => fs::remove_file(&rules).unwrap(),
            Some(change) => fs::write(&rules, change).unwrap(),
        });
        let told = told(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("d/.haulignore: came, went or changed while haul ran"), "{told}");
        let kept = (0..1100).filter(|directory| setting.there(&format!("d/{directory}/x.keep")));
        assert_eq!(kept.count(), 1100, "{told}");
    }
}

/// The source is walked once more, and has changed the rules for what is new.
#[test]
fn rules_that_come_or_change_while_haul_runs_hold_for_what_is_new() {
    for before in [None, Some("other\n")] {
        let setting = Setting::start();
        setting.write("d/f", "x");
        before.inspect(|text| setting.write("d/.haulignore", text));
        setting.write("large", &"x".repeat(3_000_000));
        let output = meanwhile(&setting, &["sync", "--delete"], 2_000_000, || {
            setting.write("d/.haulignore", "secret\n");
            setting.write("d/secret", "x");
        });
        let told = told(&output);
        assert!(!setting.there("d/secret"), "{told}");
        assert_eq!(output.status.code(), Some(i32::from(before.is_some())), "{told}");
    }
}

/// Otherwise haul itself would forget what they leave out.
#[test]
fn rules_are_not_removed_here_with_what_has_arrived() {
    let setting = Setting::start_with(&["--durability", "group"]);
    fs::write(setting.source().join(".haulignore"), "secret\n").unwrap();
    for directory in 0..1500 {
        setting.write(&format!("{directory}/d/f"), "x");
        setting.write(&format!("{directory}/d/secret"), "x");
    }
    setting.command("put", &["--remove-source"]).assert().success();
    assert!(setting.target().join(".haulignore").exists() || setting.there(".haulignore"));
    let left = walkdir::WalkDir::new(setting.source()).into_iter().flatten();
    let left = left.filter(|entry| entry.file_type().is_file());
    let left: Vec<_> = left.map(|entry| entry.file_name().to_owned()).collect();
    let rules = left.iter().filter(|name| *name == ".haulignore").count();
    assert_eq!((left.len(), rules), (1501, 1), "the next run needs them as well");
}
