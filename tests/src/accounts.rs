//! A server with accounts, and peers that log in.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hauld::{Hauld, hauld_command, server_with};
use crate::peer::Peer;
use crate::{binaries, eventually};

/// A server on loopback whose clients need an account.
#[derive(Debug)]
pub struct Accounts {
    /// The server, with durability `none` unless it was started otherwise.
    pub server: Hauld,
    /// Its configuration directory.
    pub config: TempDir,
    tokens: BTreeMap<String, String>,
}

impl Accounts {
    /// With these accounts: the words of `hauld user add` for each.
    pub fn start(users: &[&str]) -> Self {
        Self::start_with(&["--durability", "none"], users)
    }

    /// The same, with options for the server.
    pub fn start_with(words: &[&str], users: &[&str]) -> Self {
        Self::started(words, users, server_with)
    }

    /// The same, of a server that may open only so many files at once.
    pub fn start_with_few_files(files: usize, words: &[&str], users: &[&str]) -> Self {
        Self::started(words, users, |words| {
            let mut limited = Command::new("sh");
            limited.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")]);
            limited.arg(&binaries::get().hauld);
            Hauld::start_in(TempDir::new().unwrap(), limited, words).unwrap()
        })
    }

    fn started(words: &[&str], users: &[&str], start: impl FnOnce(&[&str]) -> Hauld) -> Self {
        let config = TempDir::new().unwrap();
        let mut tokens = BTreeMap::new();
        for user in users {
            let words: Vec<&str> = user.split(' ').collect();
            let output = command(&config, &[&["user", "add"], &words[..]].concat());
            tokens.insert(words[0].to_owned(), token(&output));
        }
        let path = config.path().to_str().unwrap();
        let server = start(&[words, &["--config-dir", path]].concat());
        Self { server, config, tokens }
    }

    /// `hauld` with these words and the configuration directory of the server.
    pub fn hauld(&self, words: &[&str]) -> Output {
        command(&self.config, words)
    }

    /// The present token of an account.
    pub fn token(&self, name: &str) -> &str {
        &self.tokens[name]
    }

    /// Gives an account the token that `hauld` has shown.
    pub fn has_token(&mut self, name: &str, output: &Output) {
        self.tokens.insert(name.to_owned(), token(output));
    }

    /// The `hello` of an account's client.
    pub fn hello(&self, name: &str, client: &str) -> Value {
        json!({
            "cmd": "hello", "version": 1, "agent": "test/1", "client": client, "slot": 0, "must": [],
            "token": self.token(name),
        })
    }

    /// A connection that has said this `hello`, and the answer.
    pub fn greeted(&self, hello: &Value) -> (Peer, Value) {
        let mut peer = Peer::connect(self.server.address()).unwrap();
        let answer = peer.ask(hello, b"").unwrap();
        (peer, answer)
    }

    /// A connection of an account, whose client no other has.
    pub fn peer(&self, name: &str) -> Peer {
        let mut peer = Peer::connect(self.server.address()).unwrap();
        let answer = peer.ask(&self.hello(name, &peer.unique()), b"").unwrap();
        assert_eq!(answer["account"]["name"], name, "{answer}");
        peer
    }

    /// A path below the server's root.
    pub fn at(&self, path: &str) -> PathBuf {
        self.server.root().join(path)
    }

    /// The text of a file below the server's root.
    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| format!("{path}: {error}"))
    }

    /// Waits until the server has read the accounts once more than so many times.
    pub fn are_read_after(&self, readings: usize) {
        eventually("the server has read its accounts", || self.readings() > readings);
    }

    /// How often the server has read accounts that have changed.
    pub fn readings(&self) -> usize {
        self.server.log_text().matches("other accounts hold from now on").count()
    }

    /// The accounts as they are written.
    pub fn users(&self) -> String {
        fs::read_to_string(self.config.path().join("users.toml")).unwrap()
    }

    /// Replaces the accounts at once.
    pub fn set_users(&self, text: &str) {
        let (new, path) = (self.config.path().join("new"), self.config.path().join("users.toml"));
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }
}

fn command(config: &TempDir, words: &[&str]) -> Output {
    let mut command = hauld_command();
    command.current_dir(config.path()).args(words).arg("--config-dir").arg(config.path());
    command.output().unwrap()
}

fn token(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}
