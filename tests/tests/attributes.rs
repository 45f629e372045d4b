//! Modes and times: what is carried exactly, and what is not.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use assert_cmd::Command as Assert;
use haul_tests::hauld::Hauld;
use haul_tests::user::User;
use haul_tests::{binaries, tree};
use predicates::prelude::*;
use tempfile::TempDir;

fn server() -> Hauld {
    Hauld::start(&binaries::get().hauld, &[]).unwrap()
}

fn haul() -> Assert {
    Assert::new(&binaries::get().haul)
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mtime(path: &Path, time: SystemTime) {
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

/// Trap `directory_mtime_and_mode`: files put into a directory change its mtime, and a read-only one
/// refuses its own children: on the first upload and on the second, and not as root.
#[test]
fn directory_mtime_and_mode() {
    let user = User::new().unwrap();
    let source = user.path().join("source");
    fs::create_dir_all(source.join("a/b")).unwrap();
    fs::create_dir(source.join("closed")).unwrap();
    for index in 0..100 {
        fs::write(source.join(format!("a/b/{index}")), "x").unwrap();
        fs::write(source.join(format!("a/{index}")), "x").unwrap();
    }
    let past = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5);
    for (directory, bits) in [("closed", 0o500), ("a/b", 0o555), ("a", 0o511), ("", 0o755)] {
        mtime(&source.join(directory), past);
        mode(&source.join(directory), bits);
    }
    let source = user.own_all(source).unwrap();
    let (root, log) = (user.path().join("root"), user.path().join("log"));
    fs::File::create(&log).unwrap();
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &[]).unwrap();
    for round in 0..2 {
        let mut haul = user.command("haul");
        haul.arg("put").arg(&source).arg(server.address());
        Assert::from_std(haul).assert().success();
        tree::compare(&source, &root.join("source")).unwrap_or_else(|e| panic!("{round}: {e}"));
    }
    for directory in [&source, &root.join("source")] {
        for name in ["a", "a/b", "closed"] {
            mode(&directory.join(name), 0o755);
        }
    }
}

/// A directory that its owner may not pass through gets its mode after everything below it.
#[test]
fn directory_without_any_right_is_closed_last() {
    let user = User::new().unwrap();
    let source = user.path().join("source");
    fs::create_dir_all(source.join("a/b/c")).unwrap();
    fs::write(source.join("a/b/c/file"), "x").unwrap();
    let source = user.own_all(source).unwrap();
    let (root, log) = (user.path().join("root"), user.path().join("log"));
    fs::File::create(&log).unwrap();
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &[]).unwrap();
    // Readable for the client, but nobody passes: 0600 on the way.
    for round in 0..2 {
        let mut haul = user.command("haul");
        haul.arg("put").arg(&source).arg(server.address());
        Assert::from_std(haul).assert().success();
        assert_eq!(fs::read(root.join("source/a/b/c/file")).unwrap(), b"x", "{round}");
        mode(&root.join("source/a/b"), 0o600);
        mode(&root.join("source/a"), 0o000);
    }
}

/// Trap `setuid_by_upload`: a mode with setuid must not arrive with it.
#[test]
fn setuid_by_upload() {
    let (server, source) = (server(), TempDir::new().unwrap());
    let file = source.path().join("file");
    fs::write(&file, "x").unwrap();
    mode(&file, 0o6755);
    haul()
        .arg("put")
        .arg(&file)
        .arg(server.address())
        .assert()
        .success()
        .stdout(predicate::str::contains("1 mode without setuid, setgid or sticky"));
    let there = fs::metadata(server.root().join("file")).unwrap();
    assert_eq!(there.mode() & 0o7777, 0o755);
}

#[test]
fn link_keeps_its_own_mtime() {
    let (server, source) = (server(), TempDir::new().unwrap());
    let link = source.path().join("link");
    symlink("nowhere", &link).unwrap();
    let times = rustix::fs::Timestamps {
        last_access: rustix::fs::Timespec { tv_sec: 5, tv_nsec: 6 },
        last_modification: rustix::fs::Timespec { tv_sec: 77, tv_nsec: 88 },
    };
    let no_follow = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, &link, &times, no_follow).unwrap();
    haul().arg("put").arg(&link).arg(server.address()).assert().success();
    let there = server.root().join("link").symlink_metadata().unwrap();
    assert_eq!((there.mtime(), there.mtime_nsec()), (77, 88));
}
