//! Introducing a connection to its server.

use std::time::{Duration, Instant};

use haul_protocol::{
    Answer, Event, Hello, Publish, ServerHello, encode,
    limits::{MAX_BODY_LEN, VERSION},
};

use super::link::Link;
use crate::error::{ConnectionError, ProtocolError};

/// How long a server may take to answer `hello`.
const HELLO: Duration = Duration::from_secs(10);

/// How often it is seen whether anybody still wants the connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Who a connection belongs to.
pub(super) struct Who<'a> {
    /// Random for each run.
    pub(super) client: &'a str,
    /// The same in all runs of this user; only who uploads large files needs one.
    pub(super) identity: Option<&'a str>,
    /// The next version of a directory that it is about.
    pub(super) publish: Option<Publish>,
    /// What the server knows the connection by.
    pub(super) slot: usize,
}

/// Introduces the client and waits for the server's answer.
///
/// # Errors
/// If it is no server for us, or is lost; [`ConnectionError::Stopped`] if nothing is left to do.
pub(super) fn hello(
    link: &mut Link<'_>,
    who: &Who<'_>,
    over: &dyn Fn() -> bool,
) -> Result<ServerHello, ConnectionError> {
    let hello = Hello {
        version: VERSION,
        agent: concat!("haul/", env!("CARGO_PKG_VERSION")).to_owned(),
        client: who.client.to_owned(),
        slot: who.slot as u64,
        identity: who.identity.map(str::to_owned),
        // A server that does not know it would take the names for others.
        must: who.publish.iter().map(|_| String::from("publish")).collect(),
        publish: who.publish.clone(),
    };
    encode::hello(&hello, link.out())?;
    let deadline = Instant::now() + HELLO;
    let mut input = vec![0; 64 * 1024];
    loop {
        if over() {
            return Err(ConnectionError::Stopped);
        }
        let wrote = link.write();
        let len = match link.read(&mut input) {
            Ok(len) => len,
            Err(ConnectionError::Closed) => return Err(ConnectionError::ClosedAtHello),
            Err(error) => return Err(error),
        };
        wrote?;
        let mut bytes = &input[..len];
        match link.decoder.decode(&mut bytes).map_err(ConnectionError::NotHaul)? {
            Some(Event::Header(Answer::Hello(hello))) => {
                let limits = &hello.limits;
                if limits.window_requests == 0 || limits.window_bytes < MAX_BODY_LEN {
                    return Err(ProtocolError::Limits.into());
                }
                return match link.decoder.decode(&mut bytes).map_err(ProtocolError::from)? {
                    Some(Event::End) if bytes.is_empty() => Ok(hello),
                    _ => Err(ProtocolError::Kind.into()),
                };
            }
            Some(Event::Header(Answer::Refused { refusal, .. })) => {
                return Err(ConnectionError::Ended(refusal));
            }
            Some(_) => return Err(ProtocolError::Kind.into()),
            None if len > 0 => continue,
            None => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ConnectionError::NoHello(HELLO.as_secs()));
        }
        link.sleep(left.min(PAUSE))?;
    }
}
