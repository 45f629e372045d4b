//! Permission bits, as clients send them.

use rustix::fs::Mode;

/// The permission bits that are kept; setuid, setgid and sticky never are.
pub(super) fn kept(mode: Option<u32>) -> Option<Mode> {
    mode.map(|mode| Mode::from_raw_mode(mode & 0o777))
}
