//! A `hauld --stdio` over pipes, as ssh starts it, spoken to from PROTOCOL.md alone.

#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]
#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio as Std};

use serde_json::{Value, json};

use crate::eventually;
use crate::hauld::hauld_command;
use crate::peer::{frame, put};

/// The random word of all greetings here.
pub const NONCE: &str = "0123456789abcdef0123456789abcdef";

/// One process, and the ends of its pipes.
#[derive(Debug)]
pub struct Stdio {
    /// The process that was started.
    pub child: Child,
    input: Option<ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
}

/// Everything that was left when a process ended.
#[derive(Debug)]
pub struct End {
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// Bytes of standard output that nobody has read before.
    pub output: Vec<u8>,
    /// Standard error.
    pub error: String,
}

impl End {
    /// Asserts that all went well, and nothing was said that is not of the protocol.
    #[track_caller]
    pub fn is_well(&self) {
        assert_eq!((self.code, self.error.as_str()), (Some(0), ""), "{self:?}");
        assert!(self.output.is_empty(), "{self:?}");
    }
}

/// The line of a client.
#[must_use]
pub fn greeting(wishes: &Value) -> Vec<u8> {
    format!("haul-stdio 1 {NONCE} {wishes}\n").into_bytes()
}

impl Stdio {
    /// `hauld --stdio` with these words more.
    #[must_use]
    pub fn start(words: &[&str]) -> Self {
        Self::of(hauld_command(), words)
    }

    /// The same with a command.
    #[must_use]
    pub fn of(mut command: Command, words: &[&str]) -> Self {
        command.arg("--stdio").args(words);
        let mut child =
            command.stdin(Std::piped()).stdout(Std::piped()).stderr(Std::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Self { child, input, output }
    }

    /// A server of this directory, which is made if it is missing, and that has said hello to a client with this name.
    #[must_use]
    #[track_caller]
    pub fn serving(root: &Path, client: &str) -> Self {
        let mut stdio = Self::start(&[]);
        let answer = stdio.greet(&json!({"root": root, "make": true}));
        assert_eq!(answer["error"], Value::Null, "{answer}");
        stdio.hello(client);
        stdio
    }

    /// The pipe to standard input.
    #[must_use]
    pub fn input(&mut self) -> &mut ChildStdin {
        self.input.as_mut().unwrap()
    }

    /// The pipe from standard output.
    #[must_use]
    pub fn output(&mut self) -> &mut BufReader<ChildStdout> {
        self.output.as_mut().unwrap()
    }

    /// The input ends.
    pub fn closes_input(&mut self) {
        self.input = None;
    }

    /// Nobody reads standard output any more.
    pub fn closes_output(&mut self) {
        self.output = None;
    }

    /// Sends bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.input().write_all(bytes).unwrap();
    }

    /// Sends a line, and reads the answer.
    #[track_caller]
    pub fn greet(&mut self, wishes: &Value) -> Value {
        self.send(&greeting(wishes));
        self.answer(NONCE)
    }

    /// Reads the answer to a line with this word.
    #[track_caller]
    pub fn answer(&mut self, nonce: &str) -> Value {
        let mut line = String::new();
        self.output().read_line(&mut line).unwrap();
        let json = line.strip_prefix(&format!("hauld-stdio 1 {nonce} "));
        let json = json.and_then(|json| json.strip_suffix('\n'));
        serde_json::from_str(json.unwrap_or_else(|| panic!("no answer: {line}"))).unwrap()
    }

    /// Says hello.
    #[track_caller]
    pub fn hello(&mut self, client: &str) -> Value {
        let hello = json!({
            "cmd": "hello", "version": 1, "agent": "test/1", "client": client, "slot": 0, "must": [],
        });
        let answer = self.ask(&hello, b"");
        assert_eq!(answer["hello"], 1, "{answer}");
        answer
    }

    /// Sends one request, and reads one answer.
    #[track_caller]
    pub fn ask(&mut self, header: &Value, body: &[u8]) -> Value {
        self.asks(header, body).0
    }

    /// The same, with the body of the answer.
    #[track_caller]
    pub fn asks(&mut self, header: &Value, body: &[u8]) -> (Value, Vec<u8>) {
        self.send(&frame(header, body));
        self.next_answer()
    }

    /// The next answer, with its body.
    fn next_answer(&mut self) -> (Value, Vec<u8>) {
        let mut prefix = [0; 4];
        self.output().read_exact(&mut prefix).unwrap();
        let mut header = vec![0; usize::try_from(i32::from_le_bytes(prefix)).unwrap()];
        self.output().read_exact(&mut header).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        let mut body = vec![0; usize::try_from(header["length"].as_u64().unwrap_or(0)).unwrap()];
        self.output().read_exact(&mut body).unwrap();
        (header, body)
    }

    /// Puts a file, which is acknowledged.
    #[track_caller]
    pub fn put(&mut self, id: u64, name: &str, bytes: &[u8]) {
        let mut answer = self.ask(&put(id, name, bytes), bytes);
        // A server that is still at work says so by its last ack.
        while answer["ack"].as_u64().is_some_and(|ack| ack < id) {
            answer = self.next_answer().0;
        }
        assert_eq!(answer["ack"], id, "{answer}");
    }

    /// Ends the input, and waits for the process.
    #[track_caller]
    pub fn end(mut self) -> End {
        self.input = None;
        self.ended()
    }

    /// Waits for the process, whose input goes on.
    #[track_caller]
    pub fn ended(&mut self) -> End {
        let (mut output, mut error) = (Vec::new(), String::new());
        if let Some(pipe) = &mut self.output {
            pipe.read_to_end(&mut output).unwrap();
        }
        self.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        let code = self.child.wait().unwrap().code();
        End { code, output, error }
    }
}

impl Drop for Stdio {
    fn drop(&mut self) {
        // It may have ended already; what serves ends with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process that has locked a root.
#[must_use]
#[track_caller]
pub fn host(root: &Path) -> i32 {
    let lock = fs::read_to_string(root.join(".haul/lock")).unwrap();
    lock.trim().parse().unwrap()
}

/// Waits until a root has nothing of the server's own.
#[track_caller]
pub fn is_left(root: &Path) {
    eventually("`.haul` is gone", || !root.join(".haul").exists());
}
