//! What a put does to what stands there, row by row, and names that lead elsewhere.

use haul_tests::mounts::hauld_after;
use haul_tests::needed::is_root;
use haul_tests::prelude::*;

#[test]
fn file_and_read_only_file_are_replaced() {
    let server = server();
    for (name, mode) in [("writable", 0o644), ("read only", 0o444), ("none", 0)] {
        let path = server.root().join(name);
        fs::write(&path, "old").unwrap();
        set_mode(&path, mode);
    }
    let mut peer = server.peer();
    for (id, name) in (1..).zip(["writable", "read only", "none"]) {
        assert_eq!(peer.ask(&put(id, name, b"new"), b"new").unwrap()["ack"], id);
        assert_eq!(fs::read(server.root().join(name)).unwrap(), b"new");
    }
}

/// Trap `hard_link_written_through`: other names of the inode keep its bytes.
#[test]
fn hard_link_written_through() {
    let server = server();
    fs::write(server.root().join("one"), "old").unwrap();
    fs::hard_link(server.root().join("one"), server.root().join("two")).unwrap();
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "one", b"new"), b"new").unwrap()["ack"], 1);
    assert_eq!(fs::read(server.root().join("one")).unwrap(), b"new");
    assert_eq!(fs::read(server.root().join("two")).unwrap(), b"old");
}

#[test]
fn symlink_as_final_name_is_replaced_and_never_followed() {
    let (server, outside) = (server(), TempDir::new().unwrap());
    let victim = outside.path().join("victim");
    fs::write(&victim, "old").unwrap();
    symlink(&victim, server.root().join("link")).unwrap();
    symlink(outside.path(), server.root().join("to directory")).unwrap();
    let mut peer = server.peer();
    for (id, name) in (1..).zip(["link", "to directory"]) {
        assert_eq!(peer.ask(&put(id, name, b"new"), b"new").unwrap()["ack"], id);
        assert!(server.root().join(name).symlink_metadata().unwrap().is_file());
    }
    assert_eq!(fs::read(&victim).unwrap(), b"old");
    // A link replaces a link as well.
    let link = json!({"cmd": "symlink", "id": 3, "filename": "link", "target": "../../x"});
    assert_eq!(peer.ask(&link, b"").unwrap()["ack"], 3);
    let there = server.root().join("link").read_link().unwrap();
    assert_eq!(there.to_str(), Some("../../x"));
}

#[test]
fn directory_where_a_file_comes_and_the_reverse_are_conflicts() {
    let server = server();
    fs::create_dir(server.root().join("directory")).unwrap();
    fs::write(server.root().join("directory/inside"), "kept").unwrap();
    fs::write(server.root().join("file"), "kept").unwrap();
    symlink("directory", server.root().join("link")).unwrap();
    let mut peer = server.peer();
    refused(&peer.ask(&put(1, "directory", b"x"), b"x").unwrap(), 1, "conflict");
    refused(&peer.ask(&put(2, "file/below", b"x"), b"x").unwrap(), 2, "conflict");
    let mkdir = json!({"cmd": "mkdir", "id": 3, "filename": "file"});
    refused(&peer.ask(&mkdir, b"").unwrap(), 3, "conflict");
    let link = json!({"cmd": "symlink", "id": 4, "filename": "directory", "target": "x"});
    refused(&peer.ask(&link, b"").unwrap(), 4, "conflict");
    let mkdir = json!({"cmd": "mkdir", "id": 5, "filename": "link"});
    refused(&peer.ask(&mkdir, b"").unwrap(), 5, "conflict");
    let setattr = json!({"cmd": "setattr", "id": 6, "filename": "file", "mode": 0});
    refused(&peer.ask(&setattr, b"").unwrap(), 6, "conflict");
    assert_ne!(fs::metadata(server.root().join("file")).unwrap().permissions().mode() & 0o777, 0);
    let open = json!({
        "cmd": "open", "id": 7, "filename": "directory", "filesize": 5_000_000,
        "fingerprint": "x",
    });
    refused(&peer.ask(&open, b"").unwrap(), 7, "conflict");
    assert_eq!(fs::read(server.root().join("file")).unwrap(), b"kept");
    assert_eq!(fs::read(server.root().join("directory/inside")).unwrap(), b"kept");
    assert!(server.staged().unwrap().is_empty());
}

#[test]
fn symlink_among_the_parents_is_an_escape_and_named() {
    let (server, outside) = (server(), TempDir::new().unwrap());
    fs::create_dir(server.root().join("a")).unwrap();
    symlink(outside.path(), server.root().join("a/out")).unwrap();
    symlink(".", server.root().join("in")).unwrap();
    let mut peer = server.peer();
    let requests = [
        put(1, "a/out/x", b""),
        put(2, "in/x", b""),
        json!({"cmd": "mkdir", "id": 3, "filename": "a/out/x"}),
        json!({"cmd": "symlink", "id": 4, "filename": "a/out/x", "target": "y"}),
        json!({"cmd": "setattr", "id": 5, "filename": "a/out/x", "mode": 0}),
        json!({"cmd": "open", "id": 6, "filename": "a/out/x", "filesize": 9_999_999, "fingerprint": "f"}),
        json!({"cmd": "list", "id": 7, "filename": "a/out"}),
    ];
    for (id, request) in (1..).zip(requests) {
        let answer = peer.ask(&request, b"").unwrap();
        refused(&answer, id, "escape");
        let link = if id == 2 { "`in`" } else { "`a/out`" };
        assert!(answer["message"].as_str().unwrap().contains(link), "{answer}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

/// Runs hauld in a mount namespace of its own; `setup` sees the root as `$ROOT`.
fn mounted(setup: &str) -> Hauld {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    let mut command = hauld_after(setup, directory.path());
    command.env("ROOT", &root);
    Hauld::start_in(directory, command, &["--keep-free", "0"]).unwrap()
}

#[test]
fn other_file_system_below_the_root_is_refused() {
    let server = mounted("mkdir $ROOT/mnt; mount -t tmpfs tmpfs $ROOT/mnt; mkdir $ROOT/mnt/d");
    let mut peer = server.peer();
    refused(&peer.ask(&put(1, "mnt/x", b"x"), b"x").unwrap(), 1, "cross_device");
    refused(&peer.ask(&put(2, "mnt/d/x", b"x"), b"x").unwrap(), 2, "cross_device");
    let open = json!({"cmd": "open", "id": 3, "filename": "mnt/x", "filesize": 9_999_999, "fingerprint": "f"});
    refused(&peer.ask(&open, b"").unwrap(), 3, "cross_device");
}

/// Trap `staging_on_other_file_system`: found at start, not at the first rename.
#[test]
fn staging_on_other_file_system() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    fs::create_dir_all(root.join(".haul")).unwrap();
    Client::new("unshare")
        .args(["-rm", "sh", "-c", "mount -t tmpfs tmpfs $ROOT/.haul; exec \"$HAULD\" \"$@\"", "sh"])
        .env("ROOT", &root)
        .env("HAULD", &binaries::get().hauld)
        .args(["--listen", "127.0.0.1:0", "--root"])
        .arg(&root)
        .assert()
        .code(2)
        .stderr(predicates::str::contains("another file system"));
}

#[test]
fn no_room_left_is_told_and_the_old_file_stays() {
    let server = mounted("mount -t tmpfs -o size=2m tmpfs $ROOT; printf old >$ROOT/file");
    let there =
        |name: &str| format!("/proc/{}/root{}/{name}", server.pid(), server.root().display());
    let big = vec![7; 4 << 20];
    let mut peer = server.peer();
    let answer = peer.ask(&put(1, "file", &big), &big).unwrap();
    refused(&answer, 1, "no_space");
    assert_eq!(answer["retry"], false);
    assert_eq!(fs::read(there("file")).unwrap(), b"old");
    // There is room for less.
    assert_eq!(peer.ask(&put(2, "small", b"x"), b"x").unwrap()["ack"], 2);
    assert_eq!(fs::read(there("small")).unwrap(), b"x");

    let source = TempDir::new().unwrap();
    fs::write(source.path().join("big"), vec![7; 8 << 20]).unwrap();
    fs::write(source.path().join("small"), "y").unwrap();
    haul().arg("put").arg(source.path().join(".")).arg(server.address()).assert().code(1).stderr(
        predicates::str::contains(
            "big: refused by the server: no room on its disk: 8.01 MiB needed",
        ),
    );
    assert_eq!(fs::read(there("small")).unwrap(), b"y");
    eventually("nothing half-written stays", || {
        fs::read_dir(there(".haul/staged"))
            .unwrap()
            .all(|directory| fs::read_dir(directory.unwrap().path()).unwrap().next().is_none())
    });
}

/// Ends a thread also when the test fails.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Trap `symlink_swapped_in`: a directory becomes a link and back while files are put into it;
/// nothing ever lands outside.
#[test]
fn symlink_swapped_in() {
    let server = server_with(&["--durability", "none"]);
    let outside = place::in_memory().unwrap();
    let (name, link) = (server.root().join("d"), server.root().join("link"));
    fs::create_dir(&name).unwrap();
    symlink(outside.path(), &link).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = SetOnDrop(&done);
        scope.spawn(|| {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            while !done.load(Ordering::Relaxed) {
                renameat_with(CWD, &name, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let mut peer = server.peer();
        let (mut stored, mut escapes) = (0, 0);
        let mut id = 0;
        while id < 3000 || (stored == 0 || escapes == 0) && id < 100_000 {
            id += 1;
            let answer = peer.ask(&put(id, &format!("d/f{}", id % 50), b"x"), b"x").unwrap();
            match answer["code"].as_str() {
                None => stored += 1,
                Some("escape") => escapes += 1,
                Some(code) => panic!("{code}: {answer}"),
            }
        }
        assert!(stored > 0);
    });
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "a file has left the root");
}

#[test]
fn sent_modes_ignore_the_umask_and_absent_ones_obey_it() {
    let directory = TempDir::new().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 027; exec \"$HAULD\" \"$@\"", "sh"]);
    command.env("HAULD", &binaries::get().hauld);
    let server = Hauld::start_in(directory, command, &[]).unwrap();
    let mut peer = server.peer();
    let mut sent = put(1, "sent", b"x");
    sent["mode"] = json!(0o777);
    peer.ask(&sent, b"x").unwrap();
    peer.ask(&put(2, "implied/absent", b"x"), b"x").unwrap();
    let mut setuid = put(3, "setuid", b"x");
    setuid["mode"] = json!(0o7755);
    peer.ask(&setuid, b"x").unwrap();
    let mode = |name: &str| mode(server.root().join(name));
    assert_eq!(mode("sent"), 0o777);
    assert_eq!(mode("implied/absent"), 0o640);
    assert_eq!(mode("implied"), 0o750);
    assert_eq!(mode("setuid"), 0o755);
    assert_eq!(mode(".haul"), 0o700);
}

#[test]
fn what_the_servers_user_may_not_do_is_told() {
    // Only root can make a directory of somebody else; to one of its own the server's user may give itself the right.
    if !is_root() {
        return;
    }
    let user = User::new().unwrap();
    let (root, log) = (user.path().join("root"), user.path().join("log"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(root.join("closed")).unwrap();
    set_mode(root.join("closed"), 0o555);
    user.own(&root).unwrap();
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &[]).unwrap();
    let mut peer = server.peer();
    let answer = peer.ask(&put(1, "closed/x", b"x"), b"x").unwrap();
    refused(&answer, 1, "permission");
    assert!(answer["message"].as_str().unwrap().contains("closed/x"), "{answer}");
    assert!(server.staged().unwrap().is_empty());
}
