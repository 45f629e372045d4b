//! Introducing a connection to its server.

use std::io;
use std::time::Duration;

use haul_protocol::{ClientEvent, Code, Hello, Publish, Right, ServerHello, limits::VERSION};

use crate::credentials::{Login, Need};
use crate::error::{ConnectionError, ProtocolError};
use crate::net::transport::Transport;
use crate::net::wire::Wire;

/// Time between two looks whether anybody still wants the connection.
const PAUSE: Duration = Duration::from_millis(100);

/// The owner of a connection.
pub(crate) struct Who<'a> {
    /// The account, and its token.
    pub(crate) login: &'a Login,
    /// The rights that the command can't do without.
    pub(crate) needs: &'a [Need],
    /// Random for each run.
    pub(crate) client: &'a str,
    /// The same in all runs of this user; only who uploads large files needs one.
    pub(crate) identity: Option<&'a str>,
    /// The next version of a directory that it is about.
    pub(crate) publish: Option<Publish>,
    /// Its number at the server.
    pub(crate) slot: usize,
}

impl Who<'_> {
    /// The first words of a connection over this transport. Every connection of every command has them from here, and here
    /// alone a token is given away: never where others can read it.
    pub(super) fn hello(&self, transport: &Transport) -> Hello {
        Hello {
            version: VERSION,
            agent: concat!("haul/", env!("CARGO_PKG_VERSION")).to_owned(),
            client: self.client.to_owned(),
            slot: self.slot as u64,
            identity: self.identity.map(str::to_owned),
            // A server that does not know it would take the names for others.
            must: self.publish.iter().map(|_| String::from("publish")).collect(),
            publish: self.publish.clone(),
            token: match transport.invitation() {
                Some(token) => Some(token.clone()),
                None => self.login.token().filter(|_| transport.may_carry_token()).cloned(),
            },
        }
    }

    /// The error of a server that has refused this `hello`: if a code is about the directory, it is no error of the
    /// connection.
    pub(super) fn refused(&self, error: ConnectionError, transport: &Transport) -> ConnectionError {
        let is_sent = transport.may_carry_token() && self.login.token().is_some();
        match (error, &self.publish) {
            // No account is at stake, but the way.
            (error, _) if transport.invitation().is_some() => error,
            // The server names no right, and `hello` needs this one alone.
            (ConnectionError::Ended(refusal), Some(_)) if refusal.code == Code::Forbidden => {
                self.login.lacking(None, (Right::Publish, "publish"))
            }
            (ConnectionError::Ended(refusal), Some(publish)) if is_of_a_request(&refusal.code) => {
                ConnectionError::NotPublished { name: publish.name.clone(), refusal }
            }
            (ConnectionError::Ended(refusal), _) => self.login.ended(refusal, is_sent, false),
            (ConnectionError::ClosedAtHello, _) if is_sent => ConnectionError::ClosedAtLogin,
            (error, _) => error,
        }
    }
}

/// Whether a server refuses a request with this code, and not only a connection.
fn is_of_a_request(code: &Code) -> bool {
    !matches!(
        code,
        Code::Malformed
            | Code::Version
            | Code::Unsupported
            | Code::BadId
            | Code::Window
            | Code::Timeout
            | Code::ShuttingDown
            | Code::Fenced
            | Code::Unauthorized
            | Code::Tls
            | Code::RootGone
    )
}

/// Sends `hello` and waits for the server's answer.
///
/// # Errors
/// If it is no server for us, or is lost; [`ConnectionError::Stopped`] if nothing is left to do.
pub(super) fn greeted<T>(
    wire: &mut Wire<'_, T>,
    over: &dyn Fn() -> bool,
) -> Result<ServerHello, ConnectionError> {
    let mut input = vec![0; 64 * 1024];
    loop {
        if over() {
            return Err(ConnectionError::Stopped);
        }
        let wrote = wire.write();
        let len = match wire.read(&mut input) {
            Ok(len) => len,
            Err(ConnectionError::Closed) => return Err(ConnectionError::ClosedAtHello),
            // So ends a server that has not read all of `hello`.
            Err(ConnectionError::Lost(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(ConnectionError::ClosedAtHello);
            }
            Err(error) => return Err(error),
        };
        wrote?;
        let mut bytes = &input[..len];
        match wire.receive(&mut bytes)? {
            // Nothing else was asked yet, so nothing else may follow.
            Some(ClientEvent::Greeted(hello)) => {
                return match wire.receive(&mut bytes)? {
                    None => Ok(*hello),
                    Some(_) => Err(ProtocolError::Kind.into()),
                };
            }
            Some(ClientEvent::Ended(refusal)) => return Err(ConnectionError::Ended(refusal)),
            Some(_) => return Err(ProtocolError::Kind.into()),
            None if len > 0 => continue,
            None => {}
        }
        let left = wire.expire()?;
        wire.sleep(left.min(PAUSE))?;
    }
}
