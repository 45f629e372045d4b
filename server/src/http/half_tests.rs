//! The server's half of a connection of HTTP, told bytes and moments.

use haul_protocol::{Owed, Refusal, RequestId, Time};

use super::half::{Event, Half};
use super::response::{Length, Response};
use super::status::{Status, Wrong};

const NOW: Time = Time::from_millis(1);

/// The bytes that the peer was sent, as text.
fn said(half: &mut Half) -> String {
    let text = String::from_utf8_lossy(half.output()).into_owned();
    half.sent(half.output().len(), NOW);
    text
}

/// Takes all of one request, which must be whole in `input`.
fn request(half: &mut Half, input: &mut &[u8]) -> RequestId {
    let Ok(Some(Event::Head(id, _))) = half.receive(input, NOW) else { panic!("no head") };
    while !matches!(half.receive(input, NOW), Ok(Some(Event::End))) {}
    id
}

#[test]
fn requests_are_answered_one_after_the_other() {
    let mut half = Half::new(NOW);
    half.tell_second(784_111_777);
    let mut input = &b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nHEAD /b HTTP/1.1\r\nHost: h\r\n\r\n"[..];
    request(&mut half, &mut input);
    let left = input.len();
    assert!(half.is_answering() && half.receive(&mut input, NOW) == Ok(None));
    assert_eq!(input.len(), left, "the next one waits");
    half.answer(&Response::new(Status::OK), b"body");
    let text = said(&mut half);
    assert!(text.contains("\r\nDate: Sun, 06 Nov 1994") && text.ends_with("\r\n\r\nbody"));
    request(&mut half, &mut input);
    half.answer(&Response::new(Status::OK), b"body");
    let text = said(&mut half);
    assert!(text.contains("Content-Length: 4") && text.ends_with("\r\n\r\n"), "{text}");
    assert!(half.is_open() && half.is_between() && half.held_bytes() <= 4096);
    assert_eq!(half.owed(false, false), Owed::Request(NOW));
}

#[test]
fn change_is_answered_with_its_status_and_once() {
    let mut half = Half::new(NOW);
    let mut input = &b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"[..];
    let id = request(&mut half, &mut input);
    half.will_be(Status::CREATED);
    half.done(id.plus(1));
    assert!(half.output().is_empty());
    half.done(id);
    assert!(said(&mut half).starts_with("HTTP/1.1 201 Created\r\n"));
    half.done(id);
    half.refuse(id, &Refusal::new(haul_protocol::Code::Io, "x"));
    assert!(half.output().is_empty());
}

#[test]
fn refused_request_ends_the_connection_unless_the_rest_of_its_body_is_short() {
    for (head, rest, stays) in [
        ("Content-Length: 3\r\n", &b"abcGET / HTTP/1.1\r\nHost: h\r\n\r\n"[..], true),
        ("Content-Length: 65537\r\n", b"", false),
        ("Transfer-Encoding: chunked\r\n", b"", false),
        ("Content-Length: 3\r\nExpect: 100-continue\r\n", b"", false),
        ("Content-Length: 3\r\nConnection: close\r\n", b"", false),
    ] {
        let text = format!("PUT /a HTTP/1.1\r\nHost: h\r\n{head}\r\n");
        let (mut half, mut input) = (Half::new(NOW), text.as_bytes());
        let Ok(Some(Event::Head(..))) = half.receive(&mut input, NOW) else { panic!("{head}") };
        half.refuse_wrong(Wrong::new(Status::FORBIDDEN, "no"));
        let told = said(&mut half);
        assert!(told.starts_with("HTTP/1.1 403 ") && !told.contains("100 Continue"), "{told}");
        assert_eq!(told.contains("Connection: close"), !stays, "{head}");
        assert_eq!(half.is_open(), stays, "{head}");
        let mut rest = rest;
        if stays {
            while half.receive(&mut rest, NOW) != Ok(Some(Event::End)) {}
            assert!(matches!(half.receive(&mut rest, NOW), Ok(Some(Event::Head(..)))));
        } else {
            assert!(half.shuts(NOW) && !half.shuts(NOW));
            assert_eq!(half.owed(false, false), Owed::Close(NOW));
        }
    }
}

#[test]
fn client_that_expects_a_word_gets_it_once() {
    let text = b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    let (mut half, mut input) = (Half::new(NOW), &text[..]);
    half.receive(&mut input, NOW).unwrap();
    half.go_on();
    half.go_on();
    assert_eq!(said(&mut half), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(half.owed(false, false), Owed::Body(NOW));
}

/// The answer that a change has in the end is told, and not the reason for which the connection ends meanwhile.
#[test]
fn connection_that_ends_tells_the_change_under_way_first() {
    let mut half = Half::new(NOW);
    let mut input = &b"DELETE /a HTTP/1.1\r\nHost: h\r\n\r\n"[..];
    let id = request(&mut half, &mut input);
    half.end(&Refusal::new(haul_protocol::Code::Busy, "other reasons"));
    assert!(half.output().is_empty() && !half.is_over(true));
    half.done(id);
    half.conclude();
    let told = said(&mut half);
    assert!(told.starts_with("HTTP/1.1 204 ") && told.contains("Connection: close"), "{told}");
    assert_eq!(told.matches("HTTP/1.1").count(), 1);
}

#[test]
fn idle_connection_ends_without_a_word_and_one_in_a_head_with_one() {
    let timeout = Refusal::new(haul_protocol::Code::Timeout, "nothing came for too long");
    let mut half = Half::new(NOW);
    half.end(&timeout);
    half.conclude();
    assert!(half.output().is_empty() && half.shuts(NOW));
    let (mut half, mut input) = (Half::new(NOW), &b"GET / HT"[..]);
    half.receive(&mut input, NOW).unwrap();
    assert_eq!(half.owed(false, false), Owed::Header(NOW));
    half.end(&timeout);
    half.conclude();
    assert!(said(&mut half).starts_with("HTTP/1.1 408 "));
}

#[test]
fn answer_whose_rest_is_gone_is_cut_and_an_old_client_reads_to_the_end() {
    let mut half = Half::new(NOW);
    let mut input = &b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"[..];
    request(&mut half, &mut input);
    half.begin(&Response::new(Status::OK), Length::Unknown);
    half.append(b"some");
    half.break_off();
    let told = said(&mut half);
    assert!(told.ends_with("\r\n\r\n4\r\nsome\r\n") && half.shuts(NOW), "{told}");
    let mut half = Half::new(NOW);
    let mut input = &b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"[..];
    request(&mut half, &mut input);
    half.begin(&Response::new(Status::OK), Length::Unknown);
    half.append(b"some");
    half.finish();
    let told = said(&mut half);
    assert!(told.ends_with("\r\n\r\nsome") && told.contains("Connection: close"), "{told}");
    assert!(!half.is_open());
}

#[test]
fn request_that_is_cut_off_is_not_answered() {
    let mut half = Half::new(NOW);
    let mut input = &b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab"[..];
    half.receive(&mut input, NOW).unwrap();
    half.receive(&mut input, NOW).unwrap();
    assert!(half.input_ended() && half.is_over(false) && half.output().is_empty());
    // A client may end its side behind a whole request, and is answered.
    let mut half = Half::new(NOW);
    let mut input = &b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"[..];
    request(&mut half, &mut input);
    assert!(!half.input_ended());
    half.answer(&Response::new(Status::OK), b"body");
    assert!(said(&mut half).ends_with("body") && half.is_over(false));
}
