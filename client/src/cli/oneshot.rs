//! A few requests without a run around them, and the exit code that they come to.

use std::fmt::Display as Show;
use std::time::Duration;

use haul_protocol::Op;

use super::console::tell;
use super::exit::Reason;
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
    let telling = &mut |error: &dyn Show| tell(&format_args!("haul: {error}"));
    Ok(ask_telling(server, requests, timeout, signals, telling)?.code())
}

/// The same for a caller that tells failures in its own way, and returns the reason for the end.
///
/// # Errors
/// If the system has no room.
pub fn ask_telling(
    server: &Server,
    requests: &[(String, Op)],
    timeout: Duration,
    signals: &Signals,
    telling: &mut dyn FnMut(&dyn Show),
) -> anyhow::Result<Reason> {
    let mut poller = Poller::new()?;
    signals.begin();
    let over = || signals.is_set();
    let (mut reason, mut is_reached) = (Reason::Done, false);
    let mut ask = || -> Result<(), ConnectionError> {
        let mut asking = Asking::connect(server, &mut poller, timeout, &over)?;
        is_reached = true;
        for (about, op) in requests {
            asking.ask(op)?;
            if let Said::Refused(refusal) = asking.answer()?.1 {
                telling(&format_args!("{about}: refused by the server: {refusal}"));
                reason = Reason::Failed;
            }
        }
        Ok(())
    };
    let asked = ask();
    let interrupted = signals.end();
    Ok(match asked {
        Ok(()) => reason,
        Err(_) if interrupted => Reason::Interrupted,
        Err(error) => {
            telling(&error);
            Reason::of(&error, is_reached)
        }
    })
}
