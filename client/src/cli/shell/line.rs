//! Reading a line at the prompt.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::cli::arguments::{LsOptions, PutOptions, ShellCommand, SyncOptions, VerifyOptions};
use crate::cli::get_words::GetOptions;
use crate::cli::habits;
use crate::cli::options::BasicOutput;
use crate::cli::rm::How;
use crate::cli::settings::Settings;
use crate::cli::usage::Unread;

/// The command of a line.
#[derive(Debug)]
pub(super) enum Command {
    Do(Box<Word>),
    /// The help of one command, or of all.
    Help(Option<String>),
    Quit,
    Nothing,
    Wrong(String),
}

#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_subcommand = true, args_override_self = true)]
struct Line {
    #[command(subcommand)]
    word: Word,
}

/// A command, which the destination of the shell belongs to.
#[derive(Debug, Subcommand)]
pub(super) enum Word {
    /// Upload files and directories.
    Put {
        /// Files and directories to send.
        #[arg(required_unless_present = "from_command", value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        options: PutOptions,
    },
    /// Upload only files that differ.
    Sync {
        /// Directory or file to send; `DIR/` means its contents.
        #[arg(value_name = "DIR")]
        source: PathBuf,
        /// Destination, below that of the shell.
        path: Option<String>,
        #[command(flatten)]
        options: SyncOptions,
    },
    /// Compare contents with the files at the server.
    Verify {
        /// Directory or file to compare; `DIR/` means its contents.
        #[arg(value_name = "DIR")]
        source: PathBuf,
        /// Destination to compare with, below that of the shell.
        path: Option<String>,
        #[command(flatten)]
        options: VerifyOptions,
    },
    /// Bring files and directories here.
    Get {
        /// Entry below the destination of the shell; `DIR/` means its contents.
        path: String,
        /// Directory on this machine that it goes into.
        #[arg(default_value = ".", value_name = "DIR")]
        directory: PathBuf,
        #[command(flatten)]
        options: GetOptions,
    },
    /// Write files to standard output.
    Cat {
        /// File below the destination of the shell.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<String>,
    },
    /// List a directory.
    Ls {
        /// Directory below the destination of the shell.
        path: Option<String>,
        #[command(flatten)]
        options: LsOptions,
    },
    /// Make directories.
    Mkdir {
        /// Directory below the destination of the shell.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<String>,
        #[command(flatten)]
        output: BasicOutput,
    },
    /// Remove entries.
    Rm {
        #[command(flatten)]
        how: How,
        /// Entry below the destination of the shell.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<String>,
        #[command(flatten)]
        output: BasicOutput,
    },
    /// Rename an entry.
    Mv {
        /// Replace a file or link that has the new name.
        #[arg(long, short)]
        force: bool,
        /// Entry below the destination of the shell.
        from: String,
        /// New name, or the directory into which the entry goes.
        to: String,
        #[command(flatten)]
        output: BasicOutput,
    },
}

/// The commands, for completion.
pub(super) const WORDS: [&str; 11] =
    ["cat", "get", "help", "ls", "mkdir", "mv", "put", "quit", "rm", "sync", "verify"];

pub(super) fn parse(line: &str, shell: &ShellCommand, settings: &Settings) -> Command {
    let Some(words) = shlex::split(line) else {
        return Command::Wrong(String::from("a quotation mark has no end"));
    };
    let Some((first, rest)) = words.split_first() else { return Command::Nothing };
    match (first.as_str(), rest) {
        ("help" | "?", []) => return Command::Help(None),
        ("quit" | "exit", []) => return Command::Quit,
        ("put", []) => return Command::Wrong(String::from("put what? put FILE...")),
        ("put", _) => {}
        ("sync" | "verify" | "get" | "cat" | "ls" | "mkdir" | "rm" | "mv", _) if shell.classic => {
            return Command::Wrong(format!("a classic server knows no `{first}`, only put"));
        }
        ("sync" | "verify" | "get" | "cat" | "ls" | "mkdir" | "rm" | "mv", _) => {}
        _ => return Command::Wrong(format!("`{first}` is not a command; `help` shows them")),
    }
    // Options of the shell hold unless the line says otherwise.
    let takes_options =
        matches!(first.as_str(), "put" | "sync" | "verify" | "get") && !shell.classic;
    let told = if takes_options { shell.connection.words_without_ssh() } else { Vec::new() };
    let words = [first.clone()].into_iter().chain(told).chain(rest.iter().cloned());
    match habits::parse::<Line>(words.map(OsString::from), settings) {
        Ok(line) => Command::Do(Box::new(line.word)),
        Err(Unread::Help(help)) => Command::Help(Some(help)),
        Err(Unread::Usage(error)) => Command::Wrong(error.0.replace('\n', "; ")),
        Err(Unread::Clap(error)) if error.kind() == ErrorKind::DisplayHelp => {
            Command::Help(Some(error.to_string()))
        }
        Err(Unread::Clap(error)) => {
            let text = error.to_string();
            Command::Wrong(text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str, shell: &ShellCommand) -> Command {
        super::parse(line, shell, &Settings::default())
    }

    fn shell(words: &[&str]) -> ShellCommand {
        let words = [&["haul", "shell", "box"], words].concat();
        match crate::cli::arguments::Cli::try_parse_from(words).unwrap().command {
            crate::cli::arguments::Command::Shell(shell) => shell.0,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_are_commands() {
        let plain = shell(&[]);
        let parse = |line: &str| parse(line, &plain);
        assert!(matches!(parse("  "), Command::Nothing));
        assert!(matches!(parse("quit"), Command::Quit));
        assert!(matches!(parse("help"), Command::Help(None)));
        assert!(matches!(parse("sync --help"), Command::Help(Some(_))));
        for wrong in [
            "put",
            "fetch a",
            "get",
            "cat",
            "put 'a",
            "ls a b",
            "sync",
            "mkdir",
            "put --what a",
            "quit now",
        ] {
            assert!(matches!(parse(wrong), Command::Wrong(_)), "{wrong}");
        }
        let Command::Do(word) = parse("put a 'b c'") else { panic!("no command") };
        let Word::Put { files, .. } = *word else { panic!("{word:?}") };
        assert_eq!(files, [PathBuf::from("a"), PathBuf::from("b c")]);
        let Command::Do(word) = parse("sync --delete -n d/ there") else { panic!("no command") };
        let Word::Sync { source, path, options } = *word else { panic!("{word:?}") };
        assert_eq!((source, path.as_deref()), (PathBuf::from("d/"), Some("there")));
        assert!(options.delete && options.send.dry_run);
        let Command::Do(word) = parse("get -n s/ d") else { panic!("no command") };
        let Word::Get { path, directory, options } = *word else { panic!("{word:?}") };
        assert_eq!((path.as_str(), directory, options.dry_run), ("s/", PathBuf::from("d"), true));
        let Command::Do(word) = parse("cat s/a 's/b c'") else { panic!("no command") };
        let Word::Cat { paths } = *word else { panic!("{word:?}") };
        assert_eq!(paths, ["s/a", "s/b c"]);
    }

    #[test]
    fn what_the_shell_was_told_holds_for_each_line_that_says_nothing_else() {
        let shell = shell(&["--connections", "3", "--timeout", "7s", "--limit-rate", "1KB"]);
        let how = |line: &str| match parse(line, &shell) {
            Command::Do(word) => match *word {
                Word::Put { options, .. } => options.connection,
                Word::Verify { options, .. } => options.connection,
                word => panic!("{word:?}"),
            },
            other => panic!("{other:?}"),
        };
        let told = how("put a");
        assert_eq!((told.connections, told.reaching.tries.timeout.as_secs()), (Some(3), 7));
        assert_eq!(told.limit_rate, Some(1000));
        let said = how("verify a --connections 5");
        assert_eq!((said.connections, said.reaching.tries.timeout.as_secs()), (Some(5), 7));
    }

    #[test]
    fn classic_server_knows_put_only() {
        let shell = shell(&["--classic"]);
        assert!(matches!(parse("put a", &shell), Command::Do(_)));
        for line in ["ls", "sync a", "verify a", "mkdir a", "get a", "cat a"] {
            assert!(matches!(parse(line, &shell), Command::Wrong(_)), "{line}");
        }
    }
}
