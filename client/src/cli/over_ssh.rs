//! Options for destinations that ssh leads to: the programs that are run for them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::usage::Usage;
use crate::get::source::Source;
use crate::net::destination::Destination;
use crate::net::ssh::{Install, Runs};

/// Options for destinations that ssh leads to.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SshOptions {
    /// Program that takes the place of `ssh` for a DEST such as `box:path`, with options that come before the host, as in
    /// `ssh -p 2222`. CMD is split into words as a shell splits it, and no shell is run [env: HAUL_SSH].
    #[arg(long, short = 'e', alias = "rsh", value_name = "CMD", value_parser = ssh)]
    pub ssh: Option<String>,

    /// Name or path of hauld at a DEST such as `box:path` [default: hauld].
    #[arg(long, value_name = "PATH", value_parser = hauld)]
    pub hauld: Option<String>,

    /// Copies a static hauld into the cache of a DEST such as `box:path` that has no hauld, and starts it if its digest is
    /// right: FILE, or the one that came with haul. A copy that is there already is used.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub install_hauld: Option<Option<PathBuf>>,

    /// Connections past ssh to a DEST such as `box:path`: with "auto", hauld opens a port there for this run, and bytes go over
    /// several connections with TLS if the port is reached, and otherwise over ssh; with "no", everything goes over ssh
    /// [default: auto] [env: HAUL_SSH_DIRECT].
    #[arg(long, value_enum, value_name = "WHEN")]
    pub ssh_direct: Option<When>,
}

/// When connections go past ssh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// If the port there is reached.
    Auto,
    /// Never.
    No,
}

/// The words of a program that takes the place of ssh.
fn ssh(text: &str) -> Result<String, Usage> {
    Runs::default().ssh(text).map(|_| text.to_owned()).ok_or_else(|| no_command(text))
}

fn no_command(text: &str) -> Usage {
    Usage(format!("--ssh: `{text}` is not a command: words, with options behind the program"))
}

/// A name of hauld that ssh takes for no option.
fn hauld(text: &str) -> Result<String, Usage> {
    let wrong = || Usage(format!("--hauld {text}: not the name or path of a program"));
    Runs::default().hauld(text).map(|_| text.to_owned()).ok_or_else(wrong)
}

impl SshOptions {
    /// The programs that are run.
    ///
    /// # Errors
    /// If the words make no command.
    pub(super) fn runs(&self) -> Result<Runs, Usage> {
        let mut runs = Runs::default();
        if let Some(command) = &self.ssh {
            runs = runs.ssh(command).ok_or_else(|| no_command(command))?;
        }
        if let Some(hauld) = &self.hauld {
            let wrong = || Usage(format!("--hauld {hauld}: not the name or path of a program"));
            runs = runs.hauld(hauld).ok_or_else(wrong)?;
        }
        if let Some(file) = &self.install_hauld {
            let install = Install::new(file.clone());
            runs =
                runs.install(install.map_err(|error| Usage(format!("--install-hauld: {error}")))?);
        }
        Ok(runs.direct(self.ssh_direct != Some(When::No)))
    }

    /// The same destination with these programs, if ssh leads there.
    ///
    /// # Errors
    /// If the words make no command.
    pub(super) fn tell(&self, destination: &mut Destination) -> Result<(), Usage> {
        if destination.is_over_ssh() {
            let mut runs = self.runs()?;
            let text = as_written(destination);
            runs.is_here_too = std::fs::symlink_metadata(&text).is_ok().then_some(text);
            *destination = destination.clone().by(&runs);
        }
        Ok(())
    }

    /// The same of sources.
    ///
    /// # Errors
    /// If the words make no command.
    pub(super) fn tell_sources(&self, sources: &mut [Source]) -> Result<(), Usage> {
        sources.iter_mut().try_for_each(|source| self.tell(source.place_mut()))
    }
}

/// A destination that may also be the name of an entry here.
fn as_written(destination: &Destination) -> String {
    let path = destination.path.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{}{path}", destination.server)
}
