//! Directories that their owner may not write to (0555, as in Go's module cache), for a server without privileges.

use haul_tests::prelude::*;

struct Setup {
    user: User,
    server: Hauld,
}

impl Setup {
    fn start(durability: &str) -> Self {
        let user = User::new().unwrap();
        let (root, log) = (user.path().join("root"), user.path().join("log"));
        fs::create_dir(&root).unwrap();
        user.own(&root).unwrap();
        let words = ["--durability", durability];
        let server = Hauld::start_at(&root, &log, user.command("hauld"), &words).unwrap();
        Self { user, server }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.server.root().join(name)
    }

    fn haul(&self, verb: &str, words: &[&str], target: &str) -> Client {
        let mut command = self.user.command("haul");
        command.arg(verb).args(words).arg(self.user.path().join("source/."));
        command.arg(format!("{}/{target}", self.server.address()));
        Client::from_std(command)
    }

    /// Lets its owner remove everything in the end.
    fn open(&self, directory: &Path) {
        for entry in walkdir::WalkDir::new(directory).contents_first(false) {
            let entry = entry.unwrap();
            if entry.file_type().is_dir() {
                set_mode(entry.path(), 0o755);
            }
        }
    }
}

/// A source with directories of 0555 in one another, as the user's.
fn source(user: &User, text: &str) -> PathBuf {
    let source = user.path().join("source");
    fs::create_dir_all(source.join("mod@v1/inner/deep")).unwrap();
    for name in ["mod@v1/a", "mod@v1/inner/b", "mod@v1/inner/deep/c", "kept"] {
        fs::write(source.join(name), text).unwrap();
    }
    symlink("a", source.join("mod@v1/link")).unwrap();
    let source = user.own_all(source).unwrap();
    for name in ["mod@v1/inner/deep", "mod@v1/inner", "mod@v1"] {
        set_mode(source.join(name), 0o555);
    }
    source
}

#[test]
fn sync_removes_what_is_in_read_only_directories_that_it_has_made() {
    for durability in ["group", "none"] {
        let setup = Setup::start(durability);
        let source = source(&setup.user, "text");
        setup.haul("sync", &["--delete"], "x").assert().success();
        tree::compare(&source.join("mod@v1"), &setup.at("x/mod@v1")).unwrap();
        // One file in the middle; what is above it stays as it is.
        set_mode(source.join("mod@v1/inner"), 0o755);
        fs::remove_file(source.join("mod@v1/inner/b")).unwrap();
        set_mode(source.join("mod@v1/inner"), 0o555);
        setup.haul("sync", &["--delete"], "x").assert().success();
        tree::compare(&source.join("mod@v1"), &setup.at("x/mod@v1")).unwrap();
        setup.open(&source);
        fs::remove_dir_all(source.join("mod@v1")).unwrap();
        setup.haul("sync", &["--delete"], "x").assert().success();
        assert!(!setup.at("x/mod@v1").exists(), "{durability}");
        assert!(setup.at("x/kept").exists());
    }
}

/// In the middle of a change, the directory is open to its owner; the next start closes it.
#[test]
fn directory_is_read_only_again_after_the_server_was_killed_in_the_middle_of_a_change() {
    let mut setup = Setup::start("none");
    let closed = setup.at("closed");
    fs::create_dir(&closed).unwrap();
    setup.user.own_all(closed.clone()).unwrap();
    set_mode(&closed, 0o555);
    eventually("it is killed in the middle of a change", || {
        let mut peer = setup.server.peer();
        let sending = std::thread::spawn(move || {
            for id in 1.. {
                let name = format!("closed/{}", id % 2);
                if peer.ask(&put(id, &name, b"x"), b"x").is_err() {
                    return;
                }
            }
        });
        while mode(&closed) == 0o555 {}
        setup.server.signal(rustix::process::Signal::KILL).unwrap();
        setup.server.wait().unwrap();
        sending.join().unwrap();
        let was_open = mode(&closed) != 0o555;
        let (root, log) = (setup.user.path().join("root"), setup.user.path().join("log"));
        let words = ["--durability", "none"];
        let hauld = setup.user.command("hauld");
        setup.server = Hauld::start_at(&root, &log, hauld, &words).unwrap();
        assert_eq!(mode(&closed), 0o555);
        was_open
    });
    assert_eq!(fs::read_dir(setup.at(".haul/opened")).unwrap().count(), 0);
}

/// Its owner may not list it, or look at what is in it; the server may, for the moment, and removes what is to go.
#[test]
fn directories_that_their_owner_may_not_list_or_enter_are_compared_and_emptied() {
    for durability in ["group", "none"] {
        for odd in [0o444, 0o111, 0o000, 0o300, 0o200, 0o055] {
            let setup = Setup::start(durability);
            let source = source(&setup.user, "text");
            setup.open(&source);
            setup.haul("sync", &[], "x").assert().success();
            let close = || {
                for name in ["x/mod@v1/inner/deep", "x/mod@v1/inner", "x/mod@v1"] {
                    set_mode(setup.at(name), odd);
                }
            };
            let assert_closed = |names: &[&str]| {
                for name in names {
                    assert_eq!(mode(setup.at(name)), odd, "{name}");
                }
            };
            close();
            setup.haul("verify", &[], "x").assert().success();
            setup.haul("sync", &["-n", "--delete"], "x").assert().success();
            let mut peer = setup.server.peer();
            let list = json!({"cmd": "list", "id": 1, "filename": "x/mod@v1/inner"});
            peer.send(&list, b"").unwrap();
            let (answer, body) = peer.receive().unwrap();
            assert_eq!(answer["answer"], 1, "{answer}");
            assert_eq!(body.iter().filter(|byte| **byte == b'\n').count(), 2);
            let name = "x/mod@v1/inner/deep/new/er/file";
            assert_eq!(peer.ask(&put(2, name, b"x"), b"x").unwrap()["ack"], 2);
            assert_closed(&["x/mod@v1", "x/mod@v1/inner", "x/mod@v1/inner/deep"]);
            fs::remove_dir_all(source.join("mod@v1/inner")).unwrap();
            setup.haul("sync", &["--delete"], "x").assert().success();
            tree::compare(&source.join("mod@v1"), &setup.at("x/mod@v1")).unwrap();
            assert!(!setup.at("x/mod@v1/inner").exists(), "{durability}");
        }
    }
}

#[test]
fn every_change_in_a_read_only_directory_leaves_it_read_only() {
    for durability in ["group", "none"] {
        let setup = Setup::start(durability);
        let closed = setup.at("closed");
        fs::create_dir_all(closed.join("empty")).unwrap();
        for name in ["old", "replaced", "gone", "becomes a directory"] {
            fs::write(closed.join(name), "old").unwrap();
        }
        setup.user.own_all(closed.clone()).unwrap();
        set_mode(&closed, 0o555);
        let mut peer = setup.server.peer();
        let mut changes = vec![
            (put(0, "closed/new", b"x"), &b"x"[..]),
            (put(0, "closed/replaced", b"x"), b"x"),
            (put(0, "closed/made/on/the/way", b"x"), b"x"),
            (json!({"cmd": "symlink", "filename": "closed/symlink", "target": "x"}), b""),
            (json!({"cmd": "symlink", "filename": "closed/old", "target": "x"}), b""),
            (json!({"cmd": "mkdir", "filename": "closed/directory", "mode": 0o555}), b""),
            (put(0, "closed/directory/in it", b"x"), b"x"),
            (
                json!({"cmd": "mkdir", "filename": "closed/becomes a directory", "replace": true}),
                b"",
            ),
            (json!({"cmd": "remove", "filename": "closed/gone"}), b""),
            (json!({"cmd": "remove", "filename": "closed/empty"}), b""),
        ];
        for (id, (header, body)) in (1..).zip(&mut changes) {
            header["id"] = json!(id);
            let answer = peer.ask(header, body).unwrap();
            assert_eq!(answer["ack"], id, "{durability}: {header}: {answer}");
            assert_eq!(mode(&closed), 0o555, "{durability}: {header}");
        }
        assert_eq!(fs::read(closed.join("replaced")).unwrap(), b"x");
        assert_eq!(fs::read(closed.join("made/on/the/way")).unwrap(), b"x");
        assert_eq!(fs::read(closed.join("directory/in it")).unwrap(), b"x");
        assert_eq!(mode(closed.join("directory")), 0o555);
        assert!(closed.join("becomes a directory").is_dir());
        assert!(!closed.join("gone").exists() && !closed.join("empty").exists());
        assert!(setup.server.staged().unwrap().is_empty());
    }
}

/// Workers open the directory up at once, and a client sets its mode meanwhile.
#[test]
fn many_changes_at_once_leave_the_mode_that_was_set_last() {
    let setup = Setup::start("none");
    let closed = setup.at("closed");
    fs::create_dir(&closed).unwrap();
    setup.user.own(&closed).unwrap();
    set_mode(&closed, 0o555);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let setup = &setup;
            scope.spawn(move || {
                let mut peer = setup.server.peer();
                for id in 1..300 {
                    let name = format!("closed/{thread}-{}", id % 20);
                    assert_eq!(peer.ask(&put(id, &name, b"x"), b"x").unwrap()["ack"], id);
                }
            });
        }
        let mut peer = setup.server.peer();
        for id in 1..100 {
            let mode = if id % 2 == 0 { 0o555 } else { 0o500 };
            let setattr = json!({"cmd": "setattr", "id": id, "filename": "closed", "mode": mode});
            assert_eq!(peer.ask(&setattr, b"").unwrap()["ack"], id);
            let body =
                format!("{}\n", json!({"kind": "directory", "filename": "closed", "mode": mode}));
            let mut other = setup.server.peer();
            other
                .send(&json!({"cmd": "check", "id": 1, "length": body.len()}), body.as_bytes())
                .unwrap();
            assert_eq!(other.receive().unwrap().1, b"=", "{id}: nobody sees it opened up");
        }
    });
    assert_eq!(mode(&closed), 0o500);
    set_mode(&closed, 0o755);
}

/// Versions with such directories are put together, go on, are swapped and thrown away.
#[test]
fn versions_with_read_only_directories_are_published_and_thrown_away() {
    for durability in ["group", "none"] {
        let setup = Setup::start(durability);
        let source = source(&setup.user, "version 1");
        for version in 2..5 {
            setup.haul("publish", &["--quiet"], "site").assert().success();
            tree::compare(&source, &setup.at("site")).unwrap();
            setup.open(&source);
            fs::write(source.join("mod@v1/inner/b"), format!("version {version}")).unwrap();
            for name in ["mod@v1/inner/deep", "mod@v1/inner", "mod@v1", ""] {
                set_mode(source.join(name), 0o555);
            }
        }
        eventually("the trash is emptied", || {
            fs::read_dir(setup.at(".haul/trash")).unwrap().next().is_none()
        });
        setup.open(&source);
    }
}
