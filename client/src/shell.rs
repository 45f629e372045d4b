//! The classic prompt: `>>: put a.txt`. Without a terminal it takes the same commands from a pipe.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use rustyline::completion::FilenameCompleter;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Completer, Editor, Helper, Highlighter, Hinter, Validator};

/// What the prompt looks like, as in the classic tutorial.
const PROMPT: &str = ">>: ";

const HELP: &str = "put FILE...   upload files (quote names with spaces)\n\
                    help          this text\n\
                    quit          leave (also Ctrl-D)";

#[derive(Completer, Helper, Highlighter, Hinter, Validator)]
struct Completion {
    #[rustyline(Completer)]
    completer: FilenameCompleter,
}

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Put(Vec<PathBuf>),
    Help,
    Quit,
    Nothing,
    Wrong(String),
}

fn parse(line: &str) -> Command {
    let Some(words) = shlex::split(line) else {
        return Command::Wrong(String::from("a quotation mark has no end"));
    };
    match words.split_first() {
        None => Command::Nothing,
        Some((put, files)) if put == "put" && !files.is_empty() => {
            Command::Put(files.iter().map(PathBuf::from).collect())
        }
        Some((put, _)) if put == "put" => Command::Wrong(String::from("put what? put FILE...")),
        Some((help, [])) if help == "help" || help == "?" => Command::Help,
        Some((quit, [])) if quit == "quit" || quit == "exit" => Command::Quit,
        Some((word, _)) => Command::Wrong(format!("`{word}` is not a command; `help` shows them")),
    }
}

/// Runs until the user leaves or input ends. `put` uploads and returns an exit code; the worst one
/// is returned.
///
/// # Errors
/// If the terminal or the pipe fails.
pub fn run(mut put: impl FnMut(&[PathBuf]) -> u8) -> anyhow::Result<u8> {
    let mut worst = crate::exit::OK;
    let mut obey = |line: &str| -> bool {
        match parse(line) {
            Command::Nothing => {}
            Command::Quit => return false,
            Command::Help => {
                let _ = writeln!(io::stdout(), "{HELP}");
            }
            Command::Put(files) => worst = worst.max(put(&files)),
            Command::Wrong(what) => {
                let _ = writeln!(io::stderr(), "haul: {what}");
                worst = worst.max(crate::exit::FAILED);
            }
        }
        true
    };
    if !io::stdin().is_terminal() {
        for line in io::stdin().lock().lines() {
            if !obey(&line?) {
                break;
            }
        }
        return Ok(worst);
    }
    let mut editor: Editor<Completion, DefaultHistory> = Editor::new()?;
    editor.set_helper(Some(Completion { completer: FilenameCompleter::new() }));
    loop {
        match editor.readline(PROMPT) {
            Ok(line) => {
                editor.add_history_entry(line.as_str())?;
                if !obey(&line) {
                    break;
                }
            }
            // As in a shell: Ctrl-C drops the line, Ctrl-D leaves.
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands() {
        assert_eq!(parse("  "), Command::Nothing);
        assert_eq!(parse("put a 'b c'"), Command::Put(vec!["a".into(), "b c".into()]));
        assert_eq!(parse("quit"), Command::Quit);
        assert_eq!(parse("help"), Command::Help);
        assert!(matches!(parse("put"), Command::Wrong(_)));
        assert!(matches!(parse("get a"), Command::Wrong(_)));
        assert!(matches!(parse("put 'a"), Command::Wrong(_)));
    }
}
