//! One client, from the opened root to the end of the process.

use std::fmt::Display;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fd::{AsFd, OwnedFd};

use super::place::Place;
use super::relay::{self, Ended};
use super::{Options, StdioError};
use crate::commit::notify::ConnectionId;
use crate::config::Config;
use crate::error::StartError;
use crate::net::root_socket;
use crate::process::Reach;
use crate::server::{Ready, Server};

/// Time between two looks whether all connections have ended.
const LOOK: Duration = Duration::from_millis(5);

/// Time for which a process that can neither lock the root nor join who has locked it tries both again.
const PATIENCE: Duration = Duration::from_secs(5);

/// The least time for which a server may stop.
const AT_LEAST: Duration = Duration::from_secs(1);

/// Something that this process waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// One way of the relay.
    Ended(Ended),
    /// A signal: end in order.
    Stop,
    /// Another signal: end at once.
    StopNow,
    /// All threads of the server have ended.
    Stopped,
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

/// A client whose root is open, here or in another process.
#[derive(Debug)]
pub struct Session {
    /// The server, and the client's connection to it. `None`: another process serves the root.
    server: Option<(Ready, ConnectionId)>,
    root: PathBuf,
    socket: UnixStream,
    /// Bytes that came after the client's line.
    first: Vec<u8>,
    grace: Duration,
    /// Standard input and output become this when the client has gone and others are still served.
    nothing: File,
}

impl Session {
    /// Locks and opens the root, and puts the sandbox on; or joins the process that has locked the root.
    pub(super) fn open(options: Options, place: Place, first: Vec<u8>) -> Result<Self, StartError> {
        let Options { mut config, is_confined, .. } = options;
        let Place { directory, path } = place;
        config.root.clone_from(&path);
        let (audit, grace) = (config.audit.clone(), config.timeouts.grace);
        let nothing = File::options().read(true).write(true).open("/dev/null")?;
        let (server, socket) = open_or_join(&directory, &config)?;
        if let Some((server, _)) = server.as_ref().filter(|_| is_confined) {
            let mut reach = Reach::new(server.root());
            if let Some(audit) = &audit {
                reach = reach.appending(audit);
            }
            reach.confine()?;
        }
        Ok(Self { server, root: path, socket, first, grace, nothing })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn is_joined(&self) -> bool {
        self.server.is_none()
    }

    /// Serves the client to its end: that of standard input or output, or a signal. `watch` is told how the session is ended
    /// from outside.
    ///
    /// # Errors
    /// If a thread can't be had, or the time is over before all is done.
    pub fn serve(self, watch: impl FnOnce(Stopper)) -> Result<(), StdioError> {
        let Self { server, socket, first, grace, nothing, .. } = self;
        let failed = |error: &dyn Display| StdioError::CutOff(format!("could not start: {error}"));
        let (tell, told) = channel();
        watch(Stopper(tell.clone()));
        let server = server.map(|(ready, own)| Ok((ready.start()?, own))).transpose();
        let server = server.map_err(|error: StartError| failed(&error))?;
        let socket = Arc::new(socket);
        relay::start(&socket, first, &tell).map_err(|error| failed(&error))?;
        let mut end = End { told, grace, deadline: None };
        let early = end.of_client();
        let Some((server, own)) = server else {
            // The other process goes on, and ends the connection as one whose client has gone.
            return Ok(());
        };
        match early.or_else(|| end.of_others(&server, own, &nothing)) {
            Some(Early::Late) => return Err(late()),
            Some(Early::SecondSignal) => return Ok(()),
            Some(Early::Signal) => {
                server.stopper()();
                end.deadline = Some(Instant::now() + grace);
            }
            None => {}
        }
        thread::Builder::new()
            .name(String::from("joiner"))
            .spawn(move || {
                server.join_and_leave();
                // This process may have given up waiting.
                let _ = tell.send(Event::Stopped);
            })
            .map_err(|error| failed(&error))?;
        end.of_server()
    }
}

/// Opens a server with the client's connection, or joins the process that has locked the root: one of both, however often
/// processes that end let go of the root meanwhile.
fn open_or_join(
    directory: &OwnedFd,
    config: &Config,
) -> Result<(Option<(Ready, ConnectionId)>, UnixStream), StartError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let root = directory.try_clone()?;
        let busy = match Server::at(root, config.clone()).open() {
            Ok(server) => {
                let (socket, other) = UnixStream::pair()?;
                let own = server.adopt(other, "standard input")?;
                return Ok((Some((server, own)), socket));
            }
            Err(error @ (StartError::Busy(_) | StartError::Denied(_))) => error,
            Err(error) => return Err(error),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        match root_socket::join(directory.as_fd(), left.max(LOOK)) {
            Ok(socket) => return Ok((None, socket)),
            Err(error) if matches!(busy, StartError::Denied(_)) => {
                tracing::debug!(%error, "could not join");
                return Err(busy);
            }
            // Somebody else's, or the server ends just now, or begins.
            Err(error) if left == Duration::ZERO || error.kind() == ErrorKind::PermissionDenied => {
                return Err(StartError::Busy(format!("{busy}; it can't be joined: {error}")));
            }
            Err(_) => thread::sleep(LOOK),
        }
    }
}

fn late() -> StdioError {
    StdioError::CutOff(String::from(
        "the grace time is over, and the disk is not done: transfers are cut off",
    ))
}

/// Lets go of the client's ends of standard input, output and error, so that `sshd` ends the client's session though this process
/// serves others.
fn let_go(nothing: &File) {
    let let_go = rustix::stdio::dup2_stdin(nothing)
        .and_then(|()| rustix::stdio::dup2_stdout(nothing))
        .and_then(|()| rustix::stdio::dup2_stderr(nothing));
    if let Err(errno) = let_go {
        tracing::debug!(%errno, "could not let go of standard input and output");
    }
}

/// A reason to end before the client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Early {
    Signal,
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
    /// The next event, if one comes before the deadline and within `most`.
    fn next(&self, most: Duration) -> Option<Event> {
        let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        // The sender of this thread lives as long as the receiver.
        self.told.recv_timeout(left.map_or(most, |left| left.min(most))).ok()
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|at| at <= Instant::now())
    }

    /// From now on there is the grace time left.
    fn is_near(&mut self) {
        let at = Instant::now() + self.grace;
        self.deadline.get_or_insert(at);
    }

    /// Waits until the client's connection has ended.
    fn of_client(&mut self) -> Option<Early> {
        loop {
            match self.next(Duration::MAX) {
                Some(Event::Ended(Ended::Input)) => self.is_near(),
                Some(Event::Ended(Ended::Output | Ended::Broken)) => {
                    self.is_near();
                    return None;
                }
                Some(Event::Stop) => return Some(Early::Signal),
                Some(Event::StopNow) => return Some(Early::SecondSignal),
                Some(Event::Stopped) => {}
                None if self.is_late() => return None,
                None => {}
            }
        }
    }

    /// Waits until all connections have ended, and has the server stop.
    fn of_others(&mut self, server: &Server, own: ConnectionId, nothing: &File) -> Option<Early> {
        let mut is_let_go = false;
        loop {
            let is_late = self.is_late();
            // The next server of this root may be far in the future.
            let waits = server.connections() == 0 && server.is_sweeping() && !is_late;
            if !waits && server.stop_if_idle() {
                return None;
            }
            let others = server.connections() > usize::from(server.is_connected(own));
            if !others && is_late && !waits {
                return Some(Early::Late);
            }
            if others && !std::mem::replace(&mut is_let_go, true) {
                let_go(nothing);
            }
            match self.told.recv_timeout(LOOK) {
                Ok(Event::Stop) => return Some(Early::Signal),
                Ok(Event::StopNow) => return Some(Early::SecondSignal),
                _ => {}
            }
        }
    }

    /// Waits until a server that stops has done so.
    fn of_server(mut self) -> Result<(), StdioError> {
        let least = Instant::now() + AT_LEAST;
        self.deadline = Some(self.deadline.map_or(least, |at| at.max(least)));
        loop {
            match self.next(Duration::MAX) {
                Some(Event::Stopped | Event::StopNow) => return Ok(()),
                // A service manager and a closed terminal may both send one.
                Some(Event::Stop | Event::Ended(_)) => {}
                None if self.is_late() => return Err(late()),
                None => {}
            }
        }
    }
}
