//! The counts and names of a dry run are those of the run itself.

use std::collections::BTreeSet;

use haul_tests::prelude::*;
use haul_tests::screen::{fit, left_in_the_end, terminal};

/// Counts that both runs have in common.
const COUNTS: [&str; 9] = [
    "files",
    "links",
    "directories",
    "bytes_total",
    "failed",
    "unchanged",
    "adjusted",
    "special_bits_dropped",
    "exit",
];

/// A source at the server that then has changed in all ways.
fn changed(verb: &str) -> Setting {
    let setting = Setting::start();
    for name in ["keep/a", "mode/b", "old/deep/c", "old/d", "tofile/y", "todir", "t", "same/r"] {
        setting.write(name, name);
    }
    setting.write("modef", "x");
    let (source, at) = (setting.source(), setting.at("s"));
    for (target, name) in [("a", "keep/l"), ("nowhere", "oldlink"), ("a", "tolink")] {
        symlink(target, source.join(name)).unwrap();
    }
    setting.haul(&[verb, "-q", "s/", &at]).assert().success();
    for name in ["old", "tofile"] {
        fs::remove_dir_all(source.join(name)).unwrap();
    }
    for name in ["oldlink", "todir", "t", "tolink"] {
        fs::remove_file(source.join(name)).unwrap();
    }
    for name in ["new/in/er/f", "tofile", "todir/i", "setuid", "keep/a"] {
        setting.write(name, "changed");
    }
    fs::create_dir(source.join("new/empty")).unwrap();
    for (target, name) in [("x", "new/l"), ("b", "tolink"), ("a", "t")] {
        symlink(target, source.join(name)).unwrap();
    }
    for (name, mode) in [("mode", 0o700), ("modef", 0o600), ("setuid", 0o4755)] {
        fs::set_permissions(source.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    setting
}

/// The events of a run.
fn events(setting: &Setting, words: &[&str]) -> Vec<Value> {
    let output = setting.haul(words).args(["s/", &setting.at("s"), "--json", "-v"]).output();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn dry_run_counts_what_the_run_itself_does() {
    for words in [
        &["put"][..],
        &["put", "--ignore-existing"],
        &["sync"],
        &["sync", "--delete"],
        &["sync", "--delete", "--checksum"],
        &["sync", "--delete", "--max-delete=0"],
        &["sync", "--ignore-existing"],
        &["publish"],
    ] {
        let setting = changed(words[0]);
        let dry = events(&setting, &[words, &["-n"]].concat());
        let run = events(&setting, words);
        let ([.., dry], [.., run]) = (&dry[..], &run[..]) else { panic!("{words:?}") };
        for count in COUNTS {
            assert_eq!(dry[count], run[count], "{words:?} {count}: {dry} {run}");
        }
        if words[0] != "publish" {
            assert_eq!(dry["removed"], run["removed"], "{words:?}: {dry} {run}");
        }
    }
}

/// The counts of a dry run of the source and those of the run itself.
fn counts(setting: &Setting, words: &[&str]) -> [Vec<Value>; 2] {
    [&["-n"][..], &[]].map(|dry| {
        let events = events(setting, &[words, dry].concat());
        COUNTS.map(|count| events[events.len() - 1][count].clone()).to_vec()
    })
}

#[test]
fn directory_without_write_permission_counts_only_if_something_is_put_into_it() {
    for words in [&["sync"][..], &["put", "--ignore-existing"]] {
        let setting = Setting::start();
        setting.write("d/f", "x");
        let closed = setting.source().join("d");
        set_mode(&closed, 0o555);
        setting.haul(&["sync", "-q", "s/", &setting.at("s")]).assert().success();
        set_mode(closed.join("f"), 0o640);
        let [dry, run] = counts(&setting, words);
        assert_eq!(dry, run, "{words:?}");
        assert_eq!(run[2], 0, "{words:?}: {run:?}");
        set_mode(&closed, 0o755);
        setting.write("d/new", "x");
        set_mode(&closed, 0o555);
        let [dry, run] = counts(&setting, words);
        assert_eq!(dry, run, "{words:?}");
        assert_eq!(run[2], 1, "{words:?}: {run:?}");
        set_mode(&closed, 0o755);
        set_mode(setting.target().join("d"), 0o755);
    }
}

/// A directory of the draft stands where the version has a file again: that waits until the directory is gone.
#[test]
fn file_that_waits_for_a_directory_of_a_draft_counts_as_unchanged() {
    let setting = Setting::start();
    let (file, bad) = (setting.source().join("f"), setting.source().join("bad"));
    let write = |name: &str| {
        setting.write(name, "same");
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000);
        set_mtime(setting.source().join(name), at);
    };
    ["f", "h"].into_iter().for_each(write);
    let publish = || setting.haul(&["publish", "-q", "s/", &setting.at("s")]);
    publish().assert().success();
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    fs::create_dir_all(bad.join(".haulignore")).unwrap();
    publish().assert().code(1);
    fs::remove_dir(&file).unwrap();
    fs::remove_dir_all(&bad).unwrap();
    write("f");
    let [dry, run] = counts(&setting, &["publish"]);
    assert_eq!(dry, run);
    assert_eq!((&run[0], &run[5]), (&json!(0), &json!(2)), "{run:?}");
}

#[test]
fn directory_takes_the_place_of_a_fifo_in_every_run() {
    for words in [&["sync"][..], &["sync", "--delete"]] {
        let setting = Setting::start();
        setting.write("d/f", "x");
        fs::create_dir(setting.target()).unwrap();
        let made = Command::new("mkfifo").arg(setting.target().join("d")).status();
        assert!(made.unwrap().success());
        let [dry, run] = counts(&setting, words);
        assert_eq!(dry, run, "{words:?}");
        assert_eq!(fs::read(setting.target().join("d/f")).unwrap(), b"x", "{words:?}");
    }
}

#[test]
fn dry_run_names_what_the_run_itself_does() {
    let setting = changed("sync");
    let words = ["sync", "--delete"];
    let names = |events: &[Value], wanted: &dyn Fn(&Value) -> bool| -> BTreeSet<String> {
        let wanted = events.iter().filter(|event| wanted(event));
        wanted.map(|event| event["name"].as_str().unwrap().to_owned()).collect()
    };
    let dry = events(&setting, &[&words[..], &["-n"]].concat());
    let run = events(&setting, &words);
    let is = |field: &'static str, value: &'static str| move |event: &Value| event[field] == value;
    assert_eq!(names(&dry, &is("do", "remove")), names(&run, &is("event", "removed")));
    let would = |event: &Value| event["event"] == "would" && event["do"] != "remove";
    assert_eq!(names(&dry, &would), names(&run, &is("event", "committed")));
    setting.same();
}

#[test]
fn dry_run_as_it_is_seen_on_80_columns() {
    let setting = Setting::start();
    setting.write("in/a", "x");
    setting.sync(&[]);
    setting.write("in/a", "longer");
    setting.write("new/b", "x");
    let output = output_of(&mut terminal(&setting, 80, "$H sync -n --connections 1 s $A"));
    fit(&output.stdout, 80);
    let mut lines = left_in_the_end(&output.stdout);
    let summary = lines.pop().unwrap();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "would adjust s/in: its entries change",
            "would adjust s: mtime differs",
            "would make s/new: new",
            "would send s/in/a: size differs, 6 bytes",
            "would send s/new/b: new, 1 byte",
        ]
    );
    assert_eq!(summary, "dry run, nothing is changed: 2 files, 3 directories, 7 B in T s");
}

#[test]
fn directory_that_could_not_be_made_fails_once() {
    let setting = Setting::start();
    setting.write("d/f", "x");
    setting.write_there("d", "x");
    let output = setting.command("put", &["--json"]).assert().code(1).get_output().clone();
    assert_eq!(last(&output.stdout)["failed"], 2, "the directory, and the file in it");
}
