//! Bytes go from standard input to a socket, and from the socket to standard output.
//!
//! Each way has a thread of its own, which blocks. Standard input and output are whatever the caller has made them: pipes,
//! sockets, files. They are only read, written and polled, so nothing has to be put back as it was.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::Shutdown;

/// Bytes that are moved at once.
const PIECE: usize = 256 * 1024;

/// The end of one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The caller sends no more, or what it sends is not taken any more.
    Input,
    /// The caller has got everything that came over the socket.
    Output,
    /// The caller takes nothing any more.
    Broken,
}

/// Starts both ways. `first`: bytes that have been read from standard input already. Each thread tells when its way has ended.
///
/// # Errors
/// If a thread can't be had.
pub(super) fn start<Event: From<Ended> + Send + 'static>(
    socket: &Arc<UnixStream>,
    first: Vec<u8>,
    ended: &Sender<Event>,
) -> io::Result<()> {
    let (inward, told) = (Arc::clone(socket), ended.clone());
    thread::Builder::new().name(String::from("stdin")).spawn(move || {
        // An error of standard input is its end, and so is a socket that takes nothing more.
        let _ = write_all(inward.as_fd(), &first).and_then(|()| {
            drop(first);
            pass(rustix::stdio::stdin(), inward.as_fd(), inward.as_fd()).map_err(Stopped::errno)
        });
        // The server ends the connection when it has done all that came before.
        let _ = rustix::net::shutdown(&*inward, Shutdown::Write);
        // Nobody listens when the process ends already.
        let _ = told.send(Ended::Input.into());
    })?;
    let (outward, told) = (Arc::clone(socket), ended.clone());
    thread::Builder::new().name(String::from("stdout")).spawn(move || {
        let out = rustix::stdio::stdout();
        let ended = match pass(outward.as_fd(), out, out) {
            Ok(()) | Err(Stopped::Reading(_)) => Ended::Output,
            Err(Stopped::Writing(_)) => Ended::Broken,
        };
        // Nothing that still comes in can be answered.
        let _ = rustix::net::shutdown(&*outward, Shutdown::Both);
        let _ = told.send(ended.into());
    })?;
    Ok(())
}

/// The side that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    Reading(Errno),
    Writing(Errno),
}

impl Stopped {
    fn errno(self) -> Errno {
        let (Self::Reading(errno) | Self::Writing(errno)) = self;
        errno
    }
}

/// Moves all bytes from one descriptor to another one, to the end of the first. It also ends when nobody is at the other end of
/// `watched` any more.
fn pass(from: BorrowedFd<'_>, to: BorrowedFd<'_>, watched: BorrowedFd<'_>) -> Result<(), Stopped> {
    let mut piece = vec![0; PIECE];
    loop {
        let mut both = [
            PollFd::from_borrowed_fd(from, PollFlags::IN),
            PollFd::from_borrowed_fd(watched, PollFlags::empty()),
        ];
        match poll(&mut both, None) {
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(Stopped::Reading(errno)),
            Ok(_) => {}
        }
        let is_gone =
            both[1].revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
        if both[0].revents().is_empty() {
            if is_gone {
                return Err(Stopped::Writing(Errno::PIPE));
            }
            continue;
        }
        match rustix::io::read(from, &mut piece) {
            Ok(0) => return Ok(()),
            Ok(len) => write_all(to, &piece[..len]).map_err(Stopped::Writing)?,
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(Stopped::Reading(errno)),
        }
    }
}

/// Writes all bytes, whether or not the descriptor blocks.
pub(super) fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(len) => bytes = &bytes[len..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait(to, PollFlags::OUT)?,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Waits until a descriptor that does not block is ready.
pub(super) fn wait(descriptor: BorrowedFd<'_>, ready: PollFlags) -> Result<(), Errno> {
    match poll(&mut [PollFd::from_borrowed_fd(descriptor, ready)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}
