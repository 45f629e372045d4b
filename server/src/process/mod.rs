//! The settings of its process that a server needs. Only the program that owns the process may change them.

mod sandbox;
#[cfg(test)]
mod tests;
mod user;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub use sandbox::Reach;
pub(crate) use sandbox::confine_responder;
pub use user::SystemUser;

/// The limit of core dumps with which the kernel writes none. Where a program takes core dumps (core(5), `core_pattern`
/// with a pipe) the kernel does not look at the limit, but for the number 1.
const NO_CORE: u64 = 1;

/// Sets the umask of the process to 0, so that files get just the modes that clients send, raises the limit of open
/// files as far as it may be raised, and turns core dumps off. Returns the umask that there was
/// ([`Config::umask`](crate::Config::umask)).
///
/// A core dump would hold keys, tokens and the bytes of uploads, and others may collect and send it. The process stays
/// dumpable (`PR_SET_DUMPABLE`), because otherwise only root could attach a debugger or read `/proc/PID/fd`, and a process of
/// the same user can read the key's file anyway. The hard limit stays: `prlimit --core=unlimited --pid PID`
/// turns dumps on again.
#[must_use]
pub fn prepare() -> u32 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // If that is not allowed, the current limit stays.
    let _ = setrlimit(Resource::Nofile, raised);
    let maximum = getrlimit(Resource::Core).maximum;
    let current = Some(maximum.map_or(NO_CORE, |maximum| maximum.min(NO_CORE)));
    // A soft limit may always be lowered.
    let _ = setrlimit(Resource::Core, Rlimit { current, maximum });
    rustix::process::umask(Mode::empty()).as_raw_mode()
}
