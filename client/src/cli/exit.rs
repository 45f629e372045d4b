//! Exit codes, as the manual of `haul` states them.

/// All files were committed.
pub const OK: u8 = 0;
/// Some files failed, and each was named.
pub const FAILED: u8 = 1;
/// The command line makes no sense.
pub const USAGE: u8 = 2;
/// The server could not be reached, or was lost for good.
pub const UNREACHABLE: u8 = 3;
/// Interrupted by Ctrl-C or SIGTERM.
pub const INTERRUPTED: u8 = 130;
