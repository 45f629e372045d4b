//! The forms of the page, as a browser without JavaScript and curl send them.

use haul_tests::http::{HttpPeer, Reply, ask, curled, unnamed_files};
use haul_tests::prelude::*;

const MEDIA: &str = "Content-Type: multipart/form-data; boundary=xYz\r\n";

/// A part of a form: the rest of its disposition, and its bytes.
type Part<'a> = (&'a str, &'a [u8]);

fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (rest, bytes) in parts {
        body.extend(format!("--xYz\r\nContent-Disposition: form-data; {rest}\r\n\r\n").bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--xYz--\r\n");
    body
}

fn post(server: &Hauld, address: &str, body: &[u8]) -> Reply {
    let fields = format!("{MEDIA}Content-Length: {}\r\n", body.len());
    ask(server.address(), &format!("POST {address}"), &fields, body)
}

#[test]
fn form_stores_its_files_and_leads_back_to_the_directory() {
    let server = server();
    let body = form(&[
        ("name=\"file\"; filename=\"one.txt\"\r\nContent-Type: text/plain", b"one"),
        ("name=\"file\"; filename=\"ünï <b>x %22\"", b"\r\n--xY\r\n--xYz"[..8].as_ref()),
        ("name=\"file\"; filename=\"below/empty\"", b""),
        ("name=\"other\"", b"of no meaning"),
        // No file was chosen.
        ("name=\"file\"; filename=\"\"", b""),
    ]);
    let reply = post(&server, "/a%20b/", &body);
    assert_eq!((reply.status, reply.field("Location")), (303, "/a%20b/?stored=3"), "{reply:?}");
    assert_eq!(fs::read(server.root().join("a b/one.txt")).unwrap(), b"one");
    assert_eq!(fs::read(server.root().join("a b/ünï <b>x \"")).unwrap(), b"\r\n--xY\r\n");
    assert_eq!(fs::read(server.root().join("a b/below/empty")).unwrap(), b"");
    let page = ask(server.address(), "GET /a%20b/?stored=3", "", b"").text();
    assert!(page.contains("Stored: 3.") && page.contains("one.txt</a>"), "{page}");
    let folder = form(&[("name=\"folder\"", "neu ü".as_bytes())]);
    assert_eq!(post(&server, "/a%20b/", &folder).status, 303);
    assert!(server.root().join("a b/neu ü").is_dir());
}

#[test]
fn form_replaces_only_if_it_says_so_and_tells_what_was_not_stored() {
    let server = server();
    fs::write(server.root().join("<b>"), "old").unwrap();
    let file = ("name=\"file\"; filename=\"<b>\"", &b"new"[..]);
    let other = ("name=\"file\"; filename=\"other\"", &b"other"[..]);
    let reply = post(&server, "/", &form(&[file, other]));
    let text = reply.text();
    assert_eq!((reply.status, reply.field("Content-Type")), (409, "text/html; charset=utf-8"));
    assert!(text.contains("Stored: 1. Not stored: 1.") && text.contains("&lt;b&gt;"), "{text}");
    assert!(!text.contains("<b>") && !text.contains("<script"), "{text}");
    assert_eq!(fs::read(server.root().join("<b>")).unwrap(), b"old");
    assert_eq!(fs::read(server.root().join("other")).unwrap(), b"other");
    let reply = post(&server, "/", &form(&[("name=\"replace\"", b"yes"), file]));
    assert_eq!(reply.status, 303, "{reply:?}");
    assert_eq!(fs::read(server.root().join("<b>")).unwrap(), b"new");
}

#[test]
fn names_in_a_form_are_names_of_the_protocol() {
    let server = server();
    for name in ["../x", "/x", ".haul/x", "a//x", "a/../x", ".", "x%0D%0A/..", &"x".repeat(256)] {
        let file = format!("name=\"file\"; filename=\"{name}\"");
        let reply = post(&server, "/", &form(&[(&file, b"1")]));
        assert_eq!(reply.status, 400, "{name}: {}", reply.text());
    }
    assert_eq!(post(&server, "/", &form(&[("name=\"folder\"", b"../x")])).status, 400);
    assert!(!server.root().parent().unwrap().join("x").exists());
}

#[test]
fn forms_that_are_none_are_refused() {
    let server = server();
    let whole = form(&[("name=\"file\"; filename=\"a\"", b"1")]);
    let with = |address: &str, fields: &str, body: &[u8]| {
        let fields = format!("{fields}Content-Length: {}\r\n", body.len());
        ask(server.address(), &format!("POST {address}"), &fields, body).status
    };
    assert_eq!(with("/", "Content-Type: text/plain\r\n", &whole), 415);
    assert_eq!(with("/", "", &whole), 415);
    assert_eq!(with("/", "Content-Type: multipart/form-data\r\n", &whole), 400);
    assert_eq!(with("/a", MEDIA, &whole), 405);
    assert_eq!(with("/", MEDIA, b"other"), 400);
    // A page of another server sends forms without being asked.
    let foreign = format!("{MEDIA}Origin: http://evil.example\r\n");
    assert_eq!(with("/", &foreign, &whole), 403);
    let chunked = format!("{MEDIA}Transfer-Encoding: chunked\r\n");
    assert_eq!(ask(server.address(), "POST /", &chunked, b"0\r\n\r\n").status, 411);
    // One that is cut off by its length has stored nothing of the file that was cut.
    assert_eq!(with("/", MEDIA, &whole[..whole.len() - 12]), 400);
    assert_eq!(with("/", MEDIA, b""), 400);
    assert_eq!(fs::read_dir(server.root()).unwrap().count(), 1, "only the server's own directory");
    // Bytes behind its end, in the same piece.
    assert_eq!(with("/", MEDIA, &[&whole[..], b"more"].concat()), 400);
}

/// A large file goes to the disk as it comes, and nothing of it stays if the browser goes away.
#[test]
fn large_file_in_a_form_is_staged_as_it_comes() {
    let server = server();
    let bytes: Vec<u8> = (0..3_000_000_u32)
        .map(|at| if at % 7 == 0 { b'\r' } else { at.to_le_bytes()[0] })
        .collect();
    let body = form(&[
        ("name=\"file\"; filename=\"large\"", &bytes),
        ("name=\"file\"; filename=\"small\"", b"1"),
    ]);
    let mut peer = HttpPeer::connect(server.address());
    let fields = format!("{MEDIA}Content-Length: {}\r\n", body.len());
    peer.ask("POST /", &fields, &body[..2_000_000]);
    eventually("the file is staged", || !unnamed_files(server.pid()).is_empty());
    assert!(!server.root().join("large").exists());
    peer.send(&body[2_000_000..]);
    assert_eq!(peer.receive().status, 303);
    assert_eq!(fs::read(server.root().join("large")).unwrap(), bytes);
    let mut peer = HttpPeer::connect(server.address());
    peer.ask("POST /d/", &fields, &body[..2_000_000]);
    drop(peer);
    eventually("nothing of it stays", || unnamed_files(server.pid()).is_empty());
    assert!(!server.root().join("d").exists());
    // curl is another writer of forms.
    fs::write(server.root().join("source"), &bytes).unwrap();
    let file = format!("file=@{};filename=from curl", server.root().join("source").display());
    let url = format!("http://{}/c/", server.address());
    let words =
        ["-F", &file, "-F", "folder=made by curl", "-o", "/dev/null", "-w", "%{http_code}", &url];
    assert_eq!(curled(&words), b"303");
    assert_eq!(fs::read(server.root().join("c/from curl")).unwrap(), bytes);
    assert!(server.root().join("c/made by curl").is_dir());
}

/// The length of bytes as gzip packs them.
fn gzipped(bytes: &[u8]) -> usize {
    let mut gzip = Command::new("gzip")
        .args(["-9c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    gzip.stdin.take().unwrap().write_all(bytes).unwrap();
    gzip.wait_with_output().unwrap().stdout.len()
}

#[test]
fn script_of_the_page_is_asked_for_once() {
    let server = server();
    let script = ask(server.address(), "GET /.haul/page/page.js", "", b"");
    assert_eq!(
        (script.status, script.field("Content-Type")),
        (200, "text/javascript; charset=utf-8")
    );
    assert_eq!(script.field("X-Content-Type-Options"), "nosniff");
    let list = ask(server.address(), "GET /.haul/page/list.js", "", b"");
    assert!(list.status == 200 && list.body.len() < script.body.len() / 3);
    let page = ask(server.address(), "GET /", "", b"");
    let policy = page.field("Content-Security-Policy");
    for part in
        ["base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'", "connect-src 'self'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert!(script.body.len() + page.body.len() < 40 * 1024, "more than 40 KiB");
    // Packed it is the same script but for the comments, in a third of the bytes.
    let place = TempDir::new().unwrap();
    let (file, url) =
        (place.path().join("packed"), format!("http://{}/.haul/page/page.js", server.address()));
    let _ = curled(&[
        "-H",
        "Accept-Encoding: br;q=1.0, gzip;q=0.8",
        "-o",
        file.to_str().unwrap(),
        &url,
    ]);
    let packed = fs::read(&file).unwrap();
    let output = Command::new("gzip").args(["-dc", file.to_str().unwrap()]).output().unwrap();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let text = script.text();
    let code: String = text.split_inclusive('\n').filter(is_code).collect();
    assert!(output.stdout == code.as_bytes() && packed.len() * 3 < script.body.len());
    let reply = ask(server.address(), "HEAD /.haul/page/page.js", "Accept-Encoding: gzip\r\n", b"");
    assert_eq!((reply.field("Content-Encoding"), reply.field("Vary")), ("gzip", "Accept-Encoding"));
    assert_eq!(reply.field("ETag"), script.field("ETag"));
    for none in ["gzip;q=0", "identity", "br"] {
        let fields = format!("Accept-Encoding: {none}\r\n");
        let reply = ask(server.address(), "HEAD /.haul/page/page.js", &fields, b"");
        assert_eq!(reply.field("Content-Encoding"), "", "{none}");
    }
    // With the style, which is in the page itself: what a first visit costs.
    let text = page.text();
    let style =
        text.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap();
    let style = gzipped(style.as_bytes());
    assert!(packed.len() + style <= 12 * 1024, "{} and {style} bytes", packed.len());
    let known = format!("If-None-Match: {}\r\n", script.field("ETag"));
    assert_eq!(ask(server.address(), "GET /.haul/page/page.js", &known, b"").status, 304);
    assert_eq!(ask(server.address(), "GET /.haul/page/other", "", b"").status, 404);
    assert_eq!(
        ask(server.address(), "PUT /.haul/page/page.js", "Content-Length: 0\r\n", b"").status,
        405
    );
}
