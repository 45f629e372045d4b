//! `hauld status`: who is connected and what is under way, told to the owner of the root.

use haul_tests::prelude::*;

fn status(server: &Hauld, words: &[&str]) -> Output {
    let mut hauld = hauld_command();
    output_of(hauld.arg("status").arg("--root").arg(server.root()).args(words))
}

fn json_of(server: &Hauld) -> Value {
    let output = status(server, &["--json"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text_of(server: &Hauld) -> String {
    let output = status(server, &[]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn connections_uploads_and_disk_are_told() {
    let server = server();
    let mut upload = Upload::open(&server, &Large::new(3)).unwrap();
    let mut peer = server.peer();
    assert_eq!(peer.ask(&put(1, "x", b"hello"), b"hello").unwrap()["ack"], 1);
    let told = json_of(&server);
    assert_eq!(told["connections"], 2);
    assert_eq!(told["pid"], server.pid());
    assert_eq!(told["not_ready"], json!([]));
    assert!(told["disk"]["free_bytes"].as_u64().unwrap() > 0, "{told}");
    let uploads = &told["uploads"];
    assert_eq!(
        (&uploads[0]["name"], &uploads[0]["size"]),
        (&json!("dir/large"), &json!(2 * PART + 5))
    );
    let listed = told["listed"].as_array().unwrap();
    let putting = listed.iter().find(|connection| connection["last"] == "put").unwrap();
    assert_eq!((&putting["dialect"], &putting["tls"]), (&json!("haul"), &json!(false)));
    assert!(putting["received_bytes"].as_u64().unwrap() > 5, "{putting}");
    assert!(putting["sent_bytes"].as_u64().unwrap() > 5, "{putting}");
    assert!(putting["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{putting}");
    let text = text_of(&server);
    for said in ["ready, up ", "2 of ", "dir/large", "PEER", "127.0.0.1:", "haul"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    let _ = upload.peer.ask(&json!({"cmd": "ping", "id": upload.id + 1}), b"").unwrap();
}

#[test]
fn account_is_told_and_no_word_of_a_client_moves_the_terminal() {
    let accounts = Accounts::start(&["alice"]);
    let mut hello = accounts.hello("alice", "client");
    hello["agent"] = json!("evil\u{1b}[2J\u{9b}1m\nfake");
    let (mut peer, answer) = accounts.greeted(&hello);
    assert_eq!(answer["account"]["name"], "alice", "{answer}");
    let open = json!({
        "cmd": "open", "id": 1, "filename": "a\u{1b}[31mb", "filesize": 3_000_000, "fingerprint": "f",
    });
    assert!(peer.ask(&open, b"").unwrap()["upload"].is_string());
    let told = json_of(&accounts.server);
    assert_eq!(told["listed"][0]["account"], "alice");
    let text = text_of(&accounts.server);
    assert!(text.contains("alice") && text.contains("[31mb"), "{text}");
    let output = status(&accounts.server, &["--json"]);
    let said = String::from_utf8(output.stdout).unwrap();
    for text in [text, said] {
        let is_control = |letter: char| letter.is_control() && letter != '\n';
        assert!(!text.contains(is_control), "{text:?}");
    }
}

#[test]
fn root_that_nobody_serves_is_told() {
    let mut server = server();
    server.signal(Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    assert!(!server.root().join(".haul/status").exists());
    let output = status(&server, &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("is not served by a hauld that this user may ask"), "{said}");
}

/// The metrics of a server and its state have different readers.
#[test]
fn status_is_not_told_at_the_address_of_metrics() {
    let server = server_with(&["--metrics", "127.0.0.1:0"]);
    let log = server.log_text();
    let line = log.lines().find(|line| line.contains("tells metrics")).unwrap();
    let address = line.rsplit_once("address=").unwrap().1.trim();
    assert_eq!(haul_tests::http::ask(address, "GET /status", "", b"").status, 404);
    assert_eq!(mode(server.root().join(".haul/status")) & 0o077, 0);
}

#[test]
fn server_that_was_killed_is_followed_by_one_that_tells() {
    let mut server = server();
    server.signal(Signal::KILL).unwrap();
    server.wait().unwrap();
    let root = server.root().to_owned();
    let next = Hauld::start_at(&root, &server.log, hauld_command(), &[]).unwrap();
    server.becomes(next);
    assert_eq!(json_of(&server)["pid"], server.pid());
}
