//! A file that is on its way while another directory, or one that hands other things down, comes in the place of its own.

use std::os::unix::fs::chown;

use haul_tests::acl::{self, acl};
use haul_tests::prelude::*;

use crate::inherit::share;

/// Bytes of a file that comes in more than one piece.
const STREAMED: &[u8] = &[7; 400_000];

/// Puts them, and does something when the server has staged the file.
fn put_in_two(server: &Hauld, peer: &mut Peer, request: &Value, meanwhile: impl FnOnce()) {
    let frame = haul_tests::peer::frame(request, STREAMED);
    let (sent, rest) = frame.split_at(300_000);
    std::io::Write::write_all(&mut peer.stream, sent).unwrap();
    haul_tests::eventually("the file is staged", || {
        let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().flatten();
        let mut places = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        places.any(|place| place.to_string_lossy().ends_with("(deleted)"))
    });
    haul_tests::eventually("the turn is over, and with it the server's handles", || {
        let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().flatten();
        let mut states = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
        states.all(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" S")))
    });
    meanwhile();
    std::io::Write::write_all(&mut peer.stream, rest).unwrap();
    assert_eq!(peer.receive().unwrap().0["ack"], request["id"]);
}

/// Group, mode and ACL of a file.
fn attributes(path: &Path) -> (u32, String, Vec<u8>) {
    let found = fs::metadata(path).unwrap();
    let mode = format!("{:o}", found.mode() & 0o7777);
    (found.gid(), mode, acl::found(path, "system.posix_acl_access"))
}

/// A default ACL that gives all rights to one more user.
fn generous(user: u32) -> Vec<u8> {
    const NO_ID: u32 = u32::MAX;
    acl(&[(1, 7, NO_ID), (2, 7, user), (4, 7, NO_ID), (16, 7, NO_ID), (32, 7, NO_ID)])
}

/// A change of a directory by the server's people.
fn change(how: &str, share: &Path) {
    match how {
        "taken away" => {
            rustix::fs::removexattr(share, "system.posix_acl_default").unwrap();
            chown(share, None, Some(rustix::process::getegid().as_raw())).unwrap();
            set_mode(share, 0o755);
        }
        "renamed" | "another ACL" => {
            fs::rename(share, share.with_extension("old")).unwrap();
            fs::create_dir(share).unwrap();
            set_mode(share, 0o755);
            if how == "another ACL" {
                acl::set_default(share, &generous(1235));
            }
        }
        _ => fs::rename(share, share.with_extension("old")).unwrap(),
    }
}

const CHANGES: [&str; 4] = ["taken away", "renamed", "another ACL", "gone"];

/// The file was made for a directory that hands more down than the one in which the file becomes visible.
#[test]
fn file_keeps_nothing_of_a_directory_in_which_it_is_not_made() {
    for (durability, stated) in [("group", Some(0o640)), ("group", None), ("none", None)] {
        for how in CHANGES {
            let directory = TempDir::new().unwrap();
            let root = directory.path().join("root");
            let (share, _) = share(&root);
            acl::set_default(&share, &generous(1234));
            let command = hauld_command();
            let words = ["--durability", durability];
            let server = Hauld::start_in(directory, command, &words).unwrap();
            let mut peer = server.peer();
            let put = |id, name: &str, bytes: &[u8]| {
                let mut request = put(id, name, bytes);
                if let Some(mode) = stated {
                    request["mode"] = json!(mode);
                }
                request
            };
            put_in_two(&server, &mut peer, &put(1, "share/file", STREAMED), || {
                change(how, &share);
            });
            assert_eq!(peer.ask(&put(2, "share/later", b"x"), b"x").unwrap()["ack"], 2);
            let [found, native] = ["file", "later"].map(|name| attributes(&share.join(name)));
            assert_eq!(found, native, "{how}, {durability}, {stated:?}");
        }
    }
}

/// The request that renames the directory is still on its way to the disk when the file is staged.
#[test]
fn file_keeps_nothing_of_a_directory_that_a_request_has_just_renamed() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    let (share, _) = share(&root);
    acl::set_default(&share, &generous(1234));
    let server = Hauld::start_in(directory, hauld_command(), &[]).unwrap();
    let mut peer = server.peer();
    let rename = json!({"cmd": "rename", "id": 1, "filename": "share", "to": "old"});
    let mut sent = haul_tests::peer::frame(&rename, b"");
    sent.extend(haul_tests::peer::frame(&put(2, "share/file", b"x"), b"x"));
    std::io::Write::write_all(&mut peer.stream, &sent).unwrap();
    haul_tests::eventually("the file is there", || share.join("file").exists());
    let own = rustix::process::getegid().as_raw();
    assert_eq!(attributes(&share.join("file")), (own, "644".into(), Vec::new()));
}

/// An upload is under way for long; its first parts may have come to an earlier server.
#[test]
fn large_file_keeps_nothing_of_a_directory_in_which_it_is_not_made() {
    for how in CHANGES {
        for starts_again in [false, true] {
            let directory = TempDir::new().unwrap();
            let root = directory.path().join("root");
            let (given, _) = share(&root);
            let share = root.join("dir");
            fs::rename(given, &share).unwrap();
            acl::set_default(&share, &generous(1234));
            let log = directory.path().join("log");
            let start = || Hauld::start_at(&root, &log, hauld_command(), &[]).unwrap();
            let mut server = start();
            let large = Large::new(1);
            let mut upload = Upload::open(&server, &large).unwrap();
            for part in 0..large.cvs.len() {
                upload.good(&large, part).unwrap();
            }
            change(how, &share);
            if starts_again {
                server.signal(Signal::KILL).unwrap();
                server.wait().unwrap();
                server = start();
                upload = Upload::open(&server, &large).unwrap();
            }
            let answer = upload.commit(&large.digest).unwrap();
            assert_eq!(answer["answer"], upload.id, "{answer}");
            let mut control = put(1, "dir/later", b"x");
            control["mode"] = json!(large.mode);
            assert_eq!(server.peer().ask(&control, b"x").unwrap()["ack"], 1);
            let [found, native] = ["large", "later"].map(|name| attributes(&share.join(name)));
            assert_eq!(found, native, "{how}, {starts_again}");
        }
    }
}

/// A directory that somebody makes on the server while a file for it is on its way.
#[test]
fn file_inherits_from_a_directory_that_was_made_while_the_file_came() {
    for durability in ["group", "none"] {
        let directory = TempDir::new().unwrap();
        let root = directory.path().join("root");
        let command = hauld_command();
        let server = Hauld::start_in(directory, command, &["--durability", durability]).unwrap();
        let mut peer = server.peer();
        let mut group = None;
        put_in_two(&server, &mut peer, &put(1, "share/file", STREAMED), || {
            group = Some(share(&root).1);
        });
        let found = fs::metadata(root.join("share/file")).unwrap().gid();
        assert_eq!(Some(found), group, "{durability}");
    }
}
