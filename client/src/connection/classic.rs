//! The dialect of the classic tutorial's server: files only, one connection each, no answers.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};

use haul_protocol::encode;

use crate::error::trust::TrustError;
use crate::error::{ConnectionError, FileError};
use crate::net::destination::Server;
use crate::plan::Plan;
use crate::plan::given::Given;
use crate::report::progress::Progress;
use crate::source::Source;
use crate::source::links::Links;
use crate::source::spool::settled;
use crate::trust::Trust;
use crate::work::interrupt::Interrupt;

/// Time that one address may take to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// Time that a server may take to close its side after it was sent everything.
const CLOSE: Duration = Duration::from_secs(5);

/// Time between two looks whether the user has stopped the run.
const PAUSE: Duration = Duration::from_millis(200);

/// Time for which a server may take no bytes.
const SILENCE: Duration = Duration::from_secs(60);

/// The notice before anything is sent.
pub const NOTICE: &str = "a classic server acknowledges nothing: what follows says what was \
                          sent, not what arrived";

/// The server, and the rules by which it is trusted.
#[derive(Clone, Copy)]
struct To<'a> {
    server: &'a Server,
    trust: &'a Trust,
}

/// Sends each file of a plan.
///
/// # Errors
/// If the server can't be reached, or everybody on the way to it could read along and the user does not want that.
pub fn run(
    plan: &Plan,
    server: &Server,
    trust: &Trust,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<(), ConnectionError> {
    let to = To { server, trust };
    for root in &plan.roots {
        if let Given::Failed(error) = &root.given {
            progress.failed(&root.source, error);
            continue;
        }
        let name = root.target.as_ref().and_then(|name| std::str::from_utf8(name.as_bytes()).ok());
        let sent = match name {
            _ if root.contents || root.source.is_dir() => Err(FileError::local("send")(
                io::Error::other("a classic server takes files only, not directories"),
            )),
            Some(name) => match &root.given {
                Given::Opened(opened) => opened.source(),
                _ => Source::open(&root.source, Links::Copy),
            }
            .and_then(|source| settled(source, u64::MAX, &|| interrupt.is_set()))
            .map(|source| (name, source)),
            None => Err(FileError::local("send the name")(io::Error::other(
                "a classic server takes UTF-8 names only",
            ))),
        };
        let result = match sent {
            Ok((name, source)) => match file(name, &source, to, progress, interrupt)? {
                Ok(()) => {
                    if let Some(target) = &root.target {
                        progress.file_done(target, source.size);
                    }
                    Ok(())
                }
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            progress.failed(Path::new(&root.source), &error);
        }
    }
    Ok(())
}

/// Sends one file. The outer error is the server's, the inner one the file's.
fn file(
    name: &str,
    source: &Source,
    to: To<'_>,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<Result<(), FileError>, ConnectionError> {
    let To { server, trust } = to;
    let unreachable = |source| ConnectionError::Unreachable { server: server.to_string(), source };
    let lost = ended;
    let Server::Tcp { host, port } = server else {
        return Err(unreachable(io::Error::other("a classic server listens on TCP only")));
    };
    let stream = tcp(host, *port).map_err(unreachable)?;
    let peer = stream.peer_addr().map_err(unreachable)?;
    if !trust.is_insecure() && !peer.ip().to_canonical().is_loopback() {
        return Err(TrustError::Classic { server: server.to_string() }.into());
    }
    stream.set_write_timeout(Some(PAUSE)).map_err(lost)?;
    stream.set_read_timeout(Some(CLOSE)).map_err(lost)?;
    let mut buffer = Vec::with_capacity(256 * 1024);
    // Prefix and header in one write: the classic server reads them with one call each.
    encode::classic_put(name, source.size, &mut buffer)
        .map_err(|error| ConnectionError::Lost(io::Error::other(error)))?;
    write(&stream, &buffer, interrupt)?;
    let mut offset = 0;
    buffer.resize(256 * 1024, 0);
    while offset < source.size {
        let left = usize::try_from(source.size - offset).unwrap_or(usize::MAX);
        let piece = &mut buffer[..left.min(256 * 1024)];
        // The server waits for bytes that are not there: only an end in the middle tells it.
        if let Err(error) = source.read(offset, piece) {
            return Ok(Err(error));
        }
        progress.sent(piece.len() as u64);
        write(&stream, piece, interrupt)?;
        progress.answered(piece.len() as u64);
        offset += piece.len() as u64;
    }
    // Closing with bytes on the way can cut them off; the server closes when it has them.
    match stream.shutdown(Shutdown::Write) {
        // The server has reset the connection already: the read says so in words that tell more.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
        ended => ended.map_err(lost)?,
    }
    match (&stream).read(&mut buffer) {
        // A server that keeps its side open has had the time.
        Ok(_) => {}
        Err(error) if is_timeout(&error) => {}
        Err(error) => return Err(lost(error)),
    }
    Ok(source.check_unchanged())
}

/// Writes everything, unless the server takes nothing for too long or the user has had enough.
fn write(
    mut stream: &TcpStream,
    mut bytes: &[u8],
    interrupt: &Interrupt,
) -> Result<(), ConnectionError> {
    let mut moved = Instant::now();
    while !bytes.is_empty() {
        if interrupt.is_set() {
            return Err(ConnectionError::Stopped);
        }
        match stream.write(bytes) {
            Ok(written) => {
                bytes = &bytes[written..];
                moved = Instant::now();
            }
            Err(error) if is_timeout(&error) && moved.elapsed() < SILENCE => {}
            Err(error) if is_timeout(&error) => {
                return Err(ConnectionError::Silent(SILENCE));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ended(error)),
        }
    }
    Ok(())
}

/// The error of a connection that the server has ended too early.
fn ended(error: io::Error) -> ConnectionError {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    match error.kind() {
        BrokenPipe | ConnectionReset | NotConnected => ConnectionError::ClassicEnded,
        _ => ConnectionError::Lost(error),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// A blocking stream to the first address that answers.
fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
