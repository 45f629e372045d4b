//! A directory of the server has a default ACL: the ACL takes the same bits from each mode that a client states as from
//! the mode of an entry that is made there (acl(5)).

use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use haul_tests::acl::{acl, set_default};
use haul_tests::prelude::*;

const NO_ID: u32 = u32::MAX;

/// Default ACLs: one that hides from others, one with a mask, and one that takes from the owner.
fn acls() -> [Vec<u8>; 3] {
    [
        acl(&[(1, 7, NO_ID), (4, 5, NO_ID), (32, 0, NO_ID)]),
        acl(&[(1, 7, NO_ID), (2, 7, 1234), (4, 7, NO_ID), (16, 4, NO_ID), (32, 1, NO_ID)]),
        acl(&[(1, 5, NO_ID), (4, 7, NO_ID), (32, 5, NO_ID)]),
    ]
}

/// A server with a directory that has a default ACL, and beside it one where only the kernel makes entries.
struct Share {
    server: Hauld,
    native: PathBuf,
}

impl Share {
    fn start(acl: &[u8], words: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let root = directory.path().join("root");
        let native = root.join("native");
        for path in [&root.join("share"), &native] {
            fs::create_dir_all(path).unwrap();
            set_default(path, acl);
        }
        let command = hauld_command();
        let server = Hauld::start_in(directory, command, words).unwrap();
        Self { server, native }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.server.root().join(name)
    }

    /// The mode of an entry that the kernel makes in such a directory.
    fn native(&self, is_dir: bool, stated: u32) -> u32 {
        let path = self.native.join(format!("{is_dir} {stated:o}"));
        // The umask counts for nothing there.
        if is_dir {
            let _ = fs::DirBuilder::new().mode(stated).create(&path);
        } else {
            let _ = fs::OpenOptions::new().write(true).create(true).mode(stated).open(&path);
        }
        mode(&path)
    }

    fn haul(&self, verb: &str, source: &Path, target: &str) -> Assert {
        let mut haul = haul();
        haul.arg(verb).arg(source.join("."));
        haul.arg(format!("{}/{target}", self.server.address())).assert()
    }
}

/// Entries of a source, and their modes: directories of all kinds, files in each.
const DIRECTORIES: [(&str, u32); 4] =
    [("open", 0o777), ("open/usual", 0o755), ("open/usual/read-only", 0o555), ("private", 0o700)];
const FILES: [(&str, u32); 4] =
    [("open", 0o666), ("usual", 0o644), ("program", 0o755), ("read-only", 0o444)];

fn entries() -> Vec<(String, bool, u32)> {
    let mut entries = Vec::new();
    for (directory, mode) in DIRECTORIES {
        entries.push((directory.to_owned(), true, mode));
        let files =
            FILES.iter().map(|(file, mode)| (format!("{directory}/{file} file"), false, *mode));
        entries.extend(files);
    }
    entries
}

fn source() -> TempDir {
    let place = TempDir::new().unwrap();
    for (name, is_dir, _) in entries() {
        let path = place.path().join(&name);
        if is_dir { fs::create_dir(&path).unwrap() } else { fs::write(&path, name).unwrap() }
    }
    for (name, _, bits) in entries().iter().rev() {
        set_mode(place.path().join(name), *bits);
    }
    place
}

fn assert_native(share: &Share, target: &str, when: &str) {
    for (name, is_dir, stated) in entries() {
        let found = mode(share.at(target).join(&name));
        assert_eq!(
            format!("{found:o}"),
            format!("{:o}", share.native(is_dir, stated)),
            "{name} {when}"
        );
    }
}

/// What the ACL hides stays hidden: after the first run, after one that changes nothing, and when an entry is there.
#[test]
fn tree_has_the_modes_that_a_default_acl_leaves_also_after_an_unchanged_sync() {
    for (acl, durability) in acls().iter().zip(["group", "none", "group"]) {
        let share = Share::start(acl, &["--durability", durability]);
        let source = source();
        for verb in ["put", "put", "sync", "verify"] {
            let done = share.haul(verb, source.path(), "share").success();
            assert_native(&share, "share", verb);
            if verb == "sync" {
                done.stdout(contains("only mode or mtime").not());
            }
        }
        // A mode that is wider than what the ACL leaves differs.
        set_mode(share.at("share/open/usual file"), 0o666);
        set_mode(share.at("share/open/usual"), 0o777);
        let done = share.haul("sync", source.path(), "share").success();
        done.stdout(contains("1 with only mode or mtime set"));
        assert_native(&share, "share", "after a change there");
        // Beside it a mode is exact.
        share.haul("put", source.path(), "beside").success();
        share.haul("sync", source.path(), "beside").success();
        for (name, _, stated) in entries() {
            assert_eq!(mode(share.at("beside").join(&name)), stated, "{name}");
        }
    }
}

/// Each request that states a mode, and each that makes a directory without one.
#[test]
fn every_request_with_a_mode_obeys_the_default_acl() {
    for (acl, durability) in acls().iter().zip(["none", "group", "none"]) {
        let share = Share::start(acl, &["--durability", durability]);
        fs::write(share.at("share/was a file"), "x").unwrap();
        fs::write(share.at("share/was a file too"), "x").unwrap();
        let mut peer = share.server.peer();
        let mkdir = |name: &str, mode: u32| json!({"cmd": "mkdir", "filename": format!("share/{name}"), "mode": mode});
        let setattr = |name: &str, kind: &str, mode: u32| json!({"cmd": "setattr", "filename": format!("share/{name}"), "kind": kind, "mode": mode});
        let mut with_mode = put(0, "share/file", b"x");
        with_mode["mode"] = json!(0o646);
        let absent = json!({"cmd": "mkdir", "filename": "share/absent"});
        let replace =
            json!({"cmd": "mkdir", "filename": "share/was a file", "mode": 0o775, "replace": true});
        let replace_absent =
            json!({"cmd": "mkdir", "filename": "share/was a file too", "replace": true});
        let requests = [
            (mkdir("directory", 0o777), "directory", true, 0o777),
            (mkdir("directory", 0o757), "directory", true, 0o757),
            (setattr("directory", "directory", 0o775), "directory", true, 0o775),
            (absent, "absent", true, 0o777),
            (replace, "was a file", true, 0o775),
            // To be moved, it needs its owner's rights.
            (replace_absent, "was a file too", true, 0o777),
            (put(0, "share/above/file", b"x"), "above", true, 0o777),
            (with_mode.clone(), "file", false, 0o646),
            (setattr("file", "file", 0o666), "file", false, 0o666),
            // Over a file that has other bits.
            (with_mode, "file", false, 0o646),
        ];
        for (id, (mut request, name, is_dir, stated)) in (1..).step_by(2).zip(requests) {
            request["id"] = json!(id);
            let body: &[u8] = if request["cmd"] == "put" { b"x" } else { b"" };
            let answer = peer.ask(&request, body).unwrap();
            assert_eq!(answer["ack"], id, "{request}: {answer}");
            let (found, native) =
                (mode(share.at("share").join(name)), share.native(is_dir, stated));
            assert_eq!(format!("{found:o}"), format!("{native:o}"), "{request}");
            let entry = if is_dir {
                json!({"kind": "directory", "filename": format!("share/{name}"), "mode": stated})
            } else {
                json!({"kind": "file", "filename": format!("share/{name}"), "filesize": 1, "mode": stated})
            };
            let body = format!("{entry}\n");
            let check = json!({"cmd": "check", "id": id + 1, "length": body.len()});
            peer.send(&check, body.as_bytes()).unwrap();
            assert_eq!(peer.receive().unwrap().1, b"=", "{request}");
        }
    }
}

/// The directory itself has its mode from its parent's ACL, and everything in it from its own.
#[test]
fn version_has_the_modes_that_a_default_acl_leaves() {
    for (acl, durability) in acls().iter().zip(["group", "none", "none"]) {
        let share = Share::start(acl, &["--durability", durability]);
        let source = source();
        set_mode(source.path(), 0o777);
        for round in ["first", "unchanged"] {
            share.haul("publish", source.path(), "share/site").success();
            assert_native(&share, "share/site", round);
            let (found, native) = (mode(share.at("share/site")), share.native(true, 0o777));
            assert_eq!(format!("{found:o}"), format!("{native:o}"), "{round}");
        }
        share.haul("verify", source.path(), "share/site").success();
        // A file that is as stated, since its directory has lost the ACL, is in another directory in the next version.
        let open = share.at("share/site/open");
        rustix::fs::removexattr(&open, "system.posix_acl_default").unwrap();
        set_mode(open.join("open file"), 0o666);
        share.haul("publish", source.path(), "share/site").success();
        assert_native(&share, "share/site", "without the ACL in the present version");
    }
}
