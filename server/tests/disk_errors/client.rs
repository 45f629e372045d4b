//! A server in this process, and a client that speaks to it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use haul_protocol::{
    Answer, Answers, Attributes, Decoder, Digest, Event, Geometry, Hello, Name, Op, Publish, Reply,
    Token, Wanted, encode,
};
use haul_server::{Config, Durability, Server, process};
use tempfile::TempDir;

/// A server in this process, so that failpoints reach it; and a root with an old file.
pub(crate) struct Setup {
    pub(crate) root: TempDir,
    pub(crate) server: Option<Server>,
    pub(crate) address: String,
}

impl Setup {
    pub(crate) fn new(durability: Durability) -> Self {
        Self::with_workers(durability, None)
    }

    pub(crate) fn with_workers(durability: Durability, workers: Option<u16>) -> Self {
        Self::with(durability, |config| config.workers = workers)
    }

    pub(crate) fn with(durability: Durability, change: impl FnOnce(&mut Config)) -> Self {
        let root = TempDir::new().unwrap();
        fs::write(root.path().join("small"), "old").unwrap();
        fs::write(root.path().join("large"), "old").unwrap();
        // Modes are compared.
        let _ = process::prepare();
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let mut config = Config { listen, durability, ..Config::new(root.path()) };
        change(&mut config);
        let server = Server::start(&config).unwrap();
        let address = server.addresses().next().unwrap().to_string();
        Self { root, server: Some(server), address }
    }

    /// As on a file system where files under way must have names.
    pub(crate) fn named(durability: Durability) -> Self {
        fail::cfg("disk::link", "1*return(EIO)").unwrap();
        let setup = Self::new(durability);
        fail::remove("disk::link");
        setup
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.root.path().join(name)).unwrap()
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            (server.stopper())();
            server.join();
        }
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) decoder: Decoder<Answers>,
    pub(crate) id: u64,
}

impl Client {
    pub(crate) fn connect(setup: &Setup) -> Self {
        let mut client = Self::ask_to_be_greeted(setup, None, None);
        client.greeted();
        client
    }

    /// Says `hello`, as this client (`None`: as one of its own), about the next version of a directory if there is one.
    pub(crate) fn ask_to_be_greeted(
        setup: &Setup,
        name: Option<&str>,
        publish: Option<&str>,
    ) -> Self {
        let stream = TcpStream::connect(&setup.address).unwrap();
        let mut client = Self { stream, decoder: Decoder::new(Answers), id: 0 };
        let local = client.stream.local_addr().unwrap();
        let publish = publish.map(|name| {
            let name = Name::parse(name.as_bytes()).unwrap();
            Publish { name, tree: None }
        });
        let hello = Hello {
            version: 1,
            agent: String::from("test/1"),
            client: name.map_or_else(|| local.to_string(), str::to_owned),
            slot: 0,
            identity: Some(String::from("me")),
            publish,
            must: Vec::new(),
            token: None,
        };
        let mut out = Vec::new();
        encode::hello(&hello, &mut out).unwrap();
        client.stream.write_all(&out).unwrap();
        client
    }

    pub(crate) fn greeted(&mut self) {
        let (answer, _) = self.receive();
        assert!(matches!(answer, Answer::Hello(_)), "{answer:?}");
    }

    pub(crate) fn receive(&mut self) -> (Answer, Vec<u8>) {
        let (mut answer, mut body) = (None, Vec::new());
        loop {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            let mut input = &byte[..];
            while let Some(event) = self.decoder.decode(&mut input).unwrap() {
                match event {
                    Event::Header(header) => answer = Some(header),
                    Event::Body(bytes) => body.extend_from_slice(bytes),
                    Event::End => return (answer.unwrap(), body),
                }
                if input.is_empty() && answer.is_some() && self.decoder.body_left() == Some(0) {
                    continue;
                }
            }
        }
    }

    pub(crate) fn ask(&mut self, op: &Op, body: &[u8]) -> (Answer, Vec<u8>) {
        self.id += 1;
        let mut out = Vec::new();
        encode::request(self.id.into(), body.len() as u64, op, &mut out).unwrap();
        out.extend_from_slice(body);
        self.stream.write_all(&out).unwrap();
        loop {
            match self.receive() {
                // Repeated while the disk is slow.
                (Answer::Ack(id), _) if id.get() < self.id => {}
                answer => return answer,
            }
        }
    }

    pub(crate) fn put(&mut self, name: &str, bytes: &[u8]) -> Answer {
        let op = Op::Put {
            name: Name::parse(name.as_bytes()).unwrap(),
            size: bytes.len() as u64,
            digest: Digest::of(bytes),
            attributes: Attributes { mode: Some(0o644), mtime: None },
        };
        self.ask(&op, bytes).0
    }

    pub(crate) fn code(answer: &Answer) -> String {
        match answer {
            Answer::Refused { refusal, .. } => {
                assert!(!refusal.message.is_empty());
                refusal.code.to_string()
            }
            Answer::Ack(_) => String::from("ack"),
            Answer::Answered { .. } => String::from("answer"),
            other => panic!("{other:?} comes without being asked for"),
        }
    }
}

/// The bytes of a file of two parts.
pub(crate) fn large(first: u8) -> Vec<u8> {
    let mut bytes = vec![5; (1 << 20) + 100];
    bytes[0] = first;
    bytes
}

pub(crate) fn open_large(first: u8, bytes: &[u8]) -> Op {
    Op::Open(Box::new(Wanted {
        name: Name::parse(b"large").unwrap(),
        size: bytes.len() as u64,
        attributes: Attributes { mode: Some(0o644), mtime: None },
        fingerprint: format!("f{first}"),
        replace: false,
    }))
}

/// A file of two parts, sent to its end; returns the first thing that was refused.
pub(crate) fn send_large(client: &mut Client, first: u8) -> (String, Vec<u8>) {
    let bytes = large(first);
    let geometry = Geometry::new(bytes.len() as u64, 1 << 20).unwrap();
    let (answer, _) = client.ask(&open_large(first, &bytes), b"");
    let Answer::Answered { reply: Reply::Opened { upload, .. }, .. } = answer else {
        return (Client::code(&answer), bytes);
    };
    for index in 0..2 {
        let code = part(client, upload, geometry, index, &bytes);
        if code != "ack" {
            return (code, bytes);
        }
    }
    tick();
    let commit = Op::Commit { upload, digest: Digest::of(&bytes) };
    (Client::code(&client.ask(&commit, b"").0), bytes)
}

/// Lets the clock of the file system tick: a file that is complete within the tick in which it was begun is not known again
/// once it is published.
pub(crate) fn tick() {
    let mut probe = tempfile::tempfile().unwrap();
    let changed = |probe: &fs::File| probe.metadata().unwrap().ctime_nsec();
    let before = changed(&probe);
    while changed(&probe) == before {
        probe.write_all(b"x").unwrap();
    }
}

/// As a client does that comes again at once: until the server is done with the one before.
pub(crate) fn send_large_when_free(setup: &Setup, first: u8) -> String {
    let begun = std::time::Instant::now();
    loop {
        let code = send_large(&mut Client::connect(setup), first).0;
        if code != "busy" {
            return code;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "busy for a minute");
    }
}

pub(crate) fn part(
    client: &mut Client,
    upload: Token,
    geometry: Geometry,
    index: usize,
    all: &[u8],
) -> String {
    let range = geometry.range(index).unwrap();
    let bytes = &all[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
    let mut hasher = geometry.hasher(index).unwrap();
    assert!(hasher.update(bytes));
    let op = Op::Part { upload, offset: range.start, cv: hasher.finish().unwrap() };
    Client::code(&client.ask(&op, bytes).0)
}

pub(crate) fn leftovers(root: &Path) -> usize {
    let directories = fs::read_dir(root.join(".haul/staged")).unwrap();
    directories.map(|directory| fs::read_dir(directory.unwrap().path()).unwrap().count()).sum()
}
