//! Accounts, rights and quotas hold for clients of HTTP as for all others.

use haul_tests::http::{HttpPeer, Reply, ask, curl, curled};
use haul_tests::prelude::*;

/// The rights of an account that may do everything but publish.
const ALL: &str = "--rights put,replace,delete,list,get";

/// A request of an account, with its token as Bearer.
fn of(accounts: &Accounts, name: &str, first: &str, fields: &str, body: &[u8]) -> Reply {
    let fields = format!("Authorization: Bearer {}\r\n{fields}", accounts.token(name));
    ask(accounts.server.address(), first, &fields, body)
}

#[test]
fn client_without_a_right_token_is_asked_for_one() {
    let accounts = Accounts::start(&[&format!("alice {ALL}"), "bob"]);
    let address = accounts.server.address();
    let none = ask(address, "GET /", "", b"");
    assert_eq!(none.status, 401);
    assert!(none.head.contains("WWW-Authenticate: Basic realm=\"haul\""), "{}", none.head);
    assert!(none.head.contains("WWW-Authenticate: Bearer"), "{}", none.head);
    let url = format!("http://{address}/a");
    let (alice, bob) = (accounts.token("alice"), accounts.token("bob"));
    let put = |user: &str| {
        let words = ["-u", user, "-T", "-", "-o", "/dev/null", "-w", "%{http_code}", &url];
        String::from_utf8(curled(&words)).unwrap()
    };
    assert_eq!(put(&format!("alice:{alice}")), "201");
    assert_eq!(put(&format!(":{alice}")), "204");
    // The token of another account, and none.
    assert_eq!(put(&format!("alice:{bob}")), "401");
    assert_eq!(put("alice:password"), "401");
    let got = curl(&["--fail", "--oauth2-bearer", alice, &url]);
    assert!(got.status.success(), "{got:?}");
    let log = accounts.server.log_text();
    assert!(!log.contains(&alice[14..]) && log.contains("logged in"), "{log}");
}

#[test]
fn failed_logins_are_counted_as_those_of_haul() {
    let accounts = Accounts::start(&["alice"]);
    let mut told = 0;
    loop {
        let mut peer = HttpPeer::connect(accounts.server.address());
        peer.ask("GET /", "Authorization: Bearer haul_nobody\r\n", b"");
        let text = String::from_utf8(peer.end()).unwrap();
        if text.is_empty() {
            break;
        }
        assert!(text.starts_with("HTTP/1.1 401 "), "{text}");
        told += 1;
        assert!(told < 50);
    }
    assert_eq!(told, 10);
    // Whoever has an account comes in all the same.
    assert_eq!(of(&accounts, "alice", "GET /", "", b"").status, 200);
}

#[test]
fn accounts_see_their_own_roots_also_over_one_connection() {
    let accounts = Accounts::start(&[&format!("alice {ALL}"), &format!("bob {ALL}")]);
    let mut peer = HttpPeer::connect(accounts.server.address());
    let mut ask = |name: &str, first: &str, body: &[u8]| {
        let token = accounts.token(name);
        let fields = format!("Authorization: Bearer {token}\r\nContent-Length: {}\r\n", body.len());
        peer.ask(first, &fields, body);
        peer.receive()
    };
    assert_eq!(ask("alice", "PUT /a", b"of alice").status, 201);
    assert_eq!(ask("bob", "GET /a", b"").status, 404);
    assert_eq!(ask("bob", "PUT /a", b"of bob").status, 201);
    assert_eq!(ask("alice", "GET /a", b"").body, b"of alice");
    assert_eq!(ask("bob", "GET /../alice/a", b"").status, 400);
    assert!(ask("bob", "GET /", b"").text().contains("./a"));
    // Nobody's request comes after them.
    peer.ask("GET /a", "", b"");
    assert_eq!(peer.receive().status, 401);
    assert_eq!(accounts.text("alice/a"), "of alice");
    assert_eq!(accounts.text("bob/a"), "of bob");
}

#[test]
fn rights_hold_for_every_method() {
    let accounts = Accounts::start(&[
        "reader --rights get,list",
        "lister --rights list",
        "writer --rights put,list,get",
        "blind --rights put,replace,delete",
    ]);
    for name in ["reader", "lister", "writer", "blind"] {
        fs::write(accounts.at(&format!("{name}/f")), "1").unwrap();
    }
    let status = |name: &str, first: &str| {
        let fields = "Content-Length: 1\r\nDestination: /g\r\n";
        of(&accounts, name, first, fields, b"2").status
    };
    for (name, first, expected) in [
        ("reader", "GET /f", 200),
        ("reader", "GET /", 200),
        ("reader", "PUT /new", 403),
        ("reader", "DELETE /f", 403),
        ("reader", "MKCOL /d", 403),
        ("reader", "MOVE /f", 403),
        ("lister", "GET /", 200),
        ("lister", "GET /f", 403),
        ("writer", "PUT /new", 201),
        // It may replace nothing.
        ("writer", "PUT /f", 409),
        ("writer", "DELETE /f", 403),
        ("writer", "MOVE /f", 403),
        // It is told the same whether an entry stands there or not.
        ("blind", "PUT /new", 201),
        ("blind", "PUT /new", 201),
        ("blind", "DELETE /new", 204),
        ("blind", "DELETE /new", 204),
        ("blind", "GET /f", 403),
    ] {
        assert_eq!(status(name, first), expected, "{name}: {first}");
    }
    for name in ["reader", "lister", "writer"] {
        assert_eq!(accounts.text(&format!("{name}/f")), "1");
    }
}

#[test]
fn drop_account_puts_and_learns_nothing() {
    let accounts = Accounts::start(&["box --rights put"]);
    let put = || of(&accounts, "box", "PUT /a", "Content-Length: 1\r\n", b"1").status;
    // Each has a directory of its own.
    assert_eq!((put(), put()), (201, 201));
    for first in ["GET /", "GET /a", "DELETE /a", "HEAD /a"] {
        assert_eq!(of(&accounts, "box", first, "", b"").status, 403, "{first}");
    }
    assert_eq!(fs::read_dir(accounts.at("box")).unwrap().count(), 2);
}

#[test]
fn quota_holds_whether_the_size_is_told_or_not() {
    let accounts = Accounts::start(&["alice --root alice --rights mirror --quota-bytes 1MB"]);
    let put = |fields: &str, body: &[u8]| of(&accounts, "alice", "PUT /a", fields, body);
    // The answer to hello waits until the files of the account are counted.
    drop(accounts.peer("alice"));
    let reply = put("Content-Length: 2000000\r\nExpect: 100-continue\r\n", b"");
    assert!(reply.status == 507 && reply.text().contains("quota"), "{}", reply.text());
    let piece = [&b"186a0\r\n"[..], &[1; 100_000], b"\r\n"].concat();
    let body = |pieces: usize| [&piece.repeat(pieces)[..], b"0\r\n\r\n"].concat();
    assert_eq!(put("Transfer-Encoding: chunked\r\n", &body(11)).status, 507);
    assert!(!accounts.at("alice/a").exists());
    assert_eq!(put("Transfer-Encoding: chunked\r\n", &body(9)).status, 201);
    assert_eq!(fs::metadata(accounts.at("alice/a")).unwrap().len(), 900_000);
}

#[test]
fn connections_of_an_account_count_whatever_they_speak() {
    let accounts = Accounts::start(&["alice --connections 1", "bob"]);
    let mut first = HttpPeer::connect(accounts.server.address());
    let ask = |peer: &mut HttpPeer, name: &str| {
        peer.ask("GET /", &format!("Authorization: Bearer {}\r\n", accounts.token(name)), b"");
        peer.receive()
    };
    assert_eq!(ask(&mut first, "alice").status, 200);
    let reply = of(&accounts, "alice", "GET /", "", b"");
    assert!(reply.status == 503 && reply.text().contains("connection"), "{}", reply.text());
    // A connection that goes on for another account gives its seat back.
    assert_eq!(ask(&mut first, "bob").status, 200);
    assert_eq!(of(&accounts, "alice", "GET /", "", b"").status, 200);
}

/// A root that is gone is not made anew by whoever comes first: nobody is to mistake it for an empty one.
#[test]
fn account_whose_root_is_gone_is_told_so() {
    let accounts = Accounts::start(&["alice"]);
    fs::remove_dir(accounts.at("alice")).unwrap();
    let fields = "Content-Length: 1\r\n";
    let reply = of(&accounts, "alice", "PUT /a", fields, b"1");
    assert!(
        reply.status == 503 && reply.text().contains("root of this account"),
        "{}",
        reply.text()
    );
    assert!(!accounts.at("alice").exists());
}

#[test]
fn account_that_is_removed_has_its_connections_no_more() {
    let accounts = Accounts::start(&["alice", "bob"]);
    let mut peer = HttpPeer::connect(accounts.server.address());
    let fields = format!("Authorization: Bearer {}\r\n", accounts.token("alice"));
    peer.ask("GET /", &fields, b"");
    assert_eq!(peer.receive().status, 200);
    assert!(accounts.hauld(&["user", "remove", "alice"]).status.success());
    assert_eq!(peer.rest(), b"");
    assert_eq!(of(&accounts, "alice", "GET /", "", b"").status, 401);
}
