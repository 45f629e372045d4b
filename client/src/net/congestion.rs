//! The congestion control of a socket (tcp(7), `TCP_CONGESTION`).

use std::io;

use super::transport::Socket;

/// The algorithm for a line that leaves the machine. It goes by the rate that the line delivers, so a loss here and
/// there costs it little; the usual one takes each loss for a full line.
#[cfg(any(target_os = "linux", target_os = "android"))]
const PREFERRED: &str = "bbr";

/// Sets the algorithm of a connected socket: `wanted`, or else the preferred one if the socket leaves the machine and
/// the system allows it.
///
/// # Errors
/// If `wanted` can't be had; the socket keeps its algorithm.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn choose(socket: &Socket, wanted: Option<&str>) -> io::Result<()> {
    let set = |name: &str| match socket {
        Socket::Tcp(stream) => socket2::SockRef::from(stream).set_tcp_congestion(name.as_bytes()),
        Socket::Unix(_) => Err(io::Error::other("a Unix socket has none")),
    };
    match wanted {
        Some(name) => set(name).map_err(explain),
        None => {
            if socket.leaves_the_machine() {
                // Only speed depends on it.
                let _ = set(PREFERRED);
            }
            Ok(())
        }
    }
}

/// There is no choice here.
///
/// # Errors
/// If `wanted` is given.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn choose(_: &Socket, wanted: Option<&str>) -> io::Result<()> {
    wanted.map_or(Ok(()), |_| Err(io::Error::other("this system has no choice of it")))
}

/// The system's words for this are about files.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn explain(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::NotFound => io::Error::other("the system has no algorithm of this name"),
        io::ErrorKind::PermissionDenied => io::Error::other(
            "not allowed to this user; `sysctl net.ipv4.tcp_allowed_congestion_control` tells which are",
        ),
        _ => error,
    }
}

/// The algorithm of a socket; none if it has none or the system does not tell.
#[must_use]
pub fn of(socket: &Socket) -> Option<String> {
    match socket {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Socket::Tcp(stream) => {
            let name = socket2::SockRef::from(stream).tcp_congestion().ok()?;
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            Some(String::from_utf8_lossy(&name[..end]).into_owned())
        }
        _ => None,
    }
}
