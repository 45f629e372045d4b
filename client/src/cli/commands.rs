//! The way of a command from its words to its exit code: `put`, `sync` and `verify`.

use std::fmt::Display as Show;
use std::io;
use std::path::{Path, PathBuf};

use super::arguments::{PublishCommand, PublishOptions, PutOptions, SyncOptions, VerifyOptions};
use super::display::Display;
use super::ending::Ending;
use super::exit::Reason;
use super::options::{ConnectionOptions, OutputOptions, Selection, SendOptions, Tries};
use super::signals::Signals;
use super::streams::{is_file_of_stdout, one_reader, single};
use super::summary::Kind;
use super::{access, inside, unreached};
use crate::error::ConnectionError;
use crate::net::destination::Destination;
use crate::plan::policy::Delete;
use crate::source::file_list::Separator;
use crate::source::links::Links;
use crate::transfer::Transfer;
use crate::transfer::builder::Builder;
use crate::transfer::error::{BuildError, TransferError};
use crate::transfer::outcome::Report;

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
    let kind = if send.dry_run { Kind::DryRun } else { Kind::Run };
    let ending = Ending::new(*output, kind, signals);
    let wrong = |error: &dyn Show| Ok(ending.fail(Reason::Usage, error));
    if options.remove_source && selection.links == Links::Follow {
        return wrong(&BuildError::RemovesFollowed);
    }
    let commands = usize::from(options.from_command.is_some());
    if let Err(error) = one_reader(sources.iter().map(PathBuf::as_path), commands, selection) {
        return wrong(&error);
    }
    let is_held = options.from_command.is_some() || send.receipt.is_some();
    let _held = is_held.then(|| signals.hold_deadly()).transpose()?;
    let builder = common(destination, selection, connection, signals);
    let mut builder = match single(sources, options) {
        Ok(None) => builder.put_renamed(sources, rename.as_deref()),
        Ok(Some(stream)) => builder.put_stream(stream.given, stream.label, stream.name),
        Err(error) => return wrong(&error),
    };
    if options.remove_source {
        builder = builder.remove_source();
    }
    if options.classic {
        builder = builder.classic();
    }
    let builder = sending(builder, send, *output);
    let display = Display::new(*output, kind, options.classic);
    if let Some(hint) = inside::hint(sources, destination, options) {
        ending.hint(&hint);
    }
    Ok(carry_out(destination, builder, display, &ending, connection))
}

/// Carries `haul sync` out, and returns the exit code.
///
/// # Errors
/// If threads can't be had.
pub(super) fn sync(
    sources: &[PathBuf],
    destination: &Destination,
    options: &SyncOptions,
    signals: &Signals,
) -> anyhow::Result<u8> {
    let SyncOptions { selection, send, connection, output, .. } = options;
    let kind = if send.dry_run { Kind::DryRun } else { Kind::Run };
    let ending = Ending::new(*output, kind, signals);
    if options.durability.is_some() {
        let message = "--durability is for a SRC at a server; with one on this machine the server decides: hauld --durability";
        return Ok(ending.fail(Reason::Usage, &message));
    }
    if let Err(error) = one_reader(sources.iter().map(PathBuf::as_path), 0, selection) {
        return Ok(ending.fail(Reason::Usage, &error));
    }
    let _held = send.receipt.is_some().then(|| signals.hold_deadly()).transpose()?;
    let delete = options.delete.then_some(Delete {
        force: options.force_delete,
        all: options.delete_all,
        max: options.max_delete,
    });
    let mut builder = common(destination, selection, connection, signals).sync_all(sources, delete);
    if options.checksum {
        builder = builder.checksum();
    }
    let builder = sending(builder, send, *output);
    Ok(carry_out(destination, builder, Display::new(*output, kind, false), &ending, connection))
}

/// Carries `haul verify` out, and returns the exit code.
///
/// # Errors
/// If threads can't be had.
pub(super) fn verify(
    sources: &[PathBuf],
    destination: &Destination,
    options: &VerifyOptions,
    signals: &Signals,
) -> anyhow::Result<u8> {
    let VerifyOptions { reread, selection, connection, output } = options;
    let ending = Ending::new(*output, Kind::Verify, signals);
    if let Err(error) = one_reader(sources.iter().map(PathBuf::as_path), 0, selection) {
        return Ok(ending.fail(Reason::Usage, &error));
    }
    let mut builder = common(destination, selection, connection, signals).verify_all(sources);
    if *reread {
        builder = builder.reread();
    }
    Ok(carry_out(
        destination,
        builder,
        Display::new(*output, Kind::Verify, false),
        &ending,
        connection,
    ))
}

/// Carries `haul publish` out, and returns the exit code.
///
/// # Errors
/// If threads can't be had.
pub(super) fn publish(words: &PublishCommand, signals: &Signals) -> anyhow::Result<u8> {
    let PublishCommand { source, destination, options, .. } = words;
    let PublishOptions { dry_run, receipt, selection, connection, output, .. } = options;
    let kind = if *dry_run { Kind::DryRun } else { Kind::Run };
    let ending = Ending::new(*output, kind, signals);
    if destination.path.is_none() {
        return Ok(ending.fail(Reason::Usage, &BuildError::PublishesRoot));
    }
    let Some(source) = source else {
        return Ok(ending.fail(Reason::Usage, &"publish what? haul publish SRC DEST"));
    };
    let _held = receipt.is_some().then(|| signals.hold_deadly()).transpose()?;
    let mut builder = common(destination, selection, connection, signals).publish(source);
    if options.checksum {
        builder = builder.checksum();
    }
    if options.delete_all {
        builder = builder.publish_empty();
    }
    let send = SendOptions { dry_run: *dry_run, receipt: receipt.clone(), ..Default::default() };
    let builder = sending(builder, &send, *output);
    Ok(carry_out(destination, builder, Display::new(*output, kind, false), &ending, connection))
}

/// Standard input can be read once only.
fn common(
    destination: &Destination,
    selection: &Selection,
    connection: &ConnectionOptions,
    signals: &Signals,
) -> Builder {
    let Tries { retry_for, retries, timeout } = connection.reaching.tries;
    let mut builder = Transfer::builder(destination.clone())
        .conflicts_are_checked()
        .find_login(access::login)
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
    if selection.one_file_system {
        builder = builder.one_file_system();
    }
    if let Some(name) = &connection.congestion {
        builder = builder.congestion(name);
    }
    if let Some(connections) = connection.connections {
        builder = builder.connections(connections.into());
    }
    if let Some(rate) = connection.rate() {
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
    if output.basic.quiet { builder } else { builder.check_receipt(is_not_stdout) }
}

/// Whether a receipt is another file than standard output: each would write over the other.
pub(super) fn is_not_stdout(path: &Path) -> io::Result<()> {
    if is_file_of_stdout(path) {
        return Err(io::Error::other(
            "it is standard output, where the summary goes; name another file, or add --quiet",
        ));
    }
    Ok(())
}

/// The job that one command asks for; returns the exit code.
fn carry_out(
    destination: &Destination,
    builder: Builder,
    display: Display,
    ending: &Ending<'_>,
    connection: &ConnectionOptions,
) -> u8 {
    let mut display = display.to(destination);
    let (signals, insecure) = (ending.signals(), connection.reaching.security.insecure);
    let trust = match access::trust(destination, insecure, signals, display.bar()) {
        Ok(trust) => trust,
        Err(error) => return ending.fail(Reason::Untrusted, &error),
    };
    let builder = builder.trust(trust);
    let publishes = builder.publishes();
    let transfer = match builder.build() {
        Ok(transfer) => transfer,
        Err(BuildError::Credentials(error)) => {
            return ending.fail(Reason::of_credentials(&error), &error);
        }
        Err(error) => return ending.fail(Reason::Usage, &error),
    };
    signals.begin();
    let result = transfer.run(&mut display);
    let interrupted = signals.end();
    display.end();
    let is_classic = display.is_classic();
    let (report, error) = match ended(result) {
        Ok(ended) => ended,
        Err(TransferError::Stopped) => {
            ending.error(&"interrupted before anything was sent");
            return ending.over(None, Reason::Interrupted);
        }
        Err(error) => return ending.fail(Reason::System, &error),
    };
    let reason = tell(ending, &report, error.as_ref(), is_classic, interrupted);
    if interrupted {
        let large = match report.counts.bytes_held {
            0 => "",
            _ => ": large files go on where they stopped",
        };
        match (publishes, report.publish_unanswered) {
            (true, true) => ending.error(
                &"interrupted before the server has answered whether the new version is published; run the same command \
                  again, which publishes it if it is not",
            ),
            (true, false) if !report.published => ending.error(&format_args!(
                "interrupted; nothing is published; run the same command again, which goes on with what was sent{large}"
            )),
            _ => ending.error(&format_args!(
                "interrupted; what was counted is there, run the same command again for the rest{large}"
            )),
        }
    }
    ending.over(Some(&report), reason)
}

/// The report of a run, and the error that has ended it early.
///
/// # Errors
/// If there is no report.
pub(super) fn ended(
    result: Result<Report, TransferError>,
) -> Result<(Report, Option<ConnectionError>), TransferError> {
    match result {
        Ok(report) => Ok((report, None)),
        Err(TransferError::Connection { source, report }) => Ok((*report, Some(source))),
        Err(error) => Err(error),
    }
}

/// Tells the error that has ended a run early, and returns the reason for the end.
pub(super) fn tell(
    ending: &Ending<'_>,
    report: &Report,
    error: Option<&ConnectionError>,
    is_classic: bool,
    interrupted: bool,
) -> Reason {
    if let Some(error) = error
        && !(interrupted && error.may_be_ctrl_c())
    {
        // A classic server is no hauld.
        match is_classic {
            true => ending.unreached(error.to_string()),
            false => ending.unreached(unreached::told(error)),
        }
    }
    if let Some(error) = &report.receipt_error {
        ending.error(&format_args!("the receipt is not complete: {error}"));
    }
    match error {
        _ if interrupted => Reason::Interrupted,
        Some(error) => Reason::of(error, report.durability.is_some()),
        None if report.is_success() => Reason::Done,
        None if report.counts.failed == 0 && report.receipt_error.is_none() => Reason::Different,
        None => Reason::Failed,
    }
}
