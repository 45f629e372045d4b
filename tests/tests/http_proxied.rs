//! Requests of a proxy: in whose name it asks is believed of proxies that the owner has named, and of nobody else.

use std::net::{SocketAddr, TcpStream};

use haul_tests::http::{HttpPeer, Reply, ask};
use haul_tests::prelude::*;
use rustix::net::{self, AddressFamily, SocketType};

/// The rights of an account that may do everything but publish.
const ALL: &str = "--rights put,replace,delete,list,get";

/// A server whose proxy is 127.0.0.1, and its audit log.
fn behind(words: &[&str], users: &[&str]) -> (Accounts, TempDir) {
    let place = TempDir::new().unwrap();
    let audit = place.path().join("audit");
    let audit = ["--audit", audit.to_str().unwrap(), "--trusted-proxy", "127.0.0.1"];
    let accounts =
        Accounts::start_with(&[&["--durability", "none"], &audit[..], words].concat(), users);
    (accounts, place)
}

/// The address of the last event of this kind in the log.
fn last(place: &TempDir, event: &str) -> String {
    let text = fs::read_to_string(place.path().join("audit")).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let found = lines.rfind(|line| line["event"] == event);
    found.unwrap_or_else(|| panic!("no {event}: {text}"))["address"].as_str().unwrap().to_owned()
}

fn bearer(accounts: &Accounts, name: &str) -> String {
    format!("Authorization: Bearer {}\r\n", accounts.token(name))
}

/// The fields of a proxy whose client came over TLS.
fn from(address: &str) -> String {
    format!("X-Forwarded-For: {address}\r\nX-Forwarded-Proto: https\r\n")
}

fn put(peer: &mut HttpPeer, fields: &str) -> Reply {
    peer.ask("PUT /a", &format!("Content-Length: 1\r\n{fields}"), b"1");
    peer.receive()
}

#[test]
fn client_of_a_trusted_proxy_is_in_audit_log_log_and_status() {
    let (accounts, place) = behind(&[], &[&format!("alice {ALL}")]);
    let server = &accounts.server;
    let token = bearer(&accounts, "alice");
    let mut peer = HttpPeer::connect(server.address());
    let own = peer.stream().local_addr().unwrap().to_string();
    let status = || {
        let output =
            output_of(hauld_command().args(["status", "--json", "--root"]).arg(server.root()));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        told["listed"][0]["peer"].as_str().unwrap().to_owned()
    };
    for (fields, seen) in [
        (from("192.0.2.1"), "192.0.2.1"),
        (from("203.0.113.9, 192.0.2.2"), "192.0.2.2"),
        (String::from("Forwarded: for=\"[2001:db8::1]:80\";proto=https\r\n"), "2001:db8::1"),
        (
            String::from(
                "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.3\r\n",
            ),
            "192.0.2.3",
        ),
        // Nothing that can be read: the proxy itself.
        (from("unknown"), &own),
        (from("192.0.2.4"), "192.0.2.4"),
        (String::new(), &own),
        (format!("{}Forwarded: for=192.0.2.6\r\n", from("192.0.2.5")), &own),
    ] {
        let reply = put(&mut peer, &format!("{token}{fields}"));
        assert!(matches!(reply.status, 201 | 204), "{fields}: {}", reply.text());
        assert_eq!(
            (last(&place, "file"), last(&place, "login")),
            (seen.to_owned(), seen.to_owned()),
            "{fields}"
        );
        assert_eq!(status(), seen, "{fields}");
        let log = server.log_text();
        let line = log.lines().rfind(|line| line.contains("logged in")).unwrap();
        assert!(
            line.contains(&format!("peer=\"{seen}\"")) || line.contains(&format!("peer={seen}")),
            "{line}"
        );
    }
    // Bytes that no address has, from a client, in front of the address that the proxy has seen.
    peer.send(
        [
            &b"PUT /a HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: \xff\xc3, 192.0.2.7\r\n"[..],
            format!("X-Forwarded-Proto: https\r\nContent-Length: 1\r\n{token}\r\n1").as_bytes(),
        ]
        .concat(),
    );
    assert_eq!((peer.receive().status, last(&place, "file")), (204, String::from("192.0.2.7")));
}

#[test]
fn forwarded_fields_of_anybody_else_change_nothing() {
    let (accounts, place) = behind(&[], &[&format!("alice {ALL}")]);
    let address: SocketAddr = accounts.server.address().parse().unwrap();
    // Another host, as far as the server knows.
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    net::bind(&socket, &"127.0.0.9:0".parse::<SocketAddr>().unwrap()).unwrap();
    net::connect(&socket, &address).unwrap();
    let mut peer = HttpPeer::over(TcpStream::from(socket));
    let own = peer.stream().local_addr().unwrap().to_string();
    let token = bearer(&accounts, "alice");
    for fields in [
        from("192.0.2.1"),
        String::from("X-Forwarded-Proto: http\r\nX-Forwarded-For: 192.0.2.1\r\n"),
        String::from("Forwarded: for=192.0.2.1;proto=http;host=evil.example\r\n"),
        String::from(
            "X-Forwarded-Host: evil.example\r\nX-Forwarded-Host: x\r\nX-Forwarded-For: ,\r\n",
        ),
        String::from("Forwarded: \u{e9}\"\r\nX-Forwarded-Proto: a\r\nX-Forwarded-Proto: b\r\n"),
    ] {
        let reply = put(&mut peer, &format!("{token}{fields}"));
        assert!(matches!(reply.status, 201 | 204), "{fields}: {}", reply.text());
        assert_eq!(last(&place, "file"), own, "{fields}");
    }
    let wrong = "Authorization: Bearer haul_nobody\r\n";
    assert_eq!(put(&mut peer, &format!("{wrong}{}", from("192.0.2.1"))).status, 401);
    assert_eq!(last(&place, "login_refused"), own);
}

#[test]
fn failed_logins_are_counted_by_client_and_not_by_proxy() {
    let (accounts, _place) = behind(&[], &["alice"]);
    let told = |client: &str| {
        let mut peer = HttpPeer::connect(accounts.server.address());
        peer.ask("GET /", &format!("Authorization: Bearer haul_nobody\r\n{}", from(client)), b"");
        !peer.end().is_empty()
    };
    assert_eq!((0..12).filter(|_| told("192.0.2.1")).count(), 10);
    assert_eq!((0..12).filter(|_| told("192.0.2.2")).count(), 10);
    // The client may write other addresses in front of its own.
    assert!(!told("203.0.113.1, 192.0.2.1"));
}

#[test]
fn client_that_reached_the_proxy_in_clear_is_sent_away() {
    let (accounts, _place) = behind(&[], &[&format!("alice {ALL}")]);
    let token = bearer(&accounts, "alice");
    let status = |fields: &str| {
        ask(accounts.server.address(), "GET /", &format!("{token}{fields}"), b"").status
    };
    for fields in [
        "X-Forwarded-For: 192.0.2.1\r\n",
        "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n",
        "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https, http\r\n",
        "X-Forwarded-For: unknown\r\n",
        "Forwarded: for=192.0.2.1;proto=http\r\n",
        "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: 192.0.2.1\r\n",
    ] {
        assert_eq!(status(fields), 403, "{fields}");
    }
    for fields in [
        "",
        "X-Forwarded-For: 127.0.0.1\r\n",
        "X-Forwarded-For: ::1\r\nX-Forwarded-Proto: http\r\n",
        &from("192.0.2.1"),
    ] {
        assert_eq!(status(fields), 200, "{fields}");
    }
    let (open, _place) = behind(&["--insecure"], &[&format!("alice {ALL}")]);
    let fields = format!("{}X-Forwarded-For: 192.0.2.1\r\n", bearer(&open, "alice"));
    assert_eq!(ask(open.server.address(), "GET /", &fields, b"").status, 200);
}

#[test]
fn server_behind_a_proxy_starts_with_accounts_only() {
    let root = TempDir::new().unwrap();
    let start = |words: &[&str]| {
        Hauld::start_at(&root.path().join("root"), &root.path().join("log"), hauld_command(), words)
    };
    let refused = start(&["--trusted-proxy", "10.0.0.0/8"]).unwrap_err().to_string();
    assert!(
        refused.contains("the proxy 10.0.0.0/8") && refused.contains("hauld user add"),
        "{refused}"
    );
    let open = start(&["--trusted-proxy", "10.0.0.0/8,::1", "--insecure"]).unwrap();
    assert!(open.log_text().contains("nobody is asked who they are"), "{}", open.log_text());
    for wrong in ["box", "10.0.0.0/33", "127.0.0.1:80"] {
        let output = output_of(hauld_command().args(["--trusted-proxy", wrong]));
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(wrong), "{output:?}");
    }
}

/// The proxy's client loads the page over TLS, though the proxy comes in clear.
#[test]
fn scheme_and_host_that_the_proxy_tells_decide_about_origins_and_cookies() {
    let (accounts, _place) = behind(&["--http-host", "files.example"], &[&format!("alice {ALL}")]);
    let address = accounts.server.address();
    let token = bearer(&accounts, "alice");
    let host = "X-Forwarded-Host: files.example\r\n";
    let put = |origin: &str, fields: &str| {
        let fields = format!("{token}{fields}Origin: {origin}\r\nContent-Length: 1\r\n");
        ask(address, "PUT /a", &fields, b"1").status
    };
    let tls = from("192.0.2.1");
    assert_eq!(put("https://files.example", &format!("{tls}{host}")), 201);
    // Anybody on the way may have made a page in clear.
    assert_eq!(put("http://files.example", &format!("{tls}{host}")), 403);
    assert_eq!(
        put(
            "http://files.example",
            &format!("X-Forwarded-For: ::1\r\nX-Forwarded-Proto: http\r\n{host}")
        ),
        204
    );
    assert_eq!(put("https://files.example", &tls), 403);
    let unknown = ask(
        address,
        "GET /",
        "X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\n",
        b"",
    );
    assert_eq!(unknown.status, 421);
    let moved = format!("{token}{tls}{host}Destination: https://files.example/b\r\n");
    assert_eq!(ask(address, "MOVE /a", &moved, b"").status, 201);

    let form = format!("token={}", accounts.token("alice"));
    let fields = format!(
        "{tls}{host}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
        form.len()
    );
    let reply = ask(address, "POST /.haul/login", &fields, form.as_bytes());
    let cookie = reply.field("Set-Cookie").to_owned();
    assert!(cookie.starts_with("__Host-haul=") && cookie.contains("; Secure"), "{}", reply.head);
    let pair = cookie.split(';').next().unwrap();
    // The cookie is for the host of the browser, and not for that of the proxy's request.
    let with =
        |fields: &str| ask(address, "GET /b", &format!("Cookie: {pair}\r\n{fields}"), b"").status;
    assert_eq!(with(&format!("{tls}{host}")), 200);
}
