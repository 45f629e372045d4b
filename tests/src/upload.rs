//! A large file that is sent in parts by hand, written from PROTOCOL.md alone.

use std::fs;
use std::io;
use std::path::Path;

use blake3::hazmat::HasherExt;
use serde_json::{Value, json};

use crate::hauld::Hauld;
use crate::peer::Peer;

/// Bytes of a part, as the server chooses for files of this size.
pub const PART: usize = 1 << 20;

/// A file of two whole parts and a bit.
#[derive(Debug, Clone)]
pub struct Large {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The chaining value of each part.
    pub cvs: Vec<String>,
    /// The digest of all.
    pub digest: String,
    /// The fingerprint of its source, as the client states it.
    pub fingerprint: String,
    /// Its permission bits.
    pub mode: u32,
}

impl Large {
    /// A file that starts with this byte.
    #[must_use]
    pub fn new(first: u8) -> Self {
        let mut bytes: Vec<u8> = (0..=250).cycle().take(2 * PART + 5).collect();
        bytes[0] = first;
        let cvs = (0_u64..).zip(bytes.chunks(PART)).map(|(index, part)| {
            let mut hasher = blake3::Hasher::new();
            hasher.set_input_offset(index * PART as u64).update(part);
            blake3::Hash::from_bytes(hasher.finalize_non_root()).to_string()
        });
        let (cvs, digest) = (cvs.collect(), blake3::hash(&bytes).to_string());
        Self { bytes, cvs, digest, fingerprint: format!("f{first}"), mode: 0o640 }
    }

    /// The bytes of one part.
    #[must_use]
    pub fn part(&self, index: usize) -> &[u8] {
        self.bytes.chunks(PART).nth(index).unwrap_or_default()
    }
}

/// Asks to open the upload of a large file without mode and mtime; returns the answer, and how many parts are held.
///
/// # Errors
/// If the connection is gone.
pub fn open(peer: &mut Peer, id: u64, large: &Large, name: &str) -> io::Result<(Value, u32)> {
    let header = json!({
        "cmd": "open", "id": id, "filename": name, "filesize": large.bytes.len(),
        "fingerprint": large.fingerprint,
    });
    peer.send(&header, b"")?;
    let (answer, bitmap) = peer.receive()?;
    Ok((answer, bitmap.iter().map(|byte| byte.count_ones()).sum()))
}

/// A connection with an upload of `dir/large` opened, and the last id that was used.
#[derive(Debug)]
pub struct Upload {
    /// The connection.
    pub peer: Peer,
    /// The answer to `open`.
    pub token: String,
    /// The parts that the server said to hold.
    pub held: Vec<usize>,
    /// The last id.
    pub id: u64,
}

impl Upload {
    /// Connects and opens.
    ///
    /// # Errors
    /// If the server refuses or is gone.
    pub fn open(server: &Hauld, large: &Large) -> io::Result<Self> {
        Self::open_as(server, large, "somebody")
    }

    /// As [`open`](Self::open), with an identity.
    ///
    /// # Errors
    /// If the server refuses or is gone.
    pub fn open_as(server: &Hauld, large: &Large, identity: &str) -> io::Result<Self> {
        let mut peer = Peer::connect(server.address())?;
        peer.say_hello(&peer.unique(), 0, Some(identity))?;
        let open = json!({
            "cmd": "open", "id": 1, "filename": "dir/large", "mode": large.mode,
            "filesize": large.bytes.len(), "mtime": {"s": -5, "ns": 999_999_999},
            "fingerprint": large.fingerprint,
        });
        peer.send(&open, b"")?;
        let (answer, bitmap) = peer.receive()?;
        let token = answer["upload"].as_str().filter(|token| token.len() == 32);
        let token = token.ok_or_else(|| io::Error::other(answer.to_string()))?.to_owned();
        if answer["answer"] != 1 || answer["part_size"] != PART {
            return Err(io::Error::other(answer.to_string()));
        }
        let bits = 8 * bitmap.len();
        let held = (0..bits).filter(|bit| bitmap[bit / 8] >> (bit % 8) & 1 == 1).collect();
        Ok(Self { peer, token, held, id: 1 })
    }

    /// Sends a part, right or wrong, and reads one answer.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn part(&mut self, offset: u64, cv: &str, body: &[u8]) -> io::Result<Value> {
        self.id += 1;
        let header = json!({
            "cmd": "part", "id": self.id, "length": body.len(), "upload": self.token,
            "offset": offset, "cv": cv,
        });
        self.peer.ask(&header, body)
    }

    /// Sends a part as it is.
    ///
    /// # Errors
    /// If the part is not acknowledged.
    pub fn good(&mut self, large: &Large, index: usize) -> io::Result<()> {
        let answer = self.part((index * PART) as u64, &large.cvs[index], large.part(index))?;
        if answer["ack"] == self.id { Ok(()) } else { Err(io::Error::other(answer.to_string())) }
    }

    /// Commits with this digest.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn commit(&mut self, digest: &str) -> io::Result<Value> {
        self.id += 1;
        let header =
            json!({"cmd": "commit", "id": self.id, "upload": self.token, "blake3": digest});
        self.peer.ask(&header, b"")
    }
}

/// Rewrites the journal of a partial, while no server runs, as if it was written under another boot of the machine, with
/// these records more.
///
/// # Errors
/// If the journal can't be read or written, or is none.
pub fn as_of_another_boot(journal: &Path, more: &[Value]) -> io::Result<()> {
    let text = fs::read_to_string(journal)?;
    let lines = text.lines().map(|line| serde_json::from_str(line.get(17..).unwrap_or_default()));
    let mut records: Vec<Value> = lines.collect::<Result<_, _>>()?;
    for record in records.iter_mut().filter(|record| record["is"] == "boot") {
        record["id"] = json!("another");
    }
    let lines = records.iter().chain(more).map(|record| {
        let text = record.to_string();
        format!("{} {text}\n", &blake3::hash(text.as_bytes()).to_hex()[..16])
    });
    fs::write(journal, lines.collect::<String>())
}
