//! The order of a command line's words: clap takes a word before an option for DEST, even if the last word is it. A source
//! behind `--` that begins with a hyphen is such an option for clap, but a path that begins with `./` is none.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};

/// The words of a command, its options first and in their order. Words of which the command knows nothing stay.
pub(super) fn options_first(command: &Command, words: &[OsString]) -> Vec<OsString> {
    let (mut options, mut others) = (Vec::new(), Vec::new());
    let mut rest = words.iter().cloned();
    while let Some(word) = rest.next() {
        if word == "--" {
            options.push(word);
            let mut behind: Vec<OsString> = rest.collect();
            let sources = behind.len().saturating_sub(1);
            for source in behind[..sources].iter_mut().filter(|word| is_option(word)) {
                *source = [OsStr::new("./"), source].into_iter().collect();
            }
            others.extend(behind);
            break;
        }
        if is_option(&word) {
            let wants_value = wants_value(command, &word.to_string_lossy());
            options.push(word);
            options.extend(wants_value.then(|| rest.next()).flatten());
        } else {
            others.push(word);
        }
    }
    options.extend(others);
    options
}

fn is_option(word: &OsStr) -> bool {
    word.len() > 1 && word.as_encoded_bytes().starts_with(b"-")
}

/// Whether the word behind an option is its value.
fn wants_value(command: &Command, option: &str) -> bool {
    let takes = |arg: &Arg| arg.get_action().takes_values() && !arg.is_require_equals_set();
    if let Some(long) = option.strip_prefix("--") {
        let is_meant = |arg: &&Arg| {
            let aliases = arg.get_all_aliases().unwrap_or_default();
            arg.get_long() == Some(long) || aliases.contains(&long)
        };
        return command.get_arguments().find(is_meant).is_some_and(takes);
    }
    let by_letter = |letter| {
        command.get_arguments().find(|arg| arg.get_short() == Some(letter)).is_some_and(takes)
    };
    // The value of a letter may follow in the same word.
    let mut letters = option.chars().skip(1);
    letters.find(|&letter| by_letter(letter)).is_some() && letters.next().is_none()
}
