//! Resumable uploads by clients of the draft of the IETF (draft-ietf-httpbis-resumable-upload, interop version 8): each thing that
//! it demands of a server.

use haul_tests::http::{HttpPeer, Reply, ask};
use haul_tests::prelude::*;

use crate::tus::some;
use crate::tus_interrupted::partial_len;

/// The field of a client of the present draft.
const DRAFT: &str = "Upload-Draft-Interop-Version: 8\r\n";

/// SHA-256 of `abcdef`, of `def`, and of `other`.
const ABCDEF: &str = "vvV+x/U6bUC+tkCngKY5yDvCmsipgW8fxsXG3Nk8RyE=";
const DEF: &str = "y4N5rCCYqhZQKeOTilHaC87PwAj9Z5X0AReGR/lsWzQ=";
const OTHER: &str = "2SmKENGwc1g33EvYXaxkGw887yekfl1TpU8vP1svz/o=";

/// Begins an upload; returns the answer before the real one, and the real one.
fn create(server: &Hauld, name: &str, fields: &str, body: &[u8]) -> (Reply, Reply) {
    let mut peer = HttpPeer::connect(server.address());
    let fields = format!("{DRAFT}Content-Length: {}\r\n{fields}", body.len());
    peer.ask(&format!("POST /.haul/tus/?name={name}"), &fields, body);
    let before = peer.receive();
    assert_eq!(before.status, 104, "{} {}", before.head, before.text());
    (before, peer.receive())
}

/// The same; returns the address of the upload, which is not complete.
fn begin(server: &Hauld, name: &str, fields: &str, body: &[u8]) -> String {
    let (_, reply) = create(server, name, &format!("Upload-Complete: ?0\r\n{fields}"), body);
    assert_eq!((reply.status, reply.field("Upload-Complete")), (201, "?0"), "{}", reply.text());
    reply.field("Location").to_owned()
}

/// The fields of a request that appends.
fn appending(offset: usize, complete: bool) -> String {
    let complete = u8::from(complete);
    format!(
        "{DRAFT}Content-Type: application/partial-upload\r\nUpload-Offset: {offset}\r\nUpload-Complete: ?{complete}\r\n"
    )
}

fn append(server: &Hauld, at: &str, offset: usize, complete: bool, body: &[u8]) -> Reply {
    append_with(server, at, offset, complete, body, "")
}

fn append_with(
    server: &Hauld,
    at: &str,
    offset: usize,
    complete: bool,
    body: &[u8],
    more: &str,
) -> Reply {
    let fields = format!("{}Content-Length: {}\r\n{more}", appending(offset, complete), body.len());
    ask(server.address(), &format!("PATCH {at}"), &fields, body)
}

fn head(server: &Hauld, at: &str) -> Reply {
    ask(server.address(), &format!("HEAD {at}"), DRAFT, b"")
}

/// The offset of an upload that is not complete.
fn offset(server: &Hauld, at: &str) -> usize {
    let reply = head(server, at);
    assert_eq!((reply.status, reply.field("Upload-Complete")), (200, "?0"), "{}", reply.head);
    reply.field("Upload-Offset").parse().unwrap()
}

#[test]
fn client_of_the_draft_uploads_in_pieces() {
    let server = server_with(&["--durability", "group", "--max-file", "1MiB"]);
    for version in ["5", "6", "8"] {
        let version = format!("Upload-Draft-Interop-Version: {version}\r\n");
        let mut peer = HttpPeer::connect(server.address());
        let fields = format!("{version}Upload-Complete: ?0\r\nContent-Length: 3\r\n");
        peer.ask("POST /.haul/tus/?name=d%2Fa", &fields, b"abc");
        let before = peer.receive();
        assert_eq!(before.status, 104, "{}", before.head);
        let reply = peer.receive();
        assert_eq!((reply.status, reply.field("Upload-Complete")), (201, "?0"));
        let at = reply.field("Location").to_owned();
        assert_eq!(before.field("Location"), at);
        assert!(version.contains(before.field("Upload-Draft-Interop-Version")), "{}", before.head);
        let head = ask(server.address(), &format!("HEAD {at}"), &version, b"");
        assert_eq!((head.field("Upload-Offset"), head.field("Upload-Complete")), ("3", "?0"));
        assert_eq!((head.field("Upload-Length"), head.field("Upload-Defer-Length")), ("", ""));
        assert_eq!(head.field("Cache-Control"), "no-store");
        for reply in [&before, &reply, &head] {
            let limit = reply.field("Upload-Limit");
            assert_eq!(limit, "max-size=1048576, max-age=604800", "{}", reply.head);
        }
        let append = |offset: usize, complete: &str, body: &[u8]| {
            let fields = format!(
                "{version}Content-Type: application/partial-upload\r\nUpload-Offset: {offset}\r\nUpload-Complete: {complete}\r\nContent-Length: {}\r\n",
                body.len()
            );
            ask(server.address(), &format!("PATCH {at}"), &fields, body)
        };
        let wrong = append(2, "?0", b"x");
        assert_eq!((wrong.status, wrong.field("Upload-Offset")), (409, "3"), "{}", wrong.head);
        assert!(wrong.text().contains("Upload-Offset"), "{}", wrong.text());
        let reply = append(3, "?0", b"de");
        assert_eq!((reply.status, reply.field("Upload-Complete")), (204, "?0"));
        assert_eq!(reply.field("Location"), "");
        let reply = append(5, "?1", b"f");
        assert_eq!((reply.status, reply.field("Upload-Complete")), (204, "?1"));
        assert_eq!(fs::read(server.root().join("d/a")).unwrap(), b"abcdef");
    }
    // A whole file at once, of a client that understands no answer in between.
    for version in ["", "Upload-Draft-Interop-Version: 7\r\n"] {
        let fields = format!("{version}Upload-Complete: ?1\r\nContent-Length: 3\r\n");
        let reply = ask(server.address(), "POST /.haul/tus/?name=b", &fields, b"abc");
        assert_eq!((reply.status, reply.field("Upload-Complete")), (201, "?1"));
        assert_eq!(fs::read(server.root().join("b")).unwrap(), b"abc");
    }
    // Neither does one of HTTP/1.0.
    let mut old = HttpPeer::connect(server.address());
    old.send(format!(
        "POST /.haul/tus/?name=c HTTP/1.0\r\n{DRAFT}Upload-Complete: ?1\r\nContent-Length: 3\r\n\r\nabc"
    ));
    assert_eq!(old.receive().status, 201);
}

#[test]
fn options_tell_what_can_be_appended_and_the_limits() {
    let server = server_with(&["--max-file", "1MiB", "--keep-partials", "1h"]);
    let reply = ask(server.address(), "OPTIONS /.haul/tus/", "", b"");
    let types: Vec<&str> = reply.field("Accept-Patch").split(", ").collect();
    assert!(types.contains(&"application/partial-upload"), "{}", reply.head);
    assert_eq!(reply.field("Upload-Limit"), "max-size=1048576, max-age=3600");
    // No other address takes the beginning of an upload.
    assert_eq!(ask(server.address(), "OPTIONS /", "", b"").field("Accept-Patch"), "");
}

#[test]
fn client_that_waits_gets_both_answers_before_the_real_one() {
    let server = server();
    let mut peer = HttpPeer::connect(server.address());
    let fields =
        format!("{DRAFT}Upload-Complete: ?1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n");
    peer.ask("POST /.haul/tus/?name=a", &fields, b"");
    let mut before = [peer.receive().status, peer.receive().status];
    before.sort_unstable();
    assert_eq!(before, [100, 104]);
    peer.send(b"abc");
    assert_eq!(peer.receive().status, 201);
}

#[test]
fn upload_whose_first_request_is_cut_off_goes_on_at_the_address_that_was_told_before() {
    for durability in ["none", "group"] {
        let server = server_with(&["--durability", durability]);
        let bytes = some(9_000_000);
        let mut peer = HttpPeer::connect(server.address());
        let fields = format!("{DRAFT}Upload-Complete: ?1\r\nContent-Length: {}\r\n", bytes.len());
        peer.ask("POST /.haul/tus/?name=a", &fields, &bytes[..8_500_000]);
        let before = peer.receive();
        let at = before.field("Location").to_owned();
        assert_eq!((before.status, at.starts_with("/.haul/tus/")), (104, true), "{}", before.head);
        peer.end();
        let reply = head(&server, &at);
        assert_eq!(
            (reply.field("Upload-Offset"), reply.field("Upload-Complete")),
            ("8500000", "?0")
        );
        assert_eq!(reply.field("Upload-Length"), "9000000");
        assert!(!server.root().join("a").exists());
        let reply = append(&server, &at, 8_500_000, true, &bytes[8_500_000..]);
        assert_eq!((reply.status, reply.field("Upload-Complete")), (204, "?1"), "{}", reply.text());
        assert!(fs::read(server.root().join("a")).unwrap() == bytes);
        let reply = head(&server, &at);
        assert_eq!(
            (reply.field("Upload-Offset"), reply.field("Upload-Complete")),
            ("9000000", "?1")
        );
    }
}

#[test]
fn length_that_a_last_request_tells_is_known_also_if_it_is_cut_off() {
    let server = server();
    let at = begin(&server, "a", "", b"abc");
    let mut peer = HttpPeer::connect(server.address());
    peer.ask(&format!("PATCH {at}"), &format!("{}Content-Length: 4\r\n", appending(3, true)), b"d");
    peer.end();
    let reply = head(&server, &at);
    assert_eq!((reply.field("Upload-Length"), reply.field("Upload-Offset")), ("7", "4"));
    // The client has to keep to it when it goes on.
    assert_eq!(append(&server, &at, 4, true, b"ef").status, 400);
    assert_eq!(append(&server, &at, 4, true, b"efg").status, 204);
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"abcdefg");
}

#[test]
fn lengths_that_differ_are_refused_and_change_nothing() {
    let server = server();
    for fields in [
        "Upload-Complete: ?1\r\nUpload-Length: 4\r\n",
        "Upload-Complete: ?0\r\nUpload-Length: 2\r\n",
    ] {
        let fields = format!("{DRAFT}{fields}Content-Length: 3\r\n");
        let reply = ask(server.address(), "POST /.haul/tus/?name=a", &fields, b"abc");
        assert_eq!(reply.status, 400, "{fields}: {}", reply.text());
    }
    assert!(server.partials().unwrap().is_empty());
    let at = begin(&server, "a", "Upload-Length: 6\r\n", b"abc");
    for (complete, body, more) in [
        (false, &b"d"[..], "Upload-Length: 7\r\n"),
        (true, b"d", ""),
        (true, b"defg", ""),
        (false, b"defg", ""),
        (true, b"def", "Upload-Length: 5\r\n"),
        (true, b"", ""),
    ] {
        let reply = append_with(&server, &at, 3, complete, body, more);
        assert_eq!(reply.status, 400, "{body:?} {more}: {}", reply.text());
        assert_eq!(reply.field("Upload-Complete"), "", "{}", reply.head);
        assert_eq!(offset(&server, &at), 3, "{body:?} {more}");
    }
    assert_eq!(head(&server, &at).field("Upload-Length"), "6");
    assert_eq!(append(&server, &at, 3, true, b"def").status, 204);
}

/// Nobody can say what such a client means, so nothing can be appended any more.
#[test]
fn upload_is_over_when_bytes_behind_its_length_come() {
    let server = server();
    let at = begin(&server, "a", "Upload-Length: 6\r\n", b"abc");
    let fields = format!("{}Transfer-Encoding: chunked\r\n", appending(3, false));
    let chunks = b"2\r\nde\r\n2\r\nfg\r\n0\r\n\r\n";
    let reply = ask(server.address(), &format!("PATCH {at}"), &fields, chunks);
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(head(&server, &at).status, 404);
    assert_eq!(append(&server, &at, 5, true, b"f").status, 404);
    assert!(server.partials().unwrap().is_empty() && !server.root().join("a").exists());
}

#[test]
fn length_alone_completes_no_upload_of_the_present_draft() {
    let server = server_with(&["--durability", "group"]);
    let at = begin(&server, "a", "Upload-Length: 3\r\n", b"abc");
    assert_eq!(offset(&server, &at), 3);
    let reply = append(&server, &at, 2, false, b"c");
    assert_eq!((reply.status, reply.field("Upload-Offset")), (409, "3"));
    assert_eq!(append(&server, &at, 3, false, b"").status, 204);
    assert!(!server.root().join("a").exists());
    let reply = append(&server, &at, 3, true, b"");
    assert_eq!((reply.status, reply.field("Upload-Complete")), (204, "?1"));
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"abc");
    // A client of tus, and one of an early draft, may take the same upload on: for them it is.
    for fields in ["Tus-Resumable: 1.0.0\r\n", "Upload-Draft-Interop-Version: 6\r\n"] {
        let at = begin(&server, "b", "Upload-Length: 3\r\n", b"abc");
        assert!(!server.root().join("b").exists());
        let reply = ask(server.address(), &format!("HEAD {at}"), fields, b"");
        assert_eq!((reply.status, reply.field("Upload-Offset")), (200, "3"), "{}", reply.head);
        assert_eq!(fs::read(server.root().join("b")).unwrap(), b"abc");
        fs::remove_file(server.root().join("b")).unwrap();
    }
}

#[test]
fn nothing_is_appended_to_a_complete_upload() {
    let server = server();
    let (_, reply) = create(&server, "a", "Upload-Complete: ?1\r\n", b"abc");
    assert_eq!((reply.status, reply.field("Upload-Complete")), (201, "?1"));
    let at = begin(&server, "a", "", b"ab");
    assert_eq!(append(&server, &at, 2, true, b"c").status, 204);
    for (offset, body, status) in [(3, &b"d"[..], 400), (3, b"", 400), (2, b"c", 409)] {
        let reply = append(&server, &at, offset, true, body);
        assert_eq!(reply.status, status, "{offset} {body:?}: {}", reply.text());
        assert_eq!(reply.field("Upload-Complete"), "", "{}", reply.head);
    }
    assert_eq!(head(&server, &at).field("Upload-Complete"), "?1");
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"abc");
}

#[test]
fn fields_that_can_not_be_read_count_as_none() {
    let server = server();
    let at = begin(&server, "a", "Upload-Length: five\r\n", b"abc");
    assert_eq!(head(&server, &at).field("Upload-Length"), "");
    let fields = |offset: &str, complete: &str| {
        format!(
            "{DRAFT}Content-Type: application/partial-upload\r\nContent-Length: 1\r\nUpload-Offset: {offset}\r\nUpload-Complete: {complete}\r\n"
        )
    };
    for (offset, complete, status) in [
        ("3.0", "?1", 400),
        ("-3", "?1", 400),
        ("\"3\"", "?1", 400),
        ("1000000000000000", "?1", 400),
        ("3", "1", 412),
        ("3", "yes", 412),
        ("3;a=b", "?1;c", 204),
    ] {
        let fields = fields(offset, complete);
        let reply = ask(server.address(), &format!("PATCH {at}"), &fields, b"d");
        assert_eq!(reply.status, status, "{fields}: {}", reply.text());
    }
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"abcd");
    let at = begin(&server, "b", "", b"");
    for kind in ["", "Content-Type: application/octet-stream\r\n"] {
        let fields = format!(
            "{DRAFT}{kind}Content-Length: 1\r\nUpload-Offset: 0\r\nUpload-Complete: ?1\r\n"
        );
        assert_eq!(ask(server.address(), &format!("PATCH {at}"), &fields, b"d").status, 415);
    }
}

#[test]
fn limit_is_told_with_the_refusal_of_a_file_that_is_over_it() {
    let server = server_with(&["--max-file", "1MiB"]);
    let (long, chunk) = ("Upload-Complete: ?0\r\nUpload-Length: 9999999\r\n", vec![1; 1_100_000]);
    let fields = format!("{DRAFT}{long}Content-Length: 0\r\n");
    let first = ask(server.address(), "POST /.haul/tus/?name=a", &fields, b"");
    let at = begin(&server, "a", "", b"");
    let at_once = append(&server, &at, 0, false, &chunk);
    let fields = format!("{}Transfer-Encoding: chunked\r\n", appending(0, false));
    let body = [format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n0\r\n\r\n"].concat();
    let as_it_comes = ask(server.address(), &format!("PATCH {at}"), &fields, &body);
    for reply in [first, at_once, as_it_comes] {
        assert_eq!(reply.status, 413, "{}", reply.text());
        assert_eq!(reply.field("Upload-Limit"), "max-size=1048576, max-age=604800");
    }
    // The length was not told, so it is no wrong one.
    assert_eq!(head(&server, &at).status, 200);
}

/// All bytes are there, and sending them again would not help: so a client knows by `?1`.
#[test]
fn failure_of_the_file_is_told_from_one_of_its_bytes() {
    let server = server_with(&["--durability", "group"]);
    let at = begin(&server, "d%2Fa", "", b"ab");
    fs::write(server.root().join("d"), "in the way").unwrap();
    let wrong = append(&server, &at, 1, true, b"c");
    assert_eq!((wrong.status, wrong.field("Upload-Complete")), (409, ""), "{}", wrong.head);
    let failed = append(&server, &at, 2, true, b"c");
    assert_eq!((failed.status, failed.field("Upload-Complete")), (409, "?1"), "{}", failed.head);
    // It is not forgotten: whoever asks again when nothing is in the way gets the file.
    assert_eq!(offset(&server, &at), 3);
    fs::remove_file(server.root().join("d")).unwrap();
    assert_eq!(append(&server, &at, 3, true, b"").status, 204);
    assert_eq!(fs::read(server.root().join("d/a")).unwrap(), b"abc");
}

#[test]
fn newer_request_of_the_draft_ends_the_older_and_cancelling_ends_all() {
    let server = server();
    let at = begin(&server, "a", "Upload-Length: 6\r\n", b"ab");
    let older = |offset: u64| {
        let mut peer = HttpPeer::connect(server.address());
        let offset_told = usize::try_from(offset).unwrap();
        let fields = format!("{}Transfer-Encoding: chunked\r\n", appending(offset_told, true));
        peer.ask(&format!("PATCH {at}"), &fields, b"1\r\nc\r\n");
        eventually("its byte is written", || partial_len(&server) == offset + 1);
        peer
    };
    let mut first = older(2);
    assert_eq!(offset(&server, &at), 3);
    assert_eq!(first.receive().status, 409);
    let mut second = older(3);
    assert_eq!(append(&server, &at, 4, false, b"d").status, 204);
    assert_eq!(second.receive().status, 409);
    let mut third = older(5);
    assert_eq!(ask(server.address(), &format!("DELETE {at}"), DRAFT, b"").status, 204);
    assert_eq!(third.receive().status, 409);
    assert_eq!(head(&server, &at).status, 404);
    assert_eq!(append(&server, &at, 4, true, b"ef").status, 404);
    assert!(server.partials().unwrap().is_empty());
}

#[test]
fn last_request_may_come_in_chunks() {
    let server = server();
    let at = begin(&server, "a", "", b"abc");
    let fields = format!("{}Transfer-Encoding: chunked\r\n", appending(3, true));
    let reply =
        ask(server.address(), &format!("PATCH {at}"), &fields, b"1\r\nd\r\n2\r\nef\r\n0\r\n\r\n");
    assert_eq!((reply.status, reply.field("Upload-Complete")), (204, "?1"), "{}", reply.text());
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"abcdef");
    // Fewer bytes than were told: the rest may still come.
    let at = begin(&server, "b", "Upload-Length: 6\r\n", b"abc");
    let reply = ask(server.address(), &format!("PATCH {at}"), &fields, b"1\r\nd\r\n0\r\n\r\n");
    assert_eq!((reply.status, reply.field("Upload-Complete")), (400, ""), "{}", reply.text());
    assert_eq!(offset(&server, &at), 4);
}

#[test]
fn digests_of_requests_are_checked_and_one_of_more_bytes_is_refused() {
    let server = server();
    let digest = |field: &str, value: &str| format!("{field}: sha-256=:{value}:\r\n");
    let at = begin(&server, "a", "Upload-Length: 6\r\n", b"abc");
    let wrong = digest("Content-Digest", OTHER);
    let reply = append_with(&server, &at, 3, true, b"def", &wrong);
    assert_eq!((reply.status, reply.field("Upload-Complete")), (400, ""), "{}", reply.text());
    assert_eq!(offset(&server, &at), 3);
    // The digest of the whole file can't be checked here, and is not passed over.
    let whole = digest("Repr-Digest", ABCDEF);
    assert_eq!(append_with(&server, &at, 3, true, b"def", &whole).status, 400);
    assert_eq!(offset(&server, &at), 3);
    let right = digest("Content-Digest", DEF);
    assert_eq!(append_with(&server, &at, 3, true, b"def", &right).status, 204);
    assert_eq!(fs::read(server.root().join("a")).unwrap(), b"abcdef");
    // A whole file with one request has both.
    let post = |name: &str, complete: u8, body: &[u8], more: &str| {
        let len = body.len();
        let fields =
            format!("{DRAFT}Upload-Complete: ?{complete}\r\nContent-Length: {len}\r\n{more}");
        ask(server.address(), &format!("POST /.haul/tus/?name={name}"), &fields, body)
    };
    // Without an answer before the real one: a part of it can't be gone on with.
    assert_eq!(post("b", 1, b"abcdef", &digest("Repr-Digest", OTHER)).status, 400);
    assert!(!server.root().join("b").exists() && server.partials().unwrap().is_empty());
    assert_eq!(post("b", 1, b"abcdef", &whole).status, 201);
    assert_eq!(post("c", 0, b"abc", &whole).status, 400);
    assert!(server.partials().unwrap().is_empty());
    // An empty upload is begun, and all of it comes with the next request.
    let at = begin(&server, "d", "Upload-Length: 6\r\n", b"");
    assert_eq!(append_with(&server, &at, 0, true, b"abcdeg", &whole).status, 400);
    assert_eq!(append_with(&server, &at, 0, true, b"abcdef", &whole).status, 204);
    assert_eq!(post("e", 1, b"abc", "Content-Encoding: gzip\r\n").status, 415);
}
