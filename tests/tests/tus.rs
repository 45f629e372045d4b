//! Resumable uploads over HTTP by clients of tus 1.0, as its specification has them.

use haul_tests::http::{HttpPeer, Reply, ask};
use haul_tests::prelude::*;
use haul_tests::tus::{BYTES, TUS, base64, metadata};

/// SHA-256 of `abc`.
const SHA_OF_ABC: &str = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";

/// Begins an upload of a file of this size; returns its address.
pub(crate) fn begin(server: &Hauld, name: &str, size: usize) -> String {
    let reply = create(server, &format!("Upload-Length: {size}\r\n"), &[("filename", name)]);
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.field("Location").to_owned()
}

fn create(server: &Hauld, fields: &str, pairs: &[(&str, &str)]) -> Reply {
    let fields = format!("{TUS}{}{fields}", metadata(pairs));
    ask(server.address(), "POST /.haul/tus/", &fields, b"")
}

/// Sends bytes of an upload.
pub(crate) fn patch(server: &Hauld, at: &str, offset: usize, bytes: &[u8], more: &str) -> Reply {
    let len = bytes.len();
    let fields = format!("{BYTES}Upload-Offset: {offset}\r\nContent-Length: {len}\r\n{more}");
    ask(server.address(), &format!("PATCH {at}"), &fields, bytes)
}

/// Asks how far an upload is.
pub(crate) fn head(server: &Hauld, at: &str) -> Reply {
    ask(server.address(), &format!("HEAD {at}"), TUS, b"")
}

/// Its offset.
pub(crate) fn offset(server: &Hauld, at: &str) -> usize {
    let reply = head(server, at);
    assert_eq!(reply.status, 200, "{}", reply.head);
    reply.field("Upload-Offset").parse().unwrap()
}

/// So many bytes, none of which is that of another place.
pub(crate) fn some(len: usize) -> Vec<u8> {
    (0..u32::try_from(len).unwrap()).flat_map(|at| (at / 4).to_le_bytes()).take(len).collect()
}

#[test]
fn options_tell_what_is_spoken() {
    let server = server_with(&["--max-file", "1MiB"]);
    let reply = ask(server.address(), "OPTIONS /.haul/tus/", "", b"");
    assert_eq!(reply.status, 204);
    assert_eq!(reply.field("Tus-Version"), "1.0.0");
    assert_eq!(reply.field("Tus-Max-Size"), "1048576");
    assert_eq!(reply.field("Tus-Checksum-Algorithm"), "sha1,sha256,blake3");
    let extensions: Vec<&str> = reply.field("Tus-Extension").split(',').collect();
    for extension in [
        "creation",
        "creation-defer-length",
        "creation-with-upload",
        "expiration",
        "checksum",
        "termination",
    ] {
        assert!(extensions.contains(&extension), "{extension}");
    }
    assert!(!extensions.contains(&"concatenation"));
}

#[test]
fn file_comes_in_pieces_and_is_seen_when_it_is_whole() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        let bytes = some(9_000_000);
        let at = begin(&server, "new/ü b", bytes.len());
        let file = server.root().join("new/ü b");
        let mut sent = 0;
        for end in [0, 1, 8_388_608, 8_388_609, 8_999_999] {
            let reply = patch(&server, &at, sent, &bytes[sent..end], "");
            assert_eq!(reply.status, 204, "{}", reply.head);
            assert_eq!(reply.field("Upload-Offset"), end.to_string());
            assert_eq!(reply.field("Tus-Resumable"), "1.0.0");
            assert!(reply.field("Upload-Expires").ends_with("GMT"));
            assert_eq!(offset(&server, &at), end);
            assert!(!file.exists());
            sent = end;
        }
        let reply = patch(&server, &at, sent, &bytes[sent..], "");
        assert_eq!((reply.status, reply.field("Upload-Offset")), (204, "9000000"));
        assert!(fs::read(&file).unwrap() == bytes);
        if durability == "group" {
            let reply = ask(server.address(), "HEAD /new/%C3%BC%20b", "", b"");
            assert_eq!(reply.field("ETag"), format!("\"b3-{}\"", blake3::hash(&bytes).to_hex()));
        }
        // Until the file is another one, or gone.
        let reply = head(&server, &at);
        assert_eq!((reply.status, reply.field("Upload-Offset")), (200, "9000000"));
        fs::remove_file(&file).unwrap();
        assert_eq!(head(&server, &at).status, 404);
        fs::write(&file, &bytes).unwrap();
        assert_eq!(head(&server, &at).status, 404);
        assert_eq!(patch(&server, &at, 9_000_000, b"", "").status, 404);
    }
}

#[test]
fn upload_is_told_as_it_was_begun() {
    let server = server();
    let at = begin(&server, "a", 100);
    let reply = head(&server, &at);
    assert_eq!(reply.field("Upload-Length"), "100");
    assert_eq!(reply.field("Upload-Metadata"), "filename YQ==");
    assert_eq!(reply.field("Cache-Control"), "no-store");
    assert_eq!(reply.field("Tus-Resumable"), "1.0.0");
    assert!(reply.field("Upload-Defer-Length").is_empty());
    // The client may also send its first bytes at once, or all.
    for (size, body, left) in [(5, &b"hello"[..], 0), (7, b"hello", 2)] {
        let fields = format!(
            "{BYTES}Upload-Length: {size}\r\nContent-Length: 5\r\n{}",
            metadata(&[("filename", "b"), ("mtime", "1700000000")])
        );
        let reply = ask(server.address(), "POST /.haul/tus/", &fields, body);
        assert_eq!((reply.status, reply.field("Upload-Offset")), (201, "5"), "{}", reply.text());
        let at = reply.field("Location").to_owned();
        if left > 0 {
            assert_eq!(patch(&server, &at, 5, b" you", "").status, 413);
            assert_eq!(patch(&server, &at, 5, b" u", "").status, 204);
            assert_eq!(fs::read(server.root().join("b")).unwrap(), b"hello u");
        } else {
            assert_eq!(fs::read(server.root().join("b")).unwrap(), b"hello");
        }
        let modified = fs::metadata(server.root().join("b")).unwrap().mtime();
        assert_eq!(modified, 1_700_000_000);
    }
    let reply = create(&server, "Upload-Length: 0\r\n", &[("filename", "empty")]);
    assert_eq!(reply.status, 201);
    assert_eq!(fs::read(server.root().join("empty")).unwrap(), b"");
}

#[test]
fn length_may_be_told_later() {
    let server = server_with(&["--durability", "group"]);
    let reply = create(&server, "Upload-Defer-Length: 1\r\n", &[("filename", "a")]);
    let at = reply.field("Location").to_owned();
    assert_eq!(patch(&server, &at, 0, b"abc", "").status, 204);
    let reply = head(&server, &at);
    assert_eq!((reply.field("Upload-Defer-Length"), reply.field("Upload-Length")), ("1", ""));
    assert_eq!(patch(&server, &at, 3, b"d", "Upload-Length: 2\r\n").status, 400);
    // A request that is refused has told no length.
    assert_eq!(patch(&server, &at, 3, b"def", "Upload-Length: 5\r\n").status, 413);
    assert_eq!(patch(&server, &at, 3, b"d", "Upload-Length: 1099511627776\r\n").status, 507);
    assert_eq!(head(&server, &at).field("Upload-Defer-Length"), "1");
    assert_eq!(patch(&server, &at, 3, b"d", "Upload-Length: 6\r\n").status, 204);
    assert_eq!(head(&server, &at).field("Upload-Length"), "6");
    assert_eq!(patch(&server, &at, 4, b"ef", "Upload-Length: 7\r\n").status, 400);
    assert_eq!(patch(&server, &at, 4, b"ef", "").status, 204);
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"abcdef");
}

#[test]
fn requests_that_are_wrong_change_nothing() {
    let server = server_with(&["--max-file", "1MiB"]);
    fs::create_dir(server.root().join("d")).unwrap();
    fs::write(server.root().join("stands"), "before").unwrap();
    let named = |name: &str| metadata(&[("filename", name)]);
    let fields = |more: &str| format!("{TUS}{}{more}", named("x"));
    let length = "Upload-Length: 5\r\n";
    for (fields, status) in [
        (fields(""), 400),
        (fields("Upload-Length: five\r\n"), 400),
        (fields("Upload-Length: 9999999\r\n"), 413),
        (format!("{TUS}{length}"), 400),
        (format!("{TUS}{length}{}", named("d")), 409),
        (format!("{TUS}{length}{}", named("../x")), 400),
        (format!("{TUS}{length}{}", named(".haul/x")), 400),
        (format!("{TUS}{length}{}", metadata(&[("filename", "stands"), ("replace", "no")])), 409),
        (fields(&format!("{length}Upload-Concat: partial\r\n")), 400),
        (format!("Tus-Resumable: 0.2.2\r\n{}{length}", named("x")), 412),
        (format!("{}{length}", named("x")), 412),
        (fields(&format!("{length}Content-Length: 3\r\nContent-Type: text/plain\r\n")), 415),
    ] {
        let body: &[u8] = if fields.contains("Content-Length") { b"abc" } else { b"" };
        let reply = ask(server.address(), "POST /.haul/tus/", &fields, body);
        assert_eq!(reply.status, status, "{fields}: {}", reply.text());
        if status == 412 {
            assert_eq!(reply.field("Tus-Version"), "1.0.0");
        }
    }
    let at = begin(&server, "x", 5);
    let wrong = format!("{TUS}Upload-Offset: 0\r\nContent-Length: 1\r\n");
    let reply = ask(server.address(), &format!("PATCH {at}"), &wrong, b"a");
    assert_eq!(reply.status, 415);
    let reply = patch(&server, &at, 1, b"a", "");
    assert_eq!((reply.status, reply.field("Upload-Offset")), (409, "0"));
    assert_eq!(patch(&server, &at, 0, b"abcdef", "").status, 413);
    let unknown = "/.haul/tus/00000000000000000000000000000000";
    assert_eq!(patch(&server, unknown, 0, b"a", "").status, 404);
    assert_eq!(head(&server, unknown).status, 404);
    assert_eq!(head(&server, "/.haul/tus/none").status, 404);
    let reply = ask(server.address(), &format!("GET {at}"), TUS, b"");
    assert_eq!((reply.status, reply.field("Allow")), (405, "POST, HEAD, PATCH, DELETE, OPTIONS"));
    assert_eq!(ask(server.address(), "PATCH /.haul/tus/", BYTES, b"").status, 405);
    assert_eq!(offset(&server, &at), 0);
    assert_eq!(server.partials().unwrap().len(), 1);
    assert_eq!(fs::read(server.root().join("stands")).unwrap(), b"before");
}

#[test]
fn bytes_with_a_wrong_checksum_do_not_count() {
    let server = server();
    let bytes = some(9_000_000);
    let at = begin(&server, "a", bytes.len());
    assert_eq!(patch(&server, &at, 0, &bytes[..1000], "").status, 204);
    let blake3 = |bytes: &[u8]| format!("blake3 {}", base64(blake3::hash(bytes).as_bytes()));
    let sha = format!("sha256 {SHA_OF_ABC}");
    for wrong in [&*blake3(b"other"), &sha, "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
        let reply =
            patch(&server, &at, 1000, &bytes[1000..], &format!("Upload-Checksum: {wrong}\r\n"));
        assert_eq!(reply.status, 460, "{wrong}");
        assert_eq!(offset(&server, &at), 1000);
    }
    for wrong in ["md5 AAAA", "sha256 AAAA", "sha256"] {
        let reply = patch(&server, &at, 1000, b"x", &format!("Upload-Checksum: {wrong}\r\n"));
        assert_eq!(reply.status, 400, "{wrong}");
    }
    let more = format!("Upload-Checksum: {}\r\n", blake3(&bytes[1000..2000]));
    assert_eq!(patch(&server, &at, 1000, &bytes[1000..2000], &more).status, 204);
    // What has come of a request that is cut off is not checked, and does not count.
    let more = format!("Upload-Checksum: {}\r\n", blake3(&bytes[2000..]));
    let mut peer = HttpPeer::connect(server.address());
    let fields = format!("{BYTES}Upload-Offset: 2000\r\nContent-Length: 8998000\r\n{more}");
    peer.ask(&format!("PATCH {at}"), &fields, &bytes[2000..100_000]);
    peer.end();
    assert_eq!(offset(&server, &at), 2000);
    assert_eq!(patch(&server, &at, 2000, &bytes[2000..], &more).status, 204);
    assert!(fs::read(server.root().join("a")).unwrap() == bytes);
    let at = begin(&server, "b", 3);
    assert_eq!(patch(&server, &at, 0, b"abc", &format!("Upload-Checksum: {sha}\r\n")).status, 204);
}

#[test]
fn upload_that_is_terminated_is_gone() {
    let server = server();
    let at = begin(&server, "a", 100);
    assert_eq!(patch(&server, &at, 0, b"abc", "").status, 204);
    assert_eq!(ask(server.address(), &format!("DELETE {at}"), TUS, b"").status, 204);
    assert_eq!(head(&server, &at).status, 404);
    assert_eq!(ask(server.address(), &format!("DELETE {at}"), TUS, b"").status, 404);
    assert!(server.partials().unwrap().is_empty());
    // Of a finished one the file stays.
    let at = begin(&server, "a", 3);
    assert_eq!(patch(&server, &at, 0, b"abc", "").status, 204);
    assert!(matches!(ask(server.address(), &format!("DELETE {at}"), TUS, b"").status, 204 | 404));
    assert_eq!(head(&server, &at).status, 404);
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"abc");
}

#[test]
fn method_may_come_in_a_field() {
    let server = server();
    let at = begin(&server, "a", 3);
    let over = |method: &str, first: &str, more: &str, body: &[u8]| {
        let fields = format!("X-HTTP-Method-Override: {method}\r\n{more}");
        ask(server.address(), first, &fields, body)
    };
    let fields = format!("{BYTES}Upload-Offset: 0\r\nContent-Length: 2\r\n");
    assert_eq!(over("PATCH", &format!("POST {at}"), &fields, b"ab").status, 204);
    assert_eq!(over("GET", &format!("POST {at}"), TUS, b"").status, 400);
    assert_eq!(over("DELETE", &format!("HEAD {at}"), TUS, b"").status, 400);
    assert_eq!(offset(&server, &at), 2);
    assert_eq!(over("DELETE", &format!("POST {at}"), TUS, b"").status, 204);
    assert_eq!(head(&server, &at).status, 404);
}

#[test]
fn file_that_may_not_replace_anything_is_refused_at_its_commit_too() {
    let server = server();
    let pairs = [("filename", "a"), ("replace", "no")];
    let at = create(&server, "Upload-Length: 3\r\n", &pairs).field("Location").to_owned();
    assert_eq!(patch(&server, &at, 0, b"ab", "").status, 204);
    fs::write(server.root().join("a"), "other").unwrap();
    assert_eq!(patch(&server, &at, 2, b"c", "").status, 409);
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"other");
    assert_eq!(head(&server, &at).status, 404);
}

/// Each answer has what the specification demands, also those that tests of a subject don't look at.
#[test]
fn answers_have_what_the_specification_demands_of_them() {
    let server = server_with(&["--max-file", "1MiB"]);
    let at = begin(&server, "a", 6);
    let options = ask(server.address(), &format!("OPTIONS {at}"), "", b"");
    assert_eq!((options.status, options.field("Tus-Version")), (204, "1.0.0"));
    // The version, in every answer to a client of tus, refusals too.
    let unknown = "/.haul/tus/00000000000000000000000000000000";
    let create = |more: &str| format!("{TUS}{}{more}", metadata(&[("filename", "b")]));
    for (first, fields, status) in [
        (format!("HEAD {at}"), TUS.to_owned(), 200),
        (format!("HEAD {unknown}"), TUS.to_owned(), 404),
        (format!("DELETE {unknown}"), TUS.to_owned(), 404),
        (format!("PATCH {at}"), format!("{BYTES}Upload-Offset: 1\r\n"), 409),
        (format!("PATCH {at}"), format!("{TUS}Upload-Offset: 0\r\n"), 415),
        (format!("PATCH {at}"), BYTES.to_owned(), 400),
        (format!("GET {at}"), TUS.to_owned(), 405),
        (String::from("POST /.haul/tus/"), create(""), 400),
        (String::from("POST /.haul/tus/"), create("Upload-Length: 9999999\r\n"), 413),
        (
            String::from("POST /.haul/tus/"),
            create("Upload-Length: 1\r\nUpload-Defer-Length: 1\r\n"),
            400,
        ),
        (String::from("POST /.haul/tus/"), create("Upload-Defer-Length: 2\r\n"), 400),
        (String::from("POST /.haul/tus/"), create("Upload-Length: 0\r\n"), 201),
    ] {
        let reply = ask(server.address(), &first, &fields, b"");
        assert_eq!(reply.status, status, "{first} {fields}: {}", reply.text());
        assert_eq!(reply.field("Tus-Resumable"), "1.0.0", "{first}: {}", reply.head);
        // An offset tells that there is an upload.
        assert!(status != 404 || reply.field("Upload-Offset").is_empty(), "{}", reply.head);
    }
    // Without the field it is no request of tus; with another version nothing is done.
    let reply = ask(server.address(), &format!("HEAD {at}"), "", b"");
    assert_eq!((reply.field("Tus-Resumable"), reply.field("Upload-Complete")), ("", "?0"));
    let other = "Tus-Resumable: 0.2.2\r\n";
    let reply = ask(server.address(), &format!("DELETE {at}"), other, b"");
    assert_eq!((reply.status, reply.field("Tus-Version")), (412, "1.0.0"));
    // Offset 0 is told, too.
    assert_eq!(head(&server, &at).field("Upload-Offset"), "0");
    let fields = format!("{BYTES}Upload-Offset: 0\r\nTransfer-Encoding: chunked\r\n");
    let chunks = b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n";
    let reply = ask(server.address(), &format!("PATCH {at}"), &fields, chunks);
    assert_eq!((reply.status, reply.field("Upload-Offset")), (204, "3"));
    // SHA-1 of `def`.
    let sum = "Upload-Checksum: sha1 WJwiM1o4HxItEpIl9cC6MFbtWBE=\r\n";
    assert_eq!(patch(&server, &at, 3, b"def", sum).status, 204);
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"abcdef");
}

#[test]
fn digests_of_the_bytes_of_a_request_are_checked_or_refused() {
    let server = server();
    let digest = |field: &str, value: &str| format!("{field}: sha-256=:{value}:\r\n");
    let at = begin(&server, "a", 6);
    for wrong in ["Content-Digest", "Repr-Digest"] {
        assert_eq!(
            patch(&server, &at, 0, b"xyz", &digest(wrong, SHA_OF_ABC)).status,
            400,
            "{wrong}"
        );
        assert_eq!(offset(&server, &at), 0);
    }
    assert_eq!(patch(&server, &at, 0, b"abc", &digest("Content-Digest", "AAAA")).status, 400);
    assert_eq!(patch(&server, &at, 0, b"abc", &digest("Content-Digest", SHA_OF_ABC)).status, 204);
    // Also with one of tus: both have to be right.
    let both = format!(
        "{}Upload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n",
        digest("Content-Digest", SHA_OF_ABC)
    );
    assert_eq!(patch(&server, &at, 3, b"abc", &both).status, 460);
    assert_eq!(patch(&server, &at, 3, b"abc", &digest("Repr-Digest", SHA_OF_ABC)).status, 400);
    assert_eq!(offset(&server, &at), 3);
    // The digest of the whole file, with all of its bytes.
    for (name, value, status) in
        [("b", SHA_OF_ABC, 201), ("c", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 400)]
    {
        let fields = format!(
            "{BYTES}Upload-Length: 3\r\nContent-Length: 3\r\n{}{}",
            digest("Repr-Digest", value),
            metadata(&[("filename", name)])
        );
        let reply = ask(server.address(), "POST /.haul/tus/", &fields, b"abc");
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
        assert_eq!(server.root().join(name).exists(), status == 201);
    }
}

/// Its browser sends such requests without asking first, if they look like those of a form.
#[test]
fn page_of_another_server_begins_and_changes_no_upload() {
    let server = server();
    let foreign = "Origin: http://evil.example\r\n";
    let at = begin(&server, "a", 3);
    let named = metadata(&[("filename", "b")]);
    let create = format!("{foreign}{TUS}{named}Upload-Length: 3\r\n");
    let append = format!("{foreign}{BYTES}Upload-Offset: 0\r\nContent-Length: 3\r\n");
    let draft = format!(
        "{foreign}Upload-Complete: ?1\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
    );
    for (first, fields, body) in [
        ("POST /.haul/tus/".to_owned(), create, &b""[..]),
        ("POST /.haul/tus/?name=b".to_owned(), draft, b"abc"),
        (format!("POST {at}"), format!("X-HTTP-Method-Override: PATCH\r\n{append}"), b"abc"),
        (format!("POST {at}"), format!("X-HTTP-Method-Override: DELETE\r\n{foreign}{TUS}"), b""),
        (format!("PATCH {at}"), append.clone(), b"abc"),
        (format!("DELETE {at}"), format!("{foreign}{TUS}"), b""),
    ] {
        assert_eq!(ask(server.address(), &first, &fields, body).status, 403, "{first} {fields}");
    }
    // HEAD changes nothing, and its page may not read the answer.
    let reply = ask(server.address(), &format!("HEAD {at}"), &format!("{foreign}{TUS}"), b"");
    assert_eq!((reply.status, reply.field("Access-Control-Allow-Origin")), (200, ""));
    assert_eq!(offset(&server, &at), 0);
    assert_eq!(server.partials().unwrap().len(), 1);
    assert!(!server.root().join("b").exists());
}
