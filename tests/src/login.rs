//! A server that follows a script about accounts, and haul's own files.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::attributes::set_mode;
use crate::client::{Client, haul, output_of};
use crate::fake::{Fake, hello_answer};
use crate::hauld::{Hauld, hauld_command, server_with};
use crate::peer::Peer;
use crate::place;

/// The token of alice.
pub const TOKEN: &str = "haul_a4dqobyh_CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk";

/// The part of it that nobody may see.
pub const SECRET: &str = "CQkJCQkJCQkJ";

/// A directory of haul's files, and a server.
#[derive(Debug)]
pub struct Place {
    /// The server.
    pub fake: Fake,
    /// The place of haul's files, and of a source.
    pub directory: TempDir,
}

impl Place {
    /// A server without connections, and no files.
    #[must_use]
    pub fn start() -> Self {
        Self { fake: Fake::start().unwrap(), directory: place::in_memory().unwrap() }
    }

    /// The directory of haul's files.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("config")
    }

    /// The file with tokens.
    #[must_use]
    pub fn credentials(&self) -> PathBuf {
        self.config().join("credentials")
    }

    /// The server's address.
    #[must_use]
    pub fn address(&self) -> String {
        self.fake.address().unwrap()
    }

    /// `haul` with the files of this place only, in which `%` stands for the server.
    pub fn haul(&self, words: &[&str]) -> Client {
        let mut command = haul();
        command.current_dir(self.directory.path()).env("HAUL_CONFIG_DIR", self.config());
        command.args(words.iter().map(|word| word.replace('%', &self.address())));
        command
    }

    /// Lets `haul` log in as an account, and answers.
    pub fn log_in(&self, account: &str, token: &str) -> Output {
        let word = format!("{account}@%");
        thread::scope(|scope| {
            let server = scope.spawn(|| self.welcome(account, &["put", "list"]));
            let output = self.haul(&["login", &word]).write_stdin(token).output();
            assert_eq!(server.join().unwrap()["token"], token.trim());
            output
        })
    }

    /// Takes a connection that brings a token, and returns it with its `hello`. One that brings none is told before that the
    /// server asks for a login.
    pub fn accept(&self) -> (Peer, Value) {
        loop {
            let mut peer = self.fake.accept().unwrap();
            let (hello, _) = peer.receive().unwrap();
            if !hello["token"].is_null() {
                return (peer, hello);
            }
            let message = "this server asks for an account: haul login";
            peer.send(&refusal("unauthorized", message), b"").unwrap();
        }
    }

    /// Takes one connection of an account with these rights, and returns its `hello`.
    pub fn welcome(&self, account: &str, rights: &[&str]) -> Value {
        let (mut peer, hello) = self.accept();
        peer.send(&answer(account, rights), b"").unwrap();
        hello
    }

    /// Does not take the token of one connection.
    pub fn refuse_token(&self) {
        let (mut peer, _) = self.accept();
        peer.send(&refusal("unauthorized", "no account has this token"), b"").unwrap();
    }

    /// Refuses one connection, and returns its `hello`.
    pub fn refuse(&self, code: &str, message: &str) -> Value {
        let mut peer = self.fake.accept().unwrap();
        let (hello, _) = peer.receive().unwrap();
        peer.send(&refusal(code, message), b"").unwrap();
        hello
    }

    /// Writes the file with tokens; `%` stands for the server.
    pub fn write(&self, text: &str) {
        fs::create_dir_all(self.config()).unwrap();
        fs::write(self.credentials(), text.replace('%', &self.address())).unwrap();
        set_mode(self.credentials(), 0o600);
    }

    /// The file with tokens, in which `%` stands for the server.
    #[must_use]
    pub fn stored(&self) -> String {
        fs::read_to_string(self.credentials()).unwrap().replace(&self.address(), "%")
    }
}

/// The answer to a `hello` with the token of an account.
#[must_use]
pub fn answer(account: &str, rights: &[&str]) -> Value {
    let mut answer = hello_answer();
    answer["features"] = json!(["accounts"]);
    answer["account"] = json!({"name": account, "rights": rights});
    answer
}

/// A refusal of a connection.
#[must_use]
pub fn refusal(code: &str, message: &str) -> Value {
    json!({"refused": 0, "code": code, "message": message, "retry": false})
}

/// Bytes as text.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The words of a message, of which the lines that a terminal shows are one line.
#[must_use]
pub fn told(output: &Output) -> String {
    text(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A server with accounts on loopback, and haul's own files.
#[derive(Debug)]
pub struct Pair {
    /// The server.
    pub server: Hauld,
    /// The places of haul's files, of the server's, and of sources.
    pub directory: TempDir,
}

impl Pair {
    /// A server with one account, `alice`, that has been added with these options; with these options of its own.
    #[must_use]
    pub fn start(rights: &str, options: &[&str]) -> (Self, String) {
        let directory = place::in_memory().unwrap();
        let config = directory.path().join("server");
        let token = add(&config, &[&["alice", "--rights", rights], options].concat());
        let server =
            server_with(&["--durability", "none", "--config-dir", config.to_str().unwrap()]);
        (Self { server, directory }, token)
    }

    /// The same, and `haul` has logged in.
    #[must_use]
    pub fn logged_in(rights: &str, options: &[&str]) -> Self {
        let (pair, token) = Self::start(rights, options);
        let _ = pair.haul(&["login", "alice@%"]).write_stdin(token).assert().success();
        pair
    }

    /// Runs `hauld user` with these words; returns its standard output.
    pub fn user(&self, words: &[&str]) -> String {
        user(&self.directory.path().join("server"), words)
    }

    /// The pin of the server's key.
    #[must_use]
    pub fn pin(&self) -> String {
        let mut command = hauld_command();
        command.arg("fingerprint").arg("--config-dir").arg(self.directory.path().join("server"));
        text(&output_of(&mut command).stdout).trim().to_owned()
    }

    /// `haul` with the files of this place only, in which `%` stands for the server.
    #[must_use]
    pub fn haul(&self, words: &[&str]) -> Client {
        let mut command = haul();
        let directory = self.directory.path();
        command.current_dir(directory).env("HAUL_CONFIG_DIR", directory.join("config"));
        command.args(words.iter().map(|word| word.replace('%', self.server.address())));
        command
    }

    /// Writes a file of a source.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Adds an account to a server's files; returns its token.
fn add(config: &Path, words: &[&str]) -> String {
    user(config, &[&["add"], words].concat())
}

fn user(config: &Path, words: &[&str]) -> String {
    let mut command = hauld_command();
    command.arg("user").args(words).arg("--config-dir").arg(config);
    let output = output_of(&mut command);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}
