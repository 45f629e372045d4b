//! The server half, event by event.

use alloc::vec::Vec;
use core::time::Duration;

use super::plain_hello;
use super::server::{DRAIN_BYTES, Owed, ServerConnection};
use super::time::Time;
use crate::code::{Code, Refusal};
use crate::encode;
use crate::error::{OrderError, ServerError};
use crate::id::RequestId;
use crate::message::{Answer, ServerLimits};
use crate::op::Op;

const START: Time = Time::from_millis(3);
const SECOND: Duration = Duration::from_secs(1);

fn server() -> ServerConnection {
    ServerConnection::new(&ServerLimits::default(), START)
}

fn hello() -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::hello(&plain_hello(), &mut bytes).unwrap();
    bytes
}

fn request(id: u64, op: &Op) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::request(RequestId::new(id), 0, op, &mut bytes).unwrap();
    bytes
}

/// Takes all of `input`; returns how many events that were.
fn take(server: &mut ServerConnection, mut input: &[u8], now: Time) -> Result<usize, ServerError> {
    let mut events = 0;
    while server.receive(&mut input, now)?.is_some() {
        events += 1;
    }
    Ok(events)
}

fn mkdir() -> Op {
    let name = crate::Name::parse(b"directory").unwrap();
    Op::Mkdir { name, mode: None, replace: false }
}

#[test]
fn header_is_owed_since_its_first_byte() {
    let mut server = server();
    assert_eq!(server.owed(false, false), Owed::First(START));
    let hello = hello();
    let (first, rest) = hello.split_at(5);
    let (one, two) = (START.after(SECOND), START.after(2 * SECOND));
    assert_eq!(take(&mut server, &first[..1], one), Ok(0));
    assert_eq!(take(&mut server, &first[1..], two), Ok(0));
    assert_eq!(server.owed(false, false), Owed::Header(one));
    assert_eq!(take(&mut server, rest, two), Ok(2));
    assert_eq!(server.owed(false, false), Owed::Request(two));
    assert_eq!(server.owed(false, true), Owed::Nothing);
    assert_eq!(server.owed(true, false), Owed::Nothing);
}

#[test]
fn last_refusal_waits_for_changes_that_are_under_way() {
    let mut server = server();
    assert_eq!(take(&mut server, &hello(), START), Ok(2));
    assert_eq!(take(&mut server, &request(1, &mkdir()), START), Ok(2));
    let error = take(&mut server, &request(3, &mkdir()), START).unwrap_err();
    assert_eq!(
        error,
        ServerError::Order(OrderError::Id { got: RequestId::new(3), expected: RequestId::new(2) })
    );
    assert_eq!(error.refusal().code, Code::BadId);
    assert!(server.end(error.refusal()), "the peer reads answers");
    assert!(server.output().is_empty());
    assert!(!server.shuts(START) && !server.is_over(true));
    assert_eq!(take(&mut server, b"anything at all", START), Ok(0));

    server.repeat(START);
    server.sent(server.output().len(), START);
    assert!(!server.shuts(START), "the last word is not said");
    server.done(RequestId::FIRST);
    server.conclude();
    let mut said = Vec::new();
    encode::answer(&Answer::Ack(RequestId::FIRST), &mut said).unwrap();
    encode::answer(
        &Answer::Refused { id: RequestId::CONNECTION, refusal: error.refusal() },
        &mut said,
    )
    .unwrap();
    assert_eq!(server.output(), said);
    server.sent(said.len(), START);
    assert!(server.shuts(START.after(SECOND)));
    assert!(!server.shuts(START), "asked for once");
    assert_eq!(server.owed(false, false), Owed::Close(START.after(SECOND)));
    assert_eq!(server.input_ended(), Ok(()));
    assert!(server.is_over(false));
}

#[test]
fn peer_that_sends_without_end_after_its_last_refusal_is_closed() {
    let mut server = server();
    assert_eq!(take(&mut server, &hello(), START), Ok(2));
    assert!(server.end(Refusal::new(Code::ShuttingDown, "over")));
    server.conclude();
    let garbage = [0; 1024 * 1024];
    for _ in 1..DRAIN_BYTES / garbage.len() {
        assert_eq!(take(&mut server, &garbage, START), Ok(0));
        assert!(!server.is_over(false));
    }
    assert_eq!(take(&mut server, &garbage, START), Ok(0));
    assert!(server.is_over(false));
}

#[test]
fn nothing_is_said_to_a_classic_peer() {
    let mut server = server();
    let put = br#"{"cmd":"put","filename":"a","filesize":0}"#;
    let mut bytes = u32::try_from(put.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend_from_slice(put);
    assert_eq!(take(&mut server, &bytes, START), Ok(2));
    assert_eq!(server.owed(false, false), Owed::Command(START));
    server.repeat(START);
    assert!(!server.end(Refusal::new(Code::ShuttingDown, "over")));
    server.conclude();
    assert!(server.output().is_empty() && server.is_over(false));
}

#[test]
fn stream_that_ends_inside_a_frame_is_told_to_the_caller() {
    let mut server = server();
    assert_eq!(take(&mut server, &hello()[..9], START), Ok(0));
    assert!(server.input_ended().is_err());
    assert!(server.is_over(false) && !server.is_over(true));
}
