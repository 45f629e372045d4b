//! A client by hand with the same identity, the same name and the same slot as that of the other account, which sends the
//! same names at the same moment. Nothing that it asks may be refused: all that could be in its way is the other
//! account's.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use haul_tests::alive::GENEROUS;
use haul_tests::peer::{Peer, put};
use serde_json::{Value, json};

use super::member::Member;
use crate::rivals::Content;

/// The directory of its files.
pub(super) const DIRECTORY: &str = "hand";

/// Small files, each sent again and again.
const SMALL: u64 = 5;

/// Bytes of the file in parts.
const LARGE: usize = (2 << 20) + 1;

/// The files of a client, across its connections.
#[derive(Debug, Default)]
pub(super) struct Sent {
    names: BTreeMap<String, Versions>,
    pub(super) acks: u64,
    pub(super) commits: u64,
    pub(super) connections: u64,
}

/// The bytes that a name may show: those that were acknowledged last, and those that were sent since.
#[derive(Debug, Default)]
struct Versions {
    all: Vec<Vec<u8>>,
    is_acknowledged: bool,
}

/// A connection.
#[derive(Debug)]
struct Line {
    peer: Peer,
    /// Of the last request.
    id: u64,
}

impl Line {
    fn ask(&mut self, mut header: Value, body: &[u8]) -> io::Result<Value> {
        self.id += 1;
        header["id"] = self.id.into();
        self.peer.ask(&header, body)
    }
}

/// The client of an account.
#[derive(Debug)]
pub(super) struct ByHand<'a> {
    pub(super) member: &'a Member,
    /// The relay's.
    pub(super) address: &'a str,
    pub(super) sent: &'a mut Sent,
    /// Tells the files of this pass from those before.
    pub(super) pass: u64,
}

impl ByHand<'_> {
    /// Sends until it is over. A connection that breaks is made again.
    pub(super) fn run(&mut self, is_over: &AtomicBool) -> anyhow::Result<()> {
        let mut number = self.pass << 32;
        while !is_over.load(Ordering::Relaxed) {
            let mut line = Line { peer: self.connect()?, id: 0 };
            self.sent.connections += 1;
            let broken = loop {
                if is_over.load(Ordering::Relaxed) {
                    return Ok(());
                }
                number += 1;
                if let Err(error) = self.files(&mut line, number) {
                    break error;
                }
            };
            // A refusal is no error of the connection.
            broken.downcast::<io::Error>()?;
        }
        Ok(())
    }

    /// Connects until the server is there again.
    fn connect(&self) -> anyhow::Result<Peer> {
        let until = Instant::now() + GENEROUS;
        loop {
            let error = match self.hello() {
                Ok((peer, answer)) if answer["hello"] == 1 => return Ok(peer),
                // The server is about to end.
                Ok((_, answer)) if answer["retry"] == true => anyhow::anyhow!("{answer}"),
                Ok((_, answer)) => bail!("{}: hello was answered with {answer}", self.member.name),
                Err(error) => error.into(),
            };
            ensure!(Instant::now() < until, "no connection for {}: {error:#}", self.member.name);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn hello(&self) -> io::Result<(Peer, Value)> {
        let mut peer = Peer::connect(self.address)?;
        peer.stream.set_read_timeout(Some(GENEROUS))?;
        peer.stream.set_write_timeout(Some(GENEROUS))?;
        let hello = json!({
            "cmd": "hello", "version": 1, "agent": "torture/1", "client": "by hand", "slot": 0,
            "identity": "two accounts", "must": [], "token": self.member.token,
        });
        let answer = peer.ask(&hello, b"")?;
        Ok((peer, answer))
    }

    /// A small file, and then one in parts.
    fn files(&mut self, line: &mut Line, number: u64) -> anyhow::Result<()> {
        let name = format!("{DIRECTORY}/f{}", number % SMALL);
        let bytes = format!("{} {number}", self.member.name).into_bytes();
        self.sends(&name, &bytes);
        let answer = line.ask(put(0, &name, &bytes), &bytes)?;
        self.granted("put", &answer)?;
        self.acknowledged(&name, bytes);

        if !number.is_multiple_of(8) {
            return Ok(());
        }
        let name = format!("{DIRECTORY}/large");
        // The other account sends other bytes under the same fingerprint.
        let mut content = Content::new(number ^ self.member.salt, LARGE);
        content.fingerprint = format!("try {number}");
        self.sends(&name, &content.bytes);
        let open = json!({
            "cmd": "open", "filename": name, "filesize": LARGE,
            "fingerprint": content.fingerprint,
        });
        let answer = self.granted("open", &line.ask(open, b"")?)?;
        let (token, size) = (answer["upload"].clone(), answer["part_size"].clone());
        let size = usize::try_from(size.as_u64().context("a part's size")?)?;
        for (index, part) in content.bytes.chunks(size).enumerate() {
            let header = json!({
                "cmd": "part", "length": part.len(), "upload": token,
                "offset": index * size, "cv": content.cvs[index],
            });
            self.granted("part", &line.ask(header, part)?)?;
        }
        let commit = json!({"cmd": "commit", "upload": token, "blake3": content.digest});
        self.granted("commit", &line.ask(commit, b"")?)?;
        self.sent.commits += 1;
        self.acknowledged(&name, content.bytes);
        Ok(())
    }

    fn sends(&mut self, name: &str, bytes: &[u8]) {
        self.sent.names.entry(name.to_owned()).or_default().all.push(bytes.to_vec());
    }

    fn acknowledged(&mut self, name: &str, bytes: Vec<u8>) {
        self.sent.acks += 1;
        let versions = Versions { all: vec![bytes], is_acknowledged: true };
        self.sent.names.insert(name.to_owned(), versions);
    }

    fn granted(&self, what: &str, answer: &Value) -> anyhow::Result<Value> {
        let name = self.member.name;
        // The server ends, and says so to all.
        if answer["refused"] == 0 && answer["retry"] == true {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, answer.to_string()).into());
        }
        ensure!(answer.get("refused").is_none(), "{what} of {name} was refused: {answer}");
        Ok(answer.clone())
    }
}

impl Sent {
    /// Each name shows the bytes that were acknowledged last, or some that were sent since.
    pub(super) fn check(&self, root: &Path) -> anyhow::Result<u64> {
        for (name, versions) in &self.names {
            let found = match std::fs::read(root.join(name)) {
                Ok(found) => found,
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && !versions.is_acknowledged =>
                {
                    continue;
                }
                Err(error) => return Err(error).context(name.clone()),
            };
            let shown = String::from_utf8_lossy(&found[..found.len().min(40)]).into_owned();
            ensure!(versions.all.contains(&found), "{name} shows {shown:?}, {} bytes", found.len());
        }
        Ok(self.names.len() as u64)
    }
}
