//! A client that speaks raw frames, right or wrong, written from PROTOCOL.md alone.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::DEADLINE;

/// Time that [`Peer::has_word`] waits.
const SOON: Duration = Duration::from_millis(50);

/// One connection.
#[derive(Debug)]
pub struct Peer {
    /// The socket, for tests that use it as no client should.
    pub stream: TcpStream,
}

/// A frame: prefix, header and body.
#[must_use]
pub fn frame(header: &Value, body: &[u8]) -> Vec<u8> {
    raw_frame(header.to_string().as_bytes(), body)
}

/// A frame with any bytes as header.
#[must_use]
pub fn raw_frame(header: &[u8], body: &[u8]) -> Vec<u8> {
    let len = i32::try_from(header.len()).unwrap_or(i32::MAX);
    [&len.to_le_bytes(), header, body].concat()
}

/// A classic put.
#[must_use]
pub fn classic(filename: &str, body: &[u8]) -> Vec<u8> {
    frame(&json!({"cmd": "put", "filename": filename, "filesize": body.len()}), body)
}

/// The header of a `put` of these bytes.
#[must_use]
pub fn put(id: u64, name: &str, bytes: &[u8]) -> Value {
    let digest = blake3::hash(bytes).to_hex();
    json!({
        "cmd": "put", "id": id, "length": bytes.len(), "filename": name, "filesize": bytes.len(),
        "blake3": digest.as_str(),
    })
}

/// Ends the sending side. If the other side has reset the connection by then, there is none to end, and the next read tells of the
/// reset: it depends on who comes first which of the two a client would see.
///
/// # Errors
/// If the system does not let it end for another reason.
pub fn end_sending(stream: &TcpStream) -> io::Result<()> {
    match stream.shutdown(Shutdown::Write) {
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
        ended => ended,
    }
}

/// Asserts that an answer is a refusal of this request, with this code, and complete.
///
/// # Panics
/// If the answer is another one.
#[track_caller]
pub fn refused(answer: &Value, id: u64, code: &str) {
    assert_eq!((&answer["refused"], &answer["code"]), (&json!(id), &json!(code)), "{answer}");
    assert!(answer["retry"].is_boolean() && answer["message"].is_string(), "{answer}");
}

impl Peer {
    /// Connects and says nothing.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Self { stream })
    }

    /// Connects and says hello; the answer is read.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn hello(address: &str) -> io::Result<Self> {
        let mut peer = Self::connect(address)?;
        peer.say_hello(&peer.unique(), 0, None)?;
        Ok(peer)
    }

    /// A name for a client that no other has: the address of this end.
    #[must_use]
    pub fn unique(&self) -> String {
        format!("test-{:?}", self.stream.local_addr())
    }

    /// As [`hello`](Self::hello), with a name for the client; returns the answer too.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn hello_as(address: &str, client: &str, slot: u64) -> io::Result<(Self, Value)> {
        let mut peer = Self::connect(address)?;
        let answer = peer.say_hello(client, slot, None)?;
        Ok((peer, answer))
    }

    /// Says hello and reads the answer.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn say_hello(
        &mut self,
        client: &str,
        slot: u64,
        identity: Option<&str>,
    ) -> io::Result<Value> {
        let mut hello = json!({
            "cmd": "hello", "version": 1, "agent": "test/1", "client": client, "slot": slot,
            "must": [],
        });
        if let Some(identity) = identity {
            hello["identity"] = identity.into();
        }
        self.ask(&hello, b"")
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn send(&mut self, header: &Value, body: &[u8]) -> io::Result<()> {
        self.stream.write_all(&frame(header, body))
    }

    /// Reads one answer and its body.
    ///
    /// # Errors
    /// `UnexpectedEof` if the server has closed.
    pub fn receive(&mut self) -> io::Result<(Value, Vec<u8>)> {
        let mut prefix = [0; 4];
        self.stream.read_exact(&mut prefix)?;
        let len = usize::try_from(i32::from_le_bytes(prefix)).map_err(io::Error::other)?;
        let mut header = vec![0; len];
        self.stream.read_exact(&mut header)?;
        let header: Value = serde_json::from_slice(&header)?;
        let len = usize::try_from(header["length"].as_u64().unwrap_or(0));
        let mut body = vec![0; len.map_err(io::Error::other)?];
        self.stream.read_exact(&mut body)?;
        Ok((header, body))
    }

    /// Whether bytes have come, or come soon. The bytes stay unread.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn has_word(&self) -> io::Result<bool> {
        self.stream.set_read_timeout(Some(SOON))?;
        let found = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(DEADLINE))?;
        match found {
            Ok(len) => Ok(len > 0),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends one request and reads one answer.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn ask(&mut self, header: &Value, body: &[u8]) -> io::Result<Value> {
        self.send(header, body)?;
        Ok(self.receive()?.0)
    }

    /// Ends the sending side and reads all bytes that still come.
    ///
    /// # Errors
    /// If the connection breaks instead of ending.
    pub fn end(mut self) -> io::Result<Vec<u8>> {
        end_sending(&self.stream)?;
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::net::sockopt::set_socket_linger;

    use super::*;

    #[test]
    fn reset_that_comes_before_the_end_is_told_as_a_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = Peer::connect(&listener.local_addr().unwrap().to_string()).unwrap();
        let (other, _) = listener.accept().unwrap();
        set_socket_linger(&other, Some(Duration::ZERO)).unwrap();
        drop(other);
        // Waiting for it takes nothing of what the next read tells.
        let mut polled = [PollFd::new(&peer.stream, PollFlags::HUP)];
        poll(&mut polled, None).unwrap();
        assert_eq!(peer.end().unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}
