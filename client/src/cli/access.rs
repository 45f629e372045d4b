//! The way of a command to its server: the login, and the rules by which the server is trusted. While a token is in memory, no
//! core dump of the process is written.

use haul_protocol::Pin;
use indicatif::ProgressBar;

use super::ask;
use super::signals::Signals;
use crate::credentials::Login;
use crate::error::credentials::CredentialsError;
use crate::error::trust::TrustError;
use crate::net::destination::Destination;
use crate::trust::directory::Directory;
use crate::trust::host::Host;
use crate::trust::known::{Key, Known};
use crate::trust::{Link, Trust};

/// The rules by which the server of a destination is trusted: by the pin of a link alone, or else as the user has said
/// before, or says now. While the user is asked, `bar` is not shown.
///
/// # Errors
/// If the link has another key than the one that the user trusts.
pub(super) fn trust(
    destination: &Destination,
    is_insecure: bool,
    signals: &Signals,
    bar: &ProgressBar,
) -> Result<Trust, TrustError> {
    match destination.pin {
        Some(pin) if !is_insecure => of_link(destination, pin),
        _ => Ok(ask::trust(is_insecure, signals, bar)),
    }
}

/// The same of a command that shows no bar.
///
/// # Errors
/// If the link has another key than the one that the user trusts.
pub(super) fn trust_of_requests(
    destination: &Destination,
    is_insecure: bool,
    signals: &Signals,
) -> Result<Trust, TrustError> {
    trust(destination, is_insecure, signals, &ProgressBar::hidden())
}

fn of_link(destination: &Destination, pin: Pin) -> Result<Trust, TrustError> {
    let (login, mut is_trusted) = (destination.login(), false);
    if let (Ok(directory), Some(host)) = (Directory::of_user(), Host::of(&destination.server)) {
        let keys = Known::load(&directory)?.keys(&host)?;
        is_trusted = keys.iter().any(|key| key.pin == pin);
        if !keys.is_empty() && !is_trusted {
            let (server, known) = (host.to_string(), keys.iter().map(Key::trusted).collect());
            return Err(TrustError::Link { server, login, known, link: pin });
        }
    }
    Ok(Trust::link(Link { login, pin, is_trusted }))
}

/// The pin of a link has proved right: the server is trusted by it from now on.
///
/// # Errors
/// If the file of the user can't be changed.
pub(super) fn keep_pin(destination: &Destination) -> Result<(), TrustError> {
    if let (Some(pin), Some(host)) = (destination.pin, Host::of(&destination.server)) {
        Known::change(&Directory::of_user()?, |known| known.add(&host, pin))?;
    }
    Ok(())
}

/// Finds the login for a destination.
///
/// # Errors
/// If there is no token that can be used.
pub(super) fn login(destination: &Destination) -> Result<Login, CredentialsError> {
    let may_be_dumped = hide();
    let login = Login::find(destination);
    if may_be_dumped && login.as_ref().is_ok_and(|login| login.token().is_none()) {
        show();
    }
    login
}

/// From now on the system writes no memory of this process to a file, and no other process of the user reads it. Commands that
/// haul runs are not concerned. Returns whether that was otherwise before; a system that refuses keeps the secret as it can.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn hide() -> bool {
    use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};
    let was = dumpable_behavior().is_ok_and(|was| was == DumpableBehavior::Dumpable);
    set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok() && was
}

/// There was no secret: the process is as it was.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn show() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn hide() -> bool {
    false
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn show() {}
