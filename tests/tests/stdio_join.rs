//! Two processes and one root: a `hauld --stdio` joins whoever serves the root already.

use haul_tests::needed::is_root;
use haul_tests::prelude::*;
use haul_tests::stdio::{Stdio, host, is_left};

fn root() -> (TempDir, PathBuf) {
    let place = TempDir::new().unwrap();
    let root = place.path().join("root");
    (place, root)
}

#[test]
fn root_that_is_served_is_joined_without_an_account() {
    let accounts = Accounts::start(&["alice"]);
    let root = accounts.server.root().to_owned();
    let mut stdio = Stdio::start(&[]);
    let answer = stdio.greet(&json!({"root": root}));
    assert_eq!(answer["joined"], true, "{answer}");
    let hello = stdio.hello("one");
    assert_eq!(hello["account"], Value::Null, "{hello}");
    stdio.put(1, "beside/file", b"x");
    stdio.end().is_well();
    // The other server goes on, and its `.haul` stays.
    assert_eq!(fs::read(root.join("beside/file")).unwrap(), b"x");
    assert!(root.join(".haul/socket").exists());
    let socket = fs::metadata(root.join(".haul/socket")).unwrap();
    assert_eq!(socket.mode() & 0o7777, 0o600);
}

#[test]
fn one_that_is_done_does_not_wait_for_one_that_has_joined() {
    let (_place, root) = root();
    let mut first = Stdio::serving(&root, "first");
    let mut second = Stdio::start(&[]);
    assert_eq!(second.greet(&json!({"root": root}))["joined"], true);
    second.hello("second");
    first.put(1, "one", b"1");
    second.put(1, "two", b"2");
    first.end().is_well();
    second.put(2, "three", b"3");
    let mut third = Stdio::start(&[]);
    assert_eq!(third.greet(&json!({"root": root}))["joined"], true);
    third.hello("third");
    second.end().is_well();
    third.put(1, "four", b"4");
    third.end().is_well();
    for (name, bytes) in [("one", b"1"), ("two", b"2"), ("three", b"3"), ("four", b"4")] {
        assert_eq!(fs::read(root.join(name)).unwrap(), bytes);
    }
    is_left(&root);
}

/// Whoever comes in the moment in which a server ends gets a server as well.
#[test]
fn no_run_is_lost_between_one_server_and_the_next() {
    let (_place, root) = root();
    let runs = |client: usize| {
        for run in 0..12 {
            let mut stdio = Stdio::serving(&root, &format!("client-{client}"));
            stdio.put(1, &format!("{client}-{run}"), b"x");
            stdio.end().is_well();
        }
    };
    thread::scope(|scope| {
        for client in 0..3 {
            scope.spawn(move || runs(client));
        }
    });
    is_left(&root);
    assert_eq!(fs::read_dir(&root).unwrap().count(), 36);
}

#[test]
fn socket_of_a_server_that_was_killed_is_replaced() {
    let (place, root) = root();
    let hauld = binaries::get().hauld.clone();
    let start = || Hauld::start_at(&root, &place.path().join("log"), Command::new(&hauld), &[]);
    let mut server = start().unwrap();
    server.signal(Signal::KILL).unwrap();
    server.wait().unwrap();
    assert!(root.join(".haul/socket").exists());
    let mut server = start().unwrap();
    let mut stdio = Stdio::start(&[]);
    assert_eq!(stdio.greet(&json!({"root": root}))["joined"], true);
    stdio.hello("one");
    stdio.put(1, "file", b"x");
    stdio.end().is_well();
    server.signal(Signal::TERM).unwrap();
    server.wait().unwrap();
    assert!(!root.join(".haul/socket").exists());
}

/// A path of a socket has 107 bytes at most (unix(7)).
#[test]
fn socket_of_a_deep_root_is_reached() {
    let (_place, root) = root();
    let deep = root.join(["deep-directory"; 20].join("/"));
    let _first = Stdio::serving(&deep, "first");
    let mut second = Stdio::start(&[]);
    assert_eq!(second.greet(&json!({"root": deep}))["joined"], true);
    second.hello("second");
    second.put(1, "file", b"x");
    assert_eq!(fs::read(deep.join("file")).unwrap(), b"x");
}

#[test]
fn process_that_holds_a_root_and_takes_nobody_in_is_named() {
    let (_place, root) = root();
    let first = Stdio::serving(&root, "first");
    let host = host(&root);
    fs::remove_file(root.join(".haul/socket")).unwrap();
    let mut second = Stdio::start(&[]);
    let answer = second.greet(&json!({"root": root}));
    assert_eq!(answer["error"]["code"], "busy", "{answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("process {host}")), "{message}");
    assert_eq!(second.end().code, Some(2));
    assert_eq!(first.end().code, Some(0));
}

/// The lock is held, so the next process looks for the socket: what is there is that of another root.
#[test]
fn symlink_to_the_socket_of_another_root_is_not_joined() {
    let other = server();
    let (_place, root) = root();
    let first = Stdio::serving(&root, "first");
    let socket = root.join(".haul/socket");
    fs::remove_file(&socket).unwrap();
    symlink(other.root().join(".haul/socket"), &socket).unwrap();
    let mut second = Stdio::start(&[]);
    let answer = second.greet(&json!({"root": root}));
    assert_eq!(answer["error"]["code"], "busy", "{answer}");
    assert_eq!(second.end().code, Some(2));
    drop(first.end());

    // The server can't use this `.haul` of its own user, which is no reason to join either.
    let crafted = root.join("crafted");
    fs::create_dir_all(crafted.join(".haul")).unwrap();
    set_mode(crafted.join(".haul"), 0o700);
    fs::write(crafted.join(".haul/staged"), "no directory").unwrap();
    symlink(other.root().join(".haul/socket"), crafted.join(".haul/socket")).unwrap();
    let mut third = Stdio::start(&[]);
    let answer = third.greet(&json!({"root": crafted}));
    assert!(answer["error"]["code"].is_string(), "{answer}");
    let peer = other.peer();
    assert_eq!(fs::read_dir(other.root()).unwrap().count(), 1, "`.haul` alone");
    drop(peer);
}

/// Somebody else's `.haul` may hold anybody's socket.
#[test]
fn other_users_root_is_not_joined() {
    if !is_root() {
        return;
    }
    let (place, root) = root();
    set_mode(place.path(), 0o755);
    let mut first = Stdio::serving(&root, "first");
    let user = User::new().unwrap();
    let mut second = Stdio::of(user.command("hauld"), &[]);
    let answer = second.greet(&json!({"root": root}));
    assert_eq!(answer["error"]["code"], "denied", "{answer}");
    first.put(1, "file", b"x");

    // Root joins where the owner of the root serves it.
    let own = user.path().join("own");
    let mut theirs = Stdio::of(user.command("hauld"), &[]);
    theirs.greet(&json!({"root": own, "make": true}));
    theirs.hello("theirs");
    let mut ours = Stdio::start(&[]);
    assert_eq!(ours.greet(&json!({"root": own}))["joined"], true);
    ours.hello("ours");
    ours.put(1, "file", b"x");
    assert_eq!(fs::metadata(own.join("file")).unwrap().uid(), 65_534);
}
