//! A dry run of `haul get` foresees its own failures; and directories that the server does not list.

use haul_tests::bytes::counted;
use haul_tests::mounts::haul_after;
use haul_tests::needed::is_root;
use haul_tests::prelude::*;

/// `haul`, run by a user without privileges; returns the code, the summary and standard output with its failures.
#[track_caller]
fn run(user: &User, words: &[&str]) -> (Option<i32>, Value, String) {
    let mut command = user.command("haul");
    let output = output_of(command.args(words).arg("--json").env("HAUL_CONFIG_DIR", user.path()));
    let told = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), last(told.as_bytes()), told)
}

/// The failures of a run, each with its path.
fn failures(told: &str) -> Vec<(String, String)> {
    let events = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let failed = events.filter(|event| event["event"] == "failed").map(|event| {
        let text = |field: &str| event[field].as_str().unwrap().to_owned();
        (text("source"), text("error"))
    });
    let mut failed: Vec<_> = failed.collect();
    failed.sort();
    failed
}

/// Gives a directory to another user, and lets only that one write to it.
fn closed(place: &Path) -> PathBuf {
    std::os::unix::fs::chown(place, Some(0), None).unwrap();
    set_mode(place, 0o755);
    place.to_owned()
}

#[test]
fn dry_run_foresees_that_a_directory_may_not_be_written_to() {
    if !is_root() {
        return;
    }
    let setting = Setting::start();
    for name in ["small", "same", "open/file", "closed/file", "new/file", "closed/new/file"] {
        setting.write_there(name, "new");
    }
    fs::write(setting.target().join("large"), counted(3 << 20)).unwrap();
    symlink("x", setting.target().join("link")).unwrap();
    let user = User::new().unwrap();
    let place = user.path().join("d");
    fs::create_dir_all(place.join("open")).unwrap();
    fs::create_dir_all(place.join("closed")).unwrap();
    fs::write(place.join("small"), "old").unwrap();
    user.own_all(place.clone()).unwrap();
    // Its owner may open it up; the target itself is the user's business.
    set_mode(place.join("open"), 0o555);
    set_mode(&place, 0o555);
    closed(&place.join("closed"));
    let from = setting.at("s/");
    for to in ["d", "d/none", "d/none/below"] {
        let (code, foreseen, told) = run(&user, &["get", "-n", &from, to]);
        let (really, done, done_told) = run(&user, &["get", &from, to]);
        assert_eq!((code, really), (Some(1), Some(1)), "{to}: {told}");
        assert_eq!(failures(&told), failures(&done_told), "{to}");
        for count in ["files", "links", "failed", "directories", "bytes_total"] {
            assert_eq!(foreseen[count], done[count], "{to} {count}: {told} {done_told}");
        }
    }
    assert_eq!(fs::read_to_string(place.join("small")).unwrap(), "old");
}

#[test]
fn dry_run_of_sync_foresees_what_may_not_be_removed() {
    if !is_root() {
        return;
    }
    let setting = Setting::start();
    setting.write_there("closed/file", "x");
    let user = User::new().unwrap();
    let place = user.path().join("d");
    fs::create_dir_all(place.join("closed")).unwrap();
    for name in ["closed/extra", "extra"] {
        fs::write(place.join(name), "x").unwrap();
    }
    user.own_all(place.clone()).unwrap();
    let closed_here = closed(&place.join("closed"));
    let from = format!("haul://{}", setting.at("s/"));
    let words = ["sync", "--delete", "--force-delete", &from, "d"];
    let (code, foreseen, told) = run(&user, &[&words[..], &["-n"]].concat());
    assert_eq!((code, &foreseen["removed"]), (Some(1), &json!(1)), "{told}");
    let (code, done, _) = run(&user, &words);
    assert_eq!((code, &done["removed"]), (Some(1), &json!(1)));
    let told = failures(&told);
    assert!(told.iter().any(|(path, _)| path == "d/closed/extra"), "{told:?}");
    assert!(closed_here.join("extra").exists() && !place.join("extra").exists());
}

#[test]
fn directory_whose_list_is_refused_gets_no_mode_and_no_mtime() {
    if !is_root() {
        return;
    }
    let user = User::new().unwrap();
    let place = user.path().join("server");
    fs::create_dir(&place).unwrap();
    user.own(&place).unwrap();
    let root = place.join("root");
    let command = user.command("hauld");
    let words = ["--durability", "none"];
    let server = Hauld::start_at(&root, &place.join("log"), command, &words).unwrap();
    fs::create_dir(root.join("closed")).unwrap();
    user.own_all(root.clone()).unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    set_mtime(root.join("closed"), then);
    set_mode(closed(&root.join("closed")), 0o500);
    let here = TempDir::new().unwrap();
    let from = format!("haul://{}/closed/", server.address());
    for (verb, is_there) in [("get", false), ("sync", false), ("sync", true)] {
        let target = here.path().join(format!("{verb} {is_there}"));
        if is_there {
            fs::create_dir(&target).unwrap();
            set_mode(&target, 0o751);
        }
        for dry in [&["-n"][..], &[]] {
            let mut command = haul();
            command.args([verb, "--json", &from]).args(dry).arg(&target);
            let out = command.assert().code(1).get_output().stdout.clone();
            let counts = last(&out);
            assert_eq!((&counts["failed"], &counts["directories"]), (&json!(1), &json!(0)));
        }
        let found = target.metadata().unwrap();
        assert_ne!(found.modified().unwrap(), then, "{verb} {is_there}");
        assert_eq!(found.mode() & 0o700, 0o700, "{verb} {is_there}");
        if is_there {
            assert_eq!(mode(&target), 0o751);
        }
    }
}

#[test]
fn symlink_that_leads_nowhere_is_no_target_also_for_a_dry_run() {
    let setting = Setting::start();
    setting.write_there("file", "x");
    symlink("none", setting.place.path().join("link")).unwrap();
    for to in ["link", "link/below"] {
        for words in [&["get"][..], &["get", "-n"]] {
            let command = setting.haul(words).arg(setting.at("s/")).arg(to).assert();
            command.code(1).stderr(contains("a symlink that leads nowhere is in its place"));
        }
    }
    assert!(setting.place.path().join("link").is_symlink());
}

#[test]
fn file_of_another_user_with_another_mode_is_replaced() {
    if !is_root() {
        return;
    }
    let setting = Setting::start();
    setting.write_there("file", "x");
    let user = User::new().unwrap();
    let place = user.path().join("d");
    fs::create_dir(&place).unwrap();
    user.own(&place).unwrap();
    let from = format!("haul://{}", setting.at("s/"));
    for (words, bits) in [(&["sync"][..], 0o600), (&["sync", "--checksum"], 0o644)] {
        let file = place.join("file");
        let _ = fs::remove_file(&file);
        fs::write(&file, "x").unwrap();
        let then = setting.target().join("file").metadata().unwrap().modified().unwrap();
        set_mtime(&file, then);
        set_mode(setting.target().join("file"), 0o640);
        set_mode(&file, bits);
        let (code, foreseen, _) = run(&user, &[words, &["-n", &from, "d"]].concat());
        assert_eq!((code, &foreseen["files"]), (Some(0), &json!(1)), "{words:?}");
        let (code, done, told) = run(&user, &[words, &[&from, "d"]].concat());
        assert_eq!((code, &done["files"]), (Some(0), &json!(1)), "{told}");
        assert_eq!(mode(&file), 0o640);
    }
}

#[test]
fn dry_run_foresees_that_a_file_on_which_something_is_mounted_stays() {
    let setting = Setting::start();
    setting.write_there("replaced", "new");
    setting.write_there("directory/inside", "new");
    let here = setting.place.path().join("d");
    fs::create_dir(&here).unwrap();
    for name in ["replaced", "directory", "removed", "other"] {
        fs::write(here.join(name), "old, and of another size").unwrap();
    }
    let setup = "for name in replaced directory removed; do \
                 mount --bind \"$PLACE/d/other\" \"$PLACE/d/$name\"; done";
    for words in [&["-n"][..], &[]] {
        let mut command = haul_after(setup, setting.place.path());
        command.args(["sync", "--delete", "--force-delete", "--json"]).args(words);
        command.arg(format!("haul://{}", setting.at("s/"))).arg(&here);
        let output = output_of(&mut command);
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {told}");
        let failed: Vec<_> = failures(&told).into_iter().map(|(path, _)| path).collect();
        let names = ["directory", "removed", "replaced"].map(|name| here.join(name));
        assert_eq!(failed, names.map(|path| path.display().to_string()), "{words:?}: {told}");
        assert!(told.contains("mounted on it"), "{told}");
    }
}
