//! `-x`: what is on another file system than its source is left out.

use haul_tests::prelude::*;

/// Runs haul where a file system with one file is mounted on `s/m`, below which the source's own file system has another
/// file.
fn mounted(setting: &Setting, words: &[&str]) -> Assert {
    let script =
        "set -e; mount -t tmpfs tmpfs s/m; mkdir s/m/in; echo far > s/m/in/far; echo far > s/m/far
                  chmod 0750 s/m; exec \"$H\" \"$@\"";
    let mut command = Client::new("unshare");
    command.current_dir(setting.place.path()).args(["-rm", "sh", "-c", script, "sh"]).args(words);
    command.env("H", &binaries::get().haul);
    command.assert()
}

fn start() -> Setting {
    let setting = Setting::start();
    for name in ["a", "d/b", "m/below", "z/last"] {
        setting.write(name, name);
    }
    setting
}

#[test]
fn mount_point_is_sent_as_an_empty_directory_and_all_else_as_ever() {
    let setting = start();
    let done = mounted(&setting, &["put", "-vx", "s", setting.server.address()]).success();
    done.stderr(contains("skipped s/m: all in it, which is on another file system"));
    assert_eq!(tree::names(&setting.target()), ["a", "d/b", "z/last"]);
    assert_eq!(mode(setting.target().join("m")), 0o750, "as rsync does");
    let to = setting.at("all");
    mounted(&setting, &["put", "s", &to]).success();
    assert!(setting.server.root().join("all/s/m/in/far").exists(), "only with -x");
    let done = mounted(&setting, &["verify", "-x", "s", setting.server.address()]).success();
    done.stdout(contains("3 the same, 0 different"));
    mounted(&setting, &["put", "-x", "s/m", &setting.at("itself")]).success();
    assert!(setting.server.root().join("itself/m/far").exists(), "SRC is on its own file system");
}

#[test]
fn entries_below_a_mount_point_are_not_removed() {
    let setting = start();
    for name in ["m/there", "m/in/deep/there", "gone"] {
        setting.write_there(name, "x");
    }
    let to = setting.server.address();
    let told = mounted(&setting, &["sync", "-n", "-x", "--delete", "s", to]).success();
    told.stdout(contains("would remove s/gone").and(contains("would remove s/m").not()));
    mounted(&setting, &["sync", "-x", "--delete", "s", to]).success();
    let there = ["a", "d/b", "m/in/deep/there", "m/there", "z/last"];
    assert_eq!(tree::names(&setting.target()), there);
    let again = mounted(&setting, &["sync", "-ax", "--delete", "s", to]).success();
    again.stdout(contains("0 files,").and(contains("3 unchanged")));
    let verified = mounted(&setting, &["verify", "-x", "s", to]).success();
    verified.stdout(contains("extra").and(contains("s/m").not()));
    // Without -x they go.
    mounted(&setting, &["sync", "--delete", "s", to]).success();
    assert_eq!(tree::names(&setting.target()), ["a", "d/b", "m/far", "m/in/far", "z/last"]);
}

#[test]
fn version_has_nothing_of_another_file_system() {
    let setting = start();
    let to = setting.at("v");
    mounted(&setting, &["publish", "s", &to]).success();
    assert!(setting.server.root().join("v/m/in/far").exists());
    let told = mounted(&setting, &["publish", "-n", "-x", "s", &to]).success();
    told.stdout(contains("would remove v/m/in/far").and(contains("would remove v/m/far")));
    mounted(&setting, &["publish", "-x", "s", &to]).success();
    assert_eq!(tree::names(&setting.server.root().join("v")), ["a", "d/b", "z/last"]);
    assert!(setting.server.root().join("v/m").is_dir());
}

#[test]
fn list_of_names_and_one_file_system_are_wrong_usage_together() {
    let setting = start();
    let words = ["put", "-x", "--files-from", "-", "s", setting.server.address()];
    setting.haul(&words).write_stdin("a\n").assert().code(2).stderr(contains("--one-file-system"));
}
