//! What is left out: `--exclude`, `--include`, `--exclude-from` and `.haulignore`.

use haul_tests::prelude::*;

fn tree(names: &[&str]) -> TempDir {
    let place = TempDir::new().unwrap();
    for name in names {
        let path = place.path().join("s").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, *name).unwrap();
    }
    place
}

fn run(server: &Hauld, verb: &str, words: &[&str], source: PathBuf) {
    let mut command = haul();
    command.arg(verb).args(words).arg(source).arg(server.address()).assert().success();
}

#[track_caller]
fn sent(words: &[&str], names: &[&str], expected: &[&str]) {
    let (server, place) = (server(), tree(names));
    for verb in ["put", "sync"] {
        run(&server, verb, words, place.path().join("s"));
        assert_eq!(tree::names(&server.root().join("s")), expected, "{verb} {words:?}");
        fs::remove_dir_all(server.root().join("s")).unwrap();
    }
}

#[test]
fn patterns_are_those_of_gitignore() {
    let all = ["a.o", "build/x", "d/a.o", "d/build/x", "d/keep.c"];
    sent(&["--exclude", "*.o"], &all, &["build/x", "d/build/x", "d/keep.c"]);
    sent(&["--exclude", "/build"], &all, &["a.o", "d/a.o", "d/build/x", "d/keep.c"]);
    sent(&["--exclude", "build/"], &all, &["a.o", "d/a.o", "d/keep.c"]);
    sent(&["--exclude", "d/**/x"], &all, &["a.o", "build/x", "d/a.o", "d/keep.c"]);
    sent(&["--exclude", "#x"], &["#x", "y"], &["y"]);
}

#[test]
fn last_rule_that_fits_decides() {
    let all = ["a.log", "b.log", "c.txt"];
    sent(&["--exclude", "*.log", "--include", "a.log"], &all, &["a.log", "c.txt"]);
    sent(&["--include", "a.log", "--exclude", "*.log"], &all, &["c.txt"]);
    sent(&["--exclude", "*", "--include", "*.txt"], &all, &["c.txt"]);
    // What is below a directory that is left out is not looked at.
    sent(&["--exclude", "d/", "--include", "d/x"], &["d/x", "y"], &["y"]);
}

#[test]
fn rules_of_files_come_after_those_of_the_command_line_and_deeper_ones_first() {
    let (server, place) = (server(), TempDir::new().unwrap());
    let source = place.path().join("s");
    fs::create_dir_all(source.join("d")).unwrap();
    for name in ["a.log", "d/a.log", "d/b.log", "d/c.tmp"] {
        fs::write(source.join(name), "x").unwrap();
    }
    fs::write(source.join(".haulignore"), "# logs\n*.log\n").unwrap();
    fs::write(source.join("d/.haulignore"), "!a.log\n").unwrap();
    fs::write(place.path().join("rules"), "# temporary\n*.tmp\n").unwrap();
    let rules = place.path().join("rules").to_str().unwrap().to_owned();
    run(&server, "put", &["--exclude-from", &rules], source.clone());
    let there = server.root().join("s");
    assert_eq!(tree::names(&there), [".haulignore", "d/.haulignore", "d/a.log"]);
    run(&server, "put", &["--include", "a.log"], source);
    assert_eq!(
        tree::names(&there),
        [".haulignore", "a.log", "d/.haulignore", "d/a.log", "d/c.tmp"]
    );
}

#[test]
fn what_is_left_out_is_not_removed() {
    let (server, place) = (server(), tree(&["a"]));
    let there = server.root().join("s");
    fs::create_dir_all(there.join("gone/deep")).unwrap();
    for name in ["cache.o", "gone/deep/kept.o", "gone/deep/not", "gone/not"] {
        fs::write(there.join(name), "x").unwrap();
    }
    run(&server, "sync", &["--delete", "--exclude", "*.o"], place.path().join("s"));
    assert_eq!(tree::names(&there), ["a", "cache.o", "gone/deep/kept.o"]);
    run(&server, "sync", &["--delete"], place.path().join("s"));
    assert_eq!(tree::names(&there), ["a"]);
    assert!(!there.join("gone").exists());
}

#[test]
fn source_that_is_named_is_sent_whatever_the_rules_say() {
    let (server, place) = (server(), tree(&["x.log"]));
    run(&server, "put", &["--exclude", "*.log"], place.path().join("s/x.log"));
    assert!(server.root().join("x.log").exists());
}

/// Trap `moved_into_pattern`: braces are letters, as in gitignore.
#[test]
fn moved_into_pattern_braces_are_letters() {
    let all = ["a", "b", "{a,b}"];
    sent(&["--exclude", "{a,b}"], &all, &["a", "b"]);
    sent(&["--exclude", "[!a]"], &["a", "b", "ab"], &["a", "ab"]);
    sent(&["--exclude", "d/a**b/x"], &["d/a/c/b/x", "d/acb/x"], &["d/a/c/b/x"]);
    sent(&["--exclude", "x\\ ", "--exclude", "y "], &["x", "x ", "y", "y "], &["x", "y "]);
}
