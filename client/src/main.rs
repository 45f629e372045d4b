//! `haul`: reads the command line, carries it out, tells what came of it.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use haul_client::classic;
use haul_client::cli::{Cli, Command, How, Put, Shell, Tell};
use haul_client::destination::Destination;
use haul_client::exit;
use haul_client::filter::{Filter, Rules};
use haul_client::interrupt::Interrupt;
use haul_client::offline;
use haul_client::plan::Plan;
use haul_client::progress::{Progress, View};
use haul_client::shell;
use haul_client::summary::Summary;
use haul_client::sync::{Delete, Sync};
use haul_client::transfer::{self, Outcome};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let code = Interrupt::install().and_then(|interrupt| match &cli.command {
        Command::Put(put) => {
            let mut sync = match filter(&put.rules) {
                Ok(filter) => Sync::new(filter),
                Err(code) => return Ok(code),
            };
            sync.dry_run = put.dry_run;
            let Put { sources, destination, rename, classic, how, tell, .. } = put;
            let (rename, classic) = (rename.as_deref(), *classic);
            upload(
                Job { sources, destination, rename, classic, how, sync, tell: *tell },
                &interrupt,
            )
        }
        Command::Sync(options) => {
            let mut sync = match filter(&options.rules) {
                Ok(filter) => Sync::new(filter),
                Err(code) => return Ok(code),
            };
            sync.only_changed = true;
            sync.dry_run = options.dry_run;
            let delete =
                options.delete.then(|| Delete::new(options.force_delete, options.max_delete));
            sync.delete = delete;
            let job = Job {
                sources: std::slice::from_ref(&options.source),
                destination: &options.destination,
                rename: None,
                classic: false,
                how: &options.how,
                sync,
                tell: options.tell,
            };
            upload(job, &interrupt)
        }
        Command::Partials(partials) => offline::partials(&partials.words),
        Command::Shell(options) => shell::run(|files| {
            let sync = match filter(&Rules::default()) {
                Ok(filter) => Sync::new(filter),
                Err(code) => return code,
            };
            let Shell { destination, classic, how } = options;
            let (classic, tell_all) = (*classic, Tell::default());
            let job = Job {
                sources: files,
                destination,
                rename: None,
                classic,
                how,
                sync,
                tell: tell_all,
            };
            upload(job, &interrupt).unwrap_or_else(|error| {
                tell(&format_args!("haul: {error:#}"));
                exit::FAILED
            })
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

/// The rules of a command line, or the exit code if they make no sense.
fn filter(rules: &Rules) -> Result<Filter, u8> {
    Filter::new(rules).map_err(|error| {
        tell(&format_args!("haul: {error}"));
        exit::USAGE
    })
}

/// What one command asks for.
struct Job<'a> {
    sources: &'a [PathBuf],
    destination: &'a Destination,
    rename: Option<&'a str>,
    classic: bool,
    how: &'a How,
    sync: Sync,
    tell: Tell,
}

/// Uploads, tells what came of it, and returns the exit code.
fn upload(job: Job<'_>, interrupt: &Interrupt) -> anyhow::Result<u8> {
    let Job { sources, destination, rename, classic, how, sync, tell: options } = job;
    let plan = match Plan::new(sources, destination.path.as_ref(), rename) {
        Ok(plan) => plan,
        Err(error) => {
            tell(&format_args!("haul: {error}"));
            return Ok(exit::USAGE);
        }
    };
    let progress = Progress::new(View::choose(options.json, options.quiet), options.verbose);
    let outcome = if classic {
        if !options.quiet {
            tell(&classic::NOTICE);
        }
        interrupt.begin(std::sync::Weak::new());
        let error = classic::run(&plan, &destination.server, &progress, interrupt).err();
        Outcome { error, interrupted: interrupt.end(), durability: None }
    } else {
        let (retries, timeout) = (how.retries, how.timeout);
        let how = transfer::Options { connections: how.connections(), retries, timeout };
        transfer::run(&plan, &destination.server, how, &sync, &progress, interrupt)?
    };
    let counts = progress.counts();
    let interrupted = outcome.interrupted;
    if let Some(error) = &outcome.error {
        tell(&format_args!("haul: {error}"));
    }
    let (elapsed, dry_run) = (progress.elapsed(), sync.dry_run);
    let summary = Summary::new(counts, elapsed, outcome.durability, interrupted, dry_run);
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
