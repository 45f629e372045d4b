//! Connections of a client of resumable uploads, and its requests.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use anyhow::Context;
use haul_tests::alive::GENEROUS;
use haul_tests::http::{HttpPeer, Reply};
use haul_tests::peer::Peer;
use haul_tests::tls::{TlsPeer, usual};

/// The way of a client to the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) address: &'a str,
    /// The token of its account, if it has one.
    pub(crate) token: Option<&'a str>,
}

/// A request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// Method and target.
    pub(super) first: String,
    /// The fields, `\r\n` behind each.
    pub(super) fields: String,
    pub(super) body: &'a [u8],
}

/// Bytes in clear, or in TLS.
#[derive(Debug)]
enum Stream {
    Clear(TcpStream),
    Tls(Box<TlsPeer>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(buffer),
            Self::Tls(peer) => peer.stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(bytes),
            Self::Tls(peer) => peer.stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(stream) => stream.flush(),
            Self::Tls(peer) => peer.stream.flush(),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Line {
    peer: HttpPeer<Stream>,
    /// The field that tells who asks.
    authorization: String,
}

impl Line {
    pub(super) fn connect(way: Way<'_>, is_tls: bool) -> io::Result<Self> {
        let stream = match is_tls {
            false => Stream::Clear(Peer::connect(way.address)?.stream),
            true => Stream::Tls(Box::new(TlsPeer::connect_with(way.address, usual())?)),
        };
        let socket = match &stream {
            Stream::Clear(socket) => socket,
            Stream::Tls(peer) => &peer.stream.sock,
        };
        socket.set_read_timeout(Some(GENEROUS))?;
        socket.set_write_timeout(Some(GENEROUS))?;
        let authorization = way
            .token
            .map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        Ok(Self { peer: HttpPeer::on(stream), authorization })
    }

    /// Sends a request.
    pub(super) fn send(&mut self, request: &Request<'_>) -> io::Result<()> {
        let fields = format!("{}{}", self.authorization, request.fields);
        let sent = self.peer.try_ask(&request.first, &fields, request.body);
        sent.map_err(|error| late(error, "take all", request))
    }

    /// The next answer; one before the real one as well.
    pub(super) fn receive(&mut self, request: &Request<'_>) -> io::Result<Reply> {
        let method = request.first.split(' ').next().unwrap_or_default();
        self.peer.try_receive_of(method).map_err(|error| late(error, "answer", request))
    }
}

/// The answer to a request without a body, over a connection of its own.
pub(crate) fn ask(way: Way<'_>, first: &str) -> anyhow::Result<Reply> {
    let request = Request { first: first.to_owned(), fields: String::new(), body: b"" };
    let mut line = Line::connect(way, false)?;
    line.send(&request)?;
    Ok(line.receive(&request)?)
}

/// If the time is over, the error tells what the server has not done.
fn late(error: io::Error, what: &str, request: &Request<'_>) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            let (first, len) = (&request.first, request.body.len());
            let why =
                format!("the server did not {what} within {GENEROUS:?}: {first}, {len} bytes");
            io::Error::new(ErrorKind::TimedOut, why)
        }
        _ => error,
    }
}

/// Passes if a connection is lost, which is no fault of the server: another one takes its place.
pub(super) fn may_be_lost(error: io::Error) -> anyhow::Result<()> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(error.into()),
        ErrorKind::InvalidData => Err(error).context("neither TLS nor HTTP"),
        _ => Ok(()),
    }
}
