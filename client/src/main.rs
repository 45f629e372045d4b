//! `haul`: reads the command line and carries it out.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use haul_client::cli::{Cli, Command};
use haul_client::interrupt::Interrupt;
use haul_client::{exit, given, job, ls, offline, shell};

fn main() -> ExitCode {
    // First of all: whatever is opened later is haul's own.
    given::note_descriptors();
    let cli = Cli::parse();
    let code = Interrupt::install().and_then(|interrupt| match &cli.command {
        Command::Put(put) => job::put(&put.sources, &put.destination, &put.options, &interrupt),
        Command::Sync(sync) => {
            job::sync(&sync.source, &sync.destination, &sync.options, &interrupt)
        }
        Command::Publish(publish) => job::publish(publish, &interrupt),
        Command::Verify(verify) => {
            job::verify(&verify.source, &verify.destination, &verify.options, &interrupt)
        }
        Command::Ls(ls) => ls::run(&ls.destination, ls.options, &interrupt),
        Command::Shell(shell) => shell::run(shell, &interrupt),
        Command::Partials(partials) => offline::partials(&partials.words),
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
