//! The surroundings of a command: where the configuration is, and where the words of the command go.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::accounts::users_file::UsersFile;
use crate::keys::KeyError;
use crate::keys::directory::Directory;

/// A command needs this besides its words.
pub struct Environment<'a> {
    /// The configuration directory if the command names none.
    pub usual: Option<PathBuf>,
    /// Is told tokens, pins and lists, which programs read.
    pub out: &'a mut dyn Write,
    /// Is told the rest.
    pub people: &'a mut dyn Write,
}

impl fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("usual", &self.usual).finish_non_exhaustive()
    }
}

/// The configuration directory.
#[derive(Debug, Clone, Default, Args)]
pub struct Place {
    /// Directory of the server's key, certificate and accounts.
    #[arg(long, value_name = "DIR", env = "HAULD_CONFIG_DIR")]
    config_dir: Option<PathBuf>,
}

impl Place {
    pub(super) fn directory(&self, environment: &Environment<'_>) -> Result<PathBuf, KeyError> {
        let path = self.config_dir.as_ref().or(environment.usual.as_ref());
        path.cloned().ok_or(KeyError::NoDirectory)
    }

    pub(super) fn users(&self, environment: &Environment<'_>) -> Result<UsersFile, KeyError> {
        Ok(UsersFile::in_directory(&self.directory(environment)?))
    }

    pub(super) fn keys(&self, environment: &Environment<'_>) -> Result<Directory, KeyError> {
        Ok(Directory::new(&self.directory(environment)?))
    }
}
