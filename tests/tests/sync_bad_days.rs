//! `haul sync` of trees that are odd, and of such that don't hold still.

use haul_tests::prelude::*;

/// `haul sync` over one connection, held as soon as it is `ready`.
fn hold(setting: &Setting, words: &[&str], ready: impl FnMut() -> bool) -> Held {
    let command = |server: &str| {
        let mut command = haul_command();
        command.args(["sync", "--connections", "1"]).args(words).arg(setting.source()).arg(server);
        command
    };
    setting.rests();
    Held::start(&setting.server, command, ready)
}

#[test]
fn mtimes_of_all_times_are_sent_once() {
    let setting = Setting::start();
    let times = [
        SystemTime::UNIX_EPOCH - Duration::new(1_000_000_000, 1),
        SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33),
        SystemTime::UNIX_EPOCH + Duration::from_secs(99_999_999_999),
        SystemTime::UNIX_EPOCH,
    ];
    for (index, time) in times.into_iter().enumerate() {
        let name = format!("f{index}");
        setting.write(&name, "x");
        fs::File::open(setting.source().join(&name)).unwrap().set_modified(time).unwrap();
    }
    assert_eq!(setting.sync(&[])["files"], 4);
    assert_eq!(setting.sync(&[])["files"], 0);
}

#[test]
fn names_that_differ_by_case_or_normalisation_only_stay_apart() {
    let setting = Setting::start();
    for (index, name) in ["a", "A", "\u{e9}", "e\u{301}"].into_iter().enumerate() {
        setting.write(name, &index.to_string());
    }
    setting.sync(&["--delete"]);
    setting.same();
    assert_eq!(setting.sync(&["--delete"])["unchanged"], 4);
}

#[test]
fn tree_a_thousand_levels_deep_arrives_and_goes() {
    let setting = Setting::start();
    let deep = ["d"; 1000].join("/");
    setting.write(&format!("{deep}/file"), "x");
    setting.write("other", "x");
    setting.sync(&["--delete"]);
    assert!(setting.there(&format!("{deep}/file")));
    assert_eq!(setting.sync(&["--delete"])["unchanged"], 2);
    fs::remove_dir_all(setting.source().join("d")).unwrap();
    assert_eq!(setting.sync(&["--delete"])["removed"], 1001);
    setting.same();
}

#[test]
fn read_only_directories_take_new_files_and_are_read_only_again() {
    let (user, place) = (User::new().unwrap(), TempDir::new().unwrap());
    let root = user.own_all({
        let root = user.path().join("root");
        fs::create_dir(&root).unwrap();
        root
    });
    let root = root.unwrap();
    let log = user.path().join("log");
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &[]).unwrap();
    let source = place.path().join("s");
    fs::create_dir_all(source.join("d")).unwrap();
    fs::write(source.join("d/old"), "x").unwrap();
    set_mode(source.join("d"), 0o555);
    let sync = || {
        let mut command = haul();
        command.args(["sync", "--delete", "--json"]).arg(&source).arg(server.address());
        last(&command.assert().success().get_output().stdout)
    };
    sync();
    set_mode(source.join("d"), 0o755);
    fs::write(source.join("d/new"), "x").unwrap();
    set_mode(source.join("d"), 0o555);
    assert_eq!(sync()["files"], 1);
    tree::compare(&source, &root.join("s")).unwrap();
    let last = sync();
    assert_eq!((&last["files"], &last["directories"]), (&0.into(), &0.into()), "{last}");
}

#[test]
fn directory_that_a_single_file_goes_into_keeps_its_mode() {
    let setting = Setting::start();
    setting.write("file", "x");
    fs::create_dir_all(setting.target()).unwrap();
    set_mode(setting.target(), 0o750);
    let destination = format!("{}/s", setting.server.address());
    let mut command = haul();
    command.arg("sync").arg(setting.source().join("file")).arg(&destination).assert().success();
    let found = fs::metadata(setting.target()).unwrap().permissions().mode();
    assert_eq!(found & 0o7777, 0o750);
}

#[test]
fn two_syncs_of_one_target_at_once_agree() {
    let setting = Setting::start();
    for index in 0..2000 {
        setting.write(&format!("d{}/f{index}", index % 40), "x");
        setting.write_there(&format!("gone{}/f{index}", index % 40), "x");
    }
    let run = || {
        haul_command()
            .args(["sync", "--delete", "--quiet"])
            .arg(setting.source())
            .arg(setting.server.address())
            .spawn()
            .unwrap()
    };
    let both = [run(), run()];
    for mut child in both {
        assert!(child.wait().unwrap().success());
    }
    setting.same();
}

#[test]
fn sync_that_is_killed_is_finished_by_the_next() {
    let setting = Setting::start();
    for index in 0..3000 {
        setting.write(&format!("d{}/f{index}", index % 30), "x");
        setting.write_there(&format!("gone{}/f{index}", index % 30), "x");
    }
    let count = || {
        let found = walkdir::WalkDir::new(setting.target()).into_iter().flatten();
        found.filter(|entry| entry.file_type().is_file()).count()
    };
    let idle = setting.server.sockets().unwrap();
    // Before anything, in the middle of sending, in the middle of removing.
    for reached in [3000, 4500, 5900] {
        let mut child = haul_command()
            .args(["sync", "--delete", "--quiet"])
            .arg(setting.source())
            .arg(setting.server.address())
            .spawn()
            .unwrap();
        haul_tests::eventually("some of it has happened", || {
            count() >= reached || child.try_wait().unwrap().is_some()
        });
        let _ = child.kill();
        child.wait().unwrap();
    }
    // What the dead had asked for is still carried out, and would change directories behind the next one's back.
    haul_tests::eventually("the server is done with the dead", || {
        let server = &setting.server;
        server.sockets().unwrap() == idle && server.staged().is_ok_and(|staged| staged.is_empty())
    });
    assert_eq!(setting.sync(&["--delete"])["failed"], 0);
    setting.same();
}

/// What goes, and what is written to, after it was found and before it is sent.
#[test]
fn files_that_vanish_or_change_under_way_are_named_and_keep_others_from_being_removed() {
    let setting = Setting::start();
    for index in 0..900 {
        setting.write(&format!("d/f{index:03}"), &"x".repeat(20_000));
    }
    setting.write_there("gone", "x");
    // All of them were found before the first one is there.
    let held = hold(&setting, &["--delete"], || {
        fs::read_dir(setting.target().join("d")).is_ok_and(|mut files| files.next().is_some())
    });
    let (mut vanished, mut changed) = (0, 0);
    for index in 0..900 {
        let name = format!("d/f{index:03}");
        match (setting.there(&name), index % 3) {
            (true, _) => {}
            (false, 0) => {
                fs::remove_file(setting.source().join(&name)).unwrap();
                vanished += 1;
            }
            (false, 1) => {
                setting.write(&name, "another size");
                changed += 1;
            }
            (false, _) => {}
        }
    }
    assert!(vanished > 0 && changed > 0, "the test needs files that are not sent yet");
    let output = held.go_on();
    let told = String::from_utf8_lossy(&output.stderr);
    // They may have been moved, and be here under other names.
    assert_eq!(output.status.code(), Some(1), "{told}");
    let named = told.matches("gone since it was found").count();
    assert!(named > 0 && named <= vanished, "{named} of {vanished}: {told}");
    assert!(told.contains("nothing is removed") && setting.there("gone"), "{told}");
    // Those that had been read already are removed by the next run.
    setting.sync(&["--delete"]);
    setting.same();
    assert_eq!(setting.sync(&["--delete"])["unchanged"], 900 - vanished);
}

/// The server tells them in several answers.
#[test]
fn many_entries_of_one_directory_are_compared_and_removed() {
    let setting = Setting::start();
    fs::create_dir_all(setting.source().join("d")).unwrap();
    fs::create_dir_all(setting.target().join("d")).unwrap();
    for index in 0..25_000 {
        let name = format!("d/{index}");
        if index % 10 == 0 {
            fs::File::create(setting.source().join(&name)).unwrap();
        }
        fs::File::create(setting.target().join(&name)).unwrap();
    }
    let summary = setting.sync(&["--delete"]);
    assert_eq!((&summary["removed"], &summary["failed"]), (&22_500.into(), &0.into()));
    setting.same();
}

/// A disk that is unplugged, or a directory that is moved, looks like a source that lacks everything.
#[test]
fn source_that_goes_away_under_way_removes_nothing() {
    let setting = Setting::start();
    for index in 0..300 {
        setting.write(&format!("a/{index}"), "x");
    }
    setting.sync(&[]);
    for index in 0..900 {
        setting.write(&format!("b/{index}"), &"x".repeat(20_000));
    }
    let held = hold(&setting, &["--delete", "--force-delete"], || {
        fs::read_dir(setting.target().join("b")).is_ok_and(|mut files| files.next().is_some())
    });
    fs::rename(setting.source(), setting.place.path().join("away")).unwrap();
    let output = held.go_on();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("gone or another since this began"), "{told}");
    assert_eq!(fs::read_dir(setting.target().join("a")).unwrap().count(), 300);
}

/// What is moved while it is sent may be in no place that the walk has found, so nothing may go at the server.
#[test]
fn directory_that_is_moved_under_way_removes_nothing() {
    let setting = Setting::start();
    for index in 0..40 {
        setting.write(&format!("a/{index}"), "x");
    }
    setting.write("z/stays", "x");
    setting.write("gone", "x");
    setting.sync(&[]);
    fs::remove_file(setting.source().join("gone")).unwrap();
    for index in 0..40 {
        setting.write(&format!("a/{index}"), &"y".repeat(500_000));
    }
    let arrived = || {
        let files = fs::read_dir(setting.target().join("a")).unwrap().flatten();
        files.filter(|file| file.metadata().is_ok_and(|found| found.len() > 1)).count()
    };
    let held = hold(&setting, &["--delete"], || arrived() > 2);
    fs::rename(setting.source().join("a"), setting.source().join("z/a")).unwrap();
    let output = held.go_on();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("nothing is removed"), "{told}");
    assert_eq!(fs::read_dir(setting.target().join("a")).unwrap().count(), 40);
    assert!(setting.target().join("gone").exists());
}
