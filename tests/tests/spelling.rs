//! File systems that take names which differ by case for one name, at the server and at the source.

use haul_tests::mounts::{FOLDS, haul_after, hauld_after};
use haul_tests::needed::has_fuse;
use haul_tests::prelude::*;

/// A place with a source `s`, and a server whose root folds names: `back` shows how they are stored.
fn folding_server() -> (TempDir, Hauld) {
    let place = TempDir::new().unwrap();
    fs::create_dir(place.path().join("s")).unwrap();
    let command = hauld_after(FOLDS, place.path());
    let (root, log) = (place.path().join("folds"), place.path().join("log"));
    let server = Hauld::start_at(&root, &log, command, &[]).unwrap();
    (place, server)
}

/// All below a directory but the server's own.
fn names(directory: &Path) -> Vec<String> {
    let mut names = tree::names(directory);
    names.retain(|name| !name.starts_with(".haul"));
    names
}

#[test]
fn two_spellings_of_one_name_are_never_both_stored_and_no_source_is_lost() {
    if !has_fuse() {
        return;
    }
    let (place, server) = folding_server();
    let source = place.path().join("s");
    for name in ["File", "file"] {
        fs::write(source.join(name), name).unwrap();
    }
    let mut put = haul();
    put.args(["put", "--remove-source"]).arg(format!("{}/", source.display()));
    let done = put.arg(format!("{}/d", server.address())).assert().code(1);
    done.stderr(contains("is there already as").and(contains("(conflict)")));
    let (here, there) = (names(&source), names(&place.path().join("back/d")));
    assert_eq!((here.len(), there.len()), (1, 1), "{here:?} {there:?}");
    assert_ne!(here, there);
    let text = fs::read_to_string(place.path().join("back/d").join(&there[0])).unwrap();
    assert_eq!(text, there[0]);
}

#[test]
fn entry_is_reached_by_its_own_spelling_only() {
    if !has_fuse() {
        return;
    }
    let (place, server) = folding_server();
    let back = place.path().join("back");
    fs::create_dir(back.join("Dir")).unwrap();
    fs::write(back.join("Dir/File"), "x").unwrap();
    let at = |name: &str| format!("{}/{name}", server.address());
    let mut peer = server.peer();
    let remove = |id: u32, name: &str| json!({"cmd": "remove", "id": id, "filename": name});
    refused(&peer.ask(&remove(1, "Dir/file"), b"").unwrap(), 1, "conflict");
    refused(&peer.ask(&remove(2, "dir/File"), b"").unwrap(), 2, "conflict");
    refused(&peer.ask(&put(3, "dir/g", b"x"), b"x").unwrap(), 3, "conflict");
    let made = haul().args(["mkdir", &at("DIR")]).assert().code(1);
    made.stderr(contains("`DIR` is there already as `Dir`"));
    haul().args(["rm", &at("Dir/file")]).assert().code(1).stderr(contains("does not exist"));
    haul().args(["mv", &at("dir/File"), &at("new")]).assert().code(1);
    haul().args(["ls", &at("dir")]).assert().code(1).stderr(contains("does not exist"));
    fs::write(place.path().join("s/f"), "x").unwrap();
    haul().args(["publish"]).arg(place.path().join("s")).arg(at("p")).assert().code(1).stderr(
        contains("its file system can't exchange two names in one step").and(contains("(io)")),
    );
    assert_eq!(names(&back), ["Dir/File"]);
    let moved = haul().args(["mv", &at("Dir/File"), &at("new")]).assert().code(1);
    moved.stderr(contains("nor give a name only if it is free"));
    haul().args(["rm", &at("Dir/File")]).assert().success();
    assert_eq!(names(&back), [""; 0]);
}

#[test]
fn rename_by_case_at_the_source_removes_nothing_that_the_source_has() {
    if !has_fuse() {
        return;
    }
    let (place, server) = folding_server();
    let source = place.path().join("s");
    fs::create_dir(source.join("Dir")).unwrap();
    for name in ["Readme", "Dir/f", "keep"] {
        fs::write(source.join(name), name).unwrap();
    }
    let sync = || {
        let mut sync = haul();
        sync.args(["sync", "--delete"]).arg(format!("{}/", source.display()));
        sync.arg(format!("{}/e", server.address())).assert()
    };
    sync().success();
    for (from, to) in [("Readme", "README"), ("Dir", "DIR")] {
        fs::rename(source.join(from), source.join(to)).unwrap();
    }
    sync().success();
    assert_eq!(names(&place.path().join("back/e")), ["DIR/f", "README", "keep"]);
    sync().success().stdout(contains("3 unchanged"));
}

#[test]
fn name_that_a_folding_source_has_under_another_spelling_only_is_removed() {
    if !has_fuse() {
        return;
    }
    let setting = Setting::start();
    let back = setting.place.path().join("back");
    fs::create_dir_all(back.join("Dir")).unwrap();
    for name in ["Readme", "Dir/f", "keep"] {
        fs::write(back.join(name), name).unwrap();
    }
    let run = |words: &[&str], to: &str| {
        let mut command = haul_after(FOLDS, setting.place.path());
        command.args(words).arg(setting.place.path().join("folds/")).arg(setting.at(to));
        Client::from_std(command).assert()
    };
    let there = setting.server.root().join("e");
    run(&["sync", "--delete"], "e").success();
    assert_eq!(tree::names(&there), ["Dir/f", "Readme", "keep"]);
    for (from, to) in [("Readme", "README"), ("Dir", "DIR")] {
        fs::rename(back.join(from), back.join(to)).unwrap();
    }
    run(&["verify"], "e").code(1).stdout(contains("extra").and(contains("Readme")));
    run(&["sync", "--delete"], "e").success();
    assert_eq!(tree::names(&there), ["DIR/f", "README", "keep"]);
    run(&["verify"], "e").success();
}
