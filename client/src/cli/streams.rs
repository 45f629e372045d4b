//! Sources that have no path, standard input and the output of a command; and the rules for the use of standard input
//! and standard output.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::arguments::PutOptions;
use super::options::Selection;
use crate::plan::given::Given;
use crate::source::command::Line;
use crate::source::stdin;

/// The words of a command line that name a stream make no sense.
#[derive(Debug, Error)]
pub(super) enum StreamError {
    /// Standard input has no name of its own, or is one of several sources.
    #[error(
        "`-` is standard input: it is sent alone, and needs --as NAME (a file of that name is ./-)"
    )]
    Stdin,
    /// A command is a source by itself.
    #[error("--from-command is sent alone, without SRC and --files-from")]
    Command,
    /// There is no command.
    #[error("--from-command: there is no command in it, and what nothing writes is not stored")]
    Blank,
    /// Two readers of one stream.
    #[error(
        "only one of SRC, --from-command, --files-from and --exclude-from can read standard input"
    )]
    StdinTwice,
    /// A stream has no name that could be removed.
    #[error("--remove-source: standard input has no file that could be removed")]
    RemoveStdin,
}

/// A source that has no path.
pub(super) struct Stream<'a> {
    pub(super) given: Given,
    /// Its name in messages.
    pub(super) label: PathBuf,
    /// Its name at the destination.
    pub(super) name: &'a str,
}

/// The one source that has no path, if it is such a one.
pub(super) fn single<'a>(
    sources: &[PathBuf],
    options: &'a PutOptions,
) -> Result<Option<Stream<'a>>, StreamError> {
    let PutOptions { rename, from_command, selection, .. } = options;
    let rename = rename.as_deref();
    if let (Some(text), Some(name)) = (from_command, rename) {
        if !sources.is_empty() || selection.files_from.is_some() {
            return Err(StreamError::Command);
        }
        if text.trim().is_empty() {
            return Err(StreamError::Blank);
        }
        let line = Line { text: text.clone(), reads_stdin: !options.in_shell };
        return Ok(Some(Stream { given: Given::Command(line), label: text.into(), name }));
    }
    if !sources.iter().any(|source| source.as_os_str() == "-") {
        return Ok(None);
    }
    match (sources, rename) {
        ([_], Some(_)) if options.remove_source => Err(StreamError::RemoveStdin),
        ([_], Some(name)) if selection.files_from.is_none() => {
            Ok(Some(Stream { given: Given::Stdin, label: "standard input".into(), name }))
        }
        _ => Err(StreamError::Stdin),
    }
}

/// Standard input can be read once only.
pub(super) fn one_reader<'a>(
    sources: impl IntoIterator<Item = &'a Path>,
    commands: usize,
    selection: &Selection,
) -> Result<(), StreamError> {
    let sources = sources.into_iter().filter(|path| stdin::is_stdin(path)).count();
    let lists = selection.files_from.iter().filter(|list| stdin::is_stdin(list)).count();
    match sources + commands + lists + selection.rules.reads_stdin() {
        // Without `--exclude-from -` other messages say more, and descriptors of files may be read again.
        2.. if selection.rules.reads_stdin() > 0 => Err(StreamError::StdinTwice),
        _ => Ok(()),
    }
}

/// Whether a path leads to the regular file that standard output is written to.
#[cfg(unix)]
pub(super) fn is_file_of_stdout(path: &Path) -> bool {
    use std::fs::{File, Metadata};
    use std::io;
    use std::os::fd::AsFd;

    use crate::source::identity;

    let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let stdout = stdout.and_then(|stdout| stdout.metadata());
    let same =
        |(one, other): (Metadata, Metadata)| one.is_file() && identity(&one) == identity(&other);
    stdout.ok().zip(path.metadata().ok()).is_some_and(same)
}

/// There are no paths of descriptors here.
#[cfg(not(unix))]
pub(super) fn is_file_of_stdout(_: &Path) -> bool {
    false
}
