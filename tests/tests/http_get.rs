//! Files and directories read by clients of HTTP.

use haul_tests::http::{HttpPeer, ask, curl, curled};
use haul_tests::prelude::*;

/// A server with a file of this name.
fn with_file(name: &str, bytes: &[u8]) -> Hauld {
    let server = server();
    let path = server.root().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    server
}

fn url(server: &Hauld, path: &str) -> String {
    format!("http://{}{path}", server.address())
}

#[test]
fn curl_gets_a_file_whole_by_ranges_and_by_going_on() {
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
    let server = with_file("d/ünï b.bin", &bytes);
    let url = url(&server, "/d/%C3%BCn%C3%AF%20b.bin");
    assert!(curled(&[&url]) == bytes);
    assert!(curled(&["-r", "10-19", &url]) == bytes[10..20]);
    assert!(curled(&["-r", "-5", &url]) == bytes[bytes.len() - 5..]);
    // Several ranges are the whole file.
    assert!(curled(&["-r", "0-1,5-6", &url]) == bytes);
    let place = TempDir::new().unwrap();
    let part = place.path().join("part");
    fs::write(&part, &bytes[..1_000_000]).unwrap();
    let told = curled(&["-C", "-", "-o", part.to_str().unwrap(), "-w", "%{size_download}", &url]);
    assert_eq!(told, b"2000000");
    assert!(fs::read(&part).unwrap() == bytes);
    let head = String::from_utf8(curled(&["-I", &url])).unwrap();
    assert!(head.contains("Content-Length: 3000000\r\n") && head.contains("ETag: "), "{head}");
}

#[test]
fn headers_of_a_file_tell_its_state_and_let_nothing_run() {
    let server = with_file("page.html", b"<script>alert(1)</script>");
    fs::write(server.root().join("a.png"), b"png").unwrap();
    let reply = ask(server.address(), "GET /page.html", "", b"");
    assert_eq!((reply.status, &reply.body[..]), (200, &b"<script>alert(1)</script>"[..]));
    for (name, value) in [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Disposition", "attachment"),
        ("Content-Security-Policy", "sandbox; default-src 'none'"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Accept-Ranges", "bytes"),
    ] {
        assert_eq!(reply.field(name), value, "{}", reply.head);
    }
    let (etag, modified) = (reply.field("ETag"), reply.field("Last-Modified"));
    assert!(etag.starts_with("W/\"") && modified.ends_with(" GMT"), "{}", reply.head);
    assert!(reply.field("Date").ends_with(" GMT"));
    let again = |fields: &str| ask(server.address(), "GET /page.html", fields, b"").status;
    assert_eq!(again(&format!("If-None-Match: {etag}\r\n")), 304);
    assert_eq!(again(&format!("If-Modified-Since: {modified}\r\n")), 304);
    assert_eq!(again("If-None-Match: \"other\"\r\n"), 200);
    assert_eq!(again("If-Match: \"other\"\r\n"), 412);
    // A weak ETag is no proof that the parts belong together.
    assert_eq!(again(&format!("Range: bytes=1-2\r\nIf-Range: {etag}\r\n")), 200);
    assert_eq!(again("Range: bytes=1-2\r\n"), 206);
    let beyond = ask(server.address(), "GET /page.html", "Range: bytes=99-\r\n", b"");
    assert_eq!((beyond.status, beyond.field("Content-Range")), (416, "bytes */25"));
    // So it is on the network drive.
    let drive = ask(server.address(), "GET /.haul/dav/page.html", "", b"");
    for name in ["Content-Disposition", "Content-Security-Policy", "X-Content-Type-Options"] {
        assert_eq!(drive.field(name), reply.field(name), "{}", drive.head);
    }
    let image = ask(server.address(), "GET /a.png", "", b"");
    assert_eq!(
        (image.field("Content-Type"), image.field("Content-Disposition")),
        ("image/png", "")
    );
}

/// SHA-256 of `abc`, and SHA-512.
const ABC: &str = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
const ABC_512: &str = "sha-512=:3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==:";

#[test]
fn digest_that_a_client_wants_is_told_if_the_file_is_small() {
    let server = with_file("a", b"abc");
    fs::write(server.root().join("large"), vec![0; 1024 * 1024 + 1]).unwrap();
    fs::write(server.root().join("most"), vec![0; 1024 * 1024]).unwrap();
    let told = |first: &str, fields: &str| {
        let reply = ask(server.address(), first, fields, b"");
        assert!(matches!(reply.status, 200 | 206), "{}", reply.head);
        reply.field("Repr-Digest").to_owned()
    };
    let want = "Want-Repr-Digest: sha-512=3, sha-256=10, md5=1\r\n";
    for (first, fields) in [("GET /a", ""), ("HEAD /a", ""), ("GET /a", "Range: bytes=1-1\r\n")] {
        assert_eq!(told(first, &format!("{want}{fields}")), ABC, "{first} {fields}");
    }
    assert_eq!(told("GET /a", "Want-Repr-Digest: sha-512=1\r\n"), ABC_512);
    for fields in [
        "",
        "Want-Repr-Digest: sha-256=0\r\n",
        "Want-Repr-Digest: md5=1\r\n",
        "Want-Repr-Digest: {\r\n",
    ] {
        assert_eq!(told("GET /a", fields), "", "{fields}");
    }
    assert!(told("GET /most", want).starts_with("sha-256=:"));
    assert_eq!(told("GET /large", want), "");
}

/// The digest that the server has kept is told as the ETag: so a client can go on with a file and know that it is the same.
#[test]
fn etag_of_a_large_file_is_its_digest() {
    let server = server();
    let bytes = vec![7; 300_000];
    assert_eq!(ask(server.address(), "PUT /a", "Content-Length: 300000\r\n", &bytes).status, 201);
    let etag = format!("\"b3-{}\"", blake3::hash(&bytes).to_hex());
    let reply = ask(server.address(), "HEAD /a", "", b"");
    assert_eq!(reply.field("ETag"), etag);
    let part = format!("Range: bytes=299990-\r\nIf-Range: {etag}\r\n");
    let part = ask(server.address(), "GET /a", &part, b"");
    assert_eq!((part.status, part.body.len()), (206, 10));
    assert_eq!(part.field("Content-Range"), "bytes 299990-299999/300000");
}

#[test]
fn directory_is_a_page_with_names_as_text_and_a_list_for_programs() {
    let server = with_file("d/<b>x.txt", b"12345");
    fs::create_dir(server.root().join("d/sub")).unwrap();
    symlink("/etc/passwd", server.root().join("d/link")).unwrap();
    let page = ask(server.address(), "GET /d/", "", b"");
    let text = page.text();
    assert_eq!((page.status, page.field("Content-Type")), (200, "text/html; charset=utf-8"));
    assert!(
        page.field("Content-Security-Policy").starts_with("default-src 'none'; style-src 'sha256-")
    );
    assert!(text.contains("&lt;b&gt;x.txt</a>") && !text.contains("<b>"), "{text}");
    // The only script is the server's own, and its word is a new one in each answer.
    let nonce = |page: &str| {
        let tag = page.split("<script src=\"/.haul/page/page.js\" nonce=\"").nth(1).unwrap();
        tag.split('"').next().unwrap().to_owned()
    };
    assert_eq!(text.matches("<script").count(), 1);
    let policy = page.field("Content-Security-Policy");
    assert!(policy.contains(&format!("script-src 'nonce-{}';", nonce(&text))), "{policy}");
    assert_ne!(nonce(&text), nonce(&ask(server.address(), "GET /d/", "", b"").text()));
    assert!(text.contains("href=\"./%3Cb%3Ex.txt\"") && text.contains("href=\"./sub/\""), "{text}");
    assert!(!text.contains("href=\"./link"), "{text}");
    let list = ask(server.address(), "GET /d/?json", "", b"");
    let list: Value = serde_json::from_slice(&list.body).unwrap();
    let told: Vec<_> = list["entries"].as_array().unwrap().iter().collect();
    assert_eq!(told.len(), 3);
    assert_eq!(
        (&told[0]["name"], &told[0]["kind"], &told[0]["size"]),
        (&json!("<b>x.txt"), &json!("file"), &json!(5))
    );
    assert_eq!((&told[1]["kind"], &told[2]["kind"]), (&json!("symlink"), &json!("directory")));
    // Without its slash, a directory is elsewhere.
    let moved = ask(server.address(), "GET /d?json", "", b"");
    assert_eq!((moved.status, moved.field("Location")), (308, "/d/?json"));
    let followed = curled(&["-L", &url(&server, "/d")]);
    assert!(String::from_utf8(followed).unwrap().contains("sub/"));
    // The root, which has a directory of the server's own that nobody sees.
    let root = ask(server.address(), "GET /", "", b"").text();
    assert!(root.contains("href=\"./d/\"") && !root.contains("./.haul"), "{root}");
    assert_eq!(root.matches("<tr><td>").count(), 1, "{root}");
    let mut peer = HttpPeer::connect(server.address());
    assert_eq!(peer.get("HEAD /d/").status, 200);
    assert_eq!(peer.get("GET /d/sub/").status, 200);
}

/// Also where a browser is told by a page what is wrong.
#[test]
fn head_has_the_fields_of_get() {
    let server = server();
    fs::write(server.root().join("a"), "bytes").unwrap();
    for path in ["/a", "/none", "/none/", "/%ff%ff/x"] {
        for accept in ["", "Accept: text/html\r\n"] {
            let [get, head] = ["GET", "HEAD"]
                .map(|method| ask(server.address(), &format!("{method} {path}"), accept, b""));
            assert!(head.body.is_empty() && !get.body.is_empty());
            assert_eq!(head.status, get.status, "{path}");
            for field in ["Content-Type", "Content-Length", "ETag"] {
                assert_eq!(head.field(field), get.field(field), "{path} {accept}: {field}");
            }
        }
    }
}

/// A list is written in pieces, and each piece begins where the one before has ended.
#[test]
fn large_directory_is_listed_whole() {
    let server = server();
    fs::create_dir(server.root().join("d")).unwrap();
    for number in 0..3000 {
        fs::write(server.root().join(format!("d/{number:04} {}", "x".repeat(60))), "").unwrap();
    }
    let list = ask(server.address(), "GET /d/?json", "", b"");
    let list: Value = serde_json::from_slice(&list.body).unwrap();
    let names: Vec<&str> = list["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 3000);
    assert!(names.is_sorted() && names[2999].starts_with("2999 "));
}

#[test]
fn entries_that_are_none_and_names_that_can_be_none_are_refused() {
    let server = with_file("d/a", b"1");
    symlink("d/a", server.root().join("link")).unwrap();
    symlink("d", server.root().join("way")).unwrap();
    for (target, status) in [
        ("/none", 404),
        ("/none/", 404),
        ("/d/a/b", 404),
        ("/d/a/", 409),
        ("/link", 409),
        ("/way/a", 404),
        ("/way/", 403),
        ("/../etc/passwd", 400),
        ("/d/%2e%2e/d/a", 400),
        ("/d%2Fa", 400),
        ("/d/a%00", 400),
        ("//d/a", 400),
        ("/.haul/", 404),
        ("/.haul/lock", 404),
        ("/.HAUL/lock", 404),
        ("/%2Ehaul/lock", 404),
    ] {
        let reply = ask(server.address(), &format!("GET {target}"), "", b"");
        assert_eq!(reply.status, status, "{target}: {}", reply.text());
    }
    let output = curl(&["--fail", &url(&server, "/none")]);
    assert_eq!(output.status.code(), Some(22));
}

/// A reader that takes nothing holds no worker, and no more memory than its bound.
#[test]
fn client_that_reads_nothing_keeps_nobody_waiting() {
    let server = server_with(&["--workers", "1"]);
    let file = File::create(server.root().join("large")).unwrap();
    file.set_len(1 << 30).unwrap();
    fs::write(server.root().join("small"), "small").unwrap();
    let mut slow: Vec<HttpPeer> = (0..20).map(|_| HttpPeer::connect(server.address())).collect();
    for peer in &mut slow {
        peer.ask("GET /large", "", b"");
    }
    for _ in 0..20 {
        assert_eq!(ask(server.address(), "GET /small", "", b"").body, b"small");
    }
    assert!(
        server.status("VmRSS").unwrap() < 100 * 1024,
        "{} KiB",
        server.status("VmRSS").unwrap()
    );
}

/// A file that changes while it is read is not joined from two states: the client sees that the answer is not whole.
/// A peer that reads nothing is given up after `--body-timeout`: not before, and with all that it held.
#[test]
fn client_that_reads_nothing_is_ended_in_its_time() {
    let server = server_with(&["--body-timeout", "1s"]);
    let file = File::create(server.root().join("large")).unwrap();
    file.set_len(1 << 30).unwrap();
    let files = || {
        let all = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
        let links = all.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        links.filter(|link| link.ends_with("large")).count()
    };
    let mut peer = HttpPeer::connect(server.address());
    peer.ask("GET /large", "", b"");
    eventually("the file is sent", || files() == 1);
    eventually("the server has given up", || files() == 0);
    let sent = peer.rest().len();
    assert!(sent > 0 && sent < 1 << 30, "{sent} bytes");
}

#[test]
fn file_that_shrinks_while_it_is_read_breaks_the_answer_off() {
    let server = server();
    let path = server.root().join("large");
    File::create(&path).unwrap().set_len(64 << 20).unwrap();
    let mut peer = HttpPeer::connect(server.address());
    peer.ask("GET /large", "", b"");
    let mut first = [0; 1000];
    let mut stream = peer.stream();
    stream.read_exact(&mut first).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1000).unwrap();
    let rest = peer.rest();
    assert!(first.starts_with(b"HTTP/1.1 200 OK\r\n") && rest.len() < 64 << 20, "{}", rest.len());
}

#[test]
fn browser_is_told_of_a_failure_by_a_page_and_others_by_a_sentence() {
    let server = server();
    let of = |first: &str, fields: &str| ask(server.address(), first, fields, b"");
    let browser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    let page = of("GET /no%3Cb%3Ene", browser);
    assert_eq!((page.status, page.field("Content-Type")), (404, "text/html; charset=utf-8"));
    assert!(page.text().contains("<h1>Nothing is here</h1>"), "{}", page.text());
    assert!(!page.text().contains("<b>") && !page.text().contains("<script"), "{}", page.text());
    let policy = page.field("Content-Security-Policy");
    assert!(
        policy.starts_with("default-src 'none'; ") && policy.contains("script-src 'none'"),
        "{policy}"
    );
    for (first, fields) in
        [("GET /none", ""), ("GET /none", "Accept: */*\r\n"), ("DELETE /none", browser)]
    {
        let text = of(first, fields);
        assert_eq!((text.status, text.field("Content-Type")), (404, "text/plain; charset=utf-8"));
        assert_eq!(text.text().lines().count(), 1, "{}", text.text());
    }
    // Also of an address that can be none, and of a host that is not known.
    assert!(of("GET /a//b", browser).text().contains("<h1>That did not work</h1>"));
    let stranger = "GET / HTTP/1.1\r\nHost: evil.example\r\nAccept: text/html\r\n\r\n";
    let mut peer = HttpPeer::connect(server.address());
    peer.send(stranger);
    let reply = peer.receive();
    assert!(reply.status == 421 && reply.text().contains("--http-host"), "{}", reply.text());
    assert_eq!(reply.field("Content-Type"), "text/html; charset=utf-8");
}
