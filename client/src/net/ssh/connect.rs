//! Connecting over ssh: the program is started, and the greeting exchanged.

use super::Ssh;
use super::child::Session;
use crate::error::ConnectionError;
use crate::net::poller::Poller;
use crate::net::transport::Socket;

/// The command line for a destination, as it is shown. It is also the one that is run.
#[derive(Debug, Clone)]
pub(crate) struct Line(Vec<String>);

impl Line {
    /// The command line for a destination.
    pub(crate) fn of(place: &Ssh) -> Self {
        Self(super::words::words(place))
    }

    /// As it is shown.
    pub(crate) fn shown(&self) -> String {
        super::words::shown(&self.0)
    }
}

#[cfg(unix)]
pub(crate) use unix::connect;

#[cfg(unix)]
mod unix {
    use std::io;
    use std::process::ExitStatus;
    use std::time::Duration;

    use zeroize::Zeroizing;

    use super::super::Access;
    use super::super::greeting::{Nonsense, ROOM, Scan, question};
    use super::{ConnectionError, Line, Poller, Session, Socket, Ssh};
    use crate::error::ssh::{Noise, SshError};
    use crate::net::ssh::child;

    /// Time between two looks whether anybody still wants the connection.
    const PAUSE: Duration = Duration::from_millis(100);

    /// Bytes of the nonce.
    const NONCE: usize = 16;

    /// Runs ssh and exchanges the greeting; the socket is in the poller. ssh may ask the user for as long as the user wants,
    /// so there is no limit of time. `direct`: hauld is asked for the other way, too.
    ///
    /// # Errors
    /// If ssh can't be run, or no hauld answers; [`ConnectionError::Stopped`] if nobody wants the connection any more.
    pub(crate) fn connect(
        place: &Ssh,
        line: &Line,
        direct: bool,
        poller: &mut Poller,
        over: &dyn Fn() -> bool,
    ) -> Result<(Socket, Session), ConnectionError> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce)
            .map_err(|error| ConnectionError::Poller(io::Error::other(error.to_string())))?;
        let nonce = data_encoding::HEXLOWER.encode(&nonce);
        let question = question(&nonce, place, direct)
            .map_err(|error| ConnectionError::Poller(io::Error::other(error)))?;
        let (stream, session) =
            child::start(&line.0, place.login(), line.shown()).map_err(|source| {
                let program = place.runs.program().to_owned();
                SshError::NotRun { program, source }
            })?;
        let mut socket = Socket::Unix(mio::net::UnixStream::from_std(stream));
        poller.add(&mut socket).map_err(ConnectionError::Poller)?;
        let mut greeting = Greeting { place, socket, session, scan: Scan::new(&nonce) };
        match greeting.exchange(&question, poller, over) {
            Ok(()) => Ok((greeting.socket, greeting.session)),
            Err(error) => {
                poller.remove(&mut greeting.socket);
                Err(error)
            }
        }
    }

    /// A connection over which no hauld has answered yet. The socket is closed before ssh is ended.
    struct Greeting<'a> {
        place: &'a Ssh,
        socket: Socket,
        session: Session,
        scan: Scan,
    }

    impl Greeting<'_> {
        fn exchange(
            &mut self,
            question: &[u8],
            poller: &mut Poller,
            over: &dyn Fn() -> bool,
        ) -> Result<(), ConnectionError> {
            let (mut left, mut buffer) = (question, Zeroizing::new([0; ROOM]));
            loop {
                if over() {
                    return Err(ConnectionError::Stopped);
                }
                // A program that has ended may have written before; what it has started may go on.
                let status = self.session.status();
                // If nobody reads the line, the answer or the exit code tells why.
                self.send(&mut left);
                let read = match self.socket.read(&mut *buffer) {
                    Ok(0) => None,
                    Ok(len) => Some(len),
                    Err(error) if waits(&error) => Some(0),
                    Err(_) => None,
                };
                match read {
                    Some(len) if len > 0 => {
                        if self.take(&buffer[..len])? {
                            return Ok(());
                        }
                        continue;
                    }
                    _ if over() => return Err(ConnectionError::Stopped),
                    // The bytes that came before the end are read.
                    None => {
                        let status = self.session.ended();
                        return Err(self.failed(status).into());
                    }
                    Some(_) if status.is_some() => return Err(self.failed(status).into()),
                    Some(_) => {}
                }
                poller.wait(PAUSE).map_err(ConnectionError::Poller)?;
            }
        }

        /// Sends as much of the question as the socket takes.
        fn send(&mut self, left: &mut &[u8]) {
            while !left.is_empty() {
                match self.socket.write(left, &[]) {
                    Ok(sent) => *left = &left[sent..],
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        }

        /// Takes bytes that have come; returns whether hauld has begun.
        fn take(&mut self, bytes: &[u8]) -> Result<bool, SshError> {
            match self.scan.push(bytes) {
                Ok(None) => Ok(false),
                Ok(Some(Ok(remote))) => {
                    self.session.remote = Some(remote);
                    Ok(true)
                }
                Ok(Some(Err(denial))) => {
                    let is_foreseen = self.place.access == Access::Foresees;
                    let root = String::from_utf8_lossy(&self.place.root).into_owned();
                    let root = if root.is_empty() { String::from("~") } else { root };
                    Err(SshError::Denied { host: self.place.login(), root, denial, is_foreseen })
                }
                Err(Nonsense) => {
                    Err(SshError::NotHauld { host: self.place.login(), noise: self.noise() })
                }
            }
        }

        fn noise(&self) -> Noise {
            Noise(self.scan.noise().to_vec())
        }

        /// The error of ssh that has ended before hauld has answered.
        fn failed(&self, status: Option<ExitStatus>) -> SshError {
            let (host, noise, runs) = (self.place.login(), self.noise(), &self.place.runs);
            let hauld = runs.remote().to_owned();
            // tcsh says so on standard error, which is not seen here, unless it is the same.
            let is_quiet = noise.to_string().is_empty();
            let is_missing = String::from_utf8_lossy(&noise.0).contains("Command not found");
            match status.and_then(|status| status.code()) {
                Some(255) => SshError::Refused {
                    program: runs.program().to_owned(),
                    host,
                    here: runs.is_here_too.clone(),
                    noise,
                },
                Some(code @ (126 | 127)) => SshError::NoHauld { host, hauld, code, noise },
                Some(code @ 1) if is_quiet || is_missing => {
                    SshError::NoHauld { host, hauld, code, noise }
                }
                Some(2) => SshError::Old { host, hauld, noise },
                _ => SshError::NoAnswer { host, hauld, status, noise },
            }
        }
    }

    fn waits(error: &io::Error) -> bool {
        matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
    }
}

/// There are no pairs of sockets here.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
pub(crate) fn connect(
    place: &Ssh,
    _: &Line,
    _: bool,
    _: &mut Poller,
    _: &dyn Fn() -> bool,
) -> Result<(Socket, Session), ConnectionError> {
    let source = std::io::Error::from(std::io::ErrorKind::Unsupported);
    Err(ConnectionError::Unreachable { server: place.login(), source })
}
