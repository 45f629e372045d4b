//! A client and a toy server in one process, with two byte vectors instead of sockets: how a
//! program that is not haul uses this crate.
//!
//! The client puts a small file whole and a larger one in parts, and reads both back: the small one
//! with `fetch`, the large one part by part with `get`. The server keeps files in memory, verifies
//! every body before it believes it, and answers. The client believes no body that it reads, either.

#![expect(clippy::print_stdout, reason = "an example talks")]

mod read_back;
mod server;

use std::error::Error;

use haul_protocol::{
    Attributes, Bitmap, ClientConfig, ClientConnection, ClientEvent, Cv, Digest, Geometry, Hello,
    Name, Op, Refusal, Reply, Time, Wanted, limits, merge,
};

use read_back::{fetch, get};
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
        // This client can't do without reading.
        must: vec!["get".to_string()],
        // A real client has it from a person, and sends it only to a server that it has checked.
        token: Some("haul_a4dqobyh_CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk".parse()?),
    };
    let mut client = ClientConnection::new(&hello, ClientConfig::default(), NOW)?;
    exchange(&mut client, &mut server)?;

    let small = b"small enough to be sent whole\n";
    let small_name = Name::parse(b"notes/small.txt")?;
    let (size, digest) = (small.len() as u64, Digest::of(small));
    let attributes = Attributes { mode: Some(0o644), mtime: None };
    let put = Op::Put { name: small_name.clone(), size, digest, attributes };
    request(&mut client, "the small file", &put, small)?;

    let large: Vec<u8> = (0..2_500_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let large_name = Name::parse(b"data/large.bin")?;
    let wanted = Wanted {
        name: large_name.clone(),
        size: large.len() as u64,
        attributes: Attributes::default(),
        fingerprint: "changes when the source does".to_string(),
        replace: false,
    };
    request(&mut client, "open", &Op::Open(Box::new(wanted)), b"")?;
    let (Reply::Opened { upload, part_size }, held) = answer(&mut client, &mut server)? else {
        return Err("`open` has another answer".into());
    };
    let held = Bitmap::from_bytes(held);

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
    assert_eq!(server.files.len(), 2);

    let nothing = Name::parse(b"notes/nothing.txt")?;
    let found = fetch(&mut client, &mut server, &[small_name.clone(), nothing])?;
    assert_eq!(found, [Some(small.to_vec()), None]);
    assert!(get(&mut client, &mut server, &large_name, 1 << 20)? == large);
    assert!(get(&mut client, &mut server, &small_name, 1 << 20)? == small);
    server.replaces_after_one_part(large_name.clone(), b"another file".to_vec());
    assert_eq!(get(&mut client, &mut server, &large_name, 1 << 20)?, b"another file");
    assert_eq!(client.unanswered(), 0);
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

/// The outcome of a request that is no change: an answer and its body, or a refusal.
type Outcome = std::result::Result<(Reply, Vec<u8>), Refusal>;

/// The answer to the only request that is under way.
fn answer(client: &mut Client, server: &mut Server) -> Result<(Reply, Vec<u8>)> {
    let outcome = exchange(client, server)?.ok_or("there is no answer")?;
    Ok(outcome.map_err(|refusal| refusal.to_string())?)
}

/// Sends the output and reads the answers to it; returns the last one by id, if any.
fn exchange(client: &mut Client, server: &mut Server) -> Result<Option<Outcome>> {
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
            ClientEvent::Refused(what, refusal) => {
                println!("client: {what} is refused: {refusal}");
                last = Some(Err(refusal));
            }
            ClientEvent::Answered(what, reply, body) => {
                println!("client: {what} is answered: {reply:?}");
                last = Some(Ok((reply, body)));
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
