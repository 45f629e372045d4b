//! Rules and lists that another program is just writing: haul waits until they are whole.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use haul_tests::relay::{Event, Relay};
use haul_tests::setting::Setting;
use haul_tests::{binaries, eventually};

/// A file of rules that was away for less than this was away for a moment.
const MOMENT: Duration = Duration::from_millis(200);

/// The commands that send a source, and what comes after the server's address.
const VERBS: [(&str, &str); 4] =
    [("put", ""), ("sync", ""), ("sync --delete", ""), ("publish", "/s")];

fn haul(words: &[&str], source: &Path, to: &str) -> Child {
    let mut command = Command::new(&binaries::get().haul);
    command.args(words).arg(source).arg(to).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits until haul has a file open, or has ended.
fn opens(running: &mut Child, path: &Path) {
    let open = format!("/proc/{}/fd", running.id());
    eventually("haul reads the file", || {
        let found = fs::read_dir(&open).into_iter().flatten().flatten();
        let mut found = found.filter_map(|entry| fs::read_link(entry.path()).ok());
        found.any(|found| found == path) || running.try_wait().unwrap().is_some()
    });
}

/// As git replaces a file, and editors that keep the old one.
#[test]
fn rules_that_are_away_for_a_moment_are_waited_for() {
    for (verb, site) in VERBS {
        for directory in ["", "in/"] {
            let is_tried = (0..100).any(|_| {
                let setting = Setting::start();
                for name in ["secret", "f", ".haulignore"] {
                    setting.write(&format!("{directory}{name}"), "secret\n");
                }
                let relay = Relay::start(setting.server.address(), &[]).unwrap();
                let rules = setting.source().join(format!("{directory}.haulignore"));
                let aside = setting.place.path().join("aside");
                let begun = Instant::now();
                fs::rename(&rules, &aside).unwrap();
                let words: Vec<&str> = verb.split(' ').collect();
                let to = format!("{}{site}", relay.address());
                let mut running = haul(&words, &setting.source(), &to);
                eventually("haul is there", || {
                    relay.passed() > 0 || running.try_wait().unwrap().is_some()
                });
                fs::rename(&aside, &rules).unwrap();
                // On a busy machine they may be away for longer, and count as gone.
                let is_tried = begun.elapsed() < MOMENT;
                let output = running.wait_with_output().unwrap();
                if is_tried {
                    assert_eq!(output.status.code(), Some(0), "{verb}: {}", told(&output));
                    assert!(setting.there(&format!("{directory}f")), "{verb}: {}", told(&output));
                    let secret = setting.there(&format!("{directory}secret"));
                    assert!(!secret, "{verb} {directory}: {}", told(&output));
                }
                is_tried
            });
            assert!(is_tried, "the machine is too busy");
        }
    }
}

/// A program empties the file first and writes it then.
#[test]
fn rules_of_the_command_line_that_are_empty_for_a_moment_are_waited_for() {
    for (verb, site) in VERBS {
        let setting = Setting::start();
        setting.write("secret", "x");
        setting.write("f", "x");
        let rules = setting.place.path().join("rules");
        fs::write(&rules, "secret\n").unwrap();
        let mut file = File::create(&rules).unwrap();
        let mut words: Vec<&str> = verb.split(' ').collect();
        words.extend(["--exclude-from", rules.to_str().unwrap()]);
        let to = format!("{}{site}", setting.server.address());
        let mut running = haul(&words, &setting.source(), &to);
        opens(&mut running, &rules);
        file.write_all(b"secret\n").unwrap();
        drop(file);
        let output = running.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        assert!(setting.there("f") && !setting.there("secret"), "{verb}: {}", told(&output));
    }
}

#[test]
fn list_of_which_only_a_part_is_written_is_waited_for() {
    let setting = Setting::start();
    ["f", "g", "h"].iter().for_each(|name| setting.write(name, "x"));
    let list = setting.place.path().join("list");
    let mut file = File::create(&list).unwrap();
    file.write_all(b"f\ng").unwrap();
    let words = ["put", "--files-from", list.to_str().unwrap()];
    let to = format!("{}/s", setting.server.address());
    let mut running = haul(&words, &setting.source().join(""), &to);
    opens(&mut running, &list);
    file.write_all(b"\nh\n").unwrap();
    drop(file);
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(["f", "g", "h"].iter().all(|name| setting.there(name)), "{}", told(&output));
}

#[test]
fn list_that_is_written_while_it_is_read_is_a_failure() {
    let setting = Setting::start();
    let mut names = String::new();
    for index in 0..8000 {
        let name = format!("a-name-that-takes-some-room-in-the-list-{index}");
        setting.write(&name, "x");
        names.push_str(&(name + "\n"));
    }
    let list = setting.place.path().join("list");
    fs::write(&list, &names).unwrap();
    let relay = Relay::start(setting.server.address(), &[(50_000, Event::Stall)]).unwrap();
    let words = ["put", "--connections=1", "--files-from", list.to_str().unwrap()];
    let running = haul(&words, &setting.source().join(""), relay.address());
    eventually("some names are sent", || relay.passed() >= 50_000);
    fs::write(&list, &names[..names.len() / 2]).unwrap();
    relay.now(Event::Resume);
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("the list was written"), "{}", told(&output));
}
