//! The process that serves: started by one that relays for its client, it outlives that one only for clients that have joined.
//!
//! It is a process of its own because `sshd` ends a session when the process has ended that it has started, and not earlier. So
//! that process touches no disk, and waits for no other client than its own.

use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode};

use super::direct::{self, OPEN, OPEN_FOR, Offer};
use super::greeting::{Failure, Reason};
use super::place::{self, Place};
use super::{Options, StdioError, relay};
use crate::commit::notify::ConnectionId;
use crate::error::StartError;
use crate::process::Reach;
use crate::server::{Ready, Server};

/// Time between two looks at what wakes nobody.
const LOOK: Duration = Duration::from_millis(5);

/// Time between two looks that are made anyway.
const ANYWAY: Duration = Duration::from_secs(10);

/// The word to the process that relays: other clients are served still.
const OTHERS: &str = "others";

/// The word to it: everything is done.
const DONE: &str = "done";

/// Asks a host from another thread to end in order.
#[derive(Debug, Clone)]
pub struct Stopper {
    is_asked: Arc<AtomicBool>,
    host: Thread,
}

impl Stopper {
    fn new() -> Self {
        Self { is_asked: Arc::default(), host: thread::current() }
    }

    /// Transfers under way may finish.
    pub fn stop(&self) {
        self.is_asked.store(true, Ordering::Release);
        self.host.unpark();
    }

    fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Acquire)
    }
}

/// Serves the directory that this process was started in, first of all the client at standard input, which is a socket. What
/// becomes of that is told on standard output. `watch` is told how the host is ended from outside.
///
/// # Errors
/// If a thread can't be had. If the root can't be served, standard output has been told.
pub fn host(options: Options, watch: impl FnOnce(Stopper)) -> Result<(), StdioError> {
    let failed = |error: StartError| StdioError::CutOff(format!("could not start: {error}"));
    let grace = options.config.timeouts.grace;
    let nothing = File::options().read(true).write(true).open("/dev/null");
    let nothing = nothing.map_err(|error| failed(error.into()))?;
    let opened =
        take_input(&nothing).map_err(StartError::from).and_then(|client| open(options, client));
    let (ready, own, offer) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let failure = failure(&error);
            tell(&format!("{} {}", failure.reason.as_str(), failure.message));
            return Err(StdioError::Told(failure.message));
        }
    };
    let stopper = Stopper::new();
    watch(stopper.clone());
    let server = ready.start().map_err(failed)?;
    server.is_followed_by(thread::current());
    let mut until = offer.as_ref().map(|_| Instant::now() + OPEN_FOR);
    match offer {
        // As with any other word: if nobody reads it, the client is gone.
        Some(offer) => drop(relay::write_all(rustix::stdio::stdout(), &direct::word(&offer))),
        None => tell(OPEN),
    }

    while server.is_connected(own) && !stopper.is_asked() {
        let left = until.map(|at| at.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            server.close_direct();
            until = None;
        }
        thread::park_timeout(left.map_or(ANYWAY, |left| left.min(ANYWAY)));
    }
    if !stopper.is_asked() {
        // Standard input is the client's life line.
        server.end_direct();
    }
    let (late, mut is_let_go) = (Instant::now() + grace, false);
    while !stopper.is_asked() {
        let others = server.others();
        // The next server of this root may be far in the future.
        let sweeps = others == 0 && Instant::now() < late && server.is_sweeping();
        if !sweeps && server.stop_if_idle() {
            server.join_and_leave(|| done(&nothing));
            return Ok(());
        }
        if others > 0 && !std::mem::replace(&mut is_let_go, true) {
            tell(OTHERS);
            let_go(&nothing);
        }
        thread::park_timeout(if sweeps { LOOK } else { ANYWAY });
    }
    server.stopper()();
    server.join_and_leave(|| done(&nothing));
    Ok(())
}

/// Locks and opens the root, takes the client's connection and puts the sandbox on.
fn open(
    options: Options,
    client: UnixStream,
) -> Result<(Ready, ConnectionId, Option<Offer>), StartError> {
    let Options { mut config, is_confined, is_direct, .. } = options;
    let directory = rustix::fs::openat(CWD, ".", place::DIRECTORY, Mode::empty());
    let Place { directory, path } = place::place(directory.map_err(std::io::Error::from)?)?;
    config.root = path;
    let logs = [config.audit.clone(), config.access_log.clone().map(|log| log.path)];
    let (direct, offer) = is_direct.then(direct::listen).flatten().unzip();
    let ready = Server::at(directory, config, direct).open()?;
    let own = ready.adopt(client, "standard input")?;
    if is_confined {
        let mut reach = Reach::new(ready.root()).working_in(ready.staging());
        for log in logs.iter().flatten() {
            reach = reach.appending(log);
        }
        reach.confine()?;
    }
    Ok((ready, own, offer))
}

/// The socket at standard input, which is free for another use then.
fn take_input(nothing: &File) -> std::io::Result<UnixStream> {
    let client: OwnedFd = rustix::stdio::stdin().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(nothing)?;
    Ok(client.into())
}

/// Why there is no server.
fn failure(error: &StartError) -> Failure {
    let reason = match error {
        StartError::Busy(_) => Reason::Busy,
        StartError::Denied(_) => Reason::Denied,
        _ => Reason::Io,
    };
    Failure::new(reason, error.to_string())
}

/// Tells the process that relays. If it is gone, so is the client.
fn tell(text: &str) {
    let text = text.replace('\n', " ");
    let _ = std::io::stdout().write_all(format!("{text}\n").as_bytes());
    let _ = std::io::stdout().flush();
}

/// Tells the process that relays that it need not wait for anything more.
fn done(nothing: &File) {
    tell(DONE);
    let_go(nothing);
}

/// Lets go of standard output and error, so that whoever reads them waits for nothing more: this process serves others.
fn let_go(nothing: &File) {
    let let_go =
        rustix::stdio::dup2_stdout(nothing).and_then(|()| rustix::stdio::dup2_stderr(nothing));
    if let Err(errno) = let_go {
        tracing::debug!(%errno, "could not let go of standard output and error");
    }
}
