//! Exit codes, as the manual of `haul` states them, and the reasons for them, as `--json` does.

use serde::Serialize;

use crate::error::ConnectionError;
use crate::error::credentials::CredentialsError;

/// All files were committed.
pub const OK: u8 = 0;
/// Some files failed, and each was named.
pub const FAILED: u8 = 1;
/// The command line makes no sense.
pub const USAGE: u8 = 2;
/// The server could not be reached, or was lost for good.
pub const UNREACHABLE: u8 = 3;
/// The server is not trusted, and gets nothing.
pub const UNTRUSTED: u8 = 4;
/// Interrupted by Ctrl-C or SIGTERM.
pub const INTERRUPTED: u8 = 130;

/// The reason for the end of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    /// All is done.
    Done,
    /// Entries have failed, or a request was refused.
    Failed,
    /// Source and server differ.
    Different,
    /// The words of the command line make no sense together, or a file that they name can't be used.
    Usage,
    /// The server could not be reached.
    Unreachable,
    /// The server was lost for good.
    Lost,
    /// The server is not trusted.
    Untrusted,
    /// The server, or the client after it has heard the server, wants no such run.
    Refused,
    /// The server takes nobody without an account, and did not take the client's login, or takes it no longer.
    Unauthorized,
    /// Ctrl-C or SIGTERM.
    Interrupted,
    /// This machine has no threads, memory or the like.
    System,
    /// Standard output could not be written.
    Unwritten,
}

impl Reason {
    /// Its exit code.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Done => OK,
            Self::Failed | Self::Different | Self::System | Self::Unwritten => FAILED,
            Self::Usage => USAGE,
            Self::Unreachable | Self::Lost | Self::Refused | Self::Unauthorized => UNREACHABLE,
            Self::Untrusted => UNTRUSTED,
            Self::Interrupted => INTERRUPTED,
        }
    }

    /// The reason that tokens which can't be used are.
    pub(super) fn of_credentials(error: &CredentialsError) -> Self {
        if error.is_missing() { Self::Unauthorized } else { Self::Usage }
    }

    /// The reason that an error of the last connection is. `is_reached`: the server has answered the client before.
    pub(super) fn of(error: &ConnectionError, is_reached: bool) -> Self {
        match error {
            ConnectionError::Ssh(error) if error.is_about_the_root() => Self::Failed,
            ConnectionError::Ssh(error) if error.is_answered() => Self::Refused,
            ConnectionError::NotPublished { .. } | ConnectionError::VersionGone => Self::Failed,
            ConnectionError::Untrusted(_) => Self::Untrusted,
            ConnectionError::Later(error) => Self::of(error, is_reached),
            ConnectionError::Unauthorized(_) | ConnectionError::OtherAccount(_) => {
                Self::Unauthorized
            }
            ConnectionError::Ended(_)
            | ConnectionError::NotDurable(_)
            | ConnectionError::Lacking(_) => Self::Refused,
            _ if is_reached => Self::Lost,
            _ => Self::Unreachable,
        }
    }
}
