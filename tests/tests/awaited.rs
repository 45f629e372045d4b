//! A source that is replaced while haul waits for its rules is not the source that haul was started with.

use std::os::unix::fs::OpenOptionsExt;

use haul_tests::prelude::*;
use rustix::fs::OFlags;

use crate::gone_sources::{is_whole, sent};

/// Does something while haul waits for its rules, which come through a FIFO. Returns haul's exit code, and the output.
fn before_rules(setting: &Setting, words: &[&str], act: impl FnOnce()) -> (Option<i32>, String) {
    let rules = setting.place.path().join("rules");
    assert!(Command::new("mkfifo").arg(&rules).status().unwrap().success());
    let mut command = haul_command();
    command.current_dir(setting.place.path()).args(words).args(["--exclude-from", "rules"]);
    let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    let mut writer = None;
    eventually("haul opens the rules", || {
        writer = File::options().write(true).custom_flags(flags).open(&rules).ok();
        writer.is_some() || running.try_wait().unwrap().is_some()
    });
    act();
    writer.unwrap().write_all(b"*.o\n").unwrap();
    fs::remove_file(rules).unwrap();
    let output = ended(running);
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code(), told)
}

#[test]
fn source_that_is_replaced_while_haul_waits_for_rules_removes_nothing_and_publishes_nothing() {
    let commands: [(&[&str], &str); 8] = [
        (&["sync", "--delete", "s/"], "s"),
        (&["sync", "--delete", "--force-delete", "--delete-all", "s/"], "s"),
        (&["sync", "--delete", "-n", "s/"], "s"),
        (&["sync", "--delete", "s"], ""),
        (&["publish", "s"], "www/site"),
        (&["publish", "--delete-all", "s"], "www/site"),
        (&["put", "s/"], "s"),
        (&["verify", "s/"], "s"),
    ];
    for (words, to) in commands {
        for is_empty in [true, false] {
            let setting = sent();
            let to = setting.at(to);
            let (code, told) = before_rules(&setting, &[words, &[&to[..]]].concat(), || {
                fs::rename(setting.source(), setting.place.path().join("away")).unwrap();
                fs::create_dir(setting.source()).unwrap();
                if !is_empty {
                    setting.write("new", "x");
                }
            });
            assert_eq!(code, Some(1), "{words:?}: {told}");
            assert!(told.contains("gone or another"), "{words:?}: {told}");
            assert!(!told.contains("would remove") && !told.contains("extra s"), "{told}");
            is_whole(&setting);
            assert!(!setting.site().join("new").exists(), "{told}");
        }
    }
}

#[test]
fn file_in_the_place_of_a_source_is_no_directory_without_entries() {
    let commands: [(&[&str], &str); 5] = [
        (&["publish", "--delete-all", "s"], "www/site"),
        (&["publish", "--delete-all", "-n", "s"], "www/site"),
        (&["sync", "--delete", "--force-delete", "--delete-all", "s/"], "s"),
        (&["put", "s/"], "s"),
        (&["put", "--files-from", "/dev/null", "s"], ""),
    ];
    for (words, to) in commands {
        let setting = sent();
        let to = setting.at(to);
        let (code, told) = before_rules(&setting, &[words, &[&to[..]]].concat(), || {
            fs::rename(setting.source(), setting.place.path().join("away")).unwrap();
            fs::write(setting.source(), "a file").unwrap();
        });
        assert_eq!(code, Some(1), "{words:?}: {told}");
        let is_told = ["not a directory", "Not a directory", "gone or another"]
            .iter()
            .any(|reason| told.contains(reason));
        assert!(is_told, "{words:?}: {told}");
        is_whole(&setting);
    }
}

/// As a release is switched.
#[test]
fn symlink_that_leads_elsewhere_while_haul_waits_for_rules_removes_nothing() {
    let setting = sent();
    let (place, current) = (setting.place.path(), setting.place.path().join("current"));
    fs::create_dir(place.join("v2")).unwrap();
    fs::write(place.join("v2/new"), "x").unwrap();
    symlink("s", &current).unwrap();
    let to = setting.at("s");
    let (code, told) = before_rules(&setting, &["sync", "--delete", "current/", &to], || {
        fs::remove_file(&current).unwrap();
        symlink("v2", &current).unwrap();
    });
    assert_eq!(code, Some(1), "{told}");
    is_whole(&setting);
}

#[test]
fn source_whose_entries_change_while_haul_waits_for_rules_is_taken_as_it_is_then() {
    for words in [&["sync", "--delete", "s"][..], &["publish", "s"]] {
        let setting = sent();
        let to = setting.at(if words[0] == "publish" { "www/site" } else { "" });
        let (code, told) = before_rules(&setting, &[words, &[&to[..]]].concat(), || {
            fs::remove_dir_all(setting.source().join("d")).unwrap();
            setting.write("new", "x");
        });
        assert_eq!(code, Some(0), "{told}");
        let there = if words[0] == "publish" { setting.site() } else { setting.target() };
        tree::compare(&setting.source(), &there).unwrap();
    }
}
