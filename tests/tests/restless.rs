//! A source that changes while haul walks it: what was there all the time is not missed.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use haul_tests::relay::{Event, Relay};
use haul_tests::setting::Setting;
use haul_tests::{binaries, eventually, tree};

/// Directories of the source.
const DIRECTORIES: usize = 40;

/// Far more files than a client finds ahead of what it sends.
fn source(setting: &Setting) {
    for directory in 0..DIRECTORIES {
        for index in 0..300 {
            setting.write(&format!("{directory}/{index}"), "x");
        }
        setting.write(&format!("{directory}/moves"), &directory.to_string());
        setting.write(&format!("{directory}/all/moves"), &directory.to_string());
    }
}

/// Starts haul with the source, and does something when `bytes` have passed to the server.
fn meanwhile(setting: &Setting, words: &[&str], bytes: u64, act: impl FnOnce()) -> Output {
    let relay = Relay::start(setting.server.address(), &[(bytes, Event::Stall)]).unwrap();
    let running = start(setting, words, &relay);
    eventually("so many bytes have passed", || relay.passed() >= bytes);
    act();
    relay.now(Event::Resume);
    running.wait_with_output().unwrap()
}

fn start(setting: &Setting, words: &[&str], relay: &Relay) -> Child {
    let site = if words[0] == "publish" { "/www/site" } else { "" };
    let mut command = Command::new(&binaries::get().haul);
    command.args(words).args(["--connections=1", "--quiet"]).arg(setting.source());
    command.arg(format!("{}{site}", relay.address())).stderr(Stdio::piped()).spawn().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whatever the order of the walk is, one of these is moved from where it was not yet to where it had been.
fn move_in_a_circle(setting: &Setting, name: &str) {
    for from in 0..DIRECTORIES {
        let (from, to) =
            (format!("{from}/{name}"), format!("{}/from-{from}", (from + 1) % DIRECTORIES));
        fs::rename(setting.source().join(from), setting.source().join(to)).unwrap();
    }
}

#[test]
fn what_is_moved_within_the_source_while_it_is_walked_is_in_the_version() {
    for name in ["moves", "all"] {
        let setting = Setting::start();
        source(&setting);
        let output = meanwhile(&setting, &["publish"], 30_000, || move_in_a_circle(&setting, name));
        assert_eq!(output.status.code(), Some(0), "{name}: {}", told(&output));
        let compared = tree::compare_bytes(&setting.source(), &setting.site()).unwrap();
        assert_eq!(compared.files, 12_080, "{name}");
    }
}

/// A file that has another one's place by now was sent twice otherwise, and the other one not at all.
#[test]
fn files_that_are_exchanged_while_the_source_is_walked_are_both_in_the_version() {
    let setting = Setting::start();
    source(&setting);
    let output = meanwhile(&setting, &["publish"], 30_000, || {
        for directory in 0..DIRECTORIES / 2 {
            let path = |directory: usize| setting.source().join(format!("{directory}/moves"));
            let (one, other) = (path(directory), path(DIRECTORIES - 1 - directory));
            fs::rename(&one, setting.source().join("away")).unwrap();
            fs::rename(&other, &one).unwrap();
            fs::rename(setting.source().join("away"), &other).unwrap();
        }
    });
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let compared = tree::compare_bytes(&setting.source(), &setting.site()).unwrap();
    assert_eq!(compared.files, 12_080);
}

/// Threads end also if a test fails.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn source_that_never_stands_still_is_not_published_and_that_is_told() {
    let setting = Setting::start();
    setting.write("d/f", "x");
    let (relay, over) =
        (Relay::start(setting.server.address(), &[]).unwrap(), AtomicBool::new(false));
    thread::scope(|scope| {
        for number in 0..4 {
            setting.write(&format!("d/{number}"), "x");
            let path = |name: &str| setting.source().join(format!("d/{number}{name}"));
            let (over, path, other) = (&over, path(""), path("-other"));
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    fs::rename(&path, &other).unwrap();
                    fs::rename(&other, &path).unwrap();
                }
            });
        }
        let _stops = Stops(&over);
        // On a busy machine the threads may stand still for as long as a walk takes.
        eventually("the source does not stand still", || {
            let output = start(&setting, &["publish"], &relay).wait_with_output().unwrap();
            let told = told(&output);
            told.contains("changed each of the 5 times") && {
                assert_eq!(output.status.code(), Some(1), "{told}");
                assert!(told.contains("nothing is published"), "{told}");
                true
            }
        });
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
        assert!(told.contains("d/.haulignore: changed while haul ran"), "{told}");
        let kept = (0..1100).filter(|directory| setting.there(&format!("d/{directory}/x.keep")));
        assert_eq!(kept.count(), 1100, "{told}");
    }
}
