//! `haul config`: checking the file of settings, and showing what is set and where.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args, Command, Subcommand};

use super::console;
use super::exit;
use super::settings::{Effective, Origin, Settings, takes_several};
use super::settings_lines::{ALIAS, DEFAULTS};
use super::settings_place::Place;
use super::settings_rules::{self as rules, has_settings, settable};
use super::usage::{self, Usage};

/// `haul config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigCommand {
    /// The thing to do with the settings.
    #[command(subcommand)]
    pub word: ConfigWord,
}

/// The commands about settings.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigWord {
    /// Read the file of settings, and tell each wrong line. The exit code is 2 if there is any.
    Check {
        /// The file [default: the one that other commands read].
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Print aliases and settings as a file would have them, and where each comes from: the command line, its variable, a line
    /// of the file, or the default.
    ///
    /// A setting that is the same for all commands stands below `[defaults]`, any other one below its command.
    Show {
        /// Only the settings of one command, as `put`; and words of it, the options of which count as well.
        #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
}

/// Carries it out, and returns the exit code. `place`: the file that other commands read.
pub(super) fn run(words: &ConfigCommand, place: &Place) -> u8 {
    let done = match &words.word {
        ConfigWord::Check { file: Some(file) } => {
            check(&Place::Named(file.clone(), "the command line"))
        }
        ConfigWord::Check { file: None } => check(place),
        ConfigWord::Show { words } => show(place, words),
    };
    match done {
        Ok(text) => {
            console::lines(&mut io::stdout(), &text);
            exit::OK
        }
        Err(Failure::Wrong(told)) => {
            told.lines().for_each(|line| console::tell(&format_args!("haul: {line}")));
            exit::USAGE
        }
        Err(Failure::Usage(Usage(told))) => {
            usage::tell(&told);
            exit::USAGE
        }
    }
}

enum Failure {
    /// The file is wrong.
    Wrong(String),
    Usage(Usage),
}

impl From<Usage> for Failure {
    fn from(usage: Usage) -> Self {
        Self::Usage(usage)
    }
}

fn check(place: &Place) -> Result<String, Failure> {
    let read = place.read(&super::command).map_err(|error| Failure::Wrong(error.to_string()))?;
    let path = place.path().map(|path| path.display().to_string()).unwrap_or_default();
    Ok(match read {
        None if path.is_empty() => String::from("there is no file of settings"),
        None => format!("{path}: there is no such file, and nothing is set"),
        Some(file) => {
            let (settings, aliases) = (file.settings.len(), file.aliases.all().len());
            let settings = count(settings, "setting", "settings");
            format!("{path}: {settings}, {}, all right", count(aliases, "alias", "aliases"))
        }
    })
}

fn count(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// A setting as a file would have it, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line(String);

fn show(place: &Place, words: &[OsString]) -> Result<String, Failure> {
    let root = super::command();
    let file = place.read(&super::command).map_err(|error| Failure::Wrong(error.to_string()))?;
    let settings = Settings::new(file);
    let mut out = Vec::new();
    let written = match words.split_first() {
        Some((name, words)) => {
            let name = name.to_string_lossy();
            let command = command(&root, &name)?;
            table(&mut out, &name, &shown(&settings, command, words)?)
        }
        None => all(&settings, &root, &mut out)?,
    };
    written.map_err(|error| Failure::Wrong(error.to_string()))?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// The command of a name.
fn command<'a>(root: &'a Command, name: &str) -> Result<&'a Command, Usage> {
    let commands = || root.get_subcommands().filter(|command| has_settings(command));
    commands().find(|command| command.get_name() == name).ok_or_else(|| {
        let names: Vec<_> = commands().map(Command::get_name).collect();
        Usage(format!("`{name}` has no settings; there are those of {}", names.join(", ")))
    })
}

/// The whole file, as it would have to be for the same effect.
fn all(
    settings: &Settings,
    root: &Command,
    out: &mut dyn Write,
) -> Result<io::Result<()>, Failure> {
    let mut commands = Vec::new();
    for command in root.get_subcommands().filter(|command| has_settings(command)) {
        commands.push((command.get_name(), shown(settings, command, &[])?));
    }
    // By option, the lines of all commands that have it.
    let mut by_option: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    for (option, shown) in commands.iter().flat_map(|(_, lines)| lines) {
        by_option.entry(option).or_default().push(shown);
    }
    by_option.retain(|_, lines| lines.windows(2).all(|pair| pair[0] == pair[1]));
    let common: Vec<_> = by_option
        .iter()
        .filter_map(|(option, lines)| Some(((*option).to_owned(), (**lines.first()?).clone())))
        .collect();
    let write = |out: &mut dyn Write| {
        if let Some(file) = settings.file() {
            writeln!(out, "# {}", file.path.display())?;
            let aliases = file.aliases.all().iter().map(|alias| {
                let text = format!("{} = {}", quoted_key(&alias.name), quoted(&alias.text));
                let place = format!("{}:{}", alias.path.display(), alias.line);
                (alias.name.clone(), line(&text, &place))
            });
            table(out, ALIAS, &aliases.collect::<Vec<_>>())?;
        }
        table(out, DEFAULTS, &common)?;
        for (name, lines) in &commands {
            let own = lines.iter().filter(|(option, _)| !by_option.contains_key(option.as_str()));
            table(out, name, &own.cloned().collect::<Vec<_>>())?;
        }
        Ok(())
    };
    Ok(write(out))
}

/// Writes a table, if it has lines.
fn table(out: &mut dyn Write, name: &str, lines: &[(String, Line)]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "[{name}]")?;
    lines.iter().try_for_each(|(_, Line(text))| writeln!(out, "{text}"))
}

fn line(setting: &str, origin: &str) -> Line {
    Line(format!("{setting:<40} # {origin}"))
}

/// Each option of a command that may be set, and its line. `words`: of the command.
fn shown(
    settings: &Settings,
    command: &Command,
    words: &[OsString],
) -> Result<Vec<(String, Line)>, Failure> {
    let matches = matches(command, words)?;
    let effective = settings.effective(command, &matches)?;
    let path = settings.file().map(|file| file.path.display().to_string()).unwrap_or_default();
    let lines = settable(command).map(|(option, arg)| {
        let found = value(arg, option, &matches, &effective);
        let shown = match found {
            (values, _) if values.is_empty() => Line(format!("# {option} is not set")),
            (values, origin) => {
                let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
                let values = match takes_several(arg) {
                    true => format!("[{}]", values.join(", ")),
                    false => values.concat(),
                };
                let origin = match origin {
                    Origin::Given => String::from("command line"),
                    Origin::Variable(name) => name,
                    Origin::Line(_, number) => format!("{path}:{number}"),
                    Origin::Default => String::from("default"),
                };
                line(&format!("{option} = {values}"), &origin)
            }
        };
        (option.to_owned(), shown)
    });
    Ok(lines.collect())
}

/// The values of an option, and where they come from; none if it is not set.
fn value(
    arg: &Arg,
    option: &str,
    matches: &ArgMatches,
    effective: &[Effective],
) -> (Vec<String>, Origin) {
    let id = arg.get_id().as_str();
    if rules::is_given(matches, id) {
        let values = matches.get_raw(id).unwrap_or_default();
        let values = values.map(|value| value.to_string_lossy().into_owned()).collect();
        return (values, Origin::Given);
    }
    match effective.iter().find(|it| it.option == option) {
        Some(setting) => (setting.values.clone(), setting.origin.clone()),
        None => {
            let values = arg.get_default_values().iter();
            (values.map(|value| value.to_string_lossy().into_owned()).collect(), Origin::Default)
        }
    }
}

/// The words of a command; the places that it needs may be missing.
fn matches(command: &Command, words: &[OsString]) -> Result<ArgMatches, Failure> {
    let command = command.clone().no_binary_name(true);
    match command.clone().try_get_matches_from(words) {
        Ok(matches) => Ok(matches),
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
            command.ignore_errors(true).try_get_matches_from(words).map_err(wrong)
        }
        Err(error) => Err(wrong(error)),
    }
}

fn wrong(error: clap::Error) -> Failure {
    Failure::Usage(Usage(super::unread::first_line(&error)))
}

/// A name in the words of TOML: a dot would be a table.
fn quoted_key(name: &str) -> String {
    match name.contains('.') {
        true => format!("\"{name}\""),
        false => name.to_owned(),
    }
}

/// A value in the words of TOML.
fn quoted(value: &str) -> String {
    match value {
        "true" | "false" => value.to_owned(),
        _ if value.parse::<i64>().is_ok_and(|number| number.to_string() == value) => {
            value.to_owned()
        }
        _ => toml::Value::from(value).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::settings_file::SettingsFile;

    fn file(text: &str) -> SettingsFile {
        SettingsFile::parse(Path::new("c"), text.as_bytes(), &crate::cli::command()).unwrap()
    }

    fn shown(text: &str) -> String {
        let mut out = Vec::new();
        let written = all(&Settings::with(file(text)), &crate::cli::command(), &mut out);
        assert!(written.is_ok_and(|written| written.is_ok()));
        String::from_utf8(out).unwrap()
    }

    /// The lines without the places that they come from.
    fn settings(shown: &str) -> Vec<&str> {
        shown.lines().map(|line| line.rsplit_once(" #").map_or(line, |(text, _)| text)).collect()
    }

    #[test]
    fn settings_that_are_shown_are_a_file_of_the_same_effect() {
        for text in [
            "",
            "[alias]\nbox = \"me@host:a \\\"b\"\n\"x.y\" = \"other:1\"\n[defaults]\ntimeout = 90\nlinks = \"follow\"\n\
             [put]\nexclude = [\"a # b\", \"c\"]\nverbose = true\n[sync]\nmax-delete = 3\n",
        ] {
            let first = shown(text);
            assert_eq!(settings(&first), settings(&shown(&first)), "{first}");
            assert!(first.lines().count() > 20, "{first}");
        }
    }

    #[test]
    fn each_option_is_shown_once_below_each_command_or_once_for_all() {
        let told = shown("[put]\nretries = 3\n");
        let (defaults, rest) = told.split_once("[put]").unwrap();
        assert!(!defaults.contains("retries") && rest.contains("retries = 3"), "{told}");
        assert!(defaults.contains("# hauld is not set") && !rest.contains("hauld"), "{told}");
    }
}
