//! hauld as a service of systemd (sd_notify(3)): tells when it serves, reloads and stops, and beats for the watchdog. Without
//! `NOTIFY_SOCKET`, which systemd sets, nobody is told anything.

use std::io;
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

/// Tells that the server serves these addresses.
pub(crate) fn serves(addresses: &[String]) {
    let status = format!("serving {}", addresses.join(", "));
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// Tells that the settings are being read again; [`serves`] tells the end of that.
pub(crate) fn reloads() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "could not tell systemd of the reload"),
    }
}

/// Tells that the server stops.
pub(crate) fn stops() {
    tell(&[NotifyState::Stopping, NotifyState::Status("transfers under way may finish")]);
}

/// Beats for the watchdog, if systemd wants that (`WatchdogSec=`), for as long as no thread of the server is stuck: has been
/// at one piece of work for longer than the watchdog waits. `is_stuck` tells whether any is.
///
/// # Errors
/// If there is no thread for it.
pub(crate) fn watch(is_stuck: impl Fn(Duration) -> bool + Send + 'static) -> io::Result<()> {
    let Some(limit) = sd_notify::watchdog_enabled() else { return Ok(()) };
    thread::Builder::new().name(String::from("watchdog")).spawn(move || {
        loop {
            if is_stuck(limit) {
                tracing::error!(
                    "a thread of the server is stuck; systemd is not told that all is well"
                );
            } else {
                tell(&[NotifyState::Watchdog]);
            }
            // A third: one beat may come late (sd_watchdog_enabled(3) asks for half).
            thread::park_timeout(limit / 3);
        }
    })?;
    Ok(())
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "could not tell systemd");
    }
}
