//! The floor: a program that does the work of `haul put` and `haul get` with only those system calls, copies and hashes that the
//! work needs. `cargo xtask bench` measures haul beside it: haul's time by the floor's is the price of everything else.
//!
//! The work is that of haul, and so are the promises with durability `none`:
//!
//! - The sender opens each directory and lists it, and opens, looks at, reads and closes each file.
//! - Every byte is hashed with BLAKE3 on both sides, many small files together. The receiver compares before it writes.
//! - Bytes leave in batches of up to 256 KiB, those of larger files in pieces of 1 MiB, over as many connections of TCP as haul has, each with one thread on each side. The
//!   receiver answers each batch.
//! - No file shows under its final name before all of its bytes are there and match. The cheapest calls for that are those of
//!   haul's staged trees: the receiver makes a directory where nobody looks, fills it, and renames it, so a file costs no more
//!   than to be created, written, given its mtime, and closed. The mode comes with the creation.
//! - Directories have their mtime and mode in the end, symlinks are made, nothing is flushed.
//!
//! The floor leaves out everything that makes this a program for others:
//!
//! - names are not checked, and may lead anywhere; nothing may stand at the target;
//! - an error ends the program; nothing is tried again, resumed, or told;
//! - no file is looked at again after it was read, so nobody notices that it changed meanwhile;
//! - no account, limit, deadline, rule, quota, progress, log, metric, or other version of itself;
//! - a thread blocks on its peer, so a silent peer holds it for ever.

mod receive;
mod send;
#[cfg(test)]
mod tests;
mod wire;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::net::{AddressFamily, SocketType, sockopt};
use wire::{CONNECTIONS, Request};

/// haul takes this one within a machine, too: it never paces.
const CONGESTION: &str = "reno";

fn main() -> io::Result<()> {
    rustix::process::umask(Mode::empty());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve", port, root] => serve(&listen(address(port)?)?, Path::new(root)),
        ["put", port, source] => {
            let streams = connect(address(port)?, &Request::Put)?;
            send::all(Path::new(source), streams)
        }
        ["get", port, name, target] => {
            let streams = connect(address(port)?, &Request::Get(name.as_bytes().to_vec()))?;
            receive::all(Path::new(target), streams)
        }
        _ => Err(io::Error::other("serve PORT ROOT | put PORT SOURCE | get PORT NAME TARGET")),
    }
}

fn address(port: &str) -> io::Result<SocketAddr> {
    format!("127.0.0.1:{port}").parse().map_err(io::Error::other)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // The connections inherit it.
    sockopt::set_tcp_congestion(&listener, CONGESTION)?;
    Ok(listener)
}

/// Serves one client after the other, until somebody ends it.
fn serve(listener: &TcpListener, root: &Path) -> io::Result<()> {
    loop {
        let (mut streams, mut request) = (Vec::new(), Request::Put);
        for _ in 0..CONNECTIONS {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            request = Request::read(&mut stream)?;
            streams.push(stream);
        }
        match request {
            Request::Put => receive::all(root, streams)?,
            Request::Get(name) => {
                let name = Path::new(std::ffi::OsStr::from_bytes(&name));
                send::all(&root.join(name), streams)?;
            }
        }
    }
}

fn connect(address: SocketAddr, request: &Request) -> io::Result<Vec<TcpStream>> {
    let one = |_| {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        // A socket that has once paced goes on to, so this comes first.
        sockopt::set_tcp_congestion(&socket, CONGESTION)?;
        rustix::net::connect(&socket, &address)?;
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        request.write(&mut stream)?;
        Ok(stream)
    };
    (0..CONNECTIONS).map(one).collect()
}

/// Runs one thread for each connection. The first error ends the program, because the other threads may wait for this one.
#[expect(clippy::print_stderr, reason = "whoever runs it reads that")]
fn on_all(streams: Vec<TcpStream>, work: impl Fn(usize, TcpStream) -> io::Result<()> + Sync) {
    thread::scope(|scope| {
        for (index, stream) in streams.into_iter().enumerate() {
            let work = &work;
            scope.spawn(move || {
                if let Err(error) = work(index, stream) {
                    eprintln!("connection {index}: {error}");
                    std::process::exit(1);
                }
            });
        }
    });
}

/// Opens a directory.
fn open(base: impl AsFd, path: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(base, path, flags, Mode::empty())?)
}
