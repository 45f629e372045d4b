//! A command before it is carried out: its destinations that ssh leads to are told which programs are run for them.

use super::arguments::Command;
use super::later::Later;
use super::usage::Usage;
use crate::get::source::Source;
use crate::net::destination::{Destination, Server};

/// Tells each destination of a command that ssh leads to which programs are run for it.
///
/// # Errors
/// If the command knows no ssh, or the words make no command.
pub(super) fn prepare(command: &mut Command) -> Result<(), Usage> {
    match command {
        Command::Put(Later(put)) => {
            let ssh = put.options.connection.ssh.clone();
            no_classic(put.options.classic, &put.destination)?;
            ssh.tell(&mut put.destination)
        }
        Command::Sync(Later(sync)) => match &mut sync.destination.server {
            Ok(server) => sync.options.connection.ssh.tell(server),
            Err(_) => Ok(()),
        },
        Command::Publish(Later(publish)) => {
            publish.options.connection.ssh.tell(&mut publish.destination)
        }
        Command::Verify(Later(verify)) => {
            verify.options.connection.ssh.tell(&mut verify.destination)
        }
        Command::Get(Later(get)) => get.options.connection.ssh.tell_sources(&mut get.sources),
        Command::Cat(Later(cat)) => cat.ssh.tell_sources(&mut cat.sources),
        Command::Ls(Later(ls)) => ls.ssh.tell(&mut ls.destination),
        Command::Mkdir(Later(mkdir)) => {
            mkdir.destinations.iter_mut().try_for_each(|place| mkdir.ssh.tell(place))
        }
        Command::Rm(Later(rm)) => {
            rm.destinations.iter_mut().try_for_each(|place| rm.ssh.tell(place))
        }
        Command::Mv(Later(mv)) => {
            mv.ssh.tell(&mut mv.source)?;
            mv.ssh.tell(&mut mv.place.destination)
        }
        Command::Shell(Later(shell)) => {
            no_classic(shell.classic, &shell.destination)?;
            shell.connection.ssh.tell(&mut shell.destination)
        }
        Command::Login(words) => no_accounts("login", Some(&words.destination)),
        Command::Logout(words) => no_accounts("logout", Some(&words.destination)),
        Command::Whoami(words) => no_accounts("whoami", Some(&words.destination)),
        Command::Trust(words) => no_accounts("trust", words.server.as_ref()),
        Command::Config(_) | Command::Discover(_) | Command::Partials(_) => Ok(()),
    }
}

/// The places at servers that a command names. Where SRC or DEST may also be a path on this machine, only the command itself
/// knows whether it is one.
pub(super) fn places(command: &mut Command) -> Vec<&mut Destination> {
    match command {
        Command::Put(put) => vec![&mut put.destination],
        Command::Sync(sync) => sync.destination.server.as_mut().into_iter().collect(),
        Command::Publish(publish) => vec![&mut publish.destination],
        Command::Verify(verify) => vec![&mut verify.destination],
        Command::Get(get) => get.sources.iter_mut().map(Source::place_mut).collect(),
        Command::Cat(cat) => cat.sources.iter_mut().map(Source::place_mut).collect(),
        Command::Ls(ls) => vec![&mut ls.destination],
        Command::Mkdir(mkdir) => mkdir.destinations.iter_mut().collect(),
        Command::Rm(rm) => rm.destinations.iter_mut().collect(),
        Command::Mv(Later(mv)) => vec![&mut mv.source, &mut mv.place.destination],
        Command::Shell(shell) => vec![&mut shell.destination],
        Command::Login(words) => vec![&mut words.destination],
        Command::Logout(words) => vec![&mut words.destination],
        Command::Whoami(words) => vec![&mut words.destination],
        Command::Trust(words) => words.server.iter_mut().collect(),
        Command::Config(_) | Command::Discover(_) | Command::Partials(_) => Vec::new(),
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
