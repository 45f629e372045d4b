//! A client of HTTP that sends bytes, right or wrong, and curl.

#![expect(clippy::missing_panics_doc, reason = "for tests, in which a panic is the message")]
#![expect(clippy::unwrap_used, reason = "for tests, in which a panic is the message")]

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::DEADLINE;

/// One connection, over TCP or any other stream.
#[derive(Debug)]
pub struct HttpPeer<S = TcpStream> {
    reader: BufReader<S>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The number of its status.
    pub status: u16,
    /// All lines of its head.
    pub head: String,
    /// Its body, without chunks.
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a field; empty if there is none.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let found = lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.trim())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl HttpPeer {
    /// Connects.
    #[must_use]
    pub fn connect(address: &str) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    /// Over a stream that is connected.
    #[must_use]
    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::on(stream)
    }

    /// The socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// Ends this side, and returns all that the server still says before it ends its own.
    pub fn end(mut self) -> Vec<u8> {
        let _ = self.stream().shutdown(Shutdown::Write);
        self.rest()
    }
}

impl<S: Read + Write> HttpPeer<S> {
    /// Over a stream with settings of its own.
    #[must_use]
    pub fn on(stream: S) -> Self {
        Self { reader: BufReader::new(stream) }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request with these fields, `\r\n` behind each, and a body.
    pub fn ask(&mut self, first: &str, fields: &str, body: &[u8]) {
        self.try_ask(first, fields, body).unwrap();
    }

    /// The same, over a connection that may break.
    ///
    /// # Errors
    /// If it breaks.
    pub fn try_ask(&mut self, first: &str, fields: &str, body: &[u8]) -> io::Result<()> {
        let head = format!("{first} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        self.reader.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        self.reader.get_mut().flush()
    }

    /// The next answer.
    pub fn receive(&mut self) -> Reply {
        self.receive_of("GET")
    }

    /// The answer to a request of this method: one to HEAD has no body.
    pub fn receive_of(&mut self, method: &str) -> Reply {
        self.try_receive_of(method).unwrap()
    }

    /// The same, over a connection that may break.
    ///
    /// # Errors
    /// If it breaks, or the answer is none (`InvalidData`).
    pub fn try_receive_of(&mut self, method: &str) -> io::Result<Reply> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.reader.read_line(&mut head)? == 0 {
                let why = format!("it ends within a head: {head}");
                return Err(io::Error::new(ErrorKind::UnexpectedEof, why));
            }
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut reply =
            Reply { status: status.ok_or_else(|| wrong(&head))?, head, body: Vec::new() };
        if method == "HEAD" || matches!(reply.status, 100..=199 | 204 | 304) {
            return Ok(reply);
        }
        if reply.field("Transfer-Encoding") == "chunked" {
            while self.chunk(&mut reply)? > 0 {}
            return Ok(reply);
        }
        let len = reply.field("Content-Length").parse().map_err(|_| wrong(&reply.head))?;
        reply.body = vec![0; len];
        self.reader.read_exact(&mut reply.body)?;
        Ok(reply)
    }

    /// Reads a chunk of an answer's body; returns its length.
    fn chunk(&mut self, reply: &mut Reply) -> io::Result<usize> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let len = usize::from_str_radix(line.trim_end(), 16).map_err(|_| wrong(&line))?;
        let mut chunk = vec![0; len + 2];
        self.reader.read_exact(&mut chunk)?;
        if !chunk.ends_with(b"\r\n") {
            return Err(wrong("a chunk without an end"));
        }
        reply.body.extend_from_slice(&chunk[..len]);
        Ok(len)
    }

    /// One request and its answer.
    pub fn get(&mut self, first: &str) -> Reply {
        self.ask(first, "", b"");
        self.receive_of(first.split(' ').next().unwrap())
    }

    /// All that the server says before it ends its side.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = self.reader.read_to_end(&mut rest);
        rest
    }
}

/// The server has sent text that is no HTTP.
fn wrong(text: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("no answer of HTTP: {text}"))
}

/// One request over a connection of its own.
#[must_use]
pub fn ask(address: &str, first: &str, fields: &str, body: &[u8]) -> Reply {
    let mut peer = HttpPeer::connect(address);
    peer.ask(first, fields, body);
    peer.receive_of(first.split(' ').next().unwrap())
}

/// curl with these words, silent but for errors.
#[must_use]
pub fn curl(words: &[&str]) -> Output {
    curl_with(words, b"")
}

/// The same, with these bytes as standard input.
#[must_use]
pub fn curl_with(words: &[&str], input: &[u8]) -> Output {
    let mut curl = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60", "--noproxy", "*"])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = curl.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _ = stdin.write_all(input);
        });
        curl.wait_with_output().unwrap()
    })
}

/// What curl has printed, if it has ended well.
#[must_use]
pub fn curled(words: &[&str]) -> Vec<u8> {
    let output = curl(words);
    assert!(output.status.success(), "curl {words:?}: {output:?}");
    output.stdout
}

/// Files that a server has open and that have no name: half-written ones, if the file system can have them so.
#[must_use]
pub fn unnamed_files(pid: u32) -> Vec<PathBuf> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let is_staged = |path: &PathBuf| path.to_string_lossy().ends_with("(deleted)");
    links.filter(is_staged).collect()
}
