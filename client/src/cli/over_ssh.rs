//! Destinations that ssh leads to: the programs that are run for them, and the commands that know no ssh.

use clap::Args;

use super::arguments::Command;
use super::usage::Usage;
use crate::get::source::Source;
use crate::net::destination::{Destination, Server};
use crate::net::ssh::Runs;

/// The variable that has the words of `--ssh` if the option is not given.
const VARIABLE: &str = "HAUL_SSH";

/// Options for destinations that ssh leads to.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SshOptions {
    /// Program that takes the place of `ssh` for a DEST such as `box:path`, with options that come before the host, as in
    /// `ssh -p 2222`. CMD is split into words as a shell splits it, and no shell is run [env: HAUL_SSH].
    #[arg(long, short = 'e', alias = "rsh", value_name = "CMD")]
    pub ssh: Option<String>,

    /// Name or path of hauld at a DEST such as `box:path` [default: hauld].
    #[arg(long, value_name = "PATH", value_parser = hauld)]
    pub hauld: Option<String>,
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
        let variable = std::env::var(VARIABLE).ok().filter(|text| !text.trim().is_empty());
        let (name, command) = match &self.ssh {
            Some(command) => ("--ssh", Some(command.clone())),
            None => (VARIABLE, variable),
        };
        let mut runs = Runs::default();
        if let Some(command) = command {
            let wrong = || {
                Usage(format!(
                    "{name}: `{command}` is not a command: words, with options behind the program"
                ))
            };
            runs = runs.ssh(&command).ok_or_else(wrong)?;
        }
        if let Some(hauld) = &self.hauld {
            let wrong = || Usage(format!("--hauld {hauld}: not the name or path of a program"));
            runs = runs.hauld(hauld).ok_or_else(wrong)?;
        }
        Ok(runs)
    }

    /// The same destination with these programs, if ssh leads there.
    fn tell(&self, destination: &mut Destination) -> Result<(), Usage> {
        if destination.is_over_ssh() {
            let mut runs = self.runs()?;
            runs.is_here_too =
                as_written(destination).filter(|text| std::fs::symlink_metadata(text).is_ok());
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
fn as_written(destination: &Destination) -> Option<String> {
    let path = destination.path.as_ref().map(ToString::to_string).unwrap_or_default();
    Some(format!("{}{path}", destination.server))
}

/// Tells each destination of a command that ssh leads to which programs are run for it.
///
/// # Errors
/// If the command knows no ssh, or the words make no command.
pub(super) fn prepare(command: &mut Command) -> Result<(), Usage> {
    match command {
        Command::Put(put) => {
            let ssh = put.options.connection.ssh.clone();
            no_classic(put.options.classic, &put.destination)?;
            ssh.tell(&mut put.destination)
        }
        Command::Sync(sync) => match &mut sync.destination.server {
            Ok(server) => sync.options.connection.ssh.tell(server),
            Err(_) => Ok(()),
        },
        Command::Publish(publish) => publish.options.connection.ssh.tell(&mut publish.destination),
        Command::Verify(verify) => verify.options.connection.ssh.tell(&mut verify.destination),
        Command::Get(get) => get.options.connection.ssh.tell_sources(&mut get.sources),
        Command::Cat(cat) => cat.ssh.tell_sources(&mut cat.sources),
        Command::Ls(ls) => ls.ssh.tell(&mut ls.destination),
        Command::Mkdir(mkdir) => {
            mkdir.destinations.iter_mut().try_for_each(|place| mkdir.ssh.tell(place))
        }
        Command::Rm(rm) => rm.destinations.iter_mut().try_for_each(|place| rm.ssh.tell(place)),
        Command::Mv(mv) => {
            mv.ssh.tell(&mut mv.source)?;
            mv.ssh.tell(&mut mv.place.destination)
        }
        Command::Shell(shell) => {
            no_classic(shell.classic, &shell.destination)?;
            shell.connection.ssh.tell(&mut shell.destination)
        }
        Command::Login(words) => no_accounts("login", Some(&words.destination)),
        Command::Logout(words) => no_accounts("logout", Some(&words.destination)),
        Command::Whoami(words) => no_accounts("whoami", Some(&words.destination)),
        Command::Trust(words) => no_accounts("trust", words.server.as_ref()),
        Command::Partials(_) => Ok(()),
    }
}

fn no_classic(is_classic: bool, destination: &Destination) -> Result<(), Usage> {
    match &destination.server {
        Server::Ssh(_) if is_classic => Err(Usage(format!(
            "--classic is for a server that listens, HOST:PORT, and {} is reached over ssh",
            destination.server
        ))),
        _ => Ok(()),
    }
}

/// Over ssh there is nothing to log in at but ssh.
fn no_accounts(command: &str, destination: Option<&Destination>) -> Result<(), Usage> {
    match destination.map(|destination| &destination.server) {
        Some(Server::Ssh(ssh)) => Err(Usage(format!(
            "haul {command} is for a hauld that listens, and {} is reached over ssh, which has its own users and keys: \
             no {command} is needed",
            ssh.login()
        ))),
        _ => Ok(()),
    }
}
