//! Requests that two readers could understand in two ways, by name: each is refused, and nothing behind it is read. And requests
//! in any pieces: always the same events.

use proptest::prelude::*;

use super::half::Half;
use super::machine::{Event, MAX_HEAD, Machine};
use super::status::{Status, Wrong};

/// An event without what it borrows; pieces of a body that follow each other are one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Head(String),
    Body(Vec<u8>),
    End,
    Wrong(Status),
}

/// All events of a stream that comes in pieces of these lengths, again and again.
fn events(bytes: &[u8], pieces: &[usize]) -> Vec<Seen> {
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

const OTHER: &str = "GET /second HTTP/1.1\r\nHost: h\r\n\r\n";

/// A request with these fields and this body.
fn put(fields: &str, body: &str) -> String {
    format!("PUT /a HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}")
}

/// Each request that must be refused, by name.
fn smuggled() -> Vec<(&'static str, String)> {
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

#[test]
fn smuggled_requests_are_refused_and_nothing_behind_them_is_read() {
    for (name, request) in smuggled() {
        let bytes = [request.as_bytes(), OTHER.as_bytes()].concat();
        for pieces in [&[usize::MAX / 2][..], &[1], &[7, 3]] {
            let seen = events(&bytes, pieces);
            let Some(Seen::Wrong(Status(status, _))) = seen.last() else {
                panic!("{name}: {seen:?}")
            };
            assert!([400, 431, 501].contains(status), "{name}: {status}");
            let is_second =
                |seen: &Seen| matches!(seen, Seen::Head(head) if head.contains("second"));
            assert!(!seen.iter().any(is_second), "{name}: {seen:?}");
        }
    }
}

/// One answer, whether the head itself is wrong or a byte of the body: then the request has had no answer either.
#[test]
fn smuggled_requests_are_answered_once() {
    for (name, request) in smuggled() {
        let bytes = [request.as_bytes(), OTHER.as_bytes()].concat();
        let now = haul_protocol::Time::from_millis(1);
        let (mut half, mut input) = (Half::new(now), &bytes[..]);
        let wrong = loop {
            match half.receive(&mut input, now) {
                Ok(_) => {}
                Err(wrong) => break wrong,
            }
        };
        half.fail(wrong);
        half.conclude();
        let told = String::from_utf8_lossy(half.output()).into_owned();
        assert_eq!(told.matches("HTTP/1.1 ").count(), 1, "{name}: {told}");
        assert!(told.contains("\r\nConnection: close\r\n") && !half.is_open(), "{name}: {told}");
        assert_eq!(half.receive(&mut input, now), Ok(None), "{name}");
    }
}

#[test]
fn sound_requests_are_read_as_they_are() {
    let head = |method: &str, target: &str| Seen::Head(format!("{method} {target}"));
    let body = |text: &str| Seen::Body(text.as_bytes().to_vec());
    for (name, text, expected) in [
        ("an empty line before", format!("\r\n{OTHER}"), vec![head("Get", "/second"), Seen::End]),
        (
            "two behind each other",
            format!("{}{OTHER}", put("Content-Length: 3\r\n", "abc")),
            vec![head("Put", "/a"), body("abc"), Seen::End, head("Get", "/second"), Seen::End],
        ),
        (
            "chunks with extensions and trailers",
            put(
                "Transfer-Encoding: Chunked\r\n",
                "3;a=b\r\nabc\r\n0004\r\ndefg\r\n0;x\r\nT: u\r\n\r\n",
            ),
            vec![head("Put", "/a"), body("abcdefg"), Seen::End],
        ),
        (
            "no chunk but the last",
            put("transfer-encoding: chunked\r\n", "0\r\n\r\n"),
            vec![head("Put", "/a"), Seen::End],
        ),
        (
            "GET with a body",
            format!("GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab{OTHER}"),
            vec![head("Get", "/a"), body("ab"), Seen::End, head("Get", "/second"), Seen::End],
        ),
        (
            "HTTP/1.0 without a host",
            String::from("GET /a HTTP/1.0\r\n\r\n"),
            vec![head("Get", "/a"), Seen::End],
        ),
        (
            "an unknown method",
            String::from("BREW /a HTTP/1.1\r\nHost: h\r\n\r\n"),
            vec![head("Unknown", "/a"), Seen::End],
        ),
        (
            "fields without meaning",
            String::from(
                "GET /a HTTP/1.1\r\nHost:h\r\nx:\r\ny: \t \u{fc} \r\nTransfer_Encoding: chunked\r\n\r\n",
            ),
            vec![head("Get", "/a"), Seen::End],
        ),
        (
            "100 fields",
            format!("GET /a HTTP/1.1\r\nHost: h\r\n{}\r\n", "x: y\r\n".repeat(99)),
            vec![head("Get", "/a"), Seen::End],
        ),
    ] {
        for pieces in [&[usize::MAX / 2][..], &[1], &[5, 2]] {
            assert_eq!(events(text.as_bytes(), pieces), expected, "{name}");
        }
    }
}

#[test]
fn expectations_and_other_words_about_the_connection_are_understood() {
    let head = |fields: &str| match Machine::default().receive(&mut put(fields, "").as_bytes()) {
        Ok(Some(Event::Head(head))) => Ok((head.keeps, head.expects)),
        Ok(other) => panic!("{other:?}"),
        Err(wrong) => Err(wrong.status),
    };
    assert_eq!(head("Content-Length: 3\r\nExpect: 100-Continue\r\n"), Ok((true, true)));
    assert_eq!(head("Expect: 100-continue\r\n"), Ok((true, false)));
    assert_eq!(head("Expect: a-pony\r\n"), Err(Status::EXPECTATION));
    assert_eq!(head("Connection: Close\r\n"), Ok((false, false)));
    assert_eq!(head("Connection: x\r\nConnection: y , close\r\n"), Ok((false, false)));
    assert_eq!(head("Connection: keep-alive\r\n"), Ok((true, false)));
}

/// Bytes that are nearly requests.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "GET ",
        "PUT ",
        "/",
        "/a",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "Host: h\r\n",
        "\r\n",
        "\n",
        "\r",
        "\0",
        "Content-Length: 3\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "x: y\r\n",
        " ",
        ":",
        "3\r\nabc\r\n",
        "0\r\n",
        "0\r\n\r\n",
        "abc",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        "ä",
    ];
    let word = prop::sample::select(words.map(|word| word.as_bytes().to_vec()).to_vec());
    let sound = prop::sample::select(vec![
        OTHER.as_bytes().to_vec(),
        put("Content-Length: 3\r\n", "abc").into_bytes(),
        put("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n").into_bytes(),
    ]);
    let random = prop::collection::vec(any::<u8>(), 0..4);
    let part = prop_oneof![6 => word, 3 => sound, 1 => random];
    prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
}

proptest! {
    /// The machine tells the same events of a stream in any pieces, and keeps its memory within its bound (which [`events`] asserts).
    #[test]
    fn events_do_not_depend_on_the_pieces(
        bytes in nearly(),
        pieces in prop::collection::vec(1_usize..40, 1..6),
    ) {
        prop_assert_eq!(events(&bytes, &pieces), events(&bytes, &[usize::MAX / 2]));
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        pieces in prop::collection::vec(1_usize..40, 1..6),
    ) {
        prop_assert_eq!(events(&bytes, &pieces), events(&bytes, &[usize::MAX / 2]));
    }

    /// No sequence of calls has the server say more than one final answer to a request, or panic.
    #[test]
    fn each_request_has_one_answer(bytes in nearly(), answers in prop::collection::vec(0_u8..4, 1..20)) {
        let now = haul_protocol::Time::from_millis(1);
        let (mut half, mut input, mut heads) = (Half::new(now), &bytes[..], 0);
        for answer in answers {
            let event = half.receive(&mut input, now);
            let is_head = matches!(event, Ok(Some(super::half::Event::Head(..))));
            heads += usize::from(is_head);
            if let Err(wrong) = event {
                half.fail(wrong);
                half.conclude();
                heads += 1;
                break;
            }
            match answer {
                0 => half.refuse_wrong(Wrong::bad("no")),
                1 => half.go_on(),
                2 => half.answer(&super::response::Response::new(Status::OK), b"yes"),
                _ => {}
            }
        }
        let told = String::from_utf8_lossy(half.output()).into_owned();
        let finals = told.matches("HTTP/1.1 ").count() - told.matches("HTTP/1.1 100 ").count();
        prop_assert!(finals <= heads, "{} of {}: {}", finals, heads, told);
    }
}
