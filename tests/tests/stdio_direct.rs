//! The port that a `hauld --stdio` opens for its client: who comes in, for how long, and what stays.

use haul_tests::hauld::hauld_command;
use haul_tests::peer::Peer;
use haul_tests::prelude::*;
use haul_tests::stdio::{Stdio, host, is_left};
use haul_tests::tls::{TlsPeer, hello_of};

/// As sshd tells it.
const CONNECTION: &str = "127.0.0.1 50000 127.0.0.1 22";

fn root() -> (TempDir, PathBuf) {
    let place = TempDir::new().unwrap();
    let root = place.path().join("root");
    (place, root)
}

/// A server for a client that has come by this connection.
fn start(connection: &str) -> Stdio {
    let mut command = hauld_command();
    command.env("SSH_CONNECTION", connection);
    Stdio::of(command, &[])
}

/// A server of this root, and its offer.
fn offered(root: &Path) -> (Stdio, String, String) {
    let mut stdio = start(CONNECTION);
    let answer = stdio.greet(&json!({"root": root, "make": true, "direct": true}));
    let text = |field: &str| answer["direct"][field].as_str().unwrap().to_owned();
    assert!(text("pin").starts_with("haul1-"), "{answer}");
    (stdio, text("address"), text("token"))
}

/// A peer that has shown this token.
fn comes_in(address: &str, token: &str) -> (TlsPeer, Value) {
    comes_in_as(address, token, 1)
}

/// The same with this slot of the client.
fn comes_in_as(address: &str, token: &str, slot: u64) -> (TlsPeer, Value) {
    let mut peer = TlsPeer::connect(address);
    let mut hello = hello_of("one");
    (hello["token"], hello["slot"]) = (token.into(), slot.into());
    let answer = peer.ask(&hello, b"");
    (peer, answer)
}

fn is_closed(address: &str) -> bool {
    Peer::connect(address).is_err()
}

#[test]
fn client_comes_in_by_its_token_as_often_as_it_wants_and_ends_with_its_life_line() {
    let (_place, root) = root();
    let (mut stdio, address, token) = offered(&root);
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    stdio.hello("one");
    let (mut first, answer) = comes_in(&address, &token);
    assert_eq!((&answer["hello"], &answer["account"]), (&json!(1), &Value::Null), "{answer}");
    let (mut second, _) = comes_in_as(&address, &token, 2);
    first.put(1, "a", b"1");
    second.put(1, "b", b"2");
    stdio.put(1, "c", b"3");
    for name in ["a", "b", "c"] {
        assert!(root.join(name).exists(), "{name}");
    }
    stdio.end().is_well();
    assert!(first.try_receive().is_err() && second.try_receive().is_err());
    eventually("the port is closed", || is_closed(&address));
    is_left(&root);
}

#[test]
fn process_that_relays_and_is_killed_takes_the_direct_connections_with_it() {
    let (_place, root) = root();
    let (mut stdio, address, token) = offered(&root);
    stdio.hello("one");
    let (mut peer, _) = comes_in(&address, &token);
    stdio.child.kill().unwrap();
    assert!(peer.try_receive().is_err());
    eventually("the port is closed", || is_closed(&address));
    is_left(&root);
}

#[test]
fn nobody_else_comes_in() {
    let (_place, root) = root();
    let (mut stdio, address, token) = offered(&root);
    let other = format!("{}{}", &token[..20], "A".repeat(token.len() - 20));
    for token in ["", "x", &other] {
        let (_, answer) = comes_in(&address, token);
        assert_eq!(answer["code"], "unauthorized", "{answer}");
    }
    let answer = TlsPeer::connect(&address).say_hello();
    assert_eq!(answer["code"], "unauthorized", "{answer}");
    // The classic dialect, HTTP, and everything without TLS.
    let mut classic = TlsPeer::connect(&address);
    classic.stream.write_all(&haul_tests::peer::classic("classic", b"x")).unwrap();
    assert!(classic.try_receive().is_err());
    for bearer in ["", &format!("Authorization: Bearer {token}\r\n")] {
        let mut http = TlsPeer::connect(&address);
        let request =
            format!("PUT /http HTTP/1.1\r\nHost: {address}\r\n{bearer}Content-Length: 1\r\n\r\nx");
        http.stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 12];
        http.stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 401");
    }
    let mut plain = Peer::connect(&address).unwrap();
    let answer = plain.say_hello("one", 0, None);
    assert!(answer.is_err() || answer.as_ref().is_ok_and(|it| it["code"] == "tls"), "{answer:?}");
    stdio.hello("one");
    stdio.end().is_well();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
}

#[test]
fn client_that_only_reads_changes_nothing_by_any_way() {
    let (_place, root) = root();
    fs::create_dir(&root).unwrap();
    let mut stdio = start(CONNECTION);
    let answer = stdio.greet(&json!({"root": root, "change": false, "direct": true}));
    let text = |field: &str| answer["direct"][field].as_str().unwrap();
    let (mut peer, _) = comes_in(text("address"), text("token"));
    let refusal = peer.ask(&haul_tests::peer::put(1, "f", b"x"), b"x");
    assert_eq!(refusal["code"], "permission", "{refusal}");
    stdio.end().is_well();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
}

#[test]
fn port_and_those_who_show_nothing_end_after_ten_seconds_and_the_client_goes_on() {
    let (_place, root) = root();
    let (mut stdio, address, token) = offered(&root);
    stdio.hello("one");
    let (mut client, _) = comes_in(&address, &token);
    let mut stranger = TlsPeer::connect(&address);
    let started = Instant::now();
    assert!(stranger.try_receive().is_err());
    assert!(started.elapsed() > Duration::from_secs(5));
    eventually("the port is closed", || is_closed(&address));
    client.put(1, "a", b"1");
    stdio.put(1, "b", b"2");
    stdio.end().is_well();
    is_left(&root);
}

#[test]
fn there_is_no_way_that_nobody_has_asked_for_or_that_no_address_is_known_for() {
    let wish = |direct: bool, connection: &str| {
        let (_place, root) = root();
        let mut stdio = start(connection);
        let answer = stdio.greet(&json!({"root": root, "make": true, "direct": direct}));
        assert_eq!(answer["error"], Value::Null, "{answer}");
        stdio.end().is_well();
        answer["direct"].is_object()
    };
    assert!(wish(true, CONNECTION) && !wish(false, CONNECTION));
    // The last one is no address of this machine (RFC 5737).
    for connection in
        ["", "UNKNOWN 65535 UNKNOWN 65535", "a 1 0.0.0.0 22", "a 1 :: 22", "a 1 192.0.2.1 22"]
    {
        assert!(!wish(true, connection), "{connection}");
    }
}

#[test]
fn one_that_joins_has_no_way_of_its_own() {
    let (_place, root) = root();
    let mut first = Stdio::serving(&root, "first");
    let mut second = start(CONNECTION);
    let answer = second.greet(&json!({"root": root, "direct": true}));
    assert_eq!((&answer["joined"], &answer["direct"]), (&json!(true), &Value::Null), "{answer}");
    second.end().is_well();
    first.put(1, "f", b"x");
    first.end().is_well();
}

#[test]
fn token_is_in_no_argument_environment_or_log() {
    let (_place, root) = root();
    let mut command = hauld_command();
    command.env("SSH_CONNECTION", CONNECTION).env("HAULD_LOG", "trace").env("RUST_LOG", "trace");
    let mut stdio = Stdio::of(command, &[]);
    let answer = stdio.greet(&json!({"root": root, "make": true, "direct": true}));
    let token = answer["direct"]["token"].as_str().unwrap().to_owned();
    let secret = &token.as_bytes()[14..];
    stdio.hello("one");
    let address = answer["direct"]["address"].as_str().unwrap();
    let (mut peer, _) = comes_in(address, &token);
    peer.put(1, "f", b"x");
    for process in [i32::try_from(stdio.child.id()).unwrap(), host(&root)] {
        for file in ["cmdline", "environ"] {
            let text = fs::read(format!("/proc/{process}/{file}")).unwrap();
            assert!(!text.windows(secret.len()).any(|it| it == secret), "{process} {file}");
        }
    }
    let end = stdio.end();
    assert!(!end.error.contains(std::str::from_utf8(secret).unwrap()), "{}", end.error);
}
