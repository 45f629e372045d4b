//! A directory below the source that is moved, replaced or mounted over while haul runs has lost nothing.

use haul_tests::prelude::*;
use rustix::process::geteuid;

/// Directories of the source, each with a file that is new.
const DIRECTORIES: [&str; 3] = ["d", "e", "e/deep"];

/// A source that the server has as well, with a file more at the server, and a large file that is new.
fn sent() -> Setting {
    let setting = Setting::start();
    for index in 0..40 {
        setting.write(&format!("d/{index}"), "x");
    }
    setting.write("e/deep/f", "x");
    setting.sync(&[]);
    setting.write_there("gone", "x");
    setting.write_there("e/gone", "x");
    for directory in DIRECTORIES {
        setting.write(&format!("{directory}/new"), "x");
    }
    File::create(setting.source().join("large")).unwrap().set_len(LARGE).unwrap();
    setting
}

/// Makes the large file the last entry of the source, where that can be: the walk finds entries in the order of the directory, and
/// a connection that has begun a large file sends it before the small ones that are found later. A file system in memory lists the
/// newest first, or last.
fn find_large_last(setting: &Setting) {
    let source = setting.source();
    let last = || fs::read_dir(&source).unwrap().last().unwrap().unwrap().file_name();
    let becomes_newest = |name: &str| {
        let moving = setting.place.path().join("moving");
        fs::rename(source.join(name), &moving).unwrap();
        fs::rename(moving, source.join(name)).unwrap();
    };
    becomes_newest("large");
    if last() != "large" {
        ["d", "e"].into_iter().for_each(becomes_newest);
    }
}

const WORDS: [&str; 4] = ["sync", "--delete", "--connections=1", "--quiet"];

/// Does something to the source while the large file is on its way: after the walk, before anything is removed.
fn meanwhile(
    setting: &Setting,
    command: impl FnOnce(&str) -> Command,
    act: impl FnOnce(&mut Child),
) -> (Option<i32>, String) {
    find_large_last(setting);
    setting.rests();
    let partials = setting.server.root().join(".haul/partials");
    let mut held = Held::start(&setting.server, command, || {
        // If a new file has come, the client has read the directory that the file is in.
        let walked = DIRECTORIES.iter().all(|name| setting.there(&format!("{name}/new")));
        walked && fs::read_dir(&partials).is_ok_and(|mut files| files.next().is_some())
    });
    act(held.client());
    let output = held.go_on();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// `haul` with the source and more words.
fn start(setting: &Setting, words: &'static [&str]) -> impl FnOnce(&str) -> Command {
    let source = setting.source();
    move |server| {
        let mut command = haul_command();
        command.args(WORDS).args(words).arg(source).arg(server);
        command
    }
}

/// Nothing was removed, and `name` was told.
fn is_adrift(setting: &Setting, (code, told): (Option<i32>, String), name: &str) {
    assert_eq!(code, Some(1), "{told}");
    let path = setting.source().join(name);
    // A mount is told by its source.
    let tells = |words| told.contains(&format!("{}{words}", path.display()));
    assert!(tells(": gone or another") || tells(" has come, is gone or another"), "{told}");
    for there in (0..40).map(|index| format!("d/{index}")) {
        assert!(setting.there(&there), "{there} is removed: {told}");
    }
    assert!(
        setting.there("gone") && setting.there("e/gone") && setting.there("e/deep/f"),
        "{told}"
    );
    assert!(setting.there("large"), "{told}");
}

#[test]
fn directory_that_is_moved_within_the_source_under_way_loses_nothing_and_is_told() {
    let setting = sent();
    let (d, dd) = (setting.source().join("d"), setting.source().join("dd"));
    // Whatever the flags.
    let running = start(&setting, &["--force-delete", "--delete-all"]);
    is_adrift(&setting, meanwhile(&setting, running, |_| fs::rename(&d, &dd).unwrap()), "d");
    // The next run sees it where it is.
    setting.sync(&["--delete"]);
    setting.same();
}

#[test]
fn directory_that_is_replaced_by_another_under_way_loses_nothing() {
    let setting = sent();
    let (d, away) = (setting.source().join("d"), setting.place.path().join("away"));
    let replaced = meanwhile(&setting, start(&setting, &[]), |_| {
        fs::rename(&d, &away).unwrap();
        fs::create_dir(&d).unwrap();
    });
    is_adrift(&setting, replaced, "d");
}

#[test]
fn directory_that_is_replaced_by_a_symlink_or_a_file_under_way_loses_nothing() {
    for is_symlink in [true, false] {
        let setting = sent();
        let (d, away) = (setting.source().join("d"), setting.place.path().join("away"));
        let replaced = meanwhile(&setting, start(&setting, &[]), |_| {
            fs::rename(&d, &away).unwrap();
            if is_symlink { symlink(&away, &d).unwrap() } else { fs::write(&d, "x").unwrap() }
        });
        is_adrift(&setting, replaced, "d");
    }
}

#[test]
fn directories_that_are_exchanged_under_way_lose_nothing() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let setting = sent();
    let (d, e) = (setting.source().join("d"), setting.source().join("e"));
    let exchanged = meanwhile(&setting, start(&setting, &[]), |_| {
        renameat_with(CWD, &d, CWD, &e, RenameFlags::EXCHANGE).unwrap();
    });
    // One of the two is found first.
    let named = if exchanged.1.contains("/d: ") { "d" } else { "e" };
    is_adrift(&setting, exchanged, named);
}

#[test]
fn directory_that_is_back_in_time_is_the_one_that_it_was() {
    let setting = sent();
    let (d, away) = (setting.source().join("d"), setting.place.path().join("away"));
    let (code, told) = meanwhile(&setting, start(&setting, &[]), |_| {
        fs::rename(&d, &away).unwrap();
        fs::rename(&away, &d).unwrap();
    });
    // The directory that it went from and came to has changed, so the client has looked through the source once more.
    assert_eq!(code, Some(0), "{told}");
    setting.same();
}

/// Starts haul where it can mount; a line on its standard input has it do so.
fn with_mounts(setting: &Setting, before: &str, then: &str) -> impl FnOnce(&str) -> Command {
    // The shell ends with haul, also if haul ends before the line comes.
    let script = format!(
        "{before}; exec 3<&0; {{ read go <&3; {then} && echo; }} & \"$@\" </dev/null 3<&-; \
         code=$?; kill $! 2>/dev/null; exit $code"
    );
    fs::create_dir_all(setting.place.path().join("empty")).unwrap();
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["sh", "-c", &script, "sh"]).arg(&binaries::get().haul).args(WORDS);
    command.arg(setting.source());
    command.env("P", setting.place.path()).env("D", setting.source().join("d"));
    command.stdin(Stdio::piped());
    |server| {
        command.arg(server);
        command
    }
}

/// Lets the shell of [`with_mounts`] go on, and waits until it has mounted.
fn go(running: &mut Child) {
    writeln!(running.stdin.as_mut().unwrap(), "go").unwrap();
    let mut done = [0];
    std::io::Read::read_exact(running.stdout.as_mut().unwrap(), &mut done).unwrap();
}

#[test]
fn directory_that_something_is_mounted_on_under_way_loses_nothing() {
    for then in ["mount --bind \"$P/empty\" \"$D\"", "mount -t tmpfs none \"$D\""] {
        let setting = sent();
        let running = with_mounts(&setting, ":", then);
        is_adrift(&setting, meanwhile(&setting, running, go), "d");
    }
}

#[test]
fn bind_mount_that_vanishes_under_way_loses_nothing() {
    let setting = sent();
    let (d, disk) = (setting.source().join("d"), setting.place.path().join("disk"));
    fs::rename(&d, &disk).unwrap();
    fs::create_dir(&d).unwrap();
    let running = with_mounts(&setting, "mount --bind \"$P/disk\" \"$D\"", "umount -l \"$D\"");
    is_adrift(&setting, meanwhile(&setting, running, go), "d");
}

/// It was sent or seen under its old name, and is under its new one after the walk: that is found by another walk.
#[test]
fn file_that_is_moved_after_it_was_found_is_sent_under_its_new_name() {
    for force in [false, true] {
        let setting = sent();
        let (from, to) = (setting.source().join("d/7"), setting.source().join("e/7"));
        let words: &'static [&str] = if force { &["--force-delete"] } else { &[] };
        let moved =
            meanwhile(&setting, start(&setting, words), |_| fs::rename(&from, &to).unwrap());
        assert_eq!(moved.0, Some(0), "{}", moved.1);
        setting.same();
    }
}

#[test]
fn dangling_symlink_is_no_lacking_entry_when_symlinks_are_followed() {
    let setting = Setting::start();
    setting.write("d/inside", "x");
    setting.write("f", "x");
    setting.sync(&[]);
    for name in ["d", "f"] {
        fs::rename(setting.source().join(name), setting.place.path().join(name)).unwrap();
        symlink("nowhere", setting.source().join(name)).unwrap();
    }
    setting.write("stays", "x");
    setting.write_there("gone", "x");
    let words = ["--delete", "--force-delete", "--links", "follow"];
    setting.command("sync", &words).assert().code(1).stderr(contains("/d: "));
    assert!(setting.there("d/inside") && setting.there("f") && !setting.there("gone"));
}

#[test]
fn directory_that_is_closed_under_way_keeps_all_others_from_being_removed() {
    let (user, setting) = (User::new().unwrap(), sent());
    let source = user.path().join("s");
    tree::copy(&setting.source(), &source);
    let source = user.own_all(source).unwrap();
    let mut command = user.command("haul");
    command.args(WORDS).arg(&source);
    let close = |mode| set_mode(source.join("d"), mode);
    let (code, told) = meanwhile(
        &setting,
        |server| {
            command.arg(server);
            command
        },
        |_| close(0),
    );
    close(0o755);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("Permission denied"), "{told}");
    assert!(setting.there("gone") && setting.there("e/gone") && setting.there("d/0"), "{told}");
    assert_eq!(told.matches("Permission denied").count(), 1, "{told}");
}

/// Beyond what is remembered path by path.
#[test]
fn one_of_very_many_directories_that_is_moved_loses_nothing() {
    let setting = sent();
    for index in 0..5000 {
        fs::create_dir_all(setting.source().join(format!("many/{index}"))).unwrap();
    }
    setting.command("sync", &["--exclude", "large"]).assert().success();
    let (d, away) = (setting.source().join("d"), setting.place.path().join("away"));
    let moved = meanwhile(&setting, start(&setting, &[]), |_| {
        fs::rename(&d, &away).unwrap();
        fs::create_dir(&d).unwrap();
    });
    assert_eq!(moved.0, Some(1), "{}", moved.1);
    assert!(moved.1.contains("/d: gone or another"), "{}", moved.1);
    assert!((0..40).all(|index| setting.there(&format!("d/{index}"))), "{}", moved.1);
}
