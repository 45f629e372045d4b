//! `haul`: reads the command line, carries it out, tells what came of it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use haul_client::classic;
use haul_client::cli::{Cli, Command, How, Tell};
use haul_client::destination::Destination;
use haul_client::exit;
use haul_client::interrupt::Interrupt;
use haul_client::offline;
use haul_client::plan::Plan;
use haul_client::progress::{Progress, View};
use haul_client::shell;
use haul_client::summary::Summary;
use haul_client::transfer::{self, Outcome};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let code = Interrupt::install().and_then(|interrupt| match &cli.command {
        Command::Put(options) => put(
            &options.sources,
            &options.destination,
            options.rename.as_deref(),
            &options.how,
            options.tell,
            &interrupt,
        ),
        Command::Partials(partials) => offline::partials(&partials.words),
        Command::Shell(options) => shell::run(|files| {
            let (how, tell_all) = (&options.how, Tell::default());
            put(files, &options.destination, None, how, tell_all, &interrupt).unwrap_or_else(
                |error| {
                    tell(&format_args!("haul: {error:#}"));
                    exit::FAILED
                },
            )
        }),
    });
    match code {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            tell(&format_args!("haul: {error:#}"));
            ExitCode::from(exit::FAILED)
        }
    }
}

/// Uploads, tells what came of it, and returns the exit code.
fn put(
    sources: &[PathBuf],
    destination: &Destination,
    rename: Option<&str>,
    how: &How,
    options: Tell,
    interrupt: &Interrupt,
) -> anyhow::Result<u8> {
    let plan = match Plan::new(sources, destination.path.as_ref(), rename) {
        Ok(plan) => plan,
        Err(error) => {
            tell(&format_args!("haul: {error}"));
            return Ok(exit::USAGE);
        }
    };
    let progress = Progress::new(View::choose(options.json, options.quiet), options.verbose);
    let outcome = if how.classic {
        if !options.quiet {
            tell(&classic::NOTICE);
        }
        interrupt.begin(std::sync::Weak::new());
        let error = classic::run(&plan, &destination.server, &progress, interrupt).err();
        Outcome { error, interrupted: interrupt.end(), durability: None }
    } else {
        let (retries, timeout) = (how.retries, how.timeout);
        let how = transfer::Options { connections: how.connections(), retries, timeout };
        transfer::run(&plan, &destination.server, how, &progress, interrupt)?
    };
    let counts = progress.counts();
    let interrupted = outcome.interrupted;
    if let Some(error) = &outcome.error {
        tell(&format_args!("haul: {error}"));
    }
    let summary = Summary::new(counts, progress.elapsed(), outcome.durability, interrupted);
    if options.json {
        summary.print_json();
    } else if !options.quiet {
        summary.print();
    }
    if interrupted {
        tell(
            &"haul: interrupted; what was counted is there, run the same command again for the rest: \
              large files go on where they stopped",
        );
        return Ok(exit::INTERRUPTED);
    }
    Ok(match (outcome.error, counts.failed) {
        (Some(_), _) => exit::UNREACHABLE,
        (None, 0) => exit::OK,
        (None, _) => exit::FAILED,
    })
}

fn tell(text: &dyn std::fmt::Display) {
    // Nothing can be told if standard error is gone.
    let _ = writeln!(io::stderr(), "{text}");
}
