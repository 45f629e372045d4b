//! One client, from the opened root to the end of the process.

use std::fmt::Display;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::place::Place;
use super::relay::{self, Ended};
use super::{Options, StdioError};
use crate::commit::notify::ConnectionId;
use crate::error::StartError;
use crate::process::Reach;
use crate::server::{Ready, Server};

/// Time between two looks whether all connections have ended.
const LOOK: Duration = Duration::from_millis(5);

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

/// A client whose root is open.
#[derive(Debug)]
pub struct Session {
    server: Ready,
    /// The client's connection.
    own: ConnectionId,
    root: PathBuf,
    socket: UnixStream,
    /// Bytes that came after the client's line.
    first: Vec<u8>,
    grace: Duration,
}

impl Session {
    /// Locks and opens the root, and puts the sandbox on.
    pub(super) fn open(options: Options, place: Place, first: Vec<u8>) -> Result<Self, StartError> {
        let Options { mut config, is_confined, .. } = options;
        let Place { directory, path } = place;
        config.root.clone_from(&path);
        let (audit, grace) = (config.audit.clone(), config.timeouts.grace);
        let server = Server::at(directory, config).open()?;
        let (socket, other) = UnixStream::pair()?;
        let own = server.adopt(other, "standard input")?;
        if is_confined {
            let mut reach = Reach::new(server.root());
            if let Some(audit) = &audit {
                reach = reach.appending(audit);
            }
            reach.confine()?;
        }
        Ok(Self { server, own, root: path, socket, first, grace })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn is_joined(&self) -> bool {
        false
    }

    /// Serves the client to its end: that of standard input or output, or a signal. `watch` is told how the session is ended
    /// from outside.
    ///
    /// # Errors
    /// If a thread can't be had, or the time is over before all is done.
    pub fn serve(self, watch: impl FnOnce(Stopper)) -> Result<(), StdioError> {
        let Self { server, own, socket, first, grace, .. } = self;
        let failed = |error: &dyn Display| StdioError::CutOff(format!("could not start: {error}"));
        let (tell, told) = channel();
        watch(Stopper(tell.clone()));
        let server = server.start().map_err(|error| failed(&error))?;
        let socket = Arc::new(socket);
        relay::start(&socket, first, &tell).map_err(|error| failed(&error))?;
        let mut end = End { told, grace, deadline: None };
        match end.of_client().or_else(|| end.of_others(&server, own)) {
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
                server.join();
                // This process may have given up waiting.
                let _ = tell.send(Event::Stopped);
            })
            .map_err(|error| failed(&error))?;
        end.of_server()
    }
}

fn late() -> StdioError {
    StdioError::CutOff(String::from(
        "the grace time is over, and the disk is not done: transfers are cut off",
    ))
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
    fn of_others(&mut self, server: &Server, own: ConnectionId) -> Option<Early> {
        loop {
            if server.stop_if_idle() {
                return None;
            }
            if server.connections() == usize::from(server.is_connected(own)) && self.is_late() {
                return Some(Early::Late);
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
