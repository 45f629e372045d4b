//! Settings: defaults of options from the environment and from the file of settings.
//!
//! An option on the command line counts first, then its variable `HAUL_NAME`, then the file: the table of the command before
//! the one for all. The values become defaults of the declaration, so clap reads them as any other value.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, ArgMatches, Command, builder};

use super::aliases::Aliases;
use super::settings_file::SettingsFile;
use super::settings_lines::{DEFAULTS, is_on};
use super::settings_rules::{self as rules, settable};
use super::usage::Usage;

/// The settings of a process.
#[derive(Debug, Default)]
pub(super) struct Settings {
    file: Option<SettingsFile>,
    /// The variables of the environment that are not empty.
    variables: BTreeMap<OsString, OsString>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The command line.
    Given,
    /// A variable.
    Variable(String),
    /// A line of the file, and the name of its table.
    Line(String, usize),
    /// The declaration.
    Default,
}

/// A value of an option that is not the built-in one.
#[derive(Debug, Clone)]
pub(super) struct Effective {
    pub(super) id: clap::Id,
    pub(super) option: String,
    pub(super) values: Vec<String>,
    pub(super) origin: Origin,
}

impl Settings {
    /// Those of a file, and of the environment.
    pub(super) fn new(file: Option<SettingsFile>) -> Self {
        let variables = std::env::vars_os().filter(|(name, value)| is_set(name, value));
        Self { file, variables: variables.collect() }
    }

    /// Those of a file alone.
    #[cfg(test)]
    pub(super) fn with(file: SettingsFile) -> Self {
        Self { file: Some(file), variables: BTreeMap::new() }
    }

    /// The file, if there is one.
    pub(super) fn file(&self) -> Option<&SettingsFile> {
        self.file.as_ref()
    }

    /// The aliases of the file.
    pub(super) fn aliases(&self) -> Aliases {
        self.file.as_ref().map(|file| file.aliases.clone()).unwrap_or_default()
    }

    /// Whether there is a setting of any option of a command line's command. `matches`: of its words without the settings.
    pub(super) fn may_count(&self, command: &Command, matches: &ArgMatches) -> bool {
        let Some(inner) = matches.subcommand_name().and_then(|name| command.find_subcommand(name))
        else {
            return false;
        };
        let is_set =
            |option: &str| self.variables.contains_key(OsStr::new(&rules::variable(option)));
        let is_there =
            |option| self.file.as_ref().and_then(|file| file.find(inner.get_name(), option));
        let mut options = settable(inner).map(|(option, _)| option);
        options.any(|option| is_set(option) || is_there(option).is_some())
    }

    /// The command line with the settings as the defaults of its command's options. `matches`: of the same words without them.
    ///
    /// # Errors
    /// If a variable has a value that its option does not take.
    pub(super) fn apply(&self, command: Command, matches: &ArgMatches) -> Result<Command, Usage> {
        let Some((name, matches)) = matches.subcommand() else { return Ok(command) };
        let Some(inner) = command.find_subcommand(name) else { return Ok(command) };
        let effective = self.effective(inner, matches)?;
        Ok(command.mut_subcommand(name, |inner| {
            effective.into_iter().fold(inner, |inner, Effective { id, values, .. }| {
                inner.mut_arg(id, |arg| {
                    arg.default_values(values.into_iter().map(builder::OsStr::from))
                })
            })
        }))
    }

    /// The settings that count for one command: not those of options that the command line has, excludes, or leaves no meaning.
    ///
    /// # Errors
    /// If a variable has a value that its option does not take.
    pub(super) fn effective(
        &self,
        command: &Command,
        matches: &ArgMatches,
    ) -> Result<Vec<Effective>, Usage> {
        let name = command.get_name();
        let mut found = Vec::new();
        for (option, arg) in settable(command) {
            let Some(setting) = self.find(command, option, arg)? else { continue };
            let is_moot = rules::is_moot(name, option, &setting.values, matches);
            if !is_moot && !rules::is_given(matches, arg.get_id().as_str()) {
                found.push((setting, arg));
            }
        }
        found.sort_by_key(|(setting, _)| self.rank(&setting.origin));
        let given: Vec<_> = command
            .get_arguments()
            .filter(|arg| rules::is_given(matches, arg.get_id().as_str()))
            .collect();
        let mut kept: Vec<(Effective, &Arg)> = Vec::new();
        for (setting, arg) in found {
            let others = kept.iter().filter(|(it, _)| is_on(&it.values)).map(|(_, arg)| arg);
            let mut others = given.iter().chain(others);
            let is_excluded = others.any(|other| rules::exclude_each_other(command, arg, other));
            if !is_excluded || !is_on(&setting.values) {
                kept.push((setting, arg));
            }
        }
        Ok(kept.into_iter().map(|(setting, _)| setting).collect())
    }

    /// The place of a setting among those that exclude it: the first one counts.
    fn rank(&self, origin: &Origin) -> u8 {
        match origin {
            Origin::Given => 0,
            Origin::Variable(_) => 1,
            Origin::Line(table, _) if table != DEFAULTS => 2,
            Origin::Line(..) => 3,
            Origin::Default => 4,
        }
    }

    /// The setting of an option, by its variable or the file.
    fn find(&self, command: &Command, option: &str, arg: &Arg) -> Result<Option<Effective>, Usage> {
        let new = |values, origin| {
            Some(Effective { id: arg.get_id().clone(), option: option.to_owned(), values, origin })
        };
        let name = command.get_name();
        let variable = rules::variable(option);
        if let Some(value) = self.variables.get(OsStr::new(&variable)) {
            let values = vec![text(&variable, value)?];
            if rules::misfit(name, option, &values).is_none() {
                rules::check(command, option, &values)
                    .map_err(|told| Usage(format!("{variable}: {told}")))?;
                return Ok(new(values, Origin::Variable(variable)));
            }
        }
        let setting = self.file.as_ref().and_then(|file| file.find(name, option));
        // A default for all commands may be none for this one.
        let fits = |values: &[String]| rules::check(command, option, values).is_ok();
        Ok(setting.filter(|setting| fits(&setting.values)).and_then(|setting| {
            new(setting.values.clone(), Origin::Line(setting.table.clone(), setting.line))
        }))
    }
}

/// Whether a variable may be one of ours, and says something.
fn is_set(name: &OsStr, value: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"HAUL_") && !value.to_string_lossy().trim().is_empty()
}

fn text(variable: &str, value: &OsStr) -> Result<String, Usage> {
    let wrong = || Usage(format!("{variable} is no text in UTF-8"));
    value.to_str().map(str::to_owned).ok_or_else(wrong)
}

/// The options that may be set, each with the commands that have it: for the manual.
#[must_use]
pub fn settings() -> Vec<(String, Arg, Vec<String>)> {
    let mut all: BTreeMap<String, (Arg, Vec<String>)> = BTreeMap::new();
    for command in super::command().get_subcommands() {
        for (option, arg) in settable(command) {
            let entry = all.entry(option.to_owned()).or_insert_with(|| (arg.clone(), Vec::new()));
            entry.1.push(command.get_name().to_owned());
        }
    }
    all.into_iter().map(|(option, (arg, commands))| (option, arg, commands)).collect()
}

/// Whether an option takes several values.
pub(super) fn takes_several(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use clap::CommandFactory;

    use super::*;
    use crate::cli::arguments::{Cli, Command as Word, PutCommand, SyncCommand};
    use crate::cli::habits;
    use crate::cli::usage::Unread;
    use crate::source::links::Links;

    fn settings(text: &str, variables: &[(&str, &str)]) -> Settings {
        let file = SettingsFile::parse(Path::new("c"), text.as_bytes(), &crate::cli::command());
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
        Settings { file: Some(file.unwrap()), variables: variables.collect() }
    }

    fn parsed(line: &str, settings: &Settings) -> Result<Word, Unread> {
        let cli: Result<Cli, _> = habits::parse(line.split(' ').map(OsString::from), settings);
        cli.map(|cli| cli.command)
    }

    fn put(line: &str, settings: &Settings) -> PutCommand {
        match parsed(line, settings) {
            Ok(Word::Put(put)) => put.0,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn sync(line: &str, settings: &Settings) -> SyncCommand {
        match parsed(line, settings) {
            Ok(Word::Sync(sync)) => sync.0,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn option_counts_before_its_variable_and_that_before_the_file() {
        let text =
            "[defaults]\ntimeout = \"1s\"\nretries = 3\nverbose = true\n[put]\nconnections = 4\n";
        let file = settings(text, &[("HAUL_TIMEOUT", "2s"), ("HAUL_CONNECTIONS", "5")]);
        let put = put("haul put a box --connections 6", &file);
        let connection = &put.options.connection;
        assert_eq!(connection.connections, Some(6));
        assert_eq!(connection.reaching.tries.timeout.as_secs(), 2);
        assert_eq!(connection.reaching.tries.retries, Some(3));
        assert_eq!(connection.reaching.tries.retry_for.as_secs(), 300);
        assert!(put.options.output.verbose);
        let sync = sync("haul sync a box --verbose=false", &file);
        assert!(!sync.options.output.verbose);
        assert_eq!(sync.options.connection.connections, Some(5));
    }

    #[test]
    fn setting_never_makes_a_command_line_wrong_that_is_right_without_it() {
        let text = "[defaults]\nverbose = true\nstats = true\ncongestion = \"cubic\"\nlinks = \"follow\"\n\
                    one-file-system = true\nlimit-rate = \"1MB\"\nexclude = \"*.o\"\nconnections = 3\n\
                    ignore-existing = true\n[sync]\ndurability = \"none\"\nchecksum = true\nmax-delete = 3\n\
                    [publish]\nchecksum = true\n[ls]\nlong = true\n";
        let file = settings(text, &[]);
        for line in [
            "haul put -q a box",
            "haul put --classic a box",
            "haul put --files-from x a box",
            "haul put --remove-source a box",
            "haul put a box --bwlimit 100",
            "haul put a box --json",
            "haul sync a box",
            "haul sync box: a",
            "haul get box/a .",
            "haul get box/a -",
            "haul publish box/d --rollback",
            "haul ls box --json",
            "haul shell box --classic",
            "haul rm box/a",
            "haul trust --list",
        ] {
            assert!(parsed(line, &file).is_ok(), "{line}: {:?}", parsed(line, &file));
        }
        assert!(!put("haul put -q a box", &file).options.output.verbose);
        let moves = put("haul put --remove-source a box", &file);
        assert_eq!(moves.options.selection.links, Links::Copy);
        let forth = sync("haul sync a box", &file).options;
        assert_eq!((forth.durability, forth.selection.links), (None, Links::Follow));
        let back = sync("haul sync box: a", &file).options;
        assert_eq!((back.durability.as_deref(), back.selection.links), (Some("none"), Links::Copy));
        assert_eq!(back.connection.congestion, None);
        assert!(!back.selection.one_file_system && back.checksum && !back.delete);
        let Ok(Word::Get(get)) = parsed("haul get box/a -", &file) else { panic!() };
        assert_eq!((get.options.connection.connections, get.options.links), (None, Links::Copy));
        assert!(get.options.rules.is_empty() && !get.options.output.stats);
    }

    #[test]
    fn rule_of_the_command_line_decides_over_one_of_the_file() {
        let file = settings("[defaults]\nexclude = [\"*.o\", \"*.a\"]\n", &[]);
        let rules = |line: &str| format!("{:?}", put(line, &file).options.selection.rules);
        let told = rules("haul put --include x.o a box");
        let place = |text: &str| told.find(text).unwrap_or_else(|| panic!("{text}: {told}"));
        assert!(place("*.o") < place("*.a") && place("*.a") < place("x.o"), "{told}");
        assert!(!rules("haul put --exclude x a box").contains("*.o"));
    }

    /// Whichever comes first in the file, and whichever table or variable it is from.
    #[test]
    fn include_of_the_settings_makes_exceptions_from_exclude() {
        let mut told = Vec::new();
        for (text, variables) in [
            (
                "[put]\nexclude = [\"*.o\", \"*.a\"]\ninclude = \"x.o\"\nexclude-from = \"f\"\n",
                &[][..],
            ),
            ("[put]\nexclude-from = \"f\"\ninclude = \"x.o\"\nexclude = [\"*.o\", \"*.a\"]\n", &[]),
            (
                "[put]\ninclude = \"x.o\"\n[defaults]\nexclude = [\"*.o\", \"*.a\"]\nexclude-from = \"f\"\n",
                &[],
            ),
            (
                "[put]\nexclude = [\"*.o\", \"*.a\"]\nexclude-from = \"f\"\n",
                &[("HAUL_INCLUDE", "x.o")],
            ),
        ] {
            let put = put("haul put a box", &settings(text, variables));
            told.push(format!("{:?}", put.options.selection.rules));
        }
        let place = |text: &str| told[0].find(text).unwrap_or_else(|| panic!("{text}: {told:?}"));
        assert!(place("*.o") < place("*.a") && place("*.a") < place("x.o"), "{told:?}");
        assert!(place("x.o") < place("\"f\""), "{told:?}");
        assert!(told.iter().all(|other| *other == told[0]), "{told:?}");
    }

    #[test]
    fn variable_that_its_option_does_not_take_is_told() {
        for (variable, value, told) in [
            ("HAUL_TIMEOUT", "soon", "HAUL_TIMEOUT: `timeout` can't be \"soon\": "),
            ("HAUL_VERBOSE", "maybe", "HAUL_VERBOSE: `verbose` can't be \"maybe\""),
            ("HAUL_CONNECTIONS", "0", "HAUL_CONNECTIONS: `connections` can't be \"0\": "),
        ] {
            match parsed("haul put a box", &settings("", &[(variable, value)])) {
                Err(Unread::Usage(usage)) => assert!(usage.0.starts_with(told), "{}", usage.0),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn option_that_no_file_sets_has_no_variable() {
        let variables = [("HAUL_DELETE", "1"), ("HAUL_INSECURE", "1"), ("HAUL_DRY_RUN", "true")];
        let options = sync("haul sync a box", &settings("", &variables)).options;
        assert!(!options.delete && !options.connection.reaching.security.insecure);
        assert!(!options.send.dry_run);
    }

    #[test]
    fn words_around_the_option_that_names_the_file_stay_as_they_are() {
        let none = Settings::default();
        let put = put("haul put a --config f b box", &none);
        assert_eq!(put.sources, ["a", "b"].map(PathBuf::from));
        for line in ["haul --config f put a -v box", "haul --config=f put a b -v box"] {
            assert!(parsed(line, &none).is_ok(), "{line}");
        }
    }

    #[test]
    fn switch_and_its_repetition_and_letters_are_read_as_without_a_value() {
        for line in ["haul put -vv a box", "haul put -v -v a box", "haul sync -cvx a box"] {
            assert!(parsed(line, &Settings::default()).is_ok(), "{line}");
        }
        crate::cli::command().debug_assert();
        Cli::command().debug_assert();
    }
}
