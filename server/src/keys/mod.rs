//! The server's key and certificate: made, read, told by their pin, and replaced while the server runs.

mod certificate;
pub(crate) mod directory;
pub(crate) mod passing;
mod resolver;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haul_protocol::Pin;
use rustls::ServerConfig;
use thiserror::Error;

use crate::locks::{Rank, RwLock};
use certificate::Certified;
pub(crate) use certificate::Vouched;
use directory::Directory;
use resolver::Current;

/// The fewest bits of a key of RSA.
const LEAST_RSA: usize = 2048;

/// A key or a certificate can't be had.
#[derive(Debug, Error)]
pub enum KeyError {
    /// A file can't be read or written.
    #[error("{file}: {1}", file = .0.display())]
    File(PathBuf, #[source] io::Error),
    /// Others than the owner may read the key.
    #[error("{}: others can read this key, so it is no secret; `chmod 600` it if nobody has", .0.display())]
    Public(PathBuf),
    /// Neither the server's user nor root owns the key.
    #[error("{}: another user owns this key", .0.display())]
    Foreign(PathBuf),
    /// The text in a file is no key or no certificate.
    #[error("{file}: {1}", file = .0.display())]
    Content(PathBuf, String),
    /// A certificate is that of another key.
    #[error("{}: this certificate is not that of the key in {}", .0.display(), .1.display())]
    Mismatch(PathBuf, PathBuf),
    /// Clients trust no certificate of this key.
    #[error(
        "{file}: the key of this certificate has {1} bits, with which nobody can trust it; a key of RSA needs {LEAST_RSA}",
        file = .0.display()
    )]
    Weak(PathBuf, usize),
    /// There is no next key to switch to.
    #[error("{}: there is no next key; `hauld key next` makes one", .0.display())]
    NoNext(PathBuf),
    /// Nobody has said where keys are.
    #[error("there is no place for the key; name one with --config-dir DIR")]
    NoDirectory,
    /// The directory of the key is one that clients write to.
    #[error("{}: clients may not reach the directory of the key; choose another one than the root with --config-dir", .0.display())]
    InRoot(PathBuf),
    /// The system gives no key or no certificate.
    #[error("could not make a certificate: {0}")]
    Make(String),
}

/// The files that key and certificate come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The server has made both.
    Own(Directory),
    /// An authority vouches for them.
    Given {
        /// Certificates, the server's own one first.
        chain: PathBuf,
        /// The private key of the first one.
        key: PathBuf,
    },
}

/// The key that the server shows new connections, and the one that it announces.
#[derive(Debug)]
pub(crate) struct Keys {
    source: Source,
    current: Arc<Current>,
    next: RwLock<Option<Pin>>,
    at_start: Vec<certificate::Stamp>,
}

/// The state of the files when they were last looked at. The thread that looks has it.
#[derive(Debug)]
pub(crate) struct Seen {
    stamps: Vec<certificate::Stamp>,
    /// A file could not be read then: all are read again, changed or not.
    has_failed: bool,
    /// The day for which the end of the certificate was told.
    told_on: i64,
}

impl Keys {
    /// Reads both. The server's own ones are made if they are missing.
    pub(crate) fn open(source: Source) -> Result<Self, KeyError> {
        // Before they are read: what changes meanwhile is read once more.
        let at_start = source.stamps();
        let certified = source.load()?;
        let next = RwLock::new(Rank::NextPin, source.next());
        Ok(Self { source, current: Arc::new(Current::new(certified)), next, at_start })
    }

    /// The state of the files.
    pub(crate) fn state(&self) -> impl PartialEq + use<> {
        self.source.stamps()
    }

    /// The state of the files at the start.
    pub(crate) fn seen(&self) -> Seen {
        Seen { stamps: self.at_start.clone(), has_failed: false, told_on: 0 }
    }

    /// The configuration of all TLS connections. New ones see the present key.
    pub(crate) fn tls(&self) -> Result<Arc<ServerConfig>, KeyError> {
        resolver::config(Arc::clone(&self.current))
            .map_err(|error| KeyError::Make(error.to_string()))
    }

    /// The pin of the present key.
    pub(crate) fn pin(&self) -> Pin {
        self.current.get().pin
    }

    /// The pin of the key that comes next, if there is one, for a client that came when the server had the key `at_start`. It
    /// may have been shown that key and ask only now: the key that has come since is its next one.
    pub(crate) fn next_pin(&self, at_start: Pin) -> Option<Pin> {
        let next = *self.next.read();
        Some(self.pin()).filter(|present| *present != at_start).or(next)
    }

    /// Looks at the files, and takes them if they have changed. A pair that does not fit together, as when only one of both is
    /// written, changes nothing, and is told once.
    pub(crate) fn look(&self, seen: &mut Seen) {
        let stamps = self.source.stamps();
        let has_changed = stamps != seen.stamps;
        let next = has_changed.then(|| self.source.next());
        if has_changed {
            seen.stamps = stamps;
        }
        let is_due = self.current.get().is_due_for_renewal();
        let renews = is_due && matches!(self.source, Source::Own(_));
        if has_changed || seen.has_failed || renews {
            let loaded = self.source.load_again();
            seen.has_failed = matches!(loaded, Err(KeyError::File(..)));
            match loaded {
                Ok(certified) if certified.same_as(&self.current.get()) => {}
                Ok(certified) => {
                    tracing::info!(key = %certified.pin, "new connections see the new certificate");
                    self.current.set(certified);
                }
                Err(error) if has_changed => {
                    tracing::warn!(%error, "the certificate on the disk is not taken; the one before stays");
                }
                Err(_) => {}
            }
        }
        // Not before: a client that is shown the key before, and is told of no other, would not know this one when it comes.
        if let Some(next) = next {
            *self.next.write() = next;
        }
        self.tell_the_end(seen);
    }

    /// Warns once a day if the certificate of an authority ends soon.
    fn tell_the_end(&self, seen: &mut Seen) {
        let today = certificate::today();
        if seen.told_on == today {
            return;
        }
        seen.told_on = today;
        let certified = self.current.get();
        if matches!(self.source, Source::Given { .. })
            && let Some(days) = certified.days_left().filter(|days| *days < certificate::SOON)
        {
            match days {
                0.. => tracing::warn!(days, "the certificate ends soon"),
                _ => tracing::warn!(
                    "the certificate is over: clients that trust authorities refuse it"
                ),
            }
        }
    }
}

impl Source {
    fn load(&self) -> Result<Certified, KeyError> {
        match self {
            Self::Own(directory) => directory.load(),
            Self::Given { chain, key } => {
                let certified = Certified::read(chain, key)?;
                if certificate::is_public(key) {
                    tracing::warn!(key = %key.display(), "every user of this machine can read this key");
                }
                for fault in certified.faults() {
                    tracing::warn!(
                        certificate = %chain.display(),
                        "the certificate {fault}: clients that trust authorities refuse it"
                    );
                }
                Ok(certified)
            }
        }
    }

    /// As [`load`](Self::load), for a server that runs: it makes no other key if its own one is gone.
    fn load_again(&self) -> Result<Certified, KeyError> {
        match self {
            Self::Own(directory) => {
                directory.look_for_key()?;
                directory.load()
            }
            Self::Given { .. } => self.load(),
        }
    }

    fn next(&self) -> Option<Pin> {
        match self {
            Self::Own(directory) => directory.next_pin().unwrap_or_else(|error| {
                tracing::warn!(%error, "the next key is not announced");
                None
            }),
            Self::Given { .. } => None,
        }
    }

    fn stamps(&self) -> Vec<certificate::Stamp> {
        let stamp = |path: &Path| certificate::stamp(path);
        match self {
            Self::Own(directory) => directory.files().iter().map(|path| stamp(path)).collect(),
            Self::Given { chain, key } => vec![stamp(chain), stamp(key)],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_that_could_not_be_read_are_read_again_though_they_have_not_changed() {
        let place = tempfile::TempDir::new().unwrap();
        let other = tempfile::TempDir::new().unwrap();
        let next = Directory::new(other.path());
        let pin = next.pin().unwrap();
        let directory = Directory::new(place.path());
        let key = directory.files()[0].clone();
        let keys = Keys::open(Source::Own(directory)).unwrap();
        let (mut seen, first) = (keys.seen(), keys.pin());
        keys.look(&mut seen);
        fs::remove_file(&key).unwrap();
        keys.look(&mut seen);
        assert!(seen.has_failed && keys.pin() == first);
        fs::rename(&next.files()[0], &key).unwrap();
        seen.stamps = keys.source.stamps();
        keys.look(&mut seen);
        assert!(!seen.has_failed && keys.pin() == pin);
    }

    #[test]
    fn key_that_has_come_is_the_next_one_of_clients_that_came_before() {
        let place = tempfile::TempDir::new().unwrap();
        let directory = || Directory::new(place.path());
        let keys = Keys::open(Source::Own(directory())).unwrap();
        let (mut seen, first) = (keys.seen(), keys.pin());
        let next = directory().make_next().unwrap();
        assert_eq!(keys.next_pin(first), None);
        keys.look(&mut seen);
        assert_eq!(keys.next_pin(first), Some(next));
        directory().switch().unwrap();
        keys.look(&mut seen);
        assert_eq!((keys.next_pin(first), keys.next_pin(next)), (Some(next), None));
    }
}
