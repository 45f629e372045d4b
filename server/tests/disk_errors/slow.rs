//! A change that takes long keeps nobody else waiting.

use std::fs;
use std::io::{ErrorKind, Read, Write};

use fail::FailScenario;
use haul_protocol::{Attributes, Digest, Name, Op, encode};
use haul_server::Durability;

use crate::client::{Client, Setup};

/// Sends a `put` of which the rename has begun when this returns, and does not end before the scenario does.
fn put_without_end(client: &mut Client, setup: &Setup) {
    // Because a file stands there, the server gives the new file a name of its own for a moment.
    let staged = || {
        (0..8).any(|number| {
            let directory = setup.root.path().join(format!(".haul/staged/{number}"));
            fs::read_dir(directory).unwrap().next().is_some()
        })
    };
    fail::cfg("disk::rename", "pause").unwrap();
    let op = Op::Put {
        name: Name::parse(b"small").unwrap(),
        size: 3,
        digest: Digest::of(b"new"),
        attributes: Attributes { mode: Some(0o644), mtime: None },
    };
    client.id += 1;
    let mut out = Vec::new();
    encode::request(client.id.into(), 3, &op, &mut out).unwrap();
    out.extend_from_slice(b"new");
    client.stream.write_all(&out).unwrap();
    while !staged() {
        std::thread::yield_now();
    }
}

fn has_no_answer(client: &mut Client) -> bool {
    client.stream.set_nonblocking(true).unwrap();
    let nothing = client.stream.read(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
    client.stream.set_nonblocking(false).unwrap();
    nothing
}

/// One worker is at the change; another one serves all others, however many wait for the change.
#[test]
fn connections_that_wait_for_a_slow_change_hold_no_worker() {
    let scenario = FailScenario::setup();
    let setup = Setup::with_workers(Durability::None, Some(2));
    let mut old = Client::ask_to_be_greeted(&setup, Some("same"), None);
    old.greeted();
    put_without_end(&mut old, &setup);
    let mut waiting: Vec<Client> = (0..3)
        .map(|number| Client::ask_to_be_greeted(&setup, None, Some(&format!("directory{number}"))))
        .collect();
    waiting.push(Client::ask_to_be_greeted(&setup, Some("same"), None));
    // Each of them is answered, though the connections before it wait.
    for _ in 0..10 {
        let mut other = Client::connect(&setup);
        assert_eq!(Client::code(&other.ask(&Op::Ping, b"").0), "answer");
    }
    assert!(waiting.iter_mut().all(has_no_answer));
    // Nobody changes a directory whose next version is to be put together.
    let name = Name::parse(b"directory1/x").unwrap();
    let mut other = Client::connect(&setup);
    let refused = other.ask(&Op::Mkdir { name, mode: None, replace: false }, b"").0;
    assert_eq!(Client::code(&refused), "busy");
    // A newer connection takes the place of one that waits.
    let mut newest = Client::ask_to_be_greeted(&setup, Some("same"), None);
    assert_eq!(Client::code(&waiting.pop().unwrap().receive().0), "fenced");
    assert!(has_no_answer(&mut newest));
    scenario.teardown();
    newest.greeted();
    waiting.iter_mut().for_each(Client::greeted);
    assert_eq!(setup.read("small"), b"new");
}

/// The place of a connection is that in which its `hello` came, however long the answer takes.
#[test]
fn connection_that_waits_for_a_directory_makes_way_for_a_newer_one() {
    let scenario = FailScenario::setup();
    let setup = Setup::with_workers(Durability::None, Some(2));
    let mut slow = Client::connect(&setup);
    put_without_end(&mut slow, &setup);
    let mut waits = Client::ask_to_be_greeted(&setup, Some("same"), Some("directory"));
    assert!(has_no_answer(&mut waits));
    let mut newer = Client::ask_to_be_greeted(&setup, Some("same"), None);
    newer.greeted();
    assert_eq!(Client::code(&waits.receive().0), "fenced");
    scenario.teardown();
    let name = Name::parse(b"made").unwrap();
    let made = newer.ask(&Op::Mkdir { name, mode: None, replace: false }, b"").0;
    assert_eq!(Client::code(&made), "ack");
    // The directory is nobody's any more.
    let mut next = Client::ask_to_be_greeted(&setup, None, Some("directory"));
    next.greeted();
}

/// A job looks for the root again when it goes on.
#[test]
fn hello_that_has_waited_is_refused_if_the_root_is_gone() {
    let scenario = FailScenario::setup();
    let setup = Setup::with_workers(Durability::None, Some(2));
    let mut slow = Client::connect(&setup);
    put_without_end(&mut slow, &setup);
    let mut waits = Client::ask_to_be_greeted(&setup, None, Some("directory"));
    assert!(has_no_answer(&mut waits));
    let (root, away) = (setup.root.path(), setup.root.path().with_extension("away"));
    fs::rename(root, &away).unwrap();
    scenario.teardown();
    let told = waits.receive().0;
    fs::rename(&away, root).unwrap();
    assert_eq!(Client::code(&told), "root_gone");
}

/// Nor do requests that wait for it.
#[test]
fn rollbacks_that_wait_for_a_slow_change_hold_no_worker() {
    let scenario = FailScenario::setup();
    let setup = Setup::with_workers(Durability::None, Some(2));
    let mut slow = Client::connect(&setup);
    put_without_end(&mut slow, &setup);
    let mut waiting: Vec<Client> = (0..3).map(|_| Client::connect(&setup)).collect();
    for (number, client) in waiting.iter_mut().enumerate() {
        let name = Name::parse(format!("directory{number}").as_bytes()).unwrap();
        let mut out = Vec::new();
        encode::request(
            1.into(),
            0,
            &Op::Rollback { name, again: false, token: None, repeated: false },
            &mut out,
        )
        .unwrap();
        client.stream.write_all(&out).unwrap();
    }
    for _ in 0..10 {
        let mut other = Client::connect(&setup);
        assert_eq!(Client::code(&other.ask(&Op::Ping, b"").0), "answer");
    }
    assert!(waiting.iter_mut().all(has_no_answer));
    scenario.teardown();
    for client in &mut waiting {
        assert_eq!(Client::code(&client.receive().0), "not_found");
    }
    assert_eq!(setup.read("small"), b"new");
}
