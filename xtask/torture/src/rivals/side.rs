//! One of two rivals: a connection that opens, sends and commits a file by hand.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use haul_tests::alive::GENEROUS;
use haul_tests::peer::{Peer, frame};
use serde_json::{Value, json};

use super::plan::PART;
use super::{Content, Counts, NAME};

/// The rivals' identity across their runs: the same one.
const IDENTITY: &str = "rivals";

/// A connection, and the upload that it has opened.
#[derive(Debug)]
pub(super) struct Side {
    peer: Peer,
    address: String,
    root: PathBuf,
    client: String,
    slot: u64,
    id: u64,
    token: Option<String>,
    held: Vec<u8>,
    pub(super) counts: Counts,
}

impl Side {
    pub(super) fn connect(
        address: &str,
        root: &Path,
        client: &str,
        slot: u64,
    ) -> anyhow::Result<Self> {
        let mut peer = Peer::connect(address).context("could not connect")?;
        peer.stream.set_read_timeout(Some(GENEROUS))?;
        peer.stream.set_write_timeout(Some(GENEROUS))?;
        let hello = peer.say_hello(client, slot, Some(IDENTITY)).map_err(in_time("hello"))?;
        ensure!(hello["hello"] == 1, "hello was answered with {hello}");
        let (address, root) = (address.to_owned(), root.to_owned());
        let (client, counts) = (client.to_owned(), Counts::default());
        Ok(Self { peer, address, root, client, slot, id: 0, token: None, held: Vec::new(), counts })
    }

    /// Ends the connection and makes another one.
    pub(super) fn again(&mut self) -> anyhow::Result<()> {
        let client = self.client.clone();
        self.counts.reconnects += 1;
        self.rename(&client)
    }

    /// Connects again, as part of another run.
    pub(super) fn rename(&mut self, client: &str) -> anyhow::Result<()> {
        let counts = std::mem::take(&mut self.counts);
        *self = Self::connect(&self.address, &self.root, client, self.slot)?;
        self.counts = counts;
        Ok(())
    }

    /// Nothing is open.
    pub(super) fn forget(&mut self) {
        self.token = None;
    }

    /// The name of the run.
    pub(super) fn client(&self) -> &str {
        &self.client
    }

    /// So many `open`s in one write; the last one counts.
    pub(super) fn open(&mut self, content: &Content, count: u64) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        for id in self.id + 1..=self.id + count {
            let open = json!({
                "cmd": "open", "id": id, "filename": NAME, "filesize": content.bytes.len(),
                "fingerprint": content.fingerprint, "mode": 0o640,
            });
            bytes.extend(frame(&open, b""));
        }
        io::Write::write_all(&mut self.peer.stream, &bytes).map_err(in_time("open"))?;
        for _ in 0..count {
            self.id += 1;
            self.counts.opens += 1;
            self.token = None;
            if let Some((answer, held)) = self.outcome("open")? {
                ensure!(answer["part_size"] == PART, "open was answered with {answer}");
                self.token = answer["upload"].as_str().map(str::to_owned);
                self.held = held;
            }
        }
        Ok(())
    }

    /// Sends the parts that are not held; returns whether all are held then.
    pub(super) fn parts(&mut self, content: &Content) -> anyhow::Result<bool> {
        for index in 0..content.cvs.len() {
            let held = self.held.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1);
            if !held && !self.part(content, index)? {
                return Ok(false);
            }
        }
        Ok(self.token.is_some())
    }

    /// Sends one part; returns whether it is held then.
    pub(super) fn part(&mut self, content: &Content, index: usize) -> anyhow::Result<bool> {
        let Some(token) = &self.token else { return Ok(false) };
        self.id += 1;
        let body = content.bytes.chunks(PART).nth(index).context("no such part")?;
        let header = json!({
            "cmd": "part", "id": self.id, "length": body.len(), "upload": token,
            "offset": index * PART, "cv": content.cvs[index],
        });
        self.peer.send(&header, body).map_err(in_time("part"))?;
        self.counts.parts += 1;
        Ok(self.outcome("part")?.is_some())
    }

    /// Commits; returns whether the file is stored. If it is, it is looked at.
    pub(super) fn commit(&mut self, content: &Content) -> anyhow::Result<bool> {
        let Some(token) = &self.token else { return Ok(false) };
        self.id += 1;
        let header =
            json!({"cmd": "commit", "id": self.id, "upload": token, "blake3": content.digest});
        self.peer.send(&header, b"").map_err(in_time("commit"))?;
        if self.outcome("commit")?.is_none() {
            return Ok(false);
        }
        self.counts.commits += 1;
        let stored = std::fs::read(self.root.join(NAME)).context("a file that is committed")?;
        ensure!(stored == content.bytes, "the file that is committed is not the one that was sent");
        Ok(true)
    }

    /// Discards the open upload.
    pub(super) fn abort(&mut self) -> anyhow::Result<()> {
        let Some(token) = self.token.take() else { return Ok(()) };
        self.id += 1;
        let header = json!({"cmd": "abort", "id": self.id, "upload": token});
        self.peer.send(&header, b"").map_err(in_time("abort"))?;
        self.outcome("abort").map(|_| ())
    }

    /// Reads the answer to the last request; `None` if it is refused because of the other rival. Any other refusal is
    /// a failure.
    fn outcome(&mut self, what: &str) -> anyhow::Result<Option<(Value, Vec<u8>)>> {
        loop {
            let (header, body) = self.peer.receive().map_err(in_time(what))?;
            let is = |field: &str| header[field].as_u64();
            if is("answer") == Some(self.id) || is("ack").is_some_and(|ack| ack >= self.id) {
                return Ok(Some((header, body)));
            }
            if is("refused") == Some(self.id) {
                let code = header["code"].as_str().unwrap_or_default();
                let by_rival = ["busy", "incomplete", "superseded", "taken_over", "unknown_upload"];
                ensure!(by_rival.contains(&code), "{what} was refused: {header}");
                *self.counts.refusals.entry(code.to_owned()).or_default() += 1;
                return Ok(None);
            }
            // Acks repeat.
            if is("ack").is_none() {
                bail!("{what} was answered with {header}");
            }
        }
    }
}

/// Names the answer that was waited for in the error.
fn in_time(what: &str) -> impl Fn(io::Error) -> anyhow::Error {
    move |error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            anyhow::anyhow!("no answer to {what} within {GENEROUS:?}")
        }
        _ => anyhow::Error::new(error).context(format!("the connection broke at {what}")),
    }
}
