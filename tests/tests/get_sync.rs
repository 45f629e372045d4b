//! `haul sync` from a server: what goes here, what stays, and what a dry run tells.

use haul_tests::mounts::{FOLDS, haul_after};
use haul_tests::needed::has_fuse;
use haul_tests::prelude::*;

/// Its own file is there under the older spelling, which the server does not list any more.
#[test]
fn entry_that_is_spelled_otherwise_here_than_at_the_server_is_not_removed() {
    if !has_fuse() {
        return;
    }
    let setting = Setting::start();
    let back = setting.place.path().join("back");
    let there = setting.server.root().join("d");
    fs::create_dir_all(there.join("Dir")).unwrap();
    for name in ["Readme", "Dir/f", "\u{e9}"] {
        fs::write(there.join(name), name).unwrap();
    }
    let sync = |words: &[&str]| {
        let mut command = haul_after(FOLDS, setting.place.path());
        command.args(["sync", "--delete"]).args(words);
        command.arg(format!("haul://{}/", setting.at("d")));
        command.arg(setting.place.path().join("folds/"));
        Client::from_std(command).assert().success()
    };
    sync(&[]);
    assert_eq!(tree::names(&back), ["Dir/f", "Readme", "\u{e9}"]);
    for (from, to) in [("Readme", "README"), ("Dir", "DIR"), ("\u{e9}", "e\u{301}")] {
        fs::rename(there.join(from), there.join(to)).unwrap();
    }
    fs::write(back.join("extra"), "x").unwrap();
    sync(&["-n"]).stdout(contains("would remove d/extra").and(contains("1 removed")));
    sync(&[]).stdout(contains("1 removed"));
    assert_eq!(tree::names(&back), ["Dir/f", "Readme", "e\u{301}", "\u{e9}"]);
}

/// What goes from the server into the directory `l`; returns the code and standard output.
fn sync(setting: &Setting, words: &[&str]) -> (Option<i32>, String) {
    let mut command = setting.haul(&["sync"]);
    command.args(words).arg(format!("haul://{}/", setting.at("d")));
    let output = command.arg(setting.place.path().join("l")).output();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), told)
}

/// A server with the files `d/sub/f` and `d/f`, and the directory `l`.
fn setting() -> (Setting, PathBuf, PathBuf) {
    let setting = Setting::start();
    let (there, here) = (setting.server.root().join("d"), setting.place.path().join("l"));
    fs::create_dir_all(there.join("sub")).unwrap();
    fs::create_dir(&here).unwrap();
    for name in ["sub/f", "f"] {
        fs::write(there.join(name), name).unwrap();
    }
    (setting, there, here)
}

#[test]
fn dry_run_tells_that_a_file_or_symlink_makes_way_for_a_directory() {
    for is_link in [false, true] {
        let (setting, _, here) = setting();
        match is_link {
            true => std::os::unix::fs::symlink("elsewhere", here.join("sub")).unwrap(),
            false => fs::write(here.join("sub"), "file").unwrap(),
        }
        let (code, told) = sync(&setting, &["-n", "--delete"]);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("would make d/sub: another kind of entry is here"), "{told}");
        assert!(told.contains("2 files, 2 directories") && !here.join("sub").is_dir(), "{told}");
        let (code, told) = sync(&setting, &["--delete"]);
        assert!(code == Some(0) && told.contains("2 files, 2 directories"), "{told}");
        assert_eq!(tree::names(&here), ["f", "sub/f"]);
        // A get keeps both from it, and tells that as well.
        fs::remove_dir_all(here.join("sub")).unwrap();
        fs::write(here.join("sub"), "file").unwrap();
        for words in [&["-n", "--ignore-existing"][..], &["--ignore-existing"]] {
            assert_eq!(sync(&setting, words).0, Some(1), "{words:?}");
        }
    }
}

/// Trap `hard_link_written_through`. A hard link is the same file elsewhere, where nothing is to change.
#[test]
fn mode_of_a_file_that_has_another_name_outside_stays_there() {
    let (setting, there, here) = setting();
    let outside = setting.place.path().join("outside");
    fs::write(&outside, "f").unwrap();
    set_mode(&outside, 0o600);
    set_mode(there.join("f"), 0o644);
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for path in [&outside, &there.join("f")] {
        File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    }
    fs::hard_link(&outside, here.join("f")).unwrap();
    let (code, told) = sync(&setting, &["-n"]);
    let why = "would get d/f: its mode is another one, and it is a hard link";
    assert!(code == Some(0) && told.contains(why), "{told}");
    assert_eq!(sync(&setting, &[]).0, Some(0));
    assert_eq!((mode(&outside), mode(here.join("f"))), (0o600, 0o644));
    assert_eq!(outside.metadata().unwrap().nlink(), 1);
}

#[test]
fn dry_run_leaves_directories_alone_that_nobody_may_write_to() {
    let (setting, _, here) = setting();
    let inner = here.join("sub/inner");
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("extra"), "x").unwrap();
    for path in [&inner, &here.join("sub")] {
        set_mode(path, 0o500);
    }
    let changed = || {
        let found = [&inner, &here.join("sub")].map(|path| path.metadata().unwrap());
        found.map(|found| (found.mode(), found.ctime(), found.ctime_nsec()))
    };
    let before = changed();
    let (code, told) = sync(&setting, &["-n", "--delete"]);
    assert!(code == Some(0) && told.contains("2 removed"), "{told}");
    assert_eq!(changed(), before);
    let (code, told) = sync(&setting, &["--delete"]);
    assert!(code == Some(0) && told.contains("2 removed"), "{told}");
    assert_eq!(tree::names(&here), ["f", "sub/f"]);
}

/// Neither is what is mounted elsewhere as well, as a directory from outside of the target.
#[test]
fn what_is_mounted_in_a_directory_that_goes_is_not_removed() {
    let (setting, _, here) = setting();
    let outside = setting.place.path().join("outside");
    fs::create_dir_all(here.join("extra/mounted")).unwrap();
    fs::create_dir(&outside).unwrap();
    for path in [outside.join("precious"), here.join("extra/file")] {
        fs::write(path, "x").unwrap();
    }
    for (words, gone) in [(&["-n"][..], false), (&[], true)] {
        let mount = "mount --bind $PLACE/outside $PLACE/l/extra/mounted";
        let mut command = haul_after(mount, setting.place.path());
        command.args(["sync", "--delete"]).args(words);
        command.arg(format!("haul://{}/", setting.at("d"))).arg(&here);
        let done = Client::from_std(command).assert().code(1).stdout(contains("1 removed"));
        done.stderr(contains("l/extra/mounted: something is mounted on it, so it stays"));
        assert!(outside.join("precious").exists());
        assert_eq!(!here.join("extra/file").exists(), gone);
    }
}

/// Trap `partials_fill_the_disk`.
#[test]
fn parts_of_a_file_that_the_server_lacks_go_but_not_in_a_dry_run() {
    let (setting, _, here) = setting();
    let left = here.join(format!(".haul-arrives-p{}", "0".repeat(32)));
    for words in [&[][..], &["--delete"]] {
        fs::write(&left, "parts").unwrap();
        for dry in ["-n", "--dry-run"] {
            assert_eq!(sync(&setting, &[words, &[dry]].concat()).0, Some(0));
            assert!(left.exists(), "{words:?}");
        }
        assert_eq!(sync(&setting, words).0, Some(0));
        assert_eq!(tree::names(&here), ["f", "sub/f"], "{words:?}");
    }
}

#[test]
fn rule_of_a_source_holds_in_one_that_is_a_source_as_well() {
    let (setting, _, here) = setting();
    for name in ["d/sub/mine", "sub/mine", "d/sub/extra"] {
        fs::create_dir_all(here.join(name).parent().unwrap()).unwrap();
        fs::write(here.join(name), "x").unwrap();
    }
    let mut command = setting.haul(&["sync", "--delete", "--exclude", "/sub/mine"]);
    for source in ["d", "d/sub"] {
        command.arg(format!("haul://{}", setting.at(source)));
    }
    command.arg(&here).assert().success();
    // Nobody can tell of which source the rule is meant to be.
    assert_eq!(tree::names(&here), ["d/f", "d/sub/f", "d/sub/mine", "sub/f", "sub/mine"]);
}

/// The list of the directory has several pages, and each has one of the two.
#[test]
fn second_of_two_names_that_are_one_here_never_comes_over_the_first() {
    if !has_fuse() {
        return;
    }
    let setting = Setting::start();
    let there = setting.server.root().join("d");
    fs::create_dir(&there).unwrap();
    for name in ["README", "readme"] {
        fs::write(there.join(name), name).unwrap();
    }
    for number in 0..6000 {
        File::create(there.join(format!("{}{number}", "m".repeat(200)))).unwrap();
    }
    let mut command = haul_after(FOLDS, setting.place.path());
    command.args(["get", "--exclude", "m*"]).arg(format!("{}/", setting.at("d")));
    command.arg(setting.place.path().join("folds/"));
    let done = Client::from_std(command).assert().code(1);
    done.stderr(contains("readme: another entry of the server has this name in other case"));
    let back = setting.place.path().join("back");
    assert_eq!(tree::names(&back), ["README"]);
    assert_eq!(fs::read_to_string(back.join("README")).unwrap(), "README");
}
