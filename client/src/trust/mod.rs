//! Whom the client trusts: every connection of the client begins here, so nothing is sent to a server whose key is not
//! trusted.
//!
//! In this order: pins of the host, and nothing else if there are any; public authorities; the user, who is asked once.

mod crypto;
mod direct;
pub mod directory;
mod handshake;
pub mod host;
pub mod known;
mod route;
mod verifier;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use haul_protocol::Pin;

use crate::error::trust::{KnownError, OldLink, TrustError};
use crate::net::destination::Server;
use crate::net::transport::Transport;
use directory::Directory;
pub use handshake::Look;
use host::Host;
use known::{Key, Known};
pub use route::{NOTHING, Route};
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

/// The link by whose key a server is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// The server, with the account, as users write both.
    pub(crate) login: String,
    /// Its key.
    pub(crate) pin: Pin,
    /// The user trusts the key on this machine, too.
    pub(crate) is_trusted: bool,
}

/// The rules by which servers are trusted. Clones share what was answered.
///
/// A Unix socket is reached in clear, and so is a server on loopback without pins, if it is called `localhost` or by its address;
/// all others with TLS.
#[derive(Clone)]
#[must_use]
pub struct Trust {
    pins: Pins,
    is_insecure: bool,
    ask: Option<Arc<Ask>>,
    link: Option<Link>,
    authorities: Arc<Authorities>,
    /// Held while somebody is asked: all other connections wait for that answer.
    answers: Arc<Mutex<Vec<(Host, Pin, Answer)>>>,
    /// Servers on loopback that get TLS.
    wanting: Arc<Mutex<Vec<Host>>>,
    /// Servers on loopback that have asked for a login in clear, and may have one.
    asking: Arc<Mutex<Vec<Host>>>,
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

impl Trust {
    fn new(pins: Pins) -> Self {
        Self {
            pins,
            is_insecure: false,
            ask: None,
            link: None,
            authorities: Arc::default(),
            answers: Arc::default(),
            wanting: Arc::default(),
            asking: Arc::default(),
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

    /// By the key of a link, and by nothing else.
    pub(crate) fn link(link: Link) -> Self {
        Self { link: Some(link.clone()), ..Self::pins([link.pin]) }
    }

    /// The error of a server that has another key than these.
    fn changed(&self, host: &Host, keys: &[Key], found: Pin) -> TrustError {
        let server = host.to_string();
        match self.link.clone() {
            Some(Link { login, pin: link, is_trusted }) => {
                TrustError::OldLink(Box::new(OldLink { server, login, link, found, is_trusted }))
            }
            None => TrustError::Changed {
                server,
                known: keys.iter().map(Key::trusted).collect(),
                found,
            },
        }
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
        note(&self.wanting, host);
        true
    }

    /// A server on loopback has asked for a login; returns whether another connection may bring a token in clear.
    pub fn asked_for_login(&self, server: &Server) -> bool {
        let host = Host::of(server).filter(|host| !self.is_insecure && host.is_this_machine());
        let Some(host) = host else { return false };
        note(&self.asking, host);
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
            Answer::No => Err(TrustError::Declined { server, pin }),
            Answer::Key(typed) => Err(TrustError::Other { server, found: pin, typed }),
            Answer::Nobody => Err(unknown()),
        }
    }
}

fn note(hosts: &Mutex<Vec<Host>>, host: Host) {
    let mut hosts = lock(hosts);
    if !hosts.contains(&host) {
        hosts.push(host);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
