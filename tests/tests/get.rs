//! `haul get`: what was sent comes back as it was.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::UNIX_EPOCH;

use haul_tests::bytes::counted;
use haul_tests::prelude::*;
use haul_tests::screen::{fit, left_in_the_end, terminal};

/// Gets sources at the server into a directory, and returns the summary.
#[track_caller]
fn get(setting: &Setting, words: &[&str]) -> Value {
    let output = setting.haul(&[&["get", "--json"], words].concat()).assert().success();
    last(&output.get_output().stdout)
}

/// A time with nanoseconds, so many seconds after the year 2001.
fn moment(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::new(978_307_200 + seconds, 123_456_789)
}

/// The events of one kind.
fn events(output: &[u8], kind: &str) -> Vec<Value> {
    let lines = String::from_utf8(output.to_vec()).unwrap();
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == kind).collect()
}

/// A tree with entries of all kinds, sizes, modes and names.
fn tree_of_all_kinds(top: &Path) {
    let sizes = [0, 1, 128 << 10, (128 << 10) + 1, 1 << 20, (1 << 20) + 1, 5 << 20];
    for (index, size) in (0..).zip(sizes) {
        let path = top.join(format!("of {size} bytes"));
        fs::write(&path, counted(size)).unwrap();
        set_mtime(&path, moment(index));
    }
    fs::create_dir(top.join("empty")).unwrap();
    let deep = top.join(vec!["deep"; 60].join("/"));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "deep").unwrap();
    let bytes = OsStr::from_bytes(b"no \xff UTF-8 \n");
    fs::create_dir(top.join(bytes)).unwrap();
    fs::write(top.join(bytes).join(bytes), "x").unwrap();
    symlink(bytes, top.join("to bytes")).unwrap();
    for (name, target) in
        [("dangling", "nowhere/at/all"), ("absolute", "/etc/passwd"), ("to a directory", "empty")]
    {
        symlink(target, top.join(name)).unwrap();
    }
    for (name, bits) in [("open", 0o777), ("runs", 0o755), ("read only", 0o444)] {
        fs::write(top.join(name), name).unwrap();
        set_mode(top.join(name), bits);
    }
    fs::create_dir(top.join("fixed")).unwrap();
    fs::write(top.join("fixed/file"), "fixed").unwrap();
    set_mode(top.join("fixed"), 0o555);
    set_mtime(top.join("fixed"), moment(7));
    if rustix::process::geteuid().is_root() {
        fs::write(top.join("closed"), "closed").unwrap();
        set_mode(top.join("closed"), 0);
    }
    set_mode(top, 0o751);
    set_mtime(top, moment(8));
}

#[test]
fn tree_that_was_sent_comes_back_as_it_was() {
    let setting = Setting::start();
    tree_of_all_kinds(&setting.source());
    setting.command("put", &[]).assert().success();
    setting.same();
    let summary = get(&setting, &[&setting.at("s"), "d"]);
    let there = setting.place.path().join("d/s");
    let compared = tree::compare(&setting.source(), &there).unwrap();
    assert_eq!(summary["files"], compared.files);
    assert_eq!(summary["links"], compared.links);
    assert_eq!(summary["directories"], compared.directories);
    assert_eq!(summary["bytes_total"], compared.bytes);
    assert!(summary["bytes_received"].as_u64() >= Some(compared.bytes), "{summary}");
    // Once more over all of it.
    get(&setting, &[&setting.at("s"), "d", "--durability", "none", "--connections", "1"]);
    tree::compare(&setting.source(), &there).unwrap();
}

#[test]
fn directory_of_three_thousand_entries_comes_whole() {
    let setting = Setting::start();
    for index in 0..3000 {
        setting.write_there(&format!("{index:04}-{}", "x".repeat(index % 200)), &index.to_string());
    }
    let summary = get(&setting, &[&setting.at("s"), "d"]);
    assert_eq!(summary["files"], 3000);
    tree::compare(&setting.target(), &setting.place.path().join("d/s")).unwrap();
}

#[test]
fn directory_comes_itself_its_contents_with_a_slash_and_the_root_as_contents() {
    let setting = Setting::start();
    setting.write_there("in/a", "a");
    for (source, names) in
        [("s", "s/in/a"), ("s/", "in/a"), ("s/in", "in/a"), ("s/in/", "a"), ("", "s/in/a")]
    {
        let place = setting.place.path().join("d");
        get(&setting, &[&setting.at(source), "d"]);
        assert_eq!(tree::names(&place), [names], "{source}");
        fs::remove_dir_all(place).unwrap();
    }
    get(&setting, &[setting.server.address(), "d/is/made"]);
    assert_eq!(tree::names(&setting.place.path().join("d/is/made")), ["s/in/a"]);
}

#[test]
fn several_sources_come_together() {
    let setting = Setting::start();
    for name in ["a/one", "b/two", "c/in/three", "file"] {
        setting.write_there(name, name);
    }
    let at = |path: &str| setting.at(path);
    get(&setting, &[&at("s/a"), &at("s/b/"), &at("s/c/"), &at("s/file"), "d"]);
    let place = setting.place.path().join("d");
    assert_eq!(tree::names(&place), ["a/one", "file", "in/three", "two"]);
    let twice = setting.haul(&["get", &at("s/a"), &at("s/c/../a"), "d"]).assert().code(2);
    drop(twice);
    let twice = setting.haul(&["get", &at("s/a"), &at("s/b/a"), "d"]).assert().code(2);
    twice.stderr(contains("two SRC would both become `a` here"));
}

#[test]
fn file_comes_under_another_name_if_that_is_given() {
    let setting = Setting::start();
    setting.write_there("small", "small");
    fs::write(setting.target().join("large"), counted(3 << 20)).unwrap();
    for name in ["small", "large"] {
        get(&setting, &[&setting.at(&format!("s/{name}")), "d", "--as", &format!("new {name}")]);
        let came = setting.place.path().join(format!("d/new {name}"));
        tree::compare(&setting.target().join(name), &came).unwrap();
    }
    symlink("small", setting.target().join("link")).unwrap();
    get(&setting, &[&setting.at("s/link"), "d", "--as", "new link"]);
    assert_eq!(
        tree::names(&setting.place.path().join("d")),
        ["new large", "new link", "new small"]
    );
}

#[test]
fn directory_that_is_there_keeps_its_mode_and_time_and_a_new_one_gets_those_of_its_source() {
    let setting = Setting::start();
    setting.write_there("file", "x");
    set_mode(setting.target(), 0o705);
    set_mtime(setting.target(), moment(1));
    let (old, new) = (setting.place.path().join("old"), setting.place.path().join("new"));
    fs::create_dir(&old).unwrap();
    set_mode(&old, 0o2711);
    get(&setting, &[&setting.at("s/"), "old"]);
    get(&setting, &[&setting.at("s/"), "new"]);
    assert_eq!((mode(&old), mode(&new)), (0o2711, 0o705));
    assert!(fs::metadata(&old).unwrap().modified().unwrap() > moment(1));
    assert_eq!(fs::metadata(&new).unwrap().modified().unwrap(), moment(1));
}

#[test]
fn file_or_symlink_that_is_there_makes_way_for_a_file_or_symlink() {
    let setting = Setting::start();
    setting.write_there("file", "new");
    symlink("file", setting.target().join("link")).unwrap();
    let (place, outside) = (setting.place.path().join("d"), setting.place.path().join("outside"));
    fs::create_dir(&place).unwrap();
    fs::write(&outside, "outside").unwrap();
    symlink(&outside, place.join("file")).unwrap();
    fs::write(place.join("link"), "a file").unwrap();
    get(&setting, &[&setting.at("s/"), "d"]);
    tree::compare_bytes(&setting.target(), &place).unwrap();
    assert_eq!(fs::read_to_string(outside).unwrap(), "outside");
}

/// A dry run and the run after it tell the same of each entry.
#[test]
fn dry_run_changes_nothing_and_tells_what_the_run_does() {
    let setting = Setting::start();
    for (name, text) in [("a", "a"), ("in/b", "bb"), ("in/deep/c", ""), ("same", "same")] {
        setting.write_there(name, text);
    }
    fs::create_dir(setting.target().join("empty")).unwrap();
    symlink("a", setting.target().join("link")).unwrap();
    let to = setting.at("s/");
    let dry = || {
        let output = setting.haul(&["get", "-n", "--json", &to, "d"]).assert().success();
        output.get_output().stdout.clone()
    };
    let told = |output: &[u8]| {
        let event = |event: Value| {
            let word = |key: &str| event[key].as_str().unwrap().to_owned();
            format!("{} {}: {}", word("do"), word("name"), word("why"))
        };
        let mut told: Vec<_> = events(output, "would").into_iter().map(event).collect();
        told.sort();
        told
    };
    let place = setting.place.path().join("d");
    let output = dry();
    assert!(!place.exists());
    assert_eq!(
        told(&output),
        [
            "get s/a: this machine lacks it",
            "get s/in/b: this machine lacks it",
            "get s/in/deep/c: this machine lacks it",
            "get s/link: this machine lacks it",
            "get s/same: this machine lacks it",
            "make s/empty: this machine lacks it",
            "make s/in/deep: this machine lacks it",
            "make s/in: this machine lacks it",
            "make s: this machine lacks it",
        ]
    );
    let (dry_summary, summary) = (last(&output), get(&setting, &[&to, "d"]));
    for count in ["files", "links", "directories", "bytes_total", "failed", "unchanged"] {
        assert_eq!(dry_summary[count], summary[count], "{count}");
    }
    fs::remove_file(place.join("a")).unwrap();
    fs::remove_dir_all(place.join("in")).unwrap();
    let before = Command::new("find").arg(&place).args(["-printf", "%p %m %T@ %C@\n"]).output();
    assert_eq!(
        told(&dry()),
        [
            "get s/a: this machine lacks it",
            "get s/in/b: this machine lacks it",
            "get s/in/deep/c: this machine lacks it",
            "get s/link: it is replaced",
            "get s/same: it is replaced",
            "make s/in/deep: this machine lacks it",
            "make s/in: this machine lacks it",
        ]
    );
    let after = Command::new("find").arg(&place).args(["-printf", "%p %m %T@ %C@\n"]).output();
    assert_eq!(before.unwrap().stdout, after.unwrap().stdout);
}

#[test]
fn entries_that_are_there_stay_with_ignore_existing() {
    let setting = Setting::start();
    setting.write_there("in/old", "new");
    setting.write_there("in/new", "new");
    setting.write_there("in/dir", "new");
    symlink("new", setting.target().join("in/link")).unwrap();
    let place = setting.place.path().join("d/s/in");
    fs::create_dir_all(place.join("dir")).unwrap();
    fs::write(place.join("old"), "old").unwrap();
    symlink("old", place.join("link")).unwrap();
    let summary = get(&setting, &["--ignore-existing", &setting.at("s"), "d"]);
    assert_eq!((&summary["files"], &summary["unchanged"]), (&json!(1), &json!(3)));
    assert_eq!(fs::read_to_string(place.join("old")).unwrap(), "old");
    assert_eq!(fs::read_to_string(place.join("new")).unwrap(), "new");
    assert_eq!(fs::read_link(place.join("link")).unwrap(), Path::new("old"));
    assert!(place.join("dir").is_dir());
}

#[test]
fn rules_leave_entries_out_and_take_them_in_again() {
    let setting = Setting::start();
    for name in ["a.o", "keep.o", "src/a.c", "src/b.o", "target/x", "sub/target/y", "top/only"] {
        setting.write_there(name, name);
    }
    let words =
        ["--exclude", "*.o", "--include", "keep.o", "--exclude", "target/", "--exclude", "/top"];
    for (source, prefix) in [("s", "d/s"), ("s/", "d")] {
        get(&setting, &[&words[..], &[&setting.at(source), "d"]].concat());
        let place = setting.place.path().join(prefix);
        assert_eq!(tree::names(&place), ["keep.o", "src/a.c"], "{source}");
        fs::remove_dir_all(setting.place.path().join("d")).unwrap();
    }
}

#[test]
fn symlinks_are_left_out_if_the_user_wants_that_and_told_if_they_lead_out() {
    let setting = Setting::start();
    setting.write_there("in/file", "x");
    for (target, name) in [("/etc/passwd", "abs"), ("../../../up", "in/up"), ("../in", "in/fine")] {
        symlink(target, setting.target().join(name)).unwrap();
    }
    let told = setting.haul(&["get", &setting.at("s"), "d"]).assert().success();
    told.stderr(
        contains("d/s/abs is a symlink that leads elsewhere: to /etc/passwd")
            .and(contains("d/s/in/up is a symlink that leads elsewhere: to ../../../up"))
            .and(contains("fine").not()),
    );
    assert!(setting.place.path().join("d/s/abs").is_symlink());
    let told = setting.haul(&["get", "--links", "skip", &setting.at("s"), "e"]).assert().success();
    told.stdout(contains("3 skipped")).stderr(contains("elsewhere").not());
    assert_eq!(tree::names(&setting.place.path().join("e")), ["s/in/file"]);
}

#[test]
fn rate_that_is_limited_changes_no_byte() {
    let setting = Setting::start();
    fs::write(setting.target().with_file_name("large"), counted(3 << 20)).unwrap();
    get(&setting, &[&setting.at("large"), "d", "--limit-rate", "8MiB"]);
    let came = setting.place.path().join("d/large");
    tree::compare(&setting.server.root().join("large"), &came).unwrap();
}

#[test]
fn run_is_told_as_events_as_names_or_not_at_all() {
    let setting = Setting::start();
    setting.write_there("a", "a");
    symlink("a", setting.target().join("link")).unwrap();
    let to = setting.at("s");
    let output = setting.haul(&["get", "-v", "--json", &to, "d"]).assert().success();
    let summary = last(&output.get_output().stdout);
    for (key, value) in [
        ("exit", json!(0)),
        ("files", json!(1)),
        ("links", json!(1)),
        ("directories", json!(1)),
        ("bytes_total", json!(1)),
        ("bytes_sent", json!(0)),
        ("bytes_resumed", json!(0)),
        ("durability", json!("group")),
        ("dry_run", json!(false)),
    ] {
        assert_eq!(summary[key], value, "{key}");
    }
    let told = setting.haul(&["get", "-v", "--stats", &to, "d"]).assert().success();
    told.stdout(contains("bytes received")).stderr("s/link\ns/a\ns\n");
    setting.haul(&["get", "-q", &to, "d"]).assert().success().stdout("").stderr("");
}

#[test]
fn get_as_it_is_seen_on_80_columns() {
    let setting = Setting::start();
    let long =
        "a-directory-with-a-name/and-a-file-with-quite-a-long-name-that-fits-no-line-at-all.txt";
    setting.write_there(long, "b");
    setting.write_there("in/the-way", "b");
    symlink("/etc/passwd", setting.target().join("link")).unwrap();
    fs::create_dir_all(setting.place.path().join("d/s/in/the-way")).unwrap();
    let output = output_of(&mut terminal(&setting, 80, "$H get -v --connections 1 $A/s d"));
    fit(&output.stdout, 80);
    let mut lines = left_in_the_end(&output.stdout);
    let summary: Vec<_> = lines.drain(lines.len() - 2..).collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "  away, or name another directory",
            "  leaves symlinks out)",
            "haul: d/s/in/the-way: a directory is in its place on this machine; move that",
            "haul: d/s/link is a symlink that leads elsewhere: to /etc/passwd (--links skip",
            "s",
            "s/a-directory-with-a-name",
            "s/a-directory-with-a-name/and-a-file-wi…a-long-name-that-fits-no-line-at-all.txt",
            "s/in",
            "s/link",
        ]
    );
    assert_eq!(
        summary,
        [
            "1 file, 1 link, 3 directories, 1 B in T s, 2 B received, 1 failed;",
            "  durability group"
        ]
    );
}

/// A directory that a run goes through is open as long as entries in it are under way: no more of them than the process may
/// have.
#[test]
fn tree_of_more_directories_than_open_files_comes_whole() {
    let setting = Setting::start();
    for index in 0..1500 {
        setting.write_there(&format!("d{index}/in/file"), "x");
    }
    let script = "ulimit -n 256; exec $H get --connections 8 $A/s d";
    setting.script(script).assert().success();
    tree::compare(&setting.target(), &setting.place.path().join("d/s")).unwrap();
}

/// Each level of the tree is open here while entries in it come.
#[test]
fn tree_that_is_deeper_than_the_open_files_comes_whole_if_the_system_allows_more() {
    let setting = Setting::start();
    let levels = vec!["d"; 300];
    let deep = levels.join("/");
    setting.write_there(&format!("{deep}/bottom"), "x");
    setting.write_there("top", "x");
    setting.script("ulimit -S -n 256; exec $H get $A/s d").assert().success();
    tree::compare(&setting.target(), &setting.place.path().join("d/s")).unwrap();
    // The limit that nobody may raise ends the tree, and the client says why.
    let told = setting.script("ulimit -n 256; exec $H get $A/s e").assert().code(1);
    told.stderr(contains("each level of a tree takes an open file").count(1))
        .stdout(contains("1 file,").and(contains("1 failed")));
    let came = setting.place.path().join("e/s");
    assert_eq!(fs::read_to_string(came.join("top")).unwrap(), "x");
    assert!(came.join(levels[..100].join("/")).is_dir() && !came.join(&deep).exists());
}

/// Trap `hard_link_written_through`: the other name keeps its bytes.
#[test]
fn hard_link_written_through_is_none_whatever_the_size_of_the_file() {
    let setting = Setting::start();
    let (place, outside) = (setting.place.path().join("d"), setting.place.path().join("outside"));
    for directory in [&place, &outside] {
        fs::create_dir(directory).unwrap();
    }
    setting.write_there("small", "new");
    fs::write(setting.target().join("large"), counted(5 << 20)).unwrap();
    for name in ["small", "large"] {
        fs::write(outside.join(name), "outside").unwrap();
        fs::hard_link(outside.join(name), place.join(name)).unwrap();
    }
    get(&setting, &[&setting.at("s/"), "d"]);
    tree::compare_bytes(&setting.target(), &place).unwrap();
    for name in ["small", "large"] {
        assert_eq!(fs::read_to_string(outside.join(name)).unwrap(), "outside");
        assert_eq!(outside.join(name).metadata().unwrap().nlink(), 1, "{name}");
    }
}

/// A second run without a limit tells how long it takes to get the file.
#[test]
fn limit_of_the_rate_holds_bytes_back() {
    let setting = Setting::start();
    fs::write(setting.server.root().join("large"), counted(48 << 20)).unwrap();
    let mut limited = haul_command();
    limited.current_dir(setting.place.path()).args(["get", "--limit-rate", "32KiB"]);
    limited.args([&setting.at("large"), "slow"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut limited = limited.spawn().unwrap();
    let slow = setting.place.path().join("slow");
    let bytes = || -> u64 {
        let entries = fs::read_dir(&slow).into_iter().flatten().flatten();
        entries.map(|entry| entry.metadata().map_or(0, |found| found.blocks() * 512)).sum()
    };
    eventually("the limited run is under way", || bytes() > 0);
    get(&setting, &[&setting.at("large"), "d"]);
    let came = bytes();
    limited.kill().unwrap();
    limited.wait().unwrap();
    assert!(came < 24 << 20 && !slow.join("large").exists(), "{came} bytes");
}
