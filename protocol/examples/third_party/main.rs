//! A client and a toy server in one process, with two byte vectors instead of sockets: how a
//! program that is not haul uses this crate.
//!
//! The client puts a small file whole and a larger one in parts. The server keeps files in memory,
//! verifies every body before it believes it, and answers.

#![expect(clippy::print_stdout, reason = "an example talks")]

mod server;

use std::error::Error;

use haul_protocol::{
    Attributes, Bitmap, ClientConfig, ClientConnection, ClientEvent, Cv, Digest, Geometry, Hello,
    Name, Op, Reply, Time, Wanted, limits, merge,
};

use server::Server;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// With real sockets, this is read from a clock before each call.
const NOW: Time = Time::from_millis(0);

fn main() -> Result<()> {
    let mut server = Server::new();
    let hello = Hello {
        version: limits::VERSION,
        agent: "third-party/0.1".to_string(),
        client: "random for each run".to_string(),
        slot: 0,
        identity: None,
        publish: None,
        must: Vec::new(),
        // A real client has it from a person, and sends it only to a server that it has checked.
        token: Some("haul_a4dqobyh_CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk".parse()?),
    };
    let mut client = ClientConnection::new(&hello, ClientConfig::default(), NOW)?;
    exchange(&mut client, &mut server)?;

    let small = b"small enough to be sent whole\n";
    let name = Name::parse(b"notes/small.txt")?;
    let (size, digest) = (small.len() as u64, Digest::of(small));
    let attributes = Attributes { mode: Some(0o644), mtime: None };
    request(&mut client, "the small file", &Op::Put { name, size, digest, attributes }, small)?;

    let large: Vec<u8> = (0..2_500_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let wanted = Wanted {
        name: Name::parse(b"data/large.bin")?,
        size: large.len() as u64,
        attributes: Attributes::default(),
        fingerprint: "changes when the source does".to_string(),
        replace: false,
    };
    request(&mut client, "open", &Op::Open(Box::new(wanted)), b"")?;
    let Some((Reply::Opened { upload, part_size }, held)) = exchange(&mut client, &mut server)?
    else {
        return Err("`open` was not answered".into());
    };

    let geometry = Geometry::new(large.len() as u64, part_size)?;
    let mut cvs = Vec::new();
    for index in 0..geometry.parts() {
        let range = geometry.range(index).ok_or("no such part")?;
        let body = &large[usize::try_from(range.start)?..usize::try_from(range.end)?];
        let cv = chaining_value(&geometry, index, body).ok_or("not the whole part")?;
        cvs.push(cv);
        if !held.get(index) {
            request(&mut client, "a part", &Op::Part { upload, offset: range.start, cv }, body)?;
        }
    }
    exchange(&mut client, &mut server)?;
    let digest = merge(&cvs).ok_or("fewer than two parts")?;
    request(&mut client, "commit", &Op::Commit { upload, digest }, b"")?;
    exchange(&mut client, &mut server)?;

    for (name, bytes) in &server.files {
        println!("server has {name}: {} bytes, blake3 {}", bytes.len(), Digest::of(bytes));
    }
    assert_eq!(client.unanswered(), 0);
    assert_eq!(server.files.len(), 2);
    Ok(())
}

/// The client remembers a name for each request.
type Client = ClientConnection<&'static str>;

fn request(client: &mut Client, what: &'static str, op: &Op, body: &[u8]) -> Result<()> {
    // With real sockets, a client that lacks room reads answers first.
    assert!(client.has_room(body.len() as u64), "the example stays within the window");
    client.request(what, op, body.len() as u64, NOW)?;
    client.body(body);
    Ok(())
}

/// Sends the output and reads the answers to it; returns the last answer by id, if any.
fn exchange(client: &mut Client, server: &mut Server) -> Result<Option<(Reply, Bitmap)>> {
    let back = server.read(client.output())?;
    client.sent(client.output().len(), NOW);
    let (mut input, mut last) = (&back[..], None);
    while let Some(event) = client.receive(&mut input, NOW)? {
        match event {
            ClientEvent::Greeted(hello) => {
                let account = hello.account.ok_or("there are no accounts")?;
                println!(
                    "client: this is {}; {} may {}",
                    hello.agent, account.name, account.rights
                );
            }
            ClientEvent::Acked(done) => {
                done.iter().for_each(|what| println!("client: {what} is done"));
            }
            ClientEvent::Refused(what, refusal) => println!("client: {what} is refused: {refusal}"),
            ClientEvent::Answered(what, reply, body) => {
                println!("client: {what} is answered: {reply:?}");
                last = Some((reply, Bitmap::from_bytes(body)));
            }
            ClientEvent::Ended(refusal) => return Err(refusal.to_string().into()),
            other => println!("client: {other:?}"),
        }
    }
    Ok(last)
}

/// The chaining value of one part; `None` if `body` is not exactly that part.
fn chaining_value(geometry: &Geometry, index: usize, body: &[u8]) -> Option<Cv> {
    let mut hasher = geometry.hasher(index)?;
    if hasher.update(body) { hasher.finish() } else { None }
}
