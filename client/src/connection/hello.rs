//! Introducing a connection to its server.

use std::time::{Duration, Instant};

use haul_protocol::{
    Answer, Event, Hello, Publish, ServerHello, ServerLimits, encode,
    limits::{MAX_BODY_LEN, MAX_HEADER_LEN, MAX_PARTED_SIZE, VERSION},
};

use crate::error::{ConnectionError, ProtocolError};
use crate::net::framed::Link;

/// How long a server may take to answer `hello`.
const HELLO: Duration = Duration::from_secs(10);

/// How often it is seen whether anybody still wants the connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Requests that may be unanswered, whatever the server allows: each costs some hundred bytes here.
const WINDOW_REQUESTS: u64 = 16_384;

/// Bytes of unanswered bodies, whatever the server allows: they are sent again if the connection is lost.
const WINDOW_BYTES: u64 = 256 * 1024 * 1024;

/// The longest body that this client sends of its own accord; the server chooses the size of parts.
const LEAST_BODY: u64 = 2 * 1024 * 1024;

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
                let limits = bounded(hello.limits)?;
                return match link.decoder.decode(&mut bytes).map_err(ProtocolError::from)? {
                    Some(Event::End) if bytes.is_empty() => Ok(ServerHello { limits, ..hello }),
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

/// The server's limits, and this client's own where those are lower.
///
/// # Errors
/// If a limit is too small to work with.
fn bounded(announced: ServerLimits) -> Result<ServerLimits, ProtocolError> {
    let ServerLimits { max_header, max_body, window_requests, window_bytes, max_file } = announced;
    for (limit, announced, least) in [
        ("max_header", max_header, MAX_HEADER_LEN as u64),
        ("max_body", max_body, LEAST_BODY),
        ("window_requests", window_requests, 1),
        ("window_bytes", window_bytes, MAX_BODY_LEN),
    ] {
        if announced < least {
            return Err(ProtocolError::Limit { limit, announced, least });
        }
    }
    Ok(ServerLimits {
        max_header: max_header.min(MAX_HEADER_LEN as u64),
        max_body: max_body.min(MAX_BODY_LEN),
        window_requests: window_requests.min(WINDOW_REQUESTS),
        window_bytes: window_bytes.min(WINDOW_BYTES),
        max_file: max_file.min(MAX_PARTED_SIZE),
    })
}

#[cfg(test)]
mod tests {
    use haul_protocol::limits::MAX_NUMBER;

    use super::*;

    #[test]
    fn limits_of_a_server_are_bounded_by_the_clients_own() {
        let all = |value| ServerLimits {
            max_header: value,
            max_body: value,
            window_requests: value,
            window_bytes: value,
            max_file: value,
        };
        let own = bounded(all(MAX_NUMBER)).unwrap();
        assert_eq!((own.window_requests, own.window_bytes), (WINDOW_REQUESTS, WINDOW_BYTES));
        assert_eq!((own.max_body, own.max_file), (MAX_BODY_LEN, MAX_PARTED_SIZE));
        let usual = ServerLimits::default();
        assert_eq!(bounded(usual).unwrap(), usual);
        let error = bounded(ServerLimits { window_requests: 0, ..usual }).unwrap_err();
        assert!(error.to_string().contains("`window_requests` is 0"), "{error}");
        for limits in [
            ServerLimits { window_bytes: MAX_BODY_LEN - 1, ..usual },
            ServerLimits { max_body: LEAST_BODY - 1, ..usual },
            ServerLimits { max_header: 1, ..usual },
        ] {
            assert!(bounded(limits).is_err(), "{limits:?}");
        }
    }
}
