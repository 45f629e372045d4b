//! A server of one script for all connections, which `haul get` reads from: each request is answered as the test says, or
//! breaks its connection.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use blake3::hazmat::HasherExt;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::haul;
use crate::fake::{Fake, hello_answer};
use crate::peer::{Peer, frame};
use crate::tree;

/// Time after which a client hangs.
const LONG: Duration = Duration::from_secs(30);

/// The state of each file in its parts.
pub const STATE: &str = "000102030405060708090a0b0c0d0e0f";

/// An answer of a script: its fields and its body. With the field `cut` the connection ends within the body.
pub type Answer = (Value, Vec<u8>);

/// A server that answers each request as a script says, and a place for the client.
#[derive(Debug)]
pub struct Scripted {
    /// Where it listens.
    pub address: String,
    /// The directory in which the client runs, with `outside/file` in it.
    pub place: TempDir,
}

impl Scripted {
    /// `script` answers a request with fields and a body; an answer that has `refused` is a refusal.
    pub fn start(script: impl Fn(&Value, &[u8]) -> Answer + Send + Sync + 'static) -> Self {
        Self::breaking(move |request, body| Some(script(request, body)))
    }

    /// The same; where `script` has no answer, the server closes the connection.
    pub fn breaking(
        script: impl Fn(&Value, &[u8]) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let fake = Fake::start().unwrap();
        let address = fake.address().unwrap();
        let script = Arc::new(script);
        thread::spawn(move || {
            while let Ok(peer) = fake.accept() {
                let script = Arc::clone(&script);
                thread::spawn(move || follow(peer, &*script));
            }
        });
        let place = TempDir::new().unwrap();
        fs::create_dir_all(place.path().join("outside")).unwrap();
        fs::write(place.path().join("outside/file"), "outside").unwrap();
        Self { address, place }
    }

    /// Gets the root into `d`, which fails, and leaves no entries but these; returns all that was told.
    #[track_caller]
    #[must_use]
    pub fn fails(&self, left: &[&str]) -> String {
        let (code, told) = self.run(&["get", &self.address, "d"]);
        assert!(matches!(code, Some(1 | 3)), "{code:?} {told}");
        assert_eq!(finished(&self.place.path().join("d")), left, "{told}");
        told
    }

    /// Runs the client, which neither panics nor hangs, nor touches anything but `d`; returns its code and messages.
    #[track_caller]
    #[must_use]
    pub fn run(&self, words: &[&str]) -> (Option<i32>, String) {
        let mut client = haul();
        client.current_dir(self.place.path()).args(words).args(["--retries", "2"]).timeout(LONG);
        let output = client.output();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!told.contains("panicked"), "{told}");
        let outside = self.place.path().join("outside");
        assert_eq!(tree::names(&outside), ["file"], "{told}");
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "outside");
        let mut names: Vec<_> = fs::read_dir(self.place.path()).unwrap().flatten().collect();
        names.retain(|entry| entry.file_name() != "d");
        assert_eq!(names.len(), 1, "{names:?}");
        (output.status.code(), told)
    }
}

/// Answers requests of one connection, until the client closes because it has had enough, or the script has no answer.
fn follow(mut peer: Peer, script: &dyn Fn(&Value, &[u8]) -> Option<Answer>) {
    let mut hello = hello_answer();
    hello["features"] = json!(["get"]);
    let mut is_open = peer.receive().and_then(|_| peer.send(&hello, b"")).is_ok();
    while is_open {
        let answer = peer.receive().ok().and_then(|(request, body)| {
            let (mut answer, body) = script(&request, &body)?;
            let kind = if answer["refused"].is_null() { "answer" } else { "refused" };
            answer[kind] = request["id"].clone();
            if !body.is_empty() {
                answer["length"] = body.len().into();
            }
            if answer.as_object_mut()?.remove("cut").is_some() {
                let whole = frame(&answer, &body);
                peer.stream.write_all(&whole[..whole.len() - body.len().div_ceil(2)]).ok()?;
                return None;
            }
            peer.send(&answer, &body).ok()
        });
        is_open = answer.is_some();
    }
}

/// The entries below a directory that have their final names, and are no directories.
#[must_use]
pub fn finished(place: &Path) -> Vec<String> {
    if !place.exists() {
        return Vec::new();
    }
    let mut names = tree::names(place);
    names.retain(|name| !name.contains(".haul-arrives-"));
    names
}

/// The only page of a list.
#[must_use]
pub fn page(entries: &[Value]) -> Answer {
    let lines = entries.iter().map(|entry| format!("{entry}\n"));
    (json!({"more": false}), lines.collect::<String>().into_bytes())
}

/// A file in a list.
#[must_use]
pub fn file(name: &str, size: u64) -> Value {
    json!({"kind": "file", "filename": name, "filesize": size})
}

/// A directory in a list.
#[must_use]
pub fn directory(name: &str) -> Value {
    json!({"kind": "directory", "filename": name})
}

/// A symlink in a list.
#[must_use]
pub fn link(name: &str, target: &str) -> Value {
    json!({"kind": "link", "filename": name, "target": target})
}

/// An answer to `fetch` with this body.
#[must_use]
pub fn fetched(body: Vec<u8>) -> Answer {
    (json!({"more": false, "blake3": blake3::hash(&body).to_string()}), body)
}

/// A file in the body of such an answer.
#[must_use]
pub fn whole(bytes: &[u8]) -> Vec<u8> {
    [format!("{}\n", json!({"filesize": bytes.len()})).as_bytes(), bytes].concat()
}

/// The right answer about a part.
#[must_use]
pub fn part(bytes: &[u8], request: &Value) -> Answer {
    let offset = usize::try_from(request["offset"].as_u64().unwrap()).unwrap();
    let len = usize::try_from(request["part_size"].as_u64().unwrap()).unwrap();
    let body = bytes[offset.min(bytes.len())..(offset + len).min(bytes.len())].to_vec();
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset as u64).update(&body);
    let cv = blake3::Hash::from_bytes(hasher.finalize_non_root()).to_string();
    (json!({"filesize": bytes.len(), "state": STATE, "cv": cv}), body)
}
