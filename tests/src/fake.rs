//! A server that follows a test's script, right or wrong: speaks raw frames, written from PROTOCOL.md alone.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{self, AddressFamily, SocketType};
use serde_json::{Value, json};

use crate::listening::Listening;
use crate::peer::Peer;

/// The size of parts that it asks for unless told otherwise.
pub const PART_SIZE: u64 = 1 << 20;

/// The token that it gives to uploads.
pub const TOKEN: &str = "000102030405060708090a0b0c0d0e0f";

/// A server without connections.
#[derive(Debug)]
pub struct Fake {
    listening: Listening,
}

impl Fake {
    /// Refuses all connections from now on, until the process of the tests ends. Nobody else gets the port meanwhile: the server
    /// of another test could, and take the file.
    pub fn leaves(self) {
        // A socket that listens is closed by this, and stays bound.
        let _ = rustix::net::shutdown(self.listening.socket(), rustix::net::Shutdown::Both);
        std::mem::forget(self);
    }

    /// Listens on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub fn start() -> io::Result<Self> {
        Ok(Self { listening: Listening::start()? })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// If the system doesn't say.
    pub fn address(&self) -> io::Result<String> {
        self.listening.address()
    }

    /// Takes the next connection; says nothing yet.
    ///
    /// # Errors
    /// As [`Listening::accept`].
    pub fn accept(&self) -> io::Result<Peer> {
        Ok(Peer { stream: self.listening.accept()? })
    }

    /// From now on only connections are taken that have come already.
    ///
    /// # Errors
    /// If the system does not let it.
    pub fn stop_waiting(&self) -> io::Result<()> {
        self.listening.stop_waiting()
    }

    /// Takes the next connection, reads its `hello` and answers it; returns the `hello`.
    ///
    /// # Errors
    /// If there is none, or it breaks.
    pub fn greet(&self) -> io::Result<(Peer, Value)> {
        let mut peer = self.accept()?;
        let (hello, _) = peer.receive()?;
        peer.send(&hello_answer(), b"")?;
        Ok((peer, hello))
    }
}

/// An address of TCP at which nobody listens as long as the socket is kept: nobody else can be given its port.
///
/// # Errors
/// If there is none.
pub fn nobody() -> io::Result<(OwnedFd, String)> {
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    let address = SocketAddr::try_from(net::getsockname(&socket)?)?;
    Ok((socket, address.to_string()))
}

/// A good answer to `hello`.
#[must_use]
pub fn hello_answer() -> Value {
    json!({
        "hello": 1, "agent": "fake/1", "durability": "group", "features": [],
        "limits": {
            "max_header": 65_536, "max_body": 8_388_608, "window_requests": 1024,
            "window_bytes": 33_554_432, "max_file": 1_u64 << 40,
        },
    })
}

/// The answer to `open`, with the parts that are held already.
///
/// # Errors
/// If the connection is gone.
pub fn opened(peer: &mut Peer, id: &Value, part_size: u64, held: &[u64]) -> io::Result<()> {
    let last = held.iter().max().map_or(0, |last| last / 8 + 1);
    let bitmap: Vec<u8> = (0..last)
        .map(|byte| {
            (0..8).fold(0, |bits, bit| bits | u8::from(held.contains(&(byte * 8 + bit))) << bit)
        })
        .collect();
    let answer =
        json!({"answer": id, "upload": TOKEN, "part_size": part_size, "length": bitmap.len()});
    peer.send(&answer, &bitmap)
}

/// A refusal.
#[must_use]
pub fn refusal(id: &Value, code: &str, retry: bool) -> Value {
    json!({"refused": id, "code": code, "message": "the test says so", "retry": retry})
}
