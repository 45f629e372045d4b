//! What people are used to: lists of names, standard input, moving, bounds, statistics.

use haul_protocol::Digest;
use haul_tests::prelude::*;

fn summary(command: &mut Client) -> Value {
    last(&command.arg("--json").assert().success().get_output().stdout)
}

#[test]
fn files_of_a_list_go_and_nothing_else() {
    let setting = Setting::start();
    for name in ["a", "d/b", "d/not", "e/f/g", "not"] {
        setting.write(name, name);
    }
    setting.write("new\nline/x", "x");
    set_mode(setting.source().join("e"), 0o700);
    fs::write(setting.place.path().join("list"), "a\n./d/b\ne\n\ne/f/g\n").unwrap();
    let mut command = setting.haul(&["put", "--files-from", "list", "s", setting.server.address()]);
    let counts = summary(&mut command);
    assert_eq!((&counts["files"], &counts["directories"]), (&3.into(), &1.into()), "{counts}");
    for (name, there) in
        [("a", true), ("d/b", true), ("e/f/g", true), ("not", false), ("d/not", false)]
    {
        assert_eq!(setting.there(name), there, "{name}");
    }
    let (here, there) = (setting.source().join("e"), setting.target().join("e"));
    let attributes = |path: &std::path::Path| {
        let found = fs::metadata(path).unwrap();
        (found.mode() & 0o777, found.mtime(), found.mtime_nsec())
    };
    assert_eq!(attributes(&here), attributes(&there), "a directory that is named is carried");
    // As `find -print0` writes it; the contents go to the destination.
    let mut command = setting.haul(&["sync", "-0", "--files-from", "-", "s/", &setting.at("t")]);
    let list = b"./new\nline/x\0./d\0./d/b\0.\0".to_vec();
    assert_eq!(summary(command.write_stdin(list.clone()))["files"], 2);
    assert!(setting.server.root().join("t/new\nline/x").exists());
    assert!(!setting.server.root().join("t/d/not").exists());
    let mut command = setting.haul(&["sync", "-0", "--files-from", "-", "s/", &setting.at("t")]);
    assert_eq!(summary(command.write_stdin(list))["unchanged"], 2);
}

#[test]
fn list_with_everything_in_it_makes_the_same_tree() {
    let setting = Setting::start();
    for index in 0..600 {
        setting.write(&format!("d{}/e{}/f{index}", index % 30, index % 7), "x");
    }
    symlink("d0", setting.source().join("link")).unwrap();
    let found = Command::new("find").arg(".").current_dir(setting.source()).output();
    let mut command = setting.haul(&["put", "--files-from", "-", "s", setting.server.address()]);
    let counts = summary(command.write_stdin(found.unwrap().stdout));
    assert_eq!((&counts["files"], &counts["links"]), (&600.into(), &1.into()));
    setting.same();
}

#[test]
fn names_of_a_list_that_lead_nowhere_are_named() {
    let setting = Setting::start();
    setting.write("a", "a");
    fs::write(setting.place.path().join("beside"), "x").unwrap();
    let mut command = setting.haul(&["put", "--files-from", "-", "s", setting.server.address()]);
    command
        .write_stdin("../beside\n/etc/passwd\nmissing\na\n")
        .assert()
        .code(1)
        .stderr(
            contains("../beside: could not send: it is not below SRC")
                .and(contains("/etc/passwd: could not send"))
                .and(contains("missing: could not look at")),
        )
        .stdout(contains("1 file,").and(contains("3 failed")));
    for words in [
        &["put", "--files-from", "none", "s", "localhost"][..],
        &["put", "--files-from", "-", "s", "beside", "localhost"],
        &["put", "--files-from", "-", "beside", "localhost"],
        &["put", "-0", "s", "localhost"],
        &["sync", "--delete", "--files-from", "-", "s", "localhost"],
    ] {
        setting.haul(words).assert().code(2).stderr(contains("files-from"));
    }
}

#[test]
fn standard_input_is_a_file_like_any_other() {
    let setting = Setting::start();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
    for (name, bytes) in [("large", &bytes[..]), ("small", b"x"), ("empty", b"")] {
        let mut command = setting.haul(&["put", "-", &setting.at("in"), "--as", name]);
        assert_eq!(summary(command.write_stdin(bytes.to_vec()))["bytes_total"], bytes.len());
        let path = setting.server.root().join("in").join(name);
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
    }
    for words in [&["put", "-", "localhost"][..], &["put", "-", "s", "localhost", "--as", "x"]] {
        let wrong = setting.haul(words).write_stdin("x").assert().code(2);
        wrong.stderr(contains("--as NAME"));
    }
    fs::write(setting.place.path().join("-"), "a file").unwrap();
    setting.haul(&["put", "./-", setting.server.address()]).assert().success();
    assert_eq!(fs::read(setting.server.root().join("-")).unwrap(), b"a file");
}

#[test]
fn source_is_removed_when_the_server_has_it_durably() {
    let setting = Setting::start_with(&[]);
    setting.write("d/small", "x");
    setting.write("large", &"0123456789abcdef".repeat(200_000));
    symlink("nowhere", setting.source().join("link")).unwrap();
    let copy = setting.place.path().join("copy");
    tree::copy(&setting.source(), &copy);
    // Only a file that arrives goes.
    fs::create_dir_all(setting.target().join("d/refused/kept")).unwrap();
    setting.write("d/refused", "x");
    setting
        .command("put", &["--remove-source"])
        .assert()
        .code(1)
        .stderr(contains("refused").and(contains("conflict")));
    let left: Vec<_> = walkdir::WalkDir::new(setting.source())
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| !entry.file_type().is_dir())
        .map(|entry| entry.file_name().to_owned())
        .collect();
    assert_eq!(left, ["refused"]);
    fs::remove_dir_all(setting.target().join("d/refused")).unwrap();
    tree::compare_bytes(&copy, &setting.target()).unwrap();
}

#[test]
fn source_stays_if_the_server_does_not_wait_for_its_disk() {
    let setting = Setting::start();
    setting.write("file", "x");
    setting
        .command("put", &["--remove-source"])
        .assert()
        .code(3)
        .stderr(contains("--durability group"));
    assert!(setting.source().join("file").exists() && !setting.there("file"));
}

#[test]
fn what_is_there_is_left_alone() {
    let setting = Setting::start();
    setting.write("there", "new");
    setting.write("link there", "new");
    setting.write("d/missing", "new");
    setting.write_there("there", "old and longer");
    symlink("x", setting.target().join("link there")).unwrap();
    for verb in ["put", "sync"] {
        let counts = summary(&mut setting.command(verb, &["--ignore-existing"]));
        let sent = u64::from(verb == "put");
        assert_eq!((&counts["files"], &counts["failed"]), (&sent.into(), &0.into()), "{counts}");
        assert_eq!(counts["unchanged"], 3 - sent);
    }
    assert_eq!(fs::read(setting.target().join("there")).unwrap(), b"old and longer");
    assert!(setting.target().join("link there").is_symlink());
    assert_eq!(fs::read(setting.target().join("d/missing")).unwrap(), b"new");
}

#[test]
fn rate_is_kept_for_all_connections_together() {
    let setting = Setting::start();
    for index in 0..8 {
        setting.write(&format!("{index}"), &"x".repeat(100_000));
    }
    setting.write("large", &"x".repeat(1_200_000));
    let start = Instant::now();
    // A server that is silent meanwhile is not lost: nothing of the last request has left yet.
    setting.command("put", &["--limit-rate", "1MB", "--timeout", "1s"]).assert().success();
    let seconds = start.elapsed().as_secs_f64();
    // The least that 2 MB may take; on a busy machine it may be more.
    assert!(seconds > 1.8, "{seconds} s");
    setting.same();
    for wrong in ["0", "fast", "-1", "999"] {
        setting.command("put", &["--limit-rate", wrong]).assert().code(2);
    }
}

#[test]
fn statistics_tell_all_counts() {
    let setting = Setting::start();
    setting.write("file", "12345");
    setting
        .command("put", &["--stats"])
        .assert()
        .success()
        .stdout(predicate::str::is_match("(?m)^files committed +1$").unwrap())
        .stdout(predicate::str::is_match("(?m)^bytes sent +5$").unwrap())
        .stdout(predicate::str::is_match("(?m)^durability +none$").unwrap());
}

#[test]
fn receipt_may_go_through_a_pipe() {
    let setting = Setting::start();
    setting.write("f", "x");
    let words = ["--receipt", "/dev/stdout", "--quiet"];
    let output = setting.command("put", &words).assert().success().get_output().stdout.clone();
    let line = String::from_utf8(output).unwrap();
    assert!(line.starts_with(&Digest::of(b"x").to_string()), "{line}");
}

#[test]
fn receipt_lists_what_was_committed() {
    let setting = Setting::start();
    setting.write("d/small", "small");
    setting.write("back\\slash and\nline", "odd");
    let large = "0123456789abcdef".repeat(200_000);
    setting.write("large", &large);
    let receipt = setting.place.path().join("receipt");
    let words = ["--receipt", receipt.to_str().unwrap()];
    setting.command("put", &words).assert().success();
    let lines = || {
        let text = fs::read_to_string(&receipt).unwrap();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let digest = |bytes: &str| blake3::hash(bytes.as_bytes()).to_hex();
    let mut expected = [
        format!("\\{}  s/back\\\\slash and\\nline", digest("odd")),
        format!("{}  s/d/small", digest("small")),
        format!("{}  s/large", digest(&large)),
    ];
    expected.sort_unstable();
    assert_eq!(lines(), expected);
    // What is the same was not committed now, unless its bytes were compared.
    setting.command("sync", &words).assert().success();
    assert_eq!(lines(), Vec::<String>::new());
    setting.command("sync", &[&words[..], &["--checksum"]].concat()).assert().success();
    assert_eq!(lines(), expected);
    let nowhere = ["--receipt", "/nowhere/at/all"];
    setting.command("put", &nowhere).assert().code(2).stderr(contains("/nowhere"));
}

#[test]
fn name_that_no_receipt_can_have_is_named() {
    use std::os::unix::ffi::OsStrExt;
    let setting = Setting::start();
    let name = std::ffi::OsStr::from_bytes(b"not \xff utf-8");
    fs::write(setting.source().join(name), "x").unwrap();
    let receipt = setting.place.path().join("receipt");
    setting
        .command("put", &["--receipt", receipt.to_str().unwrap()])
        .assert()
        .code(1)
        .stderr(contains("is not in the receipt"));
    assert!(setting.target().join(name).exists());
}

/// Neither is what can't be looked at replaced, nor what a directory would have to replace.
#[test]
fn nothing_that_is_there_is_replaced_whatever_it_is() {
    use haul_tests::hauld::Hauld;
    use haul_tests::user::User;
    let (user, setting) = (User::new().unwrap(), Setting::start());
    let (root, log) = (user.path().join("root"), user.path().join("log"));
    fs::File::create(&log).unwrap();
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &[]).unwrap();
    setting.write("keep", "new");
    setting.write("same", "same");
    setting.write("locked/f", "new");
    setting.write("d/below", "new");
    let there = root.join("s");
    fs::create_dir_all(there.join("locked")).unwrap();
    fs::write(there.join("keep"), "precious").unwrap();
    fs::write(there.join("locked/f"), "precious").unwrap();
    fs::write(there.join("d"), "precious").unwrap();
    user.own_all(root.clone()).unwrap();
    set_mode(there.join("locked"), 0o0);
    let mut command = setting.haul(&["put", "--ignore-existing", "s", server.address()]);
    command.assert().code(1);
    let mut command = setting.haul(&["sync", "--ignore-existing", "s", server.address()]);
    command.assert().code(1);
    set_mode(there.join("locked"), 0o755);
    for name in ["keep", "locked/f", "d"] {
        assert_eq!(fs::read(there.join(name)).unwrap(), b"precious", "{name}");
    }
    assert_eq!(fs::read(there.join("same")).unwrap(), b"same");
}

#[test]
fn all_names_of_a_file_are_moved_and_nothing_outside() {
    let setting = Setting::start_with(&[]);
    setting.write("one", "x");
    for index in 0..20 {
        fs::hard_link(setting.source().join("one"), setting.source().join(format!("{index}")))
            .unwrap();
    }
    let counts = summary(&mut setting.command("put", &["--remove-source"]));
    assert_eq!((&counts["files"], &counts["failed"]), (&21.into(), &0.into()), "{counts}");
    assert_eq!(fs::read_dir(setting.source()).unwrap().count(), 0);
    let outside = setting.place.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("important"), "x").unwrap();
    symlink(&outside, setting.source().join("link")).unwrap();
    setting.command("put", &["--remove-source", "--links", "follow"]).assert().code(2);
    assert!(outside.join("important").exists());
}

#[test]
fn dry_run_fails_where_the_real_one_would() {
    let setting = Setting::start();
    setting.write("a directory/f", "x");
    setting.write("a file", "x");
    setting.write_there("a directory", "x");
    setting.write_there("a file/f", "x");
    for (verb, words) in [("put", &[][..]), ("sync", &[]), ("sync", &["--delete"])] {
        let real = setting.command(verb, &[words, &["-n"]].concat()).output();
        let told = String::from_utf8_lossy(&real.stderr).into_owned();
        let fails = verb == "put" || words.is_empty();
        assert_eq!(real.status.code(), Some(i32::from(fails)), "{verb} {words:?}: {told}");
        assert_eq!(told.contains("a file: something of another kind"), fails, "{told}");
        assert_eq!(told.contains("a directory: something"), verb == "put", "{told}");
    }
}
