//! Clients of WebDAV ask for the properties of entries.

use haul_tests::http::{HttpPeer, ask};
use haul_tests::prelude::*;

/// A request with a document.
fn propfind(server: &Hauld, path: &str, depth: &str, body: &str) -> haul_tests::http::Reply {
    let fields = format!("Depth: {depth}\r\nContent-Length: {}\r\n", body.len());
    ask(server.address(), &format!("PROPFIND {path}"), &fields, body.as_bytes())
}

/// The values of an element of WebDAV's own.
fn values(text: &str, element: &str) -> Vec<String> {
    let begin = format!("<D:{element}>");
    let parts = text.split(&*begin).skip(1);
    parts.map(|part| part.split("</D:").next().unwrap().to_owned()).collect()
}

#[test]
fn properties_of_an_entry_are_those_that_get_tells() {
    let server = server_with(&["--durability", "group"]);
    let large = vec![7; 200_000];
    let lengths = format!("Content-Length: {}\r\n", large.len());
    assert_eq!(ask(server.address(), "PUT /large.txt", &lengths, &large).status, 201);
    assert_eq!(ask(server.address(), "PUT /small", "Content-Length: 2\r\n", b"ab").status, 201);
    for name in ["large.txt", "small"] {
        let got = ask(server.address(), &format!("HEAD /{name}"), "", b"");
        let reply = propfind(&server, &format!("/{name}"), "0", "");
        assert_eq!(reply.status, 207, "{}", reply.text());
        assert!(reply.field("Content-Type").starts_with("application/xml"), "{}", reply.head);
        let text = reply.text();
        let one = |element: &str| values(&text, element).remove(0).replace("&quot;", "\"");
        assert_eq!(one("getetag"), got.field("ETag"));
        assert_eq!(one("getlastmodified"), got.field("Last-Modified"));
        assert_eq!(one("getcontentlength"), got.field("Content-Length"));
        assert_eq!(one("getcontenttype"), got.field("Content-Type"));
        assert_eq!((one("href"), one("displayname")), (format!("/{name}"), name.to_owned()));
        assert!(text.contains("<D:resourcetype/>") && text.contains("<D:exclusive/>"), "{text}");
    }
}

#[test]
fn directory_is_listed_with_the_properties_that_are_wanted() {
    let server = server();
    fs::create_dir_all(server.root().join("d/in & ü")).unwrap();
    fs::write(server.root().join("d/a <b>"), "bytes").unwrap();
    fs::write(server.root().join("d/in & ü/deeper"), "").unwrap();
    symlink("a", server.root().join("d/link")).unwrap();
    let wanted = "<?xml version=\"1.0\"?><a:propfind xmlns:a=\"DAV:\"><a:prop><a:resourcetype/>\
                  <a:getcontentlength/><a:quota-available-bytes/><x xmlns=\"u\"/></a:prop></a:propfind>";
    for (root, path) in [("/", "/d"), ("/", "/d/"), ("/.haul/dav/", "/.haul/dav/d/")] {
        let own = format!("{root}d/");
        let below = [format!("{own}a%20%3Cb%3E"), format!("{own}in%20%26%20%C3%BC/")];
        for body in ["", wanted] {
            let reply = propfind(&server, path, "1", body);
            let text = reply.text();
            assert_eq!(reply.status, 207, "{text}");
            // No symlink: WebDAV has none.
            let mut hrefs = values(&text, "href");
            assert_eq!(hrefs.remove(0), own);
            assert_eq!(hrefs, below);
            assert_eq!(values(&text, "getcontentlength"), ["5"]);
            assert_eq!(text.matches("<D:collection/>").count(), 2);
            let has_room = values(&text, "quota-available-bytes").len();
            assert_eq!(has_room, if body.is_empty() { 0 } else { 2 }, "{text}");
            let missing = text.matches("<x xmlns=\"u\"/></D:prop><D:status>HTTP/1.1 404").count();
            assert_eq!(missing, if body.is_empty() { 0 } else { 3 }, "{text}");
        }
        assert_eq!(values(&propfind(&server, path, "0", "").text(), "href"), [own]);
    }
    assert_eq!(values(&propfind(&server, "/", "1", "").text(), "href"), ["/", "/d/"]);
    let names = "<propfind xmlns='DAV:'><propname/></propfind>";
    let text = propfind(&server, "/d/a%20%3Cb%3E", "infinity", names).text();
    assert!(text.contains("<D:getetag/>") && !text.contains("bytes"), "{text}");
    let endless = propfind(&server, "/", "infinity", "");
    assert_eq!(endless.status, 403);
    assert!(endless.text().contains("<D:propfind-finite-depth/>"), "{}", endless.text());
    for (path, depth, status) in [
        ("/none", "0", 404),
        ("/d/link", "0", 404),
        ("/d/a%20%3Cb%3E/", "0", 404),
        ("/.haul/x", "0", 404),
        ("/.haul/dav/.haul", "0", 404),
        ("/d", "2", 400),
    ] {
        assert_eq!(propfind(&server, path, depth, "").status, status, "{path}");
    }
}

#[test]
fn large_directory_is_told_in_pieces() {
    let server = server();
    for number in 0..5000 {
        fs::write(server.root().join(format!("{number:05}")), "").unwrap();
    }
    let reply = propfind(&server, "/", "1", "");
    assert_eq!(reply.field("Transfer-Encoding"), "chunked");
    let hrefs = values(&reply.text(), "href");
    let expected: Vec<_> = (0..5000).map(|number| format!("/{number:05}")).collect();
    assert_eq!(hrefs[1..], expected);
    assert!(reply.text().ends_with("</D:multistatus>\n"));
}

#[test]
fn documents_that_are_wrong_are_refused_and_the_connection_goes_on() {
    let server = server();
    fs::write(server.root().join("a"), "aaa").unwrap();
    let mut peer = HttpPeer::connect(server.address());
    let long = format!("<propfind xmlns='DAV:'><allprop/><!--{}--></propfind>", "x".repeat(65_000));
    let deep = format!("{}{}", "<a>".repeat(1000), "</a>".repeat(1000));
    for (body, status) in [
        ("<propfind", 400),
        ("<propfind/>", 400),
        ("<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>", 400),
        (&*deep, 413),
        (&*long, 207),
        ("\u{0}", 400),
    ] {
        for (method, own) in [("PROPFIND", status), ("PROPPATCH", 400), ("LOCK", 400)] {
            let is_wrong = status == 207 || status == own;
            let expected = if method == "PROPFIND" || !is_wrong { status } else { own };
            peer.ask(
                &format!("{method} /a"),
                &format!("Depth: 0\r\nContent-Length: {}\r\n", body.len()),
                body.as_bytes(),
            );
            assert_eq!(peer.receive().status, expected, "{method} {body:.50}");
        }
        assert_eq!(peer.get("GET /a").body, b"aaa");
    }
    for fields in ["Content-Length: 65537\r\n", "Transfer-Encoding: chunked\r\n"] {
        let body = [&b"10001\r\n"[..], &[b' '; 65_537], b"\r\n0\r\n\r\n"].concat();
        let body = if fields.contains("chunked") { &body[..] } else { &body[7..7 + 65_537] };
        let reply = ask(server.address(), "PROPFIND /a", fields, body);
        assert_eq!(reply.status, 413, "{fields}");
    }
}

#[test]
fn options_tell_the_classes_of_webdav() {
    let server = server();
    for path in ["/", "/.haul/dav/", "*"] {
        let reply = ask(server.address(), &format!("OPTIONS {path}"), "", b"");
        assert_eq!((reply.status, reply.field("DAV")), (204, "1, 2"), "{path}");
        assert!(reply.field("Allow").contains("PROPFIND"), "{}", reply.head);
    }
}

/// A page of another server can't ask: without fields for that, a browser asks nothing for it.
#[test]
fn drive_has_no_page_of_its_own_and_keeps_pages_of_others_out() {
    let server = server();
    fs::create_dir(server.root().join("d")).unwrap();
    let moved = ask(server.address(), "GET /.haul/dav/d", "", b"");
    assert_eq!((moved.status, moved.field("Location")), (308, "/.haul/dav/d/"));
    assert_eq!(ask(server.address(), "GET /.haul/dav/", "", b"").status, 200);
    for method in ["COPY", "PROPPATCH", "LOCK", "UNLOCK"] {
        let fields = "Origin: http://evil.example\r\nDestination: /x\r\n";
        let reply = ask(server.address(), &format!("{method} /d"), fields, b"");
        assert_eq!(reply.status, 403, "{method}");
        assert_eq!(reply.field("Access-Control-Allow-Origin"), "");
    }
    assert!(!server.root().join("x").exists());
}
