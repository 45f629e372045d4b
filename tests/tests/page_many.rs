//! Many files in one request (docs/http.md): rows of them, and an answer for each.

use haul_tests::http::{Reply, ask};
use haul_tests::prelude::*;

fn rows(entries: &[(Value, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (line, bytes) in entries {
        body.extend(format!("{line}\n").bytes());
        body.extend_from_slice(bytes);
    }
    body
}

fn post(address: &str, first: &str, fields: &str, body: &[u8]) -> Reply {
    let media = "Content-Type: application/vnd.haul.rows\r\n";
    let fields = format!("{media}Content-Length: {}\r\n{fields}", body.len());
    ask(address, &format!("POST /.haul/many{first}"), &fields, body)
}

fn told(reply: &Reply) -> Vec<Value> {
    assert_eq!((reply.status, reply.field("Content-Type")), (200, "application/json"), "{reply:?}");
    let answer: Value = serde_json::from_slice(&reply.body).unwrap();
    answer["entries"].as_array().unwrap().clone()
}

fn statuses(reply: &Reply) -> Vec<u64> {
    told(reply).iter().map(|entry| entry["status"].as_u64().unwrap()).collect()
}

#[test]
fn rows_of_files_and_directories_are_stored_and_each_is_answered() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        let body = rows(&[
            (json!({"name": "a", "size": 3, "mtime": 1_000_000_000}), b"one"),
            (json!({"name": "deep/ünï <b>\n", "size": 0}), b""),
            (json!({"name": "empty"}), b""),
        ]);
        let reply = post(server.address(), "?to=/in%20d/", "", &body);
        assert_eq!(statuses(&reply), [201, 201, 201], "{}", reply.text());
        let body = rows(&[
            (json!({"name": "empty"}), b""),
            (json!({"name": "a", "size": 3, "replace": true}), b"two"),
        ]);
        let reply = post(server.address(), "?to=/in%20d/", "", &body);
        assert_eq!(statuses(&reply), [204, 204], "{}", reply.text());
        let at = |name: &str| server.root().join("in d").join(name);
        assert_eq!(fs::read(at("a")).unwrap(), b"two");
        assert_eq!(fs::read(at("deep/ünï <b>\n")).unwrap(), b"");
        assert_eq!(fs::read_dir(at("empty")).unwrap().count(), 0);
        let body = rows(&[(json!({"name": "b", "size": 1, "mtime": 1_000_000_000}), b"1")]);
        assert_eq!(statuses(&post(server.address(), "?to=/", "", &body)), [201]);
        let modified = fs::metadata(server.root().join("b")).unwrap().modified().unwrap();
        let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_secs(), 1_000_000_000);
    }
}

#[test]
fn entry_that_is_refused_says_why_and_the_others_are_stored() {
    let server = server_with(&["--max-file", "1000"]);
    fs::create_dir(server.root().join("d")).unwrap();
    fs::write(server.root().join("a"), "1").unwrap();
    fs::write(server.root().join("b"), "8").unwrap();
    let line = |name: &str| json!({"name": name, "size": 1});
    let deep = "a/".repeat(40) + "x";
    let long = [0; 1001];
    let body = rows(&[
        (line("new"), b"1"),
        (line("a"), b"2"),
        (line("../x"), b"3"),
        (line(".haul/x"), b"4"),
        (line("d"), b"5"),
        (line(&deep), b"6"),
        (json!({"name": "long", "size": 1001}), &long),
        (line("a/below a file"), b"7"),
        (line("last"), b"8"),
        (json!({"name": "b"}), b""),
    ]);
    let reply = post(server.address(), "?to=/", "", &body);
    assert_eq!(statuses(&reply), [201, 409, 400, 400, 409, 501, 413, 409, 201, 409]);
    let told = told(&reply);
    assert_eq!(told[1]["found"]["size"], 1, "{}", reply.text());
    assert!(told[1]["found"]["mtime"].as_i64().unwrap() > 1_700_000_000);
    assert!(told[4]["why"].as_str().unwrap().contains("directory") && told[4]["found"].is_null());
    for (name, bytes) in [("a", b"1"), ("new", b"1"), ("b", b"8"), ("last", b"8")] {
        assert_eq!(fs::read(server.root().join(name)).unwrap(), bytes, "{name}");
    }
    assert!(!server.root().parent().unwrap().join("x").exists());
}

#[test]
fn rows_that_are_none_are_refused_as_a_whole() {
    let server = server();
    let status = |first: &str, body: &[u8]| post(server.address(), first, "", body).status;
    let one = rows(&[(json!({"name": "a", "size": 1}), b"1")]);
    assert_eq!(status("?to=/", &one[..one.len() - 1]), 400);
    assert_eq!(status("?to=/", b"{}\n"), 400);
    assert_eq!(status("?to=/", b"no line"), 400);
    for first in ["", "?to=", "?to=a", "?to=//a", "?to=/..", "?to=/a%2fb"] {
        assert_eq!(status(first, &one), 400, "{first}");
    }
    assert_eq!(status("?to=/.haul/", &one), 404);
    assert_eq!(status("/x?to=/", &one), 404);
    let ask = |fields: &str| ask(server.address(), "POST /.haul/many?to=/", fields, &one).status;
    let length = format!("Content-Length: {}\r\n", one.len());
    // A page of another server can send this type without asking.
    assert_eq!(ask(&format!("{length}Content-Type: text/plain\r\n")), 415);
    let foreign = "Content-Type: application/vnd.haul.rows\r\nOrigin: http://evil.example\r\n";
    assert_eq!(ask(&format!("{length}{foreign}")), 403);
    assert!(!server.root().join("a").exists());
    assert_eq!(post(server.address(), "?to=/", "", b"").text(), "{\"entries\":[\n]}\n");
}

/// Thousands of entries of one request wait neither in memory nor for one another, and others are served meanwhile.
#[test]
fn thousands_of_files_come_in_one_request() {
    let server = server();
    let mut body = Vec::new();
    for number in 0..4096 {
        let bytes = number.to_string().repeat(number % 50);
        body.extend(rows(&[(
            json!({"name": format!("{}/{number}", number % 10), "size": bytes.len()}),
            bytes.as_bytes(),
        )]));
    }
    let reply = post(server.address(), "?to=/many", "", &body);
    let statuses = statuses(&reply);
    assert!(statuses.len() == 4096 && statuses.iter().all(|status| *status == 201), "{statuses:?}");
    for number in [0, 49, 4095] {
        let name = format!("many/{}/{number}", number % 10);
        let bytes = fs::read_to_string(server.root().join(name)).unwrap();
        assert_eq!(bytes, number.to_string().repeat(number % 50));
    }
    let one_more = rows(&[(json!({"name": "x"}), b"")]);
    assert_eq!(post(server.address(), "?to=/many", "", &one_more.repeat(4097)).status, 413);
}

#[test]
fn rights_and_quotas_hold_for_each_entry() {
    let accounts = Accounts::start(&[
        "writer --rights put,list",
        "reader --rights get,list",
        "small --root small --rights mirror --quota-bytes 1MB",
        "blind --rights put,replace",
    ]);
    // The files of the account are counted before its client is greeted.
    drop(accounts.peer("small"));
    let of = |name: &str, entries: &[(Value, &[u8])]| {
        let fields = format!("Authorization: Bearer {}\r\n", accounts.token(name));
        post(accounts.server.address(), "?to=/", &fields, &rows(entries))
    };
    fs::write(accounts.at("writer/there"), "old").unwrap();
    fs::write(accounts.at("blind/there"), "old").unwrap();
    let there = || (json!({"name": "there", "size": 3, "replace": true}), &b"new"[..]);
    assert_eq!(
        statuses(&of("writer", &[there(), (json!({"name": "new", "size": 0}), b"")])),
        [409, 201]
    );
    assert_eq!(accounts.text("writer/there"), "old");
    assert_eq!(of("reader", &[there()]).status, 403);
    // It may not learn whether an entry was there.
    assert_eq!(
        statuses(&of("blind", &[there(), (json!({"name": "new", "size": 0}), b"")])),
        [201, 201]
    );
    assert_eq!(accounts.text("blind/there"), "new");
    // One that it wishes to keep stays, though it learns only then that it is there.
    assert_eq!(statuses(&of("blind", &[(json!({"name": "there", "size": 3}), b"bad")])), [409]);
    assert_eq!(accounts.text("blind/there"), "new");
    let large = vec![1; 600_000];
    let line = |name: &str| json!({"name": name, "size": 600_000});
    let reply = of(
        "small",
        &[(line("one"), &large), (line("two"), &large), (json!({"name": "s", "size": 1}), b"1")],
    );
    assert_eq!(statuses(&reply), [201, 507, 201], "{}", reply.text());
    assert!(!accounts.at("small/two").exists());
}
