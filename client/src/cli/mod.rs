//! The command line of `haul`: all that a library has no use for.

mod access;
mod account;
mod arguments;
mod ask;
mod cat;
mod commands;
mod console;
mod deadly;
mod discover;
mod display;
mod ending;
mod entries;
mod events;
mod exit;
mod get;
mod get_words;
mod habits;
mod habits_table;
mod inside;
mod leaked;
mod lookup;
mod ls;
mod mkdir;
mod mv;
mod oneshot;
mod options;
mod order;
mod over_ssh;
mod partials;
mod prepare;
mod raw;
mod rm;
mod rollback;
mod rules;
mod shell;
mod signals;
#[cfg(unix)]
mod silence;
mod streams;
mod summary;
mod sync_back;
mod terminal;
mod trust;
mod unreached;
mod unread;
mod usage;

use std::ffi::OsStr;
use std::io;
use std::process::ExitCode;

use clap::CommandFactory;
use haul_protocol::is_plain;

use crate::source::stdin;
use arguments::{Cli, Command};
use ending::Ending;
use signals::Signals;
use usage::Unread;

/// Reads the command line and carries it out. Once a process, first of all: it watches signals from then on.
#[must_use]
pub fn main() -> ExitCode {
    // First of all: descriptors that are opened later are haul's own.
    stdin::note_descriptors();
    let parsed = habits::parse(std::env::args_os()).and_then(|mut cli: Cli| {
        prepare::prepare(&mut cli.command).map_err(Unread::Usage)?;
        Ok(cli)
    });
    let mut cli = match parsed {
        Ok(cli) => cli,
        Err(Unread::Usage(error)) => {
            unread::events(&error);
            usage::tell(&error.0);
            return ExitCode::from(ending::after_all(exit::USAGE));
        }
        Err(Unread::Help(help)) => {
            console::lines(&mut io::stdout(), &help);
            return ExitCode::from(exit::OK);
        }
        // A shell's pattern may have put the name of a file there.
        Err(Unread::Clap(error)) if !std::env::args_os().all(|word| is_plain_word(&word)) => {
            unread::events(&unread::first_line(&error));
            console::tell(&error);
            return ExitCode::from(ending::after_all(exit::USAGE));
        }
        Err(Unread::Clap(error)) => {
            if error.use_stderr() {
                unread::events(&unread::first_line(&error));
            }
            error.exit()
        }
    };
    let carried_out = Signals::install().and_then(|signals| {
        discover::locate(prepare::places(&mut cli.command).into_iter());
        carry_out(&cli.command, &signals)
    });
    match carried_out {
        Ok(code) => ExitCode::from(ending::after_all(code)),
        Err(error) => {
            console::tell(&format_args!("haul: {error:#}"));
            ExitCode::from(exit::FAILED)
        }
    }
}

/// Whether a word of the command line shows as itself.
fn is_plain_word(word: &OsStr) -> bool {
    word.to_string_lossy().chars().all(is_plain)
}

fn carry_out(command: &Command, signals: &Signals) -> anyhow::Result<u8> {
    match command {
        Command::Put(put) => commands::put(&put.sources, &put.destination, &put.options, signals),
        Command::Sync(sync) => sync_back::sync(sync, signals),
        Command::Publish(publish) if publish.rollback => rollback::roll_back(publish, signals),
        Command::Publish(publish) => commands::publish(publish, signals),
        Command::Verify(verify) => {
            commands::verify(&verify.sources, &verify.destination, &verify.options, signals)
        }
        Command::Get(words) => Ok(get::get(words, signals)),
        Command::Cat(words) => Ok(cat::run(words, signals)),
        Command::Ls(ls) => ls::run(&ls.destination, ls.options, signals),
        Command::Mkdir(words) => {
            let ending = Ending::of_requests(words.output, signals);
            Ok(mkdir::mkdir(&words.destinations, words.reaching, &ending))
        }
        Command::Rm(words) => {
            let ending = Ending::of_requests(words.output, signals);
            Ok(rm::rm(&words.destinations, words.how, words.reaching, &ending))
        }
        Command::Mv(words) => {
            let ending = Ending::of_requests(words.output, signals);
            Ok(mv::mv(&words.source, &words.place, words.force, words.reaching, &ending))
        }
        Command::Login(words) => Ok(account::login(words, signals)),
        Command::Logout(words) => Ok(account::logout(words, signals)),
        Command::Whoami(words) => Ok(account::whoami(words, signals)),
        Command::Shell(shell) => shell::run(shell, signals),
        Command::Trust(words) => trust::run(words, signals),
        Command::Discover(words) => Ok(discover::run(words, signals)),
        Command::Partials(partials) => partials::partials(&partials.words),
    }
}

/// The command line, for man pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}
