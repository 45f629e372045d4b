//! The login of a command. While its token is in memory, no core dump of the process is written.

use crate::credentials::Login;
use crate::error::credentials::CredentialsError;
use crate::net::destination::Destination;

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
