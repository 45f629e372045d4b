//! `haul`: reads the command line and carries it out.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use haul_client::cli::{Cli, Command};
use haul_client::cli::{commands, ls, partials, shell};
use haul_client::exit;
use haul_client::source::stdin;
use haul_client::work::interrupt::Interrupt;

fn main() -> ExitCode {
    // First of all: whatever is opened later is haul's own.
    stdin::note_descriptors();
    let cli = Cli::parse();
    let code = Interrupt::install().and_then(|interrupt| match &cli.command {
        Command::Put(put) => {
            commands::put(&put.sources, &put.destination, &put.options, &interrupt)
        }
        Command::Sync(sync) => {
            commands::sync(&sync.source, &sync.destination, &sync.options, &interrupt)
        }
        Command::Publish(publish) => commands::publish(publish, &interrupt),
        Command::Verify(verify) => {
            commands::verify(&verify.source, &verify.destination, &verify.options, &interrupt)
        }
        Command::Ls(ls) => ls::run(&ls.destination, ls.options, &interrupt),
        Command::Shell(shell) => shell::run(shell, &interrupt),
        Command::Partials(partials) => partials::partials(&partials.words),
    });
    match code {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // Nothing can be told if standard error is gone.
            let _ = writeln!(io::stderr(), "haul: {error:#}");
            ExitCode::from(exit::FAILED)
        }
    }
}
