//! `.haul`, the server's own directory: nobody else has a hand in it.

use haul_tests::needed::is_root;
use haul_tests::prelude::*;

/// Starts a server that must not start, and returns what it says.
fn refused(mut hauld: Client, root: &Path) -> String {
    // One that starts all the same would serve for ever.
    hauld.args(["--listen", "127.0.0.1:0", "--root"]).arg(root).timeout(haul_tests::DEADLINE);
    let output = hauld.assert().code(2).stdout("").get_output().clone();
    String::from_utf8(output.stderr).unwrap()
}

fn hauld() -> Client {
    Client::new(&binaries::get().hauld)
}

#[test]
fn directory_of_the_servers_own_that_belongs_to_somebody_else_is_refused() {
    // Only root can make what this is about.
    if !is_root() {
        return;
    }
    for inner in ["", "staged", "staged/3", "partials", "trees", "trash"] {
        let user = User::new().unwrap();
        let root = user.path().join("root");
        let theirs = root.join(".haul").join(inner);
        fs::create_dir_all(&theirs).unwrap();
        let root = user.own_all(root).unwrap();
        std::os::unix::fs::chown(&theirs, Some(1), Some(1)).unwrap();
        // Neither for an ordinary user, who could write there, nor for root, who can anyway.
        set_mode(&theirs, 0o777);
        let said = refused(Client::from_std(user.command("hauld")), &root);
        assert!(said.contains("belongs to user 1, "), "{inner}: {said}");
        assert!(said.contains("chown -R it to user 65534"), "{inner}: {said}");
        assert!(
            said.contains("chown") && said.contains(theirs.to_str().unwrap().trim_end_matches('/'))
        );
        set_mode(&theirs, 0o700);
        let said = refused(Client::from_std(user.command("hauld")), &root);
        assert!(said.contains("belongs to user 1"), "{inner}: {said}");
        let said = refused(hauld(), &root);
        assert!(said.contains("belongs to user"), "{inner}: {said}");
        assert_eq!(fs::metadata(&theirs).unwrap().mode() & 0o777, 0o700);
    }
}

/// The server would not start any more if it had been given away.
#[test]
fn partials_of_another_user_are_no_reason_to_give_them_away() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let user = User::new().unwrap();
    let root = user.path().join("root");
    fs::create_dir_all(root.join(".haul")).unwrap();
    for (owner, word) in [(1, "daemon"), (4321, "'#4321'")] {
        std::os::unix::fs::chown(root.join(".haul"), Some(owner), Some(owner)).unwrap();
        let mut hauld = hauld();
        let output = hauld.args(["partials", "list", "--root"]).arg(&root).output();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("sudo -u {word} hauld partials")), "{said}");
        assert!(!said.contains("chown") && !said.contains("remove it"), "{said}");
        assert_eq!(fs::metadata(root.join(".haul")).unwrap().uid(), owner);
    }
}

#[test]
fn directory_of_the_servers_own_that_others_may_write_to_is_closed_and_told() {
    let directory = TempDir::new().unwrap();
    let (root, log) = (directory.path().join("root"), directory.path().join("log"));
    let start = || {
        let command = hauld_command();
        Hauld::start_at(&root, &log, command, &[]).unwrap()
    };
    drop(start());
    let closed = ["", "staged", "staged/0", "partials", "trees", "trash"];
    for name in closed {
        set_mode(root.join(".haul").join(name), 0o777);
    }
    fs::File::create(&log).unwrap();
    let server = start();
    for name in closed {
        let path = root.join(".haul").join(name);
        assert_eq!(mode(&path), 0o700, "{name}");
    }
    let said = server.log_text();
    assert_eq!(said.matches("others could write").count(), closed.len(), "{said}");
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "x", b"x"), b"x").unwrap()["ack"], 1);
    drop((peer, server));
    // That is over now.
    fs::File::create(&log).unwrap();
    assert!(!start().log_text().contains("others could write"));
}

#[test]
fn what_stands_in_the_place_of_the_servers_own_is_refused() {
    let outside = TempDir::new().unwrap();
    for inner in ["", "staged", "partials", "trash"] {
        let root = TempDir::new().unwrap();
        let place = root.path().join(".haul").join(inner);
        let place = Path::new(place.to_str().unwrap().trim_end_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        symlink(outside.path(), place).unwrap();
        let said = refused(hauld(), root.path());
        assert!(said.contains("is a symlink") && said.contains(place.to_str().unwrap()), "{said}");
        fs::remove_file(place).unwrap();
        fs::write(place, "a file").unwrap();
        let said = refused(hauld(), root.path());
        assert!(said.contains("is not a directory") && said.contains("move that away"), "{said}");
        assert_eq!(fs::read(place).unwrap(), b"a file");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

/// The lock file is written to: it must not be another name of a file of the server's user.
#[test]
fn lock_that_is_another_files_name_is_refused() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    fs::create_dir_all(root.join(".haul")).unwrap();
    fs::write(directory.path().join("precious"), "precious").unwrap();
    fs::hard_link(directory.path().join("precious"), root.join(".haul/lock")).unwrap();
    let said = refused(hauld(), &root);
    assert!(said.contains(".haul/lock"), "{said}");
    assert_eq!(fs::read(directory.path().join("precious")).unwrap(), b"precious");
    let list = Client::new(&binaries::get().hauld)
        .args(["partials", "list", "--root"])
        .arg(&root)
        .assert();
    list.code(2).stderr(contains(".haul/lock"));
}
