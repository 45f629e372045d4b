//! A client and a toy server in one process, with two byte vectors instead of sockets: how a
//! program that is not haul uses this crate.
//!
//! The client puts a small file whole and a larger one in parts. The server keeps files in memory,
//! verifies every body before it believes it, and answers.

#![expect(clippy::print_stdout, reason = "an example talks")]

mod server;

use std::error::Error;

use haul_protocol::{
    Answer, Answers, Attributes, Bitmap, Cv, Decoder, Digest, Event, Geometry, Hello, Name, Op,
    Reply, Requester, ServerLimits, Wanted, encode, limits, merge,
};

use server::Server;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut server = Server::new();
    let mut client = Client { wire: Vec::new(), book: Requester::new(&ServerLimits::default()) };

    let hello = Hello {
        version: limits::VERSION,
        agent: "third-party/0.1".to_string(),
        client: "random for each run".to_string(),
        slot: 0,
        identity: None,
        publish: None,
        must: Vec::new(),
    };
    encode::hello(&hello, &mut client.wire)?;
    client.exchange(&mut server)?;

    let small = b"small enough to be sent whole\n";
    let name = Name::parse(b"notes/small.txt")?;
    let (size, digest) = (small.len() as u64, Digest::of(small));
    let attributes = Attributes { mode: Some(0o644), mtime: None };
    client.request(&Op::Put { name, size, digest, attributes }, small)?;

    let large: Vec<u8> = (0..2_500_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let wanted = Wanted {
        name: Name::parse(b"data/large.bin")?,
        size: large.len() as u64,
        attributes: Attributes::default(),
        fingerprint: "changes when the source does".to_string(),
        replace: false,
    };
    client.request(&Op::Open(Box::new(wanted)), b"")?;
    let Some((Reply::Opened { upload, part_size }, held)) = client.exchange(&mut server)? else {
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
            client.request(&Op::Part { upload, offset: range.start, cv }, body)?;
        }
    }
    client.exchange(&mut server)?;
    let digest = merge(&cvs).ok_or("fewer than two parts")?;
    client.request(&Op::Commit { upload, digest }, b"")?;
    client.exchange(&mut server)?;

    for (name, bytes) in &server.files {
        println!("server has {name}: {} bytes, blake3 {}", bytes.len(), Digest::of(bytes));
    }
    assert_eq!(client.book.unanswered(), 0);
    assert_eq!(server.files.len(), 2);
    Ok(())
}

struct Client {
    wire: Vec<u8>,
    book: Requester<String>,
}

impl Client {
    fn request(&mut self, op: &Op, body: &[u8]) -> Result<()> {
        let length = body.len() as u64;
        // With real sockets, a client that lacks room reads answers first.
        assert!(self.book.has_room(length), "the example stays within the window");
        let id = self.book.next_id();
        encode::request(id, length, op, &mut self.wire)?;
        self.wire.extend_from_slice(body);
        self.book.sent(format!("request {id}"), op.is_change(), length);
        Ok(())
    }

    /// Sends what has been written, and reads what comes back: the last answer by id, if any.
    fn exchange(&mut self, server: &mut Server) -> Result<Option<(Reply, Bitmap)>> {
        let back = server.read(&std::mem::take(&mut self.wire))?;
        let (mut decoder, mut input) = (Decoder::new(Answers), &back[..]);
        let (mut last, mut body) = (None, Vec::new());
        while let Some(event) = decoder.decode(&mut input)? {
            match event {
                Event::Header(Answer::Hello(hello)) => println!("client: this is {}", hello.agent),
                Event::Header(Answer::Ack(id)) => {
                    self.book.acked(id, |what| println!("client: {what} is done"))?;
                }
                Event::Header(Answer::Refused { id, refusal }) => {
                    println!("client: {} is refused: {refusal}", self.book.answered(id)?);
                }
                Event::Header(Answer::Answered { id, reply, .. }) => {
                    println!("client: {} is answered: {reply:?}", self.book.answered(id)?);
                    (last, body) = (Some(reply), Vec::new());
                }
                Event::Body(bytes) => body.extend_from_slice(bytes),
                Event::End => {}
            }
        }
        decoder.finish()?;
        Ok(last.map(|reply| (reply, Bitmap::from_bytes(body))))
    }
}

/// The chaining value of one part; `None` if `body` is not exactly that part.
fn chaining_value(geometry: &Geometry, index: usize, body: &[u8]) -> Option<Cv> {
    let mut hasher = geometry.hasher(index)?;
    if hasher.update(body) { hasher.finish() } else { None }
}
