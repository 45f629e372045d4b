//! The lines of the file of settings: aliases, and defaults of options, each key an option's name on the command line.

use std::path::Path;

use clap::{ArgAction, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::aliases::{Alias, Aliases};
use super::settings_rules::{self as rules, check, nearest};

/// The table of aliases.
pub(super) const ALIAS: &str = "alias";

/// The table of defaults for all commands.
pub(super) const DEFAULTS: &str = "defaults";

/// A default of an option.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The table that it is in: a command, or [`DEFAULTS`].
    pub(super) table: String,
    /// The option, without dashes.
    pub(super) option: String,
    /// The line in the file, from 1.
    pub(super) line: usize,
    /// One value, or the values of an option that takes several.
    pub(super) values: Vec<String>,
}

/// Lines, from 1, and the mistake of each.
pub(super) type Wrong = Vec<(usize, String)>;

/// All that stands in a file.
pub(super) fn lines(
    path: &Path,
    bytes: &[u8],
    command: &Command,
) -> Result<(Aliases, Vec<Setting>), Wrong> {
    let line_of =
        |at: usize| bytes[..at.min(bytes.len())].iter().filter(|byte| **byte == b'\n').count() + 1;
    let text = std::str::from_utf8(bytes).map_err(|error| {
        vec![(line_of(error.valid_up_to()), String::from("the line is no text in UTF-8"))]
    })?;
    let tables = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        vec![(line_of(at), error.message().trim_end().to_owned())]
    })?;
    let mut found = Found::default();
    for (name, value) in tables.get_ref() {
        let (line, name) = (line_of(name.span().start), name.get_ref());
        match value.get_ref() {
            DeValue::Table(_) if unknown_table(command, name).is_some() => {
                found.wrong.extend(unknown_table(command, name).map(|told| (line, told)));
            }
            DeValue::Table(table) => {
                for (key, value) in table {
                    let key_line = line_of(key.span().start);
                    found.key(path, command, name, (key_line, key.get_ref()), value);
                }
            }
            _ => found.wrong.push((line, no_table(command, name))),
        }
    }
    found.whole(command)
}

/// That which the lines of a file mean, as far as they were read.
#[derive(Default)]
struct Found {
    aliases: Vec<Alias>,
    settings: Vec<Setting>,
    wrong: Wrong,
}

impl Found {
    /// Reads one key of a table.
    fn key(
        &mut self,
        path: &Path,
        command: &Command,
        table: &str,
        (line, key): (usize, &str),
        value: &Spanned<DeValue<'_>>,
    ) {
        let read = match table {
            ALIAS => alias(path, line, key, value).map(|alias| self.aliases.push(alias)),
            table => setting(command, table, key, value).map(|values| {
                let (table, option) = (table.to_owned(), key.to_owned());
                self.settings.push(Setting { table, option, line, values });
            }),
        };
        self.wrong.extend(read.err().map(|told| (line, told)));
    }

    /// All lines together, if each is right and none is at odds with another one.
    fn whole(mut self, command: &Command) -> Result<(Aliases, Vec<Setting>), Wrong> {
        self.aliases.sort_by_key(|alias| alias.line);
        self.settings.sort_by_key(|setting| setting.line);
        self.wrong.extend(at_odds(command, &self.settings));
        match Aliases::new(self.aliases) {
            Ok(aliases) if self.wrong.is_empty() => Ok((aliases, self.settings)),
            Ok(_) => Err(self.wrong),
            Err(others) => Err(self.wrong.into_iter().chain(others).collect()),
        }
    }
}

fn alias(
    path: &Path,
    line: usize,
    name: &str,
    value: &Spanned<DeValue<'_>>,
) -> Result<Alias, String> {
    match value.get_ref() {
        DeValue::String(text) => Alias::new(path, line, name, text),
        _ => Err(format!("`{name}` takes a destination in quotes, such as \"box:9000/dir\"")),
    }
}

/// The mistake of a key that is not in a table.
fn no_table(command: &Command, name: &str) -> String {
    if unknown_table(command, name).is_none() {
        return format!("`{name}` is a table: [{name}], and its keys on the next lines");
    }
    let is_option = command.get_subcommands().flat_map(rules::settable).any(|(it, _)| it == name);
    match is_option {
        true => {
            format!("`{name}` stands in no table: options stand below [{DEFAULTS}] or [COMMAND]")
        }
        false => format!(
            "`{name}` stands in no table: there are [{ALIAS}], [{DEFAULTS}], and one for each command"
        ),
    }
}

/// The mistake of a table that means nothing.
fn unknown_table(command: &Command, name: &str) -> Option<String> {
    let commands = command.get_subcommands().filter(|command| rules::has_settings(command));
    let names = commands.map(Command::get_name).chain([ALIAS, DEFAULTS]);
    let names: Vec<_> = names.collect();
    if names.contains(&name) {
        return None;
    }
    Some(match nearest(names.iter().copied(), name) {
        Some(near) => format!("[{name}] means nothing; did you mean [{near}]?"),
        None => format!("[{name}] means nothing; there are {}", names.join(", ")),
    })
}

/// The values of one key, if its option takes them in at least one command of the table.
fn setting(
    command: &Command,
    table: &str,
    option: &str,
    value: &Spanned<DeValue<'_>>,
) -> Result<Vec<String>, String> {
    let is_meant = |it: &&Command| table == DEFAULTS || it.get_name() == table;
    let commands: Vec<_> = command.get_subcommands().filter(is_meant).collect();
    let has = |command: &&&Command| rules::settable(command).any(|(name, _)| name == option);
    let takers: Vec<_> = commands.iter().filter(has).collect();
    let Some(arg) = takers.first().and_then(|taker| {
        rules::settable(taker).find(|(name, _)| *name == option).map(|(_, arg)| arg)
    }) else {
        let why = match table {
            DEFAULTS => rules::refused(option),
            table => rules::refused_for(table, option),
        };
        return Err(why.map_or_else(
            || unknown_option(&commands, table, option),
            |why| format!("`{option}` is no setting: {why}"),
        ));
    };
    let values = words(option, matches!(arg.get_action(), ArgAction::Append), value)?;
    let checked: Vec<_> = takers.iter().map(|taker| check(taker, option, &values)).collect();
    match checked.iter().any(Result::is_ok) {
        true => Ok(values),
        false => checked.into_iter().find_map(Result::err).map_or(Ok(values), Err),
    }
}

/// The mistake of a key that no option has.
fn unknown_option(commands: &[&Command], table: &str, option: &str) -> String {
    let names = commands.iter().flat_map(|command| rules::settable(command)).map(|(name, _)| name);
    match (nearest(names, option), table) {
        (Some(near), _) => format!("`{option}` is no setting; did you mean `{near}`?"),
        (None, DEFAULTS) => {
            format!("`{option}` is no setting; haul config show tells all")
        }
        (None, table) => {
            format!("`{option}` is no setting of [{table}]; haul config show {table} tells all")
        }
    }
}

/// The values of a key as they would be on the command line.
fn words(
    option: &str,
    takes_several: bool,
    value: &Spanned<DeValue<'_>>,
) -> Result<Vec<String>, String> {
    let values = match value.get_ref() {
        DeValue::Array(values) if takes_several => {
            values.iter().map(|value| word(value.get_ref())).collect::<Option<Vec<_>>>()
        }
        value => word(value).map(|value| vec![value]),
    };
    let values = values.ok_or_else(|| match takes_several {
        true => format!("`{option}` takes a text in quotes, or several: [\"…\", \"…\"]"),
        false => format!("`{option}` takes one value: a text in quotes, a number, true or false"),
    })?;
    match values.is_empty() {
        true => Err(format!("`{option}` takes at least one value")),
        false => Ok(values),
    }
}

fn word(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
        DeValue::Boolean(is) => Some(is.to_string()),
        _ => None,
    }
}

/// Settings of one table that exclude each other in a command.
fn at_odds(command: &Command, settings: &[Setting]) -> Wrong {
    let mut wrong = Wrong::new();
    for command in command.get_subcommands() {
        let arg = |option: &str| rules::settable(command).find(|(name, _)| *name == option);
        for (index, later) in settings.iter().enumerate().filter(|(_, it)| is_on(&it.values)) {
            let before =
                settings[..index].iter().filter(|it| it.table == later.table && is_on(&it.values));
            for earlier in before {
                let (Some((_, one)), Some((_, other))) = (arg(&earlier.option), arg(&later.option))
                else {
                    continue;
                };
                let is_here = later.table == DEFAULTS || later.table == command.get_name();
                if is_here && rules::exclude_each_other(command, one, other) {
                    let (option, before, line) = (&later.option, &earlier.option, earlier.line);
                    wrong.push((
                        later.line,
                        format!("`{option}` does not go with `{before}` (line {line})"),
                    ));
                }
            }
        }
    }
    wrong
}

/// Whether an option with these values does anything: a switch may be off.
pub(super) fn is_on(values: &[String]) -> bool {
    !matches!(values, [value] if ["false", "no", "off", "n", "f"].contains(&value.as_str()))
}
