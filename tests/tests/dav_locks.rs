//! Locks of WebDAV are a formality: they are given, and hold nobody up.

use haul_tests::http::{Reply, ask};
use haul_tests::prelude::*;

const LOCK: &str = "<D:lockinfo xmlns:D='DAV:'><D:lockscope><D:exclusive/></D:lockscope><D:locktype>\
                    <D:write/></D:locktype><D:owner>me &amp; you</D:owner></D:lockinfo>";

fn send(server: &Hauld, first: &str, fields: &str, body: &str) -> Reply {
    let fields = format!("{fields}Content-Length: {}\r\n", body.len());
    ask(server.address(), first, &fields, body.as_bytes())
}

/// The requests of Finder and Windows when they save a file.
#[test]
fn client_that_locks_what_it_writes_can_write_it() {
    let server = server();
    let file = "/.haul/dav/f";
    assert_eq!(send(&server, &format!("PROPFIND {file}"), "Depth: 0\r\n", "").status, 404);
    assert_eq!(send(&server, &format!("PUT {file}"), "", "").status, 201);
    let timeout = "Timeout: Second-600\r\nDepth: infinity\r\n";
    let locked = send(&server, &format!("LOCK {file}"), timeout, LOCK);
    let text = locked.text();
    assert_eq!(locked.status, 200, "{text}");
    let token = locked.field("Lock-Token").to_owned();
    assert!(token.starts_with("<opaquelocktoken:") && token.len() == 54, "{token}");
    for part in [
        token.trim_matches(['<', '>']),
        "<D:timeout>Second-600</D:timeout>",
        "<D:depth>infinity</D:depth>",
        "me &amp; you",
        "<D:lockroot><D:href>/.haul/dav/f</D:href>",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let with = format!("If: ({token})\r\n");
    assert_eq!(send(&server, &format!("PUT {file}"), &with, "bytes").status, 204);
    let again = send(&server, &format!("LOCK {file}"), &format!("{with}Timeout: Infinite\r\n"), "");
    assert_eq!((again.status, again.field("Lock-Token")), (200, &*token));
    assert!(again.text().contains("Second-3600"), "{}", again.text());
    // Nobody else is held up, and nothing is kept of it.
    assert_eq!(send(&server, &format!("PUT {file}"), "", "others").status, 204);
    let found = send(&server, &format!("PROPFIND {file}"), "Depth: 0\r\n", "").text();
    assert!(found.contains("<D:lockdiscovery/>"), "{found}");
    let fields = format!("Lock-Token: {token}\r\n");
    assert_eq!(send(&server, &format!("UNLOCK {file}"), &fields, "").status, 204);
    assert_eq!(fs::read(server.root().join("f")).unwrap(), b"others");
    // A lock makes no entry.
    assert_eq!(send(&server, "LOCK /.haul/dav/new", "", LOCK).status, 200);
    assert!(!server.root().join("new").exists());
}

#[test]
fn locks_and_conditions_that_can_not_be_are_refused() {
    let server = server();
    fs::write(server.root().join("f"), "before").unwrap();
    let shared = LOCK.replace("exclusive", "shared");
    for (first, fields, body, status) in [
        ("LOCK /f", "", &*shared, 403),
        ("LOCK /f", "", "", 400),
        ("LOCK /f", "If: (Not <DAV:no-lock>)\r\n", "", 400),
        ("LOCK /f", "Depth: 1\r\n", LOCK, 400),
        ("UNLOCK /f", "", "", 400),
        ("UNLOCK /f", "Lock-Token: x\r\n", "", 400),
        ("PUT /f", "If: (<DAV:no-lock>)\r\n", "2", 412),
        ("PUT /f", "If: (\r\n", "2", 400),
        // As for If-Match: the store can't keep it while others change the file.
        ("PUT /f", "If: ([\"x\"])\r\n", "2", 501),
        ("DELETE /f", "If: (<DAV:no-lock>)\r\n", "", 412),
        ("MOVE /f", "If: (<DAV:no-lock>)\r\nDestination: /g\r\n", "", 412),
        ("COPY /f", "If: (<DAV:no-lock>)\r\nDestination: /g\r\n", "", 412),
    ] {
        let reply = send(&server, first, fields, body);
        assert_eq!(reply.status, status, "{first} {fields}: {}", reply.text());
    }
    assert_eq!(fs::read(server.root().join("f")).unwrap(), b"before");
    assert!(!server.root().join("g").exists());
}
