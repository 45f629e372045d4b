//! Copies of files and directories over HTTP, and directories that are removed or replaced with all in them.

use haul_tests::http::{HttpPeer, Reply, ask};
use haul_tests::prelude::*;

fn to(server: &Hauld, first: &str, destination: &str, fields: &str) -> Reply {
    let fields = format!("Destination: {destination}\r\n{fields}");
    ask(server.address(), first, &fields, b"")
}

/// A directory with several hundred entries, at different depths.
fn grow(top: &Path) {
    for directory in ["", "a", "a/b", "a/b/c", "empty", "z"] {
        fs::create_dir_all(top.join(directory)).unwrap();
    }
    for directory in ["", "a", "a/b/c", "z"] {
        for number in 0..150 {
            fs::write(top.join(directory).join(format!("f{number}")), number.to_string()).unwrap();
        }
    }
    fs::write(top.join("a/large"), vec![3; 3_000_000]).unwrap();
    fs::write(top.join("a/run"), "#!").unwrap();
    set_mode(top.join("a/run"), 0o755);
    set_mtime(top.join("a/run"), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    symlink("../f1", top.join("a/link")).unwrap();
}

#[test]
fn file_is_copied_with_its_mode_and_mtime() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        let at = |path: &str| server.root().join(path);
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
        for (name, bytes) in [("small", &bytes[..3]), ("empty", &[]), ("large", &bytes)] {
            fs::write(at(name), bytes).unwrap();
            set_mode(at(name), 0o755);
            set_mtime(at(name), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
            let first = format!("COPY /{name}");
            assert_eq!(to(&server, &first, "/new/copy", "Overwrite: F\r\n").status, 201);
            assert!(fs::read(at("new/copy")).unwrap() == bytes);
            let copy = fs::metadata(at("new/copy")).unwrap();
            assert_eq!((copy.mode() & 0o777, copy.mtime()), (0o755, 1_000_000_000));
            assert_eq!(to(&server, &first, "/new/copy", "Overwrite: F\r\n").status, 412);
            fs::write(at("new/copy"), "other").unwrap();
            let whole = "http://localhost/new/copy";
            assert_eq!(to(&server, &first, whole, "").status, 204);
            assert!(fs::read(at("new/copy")).unwrap() == bytes);
            // A copy is another file.
            fs::write(at("new/copy"), "changed").unwrap();
            assert!(fs::read(at(name)).unwrap() == bytes);
            fs::remove_file(at("new/copy")).unwrap();
        }
        for (first, destination, status) in [
            ("COPY /small", "/small", 403),
            ("COPY /none", "/x", 404),
            ("COPY /small/", "/x", 409),
            ("COPY /small", "/", 403),
            ("COPY /small", "/../x", 400),
            ("COPY /small", "/.haul/x", 404),
            ("COPY /small", "http://elsewhere/x", 400),
            ("COPY /", "/x", 403),
            ("COPY /small", "/small/x", 409),
        ] {
            let reply = to(&server, first, destination, "");
            assert_eq!(reply.status, status, "{first} {destination}: {}", reply.text());
        }
        assert!(!at("x").exists() && server.staged().unwrap().is_empty());
    }
}

#[test]
fn directory_is_copied_with_all_in_it_or_alone() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        let at = |path: &str| server.root().join(path);
        grow(&at("d"));
        assert_eq!(to(&server, "COPY /d/", "/copy/", "").status, 201);
        tree::compare_bytes(&at("d"), &at("copy")).unwrap();
        assert_eq!(mode(at("copy/a/run")), 0o755);
        assert_eq!(fs::metadata(at("copy/a/run")).unwrap().mtime(), 1_000_000_000);
        assert_eq!(to(&server, "COPY /d", "/alone", "Depth: 0\r\n").status, 201);
        assert_eq!(fs::read_dir(at("alone")).unwrap().count(), 0);
        for (first, destination, fields, status) in [
            ("COPY /d", "/e", "Depth: 1\r\n", 400),
            ("COPY /d", "/d/inner", "", 403),
            ("COPY /d/a", "/d", "", 403),
            ("COPY /d", "/copy", "Overwrite: F\r\n", 412),
            // Only the network drive replaces a directory with all in it.
            ("COPY /d", "/copy", "", 409),
            ("COPY /d/f1", "/copy", "", 409),
            ("MOVE /d", "/copy", "", 409),
            ("COPY /.haul/dav/d", "/none/x", "", 409),
            ("MOVE /.haul/dav/d", "/none/x", "", 409),
        ] {
            let reply = to(&server, first, destination, fields);
            assert_eq!(reply.status, status, "{first} {destination}: {}", reply.text());
        }
        tree::compare_bytes(&at("d"), &at("copy")).unwrap();
        fs::write(at("copy/only here"), "").unwrap();
        assert_eq!(to(&server, "COPY /.haul/dav/d/", "/.haul/dav/copy/", "").status, 204);
        tree::compare_bytes(&at("d"), &at("copy")).unwrap();
        assert_eq!(to(&server, "COPY /.haul/dav/d/f1", "/.haul/dav/copy", "").status, 204);
        assert_eq!(fs::read(at("copy")).unwrap(), b"1");
        assert_eq!(to(&server, "COPY /.haul/dav/d", "/.haul/dav/copy", "").status, 204);
        tree::compare_bytes(&at("d"), &at("copy")).unwrap();
        assert!(server.staged().unwrap().is_empty());
    }
}

#[test]
fn entry_that_can_not_be_copied_is_told_and_all_others_are() {
    let server = server();
    let at = |path: &str| server.root().join(path);
    grow(&at("d"));
    for path in ["d/a/pi & pe", "d/z/pipe"] {
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at(path),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
    }
    let reply = to(&server, "COPY /.haul/dav/d", "/.haul/dav/copy", "");
    let text = reply.text();
    assert_eq!(reply.status, 207, "{text}");
    assert_eq!(text.matches("<D:response>").count(), 2, "{text}");
    assert!(text.contains("<D:href>/.haul/dav/copy/a/pi%20%26%20pe</D:href>"), "{text}");
    for path in ["d/a/pi & pe", "d/z/pipe"] {
        fs::remove_file(at(path)).unwrap();
    }
    tree::compare_bytes(&at("d"), &at("copy")).unwrap();
}

#[test]
fn only_the_network_drive_removes_a_directory_with_all_in_it() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        let at = |path: &str| server.root().join(path);
        grow(&at("d"));
        fs::write(at("kept"), "").unwrap();
        symlink(at("kept"), at("d/a/out")).unwrap();
        symlink(server.root(), at("d/a/up")).unwrap();
        let delete = |path: &str, fields: &str| {
            ask(server.address(), &format!("DELETE {path}"), fields, b"").status
        };
        assert_eq!((delete("/d", ""), delete("/d/", "")), (409, 409));
        assert_eq!(delete("/.haul/dav/d/", "Depth: 0\r\n"), 400);
        assert!(at("d/a/b/c/f149").exists());
        assert_eq!(delete("/.haul/dav/d/", ""), 204);
        assert!(!at("d").exists() && at("kept").exists());
        assert_eq!(delete("/.haul/dav/d/", ""), 404);
        assert_eq!((delete("/.haul/dav/", ""), delete("/.haul/dav/kept/", "")), (403, 409));
        assert_eq!(delete("/.haul/dav/kept", ""), 204);
    }
}

#[test]
fn move_over_a_directory_replaces_it_in_the_network_drive() {
    let server = server_with(&["--durability", "group"]);
    let at = |path: &str| server.root().join(path);
    grow(&at("d"));
    grow(&at("e"));
    fs::write(at("file"), "1").unwrap();
    let drive = |first: &str, destination: &str| to(&server, first, destination, "").status;
    assert_eq!(drive("MOVE /.haul/dav/d", "/.haul/dav/d/a/x"), 409);
    assert_eq!(drive("MOVE /.haul/dav/d/a", "/.haul/dav/d"), 403);
    assert_eq!(drive("MOVE /.haul/dav/d", "/.haul/dav/e"), 204);
    assert!(!at("d").exists() && at("e/a/b/c/f149").exists());
    assert_eq!(drive("MOVE /.haul/dav/e", "/.haul/dav/file"), 204);
    assert!(at("file/a/b/c/f149").exists());
    assert_eq!(drive("MOVE /.haul/dav/file/f1", "/.haul/dav/file/a"), 204);
    assert_eq!(fs::read(at("file/a")).unwrap(), b"1");
}

/// A missing directory is made for curl, and told to a network drive.
#[test]
fn network_drive_makes_no_directory_that_nobody_has_asked_for() {
    let server = server();
    let ask = |first: &str, body: &[u8]| {
        let fields = format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len());
        ask(server.address(), first, if body.is_empty() { "" } else { &fields }, body).status
    };
    assert_eq!(ask("MKCOL /.haul/dav/a/b", b""), 409);
    assert_eq!(ask("PUT /.haul/dav/a/b", b"1"), 409);
    assert!(!server.root().join("a").exists());
    assert_eq!(ask("MKCOL /.haul/dav/a", b""), 201);
    assert_eq!(ask("MKCOL /.haul/dav/a/b/", b""), 201);
    assert_eq!(ask("MKCOL /x/y", b""), 201);
}

/// Trap `turn_without_end`: a worker that copied a directory until its end would serve nobody meanwhile.
#[test]
fn others_are_served_while_a_directory_is_copied_and_removed() {
    let server = server_with(&["--workers", "1"]);
    let at = |path: &str| server.root().join(path);
    for number in 0..3000 {
        let path = at(&format!("d/{}/{number}", number % 7));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, number.to_string()).unwrap();
    }
    for (first, fields, status) in [
        ("COPY /.haul/dav/d", "Destination: /.haul/dav/e\r\n", 201),
        ("DELETE /.haul/dav/e", "", 204),
    ] {
        let mut long = HttpPeer::connect(server.address());
        long.ask(first, fields, b"");
        let mut other = HttpPeer::connect(server.address());
        let answer = thread::spawn(move || long.receive().status);
        let mut served = 0;
        while !answer.is_finished() {
            assert_eq!(other.get("GET /d/1/1").status, 200);
            served += 1;
        }
        assert_eq!(answer.join().unwrap(), status);
        assert!(served > 2, "{first}: {served} requests of others meanwhile");
    }
    assert!(!at("e").exists());
}

/// A directory that the server's user may not change stays, with those above it, and each entry that stays is told.
#[test]
fn entry_that_can_not_be_removed_is_told_and_all_others_go() {
    let user = User::new().unwrap();
    let (root, log) = (user.path().join("root"), user.path().join("log"));
    grow(&root.join("d"));
    for path in ["d/a/b/c", "d/z"] {
        for number in 10..150 {
            fs::remove_file(root.join(path).join(format!("f{number}"))).unwrap();
        }
    }
    user.own_all(root.clone()).unwrap();
    std::os::unix::fs::chown(root.join("d/a/b/c"), Some(0), Some(0)).unwrap();
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &[]).unwrap();
    let reply = ask(server.address(), "DELETE /.haul/dav/d", "", b"");
    let text = reply.text();
    assert_eq!(reply.status, 207, "{text}");
    assert_eq!(text.matches("<D:response>").count(), 10, "{text}");
    assert!(text.contains("<D:href>/.haul/dav/d/a/b/c/f9</D:href>"), "{text}");
    assert!(text.contains("403 Forbidden"), "{text}");
    let left: Vec<_> =
        fs::read_dir(root.join("d")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["a"]);
    assert_eq!(fs::read_dir(root.join("d/a")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(root.join("d/a/b/c")).unwrap().count(), 10);
}

/// A COPY or MOVE that is refused has not happened: also the directory stays whose place it would have taken.
#[test]
fn refused_copy_removes_nothing() {
    let server = server_with(&["--max-file", "1KiB"]);
    let at = |name: &str| server.root().join(name);
    fs::create_dir(at("d")).unwrap();
    fs::write(at("d/kept"), "kept").unwrap();
    fs::write(at("large"), vec![1; 2000]).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    for first in ["COPY /.haul/dav/fifo", "MOVE /.haul/dav/fifo", "COPY /.haul/dav/large"] {
        let reply = ask(server.address(), first, "Destination: /.haul/dav/d\r\n", b"");
        assert!(reply.status >= 400, "{first}: {}", reply.status);
        assert_eq!(fs::read_to_string(at("d/kept")).unwrap(), "kept", "{first}");
    }
    eventually("nothing is staged", || server.staged().unwrap().is_empty());
}
