//! `hauld fingerprint` and `hauld key`: the pin of the server's key, and the next key.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::KeyError;
use super::directory::Directory;

/// A command about the key.
#[derive(Debug, Clone, Subcommand)]
pub enum Key {
    /// Makes the next key, and shows its pin. Running servers announce it, and clients that know the present key come to
    /// know the next one.
    Next(Place),
    /// Makes the next key the present one. Clients that have not seen its announcement refuse it.
    Switch(Place),
}

/// The directory of the key.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// Directory of the server's key and certificate.
    #[arg(long, value_name = "DIR", env = "HAULD_CONFIG_DIR")]
    config_dir: Option<PathBuf>,
}

impl Place {
    fn directory(&self, usual: Option<PathBuf>) -> Result<Directory, KeyError> {
        let path = self.config_dir.clone().or(usual).ok_or(KeyError::NoDirectory)?;
        Ok(Directory::new(&path))
    }

    /// Shows the pin of the key, which is made if there is none, and to `people` that of the next one. `usual`: the directory
    /// if none is named.
    ///
    /// # Errors
    /// If the key can't be had.
    pub fn fingerprint(
        &self,
        usual: Option<PathBuf>,
        out: &mut impl Write,
        people: &mut impl Write,
    ) -> Result<(), KeyError> {
        let directory = self.directory(usual)?;
        tell(out, format_args!("{}", directory.pin()?))?;
        if let Some(next) = directory.next_pin()? {
            // Programs read the pin; nobody may read this.
            let _ = writeln!(people, "the next key: {next}");
        }
        Ok(())
    }
}

impl Key {
    /// Does it, and tells the pin on standard output. `usual`: the directory if none is named.
    ///
    /// # Errors
    /// If a key can't be had.
    pub fn run(&self, usual: Option<PathBuf>, out: &mut impl Write) -> Result<(), KeyError> {
        let pin = match self {
            Self::Next(place) => place.directory(usual)?.make_next()?,
            Self::Switch(place) => place.directory(usual)?.switch()?,
        };
        tell(out, format_args!("{pin}"))
    }
}

fn tell(out: &mut impl Write, line: std::fmt::Arguments<'_>) -> Result<(), KeyError> {
    writeln!(out, "{line}").map_err(|error| KeyError::File(PathBuf::from("standard output"), error))
}
