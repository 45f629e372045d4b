//! `haul get`, and `haul sync` from a server, with several sources whose contents come into one directory.

use haul_tests::prelude::*;

/// More bytes than go together with others.
const LARGE_FILE: usize = 3 << 20;

/// A server with the directories `a` and `b`, which both have `same`, `large`, `in`, `file` and `link`, each of its own.
fn setting() -> Setting {
    let setting = Setting::start();
    let there = |name: &str| setting.server.root().join(name);
    for source in ["a", "b"] {
        fs::create_dir_all(there(source).join("in")).unwrap();
        for name in ["same", "in/same", &format!("in/of {source}"), &format!("of {source}")] {
            fs::write(there(source).join(name), source).unwrap();
        }
        fs::write(there(source).join("large"), source.repeat(LARGE_FILE)).unwrap();
        symlink(source, there(source).join("link")).unwrap();
    }
    fs::write(there("a/file"), "a").unwrap();
    fs::create_dir(there("b/file")).unwrap();
    fs::write(there("b/file/inside"), "b").unwrap();
    set_mode(there("a"), 0o750);
    set_mode(there("a/in"), 0o711);
    setting
}

/// Runs `haul` with these words and the contents of the sources, into `d`; returns its end, and the names that have failed.
fn run(setting: &Setting, words: &[&str], sources: &[&str]) -> (Output, Vec<String>) {
    let mut command = setting.haul(words);
    for source in sources {
        command.arg(format!("haul://{}/", setting.at(source)));
    }
    let output = command.arg("d").output();
    let told = String::from_utf8(output.stderr.clone()).unwrap();
    let failed = told.lines().filter(|line| line.contains("another source has"));
    let name = |line: &str| line.split(": ").find(|part| part.starts_with("d/")).map(str::to_owned);
    let mut names: Vec<_> = failed.filter_map(name).collect();
    names.sort();
    (output, names)
}

#[test]
fn first_source_that_has_a_name_gets_it_and_the_others_fail() {
    let setting = setting();
    let here = setting.place.path().join("d");
    for (words, sources, winner) in [
        (&["get"][..], ["a", "b"], "a"),
        (&["get"], ["b", "a"], "b"),
        (&["sync"], ["a", "b"], "a"),
        (&["sync", "--checksum"], ["a", "b"], "a"),
    ] {
        let _ = fs::remove_dir_all(&here);
        let (output, failed) = run(&setting, words, &sources);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert_eq!(failed, ["d/file", "d/in/same", "d/large", "d/link", "d/same"], "{words:?}");
        for name in ["same", "in/same", "large"] {
            assert_eq!(fs::read(here.join(name)).unwrap()[..1], *winner.as_bytes(), "{name}");
        }
        assert_eq!(fs::read_link(here.join("link")).unwrap(), Path::new(winner));
        assert_eq!(here.join("file").is_file(), winner == "a");
        for name in ["of a", "of b", "in/of a", "in/of b"] {
            assert!(here.join(name).exists(), "{name}");
        }
    }
}

#[test]
fn directories_of_one_name_have_the_entries_of_both_and_the_attributes_of_the_first() {
    let setting = setting();
    let here = setting.place.path().join("d");
    run(&setting, &["sync"], &["a", "b"]);
    for (name, bits) in [("", 0o750), ("in", 0o711)] {
        let there = setting.server.root().join("a").join(name);
        assert_eq!(mode(here.join(name)), bits, "{name}");
        let mtime = |path: &Path| path.metadata().unwrap().modified().unwrap();
        assert_eq!(mtime(&here.join(name)), mtime(&there), "{name}");
    }
    let (again, _) = run(&setting, &["sync", "--json"], &["a", "b"]);
    let summary = last(&again.stdout);
    assert_eq!((summary["files"].as_u64(), summary["directories"].as_u64()), (Some(0), Some(0)));
}

#[test]
fn dry_run_of_several_sources_tells_what_the_run_does() {
    let setting = setting();
    let counts = |output: &Output| {
        let summary = last(&output.stdout);
        ["files", "links", "directories", "failed"].map(|count| summary[count].clone())
    };
    let (dry, would_fail) = run(&setting, &["sync", "-n", "--json"], &["a", "b"]);
    assert_eq!(dry.status.code(), Some(1));
    let (real, failed) = run(&setting, &["sync", "--json"], &["a", "b"]);
    assert_eq!((counts(&dry), would_fail), (counts(&real), failed));
}

#[test]
fn entry_of_the_server_that_two_sources_have_comes() {
    let setting = setting();
    let (output, failed) = run(&setting, &["get"], &["a", "a"]);
    assert_eq!((output.status.code(), failed), (Some(0), vec![]));
    assert_eq!(fs::read(setting.place.path().join("d/same")).unwrap(), b"a");
}
