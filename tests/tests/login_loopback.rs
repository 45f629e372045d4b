//! A token on the way to a server on loopback: only a server that asks for a login gets it, and in clear only under a name
//! that never leads elsewhere.

use haul_tests::fake;
use haul_tests::login::{Pair, Place, TOKEN, answer, told};
use haul_tests::prelude::*;

/// A name that leads to loopback: the system looks it up and finds 127.0.0.1, but haul does not know that before.
fn by_name(address: &str) -> String {
    address.replace("127.0.0.1", "127.1")
}

#[test]
fn token_goes_to_no_server_that_has_not_asked_for_a_login() {
    let place = Place::start();
    fs::write(place.directory.path().join("f"), "x").unwrap();
    let place = &place;
    let put = |command: &mut Client| {
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                let (mut peer, hello) = place.fake.greet().unwrap();
                while let Ok((request, _)) = peer.receive() {
                    peer.send(&json!({"ack": request["id"]}), b"").unwrap();
                }
                hello
            });
            let _ = command.assert().success();
            assert!(server.join().unwrap().get("token").is_none());
        });
    };
    put(place.haul(&["put", "f", "%", "--connections", "1"]).env("HAUL_TOKEN", TOKEN));
    place.write(&format!("% alice {TOKEN}\n"));
    put(&mut place.haul(&["put", "f", "%", "--connections", "1"]));
    // Nor to one that breaks off, or speaks of something else.
    for answer in [None, Some(fake::refusal(&json!(0), "unsupported", false))] {
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                let mut peer = place.fake.accept().unwrap();
                let (hello, _) = peer.receive().unwrap();
                if let Some(answer) = &answer {
                    peer.send(answer, b"").unwrap();
                }
                hello
            });
            place.haul(&["whoami", "%"]).assert().code(3);
            assert!(server.join().unwrap().get("token").is_none());
        });
    }
    place.fake.stop_waiting().unwrap();
    assert!(place.fake.accept().is_err(), "another connection has come");
}

#[test]
fn connection_that_is_made_again_brings_the_token_at_once() {
    let place = Place::start();
    place.write(&format!("% alice {TOKEN}\n"));
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let (mut peer, _) = place.accept();
            peer.send(&answer("alice", &["put"]), b"").unwrap();
            peer.receive().unwrap();
            drop(peer);
            let mut peer = place.fake.accept().unwrap();
            let (hello, _) = peer.receive().unwrap();
            peer.send(&answer("alice", &["put"]), b"").unwrap();
            let (request, _) = peer.receive().unwrap();
            peer.send(&json!({"ack": request["id"]}), b"").unwrap();
            hello
        });
        place.haul(&["mkdir", "%/d"]).assert().success();
        assert_eq!(server.join().unwrap()["token"], TOKEN);
    });
}

/// A stranger who answers for names may have led it here, and a server that an authority vouches for has no pin.
#[test]
fn name_that_only_happens_to_lead_to_loopback_gets_tls_from_the_first_byte() {
    let place = Place::start();
    fs::write(place.directory.path().join("f"), "x").unwrap();
    let name = by_name(&place.address());
    let place = &place;
    for words in
        [&["put", "f", &name][..], &["ls", &name], &["login", &name], &["verify", "f", &name]]
    {
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                let mut peer = place.fake.accept().unwrap();
                let mut first = [0; 3];
                peer.stream.read_exact(&mut first).unwrap();
                first
            });
            place.haul(words).env("HAUL_TOKEN", TOKEN).write_stdin(TOKEN).assert().code(3);
            assert_eq!(server.join().unwrap(), [0x16, 3, 1], "{words:?}");
        });
    }
}

#[test]
fn server_without_tls_is_told_by_the_name_under_which_it_gets_a_token() {
    let (mut pair, token) = Pair::start("writer", &[]);
    let config = pair.directory.path().join("server");
    pair.server = server_with(&["--tls", "never", "--config-dir", config.to_str().unwrap()]);
    let (name, port) = (by_name(pair.server.address()), pair.server.address().rsplit(':').next());
    let localhost = format!("localhost:{}", port.unwrap());
    let login = format!("alice@{name}");
    let ls = ["ls", &name];
    for command in [
        pair.haul(&["login", &login]).write_stdin(token.clone()),
        pair.haul(&ls).env("HAUL_TOKEN", token.trim()),
    ] {
        let output = command.assert().code(3).get_output().clone();
        assert!(told(&output).ends_with(&format!("write {localhost}")), "{}", told(&output));
    }
    assert!(!pair.server.log_text().contains("logged in"), "{}", pair.server.log_text());
    let login = format!("alice@{localhost}");
    pair.haul(&["login", &login]).write_stdin(token).assert().success();
    pair.haul(&["ls", &localhost]).assert().success();
}
