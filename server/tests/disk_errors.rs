//! Each operation on the disk fails once, with ENOSPC and with EIO: the client is told clearly, the
//! old file is untouched, nothing is left behind, and the server goes on.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use fail::FailScenario;
use haul_protocol::{
    Answer, Answers, Attributes, Decoder, Digest, Event, Geometry, Hello, LinkTarget, Mtime, Name,
    Op, Publish, Reply, Token, Wanted, encode,
};
use haul_server::{Config, Durability, Server, process};
use tempfile::TempDir;

/// A server in this process, so that failpoints reach it; and a root with an old file.
struct Setup {
    root: TempDir,
    server: Option<Server>,
    address: String,
}

impl Setup {
    fn new(durability: Durability) -> Self {
        Self::with_workers(durability, None)
    }

    fn with_workers(durability: Durability, workers: Option<u16>) -> Self {
        let root = TempDir::new().unwrap();
        fs::write(root.path().join("small"), "old").unwrap();
        fs::write(root.path().join("large"), "old").unwrap();
        // Modes are compared.
        let _ = process::prepare();
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let config = Config { listen, durability, workers, ..Config::new(root.path()) };
        let server = Server::start(&config).unwrap();
        let address = server.addresses().next().unwrap().to_string();
        Self { root, server: Some(server), address }
    }

    /// As on a file system where files under way must have names.
    fn named(durability: Durability) -> Self {
        fail::cfg("disk::link", "1*return(EIO)").unwrap();
        let setup = Self::new(durability);
        fail::remove("disk::link");
        setup
    }

    fn read(&self, name: &str) -> Vec<u8> {
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

struct Client {
    stream: TcpStream,
    decoder: Decoder<Answers>,
    id: u64,
}

impl Client {
    fn connect(setup: &Setup) -> Self {
        let mut client = Self::ask_to_be_greeted(setup, None, None);
        client.greeted();
        client
    }

    /// Says `hello`, as this client (`None`: as one of its own), about the next version of a directory if there is one.
    fn ask_to_be_greeted(setup: &Setup, name: Option<&str>, publish: Option<&str>) -> Self {
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
        };
        let mut out = Vec::new();
        encode::hello(&hello, &mut out).unwrap();
        client.stream.write_all(&out).unwrap();
        client
    }

    fn greeted(&mut self) {
        let (answer, _) = self.receive();
        assert!(matches!(answer, Answer::Hello(_)), "{answer:?}");
    }

    fn receive(&mut self) -> (Answer, Vec<u8>) {
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

    fn ask(&mut self, op: &Op, body: &[u8]) -> (Answer, Vec<u8>) {
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

    fn put(&mut self, name: &str, bytes: &[u8]) -> Answer {
        let op = Op::Put {
            name: Name::parse(name.as_bytes()).unwrap(),
            size: bytes.len() as u64,
            digest: Digest::of(bytes),
            attributes: Attributes { mode: Some(0o644), mtime: None },
        };
        self.ask(&op, bytes).0
    }

    fn code(answer: &Answer) -> String {
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
fn large(first: u8) -> Vec<u8> {
    let mut bytes = vec![5; (1 << 20) + 100];
    bytes[0] = first;
    bytes
}

fn open_large(first: u8, bytes: &[u8]) -> Op {
    Op::Open(Box::new(Wanted {
        name: Name::parse(b"large").unwrap(),
        size: bytes.len() as u64,
        attributes: Attributes { mode: Some(0o644), mtime: None },
        fingerprint: format!("f{first}"),
        replace: false,
    }))
}

/// A file of two parts, sent to its end; returns the first thing that was refused.
fn send_large(client: &mut Client, first: u8) -> (String, Vec<u8>) {
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
fn tick() {
    let mut probe = tempfile::tempfile().unwrap();
    let changed = |probe: &fs::File| probe.metadata().unwrap().ctime_nsec();
    let before = changed(&probe);
    while changed(&probe) == before {
        probe.write_all(b"x").unwrap();
    }
}

/// As a client does that comes again at once: until the server is done with the one before.
fn send_large_when_free(setup: &Setup, first: u8) -> String {
    let begun = std::time::Instant::now();
    loop {
        let code = send_large(&mut Client::connect(setup), first).0;
        if code != "busy" {
            return code;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "busy for a minute");
    }
}

fn part(
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

fn leftovers(root: &Path) -> usize {
    let directories = fs::read_dir(root.join(".haul/staged")).unwrap();
    directories.map(|directory| fs::read_dir(directory.unwrap().path()).unwrap().count()).sum()
}

#[test]
fn every_operation_fails_for_a_small_file() {
    let scenario = FailScenario::setup();
    for (durability, named) in [
        (Durability::None, true),
        (Durability::None, false),
        (Durability::Group, true),
        (Durability::Group, false),
    ] {
        let setup = if named { Setup::named(durability) } else { Setup::new(durability) };
        let mut client = Client::connect(&setup);
        for (operation, skip, named_only, group_only) in [
            ("open", 0, None, false),
            ("write", 0, None, false),
            ("close", 0, Some(true), false),
            // The final name, and the one that it has for a moment because that is taken.
            ("link", 0, Some(false), false),
            ("link", 1, Some(false), false),
            ("rename", 0, None, false),
            ("fsync", 0, None, true),
        ] {
            if group_only && durability == Durability::None
                || named_only.is_some_and(|only| only != named)
            {
                continue;
            }
            for (error, code) in [("ENOSPC", "no_space"), ("EIO", "io")] {
                // What close(2) says is told as it is.
                let code = if operation == "close" { "io" } else { code };
                let point = format!("disk::{operation}");
                let action = match skip {
                    0 => format!("1*return({error})"),
                    skip => format!("{skip}*off->1*return({error})"),
                };
                fail::cfg(&point, &action).unwrap();
                let answer = client.put("small", b"new");
                let what = format!("{durability:?} {named} {point} {skip} {error}");
                assert_eq!(Client::code(&answer), code, "{what}");
                assert_eq!(setup.read("small"), b"old", "{what}");
                assert_eq!(leftovers(setup.root.path()), 0, "{what}");
                fail::remove(&point);
                // The same connection goes on, and so does everything else.
                assert_eq!(Client::code(&client.put("other", b"x")), "ack");
                assert_eq!(setup.read("other"), b"x");
            }
        }
        assert_eq!(Client::code(&client.put("small", b"new")), "ack");
        assert_eq!(setup.read("small"), b"new");
    }
    scenario.teardown();
}

/// What only the file system can know is told with the code that says what to do: `io` is for a disk that fails.
#[test]
fn what_the_file_system_does_not_take_is_told_by_its_own_code() {
    let scenario = FailScenario::setup();
    for durability in [Durability::None, Durability::Group] {
        let setup = Setup::new(durability);
        let mut client = Client::connect(&setup);
        let name = |text: &str| Name::parse(text.as_bytes()).unwrap();
        let link = Op::Symlink {
            name: name("symlink"),
            target: LinkTarget::parse(&[b'x'; 4095]).unwrap(),
            mtime: None,
        };
        let mkdir = Op::Mkdir { name: name("directory"), mode: None, replace: false };
        for (operation, error, op, code, message) in [
            ("symlink", "ENAMETOOLONG", &link, "bad_name", "target of a symlink"),
            ("symlink", "EPERM", &link, "symlink", "has no symlinks"),
            ("symlink", "EROFS", &link, "permission", "read-only"),
            ("rename", "ENAMETOOLONG", &link, "bad_name", "no name that is so long"),
            ("mkdir", "ENAMETOOLONG", &mkdir, "bad_name", "no name that is so long"),
            ("mkdir", "EROFS", &mkdir, "permission", "read-only"),
        ] {
            // A directory is tried in two ways.
            fail::cfg(format!("disk::{operation}"), &format!("2*return({error})")).unwrap();
            let (answer, _) = client.ask(op, b"");
            fail::remove(format!("disk::{operation}"));
            let what = format!("{durability:?} {operation} {error}");
            assert_eq!(Client::code(&answer), code, "{what}");
            let Answer::Refused { refusal, .. } = answer else { panic!("{what}") };
            assert!(refusal.message.contains(message), "{what}: {}", refusal.message);
            assert_eq!(leftovers(setup.root.path()), 0, "{what}");
        }
        for (operation, error, code) in [
            ("write", "EFBIG", "too_large"),
            ("open", "EMFILE", "busy"),
            ("open", "EROFS", "permission"),
        ] {
            fail::cfg(format!("disk::{operation}"), &format!("1*return({error})")).unwrap();
            let answer = client.put("small", b"new");
            fail::remove(format!("disk::{operation}"));
            assert_eq!(Client::code(&answer), code, "{durability:?} {operation} {error}");
            let Answer::Refused { refusal, .. } = answer else { panic!() };
            assert_eq!(refusal.retry, code == "busy");
            assert_eq!(setup.read("small"), b"old");
        }
        assert_eq!(Client::code(&client.ask(&link, b"").0), "ack");
        assert_eq!(Client::code(&client.ask(&mkdir, b"").0), "ack");
    }
    scenario.teardown();
}

/// The file is visible, but whether it would survive is not known: told as what it is.
#[test]
fn directory_that_cannot_be_flushed_is_uncertain() {
    let scenario = FailScenario::setup();
    let setup = Setup::new(Durability::Group);
    let mut client = Client::connect(&setup);
    fail::cfg("disk::fsync_directory", "1*return(EIO)").unwrap();
    let answer = client.put("small", b"new");
    assert_eq!(Client::code(&answer), "uncertain");
    let Answer::Refused { refusal, .. } = &answer else { panic!("{answer:?}") };
    assert!(refusal.retry);
    assert_eq!(setup.read("small"), b"new");
    assert_eq!(Client::code(&client.put("small", b"new")), "ack");
    scenario.teardown();
}

#[test]
fn every_operation_fails_for_a_large_file() {
    let scenario = FailScenario::setup();
    for durability in [Durability::None, Durability::Group] {
        let setup = Setup::new(durability);
        let mut first = 0;
        for (operation, skip, group_only) in [
            ("open", 0, false),
            ("write", 2, false),
            ("append", 2, false),
            ("append", 4, false),
            ("rename", 0, false),
            ("fsync", 0, true),
        ] {
            if group_only && durability == Durability::None {
                continue;
            }
            for (error, code) in [("ENOSPC", "no_space"), ("EIO", "io")] {
                first += 1;
                let what = format!("{durability:?} {operation} {skip} {error}");
                let mut client = Client::connect(&setup);
                let point = format!("disk::{operation}");
                let action = match skip {
                    0 => format!("1*return({error})"),
                    skip => format!("{skip}*off->1*return({error})"),
                };
                fail::cfg(&point, &action).unwrap();
                let (refused, bytes) = send_large(&mut client, first);
                assert_eq!(refused, code, "{what}");
                assert_eq!(setup.read("large"), b"old", "{what}");
                fail::remove(&point);
                // The next run goes on with what is held, and gets it done.
                drop(client);
                let next = send_large_when_free(&setup, first);
                assert_eq!(next, "answer", "{what}");
                assert_eq!(setup.read("large"), bytes, "{what}");
                fs::write(setup.root.path().join("large"), "old").unwrap();
            }
        }
    }
    scenario.teardown();
}

/// The kernel drops what it could not write, and a second flush finds nothing to do: nothing that was
/// held before a flush failed is offered again.
#[test]
fn failed_flush_is_never_tried_again() {
    let scenario = FailScenario::setup();
    let setup = Setup::new(Durability::Group);
    let mut client = Client::connect(&setup);
    fail::cfg("disk::fsync", "1*return(EIO)").unwrap();
    assert_eq!(send_large(&mut client, 1).0, "io");
    let mut client = Client::connect(&setup);
    let (answer, held) = client.ask(&open_large(1, &large(1)), b"");
    assert!(matches!(answer, Answer::Answered { .. }), "{answer:?}");
    assert_eq!(held, b"", "parts are offered whose flush has failed");
    scenario.teardown();
}

/// A commit that may not be durable is not agreed to afterwards, as long as the disk fails.
#[test]
fn uncertain_commit_stays_uncertain_until_it_is_flushed() {
    let scenario = FailScenario::setup();
    let setup = Setup::new(Durability::Group);
    let mut client = Client::connect(&setup);
    fail::cfg("disk::fsync_directory", "return(EIO)").unwrap();
    fail::cfg("disk::syncfs", "return(EIO)").unwrap();
    let (first, bytes) = send_large(&mut client, 1);
    assert_eq!(first, "uncertain");
    assert_eq!(send_large(&mut client, 1).0, "uncertain");
    fail::remove("disk::fsync_directory");
    fail::remove("disk::syncfs");
    assert_eq!(send_large(&mut client, 1).0, "answer");
    assert_eq!(setup.read("large"), bytes);
    scenario.teardown();
}

/// A half-written file that cannot be removed is told in the log, and swept at the next start.
#[test]
fn unlink_that_fails_harms_nothing() {
    let scenario = FailScenario::setup();
    let setup = Setup::named(Durability::Group);
    let mut client = Client::connect(&setup);
    fail::cfg("disk::write", "1*return(EIO)").unwrap();
    fail::cfg("disk::unlink", "1*return(EIO)").unwrap();
    assert_eq!(Client::code(&client.put("small", b"new")), "io");
    assert_eq!(setup.read("small"), b"old");
    assert_eq!(leftovers(setup.root.path()), 1);
    assert_eq!(Client::code(&client.put("small", b"new")), "ack");
    scenario.teardown();
}

/// Trap `close_or_fsync_error_dropped`.
#[test]
fn close_or_fsync_error_dropped() {
    let scenario = FailScenario::setup();
    for point in ["disk::close", "disk::fsync"] {
        let setup = Setup::named(Durability::Group);
        let mut client = Client::connect(&setup);
        fail::cfg(point, "1*return(EIO)").unwrap();
        assert_eq!(Client::code(&client.put("small", b"new")), "io", "{point}");
        assert_eq!(setup.read("small"), b"old", "{point}");
    }
    scenario.teardown();
}

/// A flush that goes on until the last ack has been repeated; the real one follows.
#[test]
fn slow_flush_repeats_the_last_ack() {
    let scenario = FailScenario::setup();
    let setup = Setup::new(Durability::Group);
    let mut client = Client::connect(&setup);
    assert_eq!(Client::code(&client.put("small", b"1")), "ack");
    fail::cfg("disk::fsync", "pause").unwrap();
    client.id += 1;
    let mut out = Vec::new();
    let op = Op::Mkdir { name: Name::parse(b"d").unwrap(), mode: None, replace: false };
    encode::request(client.id.into(), 0, &op, &mut out).unwrap();
    client.id += 1;
    let bytes = b"slow";
    let op = Op::Put {
        name: Name::parse(b"small").unwrap(),
        size: 4,
        digest: Digest::of(bytes),
        attributes: Attributes::default(),
    };
    encode::request(client.id.into(), 4, &op, &mut out).unwrap();
    out.extend_from_slice(bytes);
    client.stream.write_all(&out).unwrap();
    let mut last = 1;
    while last < 3 {
        let (Answer::Ack(id), _) = client.receive() else { panic!("refused") };
        let id = id.get();
        // However the two were grouped, the flush goes on only when an ack has been repeated.
        if id == last {
            fail::cfg("disk::fsync", "off").unwrap();
        }
        assert!(id >= last, "{id} after {last}");
        last = id;
    }
    scenario.teardown();
}

/// Requests for a directory and three files in it.
fn new_directory(first: u64) -> Vec<u8> {
    let mkdir = Op::Mkdir { name: Name::parse(b"new").unwrap(), mode: Some(0o755), replace: false };
    let mut out = Vec::new();
    encode::request(first.into(), 0, &mkdir, &mut out).unwrap();
    for (id, name) in (first + 1..).zip(["new/a", "new/b", "new/c"]) {
        let put = Op::Put {
            name: Name::parse(name.as_bytes()).unwrap(),
            size: 5,
            digest: Digest::of(b"bytes"),
            attributes: Attributes { mode: Some(0o644), mtime: Some(Mtime { s: 1, ns: 2 }) },
        };
        encode::request(id.into(), 5, &put, &mut out).unwrap();
        out.extend_from_slice(b"bytes");
    }
    out
}

/// Nothing of it is published: which of its files could not be flushed nobody knows.
#[test]
fn new_directory_that_cannot_be_flushed_is_not_published() {
    let scenario = FailScenario::setup();
    let setup = Setup::new(Durability::Group);
    let mut client = Client::connect(&setup);
    fail::cfg("disk::syncfs", "1*return(EIO)").unwrap();
    client.stream.write_all(&new_directory(1)).unwrap();
    for expected in 1..=4 {
        let (refused, _) = client.receive();
        assert!(
            matches!(refused, Answer::Refused { id, .. } if id.get() == expected),
            "{refused:?}"
        );
        assert_eq!(Client::code(&refused), "io");
    }
    assert!(!setup.root.path().join("new").exists());
    assert_eq!(leftovers(setup.root.path()), 0);
    client.stream.write_all(&new_directory(5)).unwrap();
    while !matches!(client.receive().0, Answer::Ack(id) if id.get() == 8) {}
    for name in ["new/a", "new/b", "new/c"] {
        assert_eq!(setup.read(name), b"bytes", "{name}");
    }
    scenario.teardown();
}

/// A file that can't be written into a new directory is missing there, and only that one.
#[test]
fn no_room_in_a_new_directory_costs_that_file_only() {
    let scenario = FailScenario::setup();
    for (operation, code) in [("write", "no_space"), ("times", "no_space"), ("close", "io")] {
        let setup = Setup::named(Durability::None);
        let mut client = Client::connect(&setup);
        let error = if operation == "close" { "EIO" } else { "ENOSPC" };
        // In the new directory, and then where it belongs.
        fail::cfg(format!("disk::{operation}"), &format!("1*off->2*return({error})")).unwrap();
        client.stream.write_all(&new_directory(1)).unwrap();
        let (refused, _) = client.receive();
        assert!(
            matches!(refused, Answer::Refused { id, .. } if id.get() == 3),
            "{operation}: {refused:?}"
        );
        assert_eq!(Client::code(&refused), code, "{operation}");
        // What had been taken before it is published first, and may be acknowledged by itself.
        while !matches!(client.receive().0, Answer::Ack(id) if id.get() == 4) {}
        fail::remove(format!("disk::{operation}"));
        let there: Vec<bool> = ["new/a", "new/b", "new/c"]
            .iter()
            .map(|name| fs::read(setup.root.path().join(name)).is_ok_and(|read| read == b"bytes"))
            .collect();
        assert_eq!(there, [true, false, true], "{operation}");
        assert_eq!(leftovers(setup.root.path()), 0, "{operation}");
    }
    scenario.teardown();
}

/// Sends a `put` of which the rename has begun when this returns, and does not end before the scenario does.
fn put_without_end(client: &mut Client, setup: &Setup) {
    // Because a file stands there, the server gives the new file a name of its own for a moment.
    let staged = || {
        (0..8).any(|number| {
            let directory = setup.root.path().join(format!(".haul/staged/{number}"));
            fs::read_dir(directory).unwrap().next().is_some()
        })
    };
    fail::cfg("disk::rename", "pause").unwrap();
    let op = Op::Put {
        name: Name::parse(b"small").unwrap(),
        size: 3,
        digest: Digest::of(b"new"),
        attributes: Attributes { mode: Some(0o644), mtime: None },
    };
    client.id += 1;
    let mut out = Vec::new();
    encode::request(client.id.into(), 3, &op, &mut out).unwrap();
    out.extend_from_slice(b"new");
    client.stream.write_all(&out).unwrap();
    while !staged() {
        std::thread::yield_now();
    }
}

fn has_no_answer(client: &mut Client) -> bool {
    client.stream.set_nonblocking(true).unwrap();
    let nothing = client.stream.read(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
    client.stream.set_nonblocking(false).unwrap();
    nothing
}

/// One worker is at the change; another one serves all others, however many wait for the change.
#[test]
fn connections_that_wait_for_a_slow_change_hold_no_worker() {
    let scenario = FailScenario::setup();
    let setup = Setup::with_workers(Durability::None, Some(2));
    let mut old = Client::ask_to_be_greeted(&setup, Some("same"), None);
    old.greeted();
    put_without_end(&mut old, &setup);
    let mut waiting: Vec<Client> = (0..3)
        .map(|number| Client::ask_to_be_greeted(&setup, None, Some(&format!("directory{number}"))))
        .collect();
    waiting.push(Client::ask_to_be_greeted(&setup, Some("same"), None));
    // Each of them is answered, though the connections before it wait.
    for _ in 0..10 {
        let mut other = Client::connect(&setup);
        assert_eq!(Client::code(&other.ask(&Op::Ping, b"").0), "answer");
    }
    assert!(waiting.iter_mut().all(has_no_answer));
    // Nobody changes a directory whose next version is to be put together.
    let name = Name::parse(b"directory1/x").unwrap();
    let mut other = Client::connect(&setup);
    let refused = other.ask(&Op::Mkdir { name, mode: None, replace: false }, b"").0;
    assert_eq!(Client::code(&refused), "busy");
    // A newer connection takes the place of one that waits.
    let mut newest = Client::ask_to_be_greeted(&setup, Some("same"), None);
    assert_eq!(Client::code(&waiting.pop().unwrap().receive().0), "fenced");
    assert!(has_no_answer(&mut newest));
    scenario.teardown();
    newest.greeted();
    waiting.iter_mut().for_each(Client::greeted);
    assert_eq!(setup.read("small"), b"new");
}

/// The place of a connection is that in which its `hello` came, however long the answer takes.
#[test]
fn connection_that_waits_for_a_directory_makes_way_for_a_newer_one() {
    let scenario = FailScenario::setup();
    let setup = Setup::with_workers(Durability::None, Some(2));
    let mut slow = Client::connect(&setup);
    put_without_end(&mut slow, &setup);
    let mut waits = Client::ask_to_be_greeted(&setup, Some("same"), Some("directory"));
    assert!(has_no_answer(&mut waits));
    let mut newer = Client::ask_to_be_greeted(&setup, Some("same"), None);
    newer.greeted();
    assert_eq!(Client::code(&waits.receive().0), "fenced");
    scenario.teardown();
    let name = Name::parse(b"made").unwrap();
    let made = newer.ask(&Op::Mkdir { name, mode: None, replace: false }, b"").0;
    assert_eq!(Client::code(&made), "ack");
    // The directory is nobody's any more.
    let mut next = Client::ask_to_be_greeted(&setup, None, Some("directory"));
    next.greeted();
}

/// A job looks for the root again when it goes on.
#[test]
fn hello_that_has_waited_is_refused_if_the_root_is_gone() {
    let scenario = FailScenario::setup();
    let setup = Setup::with_workers(Durability::None, Some(2));
    let mut slow = Client::connect(&setup);
    put_without_end(&mut slow, &setup);
    let mut waits = Client::ask_to_be_greeted(&setup, None, Some("directory"));
    assert!(has_no_answer(&mut waits));
    let (root, away) = (setup.root.path(), setup.root.path().with_extension("away"));
    fs::rename(root, &away).unwrap();
    scenario.teardown();
    let told = waits.receive().0;
    fs::rename(&away, root).unwrap();
    assert_eq!(Client::code(&told), "root_gone");
}

/// Nor do requests that wait for it.
#[test]
fn rollbacks_that_wait_for_a_slow_change_hold_no_worker() {
    let scenario = FailScenario::setup();
    let setup = Setup::with_workers(Durability::None, Some(2));
    let mut slow = Client::connect(&setup);
    put_without_end(&mut slow, &setup);
    let mut waiting: Vec<Client> = (0..3).map(|_| Client::connect(&setup)).collect();
    for (number, client) in waiting.iter_mut().enumerate() {
        let name = Name::parse(format!("directory{number}").as_bytes()).unwrap();
        let mut out = Vec::new();
        encode::request(1.into(), 0, &Op::Rollback { name }, &mut out).unwrap();
        client.stream.write_all(&out).unwrap();
    }
    for _ in 0..10 {
        let mut other = Client::connect(&setup);
        assert_eq!(Client::code(&other.ask(&Op::Ping, b"").0), "answer");
    }
    assert!(waiting.iter_mut().all(has_no_answer));
    scenario.teardown();
    for client in &mut waiting {
        assert_eq!(Client::code(&client.receive().0), "not_found");
    }
    assert_eq!(setup.read("small"), b"new");
}
