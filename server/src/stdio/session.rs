//! One client, from the opened root to the end of the process that relays for it.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::Shutdown;
use zeroize::Zeroizing;

use super::direct::{self, Offer};
use super::greeting::{Failure, Reason};
use super::place::Place;
use super::relay::{self, Ended};
use super::{Options, StdioError};
use crate::net::root_socket;

/// Time between two looks at what wakes nobody.
const LOOK: Duration = Duration::from_millis(5);

/// Time between two attempts to lock a root or to join who has locked it.
const AGAIN: Duration = Duration::from_millis(50);

/// Time for which both are tried again.
const PATIENCE: Duration = Duration::from_secs(5);

/// The least time that a server has to end.
const AT_LEAST: Duration = Duration::from_secs(1);

/// Bytes of what a host tells at once.
const MAX_WORD: usize = 16 * 1024;

/// Something that this process waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// One way of the relay.
    Ended(Ended),
    /// A signal: end in order.
    Stop,
    /// Another signal: end at once.
    StopNow,
}

impl From<Ended> for Event {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

/// Ends a session from another thread.
#[derive(Debug)]
pub struct Stopper(Sender<Event>);

impl Stopper {
    /// Ends it in order: transfers under way may finish.
    pub fn stop(&self) {
        // It may have ended already.
        let _ = self.0.send(Event::Stop);
    }

    /// Ends it at once.
    pub fn stop_now(&self) {
        let _ = self.0.send(Event::StopNow);
    }
}

/// A client whose root is open, in another process.
#[derive(Debug)]
pub struct Session {
    /// The process that serves the root. `None`: it serves others already, and goes on.
    host: Option<Host>,
    root: PathBuf,
    socket: UnixStream,
    /// Bytes that came after the client's line.
    first: Vec<u8>,
    grace: Duration,
}

/// A process that was started to serve the root.
#[derive(Debug)]
struct Host {
    process: Child,
    words: ChildStdout,
}

impl Session {
    /// Starts a process that locks and serves the root, or joins the process that has locked it: one of both, however often
    /// processes that end let go of the root meanwhile.
    /// The second value is the other way by which the client may come in.
    pub(super) fn open(
        options: &Options,
        place: Place,
        first: Vec<u8>,
    ) -> Result<(Self, Option<Offer>), Failure> {
        let io = |error: io::Error| {
            Failure::new(Reason::Io, format!("hauld could not start its server: {error}"))
        };
        let Place { directory, path } = place;
        let grace = options.config.timeouts.grace;
        let session = |host, socket| Self { host, root: path.clone(), socket, first, grace };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (socket, other) = UnixStream::pair().map_err(io)?;
            let mut host = Host::start(options, &directory, other).map_err(io)?;
            let said = host.word(None).map_err(io)?;
            let said = said.as_ref().map_or("", |said| said.as_str());
            if let Some(offer) = direct::opened(said) {
                return Ok((session(Some(host), socket), offer));
            }
            let failure = failure(said);
            // Root is denied a root that is another user's, and may join that user's server.
            if !matches!(failure.reason, Reason::Busy | Reason::Denied) {
                return Err(failure);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match root_socket::join(&directory, root_socket::JOIN, left.max(LOOK)) {
                Ok(socket) => return Ok((session(None, socket), None)),
                Err(error) if failure.reason == Reason::Denied => {
                    tracing::debug!(%error, "could not join");
                    return Err(failure);
                }
                Err(error)
                    if left == Duration::ZERO || error.kind() == ErrorKind::PermissionDenied =>
                {
                    let message = format!("{}; it can't be joined: {error}", failure.message);
                    return Err(Failure::new(Reason::Busy, message));
                }
                // That process ends just now, or begins.
                Err(_) => thread::sleep(AGAIN.min(left)),
            }
        }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn is_joined(&self) -> bool {
        self.host.is_none()
    }

    /// Serves the client to its end: that of standard input or output, or a signal. `watch` is told how the session is ended
    /// from outside.
    ///
    /// # Errors
    /// If a thread can't be had, the server fails, or the time is over before all is done.
    pub fn serve(self, watch: impl FnOnce(Stopper)) -> Result<(), StdioError> {
        let Self { host, socket, first, grace, .. } = self;
        let (tell, told) = channel();
        watch(Stopper(tell.clone()));
        let socket = Arc::new(socket);
        relay::start(&socket, first, &tell)
            .map_err(|error| StdioError::CutOff(format!("could not start: {error}")))?;
        let mut end = End { told, grace, deadline: None };
        match end.of_client(&socket) {
            Some(Early::SecondSignal) => return Ok(()),
            Some(Early::Late) => return Err(late()),
            None => {}
        }
        // A process that was joined goes on, and has ended the connection as that of a client that has gone.
        host.map_or(Ok(()), |host| end.of_host(host))
    }
}

/// The words of a host about its failure.
fn failure(said: &str) -> Failure {
    let (reason, message) = said.split_once(' ').unwrap_or(("io", "the server has ended at once"));
    let known = [Reason::Busy, Reason::Denied];
    let reason = known.into_iter().find(|known| known.as_str() == reason);
    Failure::new(reason.unwrap_or(Reason::Io), message)
}

impl Host {
    /// Starts this program as a server of a directory, with this socket as its first connection.
    fn start(options: &Options, directory: &OwnedFd, client: UnixStream) -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("hauld")
            .args(std::env::args_os().skip(1))
            .arg("--stdio-host")
            .args(options.only_reads.then_some("--read-only"))
            .args(options.is_direct.then_some("--stdio-direct"))
            .current_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))
            // Signals of a terminal are for the process that relays.
            .process_group(0)
            .stdin(OwnedFd::from(client))
            .stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let words = process.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
        Ok(Self { process, words })
    }

    /// The next line that the host says; `None` at its end.
    fn word(&mut self, deadline: Option<Instant>) -> io::Result<Option<Zeroizing<String>>> {
        // It may have a secret, so no copy of it is left where the line was too short.
        let mut line = Zeroizing::new(Vec::with_capacity(MAX_WORD));
        loop {
            let timeout = deadline.map(|at| {
                let left = at.saturating_duration_since(Instant::now());
                Timespec {
                    tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: i64::from(left.subsec_nanos()),
                }
            });
            match poll(&mut [PollFd::new(&self.words, PollFlags::IN)], timeout.as_ref()) {
                Ok(0) => return Err(ErrorKind::TimedOut.into()),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            let mut byte = [0];
            match rustix::io::read(&self.words, &mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) if byte == *b"\n" => {
                    return Ok(Some(String::from_utf8_lossy(&line).into_owned().into()));
                }
                Ok(_) if line.len() < MAX_WORD => line.push(byte[0]),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

fn late() -> StdioError {
    let message = "the grace time is over, and the disk is not done with what was sent last";
    StdioError::CutOff(String::from(message))
}

/// A reason to end before the client's connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Early {
    SecondSignal,
    Late,
}

/// Waits for the end.
struct End {
    told: Receiver<Event>,
    grace: Duration,
    /// When the process ends, whatever is left to do.
    deadline: Option<Instant>,
}

impl End {
    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|at| at <= Instant::now())
    }

    /// From now on there is the grace time left.
    fn is_near(&mut self) {
        let at = Instant::now() + self.grace;
        self.deadline.get_or_insert(at);
    }

    /// Waits until the client's connection has ended.
    fn of_client(&mut self, socket: &UnixStream) -> Option<Early> {
        loop {
            let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
            match self.told.recv_timeout(left.unwrap_or(Duration::MAX)) {
                Ok(Event::Ended(Ended::Input)) => self.is_near(),
                Ok(Event::Ended(Ended::Output | Ended::Broken)) => {
                    self.is_near();
                    return None;
                }
                Ok(Event::Stop) => {
                    self.is_near();
                    // The server does all that has come, and then ends the connection.
                    let _ = rustix::net::shutdown(socket, Shutdown::Write);
                }
                Ok(Event::StopNow) => return Some(Early::SecondSignal),
                Err(_) if self.is_late() => return Some(Early::Late),
                Err(_) => {}
            }
        }
    }

    /// Waits until the process that serves has ended, or serves others.
    fn of_host(self, mut host: Host) -> Result<(), StdioError> {
        let least = Instant::now() + AT_LEAST;
        let deadline = self.deadline.map_or(least, |at| at.max(least));
        match host.word(Some(deadline)) {
            // It is done, or serves others.
            Ok(Some(_)) => return Ok(()),
            Ok(None) => {}
            Err(_) => return Err(late()),
        }
        loop {
            match host.process.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(StdioError::CutOff(format!("the server has ended with {status}")));
                }
                Ok(None) if Instant::now() < deadline => thread::sleep(LOOK),
                Ok(None) => return Err(late()),
                Err(error) => return Err(StdioError::CutOff(error.to_string())),
            }
        }
    }
}
