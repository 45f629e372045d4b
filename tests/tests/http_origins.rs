//! Pages of other servers that the owner lets ask (`--http-origin`): what their browsers are told, and what they may do.

use haul_tests::http::{Reply, ask};
use haul_tests::prelude::*;
use haul_tests::tus::{TUS, metadata};

const NAMED: &str = "Origin: https://app.example\r\n";
const OTHER: &str = "Origin: https://evil.example\r\n";

fn named() -> Hauld {
    server_with(&["--http-origin", "https://app.example,http://127.0.0.1:3000"])
}

fn allowed(reply: &Reply) -> &str {
    reply.field("Access-Control-Allow-Origin")
}

/// A question of a browser whether a page may send a request.
fn preflight(address: &str, path: &str, origin: &str, method: &str) -> Reply {
    let fields = format!(
        "{origin}Access-Control-Request-Method: {method}\r\nAccess-Control-Request-Headers: authorization,content-type\r\n"
    );
    ask(address, &format!("OPTIONS {path}"), &fields, b"")
}

#[test]
fn page_of_a_named_origin_may_ask_and_read_and_all_others_may_not() {
    let server = named();
    let put = |origin: &str| {
        ask(server.address(), "PUT /a", &format!("Content-Length: 1\r\n{origin}"), b"1")
    };
    for (path, method) in [("/a", "PUT"), ("/.haul/tus/", "POST"), ("/.haul/dav/a", "PROPFIND")] {
        let reply = preflight(server.address(), path, NAMED, method);
        assert_eq!((reply.status, allowed(&reply)), (204, "https://app.example"), "{}", reply.head);
        let has = |field: &str, word: &str| {
            reply.field(field).split(", ").any(|found| found.eq_ignore_ascii_case(word))
        };
        assert!(has("Access-Control-Allow-Methods", method), "{}", reply.head);
        for field in
            ["Authorization", "Content-Type", "Tus-Resumable", "Upload-Offset", "X-OC-Mtime"]
        {
            assert!(has("Access-Control-Allow-Headers", field), "{}", reply.head);
        }
        assert_eq!(
            (reply.field("Vary"), reply.field("Access-Control-Max-Age")),
            ("Origin", "7200")
        );
        // No cookie, and so no word of one.
        assert_eq!(reply.field("Access-Control-Allow-Credentials"), "");
    }
    let reply = put(NAMED);
    assert_eq!((reply.status, allowed(&reply)), (201, "https://app.example"));
    let reply = ask(server.address(), "GET /a", NAMED, b"");
    assert_eq!((reply.status, allowed(&reply)), (200, "https://app.example"));
    assert!(reply.field("Access-Control-Expose-Headers").contains("ETag"), "{}", reply.head);
    assert_eq!(reply.field("Vary"), "Origin");
    // It may read a refusal, too.
    assert_eq!(allowed(&ask(server.address(), "GET /none", NAMED, b"")), "https://app.example");
    let fields = format!("{TUS}{NAMED}Upload-Length: 0\r\n{}", metadata(&[("filename", "t")]));
    let reply = ask(server.address(), "POST /.haul/tus/", &fields, b"");
    assert_eq!((reply.status, allowed(&reply)), (201, "https://app.example"));
    assert!(reply.field("Access-Control-Expose-Headers").contains("Location"));
    for origin in [
        OTHER,
        "Origin: null\r\n",
        "Origin: http://app.example\r\n",
        "Origin: https://app.example:8443\r\n",
    ] {
        let reply = preflight(server.address(), "/a", origin, "PUT");
        assert_eq!(
            (allowed(&reply), reply.field("Access-Control-Allow-Methods")),
            ("", ""),
            "{origin}"
        );
        let reply = put(origin);
        assert_eq!((reply.status, allowed(&reply)), (403, ""), "{origin}");
        let reply = ask(server.address(), "GET /a", origin, b"");
        // A cache must not give this answer to the page of another origin.
        assert_eq!((reply.status, allowed(&reply), reply.field("Vary")), (200, "", "Origin"));
    }
}

#[test]
fn nothing_is_shared_by_default() {
    let server = server();
    for origin in [NAMED, "Origin: http://localhost\r\n"] {
        for path in ["/", "/.haul/tus/"] {
            let reply = preflight(server.address(), path, origin, "PUT");
            let words = ["Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Vary"];
            assert_eq!((reply.status, words.map(|word| reply.field(word))), (204, ["", "", ""]));
        }
    }
    for wrong in ["*", "app.example", "https://app.example/path", "null"] {
        let output =
            hauld_command().args(["--http-origin", wrong, "config", "show"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}: {output:?}");
    }
}

/// The cookie of the server's own page is no proof of another page, which might be one of the same site.
#[test]
fn page_of_a_named_origin_needs_a_token_of_its_own() {
    let accounts = Accounts::start_with(
        &["--http-origin", "https://app.example"],
        &["alice --rights put,replace,delete,list,get"],
    );
    let address = accounts.server.address();
    let form = format!("token={}", accounts.token("alice"));
    let log_in = |origin: &str| {
        let fields = format!(
            "{origin}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            form.len()
        );
        ask(address, "POST /.haul/login", &fields, form.as_bytes())
    };
    // Nobody logs in here by a form of another page.
    assert_eq!(log_in(NAMED).status, 403);
    let reply = log_in("");
    assert_eq!(reply.status, 303, "{}", reply.head);
    let cookie = reply.field("Set-Cookie").split(';').next().unwrap().to_owned();
    let put =
        |fields: &str| ask(address, "PUT /a", &format!("Content-Length: 1\r\n{fields}"), b"1");
    // Without a token; a preflight needs none.
    assert_eq!(preflight(address, "/a", NAMED, "PUT").status, 204);
    let reply = put(NAMED);
    assert_eq!((reply.status, allowed(&reply)), (401, "https://app.example"));
    assert_eq!(put(&format!("{NAMED}Cookie: {cookie}\r\n")).status, 401);
    assert_eq!(put(&format!("Cookie: {cookie}\r\n")).status, 201);
    let token = format!("{NAMED}Authorization: Bearer {}\r\n", accounts.token("alice"));
    assert_eq!(put(&token).status, 204);
}
