//! The options that a file of settings and variables may set. The declaration of the command line is the only one; here
//! stand the exceptions, each with its reason.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::error::ContextKind;
use clap::error::ContextValue;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::net::destination::is_remote;

const ASKS: &str = "it is asked for each time";
const REMOVES: &str = "it is asked for each time, for entries are removed or replaced by it";
const ONE_RUN: &str = "it is about one run";
const PROGRAMS: &str = "programs read it, and ask for it themselves";
const ANYWAY: &str = "haul does so anyway";

/// Options that are set for one run only, and the reasons.
const REFUSED: [(&str, &str); 30] = [
    ("add", ASKS),
    ("again", ASKS),
    ("as", ONE_RUN),
    ("bwlimit", "the setting is `limit-rate`"),
    ("classic", "it is asked for each time, for a classic server acknowledges nothing"),
    ("config", "it names the file itself"),
    ("delete", REMOVES),
    ("delete-all", REMOVES),
    ("dry-run", "a run that changes nothing is asked for each time"),
    ("files-from", ONE_RUN),
    ("force", REMOVES),
    ("force-delete", REMOVES),
    ("from-command", ONE_RUN),
    ("help", ONE_RUN),
    ("insecure", "it is asked for each time, for everything is sent in clear"),
    ("install-hauld", "it is asked for each time, for a program is copied to another machine"),
    ("json", PROGRAMS),
    ("list", ONE_RUN),
    ("null", ONE_RUN),
    ("parents", ANYWAY),
    ("receipt", ONE_RUN),
    ("recursive", REMOVES),
    ("remove", REMOVES),
    ("remove-source", REMOVES),
    ("replace", ASKS),
    ("reread", ASKS),
    ("rollback", ASKS),
    ("version", ONE_RUN),
    // No options, but people would write them.
    ("token", "a secret belongs into no file of settings: `haul login` keeps it"),
    ("trust", "whom haul trusts is asked for each time: haul trust HOST"),
];

/// The same for single commands.
const REFUSED_FOR: [(&str, &str, &str); 1] =
    [("get", "congestion", "it is about bytes that this machine sends, and get receives")];

/// The reason why nothing but the command line sets an option.
pub(super) fn refused(option: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(name, _)| *name == option).map(|(_, why)| *why)
}

/// The same of an option of one command.
pub(super) fn refused_for(command: &str, option: &str) -> Option<&'static str> {
    let mut single =
        REFUSED_FOR.iter().filter(|(only, name, _)| (*only, *name) == (command, option));
    refused(option).or_else(|| single.next().map(|(.., why)| *why))
}

/// The options of a command that may be set.
pub(super) fn settable(command: &Command) -> impl Iterator<Item = (&str, &Arg)> {
    command.get_arguments().filter_map(|arg| {
        let name = arg.get_long().filter(|_| !arg.is_hide_set())?;
        refused_for(command.get_name(), name).is_none().then_some((name, arg))
    })
}

/// Whether any option of a command may be set.
pub(super) fn has_settings(command: &Command) -> bool {
    settable(command).next().is_some()
}

/// The variable of an option.
pub(super) fn variable(option: &str) -> String {
    format!("HAUL_{}", option.to_uppercase().replace('-', "_"))
}

/// Gives each switch that may be set a value, so that the command line can turn it off again: `-v` is `--verbose=true`.
#[must_use]
pub(super) fn with_switches(command: Command) -> Command {
    command.mut_subcommands(|command| {
        let switches: Vec<_> = settable(&command)
            .filter(|(_, arg)| matches!(arg.get_action(), ArgAction::SetTrue))
            .map(|(_, arg)| arg.get_id().clone())
            .collect();
        switches.into_iter().fold(command, |command, id| command.mut_arg(id, switch))
    })
}

fn switch(arg: Arg) -> Arg {
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .value_name("BOOL")
        .value_parser(BoolishValueParser::new())
        .default_value("false")
        .default_missing_value("true")
        .hide_default_value(true)
        .hide_possible_values(true)
}

/// A value that an option takes, but not in this command.
pub(super) fn misfit(command: &str, option: &str, values: &[String]) -> Option<&'static str> {
    let has = |wanted: &str| values.iter().any(|value| value == wanted);
    match (command, option) {
        ("get", "links") if has("follow") => Some("a server reads no file through a symlink"),
        (_, "exclude-from") if has("-") => Some("standard input is not read for a setting"),
        _ => None,
    }
}

/// Whether a setting means nothing in this run. As an option of the command line it would be refused.
pub(super) fn is_moot(
    command: &str,
    option: &str,
    values: &[String],
    matches: &ArgMatches,
) -> bool {
    let follows = option == "links" && values.iter().any(|value| value == "follow");
    match command {
        "sync" if comes_here(matches) => {
            follows || matches!(option, "congestion" | "one-file-system")
        }
        "sync" => option == "durability",
        "put" => follows && is_on(matches, "remove_source"),
        "get" => to_stdout(matches) && is_about_directory(option),
        _ => false,
    }
}

/// Whether a source is at a server.
fn comes_here(matches: &ArgMatches) -> bool {
    let sources = matches.try_get_many::<PathBuf>("sources").ok().flatten();
    sources.is_some_and(|mut all| all.any(|source| is_remote(&source.to_string_lossy())))
}

fn is_on(matches: &ArgMatches, id: &str) -> bool {
    matches.try_get_one::<bool>(id).ok().flatten().is_some_and(|is_on| *is_on)
}

/// Whether a file of a server is written to standard output.
fn to_stdout(matches: &ArgMatches) -> bool {
    let directory = matches.try_get_one::<PathBuf>("directory").ok().flatten();
    directory.is_some_and(|directory| directory.as_os_str() == "-")
}

/// Whether an option of `haul get` is about a directory on this machine.
fn is_about_directory(option: &str) -> bool {
    const ALL: [&str; 8] = [
        "connections",
        "exclude",
        "exclude-from",
        "ignore-existing",
        "include",
        "limit-rate",
        "links",
        "stats",
    ];
    ALL.contains(&option)
}

/// Whether an option stands on the command line itself.
pub(super) fn is_given(matches: &ArgMatches, id: &str) -> bool {
    let is_known = matches.ids().any(|known| known.as_str() == id);
    is_known && matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// Whether two options of a command exclude each other.
pub(super) fn exclude_each_other(command: &Command, one: &Arg, other: &Arg) -> bool {
    let names = |one: &Arg, other: &Arg| {
        let excluded = command.get_arg_conflicts_with(one);
        excluded.iter().any(|excluded| excluded.get_id() == other.get_id())
    };
    names(one, other) || names(other, one)
}

/// The mistake if an option of a command does not take a value.
///
/// # Errors
/// The mistake.
pub(super) fn check(command: &Command, option: &str, values: &[String]) -> Result<(), String> {
    let command = command.clone().no_binary_name(true).disable_help_flag(true);
    if values.iter().any(|value| value.contains('\0')) {
        return Err(format!("`{option}` has a NUL in it"));
    }
    let wrong = |values: &[String]| {
        let words = values.iter().map(|value| OsString::from(format!("--{option}={value}")));
        let error = command.clone().try_get_matches_from(words).err()?;
        // The rest of the command line is missing.
        (error.kind() != clap::error::ErrorKind::MissingRequiredArgument).then_some(error)
    };
    // All at once, since there may be thousands; which one is wrong is looked for only then.
    if wrong(values).is_some() {
        for value in values {
            if let Some(error) = wrong(std::slice::from_ref(value)) {
                return Err(one_line(&cause(&error, option, value)));
            }
        }
    }
    match misfit(command.get_name(), option, values) {
        Some(why) => {
            let values = one_line(&values.join("\", \""));
            Err(format!("`{option}` can't be \"{values}\": {why}"))
        }
        None => Ok(()),
    }
}

/// A text that may have a value in it, in one line: each line that is told is a mistake of its own.
pub(super) fn one_line(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r")
}

/// The reason why clap takes no such value.
fn cause(error: &clap::Error, option: &str, value: &str) -> String {
    let reason = std::error::Error::source(error).map(ToString::to_string).map(|reason| {
        let begin = [format!("--{option}: "), format!("--{option} {value}: ")];
        let rest = begin.iter().find_map(|begin| reason.strip_prefix(begin));
        rest.map(str::to_owned).unwrap_or(reason)
    });
    let one_of = || match error.get(ContextKind::ValidValue)? {
        ContextValue::Strings(words) => Some(format!("it is one of {}", words.join(", "))),
        _ => None,
    };
    let reason = reason.or_else(one_of).map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("`{option}` can't be \"{value}\"{reason}")
}

/// The one of some names that is most like a word, as clap suggests options.
pub(super) fn nearest<'a>(names: impl IntoIterator<Item = &'a str>, word: &str) -> Option<String> {
    let word = word.replace('_', "-").to_lowercase();
    let mut all = Command::new("names").no_binary_name(true).disable_help_flag(true);
    for name in names {
        if name == word {
            return Some(word);
        }
        if all.get_arguments().all(|arg| arg.get_id() != name) {
            let name = name.to_owned();
            all = all.arg(Arg::new(name.clone()).long(name).action(ArgAction::SetTrue));
        }
    }
    let error = all.try_get_matches_from([format!("--{word}")]).err()?;
    let near = match error.get(ContextKind::SuggestedArg)? {
        ContextValue::String(near) => near,
        ContextValue::Strings(near) => near.first()?,
        _ => return None,
    };
    Some(near.trim_start_matches('-').to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::arguments::Cli;

    fn all() -> Vec<Command> {
        Cli::command().get_subcommands().cloned().collect()
    }

    /// A new option fails this test until it is decided here whether a file may set it.
    #[test]
    fn each_option_is_decided_about() {
        let names: BTreeSet<_> =
            all().iter().flat_map(settable).map(|(name, _)| name.to_owned()).collect();
        let expected = [
            "checksum",
            "congestion",
            "connections",
            "durability",
            "exclude",
            "exclude-from",
            "hauld",
            "ignore-existing",
            "include",
            "limit-rate",
            "links",
            "long",
            "max-delete",
            "one-file-system",
            "quiet",
            "retries",
            "retry-for",
            "ssh",
            "ssh-direct",
            "stats",
            "timeout",
            "verbose",
        ];
        assert_eq!(names, expected.map(String::from).into());
    }

    #[test]
    fn each_refused_option_is_one_or_is_a_word_that_people_would_write() {
        let commands = all();
        let known: BTreeSet<_> = commands
            .iter()
            .flat_map(Command::get_arguments)
            .filter_map(Arg::get_long)
            .chain(["config", "help", "version", "token", "trust"])
            .collect();
        for (name, why) in REFUSED {
            assert!(known.contains(name) && !why.is_empty(), "{name}");
        }
        for (command, name, _) in REFUSED_FOR {
            let command = commands.iter().find(|one| one.get_name() == command).unwrap();
            assert!(command.get_arguments().any(|arg| arg.get_long() == Some(name)), "{name}");
        }
    }

    /// One that no variable of another meaning has.
    #[test]
    fn variables_of_options_are_no_other_ones() {
        let commands = all();
        let names = commands.iter().flat_map(settable).map(|(name, _)| variable(name));
        for variable in names {
            let others =
                ["HAUL_CONFIG", "HAUL_CONFIG_DIR", "HAUL_TOKEN", "HAUL_TOKEN_FILE", "HAUL_LOG"];
            assert!(!others.contains(&&*variable), "{variable}");
        }
    }

    #[test]
    fn nearest_name_is_found_by_letters_and_by_another_spelling() {
        let names = ["timeout", "retry-for", "connections"];
        for (word, near) in
            [("timout", "timeout"), ("Retry_For", "retry-for"), ("conections", "connections")]
        {
            assert_eq!(nearest(names, word).as_deref(), Some(near));
        }
        assert_eq!(nearest(names, "zzz"), None);
        assert_eq!(nearest(names, ""), None);
    }
}
