//! Files, directories and names changed by clients of HTTP.

use haul_tests::http::{HttpPeer, ask, curl_with, curled, unnamed_files};
use haul_tests::prelude::*;

use crate::tus::{begin, patch};

fn url(server: &Hauld, path: &str) -> String {
    format!("http://{}{path}", server.address())
}

/// A body in chunks of these bytes.
fn chunks(pieces: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for piece in pieces {
        body.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        body.extend_from_slice(piece);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

#[test]
fn curl_puts_small_and_large_files_and_standard_input() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        let place = TempDir::new().unwrap();
        let status = ["-o", "/dev/null", "-w", "%{http_code}"];
        // curl asks before it sends a body of more than 1 MiB.
        for (name, len) in [("empty", 0), ("small", 3000), ("large", 5_000_000)] {
            let bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at % 249).unwrap()).collect();
            let source = place.path().join(name);
            fs::write(&source, &bytes).unwrap();
            let url = url(&server, &format!("/new/deep/{name}"));
            let put = |words: &[&str]| {
                let words = [&status[..], words, &["-T", source.to_str().unwrap(), &url]].concat();
                String::from_utf8(curled(&words)).unwrap()
            };
            assert_eq!(put(&[]), "201", "{name}");
            assert_eq!(put(&["-H", "Expect: 100-continue"]), "204", "{name}");
            assert!(fs::read(server.root().join("new/deep").join(name)).unwrap() == bytes);
            assert!(curled(&[&url]) == bytes);
        }
        let bytes = vec![9; 3_000_000];
        for bytes in [&b""[..], b"few", &bytes] {
            let output =
                curl_with(&[&status[..], &["-T", "-", &url(&server, "/in")]].concat(), bytes);
            assert!(output.stdout == b"201" || output.stdout == b"204", "{output:?}");
            assert!(fs::read(server.root().join("in")).unwrap() == bytes);
        }
        assert!(server.staged().unwrap().is_empty());
    }
}

#[test]
fn file_in_chunks_comes_whole_however_they_are_cut() {
    let server = server();
    let bytes: Vec<u8> = (0..700_000_u32).map(|at| u8::try_from(at % 241).unwrap()).collect();
    let mut peer = HttpPeer::connect(server.address());
    for len in [1000, 65_536, 300_000, 700_000] {
        let pieces: Vec<&[u8]> = bytes.chunks(len).collect();
        peer.ask("PUT /a", "Transfer-Encoding: chunked\r\n", &chunks(&pieces));
        assert!(matches!(peer.receive().status, 201 | 204), "{len}");
        assert!(fs::read(server.root().join("a")).unwrap() == bytes, "{len}");
    }
    let etag = ask(server.address(), "HEAD /a", "", b"").field("ETag").to_owned();
    assert_eq!(etag, format!("\"b3-{}\"", blake3::hash(&bytes).to_hex()));
}

/// SHA-256 of `abc`, and of nothing.
const ABC: &str = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
const NOTHING: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

#[test]
fn file_that_is_not_the_stated_one_is_not_stored() {
    let server = server();
    let put = |fields: &str, body: &[u8]| ask(server.address(), "PUT /a", fields, body);
    for (field, framing, body) in [
        ("Content-Digest", "Content-Length: 3", b"abc".to_vec()),
        ("Repr-Digest", "Transfer-Encoding: chunked", chunks(&[b"a", b"bc"])),
    ] {
        let wrong = put(&format!("{framing}\r\n{field}: sha-256=:{NOTHING}:\r\n"), &body);
        assert_eq!(wrong.status, 400, "{}", wrong.text());
        assert!(!server.root().join("a").exists());
        let right = put(&format!("{framing}\r\n{field}: sha-256=:{ABC}:\r\n"), &body);
        assert_eq!(right.status, 201);
        // The file that stands there is not harmed.
        assert_eq!(
            put(&format!("{framing}\r\n{field}: sha-256=:{NOTHING}:\r\n"), &body).status,
            400
        );
        assert_eq!(fs::read(server.root().join("a")).unwrap(), b"abc");
        fs::remove_file(server.root().join("a")).unwrap();
    }
    assert_eq!(put("Content-Length: 3\r\nContent-Digest: sha-256=:AAAA:\r\n", b"abc").status, 400);
    assert_eq!(put("Content-Length: 3\r\nContent-Digest: md5=:AAAA:\r\n", b"abc").status, 201);
    assert!(server.staged().unwrap().is_empty());
}

#[test]
fn upload_that_is_cut_off_leaves_nothing_and_harms_nothing() {
    let server = server();
    fs::write(server.root().join("a"), "before").unwrap();
    for fields in ["Content-Length: 2000000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut peer = HttpPeer::connect(server.address());
        let half = [&b"100000\r\n"[..], &[1; 1_000_000]].concat();
        peer.ask("PUT /a", fields, if fields.contains("chunked") { &half } else { &half[8..] });
        let are_staged = || !unnamed_files(server.pid()).is_empty();
        eventually("some bytes are staged", are_staged);
        assert_eq!(peer.end(), b"");
        eventually("nothing is left of it", || !are_staged());
        assert_eq!(fs::read(server.root().join("a")).unwrap(), b"before");
    }
    assert!(server.staged().unwrap().is_empty());
}

#[test]
fn server_that_is_killed_within_an_upload_has_nothing_of_it_afterwards() {
    let mut server = server_with(&["--durability", "group"]);
    fs::write(server.root().join("a"), "before").unwrap();
    let mut peer = HttpPeer::connect(server.address());
    peer.ask("PUT /a", "Content-Length: 2000000\r\n", &[1; 1_000_000]);
    let mut new = HttpPeer::connect(server.address());
    new.ask("PUT /new", "Content-Length: 2000000\r\n", &[1; 1_000_000]);
    eventually("bytes of both are staged", || unnamed_files(server.pid()).len() >= 2);
    server.signal(Signal::KILL).unwrap();
    server.wait().unwrap();
    let (root, log) = (server.root().to_owned(), server.log.clone());
    let next = Hauld::start_at(&root, &log, hauld_command(), &["--durability", "group"]).unwrap();
    server.becomes(next);
    assert_eq!(fs::read(root.join("a")).unwrap(), b"before");
    assert!(!root.join("new").exists() && server.staged().unwrap().is_empty());
    assert_eq!(ask(server.address(), "PUT /new", "Content-Length: 2\r\n", b"ab").status, 201);
}

#[test]
fn refusals_come_before_the_first_byte_of_a_large_file() {
    let server = server_with(&["--max-file", "1MiB"]);
    fs::create_dir(server.root().join("d")).unwrap();
    let expect = "Content-Length: 9000000000\r\nExpect: 100-continue\r\n";
    for (first, fields, status) in [
        ("PUT /large", expect, 413),
        ("PUT /d", expect, 409),
        ("PUT /d/", expect, 409),
        ("PUT /", expect, 409),
        ("PUT /.haul/x", expect, 404),
        ("PUT /a/../b", expect, 400),
        ("PUT /a", "Content-Length: 3\r\nExpect: 100-continue\r\nContent-Encoding: gzip\r\n", 415),
        (
            "PUT /a",
            "Content-Length: 3\r\nExpect: 100-continue\r\nContent-Range: bytes 0-2/5\r\n",
            400,
        ),
        ("PUT /a", "Content-Length: 3\r\nExpect: 100-continue\r\nUpload-Complete: ?0\r\n", 400),
        ("PUT /a", "Content-Length: 3\r\nExpect: 100-continue\r\nIf-Match: \"x\"\r\n", 501),
        ("PUT /a", "Content-Length: 3\r\nExpect: a-pony\r\n", 417),
    ] {
        let mut peer = HttpPeer::connect(server.address());
        peer.ask(first, fields, b"");
        let reply = peer.receive();
        assert_eq!(reply.status, status, "{first} {fields}: {}", reply.text());
        assert_eq!(reply.field("Connection"), "close", "{first}");
        assert_eq!(peer.end(), b"", "{first}");
    }
    // Nobody has told how long it gets.
    let piece = [1; 100_000];
    let reply = ask(
        server.address(),
        "PUT /a",
        "Transfer-Encoding: chunked\r\n",
        &chunks(&[&piece[..]; 11]),
    );
    assert_eq!(reply.status, 413);
    assert!(!server.root().join("a").exists() && server.staged().unwrap().is_empty());
}

/// A client of the draft of resumable uploads may begin one at any address, and sends the rest elsewhere.
#[test]
fn first_part_of_a_file_is_not_stored_as_the_whole() {
    let server = server();
    fs::write(server.root().join("a"), "before").unwrap();
    let put = |fields: &str| {
        let fields = format!("Content-Length: 3\r\n{fields}");
        ask(server.address(), "PUT /a", &fields, b"abc")
    };
    for field in ["Upload-Complete: ?0\r\n", "Upload-Complete: ?0;a=b\r\nUpload-Length: 6\r\n"] {
        let reply = put(field);
        assert_eq!(reply.status, 400, "{field}");
        assert!(reply.text().contains("/.haul/tus/"), "{}", reply.text());
    }
    let row = b"{\"name\":\"b\",\"size\":1}\nb";
    let fields = format!(
        "Content-Type: application/vnd.haul.rows\r\nContent-Length: {}\r\nUpload-Complete: ?0\r\n",
        row.len()
    );
    assert_eq!(ask(server.address(), "POST /.haul/many?to=/", &fields, row).status, 400);
    assert!(!server.root().join("b").exists());
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"before");
    // A client that sends all of it needs no more requests; another value counts as none.
    for field in ["Upload-Complete: ?1\r\n", "Upload-Complete: 0\r\n"] {
        assert_eq!(put(field).status, 204, "{field}");
        assert_eq!(fs::read(server.root().join("a")).unwrap(), b"abc");
    }
}

/// The answer comes at once, the rest of the body is read and thrown away, and no reset takes the answer from the client.
#[test]
fn refusal_reaches_a_client_that_sends_a_large_body() {
    let server = server();
    fs::create_dir(server.root().join("d")).unwrap();
    let bytes = vec![7; 30_000_000];
    let place = TempDir::new().unwrap();
    let source = place.path().join("source");
    fs::write(&source, &bytes).unwrap();
    let url = url(&server, "/d");
    for expect in ["Expect:", "Expect: 100-continue"] {
        let words = ["-o", "/dev/null", "-w", "%{http_code}", "-H", expect];
        let words = [&words[..], &["-T", source.to_str().unwrap(), &url]].concat();
        assert_eq!(String::from_utf8(curled(&words)).unwrap(), "409", "{expect}");
    }
    let mut peer = HttpPeer::connect(server.address());
    peer.ask("PUT /d", "Content-Length: 30000000\r\n", b"");
    // The answer is on its way before all this is.
    peer.send(&bytes);
    let reply = peer.receive();
    assert_eq!((reply.status, reply.field("Connection")), (409, "close"), "{}", reply.text());
    let mut rest = [0];
    assert_eq!(peer.stream().read(&mut rest).unwrap(), 0, "an end, and no reset");
}

#[test]
fn file_for_which_there_is_no_room_is_refused_before_its_first_byte() {
    let server = server_with(&["--keep-free", "1TiB"]);
    let mut peer = HttpPeer::connect(server.address());
    peer.ask("PUT /a", "Content-Length: 3\r\nExpect: 100-continue\r\n", b"");
    let reply = peer.receive();
    assert_eq!(reply.status, 507, "{}", reply.text());
    let reply =
        ask(server.address(), "PUT /a", "Transfer-Encoding: chunked\r\n", &chunks(&[b"abc"]));
    assert_eq!(reply.status, 507, "{}", reply.text());
}

#[test]
fn file_that_is_to_be_new_replaces_nothing() {
    let server = server();
    let put = || {
        let fields = "Content-Length: 3\r\nIf-None-Match: *\r\n";
        ask(server.address(), "PUT /a", fields, b"abc").status
    };
    assert_eq!((put(), put()), (201, 412));
    // Both begin when nothing stands there; one of them is the first.
    let fields = "Content-Length: 3\r\nIf-None-Match: *\r\nExpect: 100-continue\r\n";
    let mut both = ["x y", "z t"].map(|_| HttpPeer::connect(server.address()));
    for peer in &mut both {
        peer.ask("PUT /b", fields, b"");
        assert_eq!(peer.receive().status, 100);
    }
    let bodies = [b"one", b"two"];
    let statuses = [0, 1].map(|index| {
        both[index].send(bodies[index]);
        both[index].receive().status
    });
    assert_eq!(statuses, [201, 409]);
    assert_eq!(fs::read(server.root().join("b")).unwrap(), b"one");
}

#[test]
fn directories_are_made_entries_moved_and_removed() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        let mut peer = HttpPeer::connect(server.address());
        let mut ask = |first: &str, fields: &str| {
            peer.ask(first, fields, b"");
            let reply = peer.receive();
            assert_eq!(reply.field("Connection"), "", "{first}: {}", reply.head);
            reply.status
        };
        let at = |path: &str| server.root().join(path);
        assert_eq!(ask("MKCOL /a/b", ""), 201);
        assert!(at("a/b").is_dir());
        assert_eq!(ask("MKCOL /a/b/", ""), 405);
        let deep = format!("/{}", ["d"; 100].join("/"));
        assert_eq!(ask(&format!("MKCOL {deep}"), ""), 201);
        assert!(at(&deep[1..]).is_dir());
        fs::write(at("f"), "1").unwrap();
        fs::write(at("g"), "2").unwrap();
        assert_eq!(ask("MOVE /f", ""), 400);
        assert_eq!(ask("MOVE /f", "Destination: http://elsewhere/x\r\n"), 400);
        assert_eq!(ask("MOVE /f", "Destination: /../x\r\n"), 400);
        assert_eq!(ask("MOVE /none", "Destination: /x\r\n"), 404);
        // A slash at the end means a directory, and no file of that name.
        assert_eq!(ask("MOVE /f/", "Destination: /x\r\n"), 409);
        assert_eq!(ask("DELETE /f/", ""), 409);
        assert_eq!(
            ask("PUT /f", ""),
            411,
            "a body without an end would replace the file by nothing"
        );
        assert_eq!(fs::read(at("f")).unwrap(), b"1");
        assert_eq!(ask("MOVE /f", "Destination: /g\r\nOverwrite: F\r\n"), 412);
        assert_eq!(ask("MOVE /f", "Destination: http://localhost/g\r\n"), 204);
        assert_eq!(fs::read(at("g")).unwrap(), b"1");
        assert_eq!(ask("MOVE /g", "Destination: /a/new%20name\r\n"), 201);
        assert_eq!(fs::read(at("a/new name")).unwrap(), b"1");
        assert_eq!(ask("DELETE /a", ""), 409);
        assert_eq!(ask("DELETE /a/b", ""), 204);
        assert_eq!(ask("DELETE /a/b", ""), 404);
        assert_eq!(ask("DELETE /a/new%20name", "If-Match: \"x\"\r\n"), 501);
        assert_eq!(ask("DELETE /a/new%20name", ""), 204);
        assert_eq!(ask("DELETE /a", ""), 204);
        assert_eq!(ask("DELETE /", ""), 403);
        assert!(!at("a").exists());
    }
}

#[test]
fn upload_over_http_is_in_the_audit_log_like_any_other() {
    let place = TempDir::new().unwrap();
    let log = place.path().join("audit");
    let server = server_with(&["--audit", log.to_str().unwrap()]);
    assert_eq!(ask(server.address(), "PUT /a", "Content-Length: 3\r\n", b"abc").status, 201);
    assert_eq!(ask(server.address(), "DELETE /a", "", b"").status, 204);
    let at = begin(&server, "by/tus", 4);
    assert_eq!(patch(&server, &at, 0, b"tus!", "").status, 204);
    let form = "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"form\"\r\n\r\nform!\r\n--x--\r\n";
    let fields = format!(
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {}\r\n",
        form.len()
    );
    assert_eq!(ask(server.address(), "POST /by/", &fields, form.as_bytes()).status, 303);
    let row = "{\"name\":\"row\",\"size\":6}\nrow-by";
    let fields =
        format!("Content-Type: application/vnd.haul.rows\r\nContent-Length: {}\r\n", row.len());
    let reply = ask(server.address(), "POST /.haul/many?to=/by", &fields, row.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let digest = blake3::hash(b"abc").to_hex().to_string();
    let has = |name: &str, line: &Value| line.to_string().contains(name);
    assert!(lines.iter().any(|line| has(&digest, line) && line["size"] == 3), "{text}");
    assert!(lines.iter().any(|line| has("remov", line) && has("\"a\"", line)), "{text}");
    for (name, bytes) in [("by/tus", &b"tus!"[..]), ("by/form", b"form!"), ("by/row", b"row-by")] {
        let digest = blake3::hash(bytes).to_hex().to_string();
        let is_of = |line: &&Value| has(&digest, line) && has(&format!("\"{name}\""), line);
        let of_file: Vec<&Value> = lines.iter().filter(is_of).collect();
        assert_eq!(of_file.len(), 1, "{name}: {text}");
        assert_eq!(of_file[0]["size"], bytes.len());
    }
}

#[test]
fn mtime_that_a_client_tells_is_set_or_refused() {
    let server = server();
    let put = |mtime: &str| {
        let fields = format!("Content-Length: 1\r\nX-OC-Mtime: {mtime}\r\n");
        ask(server.address(), "PUT /f", &fields, b"x").status
    };
    assert_eq!(put("1700000000.5"), 201);
    let found = fs::metadata(server.root().join("f")).unwrap();
    assert_eq!((found.mtime(), found.mtime_nsec()), (1_700_000_000, 500_000_000));
    for wrong in ["soon", "9223372036854775807", "253402300800", ""] {
        assert_eq!(put(wrong), 400, "{wrong}");
    }
    assert_eq!(fs::metadata(server.root().join("f")).unwrap().mtime(), 1_700_000_000);
}

/// Who forgets to write a question mark as `%3F` would change the entry of another name.
#[test]
fn query_is_no_part_of_the_address_of_something_that_is_changed() {
    let server = server();
    for name in ["a", "b"] {
        fs::write(server.root().join(name), name).unwrap();
    }
    for (request, fields) in [
        ("PUT /b?c.txt", ""),
        ("DELETE /b?c.txt", ""),
        ("MKCOL /d?", ""),
        ("MKCOL /d?e", ""),
        ("MOVE /b?c", "Destination: /x\r\n"),
        ("MOVE /a", "Destination: /b?c.txt\r\n"),
        ("COPY /a", "Destination: /b?c.txt\r\n"),
    ] {
        let reply = ask(server.address(), request, fields, b"");
        let expected = if request.ends_with('?') { 201 } else { 400 };
        assert_eq!(reply.status, expected, "{request}: {}", reply.text());
        assert!(expected == 201 || reply.text().contains("%3F"), "{}", reply.text());
    }
    assert_eq!(fs::read(server.root().join("b")).unwrap(), b"b");
    assert_eq!(
        ask(server.address(), "PUT /b%3Fc.txt", "Content-Length: 3\r\n", b"new").status,
        201
    );
    assert_eq!(fs::read(server.root().join("b?c.txt")).unwrap(), b"new");
    // A page asks for what it shows, with a word against caches or without.
    assert_eq!(ask(server.address(), "GET /b?v=1", "", b"").text(), "b");
}
