//! Whom the client trusts: every connection of the client begins here, so nothing is sent to a server whose key is not
//! trusted.
//!
//! In this order: pins of the host, and nothing else if there are any; public authorities; the user, who is asked once.

mod crypto;
pub mod directory;
mod handshake;
pub mod host;
pub mod known;
mod verifier;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use haul_protocol::Pin;

use crate::error::ConnectionError;
use crate::error::trust::{KnownError, TrustError};
use crate::net::connect::connect;
use crate::net::destination::Server;
use crate::net::poller::Poller;
use crate::net::transport::{Secrecy, Socket, Transport};
use directory::Directory;
pub use handshake::Look;
use host::Host;
use known::{Key, Known};
use verifier::Authorities;

/// A server whose key nobody has vouched for; it has proved that it has the key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stranger {
    /// Its host and port.
    pub server: String,
    /// Its key.
    pub pin: Pin,
    /// The reason why no authority vouches for it, if it has a certificate of one.
    pub why: Option<String>,
}

/// The answer to the question whether a stranger is to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// From now on.
    Yes,
    /// Not now.
    No,
    /// If this is the key.
    Key(Pin),
    /// There is nobody to ask.
    Nobody,
}

type Ask = dyn Fn(&Stranger) -> Answer + Send + Sync;

/// The rules by which servers are trusted. Clones share what was answered.
///
/// A Unix socket, and a server on loopback without pins, is reached in clear; all others with TLS.
#[derive(Clone)]
#[must_use]
pub struct Trust {
    pins: Pins,
    is_insecure: bool,
    ask: Option<Arc<Ask>>,
    authorities: Arc<Authorities>,
    /// Held while somebody is asked: all other connections wait for that answer.
    answers: Arc<Mutex<Vec<(Host, Pin, Answer)>>>,
    /// Servers on loopback that want TLS.
    wanting: Arc<Mutex<Vec<Host>>>,
}

/// Where the pins are.
#[derive(Debug, Clone)]
enum Pins {
    /// In the user's file.
    User,
    /// In a file of this directory.
    In(Directory),
    /// Here, for whatever host.
    Given(Vec<Pin>),
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pins, is_insecure, .. } = self;
        f.debug_struct("Trust")
            .field("pins", pins)
            .field("is_insecure", is_insecure)
            .finish_non_exhaustive()
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self::of_user()
    }
}

/// A way to a server.
#[derive(Clone, Copy)]
pub struct Route<'a> {
    /// The server.
    pub server: &'a Server,
    /// The rules by which it is trusted.
    pub trust: &'a Trust,
    /// Time that it may be silent.
    pub timeout: Duration,
    /// Whether nobody wants the connection any more.
    pub over: &'a dyn Fn() -> bool,
    /// Prepares each socket that is connected.
    pub prepare: &'a dyn Fn(&Socket),
}

impl fmt::Debug for Route<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route").field("server", self.server).finish_non_exhaustive()
    }
}

/// Nothing is to be prepared.
pub const NOTHING: &dyn Fn(&Socket) = &|_| ();

impl Trust {
    fn new(pins: Pins) -> Self {
        Self {
            pins,
            is_insecure: false,
            ask: None,
            authorities: Arc::default(),
            answers: Arc::default(),
            wanting: Arc::default(),
        }
    }

    /// By the user's file `known_servers`, in `HAUL_CONFIG_DIR` or the system's place for such files; and then by
    /// public authorities. Nobody is asked.
    pub fn of_user() -> Self {
        Self::new(Pins::User)
    }

    /// By the file `known_servers` in a directory, which is made when a key is to be kept; and then by public authorities.
    pub fn in_directory(directory: impl Into<std::path::PathBuf>) -> Self {
        Self::new(Pins::In(Directory::at(directory)))
    }

    /// By these keys, and by nothing else if there are any; no file is read or written.
    pub fn pins(pins: impl IntoIterator<Item = Pin>) -> Self {
        Self::new(Pins::Given(pins.into_iter().collect()))
    }

    /// Asks about a server that nobody vouches for, one question at a time, and once for all connections of a run. The
    /// thread of a connection waits for the answer.
    pub fn ask(self, ask: impl Fn(&Stranger) -> Answer + Send + Sync + 'static) -> Self {
        Self { ask: Some(Arc::new(ask)), ..self }
    }

    /// Reaches every server in clear: everybody on the way can read and change what is sent.
    pub fn insecure(self) -> Self {
        Self { is_insecure: true, ..self }
    }

    /// Whether everything is sent in clear, as the user wants it.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.is_insecure
    }

    /// The directory of the keys, if they are in a file.
    fn directory(&self) -> Option<Result<Directory, KnownError>> {
        match &self.pins {
            Pins::User => Some(Directory::of_user()),
            Pins::In(directory) => Some(Ok(directory.clone())),
            Pins::Given(_) => None,
        }
    }

    /// The keys of a host.
    fn keys(&self, host: &Host) -> Result<Vec<Key>, KnownError> {
        let key = |pin: &Pin| Key { host: host.clone(), pin: *pin, since: None, of: None };
        if let Pins::Given(pins) = &self.pins {
            let answers = lock(&self.answers);
            let accepted = answers.iter().filter(|(of, ..)| of == host);
            let accepted = accepted.filter(|(.., answer)| *answer == Answer::Yes);
            return Ok(pins.iter().chain(accepted.map(|(_, pin, _)| pin)).map(key).collect());
        }
        match self.directory() {
            // A user without any directory has no file.
            Some(Err(KnownError::NoDirectory)) | None => Ok(Vec::new()),
            Some(directory) => Known::load(&directory?)?.keys(host),
        }
    }

    /// Keeps a change of the keys, if they are in a file.
    fn change(&self, change: impl FnOnce(&mut Known)) -> Result<(), KnownError> {
        match self.directory() {
            Some(directory) => Known::change(&directory?, change),
            None => Ok(()),
        }
    }

    /// A server on loopback takes only TLS; returns whether it gets that from now on.
    pub fn wants_tls(&self, server: &Server) -> bool {
        let Some(host) = Host::of(server).filter(|_| !self.is_insecure) else { return false };
        let mut wanting = lock(&self.wanting);
        if !wanting.contains(&host) {
            wanting.push(host);
        }
        true
    }

    /// The server has answered `hello` and announced the key that it will have next, or none. Only a server that was
    /// verified by its pin is heard.
    pub fn announced(&self, server: &Server, transport: &Transport, next: Option<Pin>) {
        let (Some(host), Some(of)) = (Host::of(server), transport.pinned()) else { return };
        let Some(Ok(directory)) = self.directory() else { return };
        if Known::load(&directory).is_ok_and(|known| known.is_news(&host, of, next)) {
            // A key that is not noted now is announced again by the next connection.
            let _ = Known::change(&directory, |known| known.announce(&host, of, next));
        }
    }

    /// Whether a stranger is trusted from now on; the first connection asks, and all others have its answer.
    fn judge(&self, host: &Host, stranger: &Stranger) -> Result<(), TrustError> {
        let Stranger { server, pin, why } = stranger.clone();
        let unknown = || TrustError::Unknown { server: server.clone(), pin, why };
        let Some(ask) = &self.ask else { return Err(unknown()) };
        let mut answers = lock(&self.answers);
        let known = answers.iter().find(|(of, key, _)| of == host && *key == pin);
        let answer = match known {
            Some((.., answer)) => *answer,
            None => {
                let answer = ask(stranger);
                let answer = if answer == Answer::Key(pin) { Answer::Yes } else { answer };
                if answer == Answer::Yes {
                    self.change(|known| known.add(host, pin))?;
                }
                answers.push((host.clone(), pin, answer));
                answer
            }
        };
        match answer {
            Answer::Yes => Ok(()),
            Answer::No => Err(TrustError::Declined { server }),
            Answer::Key(typed) => Err(TrustError::Other { server, found: pin, typed }),
            Answer::Nobody => Err(unknown()),
        }
    }
}

impl Route<'_> {
    /// Connects, and sees to it that the server may be sent something.
    ///
    /// # Errors
    /// If the server can't be reached or is not trusted, or nobody wants the connection any more.
    pub fn connect(&self, poller: &mut Poller) -> Result<Transport, ConnectionError> {
        let Self { server, trust, timeout, over, prepare } = *self;
        loop {
            let host = Host::of(server);
            let keys = match &host {
                Some(host) if !trust.is_insecure => trust.keys(host).map_err(TrustError::Known)?,
                _ => Vec::new(),
            };
            let socket = connect(server, timeout, poller, over)?;
            prepare(&socket);
            let Some(host) = host else {
                return Ok(Transport::plain(socket, Secrecy::Local));
            };
            if trust.is_insecure {
                return Ok(Transport::plain(socket, Secrecy::Clear));
            }
            let address = socket.peer();
            let is_local = address.is_some_and(|address| address.to_canonical().is_loopback());
            if is_local && keys.is_empty() && !lock(&trust.wanting).contains(&host) {
                return Ok(Transport::plain(socket, Secrecy::Local));
            }
            let address = address.unwrap_or(IpAddr::from([0, 0, 0, 0]));
            if let Some(transport) = self.encrypted(&host, &keys, (socket, address), poller)? {
                return Ok(transport);
            }
            // The user trusts the server now.
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
