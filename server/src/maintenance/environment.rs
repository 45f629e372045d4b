//! The surroundings of a command: where the configuration is, and where the words of the command go.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use haul_protocol::Shown;

use crate::accounts::users_file::UsersFile;
use crate::keys::KeyError;
use crate::keys::directory::Directory;

/// A command needs this besides its words.
pub struct Environment<'a> {
    /// The configuration directory if the command names none.
    pub usual: Option<PathBuf>,
    /// The configuration directory of a service on this machine, if the usual one is another. A person who is told of it once
    /// is told of it no more.
    pub of_service: Option<PathBuf>,
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
    pub(super) fn directory(&self, environment: &mut Environment<'_>) -> Result<PathBuf, KeyError> {
        if let Some(named) = &self.config_dir {
            return Ok(named.clone());
        }
        let usual = environment.usual.clone().ok_or(KeyError::NoDirectory)?;
        if let Some(of_service) = environment.of_service.take() {
            // Programs read the other words of the command; nobody may read these.
            let _ = writeln!(
                environment.people,
                "This is about the key and the accounts in {}. Those of the service are in {}: run this as root, or with \
                 --config-dir.",
                Shown(usual.display()),
                Shown(of_service.display())
            );
        }
        Ok(usual)
    }

    pub(super) fn users(&self, environment: &mut Environment<'_>) -> Result<UsersFile, KeyError> {
        Ok(UsersFile::in_directory(&self.directory(environment)?))
    }

    pub(super) fn keys(&self, environment: &mut Environment<'_>) -> Result<Directory, KeyError> {
        Ok(Directory::new(&self.directory(environment)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(place: &Place, of_service: Option<&str>) -> (PathBuf, String) {
        let (mut out, mut people) = (Vec::new(), Vec::new());
        let mut environment = Environment {
            usual: Some(PathBuf::from("/home/me/state")),
            of_service: of_service.map(PathBuf::from),
            out: &mut out,
            people: &mut people,
        };
        let (first, second) =
            (place.directory(&mut environment), place.directory(&mut environment));
        assert_eq!(first.as_ref().unwrap(), &second.unwrap());
        (first.unwrap(), String::from_utf8(people).unwrap())
    }

    #[test]
    fn directory_that_is_not_that_of_the_service_is_told_once_and_not_if_it_was_named() {
        let (directory, said) = asked(&Place::default(), Some("/var/lib/hauld"));
        assert_eq!(directory, PathBuf::from("/home/me/state"));
        let both = said.contains("/home/me/state") && said.contains("/var/lib/hauld");
        assert!(both && said.lines().count() == 1, "{said}");
        assert_eq!(asked(&Place::default(), None).1, "");
        let named = Place { config_dir: Some(PathBuf::from("/named")) };
        assert_eq!(asked(&named, Some("/var/lib/hauld")), (PathBuf::from("/named"), String::new()));
    }
}
