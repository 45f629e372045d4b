//! A source that is gone, or has nothing in it, is no reason to remove anything.

use haul_tests::prelude::*;

/// A source of two files, which the server has as well, as `s` and as the site.
pub(crate) fn sent() -> Setting {
    let setting = Setting::start();
    setting.write("a", "1");
    setting.write("d/b", "2");
    setting.sync(&[]);
    setting.published(&[]);
    setting
}

/// Nothing is missing at the server.
pub(crate) fn is_whole(setting: &Setting) {
    for place in [setting.target(), setting.site()] {
        for name in ["a", "d/b"] {
            assert!(place.join(name).exists(), "{name} in {}", place.display());
        }
    }
}

/// `haul` with these words, run by a shell whose directory has been removed; `then` is done before.
fn from_removed(setting: &Setting, then: &str, words: &[&str]) -> Client {
    let script = format!(
        "cd \"$1\" && mv \"$1\" \"$1.old\" && {then} rm -r \"$1.old\" && shift && exec \"$@\""
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, "sh"])
        .arg(setting.source())
        .arg(&binaries::get().haul)
        .args(words);
    Client::from_std(command)
}

#[test]
fn removed_working_directory_removes_nothing_and_publishes_nothing() {
    for then in ["", "cp -a \"$1.old\" \"$1\" &&"] {
        let commands: [(&[&str], &str); 6] = [
            (&["sync", "--delete", "."], "s"),
            (&["sync", "--delete", "--force-delete", "--delete-all", "."], "s"),
            (&["sync", "--delete", "--force-delete", "-n", "./"], "s"),
            (&["publish", "."], "www/site"),
            (&["publish", "--delete-all", "."], "www/site"),
            (&["publish", "--delete-all", "-n", "./"], "www/site"),
        ];
        for (words, to) in commands {
            let setting = sent();
            let to = setting.at(to);
            let mut command = from_removed(&setting, then, &[words, &[&to[..]]].concat());
            command.assert().code(1).stderr(contains("has been removed"));
            is_whole(&setting);
        }
    }
}

#[test]
fn removed_working_directory_is_no_empty_one_for_put_and_verify_either() {
    let commands: [&[&str]; 3] =
        [&["put", "."], &["verify", "."], &["put", "--files-from", "/dev/null", "."]];
    for words in commands {
        let setting = sent();
        let to = setting.at("s");
        let mut command = from_removed(&setting, "", &[words, &[&to[..]]].concat());
        command
            .assert()
            .code(1)
            .stderr(contains("has been removed"))
            .stdout(contains("extra s").not());
    }
}

#[test]
fn source_that_does_not_exist_removes_nothing_whatever_the_flags() {
    let setting = sent();
    let server = setting.server.address();
    for source in ["missing", "missing/"] {
        for flags in [&[][..], &["--force-delete"], &["--force-delete", "--delete-all"]] {
            let to = setting.at("s");
            let words = [&["sync", "--delete"], flags, &[source, &to]].concat();
            let told = setting.haul(&words).assert().code(1).get_output().stderr.clone();
            let told = String::from_utf8(told).unwrap();
            assert!(told.contains("No such file") && !told.contains("--force-delete"), "{told}");
            is_whole(&setting);
        }
    }
    setting
        .haul(&["verify", "missing/", &setting.at("s")])
        .assert()
        .code(1)
        .stdout(contains("extra s").not());
    // One of several is missing: the others go.
    setting.haul(&["put", "s/a", "missing/", server]).assert().code(1).stderr(contains("missing/"));
    assert!(setting.server.root().join("a").exists());
}

#[test]
fn source_that_cannot_be_opened_removes_nothing_whatever_the_flags() {
    let (user, setting) = (User::new().unwrap(), sent());
    let source = user.path().join("s");
    fs::create_dir(&source).unwrap();
    let source = user.own_all(source).unwrap();
    set_mode(&source, 0o100);
    for flags in [&[][..], &["--force-delete", "--delete-all"]] {
        let mut command = user.command("haul");
        command.args(["sync", "--delete"]).args(flags).arg(&source).arg(setting.server.address());
        Client::from_std(command).assert().code(1).stderr(contains("Permission denied"));
        is_whole(&setting);
    }
}

/// Empties the source, or leaves something in it that is not sent.
fn empty(setting: &Setting, with: Option<&str>) {
    fs::remove_dir_all(setting.source()).unwrap();
    fs::create_dir(setting.source()).unwrap();
    if let Some(name) = with {
        setting.write(name, "x");
    }
}

#[test]
fn empty_source_needs_delete_all_also_in_a_dry_run() {
    let setting = sent();
    // Without anything in it, and with nothing that the rules leave.
    for (with, rules) in [(None, &[][..]), (Some("x.o"), &["--exclude", "*.o"])] {
        empty(&setting, with);
        for flags in [&[][..], &["-n"], &["--force-delete"]] {
            let words = [&["--delete"], flags, rules].concat();
            let refused = setting.command("sync", &words).assert().code(1);
            refused
                .stderr(contains("--delete-all").count(1))
                .stdout(contains("would remove").not());
            is_whole(&setting);
        }
    }
    let told = setting.command("sync", &["--delete", "--delete-all", "-n"]).assert().success();
    told.stdout(contains("would remove s/a"));
    is_whole(&setting);
    empty(&setting, None);
    assert_eq!(setting.sync(&["--delete", "--delete-all"])["removed"], 3);
    assert_eq!(fs::read_dir(setting.target()).unwrap().count(), 0);
}

#[test]
fn empty_source_is_no_failure_if_there_is_nothing_to_remove() {
    let setting = Setting::start();
    // Nothing there at all, an empty directory, one with what a rule spares.
    setting.sync(&["--delete"]);
    setting.sync(&["--delete"]);
    setting.write_there("spared.o", "x");
    setting.sync(&["--delete", "--exclude", "*.o"]);
    assert!(setting.there("spared.o"));
    // And without --delete in any case.
    setting.write_there("more", "x");
    setting.sync(&[]);
}

#[test]
fn empty_subdirectory_is_emptied_as_ever() {
    let setting = sent();
    fs::remove_file(setting.source().join("d/b")).unwrap();
    fs::remove_file(setting.source().join("a")).unwrap();
    assert_eq!(setting.sync(&["--delete"])["removed"], 2);
    assert!(setting.there("d") && !setting.there("d/b"));
    // The same at a prompt.
    empty(&setting, None);
    let line = |flags: &str| format!("sync --delete {flags} {}\n", setting.source().display());
    let shell = |line: String| {
        setting.haul(&["shell", setting.server.address()]).write_stdin(line).assert()
    };
    shell(line("")).code(1).stderr(contains("--delete-all"));
    assert!(setting.there("d"));
    shell(line("--delete-all")).success();
    assert!(!setting.there("d"));
}

#[test]
fn empty_version_needs_delete_all() {
    let setting = sent();
    for (with, rules) in [(None, &[][..]), (Some("x.o"), &["--exclude", "*.o"])] {
        empty(&setting, with);
        for flags in [&[][..], &["-n"]] {
            let refused = setting.publish(&[flags, rules].concat()).assert().code(1);
            refused.stderr(contains("--delete-all"));
            is_whole(&setting);
        }
    }
    empty(&setting, None);
    setting.published(&["--delete-all"]);
    assert_eq!(fs::read_dir(setting.site()).unwrap().count(), 0);
    // A version with an empty directory is not empty.
    fs::create_dir(setting.source().join("d")).unwrap();
    setting.published(&[]);
    assert!(setting.site().join("d").exists());
}

/// The source is replaced by another directory after all of it was sent, before anything is published.
#[test]
fn source_that_is_replaced_under_way_is_not_published() {
    let setting = Setting::start();
    setting.write("small", "x");
    fs::File::create(setting.source().join("large")).unwrap().set_len(24 << 20).unwrap();
    let trees = setting.server.root().join(".haul/trees");
    let held = setting.hold_publish(|| {
        let mut entries = walkdir::WalkDir::new(&trees).into_iter().flatten();
        entries.any(|entry| entry.file_name() == "small")
    });
    fs::rename(setting.source(), setting.place.path().join("away")).unwrap();
    tree::copy(&setting.place.path().join("away"), &setting.source());
    let output = held.go_on();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("gone or another") && told.contains("nothing is published"), "{told}");
    assert!(!setting.site().exists());
}

/// A file that is named may be moved, which is no loss of the source; if it vanishes, that is a failure.
#[test]
fn file_that_is_named_may_be_moved() {
    let setting = Setting::start_with(&[]);
    setting.write("f", "x");
    setting.haul(&["put", "--remove-source", "s/f", setting.server.address()]).assert().success();
    assert!(!setting.source().join("f").exists());
    assert!(setting.server.root().join("f").exists());
}
