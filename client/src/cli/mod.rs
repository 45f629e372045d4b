//! The command line of `haul`: all that a library has no use for.

mod access;
mod account;
mod aliases;
mod arguments;
mod ask;
mod cat;
mod commands;
mod config;
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
mod later;
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
mod settings;
mod settings_file;
mod settings_lines;
mod settings_place;
mod settings_rules;
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

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::ExitCode;

use clap::CommandFactory;
use haul_protocol::is_plain;

use crate::source::stdin;
use arguments::{Cli, Command};
use ending::Ending;
use settings::Settings;
pub use settings::settings;
use settings_file::SettingsError;
use settings_place::Place;
use signals::Signals;
use usage::Unread;

/// Reads the command line and carries it out. Once a process, first of all: it watches signals from then on.
#[must_use]
pub fn main() -> ExitCode {
    // First of all: descriptors that are opened later are haul's own.
    stdin::note_descriptors();
    let words: Vec<OsString> = std::env::args_os().collect();
    let place = Place::of(&words);
    let (settings, wrong) = match place.read(&command) {
        Ok(file) => (Settings::new(file), None),
        Err(error) => (Settings::default(), Some(error)),
    };
    aliases::hold(&settings.aliases());
    let parsed = habits::parse(words, &settings).and_then(|mut cli: Cli| {
        prepare::prepare(&mut cli.command).map_err(Unread::Usage)?;
        Ok(cli)
    });
    if let Some(error) = wrong.filter(|_| needs_settings(&parsed)) {
        return wrong_file(&error);
    }
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
        carry_out(&cli.command, &settings, &place, &signals)
    });
    match carried_out {
        Ok(code) => ExitCode::from(ending::after_all(code)),
        Err(error) => {
            console::tell(&format_args!("haul: {error:#}"));
            ExitCode::from(exit::FAILED)
        }
    }
}

/// Whether a command line does anything for which the settings count: not `haul config`, and not a help.
fn needs_settings(parsed: &Result<Cli, Unread>) -> bool {
    match parsed {
        Ok(cli) => !matches!(cli.command, Command::Config(_)),
        Err(Unread::Help(_)) => false,
        Err(Unread::Clap(error)) => error.use_stderr(),
        Err(Unread::Usage(_)) => true,
    }
}

/// Tells each mistake of the file of settings: nothing is sent.
fn wrong_file(error: &SettingsError) -> ExitCode {
    let told = error.to_string();
    for line in told.lines() {
        console::tell(&format_args!("haul: {line}"));
    }
    unread::events(&told);
    ExitCode::from(ending::after_all(exit::USAGE))
}

/// Whether a word of the command line shows as itself.
fn is_plain_word(word: &OsStr) -> bool {
    word.to_string_lossy().chars().all(is_plain)
}

fn carry_out(
    command: &Command,
    settings: &Settings,
    place: &Place,
    signals: &Signals,
) -> anyhow::Result<u8> {
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
        Command::Shell(shell) => shell::run(shell, settings, signals),
        Command::Trust(words) => trust::run(words, signals),
        Command::Discover(words) => Ok(discover::run(words, signals)),
        Command::Config(words) => Ok(config::run(words, place)),
        Command::Partials(partials) => partials::partials(&partials.words),
    }
}

/// The command line, for man pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    settings_rules::with_switches(Cli::command())
}
