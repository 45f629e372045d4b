//! `haul rm`.

use haul_tests::prelude::*;

use crate::entries::{SERVERS, at, read, run, write};

#[test]
fn files_links_and_with_r_directories_are_removed() {
    for words in SERVERS {
        let server = server_with(words);
        for file in ["f", "g", "d/f", "d/e/f", "d/e/g/h", "kept/f", "last"] {
            write(&server, file, "x");
        }
        fs::create_dir_all(server.root().join("d/empty/empty")).unwrap();
        symlink("../kept", server.root().join("d/link")).unwrap();
        symlink("kept", server.root().join("link")).unwrap();
        run(&server, &["rm", "@f", "@link"]).success().stdout("").stderr("");
        assert!(!server.root().join("f").exists() && !server.root().join("link").is_symlink());
        run(&server, &["rm", "@d", "@g"])
            .code(1)
            .stderr(contains("d: is a directory; haul rm -r").and(contains("g:").not()));
        assert!(read(&server, "d/e/g/h").is_some() && read(&server, "g").is_none());
        run(&server, &["rm", "-r", "@d/", "@last"]).success();
        assert!(!server.root().join("d").exists() && read(&server, "last").is_none());
        assert_eq!(read(&server, "kept/f").as_deref(), Some("x"), "a link was followed");
    }
}

#[test]
fn entry_that_is_not_there_and_the_root_are_not_removed() {
    let server = server();
    write(&server, "d/f", "x");
    symlink("d", server.root().join("link")).unwrap();
    run(&server, &["rm", "@none"]).code(1).stderr(contains("`none` does not exist (not_found)"));
    run(&server, &["rm", "-r", "@none/x"]).code(1).stderr(contains("does not exist"));
    run(&server, &["rm", "@link/f"]).code(1).stderr(contains("(escape)"));
    run(&server, &["rm", "-r", "@"]).code(2).stderr(contains("root can't be removed"));
    run(&server, &["rm", "-r", "@.haul"]).code(2);
    assert_eq!(read(&server, "d/f").as_deref(), Some("x"));
    run(&server, &["rm"]).code(2);
    at("127.0.0.1:1", &["rm", "@x"]).code(3);
}

/// More than one answer to `list` and more than one window hold.
#[test]
fn large_tree_is_removed() {
    let server = server_with(&["--durability", "none", "--window-requests", "50"]);
    for directory in 0..30 {
        let path = server.root().join(format!("t/{directory}/{}", "d/".repeat(directory)));
        fs::create_dir_all(&path).unwrap();
        for file in 0..20 {
            fs::write(path.join(file.to_string()), "").unwrap();
        }
    }
    let many = server.root().join("t/many");
    fs::create_dir(&many).unwrap();
    for file in 0..10_500 {
        fs::write(many.join(format!("a rather long name {file}")), "").unwrap();
    }
    run(&server, &["rm", "-r", "@t"]).success().stderr("");
    assert!(!server.root().join("t").exists());
}

/// Its directories stay, and only the entry is told.
#[test]
fn entry_that_stays_keeps_the_directories_above_it_and_nothing_else() {
    let (user, place) = (User::new().unwrap(), TempDir::new().unwrap());
    let root = place.path().join("root");
    for file in ["t/a/locked/f", "t/a/f", "t/b/f", "t/f"] {
        fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
        fs::write(root.join(file), "x").unwrap();
    }
    set_mode(place.path(), 0o755);
    for path in ["", "t", "t/a", "t/b"] {
        user.own(&root.join(path)).unwrap();
    }
    let log = place.path().join("log");
    let server = Hauld::start_at(&root, &log, user.command("hauld"), &[]).unwrap();
    let told = run(&server, &["rm", "-r", "@t"]).code(if rustix::process::geteuid().is_root() {
        1
    } else {
        0
    });
    if rustix::process::geteuid().is_root() {
        let stderr = String::from_utf8(told.get_output().stderr.clone()).unwrap();
        assert!(stderr.contains("t/a/locked/f: refused by the server"), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(root.join("t/a/locked/f").exists() && !root.join("t/a/f").exists());
        assert!(!root.join("t/b").exists() && !root.join("t/f").exists());
    }
}

#[test]
fn removal_whose_answer_was_lost_is_no_failure() {
    for words in SERVERS {
        for (flags, name) in [(&[][..], "@f"), (&["-r"], "@d")] {
            let server = server_with(words);
            for file in ["f", "d/x"] {
                write(&server, file, file);
            }
            let lost = Lost::start(server.address(), "remove", || ()).unwrap();
            at(lost.address(), &[&["rm"], flags, &[name]].concat()).success();
            lost.end();
            assert!(!server.root().join(&name[1..]).exists());
        }
    }
}

/// A new upload of the name is complete before the client has connected again.
#[test]
fn removal_whose_answer_was_lost_does_not_remove_a_newer_entry() {
    for (flags, name, newer) in [(&[][..], "@f", "f"), (&["-r"], "@d", "d/x"), (&["-r"], "@f", "f")]
    {
        let server = server();
        for file in ["f", "d/x", "other"] {
            write(&server, file, file);
        }
        let path = server.root().join(newer);
        let meanwhile = move || fs::write(path, "a new upload").unwrap();
        let lost = Lost::start(server.address(), "remove", meanwhile).unwrap();
        at(lost.address(), &[&["rm"], flags, &[name, "@other"]].concat())
            .code(1)
            .stderr(contains(format!("haul: {newer}: the connection was lost before an answer")));
        lost.end();
        assert_eq!(read(&server, newer).as_deref(), Some("a new upload"));
        assert_eq!(read(&server, "other"), None);
    }
}

/// The lost answer is that about the directory itself, since nothing is in it.
#[test]
fn removal_whose_answer_was_lost_does_not_remove_a_newer_directory_of_another_mode() {
    for (first, newer) in [("d", "d"), ("d/e", "d/e"), ("d/e/f", "d/e/f")] {
        let server = server();
        fs::create_dir_all(server.root().join(first)).unwrap();
        let path = server.root().join(newer);
        let meanwhile = move || {
            fs::create_dir(&path).unwrap();
            set_mode(path, 0o700);
        };
        let lost = Lost::start(server.address(), "remove", meanwhile).unwrap();
        at(lost.address(), &["rm", "-r", "@d"])
            .code(1)
            .stderr(contains(format!("haul: {newer}: the connection was lost before an answer")));
        lost.end();
        assert!(server.root().join(newer).is_dir());
    }
}

#[test]
fn removal_of_empty_directories_whose_request_was_lost_is_sent_again() {
    for name in ["d", "d/e"] {
        let server = server();
        fs::create_dir_all(server.root().join(name)).unwrap();
        set_mode(server.root().join(name), 0o700);
        let lost = Lost::request(server.address(), "remove", || ()).unwrap();
        at(lost.address(), &["rm", "-r", "@d"]).success();
        lost.end();
        assert!(!server.root().join("d").exists());
    }
}

#[test]
fn removal_whose_request_was_lost_is_sent_again() {
    for (flags, name) in [(&[][..], "@f"), (&["-r"], "@d")] {
        let server = server();
        for file in ["f", "d/x"] {
            write(&server, file, file);
        }
        let lost = Lost::request(server.address(), "remove", || ()).unwrap();
        at(lost.address(), &[&["rm"], flags, &[name]].concat()).success();
        lost.end();
        assert!(!server.root().join(&name[1..]).exists());
    }
}
