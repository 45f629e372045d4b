//! The one way to a server: every connection of the client, for a run or for a few questions, is connected, trusted and
//! introduced here.

use haul_protocol::{Code, ServerHello};

use super::hello::{Who, greeted};
use crate::error::ConnectionError;
use crate::net::destination::Server;
use crate::net::poller::Poller;
use crate::net::rate_limit::Limit;
use crate::net::transport::Transport;
use crate::net::wire::Wire;
use crate::trust::{Route, Trust};

/// Connects and introduces the client; returns the connection and the server's answer.
///
/// # Errors
/// If there is no haul server, or it is not trusted, or it wants no connection or no such login, or nobody wants it any more.
pub(crate) fn reach<'a, T>(
    route: Route<'_>,
    who: &Who<'_>,
    poller: &'a mut Poller,
    limit: Option<&'a Limit>,
) -> Result<(Wire<'a, T>, ServerHello), ConnectionError> {
    let Route { server, trust, timeout, over, .. } = route;
    let transport = route.connect(poller)?;
    let hello = who.hello(&transport);
    let mut wire = Wire::new(transport, poller, &hello, timeout, limit)?;
    let mut answer = greeted(&mut wire, over);
    // A server on loopback is asked in clear and without a token, and may want TLS or a login even there.
    if let Err(ConnectionError::Ended(refusal)) = &answer
        && !wire.transport().is_encrypted()
        && begins_again(&refusal.code, who, wire.transport(), trust, server)
    {
        let connect = |poller: &mut Poller| route.connect(poller);
        wire.begin_again(connect, |transport| who.hello(transport), timeout)?;
        answer = greeted(&mut wire, over);
    }
    let hello = answer.map_err(|error| who.refused(error, wire.transport()))?;
    who.login.check(hello.account.as_ref(), who.needs)?;
    trust.announced(server, wire.transport(), hello.next_pin);
    Ok((wire, hello))
}

/// Whether another connection may get what this one, in clear, was refused with this code.
fn begins_again(
    code: &Code,
    who: &Who<'_>,
    transport: &Transport,
    trust: &Trust,
    server: &Server,
) -> bool {
    match code {
        Code::Tls => trust.wants_tls(server),
        Code::Unauthorized => {
            let has_held_back = who.login.token().is_some() && !transport.may_carry_token();
            has_held_back && trust.asked_for_login(server)
        }
        _ => false,
    }
}
