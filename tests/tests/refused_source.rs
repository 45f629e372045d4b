//! A source that is refused, or another directory by now, opens no private directory of the server.

use haul_tests::prelude::*;

/// A private directory at the server, and an open one here; both have a file.
fn private(setting: &Setting, name: &str) -> PathBuf {
    setting.write("f", "x");
    setting.write(&format!("{name}/f"), "x");
    let here = setting.source().join(name);
    set_mode(setting.source(), 0o700);
    set_mode(&here, 0o700);
    setting.sync(&[]);
    here
}

#[test]
fn source_that_counts_as_empty_gives_no_mode_unless_that_is_wanted() {
    for named in [false, true] {
        let setting = Setting::start();
        private(&setting, "d");
        fs::remove_dir_all(setting.source()).unwrap();
        fs::create_dir(setting.source()).unwrap();
        set_mode(setting.source(), 0o755);
        let server = setting.server.address().to_owned();
        let at = setting.at("s");
        let words = match named {
            true => ["s", &server],
            false => ["s/", &at],
        };
        for flags in [&["--delete"][..], &["--delete", "-n"]] {
            let refused = setting.haul(&[&["sync"], flags, &words].concat()).assert().code(1);
            refused.stderr(contains("--delete-all")).stdout(contains("would adjust").not());
            assert_eq!(mode(setting.target()), 0o700);
            assert!(setting.there("d/f"));
        }
        let words = [&["sync", "--delete", "--delete-all"], &words[..]].concat();
        setting.haul(&words).assert().success();
        assert_eq!(mode(setting.target()), 0o755);
    }
}

/// Has the client held while a large file is on its way, and an open directory take the place of a private one.
fn replaced(name: &str, words: &[&str]) -> (Setting, Option<i32>, String) {
    let setting = Setting::start();
    let here = private(&setting, "d");
    let here = if name.is_empty() { setting.source() } else { here };
    File::create(setting.source().join("large")).unwrap().set_len(LARGE).unwrap();
    setting.write("d/new", "x");
    setting.rests();
    let partials = setting.server.root().join(".haul/partials");
    let start = |server: &str| {
        let mut command = haul_command();
        command.args(["sync", "--connections=1", "--quiet"]).args(words).arg(setting.source());
        command.arg(server);
        command
    };
    let held = Held::start(&setting.server, start, || {
        let is_walked = setting.there("d/new");
        is_walked && fs::read_dir(&partials).is_ok_and(|mut files| files.next().is_some())
    });
    fs::rename(&here, setting.place.path().join("away")).unwrap();
    fs::create_dir(&here).unwrap();
    set_mode(&here, 0o755);
    let output = held.go_on();
    (setting, output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn source_that_is_replaced_under_way_gives_no_mode() {
    for words in [&["--delete"][..], &[]] {
        let (setting, code, told) = replaced("", words);
        assert_eq!((code, mode(setting.target())), (Some(1), 0o700), "{words:?}: {told}");
    }
}

#[test]
fn directory_that_is_replaced_under_way_gives_no_mode() {
    for (words, wanted) in [(&["--delete"][..], Some(1)), (&[], Some(0))] {
        let (setting, code, told) = replaced("d", words);
        assert_eq!((code, mode(setting.target().join("d"))), (wanted, 0o700), "{words:?}: {told}");
        assert!(setting.there("d/f"));
    }
}

#[test]
fn directory_of_which_only_the_mode_differs_counts_as_its_dry_run_says() {
    let setting = Setting::start();
    private(&setting, "d");
    for name in ["", "d"] {
        let here = setting.source().join(name);
        set_mode(&here, 0o755);
        let dry = last(&setting.command("sync", &["--json", "-n"]).output().stdout);
        assert_eq!(dry["directories"], 1);
        assert_eq!(setting.sync(&[])["directories"], 1);
        assert_eq!(mode(setting.target().join(name)), 0o755);
        assert_eq!(setting.sync(&[])["directories"], 0);
    }
}
