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
    use super::super::greeting::question;
    use super::super::install::{Installer, Reply};
    use super::super::outgoing::Outgoing;
    use super::super::scan::{Nonsense, ROOM, Said, Scan};
    use super::super::words::plain_root;
    use super::{ConnectionError, Line, Poller, Session, Socket, Ssh};
    use crate::error::install::InstallError;
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
        let (scan, runs) = (Scan::new(&nonce), &place.runs);
        let install = |wish| Installer::new(wish, runs.remote(), plain_root(place));
        let installer = runs.install.clone().map(install);
        let outgoing = Outgoing::new(&question);
        let mut greeting = Greeting { place, socket, session, scan, question, outgoing, installer };
        match greeting.exchange(poller, over) {
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
        question: Vec<u8>,
        outgoing: Outgoing,
        /// The client's side of the script, if hauld may be copied.
        installer: Option<Installer>,
    }

    impl Greeting<'_> {
        fn exchange(
            &mut self,
            poller: &mut Poller,
            over: &dyn Fn() -> bool,
        ) -> Result<(), ConnectionError> {
            let mut buffer = Zeroizing::new([0; ROOM]);
            loop {
                if over() {
                    return Err(ConnectionError::Stopped);
                }
                // A program that has ended may have written before; what it has started may go on.
                let status = self.session.status();
                // If nobody reads it, the answer or the exit code tells why.
                let sent = self.outgoing.send(&mut self.socket);
                sent.map_err(|source| self.not_installed(source))?;
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

        /// Takes bytes that have come; returns whether hauld has begun.
        fn take(&mut self, bytes: &[u8]) -> Result<bool, SshError> {
            let mut said = self.scan.feed(bytes).and_then(|()| self.scan.next_line());
            while let Ok(Some(Said::Script(line))) = &said {
                said = match self.heard(line)? {
                    true => self.scan.next_line(),
                    false => Err(Nonsense),
                };
            }
            match said {
                Ok(None | Some(Said::Script(_))) => Ok(false),
                Ok(Some(Said::Answer(Ok(remote)))) => {
                    self.session.remote = Some(remote);
                    let copied = self.installer.as_ref().and_then(Installer::copied);
                    self.session.copied = copied.map(str::to_owned);
                    Ok(true)
                }
                Ok(Some(Said::Answer(Err(denial)))) => {
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

        /// Replies to a line of the script; returns whether it makes sense.
        fn heard(&mut self, line: &str) -> Result<bool, SshError> {
            let reply = self.installer.as_mut().map_or(Ok(None), |it| it.heard(line));
            match reply.map_err(|source| self.not_installed(source))? {
                None => return Ok(false),
                Some(Reply::Asking(bytes)) => {
                    self.outgoing.add(&bytes);
                    self.outgoing.add(&self.question);
                }
                Some(Reply::Words(bytes)) => self.outgoing.add(&bytes),
                Some(Reply::Bytes(unsent)) => self.outgoing.then(unsent),
            }
            // The socket may take bytes, of which no event tells.
            let sent = self.outgoing.send(&mut self.socket);
            sent.map_err(|source| self.not_installed(source))?;
            Ok(true)
        }

        fn not_installed(&self, source: InstallError) -> SshError {
            let (host, hauld) = (self.place.login(), self.place.runs.remote().to_owned());
            SshError::NotInstalled { host, hauld, source }
        }

        fn noise(&self) -> Noise {
            Noise(self.scan.noise().to_vec())
        }

        /// The error of ssh that has ended before hauld has answered.
        fn failed(&self, status: Option<ExitStatus>) -> SshError {
            let (host, noise, runs) = (self.place.login(), self.noise(), &self.place.runs);
            let code = status.and_then(|status| status.code());
            let copy = self.installer.as_ref().zip(code);
            if let Some(source) = copy.and_then(|(installer, code)| installer.failed(code)) {
                return self.not_installed(source);
            }
            let is_begun = self.installer.as_ref().is_none_or(Installer::is_begun);
            let hauld = if is_begun { runs.remote() } else { "sh" }.to_owned();
            // tcsh says so on standard error, which is not seen here, unless it is the same.
            let is_quiet = noise.to_string().is_empty();
            let is_missing = String::from_utf8_lossy(&noise.0).contains("Command not found");
            match code {
                Some(255) => SshError::Refused {
                    program: runs.program().to_owned(),
                    host,
                    here: runs.is_here_too.clone(),
                    noise,
                },
                Some(code @ (126 | 127)) if is_begun => {
                    SshError::NoHauld { host, hauld, code, noise }
                }
                Some(code @ 1) if is_begun && (is_quiet || is_missing) => {
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
