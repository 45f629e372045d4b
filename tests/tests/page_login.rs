//! Logging in with a browser: the page, the cookie, and the page of somebody who may only put.

use haul_tests::http::{HttpPeer, Reply, ask, curled};
use haul_tests::prelude::*;

const BROWSER: &str = "Accept: text/html,*/*;q=0.8\r\n";

/// Sends the form of the login.
fn log_in(accounts: &Accounts, form: &str, fields: &str) -> Reply {
    let fields = format!(
        "{fields}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
        form.len()
    );
    ask(accounts.server.address(), "POST /.haul/login", &fields, form.as_bytes())
}

/// The field with which a browser sends the cookie of an answer.
fn cookie(reply: &Reply) -> String {
    let set = reply.field("Set-Cookie");
    format!("Cookie: other=1; {}\r\n", set.split(';').next().unwrap())
}

fn cookie_of(accounts: &Accounts, name: &str) -> String {
    let reply = log_in(accounts, &format!("token={}&to=%2F", accounts.token(name)), "");
    assert_eq!(reply.status, 303, "{}", reply.text());
    cookie(&reply)
}

fn get(accounts: &Accounts, address: &str, fields: &str) -> Reply {
    ask(accounts.server.address(), &format!("GET {address}"), fields, b"")
}

#[test]
fn browser_is_shown_a_form_and_a_program_is_challenged() {
    let accounts = Accounts::start(&["alice"]);
    let page = get(&accounts, "/d/?a=<b>", BROWSER);
    assert_eq!((page.status, page.field("Content-Type")), (401, "text/html; charset=utf-8"));
    assert_eq!(page.field("WWW-Authenticate"), "Bearer realm=\"haul\"");
    let text = page.text();
    assert!(text.contains("id=\"login\"") && text.contains("value=\"/d/?a=&lt;b&gt;\""), "{text}");
    assert!(get(&accounts, "/d/", "").head.contains("Basic realm"));
    // A page whose login has ended must not have the browser show a dialog of its own.
    assert!(!get(&accounts, "/d/", "Origin: http://localhost\r\n").head.contains("Basic"));
    assert_eq!(get(&accounts, "/.haul/login", "").status, 200);
    assert_eq!(get(&accounts, "/.haul/page/login.js", "").status, 200);
    // Without accounts there is nothing to log in to.
    let open = server();
    let reply = ask(open.address(), "GET /.haul/login", "", b"");
    assert_eq!((reply.status, reply.field("Location")), (303, "/"));
}

#[test]
fn token_becomes_a_cookie_that_ends_with_the_login() {
    let rights = "--rights put,replace,delete,list,get";
    let accounts = Accounts::start(&[&format!("alice {rights}"), &format!("bob {rights}")]);
    let token = accounts.token("alice");
    let reply = log_in(&accounts, &format!("token=+{token}&to=%2Fd%2F"), "");
    assert_eq!((reply.status, reply.field("Location")), (303, "/d/"));
    let set = reply.field("Set-Cookie");
    assert!(set.ends_with("; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict"), "{set}");
    assert!(!set.contains(&token[5..]), "the token itself is no cookie");
    let mine = cookie(&reply);
    let put = |fields: &str| {
        let fields = format!("{fields}Content-Length: 1\r\n");
        ask(accounts.server.address(), "PUT /a", &fields, b"1").status
    };
    assert_eq!(put(&mine), 201);
    assert_eq!(accounts.text("alice/a"), "1");
    let page = get(&accounts, "/", &format!("{BROWSER}{mine}"));
    assert!(page.status == 200 && page.text().contains("/.haul/logout"), "{}", page.text());
    // A page of another server has the browser send the cookie along, perhaps.
    assert_eq!(put(&format!("{mine}Origin: http://evil.example\r\n")), 403);
    // A token goes before a cookie, and a cookie of another login is another login.
    let mut peer = HttpPeer::connect(accounts.server.address());
    let both = format!("{mine}Authorization: Bearer {}\r\n", accounts.token("bob"));
    for (fields, status) in
        [(&*both, 404), (&mine, 200), (&cookie_of(&accounts, "bob"), 404), ("", 401), (&mine, 200)]
    {
        peer.ask("GET /a", fields, b"");
        assert_eq!(peer.receive().status, status, "{fields}");
    }
    // Logging out ends it, also on a connection that has it.
    let other = cookie_of(&accounts, "alice");
    let out = ask(accounts.server.address(), "POST /.haul/logout", &mine, b"");
    assert_eq!((out.status, out.field("Location")), (303, "/.haul/login"));
    assert!(out.field("Set-Cookie").contains("=; Path=/; Max-Age=0;"), "{}", out.head);
    peer.ask("GET /a", &mine, b"");
    assert_eq!(peer.receive().status, 401);
    assert!(get(&accounts, "/", &format!("{BROWSER}{mine}")).text().contains("has ended"));
    // So does another token of the account.
    assert_eq!(get(&accounts, "/a", &other).status, 200);
    assert!(accounts.hauld(&["user", "rotate", "alice"]).status.success());
    eventually("the session has ended with the token", || {
        let mut peer = HttpPeer::connect(accounts.server.address());
        peer.ask("GET /a", &other, b"");
        // It may end while the answer is on its way.
        peer.try_receive_of("GET").is_ok_and(|reply| reply.status == 401)
    });
    let log = accounts.server.log_text();
    let secret = mine.split('=').next_back().unwrap().trim();
    assert!(!log.contains(secret) && !log.contains(&token[14..]), "{log}");
}

#[test]
fn wrong_tokens_are_told_and_counted() {
    let accounts = Accounts::start(&["alice"]);
    let wrong = log_in(&accounts, "token=haul_x<b>&to=%2F", "");
    let text = wrong.text();
    assert!(wrong.status == 403 && text.contains("no account has this token"), "{text}");
    assert!(!text.contains("<b>") && wrong.field("Set-Cookie").is_empty());
    let token = accounts.token("alice");
    for (form, status) in [("", 413), (&*"x".repeat(5000), 413), ("to=%2F", 403)] {
        assert_eq!(log_in(&accounts, form, "").status, status);
    }
    let foreign = log_in(&accounts, &format!("token={token}"), "Origin: http://evil.example\r\n");
    assert_eq!(foreign.status, 403);
    // Nobody is led to another server.
    for to in ["%2F%2Fevil.example", "https%3A%2F%2Fevil.example", "%2F%5Cevil", "%2Fa%0D%0AX%3A"] {
        let reply = log_in(&accounts, &format!("token={token}&to={to}"), "");
        assert_eq!((reply.status, reply.field("Location")), (303, "/"), "{to}");
    }
    let mut told = 2;
    loop {
        let mut peer = HttpPeer::connect(accounts.server.address());
        peer.ask("POST /.haul/login", "Content-Length: 7\r\n", b"token=x");
        if peer.end().is_empty() {
            break;
        }
        told += 1;
        assert!(told < 50);
    }
    assert_eq!(told, 10);
    assert_eq!(log_in(&accounts, &format!("token={token}"), "").status, 303);
}

#[test]
fn cookie_over_tls_is_for_tls_alone() {
    let accounts = Accounts::start(&["alice"]);
    let url = format!("https://{}/.haul/login", accounts.server.address());
    let form = format!("token={}", accounts.token("alice"));
    let answer = curled(&["-k", "-i", "--data", &form, &url]);
    let text = String::from_utf8(answer).unwrap();
    let set = text.lines().find(|line| line.starts_with("Set-Cookie: ")).unwrap();
    assert!(set.contains(" __Host-haul") && set.trim_end().ends_with("; Secure"), "{set}");
    // A proxy in front has TLS, and the browser says so.
    let origin = "Origin: https://localhost\r\n";
    assert!(log_in(&accounts, &form, origin).field("Set-Cookie").starts_with("__Host-haul="));
}

/// The server answers at an address without having been told it, and at a name only if it was told that.
#[test]
fn setting_that_an_address_of_a_link_needs_is_told_if_it_is_a_name() {
    let accounts = Accounts::start(&["alice"]);
    let said = |words: &[&str]| {
        let output = accounts.hauld(words);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let two = ["link", "a", "--address", "192.0.2.7:80", "--address", "[2001:db8::1]:80"];
    let said_of_two = said(&two);
    assert!(!said_of_two.contains("http-host"), "{said_of_two}");
    let mixed = ["link", "b", "--address", "box:80", "--address", "files.example:8080"];
    let said_of_names = said(&mixed);
    let setting = "http-host = [\"box\", \"files.example\"]";
    assert!(said_of_names.contains(setting), "{said_of_names}");
    let hosts = ["--http-host", "box", "--http-host", "files.example"];
    for (words, status) in [(&hosts[..0], 421), (&hosts[..], 200)] {
        let server = server_with(words);
        for host in ["box:80", "files.example:8080"] {
            let mut peer = HttpPeer::connect(server.address());
            peer.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!(peer.receive().status, status, "{host}");
        }
    }
    // The other commands make no address for a browser.
    let add = said(&["user", "add", "carol", "--address", "box:80"]);
    assert!(!add.contains("http-host"), "{add}");
}

#[test]
fn drop_link_logs_in_to_a_page_that_tells_nothing() {
    let accounts = Accounts::start(&["alice"]);
    let output = accounts.hauld(&["link", "box", "--address", "files.example:8080"]);
    let lines = String::from_utf8(output.stdout.clone()).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    let [token, link] = lines[..] else { panic!("{lines:?}") };
    assert_eq!(link, format!("https://files.example:8080/.haul/login#{token}"));
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!said.contains(&token[14..]), "{said}");
    assert!(said.contains("http-host = [\"files.example\"]"), "{said}");
    let cookie_of_box = || cookie(&log_in(&accounts, &format!("token={token}"), ""));
    let mine = cookie_of_box();
    let page = get(&accounts, "/", &format!("{BROWSER}{mine}"));
    let text = page.text();
    assert!(page.status == 200 && text.contains("data-view=\"drop\""), "{text}");
    assert!(!text.contains("id=\"list\"") && !text.contains("name=\"folder\""), "{text}");
    // Programs are told as before that they may not list.
    assert_eq!(get(&accounts, "/?json", &format!("{BROWSER}{mine}")).status, 403);
    assert_eq!(get(&accounts, "/", &mine).status, 403);
    // All connections of one browser put into one directory, and another browser into another.
    let put = |name: &str, cookie: &str| {
        let fields = format!("{cookie}Content-Length: 1\r\n");
        ask(accounts.server.address(), &format!("PUT /{name}"), &fields, b"1").status
    };
    assert_eq!((put("a", &mine), put("b", &mine), put("a", &mine)), (201, 201, 201));
    assert_eq!(put("a", &cookie_of_box()), 201);
    let mut counts: Vec<usize> = fs::read_dir(accounts.at("box"))
        .unwrap()
        .map(|entry| fs::read_dir(entry.unwrap().path()).unwrap().count())
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2]);
    assert_eq!(get(&accounts, "/a", &mine).status, 403);
    // A form as well, for a browser without JavaScript.
    let body =
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"c\"\r\n\r\n1\r\n--b--";
    let fields = format!(
        "{mine}Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n",
        body.len()
    );
    let sent = ask(accounts.server.address(), "POST /", &fields, body.as_bytes());
    assert_eq!((sent.status, sent.field("Location")), (303, "/?stored=1"));
    let page = get(&accounts, "/?stored=1", &format!("{BROWSER}{mine}")).text();
    assert!(page.contains("Stored: 1."), "{page}");
}

#[test]
fn page_has_only_what_the_account_may_do() {
    let accounts = Accounts::start(&["reader --rights get,list", "writer --rights put,list,get"]);
    let page = |name: &str| {
        let fields = format!("{BROWSER}{}", cookie_of(&accounts, name));
        get(&accounts, "/", &fields).text()
    };
    let (reader, writer) = (page("reader"), page("writer"));
    assert!(reader.contains("id=\"list\"") && !reader.contains("<form id=\"upload\""), "{reader}");
    assert!(
        writer.contains("<form id=\"upload\"") && writer.contains("name=\"folder\""),
        "{writer}"
    );
}
