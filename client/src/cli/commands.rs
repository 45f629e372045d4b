//! The way of a command from its words to its exit code: `put`, `sync` and `verify`.

use std::fmt::Display as Show;
use std::io;
use std::path::{Path, PathBuf};

use haul_protocol::Op;

use super::arguments::{PublishCommand, PublishOptions, PutOptions, SyncOptions, VerifyOptions};
use super::console::{self, tell};
use super::display::Display;
use super::options::{ConnectionOptions, OutputOptions, Selection, SendOptions};
use super::signals::Signals;
use super::streams::{is_file_of_stdout, one_reader, single};
use super::summary::{Kind, Summary};
use super::{exit, oneshot};
use crate::net::destination::Destination;
use crate::plan::policy::Delete;
use crate::source::file_list::Separator;
use crate::source::links::Links;
use crate::transfer::Transfer;
use crate::transfer::builder::Builder;
use crate::transfer::error::{BuildError, TransferError};

/// Carries `haul put` out, and returns the exit code.
///
/// # Errors
/// If threads can't be had.
pub(super) fn put(
    sources: &[PathBuf],
    destination: &Destination,
    options: &PutOptions,
    signals: &Signals,
) -> anyhow::Result<u8> {
    let PutOptions { rename, selection, send, connection, output, .. } = options;
    if options.remove_source && selection.links == Links::Follow {
        return Ok(wrong(&BuildError::RemovesFollowed));
    }
    let commands = usize::from(options.from_command.is_some());
    if let Err(error) = one_reader(sources.iter().map(PathBuf::as_path), commands, selection) {
        return Ok(wrong(&error));
    }
    let _held = options.from_command.is_some().then(|| signals.hold_deadly());
    let builder = common(destination, selection, connection, signals);
    let mut builder = match single(sources, options) {
        Ok(None) => builder.put_renamed(sources, rename.as_deref()),
        Ok(Some(stream)) => builder.put_stream(stream.given, stream.label, stream.name),
        Err(error) => return Ok(wrong(&error)),
    };
    if options.remove_source {
        builder = builder.remove_source();
    }
    if options.classic {
        builder = builder.classic();
    }
    let builder = sending(builder, send, *output);
    let kind = if send.dry_run { Kind::DryRun } else { Kind::Run };
    carry_out(builder, kind, options.classic, *output, signals)
}

/// Carries `haul sync` out, and returns the exit code.
///
/// # Errors
/// If threads can't be had.
pub(super) fn sync(
    source: &Path,
    destination: &Destination,
    options: &SyncOptions,
    signals: &Signals,
) -> anyhow::Result<u8> {
    let SyncOptions { selection, send, connection, output, .. } = options;
    if let Err(error) = one_reader([source], 0, selection) {
        return Ok(wrong(&error));
    }
    let delete = options.delete.then_some(Delete {
        force: options.force_delete,
        all: options.delete_all,
        max: options.max_delete,
    });
    let mut builder = common(destination, selection, connection, signals).sync(source, delete);
    if options.checksum {
        builder = builder.checksum();
    }
    let builder = sending(builder, send, *output);
    let kind = if send.dry_run { Kind::DryRun } else { Kind::Run };
    carry_out(builder, kind, false, *output, signals)
}

/// Carries `haul verify` out, and returns the exit code.
///
/// # Errors
/// If threads can't be had.
pub(super) fn verify(
    source: &Path,
    destination: &Destination,
    options: &VerifyOptions,
    signals: &Signals,
) -> anyhow::Result<u8> {
    let VerifyOptions { selection, connection, output } = options;
    if let Err(error) = one_reader([source], 0, selection) {
        return Ok(wrong(&error));
    }
    let builder = common(destination, selection, connection, signals).verify(source);
    carry_out(builder, Kind::Verify, false, *output, signals)
}

/// Carries `haul publish` out, and returns the exit code.
///
/// # Errors
/// If threads can't be had.
pub(super) fn publish(words: &PublishCommand, signals: &Signals) -> anyhow::Result<u8> {
    let PublishCommand { source, destination, rollback, options } = words;
    let Some(name) = &destination.path else {
        return Ok(wrong(&BuildError::PublishesRoot));
    };
    let source = match source {
        Some(source) if !rollback => source,
        _ => {
            let rollback = Op::Rollback { name: name.clone() };
            let (requests, timeout) = ([(name.to_string(), rollback)], options.connection.timeout);
            let code = oneshot::ask(&destination.server, &requests, timeout, signals)?;
            if code == exit::OK && !options.output.quiet {
                let back = format_args!("{name}: the version before is back");
                console::line(&mut io::stdout(), &back);
            }
            return Ok(code);
        }
    };
    let PublishOptions { dry_run, receipt, selection, connection, output, .. } = options;
    let mut builder = common(destination, selection, connection, signals).publish(source);
    if options.checksum {
        builder = builder.checksum();
    }
    if options.delete_all {
        builder = builder.publish_empty();
    }
    let send = SendOptions { dry_run: *dry_run, receipt: receipt.clone(), ..Default::default() };
    let builder = sending(builder, &send, *output);
    let kind = if *dry_run { Kind::DryRun } else { Kind::Run };
    carry_out(builder, kind, false, *output, signals)
}

/// Standard input can be read once only.
fn common(
    destination: &Destination,
    selection: &Selection,
    connection: &ConnectionOptions,
    signals: &Signals,
) -> Builder {
    let ConnectionOptions { connections, retry_for, retries, timeout, limit_rate, .. } =
        *connection;
    let mut builder = Transfer::builder(destination.clone())
        .conflicts_are_checked()
        .interrupted_by(signals.interrupt())
        .rules(selection.rules.clone())
        .links(selection.links)
        .retry_for(retry_for)
        .timeout(timeout);
    if let Some(retries) = retries {
        builder = builder.retries(retries);
    }
    if let Some(list) = &selection.files_from {
        let separator = if selection.null { Separator::Nul } else { Separator::Line };
        builder = builder.files_from(list, separator);
    }
    if let Some(name) = &connection.congestion {
        builder = builder.congestion(name);
    }
    if let Some(connections) = connections {
        builder = builder.connections(connections.into());
    }
    if let Some(rate) = limit_rate {
        builder = builder.rate(rate);
    }
    builder
}

/// The policy of a command.
fn sending(mut builder: Builder, options: &SendOptions, output: OutputOptions) -> Builder {
    if options.dry_run {
        builder = builder.dry_run();
    }
    if options.ignore_existing {
        builder = builder.ignore_existing();
    }
    if let Some(receipt) = &options.receipt {
        builder = builder.receipt(receipt);
    }
    // Without a summary no other line is written to standard output.
    if output.quiet { builder } else { builder.check_receipt(is_not_stdout) }
}

/// Whether a receipt is another file than standard output: each would write over the other.
fn is_not_stdout(path: &Path) -> io::Result<()> {
    if is_file_of_stdout(path) {
        return Err(io::Error::other(
            "it is standard output, where the summary goes; name another file, or add --quiet",
        ));
    }
    Ok(())
}

/// The job that one command asks for.
fn carry_out(
    builder: Builder,
    kind: Kind,
    classic: bool,
    options: OutputOptions,
    signals: &Signals,
) -> anyhow::Result<u8> {
    let transfer = match builder.build() {
        Ok(transfer) => transfer,
        Err(error) => return Ok(wrong(&error)),
    };
    let mut display = Display::new(options, classic);
    signals.begin();
    let result = transfer.run(&mut display);
    let interrupted = signals.end();
    let (report, error) = match result {
        Ok(report) => (report, None),
        Err(TransferError::Connection { source, report }) => (*report, Some(source)),
        Err(TransferError::Stopped) => return Ok(exit::INTERRUPTED),
        Err(error) => return Err(error.into()),
    };
    display.end();
    if let Some(error) = &error {
        tell(&format_args!("haul: {error}"));
    }
    if let Some(error) = &report.receipt_error {
        tell(&format_args!("haul: the receipt is not complete: {error}"));
    }
    let summary = Summary::new(&report, interrupted, kind);
    if options.json {
        summary.print_json();
    } else if !options.quiet {
        summary.print();
    }
    if options.stats {
        summary.print_stats();
    }
    if interrupted {
        tell(
            &"haul: interrupted; what was counted is there, run the same command again for the rest: \
              large files go on where they stopped",
        );
        return Ok(exit::INTERRUPTED);
    }
    Ok(match error {
        Some(_) => exit::UNREACHABLE,
        None if report.is_success() => exit::OK,
        None => exit::FAILED,
    })
}

/// The command line makes no sense.
fn wrong(error: &dyn Show) -> u8 {
    tell(&format_args!("haul: {error}"));
    exit::USAGE
}
