//! Requests that two readers could understand in two ways, by name: each is refused, and nothing behind it is read. And requests
//! in any pieces: always the same events.

use proptest::prelude::*;

use super::fuzzing::{OTHER, Seen, answers, events, put, smuggled};
use super::half::Half;
use super::machine::{Event, Machine};
use super::status::Status;

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
    fn each_request_has_one_answer(bytes in nearly(), calls in prop::collection::vec(0_u8..4, 1..20)) {
        answers(&bytes, &calls);
    }
}
