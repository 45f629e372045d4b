//! Why a server can't start.

use std::io::ErrorKind;

use thiserror::Error;

use crate::accounts::users_file::UsersError;
use crate::audit::LogFileError;
use crate::keys::KeyError;
use crate::net::listen::ListenError;
use crate::settings_file::SettingsError;
use crate::store::OpenError;

/// The server can't start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The command line asks for what isn't there.
    #[error("{0}")]
    Usage(String),
    /// The file of settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// An address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The server's key or its certificate.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The root directory.
    #[error("{0}")]
    Root(String),
    /// Another process serves the root directory.
    #[error("{0}")]
    Busy(String),
    /// The user may not use the root directory, or the server's own one in it.
    #[error("{0}")]
    Denied(String),
    /// The user or the sandbox of the process.
    #[error("{0}")]
    Process(String),
    /// The accounts.
    #[error("{0}")]
    Accounts(String),
    /// The audit log or the access log.
    #[error("{0}")]
    Audit(String),
    /// The program of a hook, or its spool.
    #[error("{0}")]
    Hook(String),
    /// A thread or a file descriptor could not be had.
    #[error("could not start: {0}")]
    Io(#[from] std::io::Error),
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        let text = error.to_string();
        match error {
            OpenError::InUse { .. } => Self::Busy(text),
            OpenError::NotOurs { .. } | OpenError::OpenToOthers { .. } => Self::Denied(text),
            OpenError::Io { source, .. }
                if matches!(
                    source.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                Self::Denied(text)
            }
            _ => Self::Root(text),
        }
    }
}

impl From<UsersError> for StartError {
    fn from(error: UsersError) -> Self {
        Self::Accounts(error.to_string())
    }
}

impl From<LogFileError> for StartError {
    fn from(error: LogFileError) -> Self {
        Self::Audit(error.to_string())
    }
}
