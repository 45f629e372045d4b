//! A few requests without a run around them, and the exit code that they come to.

use std::time::Duration;

use haul_protocol::Op;

use super::console::tell;
use super::exit;
use super::signals::Signals;
use crate::connection::rpc::{Asking, Said};
use crate::error::ConnectionError;
use crate::net::destination::Server;
use crate::net::poller::Poller;

/// Sends one request after the other. The server may be silent for `timeout`; one whose disk is slow says so every few
/// seconds. A refusal is told with the name that it is about.
///
/// # Errors
/// If the system has no room.
pub fn ask(
    server: &Server,
    requests: &[(String, Op)],
    timeout: Duration,
    signals: &Signals,
) -> anyhow::Result<u8> {
    let mut poller = Poller::new()?;
    signals.begin();
    let over = || signals.is_set();
    let mut code = exit::OK;
    let mut ask = || -> Result<(), ConnectionError> {
        let mut asking = Asking::connect(server, &mut poller, timeout, &over)?;
        for (about, op) in requests {
            asking.ask(op)?;
            if let Said::Refused(refusal) = asking.answer()?.1 {
                tell(&format_args!("haul: {about}: refused by the server: {refusal}"));
                code = exit::FAILED;
            }
        }
        Ok(())
    };
    let asked = ask();
    let interrupted = signals.end();
    Ok(match asked {
        Ok(()) => code,
        Err(_) if interrupted => exit::INTERRUPTED,
        Err(error) => {
            tell(&format_args!("haul: {error}"));
            exit::UNREACHABLE
        }
    })
}
