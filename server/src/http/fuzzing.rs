//! Bytes of any kind for the parts of HTTP that a peer reaches, with what must hold of each: for the properties of the tests, and
//! for the fuzz targets of server/fuzz.

#![cfg_attr(
    not(feature = "fuzzing"),
    expect(unreachable_pub, reason = "the door in lib.rs is shut")
)]

use haul_protocol::{Name, Time};

use super::body::form::{self, Form};
use super::body::rows::{self, Rows};
use super::dav::xml_reader;
use super::digests::{self, Algorithm};
use super::half::{self, Half};
use super::head::{Field, Framing, Head};
use super::machine::{Event, MAX_HEAD, Machine};
use super::mtime::is_possible;
use super::response::Response;
use super::resumable::{self, Spoken, TUS};
use super::status::{Status, Wrong};

/// An event without what it borrows; pieces of a body that follow each other are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Head(String),
    Body(Vec<u8>),
    End,
    Wrong(Status),
}

/// All events of a stream that comes in pieces of these lengths, again and again.
pub(super) fn events(bytes: &[u8], pieces: &[usize]) -> Vec<Seen> {
    let (mut machine, mut seen, mut at) = (Machine::default(), Vec::new(), 0);
    for len in pieces.iter().cycle() {
        if at == bytes.len() {
            return seen;
        }
        let mut input = &bytes[at..(at + len).min(bytes.len())];
        at += input.len();
        loop {
            let left = input.len();
            match machine.receive(&mut input) {
                Ok(None) => {
                    assert!(input.is_empty());
                    break;
                }
                Ok(Some(Event::Head(head))) => {
                    seen.push(Seen::Head(format!("{:?} {}", head.method, head.target)));
                }
                Ok(Some(Event::Body(bytes))) => match seen.last_mut() {
                    Some(Seen::Body(before)) => before.extend_from_slice(bytes),
                    _ => seen.push(Seen::Body(bytes.to_vec())),
                },
                Ok(Some(Event::End)) => seen.push(Seen::End),
                Err(Wrong { status, .. }) => {
                    assert_eq!(machine.held_bytes(), 0);
                    seen.push(Seen::Wrong(status));
                    return seen;
                }
            }
            assert!(input.len() <= left);
            assert!(machine.held_bytes() <= 2 * MAX_HEAD, "{} bytes", machine.held_bytes());
        }
    }
    seen
}

/// Takes bytes as requests, and after each event makes the next of these calls. Panics if a request gets a second answer.
pub(super) fn answers(bytes: &[u8], calls: &[u8]) {
    let now = Time::from_millis(1);
    let (mut half, mut input, mut heads) = (Half::new(now), bytes, 0);
    for call in calls {
        let event = half.receive(&mut input, now);
        heads += usize::from(matches!(event, Ok(Some(half::Event::Head(..)))));
        if let Err(wrong) = event {
            half.fail(wrong);
            half.conclude();
            heads += 1;
            break;
        }
        match call % 4 {
            0 => half.refuse_wrong(Wrong::bad("no")),
            1 => half.go_on(),
            2 => half.answer(&Response::new(Status::OK), b"yes"),
            _ => {}
        }
    }
    let told = String::from_utf8_lossy(half.output()).into_owned();
    let finals = told.matches("HTTP/1.1 ").count() - told.matches("HTTP/1.1 100 ").count();
    assert!(finals <= heads, "{finals} answers to {heads} requests: {told}");
}

/// A stream of requests in pieces: a number of lengths (its low 4 bits count), the lengths, which are used over and over, and the
/// stream. The lengths are the calls of [`answers`], too.
pub fn http(input: &[u8]) {
    let Some((lengths, stream)) = pieces(input) else { return };
    let whole = [stream.len().max(1)];
    let cuts: Vec<usize> = lengths.iter().map(|len| usize::from(*len).max(1)).collect();
    let cuts = if cuts.is_empty() { &whole[..] } else { &cuts };
    assert_eq!(events(stream, cuts), events(stream, &whole));
    answers(stream, lengths);
}

/// Lengths of pieces, and the bytes behind them.
fn pieces(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = input.split_first()?;
    rest.split_at_checked((count % 16).into())
}

/// Fields of a request for a resumable upload: the query of its address, LF, and the fields, with CR LF behind each.
pub fn tus(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (query, fields) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let query = String::from_utf8_lossy(query);
    let begin = &b"POST /.haul/tus/ HTTP/1.1\r\nHost: h\r\n"[..];
    let Ok(head) = Head::parse(&[begin, fields, b"\r\n"].concat()) else { return };
    let spoken = resumable::spoken(&head);
    if head.field(Field::TusResumable).is_some() {
        assert_eq!(spoken.is_ok(), head.field(Field::TusResumable) == Some(TUS));
    }
    for spoken in [Some(Spoken::Tus), spoken.ok()].into_iter().flatten() {
        let offset = resumable::number(&head, spoken, Field::UploadOffset, "no number");
        let _ = (spoken.has_type(&head, true), spoken.has_type(&head, false));
        let offset = offset.ok().flatten().unwrap_or(0);
        if let (Ok(Some(end)), true) =
            (resumable::told_length(&head, spoken, offset), spoken.says_complete())
        {
            assert!(end >= offset || head.framing == Framing::Chunked);
        }
    }
    let _ = resumable::size(&head);
    if let Ok(Some(checksum)) = resumable::checksum(&head) {
        let len = if checksum.algorithm == resumable::Algorithm::Sha1 { 20 } else { 32 };
        assert_eq!(checksum.value.len(), len);
    }
    if let Ok(described) = resumable::described(&head, &query) {
        let name = described.name.as_bytes();
        assert_eq!(Name::parse(name).as_ref(), Ok(&described.name));
        assert_ne!(name.split(|byte| *byte == b'/').next(), Some(&b".haul"[..]));
        assert_eq!(described.metadata, head.field(Field::UploadMetadata).unwrap_or_default());
        assert!(
            described.mtime.is_none_or(|mtime| is_possible(mtime.s) && mtime.ns < 1_000_000_000)
        );
    }
    for stated in [digests::stated(&head), digests::stated_of_part(&head, false)] {
        for stated in stated.unwrap_or_default() {
            let len = if stated.algorithm == Algorithm::Sha256 { 32 } else { 64 };
            assert_eq!(stated.value.len(), len);
        }
    }
    let _ = digests::wanted(&head);
}

/// A body that the server reads, as [`http`] has its stream: as rows of files, as a form, as XML. The pieces change nothing.
pub fn bodies(input: &[u8]) {
    let Some((lengths, body)) = pieces(input) else { return };
    let len = lengths.first().map_or(body.len(), |len| usize::from(*len)).max(1);
    assert_eq!(rows_of(body, len), rows_of(body, body.len().max(1)));
    assert_eq!(form_of(body, len), form_of(body, body.len().max(1)));
    if let Ok(element) = xml_reader::parse(body) {
        let mut written = String::new();
        element.write(&mut written);
        let Ok(again) = xml_reader::parse(written.as_bytes()) else {
            assert!(written.len() > xml_reader::MAX_BYTES);
            return;
        };
        let mut twice = String::new();
        again.write(&mut twice);
        assert_eq!(twice, written);
    }
}

/// Events of a body, with the pieces of a file put together.
type Told = (Vec<(String, Vec<u8>)>, Option<Status>, bool);

fn rows_of(body: &[u8], len: usize) -> Told {
    let (mut rows, mut told) = (Rows::default(), Vec::new());
    for mut piece in body.chunks(len) {
        loop {
            match rows.receive(&mut piece) {
                Ok(None) => break,
                Ok(Some(rows::Event::Row(row))) => told.push((format!("{row:?}"), Vec::new())),
                Ok(Some(rows::Event::Bytes(bytes))) => extend(&mut told, bytes),
                Ok(Some(rows::Event::RowEnd)) => told.push((String::from("end"), Vec::new())),
                Err(wrong) => return (told, Some(wrong.status), false),
            }
        }
        assert!(rows.held_bytes() <= 128 * 1024);
    }
    (told, None, rows.is_between())
}

fn form_of(body: &[u8], len: usize) -> Told {
    let Some(Ok(mut form)) = Form::of("multipart/form-data; boundary=x") else {
        unreachable!("it has a boundary")
    };
    let mut told = Vec::new();
    for mut piece in body.chunks(len) {
        loop {
            match form.receive(&mut piece) {
                Ok(None) => break,
                Ok(Some(form::Event::Bytes(bytes))) => extend(&mut told, bytes),
                Ok(Some(event)) => told.push((format!("{event:?}"), Vec::new())),
                Err(wrong) => return (told, Some(wrong.status), false),
            }
        }
        assert!(form.held_bytes() <= 64 * 1024);
    }
    (told, None, form.is_complete())
}

fn extend(told: &mut [(String, Vec<u8>)], bytes: &[u8]) {
    assert!(!bytes.is_empty());
    if let Some((_, all)) = told.last_mut() {
        all.extend_from_slice(bytes);
    }
}

/// Streams of requests that must be refused, by name, and sound ones: the first corpus of [`http`].
#[cfg(feature = "fuzzing")]
pub fn streams() -> Vec<(String, Vec<u8>)> {
    let sound = [
        ("two requests", format!("{}{OTHER}", put("Content-Length: 3\r\n", "abc"))),
        ("chunks", put("Transfer-Encoding: chunked\r\n", "3;a=b\r\nabc\r\n0;x\r\nT: u\r\n\r\n")),
        ("a client that waits", put("Content-Length: 3\r\nExpect: 100-continue\r\n", "abc")),
        ("HTTP/1.0", String::from("GET /a HTTP/1.0\r\n\r\n")),
    ];
    let all = smuggled().into_iter().chain(sound);
    all.map(|(name, stream)| (name.replace([' ', '/'], "-"), stream.into_bytes())).collect()
}

pub(super) const OTHER: &str = "GET /second HTTP/1.1\r\nHost: h\r\n\r\n";

/// A request with these fields and this body.
pub(super) fn put(fields: &str, body: &str) -> String {
    format!("PUT /a HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}")
}

/// Each request that must be refused, by name.
pub(super) fn smuggled() -> Vec<(&'static str, String)> {
    let get = |fields: &str| format!("GET /a HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let chunked = |body: &str| put("Transfer-Encoding: chunked\r\n", body);
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    vec![
        (
            "length and chunks",
            put("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ),
        ("two lengths", put("Content-Length: 3\r\nContent-Length: 4\r\n", "abc")),
        ("the same length twice", put("Content-Length: 3\r\nContent-Length: 3\r\n", "abc")),
        ("a list of lengths", put("Content-Length: 3, 3\r\n", "abc")),
        ("a length with a sign", put("Content-Length: +3\r\n", "abc")),
        ("a length in hex", put("Content-Length: 0x3\r\n", "abc")),
        ("a length below zero", put("Content-Length: -1\r\n", "abc")),
        ("a length of 2^64", put("Content-Length: 18446744073709551616\r\n", "abc")),
        ("an empty length", put("Content-Length: \r\n", "abc")),
        ("an unknown coding", put("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
        ("another coding behind chunked", put("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n")),
        ("another coding before chunked", put("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")),
        (
            "two codings in two fields",
            put("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ),
        (
            "chunks in HTTP/1.0",
            String::from(
                "PUT /a HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
        ),
        ("a space before the colon", put("Content-Length : 3\r\n", "abc")),
        ("a space before the colon of a field without meaning", get("x : y\r\n")),
        ("a folded line", get("x: y\r\n z\r\n")),
        ("a folded first line", String::from("GET /a HTTP/1.1\r\n Host: h\r\n\r\n")),
        ("no host", String::from("GET /a HTTP/1.1\r\n\r\n")),
        ("two hosts", get("Host: other\r\n")),
        ("an LF alone", String::from("GET /a HTTP/1.1\nHost: h\n\n")),
        ("an LF alone behind a field", get("x: y\nContent-Length: 3\r\n")),
        ("a CR alone in a value", get("x: y\rz\r\n")),
        ("a NUL in a value", get("x: y\0z\r\n")),
        ("a NUL in a name", get("x\0: y\r\n")),
        ("a chunk with 0x", chunked("0x3\r\nabc\r\n0\r\n\r\n")),
        ("a chunk with a sign", chunked("+3\r\nabc\r\n0\r\n\r\n")),
        ("a chunk over 2^64", chunked("10000000000000003\r\nabc\r\n0\r\n\r\n")),
        ("a chunk without CR and LF behind it", chunked("3\r\nabcd\r\n0\r\n\r\n")),
        ("a chunk with an LF alone", chunked("3\nabc\r\n0\r\n\r\n")),
        ("a chunk with an LF alone behind it", chunked("3\r\nabc\n0\r\n\r\n")),
        ("a chunk without a size", chunked("\r\nabc\r\n0\r\n\r\n")),
        ("a chunk with a space before its size", chunked(" 3\r\nabc\r\n0\r\n\r\n")),
        ("a CR in the extension of a chunk", chunked("3;a\rb\r\nabc\r\n0\r\n\r\n")),
        (
            "a long extension of a chunk",
            chunked(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(300))),
        ),
        ("an LF alone in the trailers", chunked("0\r\na: b\n\r\n")),
        ("a request in the place of the trailers", chunked("0\r\nGET /x HTTP/1.1\r\n\r\n")),
        ("a trailer without a name", chunked("0\r\n: b\r\n\r\n")),
        ("a trailer without a colon", chunked("0\r\nab\r\n\r\n")),
        ("a blank before the colon of a trailer", chunked("0\r\na : b\r\n\r\n")),
        ("long trailers", chunked(&format!("0\r\na: {}\r\n\r\n", "b".repeat(9000)))),
        ("many trailers", chunked(&format!("0\r\n{}\r\n", "a: b\r\n".repeat(110)))),
        ("200 fields", get(&many)),
        ("64 KiB of head", get(&format!("x: {}\r\n", "y".repeat(64 * 1024)))),
        (
            "64 KiB of address",
            format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(64 * 1024)),
        ),
        ("HTTP/2.0", String::from("GET /a HTTP/2.0\r\nHost: h\r\n\r\n")),
        ("the preface of HTTP/2", String::from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
        ("two spaces in the first line", String::from("GET  /a HTTP/1.1\r\nHost: h\r\n\r\n")),
        ("a tab in the first line", String::from("GET\t/a HTTP/1.1\r\nHost: h\r\n\r\n")),
        ("no version", String::from("GET /a\r\nHost: h\r\n\r\n")),
        (
            "a letter that is not ASCII in the address",
            String::from("GET /ä HTTP/1.1\r\nHost: h\r\n\r\n"),
        ),
        (
            "two empty lines before the request",
            String::from("\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n"),
        ),
        ("two tokens of accounts", get("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n")),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bodies that are nearly rows, forms or XML.
    fn nearly_bodies() -> impl Strategy<Value = Vec<u8>> {
        let words = [
            "{\"name\":\"a/b\",\"size\":5,\"mtime\":1700000000}\n",
            "{\"name\":\"empty folder\"}\n",
            "{\"name\":\"c\",\"size\":0,\"replace\":true}\n",
            "hello",
            "\n",
            "--x",
            "--x--",
            "\r\n",
            "Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n",
            "Content-Disposition: form-data; name=\"replace\"\r\n",
            "<D:prop xmlns:D='DAV:'>",
            "<x:y xmlns:x=\"u\" z='&lt;1'>",
            "</x:y>",
            "</D:prop>",
            "<D:a/>",
            "<![CDATA[<]]>",
            "&#x41;",
        ];
        let word = prop::sample::select(words.map(|word| word.as_bytes().to_vec()).to_vec());
        let random = prop::collection::vec(any::<u8>(), 0..4);
        let parts = prop::collection::vec(prop_oneof![9 => word, 1 => random], 0..20);
        parts.prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn what_holds_for_the_fuzz_targets_holds_for_any_bytes(
            body in nearly_bodies(),
            lengths in prop::collection::vec(1_u8..40, 0..4),
            other in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let count = u8::try_from(lengths.len()).unwrap_or(0);
            bodies(&[&[count], &lengths[..], &body].concat());
            bodies(&other);
            http(&other);
            tus(&other);
        }
    }
}
