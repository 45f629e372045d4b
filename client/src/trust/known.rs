//! `known_servers`: the keys of servers that the user trusts, one a line: `HOST:PORT haul1-… since=2026-11-27`.
//!
//! One server may have several lines. A line with `next=` has the key that a server has announced for later, over a
//! connection that was verified by the key behind `of=`. Lines and fields that haul does not know stay as they are.

use std::fs;
use std::io;
use std::path::PathBuf;

use haul_protocol::Pin;

use super::directory::Directory;
use super::host::Host;
use crate::error::trust::{KnownError, Trusted};

/// The name of the file.
const NAME: &str = "known_servers";

/// The file, as it was read.
#[derive(Debug)]
pub struct Known {
    path: PathBuf,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    /// As it is in the file, without its end.
    text: Vec<u8>,
    means: Means,
}

#[derive(Debug)]
enum Means {
    /// A comment, nothing, or a line of which haul does not know the meaning.
    Nothing,
    Key(Key),
    /// The server's key can't be read.
    Unreadable(Host, String),
}

/// A trusted key of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The server.
    pub host: Host,
    /// The key.
    pub pin: Pin,
    /// The day from which the user trusts it.
    pub since: Option<String>,
    /// The key that has announced this one for later.
    pub of: Option<Pin>,
}

impl Key {
    /// As errors tell it.
    #[must_use]
    pub fn trusted(&self) -> Trusted {
        Trusted { pin: self.pin, since: self.since.clone() }
    }

    fn line(&self) -> Line {
        let Self { host, pin, since, of } = self;
        let mut text = format!("{host} {pin}");
        match of {
            Some(of) => text += &format!(" next={} of={of}", today()),
            None => text += &since.iter().map(|day| format!(" since={day}")).collect::<String>(),
        }
        Line { text: text.into_bytes(), means: Means::Key(self.clone()) }
    }
}

/// The day in Greenwich.
fn today() -> String {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

impl Known {
    /// Reads the file; one that is not there has no keys.
    ///
    /// # Errors
    /// If the system does not let it.
    pub fn load(directory: &Directory) -> Result<Self, KnownError> {
        let path = directory.file(NAME);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(_) if directory.is_closed() => Vec::new(),
            read => read.map_err(KnownError::io("read", &path))?,
        };
        let mut lines: Vec<_> = text.split(|byte| *byte == b'\n').map(Line::read).collect();
        // Behind the last line's end.
        lines.pop_if(|line| line.text.is_empty());
        Ok(Self { path, lines })
    }

    /// Changes the file, while no other process does.
    ///
    /// # Errors
    /// If the system does not let it; the file stays as it was.
    pub fn change<T>(
        directory: &Directory,
        change: impl FnOnce(&mut Self) -> T,
    ) -> Result<T, KnownError> {
        let locked = directory.lock()?;
        let mut known = Self::load(directory)?;
        let before = known.text();
        let result = change(&mut known);
        let after = known.text();
        if before != after {
            locked.replace(NAME, &after)?;
        }
        Ok(result)
    }

    fn text(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| line.text.iter().copied().chain(*b"\n")).collect()
    }

    /// All keys that can be read, in the order of the file.
    pub fn all(&self) -> impl Iterator<Item = &Key> {
        self.lines.iter().filter_map(|line| match &line.means {
            Means::Key(key) => Some(key),
            _ => None,
        })
    }

    /// The keys of one server.
    ///
    /// # Errors
    /// If the server has lines and none of them can be read: without them, an authority could vouch for another key.
    pub fn keys(&self, host: &Host) -> Result<Vec<Key>, KnownError> {
        let keys: Vec<_> = self.all().filter(|key| key.host == *host).cloned().collect();
        let unreadable = self.lines.iter().zip(1..).find_map(|(line, number)| match &line.means {
            Means::Unreadable(of, why) if of == host => Some((number, why.clone())),
            _ => None,
        });
        match unreadable {
            Some((line, why)) if keys.is_empty() => {
                let (path, server) = (self.path.clone(), host.to_string());
                Err(KnownError::Line { path, line, server, why })
            }
            _ => Ok(keys),
        }
    }

    /// Trusts one more key of a server. A key that is there stays as it is, unless it was announced for later.
    pub fn add(&mut self, host: &Host, pin: Pin) {
        let is_there = |key: &Key| key.host == *host && key.pin == pin;
        if !self.all().any(|key| is_there(key) && key.of.is_none()) {
            self.drop_keys(is_there);
            let since = Some(today());
            self.lines.push(Key { host: host.clone(), pin, since, of: None }.line());
        }
    }

    /// Trusts this key of a server, and no other one.
    pub fn replace(&mut self, host: &Host, pin: Pin) {
        self.lines.retain(|line| !matches!(&line.means, Means::Unreadable(of, _) if of == host));
        self.drop_keys(|key| key.host == *host && key.pin != pin);
        self.add(host, pin);
    }

    /// Trusts keys of a server no more: this one, or all. Returns the number of keys.
    pub fn remove(&mut self, host: &Host, pin: Option<Pin>) -> usize {
        let before = self.lines.len();
        let is_meant = |key: &Key| key.host == *host && pin.is_none_or(|pin| key.pin == pin);
        self.drop_keys(is_meant);
        self.lines.retain(|line| match &line.means {
            Means::Unreadable(of, _) => of != host || pin.is_some(),
            _ => true,
        });
        before - self.lines.len()
    }

    /// The server, which has the key `of`, announces its next key, or none. An announcement that it does not repeat is
    /// withdrawn.
    pub fn announce(&mut self, host: &Host, of: Pin, next: Option<Pin>) {
        let is_of = |key: &Key| key.host == *host && key.of == Some(of);
        self.drop_keys(|key| is_of(key) && Some(key.pin) != next);
        if let Some(pin) = next
            && !self.all().any(|key| key.host == *host && key.pin == pin)
        {
            self.lines.push(Key { host: host.clone(), pin, since: None, of: Some(of) }.line());
        }
    }

    /// Whether an announcement would change anything.
    #[must_use]
    pub fn is_news(&self, host: &Host, of: Pin, next: Option<Pin>) -> bool {
        let mut of_host = self.all().filter(|key| key.host == *host);
        match next {
            Some(pin) => !of_host.any(|key| key.pin == pin),
            None => of_host.any(|key| key.of == Some(of)),
        }
    }

    /// The server has the key that it has announced: the key before is trusted no more.
    pub fn arrived(&mut self, host: &Host, pin: Pin) {
        let announced = self.all().find(|key| key.host == *host && key.pin == pin).cloned();
        if let Some(Key { of: Some(of), .. }) = announced {
            self.drop_keys(|key| key.host == *host && key.pin == of);
            self.add(host, pin);
        }
    }

    fn drop_keys(&mut self, is_meant: impl Fn(&Key) -> bool) {
        self.lines.retain(|line| !matches!(&line.means, Means::Key(key) if is_meant(key)));
    }
}

impl Line {
    fn read(text: &[u8]) -> Self {
        Self { text: text.to_owned(), means: Means::read(text) }
    }
}

impl Means {
    fn read(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let text = text.trim_start_matches('\u{feff}').trim();
        let mut words = text.split_whitespace();
        let Some(host) = words.next().filter(|word| !word.starts_with('#')) else {
            return Self::Nothing;
        };
        let Some(host) = Host::parse(host) else { return Self::Nothing };
        let word = words.next().unwrap_or_default();
        let pin = match word.parse::<Pin>() {
            Ok(pin) => pin,
            Err(error) => return Self::Unreadable(host, error.to_string()),
        };
        let (mut since, mut of, mut is_next) = (None, None, false);
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            match name {
                "since" => since = Some(value.to_owned()),
                "of" => of = value.parse().ok(),
                "next" => is_next = true,
                _ => {}
            }
        }
        // A key for later whose announcer can't be read takes no other key's place when it comes.
        Self::Key(Key { host, pin, since, of: of.filter(|_| is_next) })
    }
}
