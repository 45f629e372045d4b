//! `sync DIR/ DEST` makes DEST itself like DIR, with its mode and mtime; so does `put`, but it leaves a DEST that is there
//! as it is.

use haul_tests::prelude::*;

const OLD: u32 = 1_000_000_000;

/// The attributes of a directory.
fn attributes(path: &Path) -> (u32, i64, i64) {
    let found = fs::metadata(path).unwrap();
    (found.mode() & 0o7777, found.mtime(), found.mtime_nsec())
}

/// A source with an old mtime and a mode that no new directory has.
fn old() -> Setting {
    let setting = Setting::start();
    setting.write("d/f", "x");
    set_mode(setting.source(), 0o700);
    set_mtime(setting.source(), SystemTime::UNIX_EPOCH + Duration::from_secs(OLD.into()));
    setting
}

#[test]
fn sync_gives_a_new_destination_mode_and_mtime_of_the_source() {
    let setting = old();
    let to = setting.at("new/t");
    setting.haul(&["sync", "s/", &to]).assert().success();
    let there = setting.server.root().join("new/t");
    tree::compare(&setting.source(), &there).unwrap();
    assert_eq!(attributes(&there), (0o700, OLD.into(), 0));
    let again = setting.haul(&["sync", "-n", "s/", &to]).assert().success();
    again.stdout(contains("0 files, 0 B").and(contains("would").not()));
    // rsync has nothing to change either, in any directory.
    let mut rsync = Command::new("rsync");
    rsync.arg("-ani").arg(setting.source().join("")).arg(there.join(""));
    assert_eq!(String::from_utf8(output_of(&mut rsync).stdout).unwrap(), "");
}

#[test]
fn sync_gives_an_existing_destination_mode_and_mtime_of_the_source_and_a_dry_run_tells_so() {
    let setting = old();
    let there = setting.server.root().join("t");
    tree::copy(&setting.source(), &there);
    set_mode(&there, 0o755);
    let to = setting.at("t");
    let dry = setting.haul(&["sync", "-n", "--delete", "s/", &to]).assert().success();
    dry.stdout(contains("would adjust t: mode differs\n"));
    assert_eq!(attributes(&there), (0o755, OLD.into(), 0));
    setting.haul(&["sync", "--delete", "s/", &to]).assert().success();
    assert_eq!(attributes(&there), (0o700, OLD.into(), 0));
    // A read-only source, into which nothing more can be put.
    setting.write("late", "x");
    set_mode(setting.source(), 0o555);
    setting.haul(&["sync", "s/", &to]).assert().success();
    tree::compare(&setting.source(), &there).unwrap();
    fs::write(setting.place.path().join("s2"), "").unwrap();
    set_mode(setting.source(), 0o755);
    setting.write("later", "x");
    set_mode(setting.source(), 0o555);
    setting.haul(&["sync", "s/", &to]).assert().success();
    tree::compare(&setting.source(), &there).unwrap();
    set_mode(setting.source(), 0o755);
}

#[test]
fn put_gives_a_new_destination_mode_and_mtime_of_the_source() {
    let setting = old();
    for (mode, to) in [(0o700, "new"), (0o500, "deep/t")] {
        set_mode(setting.source(), mode);
        let at = setting.at(to);
        setting.haul(&["put", "-n", "s/", &at]).assert().success();
        assert!(!setting.server.root().join(to).exists());
        setting.haul(&["put", "s/", &at]).assert().success().stdout(contains("2 directories"));
        let there = setting.server.root().join(to);
        tree::compare(&setting.source(), &there).unwrap();
        assert_eq!(attributes(&there), (mode, OLD.into(), 0));
    }
    // A file that comes before gives the directory no mode.
    fs::write(setting.place.path().join("a"), "x").unwrap();
    setting.haul(&["put", "a", "s/", &setting.at("both")]).assert().success();
    assert_eq!(attributes(&setting.server.root().join("both")).0, 0o500);
    set_mode(setting.source(), 0o700);
}

/// Also before everything is in it.
#[test]
fn new_destination_of_put_has_the_mode_of_the_source_from_the_first_entry_on() {
    let setting = old();
    let there = setting.server.root().join("new");
    let mode = move || assert_eq!(attributes(&there).0, 0o700);
    let lost = Lost::start(setting.server.address(), "mkdir", mode).unwrap();
    let to = format!("{}/new", lost.address());
    setting.haul(&["put", "--connections", "1", "s/", &to]).assert().success();
    lost.end();
    assert!(setting.server.root().join("new/d/f").exists());
    assert_eq!(attributes(&setting.server.root().join("new")), (0o700, OLD.into(), 0));
}

#[test]
fn put_leaves_a_destination_that_may_be_others_as_it_is() {
    let setting = old();
    let there = setting.server.root().join("t");
    fs::create_dir(&there).unwrap();
    set_mode(&there, 0o755);
    setting.haul(&["put", "s/", &setting.at("t")]).assert().success();
    let (mode, mtime, _) = attributes(&there);
    assert_eq!(mode, 0o755);
    assert_ne!(mtime, i64::from(OLD));
    assert!(there.join("d/f").exists());
}

#[test]
fn root_of_the_server_keeps_its_mode() {
    let setting = old();
    let root = setting.server.root().to_owned();
    let mode = fs::metadata(&root).unwrap().mode();
    setting.haul(&["sync", "s/", setting.server.address()]).assert().success();
    assert!(root.join("d/f").exists());
    assert_eq!(fs::metadata(&root).unwrap().mode(), mode);
}
