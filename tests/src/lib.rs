//! Code that end-to-end tests and xtask share: the built binaries, a running `hauld`, peers that speak raw
//! frames, a bad network, and the comparison of trees. Drives binaries only; knows none of their code.

pub mod accounts;
pub mod acl;
pub mod alive;
pub mod attributes;
pub mod avahi;
pub mod binaries;
pub mod bundles;
pub mod bytes;
pub mod clean_root;
pub mod client;
mod failure;
pub mod fake;
pub mod hauld;
pub mod hook;
pub mod http;
pub mod lan;
pub mod listening;
pub mod login;
pub mod lost;
pub mod meanwhile;
pub mod mounts;
pub mod needed;
pub mod network;
pub mod open_files;
pub mod over_ssh;
pub mod peer;
pub mod place;
pub mod prelude;
pub mod proxy;
pub mod quotas;
pub mod random;
pub mod register;
pub mod relay;
pub mod screen;
pub mod scripted;
pub mod setting;
pub mod site;
pub mod sshd;
pub mod stdio;
pub mod threads;
pub mod tls;
pub mod traced;
pub mod tree;
pub mod tus;
pub mod upload;
pub mod user;

use std::time::{Duration, Instant};

/// Time that a wait may take before a test gives up: far more than it needs on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `happened` says so, for a change that sends no event.
///
/// # Panics
/// If `happened` has not said so after [`DEADLINE`].
#[track_caller]
pub fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
