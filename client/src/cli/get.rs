//! `haul get`: entries of a server come to this machine.

use std::fmt::Display as Show;
use std::path::Path;

use super::commands::{ended, is_not_stdout, tell};
use super::display::Display;
use super::ending::Ending;
use super::exit::Reason;
use super::get_words::{GetCommand, GetOptions};
use super::options::Selection;
use super::signals::Signals;
use super::streams::one_reader;
use super::summary::Kind;
use super::{access, cat, inside};
use crate::get::Get;
use crate::get::builder::Builder;
use crate::get::source::Source;
use crate::net::destination::is_remote;
use crate::source::file_list::Separator;
use crate::source::links::Links;
use crate::source::stdin::is_stdin;
use crate::target;
use crate::transfer::error::BuildError;

/// Carries `haul get` out, and returns the exit code.
pub(super) fn get(words: &GetCommand, signals: &Signals) -> u8 {
    let GetCommand { sources, directory, options } = words;
    let GetOptions { rename, dry_run, connection, output, .. } = options;
    let kind = if *dry_run { Kind::DryRun } else { Kind::Get };
    let ending = Ending::new(*output, kind, signals);
    let Some(first) = sources.first() else {
        return ending.fail(
            Reason::Usage,
            &"the last word is the directory on this machine that SRC goes into: haul get HOST/PATH DIR; \
              `.` is the present one",
        );
    };
    if let Some(why) = refused(options, is_stdin(directory)) {
        return ending.fail(Reason::Usage, &why);
    }
    if is_stdin(directory) {
        return match (&sources[..], rename) {
            ([source], None) => {
                cat::cat(std::slice::from_ref(source), connection.reaching, &ending)
            }
            _ => ending
                .fail(Reason::Usage, &"standard output takes a single file: haul get HOST/FILE -"),
        };
    }
    if let Some(name) = rename
        && let Err(error) = component(name)
    {
        return ending.fail(Reason::Usage, &error);
    }
    if let (Some(_), Some(source)) = (rename, sources.iter().find(|source| source.contents)) {
        let place = source.place().login();
        let why =
            format!("--as takes a single file, and the contents of a directory come from {place}");
        return ending.fail(Reason::Usage, &why);
    }
    if let Some(hint) = server(directory) {
        return ending.fail(Reason::Usage, &hint);
    }
    if let Some(hint) = inside::hint_here(sources, directory, options) {
        ending.hint(&hint);
    }
    let named = |source: &Source| match rename {
        Some(name) => source.clone().renamed(name),
        None => source.clone(),
    };
    let builder = Get::builder(sources.iter().map(named), directory);
    carry_out(first, builder, options, &ending)
}

/// The builder with everything that the options say.
fn wished(builder: Builder, options: &GetOptions, signals: &Signals) -> Builder {
    let GetOptions { rules, links, connection, .. } = options;
    let tries = connection.reaching.tries;
    let mut builder = builder
        .find_login(access::login)
        .interrupted_by(signals.interrupt())
        .rules(rules.clone())
        .links(*links)
        .retry_for(tries.retry_for)
        .timeout(tries.timeout);
    if let Some(retries) = tries.retries {
        builder = builder.retries(retries);
    }
    if let Some(connections) = connection.connections {
        builder = builder.connections(connections.into());
    }
    if let Some(rate) = connection.rate() {
        builder = builder.rate(rate);
    }
    if options.dry_run {
        builder = builder.dry_run();
    }
    if options.ignore_existing {
        builder = builder.ignore_existing();
    }
    if let Some(list) = &options.files_from {
        let separator = if options.null { Separator::Nul } else { Separator::Line };
        builder = builder.files_from(list, separator);
    }
    if let Some(receipt) = &options.receipt {
        builder = builder.receipt(receipt);
    }
    if !options.output.basic.quiet {
        builder = builder.check_receipt(is_not_stdout);
    }
    if options.durability.as_deref() == Some("none") {
        builder = builder.not_durable();
    }
    builder
}

/// Carries a run that brings entries here out, and returns the exit code.
pub(super) fn carry_out(
    first: &Source,
    builder: Builder,
    options: &GetOptions,
    ending: &Ending<'_>,
) -> u8 {
    let (signals, insecure) = (ending.signals(), options.connection.reaching.security.insecure);
    let kind = if options.dry_run { Kind::DryRun } else { Kind::Get };
    let selection = Selection {
        rules: options.rules.clone(),
        files_from: options.files_from.clone(),
        ..Selection::default()
    };
    if let Err(error) = one_reader([], 0, &selection) {
        return ending.fail(Reason::Usage, &error);
    }
    let _held = match options.receipt.as_ref().map(|_| signals.hold_deadly()).transpose() {
        Ok(held) => held,
        Err(error) => return ending.fail(Reason::System, &error),
    };
    let mut display = Display::new(options.output, kind, false).to(first.place());
    let trust = match access::trust(first.place(), insecure, signals, display.bar()) {
        Ok(trust) => trust,
        Err(error) => return ending.fail(Reason::Untrusted, &error),
    };
    let get = match wished(builder, options, signals).trust(trust).build() {
        Ok(get) => get,
        Err(BuildError::Credentials(error)) => {
            return ending.fail(Reason::of_credentials(&error), &error);
        }
        Err(error) => return ending.fail(Reason::Usage, &error),
    };
    target::open_more();
    signals.begin();
    let result = get.run(&mut display);
    let interrupted = signals.end();
    display.end();
    let (report, error) = match ended(result) {
        Ok(ended) => ended,
        Err(error) => return ending.fail(Reason::System, &error),
    };
    let reason = tell(ending, &report, error.as_ref(), false, interrupted);
    if interrupted {
        let large = match report.counts.bytes_held {
            0 => "",
            _ => ": large files go on where they stopped",
        };
        ending.error(&format_args!(
            "interrupted; what was counted is here, run the same command again for the rest{large}"
        ));
    }
    ending.over(Some(&report), reason)
}

/// An option that means nothing here.
fn refused(options: &GetOptions, is_stdout: bool) -> Option<String> {
    let GetOptions { rules, links, dry_run, ignore_existing, connection, output, .. } = options;
    let not_here = [
        (*dry_run, "--dry-run"),
        (options.files_from.is_some(), "--files-from"),
        (options.receipt.is_some(), "--receipt"),
        (*ignore_existing, "--ignore-existing"),
        (!rules.is_empty(), "--exclude"),
        (*links != Links::Copy, "--links"),
        (connection.rate().is_some(), "--limit-rate"),
        (connection.connections.is_some(), "--connections"),
        (output.basic.json, "--json"),
        (output.stats, "--stats"),
    ];
    if connection.congestion.is_some() {
        return Some(String::from(
            "--congestion is about bytes that this machine sends, and get receives",
        ));
    }
    let (_, option) = not_here.into_iter().find(|(is_given, _)| *is_given && is_stdout)?;
    Some(format!("{option} is for a DIR, and not for standard output"))
}

/// Whether a text is one component of a path.
fn component(name: &str) -> Result<(), impl Show + use<>> {
    let is_one = !name.is_empty() && !matches!(name, "." | "..") && !name.contains(['/', '\0']);
    match is_one && name.len() <= haul_protocol::limits::MAX_COMPONENT_LEN {
        true => Ok(()),
        false => Err(format!("--as {name}: not the name of one file; DIR says where it goes")),
    }
}

/// A directory that is written as a server is, and does not exist.
pub(super) fn server(directory: &Path) -> Option<String> {
    let text = directory.to_string_lossy();
    (!directory.exists() && is_remote(&text)).then(|| format!(
        "`{text}` is a server, and the last word is the directory on this machine that SRC goes into; \
         to send files there, write haul put"
    ))
}
