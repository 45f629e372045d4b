//! The sockets in a root's `.haul`, by which other processes of the root's owner come to the server that has locked the root.
//!
//! A path of a socket has 107 bytes at most (unix(7)), and a root may be deeper: the socket is reached by a handle on its directory.

use std::io::{self, ErrorKind, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::net::SendFlags;

use super::listen::{Entrance, Listen, Listener};

/// The socket by which a process joins the server.
pub(crate) const JOIN: &str = "socket";

/// The socket at which the server tells its state.
pub(crate) const STATUS: &str = "status";

/// The server's first byte to a peer that it has taken in.
const WELCOME: u8 = b'\n';

/// Listens in this directory, of which the caller has the lock: a socket that is there is an earlier server's. `path` is for
/// people.
pub(crate) fn listen(private: &OwnedFd, path: &Path, name: &str) -> io::Result<Listener> {
    remove(private, name)?;
    // Only the server's user gets in, but the file says so as well. Nothing else runs yet.
    let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(at(private.as_fd(), name));
    rustix::process::umask(umask);
    let socket = bound?;
    socket.set_nonblocking(true)?;
    let address = Listen::Unix(path.join(name));
    Ok(Listener::of_root(socket.into(), address))
}

/// Removes the socket, if it is there.
pub(crate) fn remove(private: &OwnedFd, name: &str) -> io::Result<()> {
    match rustix::fs::unlinkat(private, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Tells a peer that it has come in, if it waits for that.
pub(crate) fn welcome(socket: &OwnedFd, entrance: Entrance) {
    if entrance == Entrance::Root {
        // There is room for one byte, unless the peer is gone.
        let _ = rustix::net::send(socket, &[WELCOME], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    }
}

/// Comes in by the socket of a root that another process serves. Waits so long to be taken in.
pub(crate) fn join(root: impl AsFd, name: &str, patience: Duration) -> io::Result<UnixStream> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let private = rustix::fs::openat(&root, ".haul", flags, Mode::empty())?;
    // Another user's `.haul` may hold anybody's socket; whoever owns the root as well could have every file anyway.
    let (owner, above) = (rustix::fs::fstat(&private)?, rustix::fs::fstat(root)?);
    let user = rustix::process::geteuid();
    let is_trusted =
        owner.st_uid == user.as_raw() || user.is_root() && owner.st_uid == above.st_uid;
    if !is_trusted || owner.st_mode & 0o022 != 0 {
        return Err(ErrorKind::PermissionDenied.into());
    }
    // connect(2) would follow a symlink to the socket of another root: the handle is that of the entry itself.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let entry = rustix::fs::openat(&private, name, flags, Mode::empty())?;
    let found = rustix::fs::fstat(&entry)?;
    let is_socket = FileType::from_raw_mode(found.st_mode) == FileType::Socket;
    if !is_socket || found.st_uid != owner.st_uid {
        return Err(ErrorKind::PermissionDenied.into());
    }
    let mut socket = UnixStream::connect(format!("/proc/self/fd/{}", entry.as_raw_fd()))?;
    let server = rustix::net::sockopt::socket_peercred(&socket)?.uid;
    if server.as_raw() != owner.st_uid {
        return Err(ErrorKind::PermissionDenied.into());
    }
    socket.set_read_timeout(Some(patience))?;
    let mut byte = [0];
    socket.read_exact(&mut byte)?;
    socket.set_read_timeout(None)?;
    if byte != [WELCOME] {
        return Err(ErrorKind::InvalidData.into());
    }
    Ok(socket)
}

fn at(private: BorrowedFd<'_>, name: &str) -> String {
    format!("/proc/self/fd/{}/{name}", private.as_raw_fd())
}
