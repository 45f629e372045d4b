//! `haul sync`: the destination becomes like the source, and only what differs is sent.

use std::ffi::OsStr;

use haul_tests::prelude::*;

#[test]
fn second_sync_sends_nothing() {
    let setting = Setting::start();
    for index in 0..300 {
        setting.write(&format!("d{}/f{index}", index % 7), "x");
    }
    setting.write("large", &"0123456789abcdef".repeat(200_000));
    symlink("nowhere", setting.source().join("link")).unwrap();
    let first = setting.sync(&[]);
    assert_eq!(
        (&first["files"], &first["links"], &first["unchanged"]),
        (&301.into(), &1.into(), &0.into())
    );
    setting.same();
    let second = setting.sync(&["--delete"]);
    for count in ["files", "links", "directories", "bytes_sent", "failed", "removed"] {
        assert_eq!(second[count], 0, "{count}");
    }
    assert_eq!(second["unchanged"], 302);
}

#[test]
fn what_differs_is_sent_and_only_that() {
    let setting = Setting::start();
    for name in ["same", "size", "time", "mode", "d/new one beside"] {
        setting.write(name, "12345");
    }
    symlink("old", setting.source().join("link")).unwrap();
    setting.sync(&[]);
    setting.write("size", "123456");
    let changed = fs::File::open(setting.source().join("time")).unwrap();
    changed.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(5)).unwrap();
    set_mode(setting.source().join("mode"), 0o600);
    fs::remove_file(setting.source().join("link")).unwrap();
    symlink("new", setting.source().join("link")).unwrap();
    setting.write("d/new", "n");
    let summary = setting.sync(&[]);
    assert_eq!((&summary["files"], &summary["links"]), (&3.into(), &1.into()), "{summary}");
    // What has another mode only gets that, without its bytes.
    assert_eq!((&summary["adjusted"], &summary["unchanged"]), (&1.into(), &2.into()));
    assert_eq!(summary["bytes_sent"], 6 + 5 + 1);
    setting.same();
}

#[test]
fn nothing_is_removed_without_delete_and_what_the_source_lacks_with_it() {
    let setting = Setting::start();
    setting.write("kept/file", "x");
    setting.write_there("gone", "x");
    setting.write_there("kept/gone too", "x");
    setting.write_there("deep/er/and/deeper", "x");
    symlink("/", setting.target().join("link")).unwrap();
    fs::write(setting.server.root().join("beside"), "x").unwrap();
    assert_eq!(setting.sync(&[])["removed"], 0);
    assert!(setting.there("gone") && setting.there("deep/er/and/deeper"));
    let summary = setting.sync(&["--delete"]);
    // Three files, one link, three directories.
    assert_eq!(summary["removed"], 7, "{summary}");
    setting.same();
    assert!(setting.server.root().join("beside").exists(), "outside the destination");
}

#[test]
fn contents_of_the_servers_root_are_synced_and_its_own_files_stay() {
    let setting = Setting::start();
    setting.write("a/b", "x");
    fs::write(setting.server.root().join("gone"), "x").unwrap();
    let mut source = setting.source().into_os_string();
    source.push("/");
    let mut command = haul();
    command.args(["sync", "--delete"]).arg(&source).arg(setting.server.address());
    command.assert().success();
    assert!(!setting.server.root().join("gone").exists());
    assert!(setting.server.root().join("a/b").exists());
    assert!(setting.server.root().join(".haul/lock").exists());
    command.assert().success().stdout(contains("1 unchanged"));
}

#[test]
fn a_directory_becomes_a_file_and_the_reverse() {
    let setting = Setting::start();
    setting.write("was a file/in/it", "1");
    setting.write("was a link/in it", "2");
    setting.write("was a directory", "3");
    symlink("x", setting.source().join("was a directory too")).unwrap();
    setting.write_there("was a file", "old");
    fs::create_dir_all(setting.target()).unwrap();
    symlink("/", setting.target().join("was a link")).unwrap();
    setting.write_there("was a directory/with/something", "old");
    setting.write_there("was a directory too/with", "old");
    // What would be lost with a directory is not lost without being asked for.
    setting
        .command("sync", &[])
        .assert()
        .code(1)
        .stderr(contains("was a directory").and(contains("conflict")));
    assert!(setting.there("was a directory/with/something"));
    assert!(setting.there("was a file/in/it") && setting.there("was a link/in it"));
    let summary = setting.sync(&["--delete"]);
    assert_eq!((&summary["failed"], &summary["removed"]), (&0.into(), &5.into()), "{summary}");
    assert_eq!(summary["unchanged"], 2, "counted once: {summary}");
    setting.same();
}

#[test]
fn delete_stops_at_its_bound() {
    let setting = Setting::start();
    for index in 0..20 {
        setting.write_there(&format!("gone {index}"), "x");
    }
    setting.write("kept", "x");
    setting
        .command("sync", &["--delete", "--max-delete", "7"])
        .assert()
        .code(1)
        .stdout(contains("7 removed"))
        .stderr(contains("--max-delete").count(1));
    assert_eq!(fs::read_dir(setting.target()).unwrap().count(), 14);
}

#[test]
fn nothing_is_removed_when_the_source_could_not_be_read() {
    let (user, place) = (User::new().unwrap(), TempDir::new().unwrap());
    let server = server_with(&["--durability", "none"]);
    let source = user.path().join("s");
    fs::create_dir_all(source.join("closed")).unwrap();
    fs::write(source.join("closed/file"), "x").unwrap();
    let source = user.own_all(source).unwrap();
    set_mode(source.join("closed"), 0);
    fs::create_dir_all(server.root().join("s/closed")).unwrap();
    for name in ["s/gone", "s/closed/file"] {
        fs::write(server.root().join(name), "x").unwrap();
    }
    let run = |words: &[&str]| {
        let mut command = user.command("haul");
        command.args(["sync", "--delete"]).args(words).arg(&source).arg(server.address());
        Client::from_std(command).assert().code(1)
    };
    run(&[]).stderr(contains("closed").and(contains("nothing is removed")));
    assert!(server.root().join("s/gone").exists());
    run(&["--force-delete"]);
    assert!(!server.root().join("s/gone").exists());
    // Whoever may not look does not know that it is gone.
    assert!(server.root().join("s/closed/file").exists());
    drop(place);
}

#[test]
fn dry_run_tells_everything_and_changes_nothing() {
    let setting = Setting::start();
    setting.write("same", "1");
    setting.write("size", "1");
    setting.write("d/x", "1");
    setting.sync(&[]);
    setting.write("size", "12");
    setting.write("new/er", "123");
    symlink("x", setting.source().join("link")).unwrap();
    setting.write_there("gone/with", "1");
    let before = TempDir::new().unwrap();
    let copy = before.path().join("s");
    tree::copy(&setting.target(), &copy);
    let output =
        setting.command("sync", &["-n", "--delete"]).assert().success().get_output().clone();
    let output = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<_> = output
        .lines()
        .filter(|line| line.starts_with("would") && !line.starts_with("would adjust"))
        .collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "would make s/new: new",
            "would remove s/gone/with: not in the source",
            "would remove s/gone: not in the source",
            "would send s/link: new",
            "would send s/new/er: new, 3 bytes",
            "would send s/size: size differs, 2 bytes",
        ]
    );
    assert!(output.contains("dry run, nothing is changed: 2 files, 1 link"), "{output}");
    tree::compare(&copy, &setting.target()).unwrap();
    let summary = setting.sync(&["--delete"]);
    assert_eq!((&summary["files"], &summary["links"]), (&2.into(), &1.into()));
    assert_eq!((&summary["bytes_sent"], &summary["removed"]), (&5.into(), &2.into()));
    setting.same();
}

#[test]
fn dry_run_of_put_tells_what_would_be_replaced() {
    let setting = Setting::start();
    setting.write("same", "1");
    setting.sync(&[]);
    setting.write("new", "12");
    setting
        .command("put", &["--dry-run"])
        .assert()
        .success()
        .stdout(contains("would send s/same: the same is there, 1 byte"))
        .stdout(contains("would send s/new: new, 2 bytes"));
    assert!(!setting.there("new"));
}

#[test]
fn file_that_is_named_is_synced_alone() {
    let setting = Setting::start();
    setting.write("f", "x");
    fs::create_dir_all(setting.target()).unwrap();
    setting.write_there("other", "x");
    let mut command = haul();
    let destination = format!("{}/s", setting.server.address());
    command.args(["sync", "--delete"]).arg(setting.source().join("f")).arg(&destination);
    command.assert().success().stdout(contains("1 file"));
    command.assert().success().stdout(contains("1 unchanged"));
    assert!(setting.there("other"), "what is beside it is none of its business");
}

#[test]
fn wrong_words_are_told() {
    let setting = Setting::start();
    for words in
        [&["--max-delete", "3"][..], &["--force-delete"], &["--delete-all"], &["--exclude", "[z"]]
    {
        setting.command("sync", words).assert().code(2).stderr(predicate::str::is_empty().not());
    }
    let none = setting.place.path().join("none");
    setting
        .command("sync", &["--exclude-from", none.to_str().unwrap()])
        .assert()
        .code(2)
        .stderr(contains("none"));
    assert_eq!(OsStr::new("s"), setting.source().file_name().unwrap());
}

/// Its files come over other connections than the directory itself.
#[test]
fn directory_with_large_files_takes_the_place_of_a_file_or_a_symlink_at_once() {
    for is_symlink in [false, true] {
        for _ in 0..10 {
            let setting = Setting::start();
            fs::create_dir(setting.target()).unwrap();
            if is_symlink {
                std::os::unix::fs::symlink("elsewhere", setting.target().join("t")).unwrap();
            } else {
                setting.write_there("t", "a file");
            }
            for name in ["a", "b", "c/d", "c/e"] {
                setting.write(&format!("t/{name}"), &"x".repeat(1_200_000));
            }
            for index in 0..100 {
                setting.write(&format!("t/{index}/small"), "x");
            }
            setting.sync(&[]);
            setting.same();
        }
    }
}
