//! Files that are sent from the disk.

use std::io::{Read, Write};

use fail::FailScenario;
use haul_protocol::{Answer, Attributes, Digest, Mtime, Name, Op, Reply, encode};
use haul_server::Durability;

use crate::client::{Client, Setup};

const PART: usize = 64 * 1024;

fn get(whole: bool) -> Op {
    let name = Name::parse(b"new").unwrap();
    Op::Get { name, offset: PART as u64, part_size: PART as u64, state: None, whole }
}

#[test]
fn file_that_has_no_way_into_a_socket_is_read_and_an_error_ends_the_connection_within_the_answer() {
    let scenario = FailScenario::setup();
    let setup = Setup::new(Durability::Group);
    let mut client = Client::connect(&setup);
    let bytes: Vec<u8> = (0..=250).cycle().take(300_000).collect();
    let mtime = Some(Mtime { s: 1_500_000_000, ns: 0 });
    let put = Op::Put {
        name: Name::parse(b"new").unwrap(),
        size: bytes.len() as u64,
        digest: Digest::of(&bytes),
        attributes: Attributes { mode: Some(0o644), mtime },
    };
    assert_eq!(Client::code(&client.ask(&put, &bytes).0), "ack");
    // As on a file system that can't.
    for action in ["off", "return(EINVAL)"] {
        fail::cfg("disk::send", action).unwrap();
        let (answer, body) = client.ask(&get(true), b"");
        let Answer::Answered { reply: Reply::Part(facts), .. } = answer else {
            panic!("{answer:?}")
        };
        assert_eq!((facts.cv, facts.digest), (None, Some(Digest::of(&bytes))), "{action}");
        assert!(body == bytes[PART..2 * PART], "{action}");
    }
    fail::cfg("disk::send", "return(EIO)").unwrap();
    client.id += 1;
    let mut out = Vec::new();
    encode::request(client.id.into(), 0, &get(true), &mut out).unwrap();
    client.stream.write_all(&out).unwrap();
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).unwrap();
    assert!(!rest.is_empty() && rest.len() < 4096, "{} bytes", rest.len());
    // A client that asks for a chaining value is served.
    let (answer, body) = Client::connect(&setup).ask(&get(false), b"");
    assert_eq!((Client::code(&answer).as_str(), body.len()), ("answer", PART));
    scenario.teardown();
}
