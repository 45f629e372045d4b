//! The settings of its process that a server needs. Only the program that owns the process may change it.

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Sets the umask of the process to 0, so that files get just the modes that clients send, and raises the limit of open
/// files as far as it may be raised. Returns the umask that there was ([`Config::umask`](crate::Config::umask)).
#[must_use]
pub fn prepare() -> u32 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // If that is not allowed, the current limit stays.
    let _ = setrlimit(Resource::Nofile, raised);
    rustix::process::umask(Mode::empty()).as_raw_mode()
}
