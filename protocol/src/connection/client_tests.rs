//! The client half, event by event.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::client::{ClientConnection, ClientEvent, Unanswered};
use super::client_config::ClientConfig;
use super::plain_hello;
use super::time::Time;
use crate::code::Refusal;
use crate::digest::{Digest, Token};
use crate::encode;
use crate::error::{BundleError, ClientError};
use crate::fetched::{decode_fetched, encode_fetched};
use crate::id::RequestId;
use crate::limits::{MAX_BODY_LEN, MAX_NUMBER, MAX_PARTED_SIZE, VERSION};
use crate::message::{Answer, Attributes, Durability, PartFacts, Reply, ServerHello, ServerLimits};
use crate::name::Name;
use crate::op::Op;

const SECOND: Duration = Duration::from_secs(1);
const START: Time = Time::from_millis(7);

fn client() -> ClientConnection<u32> {
    ClientConnection::new(&plain_hello(), ClientConfig::default(), START).unwrap()
}

fn server_hello(limits: ServerLimits) -> Answer {
    let (agent, durability) = (String::from("test"), Durability::Group);
    let features = Vec::new();
    Answer::Hello(Box::new(ServerHello {
        version: VERSION,
        agent,
        limits,
        durability,
        tree: None,
        features,
        account: None,
        next_pin: None,
    }))
}

fn receive(
    client: &mut ClientConnection<u32>,
    answer: &Answer,
    now: Time,
) -> Result<Option<ClientEvent<u32>>, ClientError> {
    let mut bytes = Vec::new();
    encode::answer(answer, &mut bytes).unwrap();
    client.receive(&mut &bytes[..], now)
}

/// A client whose `hello` is sent and answered.
fn greeted() -> ClientConnection<u32> {
    let mut client = client();
    client.sent(client.output().len(), START);
    let event = receive(&mut client, &server_hello(ServerLimits::default()), START);
    assert!(matches!(event, Ok(Some(ClientEvent::Greeted(_)))), "{event:?}");
    client
}

#[test]
fn limits_of_a_server_are_bounded_by_the_clients_own() {
    let all = |value| ServerLimits {
        max_header: value,
        max_body: value,
        window_requests: value,
        window_bytes: value,
        max_file: value,
    };
    let (client, config) = (client(), ClientConfig::default());
    let own = client.bounded(all(MAX_NUMBER)).unwrap();
    assert_eq!(own.window_requests, config.window_requests);
    assert_eq!(own.window_bytes, config.window_bytes);
    assert_eq!((own.max_body, own.max_file), (MAX_BODY_LEN, MAX_PARTED_SIZE));
    let usual = ServerLimits::default();
    assert_eq!(client.bounded(usual).unwrap(), usual);
    let error = client.bounded(ServerLimits { window_requests: 0, ..usual }).unwrap_err();
    assert!(error.to_string().contains("`window_requests` is 0"), "{error}");
    for limits in [
        ServerLimits { window_bytes: MAX_BODY_LEN - 1, ..usual },
        ServerLimits { max_body: config.longest_body - 1, ..usual },
        ServerLimits { max_header: 1, ..usual },
    ] {
        assert!(client.bounded(limits).is_err(), "{limits:?}");
    }
}

/// A later version of the protocol may give any answer a body (section 3.1).
#[test]
fn body_of_the_answer_to_hello_is_skipped() {
    let mut client = client();
    client.sent(client.output().len(), START);
    let mut answer = Vec::new();
    encode::answer(&server_hello(ServerLimits::default()), &mut answer).unwrap();
    let mut header = Vec::from(&b"{\"length\":4,"[..]);
    header.extend_from_slice(&answer[5..]);
    let mut bytes = Vec::from(u32::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(b"body");
    let answer = Answer::Answered { id: RequestId::FIRST, length: 0, reply: Reply::Done };
    encode::answer(&answer, &mut bytes).unwrap();
    let mut input = &bytes[..];
    let event = client.receive(&mut input, START);
    assert!(matches!(event, Ok(Some(ClientEvent::Greeted(_)))), "{event:?}");
    client.request(1, &Op::Ping, 0, START).unwrap();
    let event = client.receive(&mut input, START);
    assert!(matches!(&event, Ok(Some(ClientEvent::Answered(1, ..)))), "{event:?}");
}

#[test]
fn nothing_fits_before_hello_is_answered() {
    let mut client = client();
    assert!(!client.has_room(0));
    assert_eq!(client.deadline(), START.after(10 * SECOND));
    assert_eq!(client.expire(START.after(9 * SECOND)), Ok(()));
    assert_eq!(client.expire(START.after(10 * SECOND)), Err(ClientError::NoHello(10 * SECOND)));
    assert_eq!(receive(&mut client, &Answer::Ack(RequestId::FIRST), START), Err(ClientError::Kind));
}

#[test]
fn idle_connection_pings_and_the_answer_is_nobodys_event() {
    let mut client = greeted();
    let idle = START.after(60 * SECOND);
    assert_eq!(client.deadline(), idle);
    assert_eq!(client.expire(idle), Ok(()));
    assert!(!client.output().is_empty());
    client.sent(client.output().len(), idle);
    assert_eq!(client.unanswered(), 1);
    let answer = Answer::Answered { id: RequestId::FIRST, length: 0, reply: Reply::Done };
    assert_eq!(receive(&mut client, &answer, idle), Ok(None));
    assert_eq!((client.unanswered(), client.deadline()), (0, idle.after(60 * SECOND)));
}

#[test]
fn lost_ping_is_nobodys_and_nobody_else_is_the_oldest() {
    let mut client = greeted();
    let idle = START.after(60 * SECOND);
    assert_eq!(client.expire(idle), Ok(()));
    for what in [7, 8] {
        client.request(what, &Op::Ping, 0, idle).unwrap();
    }
    assert_eq!(client.lost(), Unanswered { oldest: None, newer: [7, 8].into() });
    assert_eq!(client.lost(), Unanswered { oldest: None, newer: Vec::new() });
}

#[test]
fn answers_that_belong_to_nothing_are_errors() {
    for answer in [
        Answer::Ack(RequestId::new(2)),
        Answer::Refused {
            id: RequestId::new(2),
            refusal: Refusal::new(crate::Code::Io, "no such request"),
        },
        Answer::Answered { id: RequestId::new(2), length: 0, reply: Reply::Done },
        server_hello(ServerLimits::default()),
    ] {
        let mut client = greeted();
        client.request(1, &Op::Ping, 0, START).unwrap();
        assert!(receive(&mut client, &answer, START).is_err(), "{answer:?}");
    }
}

/// Gives an answer with a body to a client that has sent `op`.
fn answered(op: &Op, reply: Reply, body: &[u8]) -> Result<Option<ClientEvent<u32>>, ClientError> {
    let mut client = greeted();
    client.request(1, op, 0, START).unwrap();
    let mut bytes = Vec::new();
    let answer = Answer::Answered { id: RequestId::FIRST, length: body.len() as u64, reply };
    encode::answer(&answer, &mut bytes).unwrap();
    bytes.extend_from_slice(body);
    client.receive(&mut &bytes[..], START)
}

#[test]
fn pieces_of_a_body_that_are_taken_are_not_kept() {
    let facts = PartFacts {
        size: 5,
        attributes: Attributes::default(),
        state: Token([5; 16]),
        cv: None,
        digest: Some(Digest::of(b"piece")),
    };
    let reply = Reply::Part(facts);
    let answer = Answer::Answered { id: RequestId::FIRST, length: 5, reply };
    let mut bytes = Vec::new();
    encode::answer(&answer, &mut bytes).unwrap();
    bytes.extend_from_slice(b"piece");
    for takes in [false, true] {
        let mut client = greeted();
        client.request(1, &Op::List { name: None, after: None }, 0, START).unwrap();
        let mut seen = Vec::new();
        let mut last = None;
        for byte in &bytes {
            let take = |what: &u32, found: &Reply, piece: &[u8]| {
                assert_eq!((*what, *found), (1, reply));
                seen.extend_from_slice(piece);
                takes
            };
            last = client.receive_with(&mut &[*byte][..], START, take).unwrap();
        }
        assert_eq!(seen, b"piece");
        let kept = if takes { Vec::new() } else { b"piece".to_vec() };
        assert_eq!(last, Some(ClientEvent::Answered(1, reply, kept)));
        assert_eq!(client.unanswered(), 0);
    }
}

#[test]
fn answer_to_fetch_that_is_too_long_is_cut_and_told_by_its_length() {
    let mut body = Vec::new();
    for _ in 0..3 {
        encode_fetched(100_000, &Attributes::default(), &mut body).unwrap();
        body.resize(body.len() + 100_000, b'x');
    }
    let reply = Reply::Fetched { more: false, digest: Digest::of(&body) };
    let event = answered(&Op::Fetch, reply, &body).unwrap();
    let Some(ClientEvent::Answered(1, found, held)) = event else { panic!("{event:?}") };
    assert_eq!((found, held.len()), (reply, 262_145));
    assert_eq!(decode_fetched(&held, 3).err(), Some(BundleError::Long(262_145)));
}

#[test]
fn part_of_the_longest_size_is_held_whole() {
    let body: Vec<u8> = [b"begin".as_slice(), &alloc::vec![0; (8 << 20) - 8], b"end"].concat();
    let facts = PartFacts {
        size: 8 << 20,
        attributes: Attributes::default(),
        state: Token([5; 16]),
        cv: None,
        digest: Some(Digest::of(&body)),
    };
    let name = Name::parse(b"a").unwrap();
    let get = Op::Get { name, offset: 0, part_size: 8 << 20, state: None, whole: false };
    let event = answered(&get, Reply::Part(facts), &body).unwrap();
    let Some(ClientEvent::Answered(1, reply, held)) = event else { panic!("{event:?}") };
    assert!((reply, &held) == (Reply::Part(facts), &body), "{} bytes", held.len());
}

#[test]
fn ping_of_the_connections_own_takes_no_file() {
    let mut client = greeted();
    let idle = START.after(60 * SECOND);
    client.expire(idle).unwrap();
    let reply = Reply::Fetched { more: false, digest: Digest::of(b"") };
    let answer = Answer::Answered { id: RequestId::FIRST, length: 0, reply };
    assert_eq!(receive(&mut client, &answer, idle), Err(ClientError::Kind));
}
