//! The way of a command from its words to its exit code: `put`, `sync` and `verify`.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Weak;

use haul_protocol::Op;

use super::oneshot;
use super::options::{Choice, How, Send, Tell};
use super::summary::Summary;
use super::{Publish, PublishOptions, PutOptions, SyncOptions, VerifyOptions};
use crate::connection::classic;
use crate::exit;
use crate::net::destination::Destination;
use crate::plan::given;
use crate::plan::given::Given;
use crate::plan::policy::{Delete, Mode, Policy};
use crate::plan::{Plan, PlanError, Root};
use crate::report::console::tell;
use crate::report::progress::{Progress, View};
use crate::source::command::Line;
use crate::source::filter::Filter;
use crate::source::links::Links;
use crate::source::stdin;
use crate::transfer::{self, Outcome};
use crate::work::interrupt::Interrupt;
use crate::work::on_commit::{Committed, Receipt, ReceiptError};

/// Carries `haul put` out, and returns the exit code.
///
/// # Errors
/// If threads can't be had.
pub fn put(
    sources: &[PathBuf],
    destination: &Destination,
    options: &PutOptions,
    interrupt: &Interrupt,
) -> anyhow::Result<u8> {
    let PutOptions { rename, remove_source, classic, choice, send, how, tell, .. } = options;
    if *remove_source && choice.links == Links::Follow {
        return Ok(wrong(
            &"--remove-source would remove what links lead to, outside of SRC: not with --links follow",
        ));
    }
    let job = || {
        let reads = sources.iter().filter(|path| stdin::is_stdin(path)).count();
        one_reader(reads + usize::from(options.from_command.is_some()), choice)?;
        let plan = match single(sources, options) {
            Ok(None) => plan(sources, destination, rename.as_deref(), choice)?,
            Ok(Some((given, label, name))) => {
                let plan = Plan::single(given, label, destination.path.as_ref(), name);
                plan.map_err(|error| error.to_string())?
            }
            Err(error) => return Err(error.to_string()),
        };
        let policy = policy(Mode::Put, choice, send)?;
        let committed = Committed {
            remove_source: *remove_source,
            receipt: receipt(send.receipt.as_deref(), tell)?,
            ..Committed::default()
        };
        Ok(Job { plan, destination, classic: *classic, how, policy, committed, tell: *tell })
    };
    carry_out(job(), interrupt)
}

/// The one source that has no path, what messages call it, and its name.
fn single<'a>(
    sources: &[PathBuf],
    options: &'a PutOptions,
) -> Result<Option<(Given, PathBuf, &'a str)>, PlanError> {
    let PutOptions { rename, from_command, choice, .. } = options;
    let rename = rename.as_deref();
    if let (Some(text), Some(name)) = (from_command, rename) {
        if !sources.is_empty() || choice.files_from.is_some() {
            return Err(PlanError::Command);
        }
        if text.trim().is_empty() {
            return Err(PlanError::Blank);
        }
        let line = Line { text: text.clone(), reads_stdin: !options.in_shell };
        return Ok(Some((Given::Command(line), text.into(), name)));
    }
    if !sources.iter().any(|source| source.as_os_str() == "-") {
        return Ok(None);
    }
    match (sources, rename) {
        ([_], Some(_)) if options.remove_source => Err(PlanError::RemoveStdin),
        ([_], Some(name)) if choice.files_from.is_none() => {
            Ok(Some((Given::Stdin, "standard input".into(), name)))
        }
        _ => Err(PlanError::Stdin),
    }
}

/// Carries `haul sync` out, and returns the exit code.
///
/// # Errors
/// If threads can't be had.
pub fn sync(
    source: &Path,
    destination: &Destination,
    options: &SyncOptions,
    interrupt: &Interrupt,
) -> anyhow::Result<u8> {
    let SyncOptions { choice, send, how, tell, .. } = options;
    let job = || {
        one_reader(usize::from(stdin::is_stdin(source)), choice)?;
        let plan = plan(&[source.to_owned()], destination, None, choice)?;
        let delete = options.delete.then_some(Delete {
            force: options.force_delete,
            all: options.delete_all,
            max: options.max_delete,
        });
        let policy = policy(Mode::Sync(delete), choice, send)?;
        let policy = Policy { by_digest: options.checksum, ..policy };
        let committed =
            Committed { receipt: receipt(send.receipt.as_deref(), tell)?, ..Committed::default() };
        Ok(Job { plan, destination, classic: false, how, policy, committed, tell: *tell })
    };
    carry_out(job(), interrupt)
}

/// Carries `haul verify` out, and returns the exit code.
///
/// # Errors
/// If threads can't be had.
pub fn verify(
    source: &Path,
    destination: &Destination,
    options: &VerifyOptions,
    interrupt: &Interrupt,
) -> anyhow::Result<u8> {
    let VerifyOptions { choice, how, tell } = options;
    let job = || {
        one_reader(usize::from(stdin::is_stdin(source)), choice)?;
        let plan = plan(&[source.to_owned()], destination, None, choice)?;
        // Extra entries are found as entries that would be removed.
        let extra = choice.files_from.is_none().then_some(Delete::HARMLESS);
        let policy = policy(Mode::Verify(extra), choice, &Send::default())?;
        let policy = Policy { by_digest: true, dry_run: true, ..policy };
        let committed = Committed::default();
        Ok(Job { plan, destination, classic: false, how, policy, committed, tell: *tell })
    };
    carry_out(job(), interrupt)
}

/// Carries `haul publish` out, and returns the exit code.
///
/// # Errors
/// If threads can't be had.
pub fn publish(words: &Publish, interrupt: &Interrupt) -> anyhow::Result<u8> {
    let Publish { source, destination, rollback, options } = words;
    let Some(name) = &destination.path else {
        return Ok(wrong(
            &"publish gives a directory its next version, and the server's root is none: HOST/DIR",
        ));
    };
    let source = match source {
        Some(source) if !rollback => source,
        _ => {
            let rollback = Op::Rollback { name: name.clone() };
            let code =
                oneshot::ask(&destination.server, &[(name.to_string(), rollback)], interrupt)?;
            if code == exit::OK && !options.tell.quiet {
                // The reader has had enough, or is there.
                let _ = writeln!(io::stdout(), "{name}: the version before is back");
            }
            return Ok(code);
        }
    };
    if !source.is_dir() {
        return Ok(wrong(&format_args!("{} is not a directory", source.display())));
    }
    if options.choice.files_from.is_some() {
        return Ok(wrong(&"--files-from names single files, and a version is a whole directory"));
    }
    let PublishOptions { checksum, delete_all, dry_run, receipt: file, choice, how, tell } =
        options;
    let job = || {
        let send = Send { dry_run: *dry_run, ..Send::default() };
        // In a tree that was left by an earlier run there may be more than is wanted, and nobody has seen it.
        let delete = Delete { all: *delete_all, ..Delete::HARMLESS };
        let policy = policy(Mode::Publish(name.clone(), delete), choice, &send)?;
        let policy = Policy { by_digest: *checksum, ..policy };
        let target = dry_run.then(|| name.clone());
        let given = Given::Path;
        let root = Root { source: source.clone(), target, contents: true, given };
        let plan = Plan { roots: vec![root], named: None };
        let receipt = receipt(file.as_deref(), tell)?;
        let below = Some(name.clone());
        let committed = Committed { receipt, below, ..Committed::default() };
        Ok(Job { plan, destination, classic: false, how, policy, committed, tell: *tell })
    };
    carry_out(job(), interrupt)
}

/// Standard input can be read once only.
fn one_reader(sources: usize, choice: &Choice) -> Result<(), String> {
    let lists = choice.files_from.iter().filter(|list| stdin::is_stdin(list)).count();
    match sources + lists + choice.rules.reads_stdin() {
        // Without `--exclude-from -` other messages say more, and descriptors of files may be read again.
        2.. if choice.rules.reads_stdin() > 0 => Err(PlanError::StdinTwice.to_string()),
        _ => Ok(()),
    }
}

/// The plan of a command.
fn plan(
    sources: &[PathBuf],
    destination: &Destination,
    rename: Option<&str>,
    choice: &Choice,
) -> Result<Plan, String> {
    let plan = Plan::new(sources, destination.path.as_ref(), rename);
    match &choice.files_from {
        Some(list) => plan.and_then(|plan| plan.only(list, choice.null)),
        None => plan,
    }
    .map_err(|error| error.to_string())
}

/// The policy of a command.
fn policy(mode: Mode, choice: &Choice, send: &Send) -> Result<Policy, String> {
    let filter = Filter::new(&choice.rules).map_err(|error| error.to_string())?;
    let Send { dry_run, ignore_existing, .. } = *send;
    Ok(Policy { links: choice.links, dry_run, ignore_existing, ..Policy::new(mode, filter) })
}

fn receipt(path: Option<&Path>, tell: &Tell) -> Result<Option<Receipt>, String> {
    let create = |path: &Path| {
        let failed = |source| ReceiptError::Io { path: path.to_owned(), source };
        stdin::check_descriptor(path).map_err(failed)?;
        // Each would write over the other.
        if !tell.quiet && stdin::is_file_of_stdout(path) {
            let told =
                "it is standard output, where the summary goes; name another file, or add --quiet";
            return Err(failed(io::Error::other(told)));
        }
        Receipt::create(path)
    };
    path.map(create).transpose().map_err(|error| error.to_string())
}

/// The job that one command asks for.
struct Job<'a> {
    plan: Plan,
    destination: &'a Destination,
    classic: bool,
    how: &'a How,
    policy: Policy,
    committed: Committed,
    tell: Tell,
}

/// Does a job, if its words made sense; tells what came of it.
fn carry_out(job: Result<Job<'_>, String>, interrupt: &Interrupt) -> anyhow::Result<u8> {
    let mut job = match job {
        Ok(job) => job,
        Err(error) => return Ok(wrong(&error)),
    };
    interrupt.begin(Weak::new());
    if !given::take(&mut job.plan, job.policy.links, &|| interrupt.is_set()) {
        interrupt.end();
        return Ok(exit::INTERRUPTED);
    }
    let Job { plan, destination, how, policy, committed, tell: options, .. } = &job;
    let progress = Progress::new(View::choose(options.json, options.quiet), options.verbose);
    if committed.remove_source {
        for root in plan.roots.iter().filter(|root| matches!(root.given, Given::Opened(_))) {
            progress.stays(&root.source, "--remove-source removes neither streams nor descriptors");
        }
    }
    let outcome = if job.classic {
        if !options.quiet {
            tell(&classic::NOTICE);
        }
        interrupt.begin(Weak::new());
        let error = classic::run(plan, &destination.server, &progress, interrupt).err();
        Outcome { error, interrupted: interrupt.end(), durability: None }
    } else {
        let (retries, timeout, rate) = (how.retries, how.timeout, how.limit_rate);
        let how = transfer::Options { connections: how.connections(), retries, timeout, rate };
        transfer::run(plan, &destination.server, how, policy, committed, &progress, interrupt)?
    };
    let interrupted = outcome.interrupted;
    if let Some(error) = &outcome.error {
        tell(&format_args!("haul: {error}"));
    }
    let receipt = committed.receipt.as_ref().map_or(Ok(()), Receipt::finish);
    if let Err(error) = &receipt {
        tell(&format_args!("haul: the receipt is not complete: {error}"));
    }
    let counts = progress.counts();
    let summary = Summary::new(counts, progress.elapsed(), outcome.durability, interrupted, policy)
        .published(progress.is_published());
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
    Ok(match outcome.error {
        Some(_) => exit::UNREACHABLE,
        None if counts.failed > 0 || counts.different > 0 || receipt.is_err() => exit::FAILED,
        None => exit::OK,
    })
}

/// The command line makes no sense.
fn wrong(error: &dyn Display) -> u8 {
    tell(&format_args!("haul: {error}"));
    exit::USAGE
}
