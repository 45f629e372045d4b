//! What a directory on the server hands down to its new entries: its group (setgid), and its default ACL.

use std::os::unix::fs::chown;

use haul_tests::acl::{self, acl};
use haul_tests::prelude::*;

/// A group that no user of these tests is in. Only root can give a directory to it.
fn foreign_group() -> Option<u32> {
    rustix::process::geteuid().is_root().then_some(2000)
}

/// A directory `share` with setgid below a new root; and the group that it has.
pub(crate) fn share(root: &Path) -> (PathBuf, u32) {
    let share = root.join("share");
    fs::create_dir_all(&share).unwrap();
    let group = foreign_group().unwrap_or_else(|| rustix::process::getegid().as_raw());
    chown(&share, None, Some(group)).unwrap();
    set_mode(&share, 0o2777);
    (share, group)
}

/// A source with an entry of each kind that is made in a way of its own.
fn source(place: &Path) -> PathBuf {
    let source = place.join("source");
    fs::create_dir_all(source.join("new/deep")).unwrap();
    for (name, len) in [("small", 10), ("streamed", 400_000), ("large", 12_000_000)] {
        fs::write(source.join(name), vec![7; len]).unwrap();
        fs::write(source.join("new/deep").join(name), vec![7; len]).unwrap();
    }
    symlink("nowhere", source.join("link")).unwrap();
    symlink("nowhere", source.join("new/deep/link")).unwrap();
    source
}

fn assert_group(directory: &Path, group: u32) {
    let mut seen = 0;
    for entry in walkdir::WalkDir::new(directory).min_depth(1) {
        let entry = entry.unwrap();
        let found = entry.path().symlink_metadata().unwrap();
        assert_eq!(found.gid(), group, "{}", entry.path().display());
        if found.is_dir() {
            assert_eq!(found.mode() & 0o7000, 0o2000, "{}", entry.path().display());
        }
        seen += 1;
    }
    assert!(seen >= 9, "{seen} entries");
}

fn put_into(haul: Command, source: &Path, destination: &str) {
    let mut haul = Client::from_std(haul);
    haul.arg("put").arg(source.join(".")).arg(destination).assert().success();
}

/// Trap `setgid_directory`: a file that is staged elsewhere does not get the group of the directory that it
/// is put into.
#[test]
fn setgid_directory() {
    for durability in ["group", "none"] {
        let directory = TempDir::new().unwrap();
        let root = directory.path().join("root");
        let (share, group) = share(&root);
        let command = hauld_command();
        let server = Hauld::start_in(directory, command, &["--durability", durability]).unwrap();
        let place = TempDir::new().unwrap();
        let source = source(place.path());
        let haul = || haul_command();
        let destination = format!("{}/share", server.address());
        // What replaces an entry of another group gets that of the directory, too.
        fs::write(share.join("small"), "old").unwrap();
        symlink("old", share.join("link")).unwrap();
        std::os::unix::fs::lchown(
            share.join("link"),
            None,
            Some(rustix::process::getegid().as_raw()),
        )
        .unwrap();
        put_into(haul(), &source, &destination);
        assert_group(&share, group);
        put_into(haul(), &source, &destination);
        assert_group(&share, group);
        // A directory beside it is as it always was.
        put_into(haul(), &source, &format!("{}/beside", server.address()));
        let beside = fs::metadata(root.join("beside/small")).unwrap();
        assert_eq!(beside.gid(), rustix::process::getegid().as_raw());
    }
}

/// The kernel gives a new entry that group, though the server's user is not in it and may not give it.
#[test]
fn group_of_a_setgid_directory_needs_no_right_to_give_it() {
    for durability in ["group", "none"] {
        let user = User::new().unwrap();
        let (root, log) = (user.path().join("root"), user.path().join("log"));
        fs::create_dir(&root).unwrap();
        user.own(&root).unwrap();
        let (share, group) = share(&root);
        fs::File::create(&log).unwrap();
        let words = ["--durability", durability];
        let server = Hauld::start_at(&root, &log, user.command("hauld"), &words).unwrap();
        let source = user.own_all(source(user.path())).unwrap();
        let destination = format!("{}/share", server.address());
        put_into(user.command("haul"), &source, &destination);
        assert_group(&share, group);
        // Files are replaced, and no entry of a half-made one stays.
        fs::remove_file(share.join("link")).unwrap();
        fs::remove_file(share.join("new/deep/link")).unwrap();
        for name in ["small", "streamed", "large"] {
            fs::write(source.join(name), "other").unwrap();
        }
        put_into(user.command("haul"), &source, &destination);
        assert_group(&share, group);
        assert_eq!(fs::read(share.join("large")).unwrap(), b"other");
        assert!(server.staged().unwrap().is_empty());
    }
}

/// A root with setgid hands its group to the server's own directories; entries of plain directories below
/// must not get it from there.
#[test]
fn group_of_the_root_does_not_reach_a_directory_without_setgid() {
    let Some(group) = foreign_group() else { return };
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    chown(&root, None, Some(group)).unwrap();
    set_mode(&root, 0o2777);
    fs::create_dir(root.join("plain")).unwrap();
    set_mode(root.join("plain"), 0o755);
    chown(root.join("plain"), None, Some(0)).unwrap();
    let command = hauld_command();
    let server = Hauld::start_in(directory, command, &[]).unwrap();
    assert_eq!(mode(root.join(".haul/staged")), 0o700);
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "plain/file", b"x"), b"x").unwrap()["ack"], 1);
    assert_eq!(peer.ask(&put(2, "file", b"x"), b"x").unwrap()["ack"], 2);
    assert_eq!(fs::metadata(root.join("plain/file")).unwrap().gid(), 0);
    assert_eq!(fs::metadata(root.join("file")).unwrap().gid(), group);
}

/// A directory that takes the place of a file is as if it had been made there.
#[test]
fn directory_that_replaces_a_file_inherits() {
    let directory = TempDir::new().unwrap();
    let (share, group) = share(&directory.path().join("root"));
    fs::write(share.join("entry"), "a file").unwrap();
    let command = hauld_command();
    let server = Hauld::start_in(directory, command, &[]).unwrap();
    let mut peer = server.peer();
    let mkdir =
        json!({"cmd": "mkdir", "id": 1, "filename": "share/entry", "mode": 0o750, "replace": true});
    assert_eq!(peer.ask(&mkdir, b"").unwrap()["ack"], 1);
    let found = fs::metadata(share.join("entry")).unwrap();
    assert_eq!((found.gid(), found.mode() & 0o7777), (group, 0o2750));
}

/// The files of a new directory come before a file or symlink has made way for that directory.
#[test]
fn files_of_a_directory_that_replaces_a_file_or_symlink_inherit() {
    for durability in ["group", "none"] {
        let directory = TempDir::new().unwrap();
        let (share, group) = share(&directory.path().join("root"));
        acl::set_default(&share, &acl(&[(1, 7, u32::MAX), (4, 5, u32::MAX), (32, 0, u32::MAX)]));
        let command = hauld_command();
        let server = Hauld::start_in(directory, command, &["--durability", durability]).unwrap();
        let place = TempDir::new().unwrap();
        let source = source(place.path());
        // Whether a large file may come is told before the directory is there.
        fs::remove_file(source.join("new/deep/large")).unwrap();
        let nested = source.join("new/deep/again");
        fs::create_dir(&nested).unwrap();
        fs::write(nested.join("small"), "x").unwrap();
        symlink("elsewhere", nested.join("link")).unwrap();
        for old in ["file", "symlink", "file below"] {
            let _ = fs::remove_dir_all(share.join("new"));
            match old {
                "file" => fs::write(share.join("new"), "x").unwrap(),
                "symlink" => symlink("/", share.join("new")).unwrap(),
                _ => {
                    fs::create_dir(share.join("new")).unwrap();
                    fs::write(share.join("new/deep"), "x").unwrap();
                }
            }
            let haul = haul_command();
            let mut haul = Client::from_std(haul);
            let destination = format!("{}/share", server.address());
            haul.arg("sync").arg(source.join(".")).arg(destination).assert().success();
            assert_group(&share, group);
            for name in ["small", "streamed", "again/small"] {
                let mode = fs::metadata(share.join("new/deep").join(name)).unwrap().mode() & 0o777;
                assert_eq!(mode, 0o640, "{name} in place of a {old}, {durability}: no ACL");
            }
        }
    }
}

/// Every kind of file gets the ACL and the mode that the kernel gives to a file that is made there.
#[test]
fn default_acl_is_inherited_as_by_a_file_that_is_made_there() {
    const NO_ID: u32 = u32::MAX;
    let all = acl(&[(1, 7, NO_ID), (2, 6, 1234), (4, 5, NO_ID), (16, 7, NO_ID), (32, 5, NO_ID)]);
    let strict = acl(&[(1, 7, NO_ID), (2, 4, 1234), (4, 4, NO_ID), (16, 4, NO_ID), (32, 0, NO_ID)]);
    let minimal = acl(&[(1, 7, NO_ID), (4, 5, NO_ID), (32, 0, NO_ID)]);
    for (default, durability) in [(all, "group"), (strict, "none"), (minimal, "group")] {
        let directory = TempDir::new().unwrap();
        let root = directory.path().join("root");
        let (share, native) = (root.join("share"), root.join("native"));
        for path in [&share, &native] {
            fs::create_dir_all(path).unwrap();
            acl::set_default(path, &default);
        }
        let command = hauld_command();
        let server = Hauld::start_in(directory, command, &["--durability", durability]).unwrap();
        let place = TempDir::new().unwrap();
        let source = source(place.path());
        let haul = haul_command();
        put_into(haul, &source, &format!("{}/share", server.address()));
        // The same, made by the kernel alone: mode 0644 as it was sent.
        let made = rustix::fs::openat(
            rustix::fs::CWD,
            native.join("small"),
            rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY,
            rustix::fs::Mode::from_raw_mode(0o644),
        );
        drop(made.unwrap());
        let wanted = (
            fs::metadata(native.join("small")).unwrap().mode(),
            acl::found(&native.join("small"), "system.posix_acl_access"),
        );
        for name in ["small", "streamed", "large"] {
            for name in [name.to_owned(), format!("new/deep/{name}")] {
                let path = share.join(&name);
                let found = (
                    fs::metadata(&path).unwrap().mode(),
                    acl::found(&path, "system.posix_acl_access"),
                );
                assert_eq!(found, wanted, "{name}");
            }
        }
        assert_eq!(acl::found(&share.join("new/deep"), "system.posix_acl_default"), default);
        // A mode that no client has stated: that of a new file, and the ACL takes the umask's place.
        let mut peer = server.peer();
        assert_eq!(peer.ask(&put(1, "share/absent", b"x"), b"x").unwrap()["ack"], 1);
        let made = rustix::fs::openat(
            rustix::fs::CWD,
            native.join("absent"),
            rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY,
            rustix::fs::Mode::from_raw_mode(0o666),
        );
        drop(made.unwrap());
        let mode = |path: PathBuf| fs::metadata(path).unwrap().mode();
        assert_eq!(mode(share.join("absent")), mode(native.join("absent")));
        // And nothing of it where there is no such ACL.
        assert_eq!(peer.ask(&put(2, "plain", b"x"), b"x").unwrap()["ack"], 2);
        assert!(acl::found(&root.join("plain"), "system.posix_acl_access").is_empty());
    }
}

/// Whoever sets the mode of a directory of a group that he is not in takes its setgid away (chmod(2)). That can't be
/// helped if the mode has to change; it is told, and it does not happen where the mode is right.
#[test]
fn setgid_that_a_directory_loses_by_its_mode_is_told() {
    let Some(group) = foreign_group() else { return };
    let user = User::new().unwrap();
    let (root, log) = (user.path().join("root"), user.path().join("log"));
    fs::create_dir(&root).unwrap();
    user.own(&root).unwrap();
    let (share, _) = share(&root);
    fs::File::create(&log).unwrap();
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &[]).unwrap();
    let source = user.path().join("source");
    for (name, mode) in [("usual", 0o755), ("read-only", 0o555)] {
        fs::create_dir_all(source.join(name)).unwrap();
        fs::write(source.join(name).join("file"), "x").unwrap();
        set_mode(source.join(name), mode);
    }
    let source = user.own_all(source).unwrap();
    let mode = |name: &str| mode(share.join(name));
    let told = |server: &Hauld| {
        let log = server.log_text();
        let lines = log.lines().filter(|line| line.contains("WARN") && line.contains("setgid"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    for round in 0..2 {
        put_into(user.command("haul"), &source, &format!("{}/share", server.address()));
        // The next round opens the directory up for its owner, as it has no setgid any more.
        assert_eq!((mode("usual"), mode("read-only")), (0o2755, 0o555), "{round}");
        let lines = told(&server);
        assert_eq!(lines.len(), 1, "{round}: {lines:?}");
        assert!(lines[0].contains("share/read-only") && lines[0].contains(&group.to_string()));
    }
    let mut peer = server.peer();
    let exact = json!({"filename": "share/exact", "mode": 0o555});
    for (id, cmd) in [(1, "mkdir"), (2, "setattr"), (3, "mkdir")] {
        let mut request = exact.clone();
        (request["cmd"], request["id"]) = (json!(cmd), json!(id));
        assert_eq!(peer.ask(&request, b"").unwrap()["ack"], id);
        assert_eq!(mode("exact"), 0o2555, "{cmd}");
    }
    assert_eq!(told(&server).len(), 1);
}

/// People have made the version before the published one, with a group that the server's user is not in.
#[test]
fn version_that_comes_back_keeps_its_setgid() {
    let Some(group) = foreign_group() else { return };
    let user = User::new().unwrap();
    let (root, log) = (user.path().join("root"), user.path().join("log"));
    let site = root.join("site");
    fs::create_dir_all(&site).unwrap();
    fs::write(site.join("old"), "x").unwrap();
    user.own_all(root.clone()).unwrap();
    chown(&site, None, Some(group)).unwrap();
    set_mode(&site, 0o2775);
    fs::File::create(&log).unwrap();
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &[]).unwrap();
    let source = user.own_all(source(user.path())).unwrap();
    let destination = format!("{}/site", server.address());
    for words in [vec![source.to_str().unwrap()], vec!["--rollback"]] {
        let mut haul = Client::from_std(user.command("haul"));
        haul.arg("publish").args(words).arg(&destination).assert().success();
    }
    let found = fs::metadata(&site).unwrap();
    assert!(site.join("old").exists());
    assert_eq!((found.gid(), found.mode() & 0o7777), (group, 0o2775));
}
