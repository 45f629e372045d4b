//! The classic prompt: `>>: put a.txt`. Without a terminal it takes the same commands from a pipe.

mod complete;
mod line;

use std::io::{self, BufRead, IsTerminal};

use haul_protocol::Name;
use rustyline::Editor;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;

use super::arguments::ShellCommand;

use super::console::{self, tell};
use super::ending::Ending;
use super::get_words::{CatCommand, GetCommand};
use super::mv::{self, Place};
use super::over_ssh::SshOptions;
use super::settings::Settings;
use super::signals::Signals;
use super::{cat, commands, exit, get, ls, mkdir, rm};
use crate::get::source::Source;
use crate::net::destination::Destination;
use crate::source::stdin;
use complete::Completion;
use line::{Command, Word, parse};

/// The prompt, as in the classic tutorial.
const PROMPT: &str = ">>: ";

const HELP: &str = "\
put FILE...          upload files and directories (quote names with spaces)
sync DIR [PATH]      upload only what differs; --delete, --dry-run, --checksum as for haul sync
verify DIR [PATH]    compare contents with what is there
get PATH [DIR]       bring a file or directory here, into DIR
cat PATH...          show files
ls [PATH]            what is there; -l, -R, --json as for haul ls
mkdir PATH...        make directories
rm PATH...           remove files; -r: directories with all that is in them
mv PATH PATH         rename a file or directory, or move it into a directory; -f replaces
help                 this text; COMMAND --help tells all options
quit                 leave (also Ctrl-D; Ctrl-C ends a transfer)";

/// Runs until the user leaves or input ends; returns the worst exit code of all commands.
///
/// # Errors
/// If the terminal or the pipe fails.
pub(super) fn run(
    options: &ShellCommand,
    settings: &Settings,
    signals: &Signals,
) -> anyhow::Result<u8> {
    let mut shell = Prompt { options, settings, signals, worst: exit::OK };
    if !io::stdin().is_terminal() {
        for line in io::stdin().lock().lines() {
            // A user who interrupts a script means all of it.
            if !shell.obey(&line?) || shell.worst == exit::INTERRUPTED {
                break;
            }
        }
        return Ok(shell.worst);
    }
    let mut editor: Editor<Completion<'_>, DefaultHistory> = Editor::new()?;
    let insecure = options.connection.reaching.security.insecure;
    let completion = Completion::new(&options.destination, options.classic, insecure);
    editor.set_helper(Some(completion));
    loop {
        match editor.readline(PROMPT) {
            Ok(line) => {
                editor.add_history_entry(line.as_str())?;
                if !shell.obey(&line) {
                    break;
                }
            }
            // As in a shell: Ctrl-C drops the line, Ctrl-D leaves.
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(shell.worst)
}

struct Prompt<'a> {
    options: &'a ShellCommand,
    settings: &'a Settings,
    signals: &'a Signals,
    worst: u8,
}

impl Prompt<'_> {
    /// Carries a line out; `false` if it is the last one.
    fn obey(&mut self, line: &str) -> bool {
        let code = match parse(line, self.options, self.settings) {
            Command::Nothing => exit::OK,
            Command::Quit => return false,
            Command::Help(text) => {
                console::lines(&mut io::stdout(), text.as_deref().unwrap_or(HELP));
                exit::OK
            }
            Command::Do(word) => self.carry_out(*word).unwrap_or_else(|error| {
                tell(&format_args!("haul: {error:#}"));
                exit::FAILED
            }),
            Command::Wrong(what) => {
                console::lines(&mut io::stderr(), &format!("haul: {what}"));
                exit::FAILED
            }
        };
        self.worst = self.worst.max(code);
        true
    }

    fn carry_out(&self, word: Word) -> anyhow::Result<u8> {
        let (destination, signals) = (&self.options.destination, self.signals);
        let reaching = self.options.connection.reaching;
        let list = match &word {
            Word::Put { options, .. } => &options.selection.files_from,
            Word::Sync { options, .. } => &options.selection.files_from,
            Word::Verify { options, .. } => &options.selection.files_from,
            Word::Get { options, .. } => &options.files_from,
            _ => &None,
        };
        let sources = match &word {
            Word::Put { files, .. } => &files[..],
            Word::Sync { source, .. } | Word::Verify { source, .. } => std::slice::from_ref(source),
            _ => &[],
        };
        let rules = match &word {
            Word::Put { options, .. } => options.selection.rules.reads_stdin(),
            Word::Sync { options, .. } => options.selection.rules.reads_stdin(),
            Word::Verify { options, .. } => options.selection.rules.reads_stdin(),
            Word::Get { options, .. } => options.rules.reads_stdin(),
            _ => 0,
        };
        if rules > 0 || sources.iter().chain(list).any(|path| stdin::is_stdin(path)) {
            anyhow::bail!(
                "standard input is where the commands come from; `-` is for haul put itself"
            );
        }
        match word {
            Word::Put { files, mut options } => {
                options.classic |= self.options.classic;
                options.in_shell = true;
                commands::put(&files, destination, &options, signals)
            }
            Word::Sync { source, path, options } => {
                commands::sync(&[source], &below(destination, path.as_deref())?, &options, signals)
            }
            Word::Verify { source, path, options } => commands::verify(
                std::slice::from_ref(&source),
                &below(destination, path.as_deref())?,
                &options,
                signals,
            ),
            Word::Get { path, directory, options } => {
                let words = GetCommand { sources: vec![self.source(&path)?], directory, options };
                Ok(get::get(&words, signals))
            }
            Word::Cat { paths } => {
                let sources: anyhow::Result<_> =
                    paths.iter().map(|path| self.source(path)).collect();
                let ssh = SshOptions::default();
                Ok(cat::run(&CatCommand { sources: sources?, reaching, ssh }, signals))
            }
            Word::Ls { path, mut options } => {
                options.timeout = options.timeout.or(Some(reaching.tries.timeout));
                options.security.insecure |= reaching.security.insecure;
                ls::run(&below(destination, path.as_deref())?, options, signals)
            }
            Word::Mkdir { paths, output } => {
                let ending = Ending::of_requests(output, signals);
                Ok(mkdir::mkdir(&self.places(&paths)?, reaching, &ending))
            }
            Word::Rm { how, paths, output } => {
                let ending = Ending::of_requests(output, signals);
                Ok(rm::rm(&self.places(&paths)?, how, reaching, &ending))
            }
            Word::Mv { force, from, to, output } => {
                let place = Place {
                    destination: below(destination, Some(&to))?,
                    is_directory: to.ends_with('/'),
                };
                let ending = Ending::of_requests(output, signals);
                Ok(mv::mv(&below(destination, Some(&from))?, &place, force, reaching, &ending))
            }
        }
    }

    /// A source that is relative to the destination of the shell.
    fn source(&self, path: &str) -> anyhow::Result<Source> {
        let place = below(&self.options.destination, Some(path))?;
        let source = Source::from(place);
        Ok(Source { contents: source.contents || path.ends_with('/'), ..source })
    }

    /// Paths that are relative to the destination of the shell.
    fn places(&self, paths: &[String]) -> anyhow::Result<Vec<Destination>> {
        paths.iter().map(|path| below(&self.options.destination, Some(path))).collect()
    }
}

/// A path that is relative to the destination of the shell.
fn below(destination: &Destination, path: Option<&str>) -> anyhow::Result<Destination> {
    let path =
        path.map(|path| path.trim_matches('/')).filter(|path| !path.is_empty() && *path != ".");
    let Some(path) = path else { return Ok(destination.clone()) };
    let name = match &destination.path {
        Some(above) => above.join(path.as_bytes()),
        None => Name::parse(path.as_bytes()),
    };
    let name = name.map_err(|error| anyhow::anyhow!("{path}: {error}"))?;
    Ok(destination.with_path(Some(name)))
}
