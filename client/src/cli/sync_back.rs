//! `haul sync` in either direction: to a server, or from one.

use std::io;
use std::path::{Path, PathBuf};

use super::aliases;
use super::arguments::{SyncCommand, SyncOptions};
use super::commands;
use super::discover;
use super::ending::Ending;
use super::exit::Reason;
use super::get;
use super::get_words::{self, GetOptions};
use super::options::SendOptions;
use super::raw;
use super::signals::Signals;
use super::summary::Kind;
use super::usage::{End, Usage};
use crate::get::Get;
use crate::get::source::Source;
use crate::net::destination::{Destination, is_remote};
use crate::plan::policy::Delete;

/// Carries `haul sync` out, and returns the exit code.
///
/// # Errors
/// If threads can't be had.
pub(super) fn sync(words: &SyncCommand, signals: &Signals) -> anyhow::Result<u8> {
    let SyncCommand { sources, destination, options } = words;
    let texts: Vec<_> = sources.iter().filter_map(|source| source.to_str()).collect();
    let no_texts = sources.iter().filter(|source| source.to_str().is_none());
    let mut at_servers = no_texts.filter(|source| is_remote(&source.to_string_lossy()));
    let kind = if options.send.dry_run { Kind::DryRun } else { Kind::Get };
    let wrong =
        |usage: &Usage| Ok(Ending::new(options.output, kind, signals).fail(Reason::Usage, usage));
    if let Some(told) = at_servers.find_map(|source| raw::told(&[source.as_os_str().to_owned()])) {
        return wrong(&told);
    }
    if texts.iter().any(|text| is_remote(text)) {
        let found: Result<Vec<Source>, Usage> =
            texts.iter().map(|text| from_server(text)).collect();
        return match found.and_then(|sources| checked(options).map(|()| sources)) {
            Ok(mut found) if found.len() == sources.len() => {
                if let Err(usage) = options.connection.ssh.tell_sources(&mut found) {
                    return wrong(&usage);
                }
                discover::locate(found.iter_mut().map(Source::place_mut));
                Ok(back(&found, Path::new(&destination.text), options, signals))
            }
            Ok(_) => {
                wrong(&Usage(String::from("SRC are all at one server, or all on this machine")))
            }
            Err(usage) => wrong(&usage),
        };
    }
    if let Some(usage) = texts.iter().find_map(|text| below_an_alias(text)) {
        return wrong(&usage);
    }
    if let Some(usage) = both_forms(sources, destination) {
        return wrong(&usage);
    }
    destination.is_used();
    match &destination.server {
        Ok(server) => commands::sync(sources, server, options, signals),
        Err(usage) => wrong(usage),
    }
}

/// If no source is on this machine, and the first one may be a place at a server, written without `haul://`: how the command
/// is written in both directions. A destination that is a server beyond doubt leaves no doubt about the sources either.
fn both_forms(sources: &[PathBuf], destination: &End) -> Option<Usage> {
    let (source, end) = (sources.first()?, &destination.text);
    let may_get = || match &destination.server {
        Ok(_) => is_place(source) && !is_remote(end) && !matches!(aliases::meant(end), Ok(Some(_))),
        Err(_) => true,
    };
    if !sources.iter().all(|source| is_missing(source)) || !may_get() {
        return None;
    }
    let source = source.display();
    let to = if destination.server.is_ok() { end } else { "HOST/PATH" };
    Some(Usage(format!(
        "there is no `{source}` on this machine: to send a SRC that is here, write haul sync SRC {to}; to get, haul sync \
         haul://{source} {end}"
    )))
}

fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Whether a path that is not there may be one at a server: below a name that nothing here has.
fn is_place(path: &Path) -> bool {
    let text = path.to_str().and_then(|text| text.split_once('/'));
    text.is_some_and(|(host, below)| {
        !below.is_empty()
            && is_missing(Path::new(host))
            && format!("haul://{host}").parse::<Destination>().is_ok()
    })
}

/// A source that is not on this machine, and is written as a place below an alias would be.
fn below_an_alias(text: &str) -> Option<Usage> {
    let meant = aliases::meant(text).ok().flatten()?;
    let (name, path) = text.split_once('/').unwrap_or((text, ""));
    std::fs::symlink_metadata(text).is_err().then(|| {
        Usage(format!(
            "there is no `{text}` on this machine; as SRC of haul sync, the alias is written with a colon: {name}:{path}; {}",
            meant.told()
        ))
    })
}

/// A source at a server. Beside one at a server, one on this machine is wrong.
fn from_server(text: &str) -> Result<Source, Usage> {
    match is_remote(text) {
        true => get_words::source(text),
        false => Err(Usage(format!(
            "`{text}` is on this machine and another SRC at a server: one sync goes one way"
        ))),
    }
}

/// Options that only make sense for a source on this machine.
fn checked(options: &SyncOptions) -> Result<(), Usage> {
    let wrong = [
        (options.connection.congestion.is_some(), "--congestion"),
        (options.selection.one_file_system, "--one-file-system"),
    ];
    match wrong.into_iter().find(|(is_given, _)| *is_given) {
        Some((_, option)) => Err(Usage(format!(
            "{option} is for a SRC on this machine, and this one is at a server"
        ))),
        None => Ok(()),
    }
}

/// Makes a directory on this machine like those of a server.
fn back(sources: &[Source], directory: &Path, options: &SyncOptions, signals: &Signals) -> u8 {
    let SyncOptions { selection, send, connection, output, .. } = options;
    let SendOptions { dry_run, ignore_existing, receipt } = send;
    let checksum = options.checksum;
    let delete = options.delete.then_some(Delete {
        force: options.force_delete,
        all: options.delete_all,
        max: options.max_delete,
    });
    let options = GetOptions {
        rules: selection.rules.clone(),
        links: selection.links,
        files_from: selection.files_from.clone(),
        null: selection.null,
        receipt: receipt.clone(),
        dry_run: *dry_run,
        ignore_existing: *ignore_existing,
        durability: options.durability.clone(),
        connection: connection.clone(),
        output: *output,
        ..GetOptions::default()
    };
    let kind = if *dry_run { Kind::DryRun } else { Kind::Get };
    let ending = Ending::new(*output, kind, signals);
    if let Some(usage) = get::server(directory) {
        return ending.fail(Reason::Usage, &usage);
    }
    let mut builder = Get::builder(sources.iter().cloned(), directory).sync(delete);
    if checksum {
        builder = builder.checksum();
    }
    get::carry_out(&sources[0], builder, &options, &ending)
}
