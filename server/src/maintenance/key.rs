//! `hauld fingerprint` and `hauld key`: the pin of the server's key, and the next key.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::environment::{Environment, Place};
use crate::keys::{KeyError, Vouched};

/// `hauld fingerprint`.
#[derive(Debug, Clone, Args)]
pub struct Fingerprint {
    /// PEM file of the certificate that the server shows (`hauld --cert`): the pin is that of its key.
    #[arg(long, value_name = "FILE", env = "HAULD_CERT")]
    cert: Option<PathBuf>,
    /// Where.
    #[command(flatten)]
    place: Place,
}

/// A command about the key.
#[derive(Debug, Clone, Subcommand)]
pub enum Key {
    /// Makes the next key, and shows its pin. Running servers announce it, and clients that know the present key come to
    /// know the next one.
    Next(Place),
    /// Makes the next key the present one. Clients that have not seen its announcement refuse it.
    Switch(Place),
}

impl Fingerprint {
    /// Shows the pin of the key, which is made if there is none, and to people that of the next one.
    ///
    /// # Errors
    /// If the key or the certificate can't be had.
    pub fn run(&self, environment: &mut Environment<'_>) -> Result<(), KeyError> {
        if let Some(file) = &self.cert {
            return tell(environment, format_args!("{}", Vouched::read(file)?.pin));
        }
        let keys = self.place.keys(environment)?;
        tell(environment, format_args!("{}", keys.pin()?))?;
        if let Some(next) = keys.next_pin()? {
            // Programs read the pin; nobody may read this.
            let _ = writeln!(environment.people, "the next key: {next}");
        }
        Ok(())
    }
}

impl Key {
    /// Does it, and tells the pin on standard output.
    ///
    /// # Errors
    /// If a key can't be had.
    pub fn run(&self, environment: &mut Environment<'_>) -> Result<(), KeyError> {
        let pin = match self {
            Self::Next(place) => place.keys(environment)?.make_next()?,
            Self::Switch(place) => place.keys(environment)?.switch()?,
        };
        tell(environment, format_args!("{pin}"))
    }
}

fn tell(environment: &mut Environment<'_>, line: std::fmt::Arguments<'_>) -> Result<(), KeyError> {
    let told = writeln!(environment.out, "{line}").and_then(|()| environment.out.flush());
    told.map_err(|error| KeyError::File(PathBuf::from("standard output"), error))
}
