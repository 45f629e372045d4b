//! The file of settings (`hauld --config FILE`): TOML, each key an option's name on the command line.
//!
//! The declaration of the command line is the only one: a value of the file becomes the default of its option, and each
//! option has a variable `HAULD_NAME` as well. So an option on the command line counts first, then its variable, then the
//! file.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::builder::{BoolishValueParser, OsStr, Resettable};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, Command};
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Options that no file sets: they are about the file or the command line itself, or about another way to serve.
const NOT_IN_FILES: [&str; 7] =
    ["config", "help", "responder", "stdio", "stdio-direct", "stdio-host", "version"];

/// Options without a variable.
const NOT_IN_VARIABLES: [&str; 6] =
    ["help", "responder", "stdio", "stdio-direct", "stdio-host", "version"];

/// Most bytes of a file.
const MOST: u64 = 1 << 20;

/// The settings of a file, each of which its option takes.
#[derive(Debug, Default)]
pub(crate) struct SettingsFile {
    path: PathBuf,
    settings: Vec<Setting>,
}

#[derive(Debug)]
struct Setting {
    /// The option's name, without dashes.
    name: String,
    /// The line in the file, from 1.
    line: usize,
    /// One value, or the values of an option that takes several.
    values: Vec<String>,
}

/// A file that can't be read, or whose settings are wrong.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file has errors.
    #[error("{}", Lines { path, wrong })]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Lines, from 1, and the error of each.
        wrong: Vec<(usize, String)>,
    },
}

/// The errors of a file, a line each, in the form that editors jump to.
struct Lines<'a> {
    path: &'a Path,
    wrong: &'a [(usize, String)],
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (line, text)) in self.wrong.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            // Each line is a mistake: a value with line ends in it makes no more of them.
            let text = text.replace('\n', "\\n").replace('\r', "\\r");
            write!(f, "{separator}{}:{line}: {text}", self.path.display())?;
        }
        Ok(())
    }
}

/// Gives each option its variable `HAULD_NAME`, and each switch a value, so that it can be turned off again.
#[must_use]
pub(crate) fn with_variables(command: Command) -> Command {
    command.mut_args(|arg| {
        let Some(name) = arg.get_long().filter(|name| !NOT_IN_VARIABLES.contains(name)) else {
            return arg;
        };
        let variable = variable(name);
        let arg = if matches!(arg.get_action(), ArgAction::SetTrue) { switch(arg) } else { arg };
        arg.env(OsStr::from(variable))
    })
}

/// The variable of an option.
fn variable(name: &str) -> String {
    format!("HAULD_{}", name.to_uppercase().replace('-', "_"))
}

/// A switch that takes a value as well: `--insecure` is `--insecure=true`.
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

impl SettingsFile {
    /// Reads a file, and has the options of `command` check each value.
    ///
    /// # Errors
    /// If the file can't be read, is not TOML, or has a key or a value that no option takes.
    pub(crate) fn read(path: &Path, command: &Command) -> Result<Self, SettingsError> {
        let failed = |source| SettingsError::Read { path: path.to_owned(), source };
        let text = read(path).map_err(failed)?;
        Self::parse(path, &text, command)
    }

    fn parse(path: &Path, text: &str, command: &Command) -> Result<Self, SettingsError> {
        let line = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
        let failed = |wrong| SettingsError::Wrong { path: path.to_owned(), wrong };
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            failed(vec![(line(at), error.message().trim_end().to_owned())])
        })?;
        let command = &alone(command.clone());
        let (mut settings, mut wrong) = (Vec::new(), Vec::new());
        for (name, value) in table.get_ref() {
            let at = line(name.span().start);
            match setting(command, name.get_ref(), value) {
                Ok(values) => {
                    settings.push(Setting { name: name.get_ref().to_string(), line: at, values });
                }
                Err(text) => wrong.push((at, text)),
            }
        }
        settings.sort_by_key(|setting| setting.line);
        wrong.sort();
        if wrong.is_empty() {
            Ok(Self { path: path.to_owned(), settings })
        } else {
            Err(failed(wrong))
        }
    }

    /// The settings become the defaults of their options.
    #[must_use]
    pub(crate) fn apply(&self, command: Command) -> Command {
        self.settings.iter().fold(command, |command, setting| {
            let id = id(&command, &setting.name);
            let Some(id) = id else { return command };
            command.mut_arg(id, |arg| {
                arg.default_values(setting.values.iter().cloned().map(OsStr::from))
            })
        })
    }

    /// The number of its settings.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.settings.len()
    }

    /// The place of an option's value, `FILE:LINE`, if the file has one.
    #[must_use]
    pub(crate) fn place(&self, name: &str) -> Option<String> {
        let setting = self.settings.iter().find(|setting| setting.name == name)?;
        Some(format!("{}:{}", self.path.display(), setting.line))
    }
}

/// The whole file, if it is one of settings by its size.
fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read;

    let file = crate::regular::open(path)?;
    let mut text = String::new();
    file.take(MOST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST {
        return Err(std::io::Error::other("larger than 1 MiB"));
    }
    Ok(text)
}

/// The same options, without their variables.
pub(crate) fn alone(command: Command) -> Command {
    command.mut_args(|arg| arg.env(Resettable::<OsStr>::Reset))
}

fn id(command: &Command, name: &str) -> Option<clap::Id> {
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(name))?;
    Some(arg.get_id().clone())
}

/// The values of one key, if its option takes them.
fn setting(
    command: &Command,
    name: &str,
    value: &Spanned<DeValue<'_>>,
) -> Result<Vec<String>, String> {
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(name));
    let Some(arg) = arg.filter(|_| !NOT_IN_FILES.contains(&name)) else {
        return Err(match near(command, name) {
            Some(near) => format!("`{name}` is no setting; did you mean `{near}`?"),
            None => format!("`{name}` is no setting; `hauld --help` has all, without the dashes"),
        });
    };
    let takes_several = matches!(arg.get_action(), ArgAction::Append);
    let values = match value.get_ref() {
        DeValue::Array(values) if takes_several => {
            values.iter().map(|value| word(value.get_ref())).collect::<Option<Vec<_>>>()
        }
        value => word(value).map(|value| vec![value]),
    };
    let values = values.ok_or_else(|| match takes_several {
        true => format!("`{name}` takes a text in quotes, or several: [\"…\", \"…\"]"),
        false => format!("`{name}` takes one value: a text in quotes, a number, true or false"),
    })?;
    if values.is_empty() {
        return Err(format!("`{name}` takes at least one value"));
    }
    for value in &values {
        if value.contains('\0') {
            return Err(format!("`{name}` has a NUL in it"));
        }
        let words = [String::from("hauld"), format!("--{name}={value}")];
        match command.clone().try_get_matches_from(words) {
            // Another option that it needs may stand elsewhere.
            Err(error) if error.kind() != ErrorKind::MissingRequiredArgument => {
                return Err(cause(&error, name, value));
            }
            _ => {}
        }
    }
    Ok(values)
}

/// The text of a value as it would be on the command line.
fn word(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
        DeValue::Boolean(is) => Some(is.to_string()),
        _ => None,
    }
}

/// The option whose name is like this one.
fn near(command: &Command, name: &str) -> Option<String> {
    let name = name.replace('_', "-").to_lowercase();
    if id(command, &name).is_some() {
        return Some(name).filter(|name| !NOT_IN_FILES.contains(&name.as_str()));
    }
    let words = [String::from("hauld"), format!("--{name}")];
    let error = command.clone().try_get_matches_from(words).err()?;
    let near = match error.get(ContextKind::SuggestedArg)? {
        ContextValue::String(near) => near,
        ContextValue::Strings(near) => near.first()?,
        _ => return None,
    };
    let near = near.trim_start_matches('-');
    (!NOT_IN_FILES.contains(&near)).then(|| near.to_owned())
}

/// The cause of an option's refusal, without the form of the command line.
fn cause(error: &clap::Error, name: &str, value: &str) -> String {
    let text = error.to_string();
    // Behind an empty line stands the form of the command line.
    let lines: Vec<_> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let first = lines.join(" ");
    let reason = first.split_once("': ").map(|(_, reason)| reason.trim_end_matches('.').to_owned());
    let words = error.get(ContextKind::ValidValue).map(|words| match words {
        ContextValue::Strings(words) => format!("it is one of {}", words.join(", ")),
        other => other.to_string(),
    });
    let reason = reason.or(words).map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("`{name}` can't be \"{value}\"{reason}")
}

/// Writes all settings as a file would have them, and where each comes from: its variable, the file, or the default.
///
/// # Errors
/// If they can't be written.
pub(crate) fn show(
    command: &Command,
    file: &SettingsFile,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let matches = file.apply(command.clone()).get_matches_from(["hauld"]);
    for arg in command.get_arguments() {
        let Some(name) = arg.get_long().filter(|name| !NOT_IN_FILES.contains(name)) else {
            continue;
        };
        let id = arg.get_id().as_str();
        let Some(values) = matches.get_raw(id) else {
            writeln!(out, "# {name} is not set")?;
            continue;
        };
        let values: Vec<String> = values.map(|value| quoted(&value.to_string_lossy())).collect();
        let values = match arg.get_action() {
            ArgAction::Append => format!("[{}]", values.join(", ")),
            _ => values.concat(),
        };
        let source = match matches.value_source(id) {
            Some(ValueSource::EnvVariable) => variable(name),
            _ => file.place(name).unwrap_or_else(|| String::from("default")),
        };
        writeln!(out, "{:<40} # {source}", format!("{name} = {values}"))?;
    }
    Ok(())
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
    use proptest::prelude::*;

    use super::*;

    fn command() -> Command {
        crate::cli::command()
    }

    fn parsed(text: &str) -> Result<SettingsFile, String> {
        SettingsFile::parse(Path::new("hauld.toml"), text, &alone(command()))
            .map_err(|error| error.to_string())
    }

    fn shown(text: &str) -> String {
        let mut out = Vec::new();
        show(&alone(command()), &parsed(text).unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_option_may_stand_in_a_file_with_its_default() {
        let text = shown("");
        let file = parsed(&text).unwrap();
        assert!(file.count() > 10, "{text}");
        let again = shown(&text);
        for (line, default) in again.lines().zip(text.lines()) {
            let setting =
                |line: &str| line.rsplit_once(" #").map(|(text, _)| text.trim().to_owned());
            assert_eq!(setting(line), setting(default));
            assert!(line.starts_with('#') || line.contains("# hauld.toml:"), "{line}");
        }
    }

    #[test]
    fn option_counts_before_the_file_and_the_file_before_the_default() {
        let file = parsed("root = \"/in/file\"\nworkers = 3\ninsecure = true\n").unwrap();
        let command = file.apply(alone(command()));
        let words = ["hauld", "--workers", "5", "--insecure=false"];
        let matches = command.clone().get_matches_from(words);
        assert_eq!(matches.get_one::<u16>("workers"), Some(&5));
        assert_eq!(matches.get_one::<bool>("insecure"), Some(&false));
        assert_eq!(matches.get_one::<PathBuf>("root"), Some(&PathBuf::from("/in/file")));
        let matches = command.get_matches_from(["hauld", "--insecure"]);
        assert_eq!(matches.get_one::<u16>("workers"), Some(&3));
        assert_eq!(matches.get_one::<bool>("insecure"), Some(&true));
        assert_eq!(matches.get_one::<bool>("no_sandbox"), Some(&false));
    }

    #[test]
    fn several_addresses_are_one_setting() {
        let text = shown("listen = [\"127.0.0.1:1\", \"unix:/run/h\"]");
        assert!(text.starts_with("listen = [\"127.0.0.1:1\", \"unix:/run/h\"]"), "{text}");
    }

    #[test]
    fn every_wrong_line_is_told_with_its_place() {
        let text = "workrs = 3\nkeep_free = \"1MiB\"\nworkers = 0\n\ndurability = \"often\"\n\
                    max-file = \"2 bananas\"\nroot = [\"a\"]\nconfig = \"x\"\n[server]\n";
        let told = parsed(text).unwrap_err();
        let lines: Vec<_> = told.lines().collect();
        for (line, start) in [
            "hauld.toml:1: `workrs` is no setting; did you mean `workers`?",
            "hauld.toml:2: `keep_free` is no setting; did you mean `keep-free`?",
            "hauld.toml:3: `workers` can't be \"0\": 0 is not in 1..=1024",
            "hauld.toml:5: `durability` can't be \"often\": it is one of none, group",
            "hauld.toml:6: `max-file` can't be \"2 bananas\": ",
            "hauld.toml:7: `root` takes one value: ",
            "hauld.toml:8: `config` is no setting; ",
            "hauld.toml:9: `server` is no setting; ",
        ]
        .iter()
        .enumerate()
        {
            assert!(lines[line].starts_with(start), "{told}");
        }
        assert_eq!(lines.len(), 8, "{told}");
    }

    #[test]
    fn file_that_is_no_toml_is_told_with_its_line() {
        for (text, line) in [("root = \"a\"\nroot = \"b\"", 2), ("\n\nroot =", 3), ("a b", 1)] {
            let told = parsed(text).unwrap_err();
            assert!(told.starts_with(&format!("hauld.toml:{line}: ")), "{told}");
        }
    }

    #[test]
    fn value_that_no_command_line_could_have_is_told() {
        for (text, said) in [
            ("listen = \"8080\"", "a port needs an address: 127.0.0.1:8080 for this machine"),
            ("listen = []", "at least one"),
            ("root = \"a\\u0000\"", "NUL"),
            ("workers = \"1\\nhauld: all right\"", "1\\nhauld: all right"),
        ] {
            let told = parsed(text).unwrap_err();
            assert!(told.contains(said), "{told}");
        }
    }

    #[test]
    fn certificate_and_key_may_stand_in_any_order() {
        assert_eq!(parsed("key = \"k\"\ncert = \"c\"").unwrap().count(), 2);
    }

    #[test]
    fn switch_is_turned_off_by_its_variable() {
        let arg = crate::cli::command();
        let found = arg.get_arguments().find(|arg| arg.get_long() == Some("no-sandbox")).unwrap();
        assert_eq!(found.get_env(), Some(std::ffi::OsStr::new("HAULD_NO_SANDBOX")));
        assert!(matches!(found.get_action(), ArgAction::Set));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = parsed(&text);
        }

        #[test]
        fn no_key_or_value_panics(key in "[a-z-]{0,12}", value in ".{0,20}") {
            let value = toml::Value::from(value).to_string();
            let _ = parsed(&format!("{key} = {value}"));
        }
    }
}
