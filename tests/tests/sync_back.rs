//! `haul sync` from a server: a directory here becomes like the server's, and loses nothing by mistake.

use haul_tests::prelude::*;

/// Syncs the server's `s` into `d`, with more words, and returns the assertion.
fn back(setting: &Setting, words: &[&str]) -> assert_cmd::assert::Assert {
    let from = format!("haul://{}", setting.at("s"));
    setting.haul(&[&["sync"], words, &[&from, "d"]].concat()).assert()
}

/// A server with a tree, and the same here in `d/s`.
fn same_on_both_sides() -> Setting {
    let setting = Setting::start();
    for name in ["a", "b", "sub/c", "sub/deep/e"] {
        setting.write_there(name, name);
    }
    symlink("a", setting.target().join("l")).unwrap();
    back(&setting, &[]).success();
    equal(&setting);
    setting
}

fn here(setting: &Setting) -> PathBuf {
    setting.place.path().join("d/s")
}

#[track_caller]
fn equal(setting: &Setting) {
    tree::compare(&setting.target(), &here(setting)).unwrap();
}

/// The names of all entries here.
fn names(setting: &Setting) -> Vec<String> {
    tree::names(&here(setting))
}

#[test]
fn only_entries_come_that_differ() {
    let setting = same_on_both_sides();
    let summary = last(&back(&setting, &["--json"]).success().get_output().stdout);
    assert_eq!((summary["files"].as_u64(), summary["unchanged"].as_u64()), (Some(0), Some(5)));
    assert_eq!(summary["directories"], 0);
    setting.write_there("b", "longer than before");
    set_mode(setting.target().join("a"), 0o640);
    fs::remove_file(setting.target().join("l")).unwrap();
    symlink("b", setting.target().join("l")).unwrap();
    fs::remove_file(here(&setting).join("sub/c")).unwrap();
    let summary = last(&back(&setting, &["--json"]).success().get_output().stdout);
    assert_eq!((summary["files"].as_u64(), summary["links"].as_u64()), (Some(2), Some(1)));
    assert_eq!((summary["adjusted"].as_u64(), summary["unchanged"].as_u64()), (Some(1), Some(1)));
    equal(&setting);
}

/// Trap `dry_run_lies`.
#[test]
fn dry_run_tells_what_the_run_does_and_changes_nothing() {
    let setting = same_on_both_sides();
    setting.write_there("new/x", "x");
    setting.write_there("b", "longer than before");
    set_mode(setting.target().join("a"), 0o640);
    fs::create_dir(here(&setting).join("extra")).unwrap();
    fs::write(here(&setting).join("extra/y"), "y").unwrap();
    fs::write(here(&setting).join("sub/z"), "z").unwrap();
    let before = names(&setting);
    let told = back(&setting, &["-n", "--delete"]).success().stdout(
        contains("would get s/new/x: this machine lacks it, 1 byte")
            .and(contains("would make s/new: this machine lacks it"))
            .and(contains("would get s/b: its size is another one, 18 bytes"))
            .and(contains("would adjust s/a: its mode is another one"))
            .and(contains("would remove s/extra/y: the server lacks it"))
            .and(contains("would remove s/extra: the server lacks it"))
            .and(contains("would remove s/sub/z: the server lacks it"))
            .and(contains("would adjust s/sub: its entries change"))
            .and(contains("would adjust s: its entries change")),
    );
    assert_eq!(told.get_output().stderr, b"");
    assert_eq!(names(&setting), before);
    let counts = |summary: Value| {
        ["files", "links", "directories", "adjusted", "unchanged", "removed", "failed"]
            .map(|count| summary[count].clone())
    };
    let dry = last(&back(&setting, &["-n", "--delete", "--json"]).success().get_output().stdout);
    let run = last(&back(&setting, &["--delete", "--json"]).success().get_output().stdout);
    assert_eq!(counts(dry), counts(run));
    equal(&setting);
}

#[test]
fn entries_that_the_server_lacks_go_only_with_delete_and_within_its_bounds() {
    let setting = same_on_both_sides();
    for name in ["keep.tmp", "x1", "x2", "x3"] {
        fs::write(here(&setting).join(name), name).unwrap();
    }
    back(&setting, &[]).success();
    assert!(here(&setting).join("x1").exists());
    back(&setting, &["--delete", "--max-delete", "2", "--exclude", "*.tmp"])
        .code(1)
        .stderr(contains("--max-delete").and(contains("stays here")));
    let left = names(&setting).iter().filter(|name| name.starts_with('x')).count();
    assert_eq!(left, 1);
    back(&setting, &["--delete", "--exclude", "*.tmp"]).success();
    assert!(here(&setting).join("keep.tmp").exists());
    back(&setting, &["--delete"]).success();
    equal(&setting);
}

#[test]
fn directory_that_keeps_an_entry_stays_with_it() {
    let setting = same_on_both_sides();
    fs::create_dir_all(here(&setting).join("old/in")).unwrap();
    for name in ["old/in/keep.tmp", "old/in/go", "old/go"] {
        fs::write(here(&setting).join(name), name).unwrap();
    }
    back(&setting, &["--delete", "--exclude", "*.tmp"]).success();
    assert_eq!(tree::names(&here(&setting).join("old")), ["in/keep.tmp"]);
}

#[test]
fn symlink_here_goes_and_its_target_stays() {
    let setting = same_on_both_sides();
    let elsewhere = setting.place.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("precious"), "x").unwrap();
    symlink(&elsewhere, here(&setting).join("link")).unwrap();
    back(&setting, &["--delete"]).success();
    assert!(elsewhere.join("precious").exists());
    equal(&setting);
}

#[test]
fn empty_directory_of_the_server_removes_nothing_without_delete_all() {
    let setting = same_on_both_sides();
    fs::remove_dir_all(setting.target()).unwrap();
    fs::create_dir(setting.target()).unwrap();
    let before = names(&setting);
    back(&setting, &["--delete", "--force-delete"]).code(1).stderr(contains("--delete-all"));
    assert_eq!(names(&setting), before);
    back(&setting, &["--delete", "--delete-all"]).success();
    assert_eq!(names(&setting), Vec::<String>::new());
}

/// A dry run foretells the same.
#[test]
fn empty_directory_of_the_server_is_no_failure_where_nothing_is_here_to_remove() {
    for rules in [false, true] {
        let setting = Setting::start();
        fs::create_dir_all(setting.target()).unwrap();
        let words: &[&str] = if rules { &["--delete", "--exclude", "kept"] } else { &["--delete"] };
        for words in [&[words, &["-n"]].concat()[..], words] {
            back(&setting, words).success();
        }
        if rules {
            fs::write(here(&setting).join("kept"), "x").unwrap();
        }
        for words in [&[words, &["-n"]].concat()[..], words] {
            back(&setting, words).success();
        }
        assert_eq!(here(&setting).join("kept").exists(), rules);
    }
}

/// Trap `root_gone_looks_empty`.
#[test]
fn root_that_is_gone_removes_nothing() {
    let setting = same_on_both_sides();
    let before = names(&setting);
    let moved = setting.place.path().join("moved");
    fs::rename(setting.server.root(), moved).unwrap();
    back(&setting, &["--delete", "--delete-all", "--force-delete"])
        .code(3)
        .stderr(contains("root_gone"));
    assert_eq!(names(&setting), before);
}

/// Trap `ignore_file_unreadable`.
#[test]
fn rules_and_lists_that_can_not_be_read_remove_nothing() {
    let setting = same_on_both_sides();
    fs::write(here(&setting).join("extra"), "x").unwrap();
    fs::write(setting.place.path().join("nul"), "a\0b").unwrap();
    let before = names(&setting);
    for (words, why) in [
        (["--exclude-from", "nowhere"], "nowhere: No such file"),
        (["--exclude-from", "s"], "s: Is a directory"),
        (["--exclude-from", "nul"], "NUL bytes"),
        (["--exclude", "[secret"], "fits nothing"),
        (["--files-from", "nowhere"], "nowhere: No such file"),
        (["--files-from", "s"], "s: is a directory"),
    ] {
        let words = [&["--delete", "--force-delete", "--delete-all"], &words[..]].concat();
        let words: &[&str] = if words.contains(&"--files-from") { &words[3..] } else { &words };
        back(&setting, words).code(2).stderr(contains(why));
        assert_eq!(names(&setting), before, "{words:?}");
    }
}

/// Trap `removed_source_is_empty`.
#[test]
fn source_that_is_not_there_removes_nothing() {
    let setting = same_on_both_sides();
    let before = names(&setting);
    fs::remove_dir_all(setting.target()).unwrap();
    back(&setting, &["--delete", "--delete-all", "--force-delete"])
        .code(1)
        .stderr(contains("no such entry at the server"));
    assert_eq!(names(&setting), before);
}

#[test]
fn directory_that_the_server_can_not_list_removes_nothing_in_it() {
    let setting = same_on_both_sides();
    fs::write(here(&setting).join("extra"), "x").unwrap();
    fs::write(here(&setting).join("sub/extra"), "x").unwrap();
    // Where a directory was the server has a file: `sub` can't come.
    fs::remove_dir_all(setting.target().join("sub")).unwrap();
    setting.write_there("sub", "a file now");
    let before = names(&setting);
    back(&setting, &["--delete"]).code(1).stderr(
        contains("a directory is in its place on this machine")
            .and(contains("nothing is removed, because of what failed above")),
    );
    assert_eq!(names(&setting), before);
    back(&setting, &["--delete", "--force-delete"]).code(1);
    assert!(!here(&setting).join("extra").exists());
    assert!(here(&setting).join("sub/extra").exists());
}

#[test]
fn file_here_makes_way_for_a_directory_of_the_server() {
    let setting = same_on_both_sides();
    fs::remove_file(setting.target().join("a")).unwrap();
    setting.write_there("a/inside", "x");
    back(&setting, &[]).success();
    equal(&setting);
}

#[test]
fn contents_make_the_target_itself_like_the_source() {
    let setting = Setting::start();
    setting.write_there("a", "a");
    set_mode(setting.target(), 0o750);
    let here = setting.place.path().join("d");
    fs::create_dir(&here).unwrap();
    fs::write(here.join("extra"), "x").unwrap();
    let from = format!("haul://{}/", setting.at("s"));
    setting.haul(&["sync", "--delete", &from, "d"]).assert().success();
    tree::compare(&setting.target(), &here).unwrap();
    assert_eq!(tree::names(&here), ["a"]);
}

#[test]
fn words_tell_which_side_is_which() {
    let setting = same_on_both_sides();
    for (words, told) in [
        (
            &["sync", "box/www", "./x"][..],
            "haul: there is no `box/www` on this machine: to send a SRC that is here, write haul sync SRC HOST/PATH; to \
             get, haul sync haul://box/www ./x",
        ),
        // The last word may be a server as well.
        (
            &["sync", "--delete", "box/www", "backup"],
            "haul: there is no `box/www` on this machine: to send a SRC that is here, write haul sync SRC backup; to get, \
             haul sync haul://box/www backup",
        ),
        (&["sync", "haul://box/www", "s", "x"], "one sync goes one way"),
        (&["sync", "box:1/www", "haul://other/x"], "is a server"),
        (&["sync", "-x", "box:1/www", "x"], "--one-file-system is for a SRC on this machine"),
        (&["sync", "--congestion", "bbr", "box:1/www", "x"], "--congestion is for a SRC on"),
        (&["sync", "--delete", "box:1/a/", "box:1/b/", "x"], "--delete with several SRC"),
    ] {
        let output = setting.haul(words).assert().code(2).stdout("").get_output().clone();
        let said = String::from_utf8(output.stderr).unwrap();
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(told), "{said}");
    }
    // A server beyond doubt: the source is one of this machine.
    let nobody = ["sync", "box/www", "127.0.0.1:1/backup", "--retries", "0"];
    setting.haul(&nobody).assert().stderr(contains("to get, haul sync").not());
    // A port is enough.
    setting.haul(&["sync", &setting.at("s"), "d"]).assert().success();
    equal(&setting);
}

/// Only a sync from a server writes to this machine's disk.
#[test]
fn durability_is_that_of_the_machine_that_is_written_to() {
    let setting = Setting::start_with(&["--durability", "none"]);
    setting.write_there("file", "x");
    let from = format!("haul://{}/", setting.at("s"));
    for (words, level) in [
        (&[][..], "group"),
        (&["--durability", "group"], "group"),
        (&["--durability", "none"], "none"),
    ] {
        let words = [&["sync", "--json"][..], words, &[&from, "d"]].concat();
        let output = setting.haul(&words).assert().success();
        assert_eq!(last(&output.get_output().stdout)["durability"], level, "{words:?}");
    }
    let words = ["sync", "--durability", "none", "s", &setting.at("t")];
    setting.haul(&words).assert().code(2).stderr(contains("hauld --durability"));
}

/// Entries whose numbers the protocol has not: a time after 2^53 seconds, and a file of more than 2^53 bytes, of holes.
#[test]
fn entry_with_a_number_that_can_not_be_said_is_listed_and_not_removed_here() {
    let setting = same_on_both_sides();
    let (far, huge) = (setting.target().join("a"), setting.target().join("b"));
    set_mtime(&far, SystemTime::UNIX_EPOCH + Duration::from_secs(i64::MAX.unsigned_abs()));
    assert_eq!(fs::metadata(&far).unwrap().mtime(), i64::MAX, "the root is not in memory");
    File::options().write(true).open(&huge).unwrap().set_len(1 << 60).unwrap();
    let listed = setting.haul(&["ls", &setting.at("s")]).assert().success();
    let listed = String::from_utf8(listed.get_output().stdout.clone()).unwrap();
    assert_eq!(listed.lines().collect::<Vec<_>>(), ["a", "b", "l", "sub/"]);
    let _ = back(&setting, &["--delete"]);
    assert_eq!(fs::read(here(&setting).join("a")).unwrap(), b"a");
    assert_eq!(fs::read(here(&setting).join("b")).unwrap(), b"b");
    assert_eq!(fs::metadata(here(&setting).join("a")).unwrap().mtime(), (1 << 53) - 1);
}
